/* query_call.h: one request for fields under way: between query_route.c (the loop) and query_run.c (the pool). */
#ifndef INDEXER_QUERY_CALL_H
#define INDEXER_QUERY_CALL_H

#include "indexer/answer.h"
#include "indexer/indexer.h"
#include "indexer/query_axes.h"
#include "indexer/query_body.h"
#include "indexer/query_missing.h"
#include "indexer/query_parts.h"
#include "proto/cluster_map.h"

enum {
    ANSWER_SIZE_MAX = 256 << 20,  /* of one that has a limit */
    ANSWERS_SIZE_MAX = 512 << 20, /* of all that are gathered at one time */
    CHUNK_SIZE = 512 << 10, /* of a streamed one: as much is in memory, and as much again on its way */
    CHUNK_FIELDS_MAX = 4000,
    CHUNK_FIELDS_FIRST = 256, /* documents of common size, as JSON */
    SORT_TEXT_SIZE = 256,
    MORE_SIZE_MAX = 1 << 20,
};

struct query_call {
    struct work work;
    struct http_exchange *ex;
    struct catalog *catalog;       /* borrowed */
    struct axes_cache *axes_cache; /* borrowed */
    struct query_body body;        /* its requests: one, but for texts and lists */
    struct buf link;               /* the target of the next page, up to its cursor; not for POST */
    struct cluster_map *map;       /* counted; for colo= */
    const struct answer_form *form;
    bool streaming, started; /* limit=all; the reply has been started */
    /* the pool's, until it is done */
    struct query_parts parts;
    bool prepared;
    size_t part;             /* the one that is being answered */
    struct missing *missing; /* of that part; NULL: nobody asked, or the list would be too long */
    bool any;                /* that part has given something */
    bool continued;          /* it was begun on a page before */
    struct answer answer;
    struct buf out, scratch, more, cursor;
    size_t limit, given, counted;
    size_t chunk_fields; /* that a chunk is likely to hold: a database may read all it is asked for */
    bool full, last; /* the page, or the chunk, ends here; nothing is behind it */
    struct field_id last_id;
    struct catalog_value last_values[QUERY_SORTS_MAX];
    char last_texts[QUERY_SORTS_MAX][SORT_TEXT_SIZE];
    size_t accounted;                               /* of ANSWERS_SIZE_MAX */
    struct buf missing_list, hints_list, gone_list; /* JSON, without brackets */
    bool missing_over;                              /* the first ends with "...": there is more */
};

/* On the pool: the answer, or its next chunk, into call->out. */
void query_run(struct work *work);
/* The memory of call->out is somebody else's from here on. */
void query_run_release(struct query_call *call);

#endif
