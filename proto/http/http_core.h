/* http_core.h: what the files of this folder share: the server, a connection, an exchange. Nobody else looks inside.
 *
 * How it moves. A connection is a machine (http_conn.c) that is advanced whenever something happened to it: bytes came,
 * a write ended, a deadline passed, a conductor called. Calls of conductors only note what is wanted and wake the
 * connection; the next turn of the loop does it. So nothing ever calls a conductor from within its own call, and a
 * conductor that replies in its handler is served before the loop turns.
 *
 *     HEAD --head whole--> EXCHANGE --reply written--> HEAD (next request)
 *                             |                  '---> DISCARD (rest of a body) --> HEAD
 *                             '--no more requests----> LINGER (2 s at most) --> CLOSED
 *
 * The order of a turn. libuv tells which connections have bytes; when all are told of, they are read and served one by
 * one, the last first. epoll names those again first that it named the last time, and who comes just too late for a turn
 * last; served in that order the same ones would be late again and again, for twice the time of the others. Of up to
 * HTTP_BATCH_MAX of them all requests are read first, then all answers are sent: the kernel's code for each stays in the
 * processor's cache, and a client on this machine is woken once and not for each.
 *
 * Invariants:
 * 1. One exchange a connection; while it lasts, what arrives behind its request is kept unread, at most one read of it.
 * 2. A connection without anything under way owns no buffer: reads go to the server's, the rest is kept only if there is any.
 * 3. Each connection is in at most one of the server's timer queues; a queue has one delay, so it is in order of deadline. */
#ifndef PROTO_HTTP_CORE_H
#define PROTO_HTTP_CORE_H

#include "proto/base/list.h"
#include "proto/http/http_frame.h"
#include "proto/http/http_metrics.h"
#include "proto/http/http_server.h"
#include "proto/http/http_socket.h"

enum {
    HTTP_READ_SIZE = 64 * 1024, /* one read */
    HTTP_OUT_SIZE = 72 * 1024, /* what is under way of a file to one reader: 64 KiB behind a head, in one write */
    HTTP_REPLY_HEAD_MAX = 32 * 1024, /* all header fields of a reply */
    HTTP_DISCARD_MAX = 256 * 1024, /* a body nobody asked for is read up to this, to keep the connection */
    HTTP_IDS_SIZE = 65,            /* a request id and its end */
    HTTP_TEXT_KEPT_MAX = 4 * 1024,     /* a pooled exchange keeps buffers up to this */
    HTTP_PIECES_KEPT_MAX = 64,         /* and so many pieces of a file */
    HTTP_PIECES_TEXT_MAX = 512 * 1024, /* their heads: 1,000 of them, each below 256 bytes, fit twice */
    HTTP_TURN_MAX = 1024 * 1024,       /* sent to one reader before others have their turn */
    HTTP_POOL_MAX = 64,                /* exchanges, and file buffers, kept for the next */
    HTTP_READABLE_MAX = 256,           /* connections told of before they are read */
    HTTP_BATCH_MAX = 16,               /* requests read before their answers are sent */
    HTTP_HELD_SIZE_MAX = 256 * 1024, /* of such answers */
};

enum http_timer {
    HTTP_TIMER_NONE,
    HTTP_TIMER_IDLE,
    HTTP_TIMER_HEAD,
    HTTP_TIMER_RATE,
    HTTP_TIMER_LINGER,
    HTTP_TIMER_COUNT
};

struct http_server {
    struct http_server_options options; /* its texts are copied */
    struct http_limits limits;          /* defaults filled in */
    struct http_head_limits head_limits;
    struct http_frame_limits frame_limits;
    char name[64];
    uv_tcp_t listener;
    uv_timer_t tick;
    uv_check_t check; /* reads what has come and advances what was woken, after the loop has slept */
    uv_idle_t idle; /* the same before; active while any is awake, so that the loop does not sleep */
    unsigned handles; /* not closed yet */
    unsigned port;
    bool full; /* accepting rests until a connection closes */
    bool draining;
    void (*on_drained)(struct http_server *server, void *data);
    void *drained_data;

