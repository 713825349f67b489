/* query_parts.h: requests -> the queries that answer them, one after another. Mostly one of one; base_time=latest is a query a source, of its
 * newest run that is ready. */
#ifndef INDEXER_QUERY_PARTS_H
#define INDEXER_QUERY_PARTS_H

#include "indexer/query.h"

enum { QUERY_PARTS_MAX = 4096 };

struct query_part {
    struct catalog_query query; /* terms borrowed from the request, but for own[] */
    unsigned request;           /* its number */
    struct run_key run;         /* latest: what own[] names */
    struct query_value own[2];
};
struct query_parts {
    size_t count;
    struct query_part **parts; /* owned */
    size_t without_count;      /* sources asked for the latest run that have none that is ready */
    char (*without)[SOURCE_SIZE_MAX + 1]; /* owned */
};

/* Parts from where the first request's cursor stands. Reads the catalog's runs where `latest` is asked for: pool threads. A page of a latest
 * run goes on in the run that it began with. fini is due after a failure, too. */
enum status query_parts_make(struct query_parts *parts, struct catalog *catalog,
                             const struct query_request *requests, size_t count, struct error *err);
void query_parts_fini(struct query_parts *parts);

#endif
