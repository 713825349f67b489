/* http_secure.h: TLS between a connection and its socket.
 *
 * The memory in which records are made and opened is the server's, as connections take turns on its loop. What the kernel does
 * not take at once is copied, at most one piece of TLS_SEND_MAX; what lies behind stays with whoever sends, not yet
 * sealed. So a slow reader costs one piece, and an idle connection what OpenSSL keeps of it. */
#ifndef PROTO_HTTP_SECURE_H
#define PROTO_HTTP_SECURE_H

#include "proto/base/bytes.h"
#include "proto/base/status.h"

#include <uv.h>

struct http_conn;
struct http_secure;
struct http_secure_memory;
struct http_server;

/* The server's: made with it when it has options.tls. NULL: no memory. */
struct http_secure_memory *http_secure_memory_new(void);
void http_secure_memory_free(struct http_secure_memory *memory);

/* The connection's: conn->socket.secure from here on. NO_MEMORY: it has none. */
enum status http_secure_open(struct http_conn *conn);
void http_secure_free(struct http_secure *secure); /* NULL: nothing */

/* Bytes of the socket: opened, then http_conn_received(). The connection may be gone on return. */
void http_secure_received(struct http_conn *conn, const uint8_t *data, size_t size);

/* As http_conn_send(). */
bool http_secure_send(struct http_conn *conn, const uv_buf_t *bufs, unsigned count);

/* Say to the client that nothing follows, once. */
void http_secure_end(struct http_conn *conn);

bool http_secure_established(const struct http_secure *secure);
bool http_secure_certificate(const struct http_secure *secure, uint8_t fingerprint[32]);

#endif
