/* query_body.h: requests that come as a body: MARS text, or JSON. Pure.
 *
 * Text: `retrieve, param=t/z, step=0/to/24/by/6 .` and so on, one or several. Comments (#), quotes, aliases of verbs and keys in any case. As in
 * MARS a later request of a text inherits what an earlier one said; `off` takes it back. An absent key means any: defaults of the
 * language are not put in. What is about the client (target, expect...) is passed over and named in `ignored`; keys
 * that ask for other fields than the stored ones (grid, area...) are refused, unless they are off.
 *
 * JSON: {"param": ["t", "z"], "step": {"from": 0, "to": 240, "by": 6}}, or a list of such objects; keys of the answer too. What stands in a list
 * is one value, with its slashes; a text in the place of a list is read as in a pair ("0/to/24"). */
#ifndef INDEXER_QUERY_BODY_H
#define INDEXER_QUERY_BODY_H

#include "indexer/query.h"

enum {
    QUERY_BODY_MAX = 1 << 20,
    QUERY_REQUESTS_MAX = 64, /* in one body */
    QUERY_BODY_VALUES_MAX = QUERY_TERMS_MAX * QUERY_VALUES_MAX,
    QUERY_LIST_MAX = 512 << 10, /* bytes of one value's list */
};

struct query_body {
    size_t count;
    struct query_request *requests; /* owned: count of them; not finished (query_finish) */
    struct buf ignored;             /* "target, expect" */
};

void query_body_init(struct query_body *body);
void query_body_fini(struct query_body *body);
/* BAD_VALUE, UNKNOWN_KEY: err says in which line, or in which request. fini is due after a failure as well. */
enum status query_body_text(struct query_body *body, struct slice text, struct error *err);
enum status query_body_json(struct query_body *body, struct slice text, struct error *err);

/* Whether the requests so far have more values than one may have. */
bool query_body_over(const struct query_body *body);
/* One more request, initialised; NULL and err: there are too many. */
struct query_request *query_body_add(struct query_body *body, struct error *err);

#endif
