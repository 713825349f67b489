/* http_conn.h: one connection: read, cut into requests, keep-alive, timeouts, back-pressure,
 * close. */
#ifndef PROTO_HTTP_CONN_H
#define PROTO_HTTP_CONN_H

#include "proto/http/http_core.h"

/* Take a connection from the listener. On failure nothing is left behind. */
enum status http_conn_accept(struct http_server *server);

/* Go on as far as possible. The connection may be freed on return. */
void http_conn_advance(struct http_conn *conn);

/* The same at the next turn of the loop; from within an advance: in that one. */
void http_conn_wake(struct http_conn *conn);

/* On a port of TLS, before anything else: a plain request. It is told so, in plain text, and nothing more is taken. */
void http_conn_refuse_plain(struct http_conn *conn);

void http_conn_expire(struct http_conn *conn); /* its timer has run out; it is out of the queue */
void http_conn_drain(struct http_conn *conn); /* close if nothing is under way, else after this answer */

#endif