    struct list connections;
    unsigned connections_count;
    struct list readable; /* of struct http_socket: bytes have come, the last to be told of first */
    unsigned readable_count;
    struct list unsent; /* of struct http_socket: answers of a batch, while gathering */
    size_t held_size;   /* of them */
    bool gathering;
    struct list awake;                    /* connections to be advanced */
    struct list timers[HTTP_TIMER_COUNT]; /* [NONE] unused */
    uint64_t delays_ms[HTTP_TIMER_COUNT];

    uint64_t id_state; /* request ids */
    uint64_t now_us; /* while it serves what has come: the clock, read again at the end of each request */
    bool serving;
    uint64_t common_until_us; /* by that clock: the fields below hold until then */
    char common[192]; /* Date, Server, X-Content-Type-Options, and the name of X-Request-Id */
    size_t common_size;
    uint8_t *read_buffer;              /* owned; of whichever connection is being read */
    struct http_secure_memory *secure; /* owned; with options.tls */
    struct list exchanges;             /* spare */
    unsigned exchanges_count;
    uint8_t *outs[HTTP_POOL_MAX]; /* spare file buffers */
    unsigned outs_count;
    struct http_counters *counters; /* one a route, then one for what matched none; owned */
    unsigned routes_count;
};

enum http_conn_state {
    HTTP_CONN_HEAD,
    HTTP_CONN_EXCHANGE,
    HTTP_CONN_DISCARD,
    HTTP_CONN_LINGER,
    HTTP_CONN_CLOSED
};

struct http_conn {
    struct http_socket socket;
    struct http_server *server;
    struct list item;       /* in server->connections */
    struct list awake;      /* in server->awake */
    struct list timer_item; /* in server->timers[timer] */
    enum http_timer timer;
    bool timer_anew; /* the deadline counts from now on, though the timer is the same */
    uint64_t deadline_ms;
    uint64_t window_moved; /* bytes moved when the rate window began */

    enum http_conn_state state;
    bool advancing;
    bool eof;          /* the client has sent its last byte */
    bool dead;         /* nothing can be sent any more */
    bool last;         /* no further request on this connection */
    bool writing;      /* the kernel did not take all at once */
    bool again;        /* it has had its share of this turn, and has more to do */
    bool spared;       /* draining, but a request may be on its way: it has a moment to come */
    uint64_t turn_end; /* bytes_out at which its share of this turn ends */
    uint64_t bytes_in, bytes_out;
    uint64_t requests;

    struct slice input; /* not used up yet: in the read buffer, or in held */
    struct buf held;    /* what of it has to outlive the read */
    struct http_head head;
    struct http_frame frame;
    struct http_exchange *ex; /* with EXCHANGE */
};

enum http_body_mode { HTTP_BODY_UNASKED, HTTP_BODY_GATHER, HTTP_BODY_STREAM };

struct http_body {
    enum http_body_mode mode;
    bool paused, over;
    enum status failed; /* to be told: TIMEOUT, CANCELLED */
    struct buf gathered;
    void (*on_body)(struct http_exchange *ex, enum status status, struct slice body);
    void (*on_chunk)(struct http_exchange *ex, struct slice chunk);
    void (*on_end)(struct http_exchange *ex, enum status status);
};

enum http_reply_kind { HTTP_REPLY_NONE, HTTP_REPLY_WHOLE, HTTP_REPLY_FILE, HTTP_REPLY_STREAM };

struct http_file_reply {
    struct http_piece *pieces; /* owned, room for capacity; kept with the exchange, as text is */
    unsigned capacity, count, at;
    uint64_t piece_done; /* of pieces[at], its head included */
    struct buf text;     /* the heads */
    uint8_t *out;        /* owned while under way */
    size_t out_size;
    bool reading;          /* on the thread pool */
    bool sent;             /* something of the reply has left */
    uint64_t cached_until; /* as piece_done: up to here it was found in the page cache */
    size_t copy; /* so much of a large piece goes through memory before the next sendfile(2) */
    int result;  /* of that: bytes, or -errno */
    uv_work_t work;
    size_t work_size;
};

struct http_stream_reply {
    void (*on_ready)(struct http_exchange *ex);
    bool owed;   /* on_ready was called: a push is to come */
    bool pushed; /* data holds it */
    bool last, failed;
    struct buf data;
    uint64_t left; /* of a known length */
    char chunk_head[24];
};

