/* query.h: a MARS-like request -> a catalog query.
 *
 * GET /v1/fields?param=2t/msl&step=0/to/240/by/6&levelist=500&source=hres&base_time=2013-04-08T00:00:00Z&limit=1000&cursor=C&all=1
 * Keys are names of documents (the table query_keys), with the aliases of MARS (leve, levellist, levtyp, parameter); values are
 * lists `a/b/c` with `a/to/b[/by/n]` inside as metkit expands them (step by 12, time by 6, the others by 1; never past the end; by 0 is an
 * error). `all`, `any` and `off` mean any value. An unknown key is UNKNOWN_KEY and named with the nearest known one; a malformed value is
 * BAD_VALUE. Keys of the answer: limit, cursor, all, as_of, sort, colo, format, count, axes, missing. */
#ifndef INDEXER_QUERY_H
#define INDEXER_QUERY_H

#include "indexer/catalog/catalog.h"
#include "proto/http/http_exchange.h"

enum query_form { QUERY_JSON, QUERY_NDJSON, QUERY_CSV };
enum {
    QUERY_COLO_SIZE = 65,
};

struct query_request {
    struct catalog_query query; /* values owned; limit is that of the answer */
    enum query_form form;
    bool form_given;             /* by format=; otherwise Accept decides */
    bool whole;                  /* limit=all: everything, streamed */
    bool latest;                 /* base_time=latest: of each source the newest run that is ready */
    bool count, axes;            /* how many, which values: instead of documents */
    bool missing, missing_given; /* list what was asked for by value and not found */
    char colo[QUERY_COLO_SIZE];  /* its locations first; "": as they are */
    unsigned cursor_part;        /* which of several queries the cursor is in */
    char *sort_texts[QUERY_SORTS_MAX]; /* owned: of the cursor */
    size_t after_count;                /* values that the cursor has */
    size_t given_count;                /* keys so far: each may come once */
    const char *given[QUERY_TERMS_MAX];
};

/* One key = value pair; called for each in order, then query_finish(). */
void query_init(struct query_request *request);
enum status query_add(struct query_request *request, struct slice key, struct slice value,
                      struct error *err);
enum status query_finish(struct query_request *request, struct error *err);
/* Of these sources only ("hres,gfs"), before query_finish(). FORBIDDEN: another one is asked for. */
enum status query_bind(struct query_request *request, const char *sources, struct error *err);
void query_fini(struct query_request *request);

/* What is told of a query that the database took too long for: also how to ask, if all documents are looked at. Other statuses stay. */
enum status query_too_slow(const struct catalog_query *query, enum status status, struct error *err);

/* Is it a key of the answer (limit, format, ...)? */
bool query_key_is_of_answer(struct slice key);

/* A cursor: where the page after this document begins. `values` are of request->query.sorts. */
void query_cursor_print(const struct query_request *request, unsigned part, struct slice id,
                        const struct catalog_value *values, struct buf *text);

void query_route(struct http_exchange *ex); /* GET, POST /v1/fields */

#endif
