/* http_auth.h: who is asking, and may they: what a server is given, and what conductors ask.
 *
 * One struct http_auth a process, shared by the servers of all loops: a token table that is replaced as a whole when the
 * file is read again. A request is judged once, from its head, before anything else is said of it and before a byte of its
 * body is read; it keeps its token to its end. Without an http_auth everybody may do everything.
 *
 * Order: two Authorization fields, or one that is no bearer token, 400; no token, an unknown one or one that has expired,
 * 401; another role, or a source it is not bound to, 403; beyond its rate, 429. Only then 404, 405 and the route. */
#ifndef PROTO_HTTP_AUTH_H
#define PROTO_HTTP_AUTH_H

#include "proto/base/status.h"
#include "proto/http/http_exchange.h"

struct http_auth;

/* Reads the token file (token_table_load() says how it may fail). anonymous_read: what asks for read needs no token.
 * [blocking] */
enum status http_auth_open(const char *path, bool anonymous_read, struct http_auth **auth,
                           struct error *err);
/* The file again; on failure what was read before stays in use. Requests under way keep the token that they have.
 * From any thread, one at a time. [blocking] */
enum status http_auth_reload(struct http_auth *auth, struct error *err);
unsigned http_auth_count(struct http_auth *auth); /* of tokens */
void http_auth_close(struct http_auth *auth);     /* after all servers; NULL is fine */

void http_auth_metrics_register(void); /* by http_metrics_register() */

/* --- for conductors --- */

/* May the caller see and change what is of this source? A source in the path was looked at before; one in the query, in the
 * body, or behind what was found is the conductor's to ask about. From any thread while the request is not answered. */
bool http_allows_source(const struct http_exchange *ex, struct slice source);
/* The sources that the caller's token is bound to, "hres,gfs"; NULL: any. As long as the request. */
const char *http_bound_sources(const struct http_exchange *ex);
/* Replies 403 and counts it. */
void http_refuse_source(struct http_exchange *ex);

/* Needs what is read no token? Else no shared cache may keep an answer for others. */
bool http_is_public(const struct http_exchange *ex);

const char *http_caller(const struct http_exchange *ex); /* the token's name; "": none was shown, or asked for */
bool http_caller_has(const struct http_exchange *ex,
                     unsigned roles); /* any of them, as written; false without a token */

#endif