struct http_reply {
    enum http_reply_kind kind;
    int status;
    bool head_sent, done;
    bool bodyless; /* HEAD, 204, 304 */
    bool has_cache_control;
    unsigned retry_after_s; /* with 429 and 503; 0: a few seconds */
    bool chunked;           /* streamed with an unknown length, in HTTP/1.1 */
    uint64_t length;        /* of the body, or HTTP_LENGTH_UNKNOWN */
    char content_type[128]; /* "": none */
    struct buf fields;      /* what the conductor added */
    struct buf head;        /* as sent */
    struct buf body;
    struct http_file_reply file;
    struct http_stream_reply stream;
};

/* Who asks, as http_auth.c found it. */
struct http_caller {
    struct token_table *table; /* a reference; NULL: no token */
    struct token *token;       /* borrowed from it */
};

struct http_exchange {
    struct http_conn *conn;
    struct http_server *server;
    struct list item; /* in server->exchanges, while spare */
    uint8_t *text;    /* the head, then as much again for what is decoded of the target; owned */
    size_t text_capacity;
    struct http_head *head; /* the connection's */
    struct http_match match;
    struct slice params[HTTP_PARAMS_MAX]; /* decoded */
    struct list joined;                   /* texts made by http_header_joined() */
    struct http_caller auth;
    struct http_counters *counters;
    uint64_t started_us;
    char id[HTTP_IDS_SIZE];
    bool expect; /* 100 Continue is owed before a body is read */
    void *user;
    void (*on_over)(struct http_exchange *ex);
    void (*on_unreadable)(struct http_exchange *ex, const struct http_unreadable *what); /* NULL: nobody asks */
    size_t fields_kept; /* of reply.fields: what was there when it was asked for */
    struct http_body body;
    struct http_reply reply;
};

/* --- http_conn.c; what sends: http_socket.h --- */
/* Bytes have come: size 0 is the client's end. */
void http_conn_received(struct http_conn *conn, const uint8_t *data, size_t size);

/* --- http_server.c --- */
void http_server_on_idle(uv_idle_t *idle);
void http_server_readable(struct http_server *server, struct list *readable); /* read it in this turn of the loop */
uint64_t http_server_now_us(const struct http_server *server); /* the monotonic clock, at most a request old */
void http_server_on_gone(struct http_server *server); /* a connection is gone and freed */

/* --- http_dispatch.c --- */
void http_dispatch(struct http_exchange *ex);
void http_dispatch_error(struct http_exchange *ex, enum status status, const char *reason); /* no valid head */

/* --- http_auth.c --- */
bool http_auth_check(struct http_exchange *ex);                  /* false: it has replied */
void http_auth_charge(struct http_exchange *ex, uint64_t bytes); /* of bodies, to the caller's token */
void http_auth_release(struct http_exchange *ex);

/* --- http_exchange.c --- */
struct http_exchange *http_exchange_take(struct http_conn *conn, const uint8_t *text,
                                         size_t size); /* NULL: no memory */
void http_exchange_release(struct http_exchange *ex);
void http_exchange_decode_params(struct http_exchange *ex);
void http_exchanges_free(struct http_server *server); /* the spare ones */

/* --- http_body.c: true if anything moved --- */
bool http_body_step(struct http_exchange *ex);
bool http_body_flowing(const struct http_exchange *ex); /* it waits for bytes of the client */
void http_body_fail(struct http_exchange *ex, enum status status);
bool http_body_answered(const struct http_exchange *ex); /* what is left of it, is it worth reading? else close */

/* --- http_reply.c, http_file.c: true if anything moved --- */
bool http_reply_step(struct http_exchange *ex);
void http_reply_head(struct http_exchange *ex, struct buf *head); /* appends it */
void http_reply_take_back(struct http_exchange *ex); /* of a file, of which nothing has left: as if none had been started */
void http_reply_reset(struct http_reply *reply); /* all but the memory that is kept, and the fields */
bool http_file_step(struct http_exchange *ex);
void http_file_clear(struct http_exchange *ex);

#endif
