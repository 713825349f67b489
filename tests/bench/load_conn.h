/* load_conn.h: one keep-alive connection: send a request, take its answer, and so on.
 *
 * The connection does not know the loop: conn_on_event() says what to do next, conn_waits_to_send() what to wait for. One
 * answer at a time is kept whole and compared, in the one sample that connections share; other bodies are read and forgotten. */
#ifndef BENCH_LOAD_CONN_H
#define BENCH_LOAD_CONN_H

#include "load_answer.h"
#include "load_check.h"
#include "load_stream.h"
#include "load_work.h"

enum { CONN_IN_SIZE = 16384 };

struct load_conn;

struct load_sample {
    const struct load_conn *owner; /* whose answer is being kept; NULL: nobody's */
    uint8_t *bytes;                /* owned */
    size_t size, room;
    uint64_t checked; /* answers compared so far */
};

/* False with err: out of memory. */
bool sample_init(struct load_sample *sample, const struct load_options *options, struct gen_error *err);
void sample_fini(struct load_sample *sample);

struct load_conn {
    struct load_stream stream;
    struct load_request request;
    size_t sent; /* of head and body */
    uint64_t started_ns;
    bool in_body;
    bool waits_to_send; /* as the loop knows it */
    struct answer_head answer;
    uint64_t body_left;
    size_t in_size;
    char in[CONN_IN_SIZE]; /* the head, and what came with it */
};

enum conn_result { CONN_WAIT, CONN_DONE, CONN_FAILED };

/* Connect to 127.0.0.1. False with err; conn_close() is safe all the same. */
bool conn_open(struct load_conn *conn, const struct load_work *work, struct gen_error *err);
void conn_close(struct load_conn *conn);

/* Take the next request of the work and send what goes. CONN_WAIT, or CONN_FAILED with err. */
enum conn_result conn_start(struct load_conn *conn, struct load_work *work,
                            struct load_sample *sample, uint64_t now_ns, struct gen_error *err);

/* Go on after epoll's events. CONN_DONE: the answer is there, and as it should be. CONN_FAILED: err says what was wrong. */
enum conn_result conn_on_event(struct load_conn *conn, uint32_t events, struct load_sample *sample,
                               struct gen_error *err);

/* There is something to send that the socket does not take yet. */
bool conn_waits_to_send(const struct load_conn *conn);

#endif
