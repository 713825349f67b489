/* query.h: keys -> pages of the indexer -> fields, one by one. */
#ifndef CLIENT_QUERY_H
#define CLIENT_QUERY_H

#include "client/session.h"

#include <jansson.h>

struct gs_field {
    const json_t *document; /* borrowed from the page */
    json_t *texts;          /* owned: numbers as text, made when asked for */
    struct buf json;        /* made when asked for */
};

/* "a=b,c=d" -> "?a=b&c=d", escaped; appended. BAD_VALUE names the key that is none. Pure. */
enum status query_print(const char *const *keys, size_t count, struct buf *path, struct error *err);

/* A request for fields: the path with its query, and what is sent with it (nothing: GET). */
struct query_ask {
    struct buf path, body;
    const char *content_type;
};
/* Keys go into the path, or, where that would be too long, into a body. more: further keys of the answer, "count=1"; "": none. */
enum status query_ask_make(struct query_ask *ask, const char *const *keys, size_t count,
                           const struct gs_query_options *options, const char *more, struct error *err);
void query_ask_fini(struct query_ask *ask);

enum status query_run(struct gs_session *session, const char *const *keys, size_t count,
                      const struct gs_query_options *options,
                      int (*on_field)(void *user, const struct gs_field *field), void *user,
                      struct error *err);

/* Appends text with everything escaped that may not stand in a query. */
void url_escape(struct buf *buf, struct slice text);

#endif
