/* http_server.h: listen, accept, limit, drain. One server a loop; several loops share an address by SO_REUSEPORT. */
#ifndef PROTO_HTTP_SERVER_H
#define PROTO_HTTP_SERVER_H

#include "proto/http/http_auth.h"
#include "proto/http/http_router.h"

/* Defaults in brackets; 0 takes the default. */
struct http_limits {
    size_t head_max;          /* whole head [40 KiB] */
    size_t line_max;          /* a header line [32 KiB] */
    size_t target_max;        /* [8 KiB] */
    unsigned fields_max;      /* [HTTP_FIELDS_MAX] */
    uint64_t body_max;        /* [64 GiB]; a larger Content-Length is 413 before 100 Continue */
    unsigned connections_max; /* of this server [10,000]; more wait in the backlog */
    uint64_t head_timeout_ms; /* the whole head [10 s] */
    uint64_t idle_timeout_ms; /* keep-alive [60 s] */
    uint64_t rate_min;        /* bytes a second; a body or an answer that is slower is cut [1 KiB] */
    uint64_t rate_window_ms;  /* over which that is counted [10 s] */
    uint64_t linger_ms;       /* a connection that is given up is read on for so long [2 s] */
    size_t chunk_line_max;    /* a chunk's size with its extensions [4 KiB] */
    size_t trailers_max;      /* behind a chunked body; they are ignored [8 KiB] */
};

struct http_server_options {
    uv_loop_t *loop;    /* borrowed for the server's life */
    const char *listen; /* "127.0.0.1:8410", "[::1]:0" */
    bool reuse_port;
    /* Another server, maybe of another thread, that does not drain meanwhile: its listening socket is this one's, too, so that who
     * has connected to it and was not accepted is not lost when it ends. NULL: one of its own. */
    const struct http_server *shares;
    struct tls *tls; /* borrowed for the server's life; NULL: plain HTTP */
    struct http_limits limits;
    const struct http_route *routes; /* borrowed for good */
    void *context;                   /* http_context() */
    struct http_auth *auth;          /* borrowed for the server's life; NULL: everybody may do everything */
    const char *server_name;         /* Server header, no version: "gribstore" */
    bool access_log;                 /* one line a request at info; otherwise at debug */
    /* Called before the handler of every request, after routing; may reply itself and return false (readiness,
     * draining, Gribstore-Cluster check). May add reply headers. NULL: none. */
    bool (*before)(struct http_exchange *ex, const struct http_route *route);
};

/* BAD_VALUE: no such address; IO with the reason (address in use...). */
enum status http_server_start(const struct http_server_options *options,
                              struct http_server **server, struct error *err);
unsigned http_server_port(const struct http_server *server); /* the real one, when 0 was asked for */

/* Stop accepting, close idle connections, answer what is under way with `Connection: close`; on_drained when the last
 * connection is gone. */
void http_server_drain(struct http_server *server,
                       void (*on_drained)(struct http_server *server, void *data), void *data);
void http_server_free(struct http_server *server); /* after on_drained, with the loop still alive */

/* Host and port of "HOST:PORT" or "[V6]:PORT"; and whether that is loopback (127.0.0.0/8, ::1, localhost). */
bool http_address_parse(const char *text, char *host, size_t host_size, unsigned *port);
bool http_address_loopback(const char *text);

void http_metrics_register(void); /* gribstore_http_*, once a process */

#endif
