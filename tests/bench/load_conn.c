/* load_conn.c: one keep-alive connection: send a request, take its answer, and so on. */
#include "load_conn.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>

enum { SHOWN_SIZE = 200, UNREAD_SIZE_MAX = 1 << 18 };

/* Where bytes go that nobody looks at. They are copied out of the kernel all the same, as by any client: with MSG_TRUNC a
 * server that uses sendfile would be measured without a single copy, which no user sees. */
static uint8_t unread[UNREAD_SIZE_MAX];

bool sample_init(struct load_sample *sample, const struct load_options *options, struct gen_error *err)
{
    *sample = (struct load_sample){ .room = (size_t)check_length_max(options) };
    sample->bytes = malloc(sample->room + 1);
    return sample->bytes != NULL || gen_fail(err, "out of memory");
}

void sample_fini(struct load_sample *sample)
{
    free(sample->bytes);
    sample->bytes = NULL;
}

bool conn_open(struct load_conn *conn, const struct load_work *work, struct gen_error *err)
{
    *conn = (struct load_conn){ .in_size = 0 };
    return stream_open(&conn->stream, work->options->port, work->options->ca_file, err) &&
           request_init(&conn->request, work, err);
}

void conn_close(struct load_conn *conn)
{
    stream_close(&conn->stream);
    request_fini(&conn->request);
}

/* --- sending --- */

bool conn_waits_to_send(const struct load_conn *conn)
{
    return conn->sent < conn->request.head_size + conn->request.body_size;
}

static size_t conn_pieces(struct load_conn *conn, struct iovec piece[2])
{
    struct load_request *request = &conn->request;
    size_t count = 0, into_body = 0;

    if (conn->sent < request->head_size)
        piece[count++] = (struct iovec){ request->head + conn->sent, request->head_size - conn->sent };
    else
        into_body = conn->sent - request->head_size;
    if (request->body_size > into_body)
        piece[count++] = (struct iovec){ request->body + into_body, request->body_size - into_body };
    return count;
}

static enum conn_result conn_send(struct load_conn *conn, struct gen_error *err)
{
    while (conn_waits_to_send(conn)) {
        struct iovec piece[2];
        ssize_t size = stream_send(&conn->stream, piece, conn_pieces(conn, piece));

        if (size < 0 && errno == EAGAIN)
            break;
        if (size < 0 && errno != EINTR) {
            gen_fail(err, "sending: %s", strerror(errno));
            return CONN_FAILED;
        }
        conn->sent += size > 0 ? (size_t)size : 0;
    }
    return CONN_WAIT;
}

enum conn_result conn_start(struct load_conn *conn, struct load_work *work,
                            struct load_sample *sample, uint64_t now_ns, struct gen_error *err)
{
    if (!work_next(work, &conn->request, err))
        return CONN_FAILED;
    if (!work->options->put && sample->owner == NULL &&
        work_random(work, work->options->check_one_in) == 0) {
        sample->owner = conn;
        sample->size = 0;
    }
    conn->sent = 0;
    conn->in_size = 0;
    conn->in_body = false;
    conn->started_ns = now_ns;
    return conn_send(conn, err);
}

/* --- receiving --- */

/* What came after the head in the same read. */
static bool conn_take_rest(struct load_conn *conn, struct load_sample *sample, struct gen_error *err)
{
    size_t rest = conn->in_size - conn->answer.size;

    if (rest > conn->answer.length)
        return gen_fail(err, "more bytes than Content-Length says");
    conn->body_left = conn->answer.length - rest;
    if (sample->owner == conn) {
        memcpy(sample->bytes, conn->in + conn->answer.size, rest);
        sample->size = rest;
    }
    return true;
}

/* Add what the server said, without what a terminal may not show. */
static bool conn_show(const struct load_conn *conn, struct gen_error *err)
{
    struct gen_error inner = *err;
    char shown[SHOWN_SIZE + 1];
    size_t size = conn->in_size < SHOWN_SIZE ? conn->in_size : SHOWN_SIZE;

    for (size_t i = 0; i < size; i++)
        shown[i] = isprint((unsigned char)conn->in[i]) ? conn->in[i] : ' ';
    shown[size] = '\0';
    return gen_fail(err, "%.100s; the answer: %s", inner.text, shown);
}

static bool conn_take_head(struct load_conn *conn, struct load_sample *sample, struct gen_error *err)
{
    enum answer_result result = answer_head_parse(conn->in, conn->in_size, &conn->answer);

    if (result == ANSWER_MORE && conn->in_size < CONN_IN_SIZE)
        return true;
    conn->in_body = true;
    if (result != ANSWER_OK)
        return gen_fail(err, "not the head of an HTTP/1.1 answer, or longer than %d bytes", CONN_IN_SIZE) ||
               conn_show(conn, err);
    if (!check_head(&conn->request, &conn->answer, err))
        return conn_show(conn, err);
    if (conn_waits_to_send(conn))
        return gen_fail(err, "answered before the body was sent") || conn_show(conn, err);
    return conn_take_rest(conn, sample, err);
}

static enum conn_result conn_finish(struct load_conn *conn, struct load_sample *sample,
                                    struct gen_error *err)
{
    if (sample->owner != conn)
        return CONN_DONE;
    sample->owner = NULL;
    sample->checked++;
    if (check_bytes(&conn->request, conn->in, conn->answer.size, sample->bytes, sample->size, err))
        return CONN_DONE;
    conn->in_size = conn->answer.size;
    conn_show(conn, err);
    return CONN_FAILED;
}

/* Where the next bytes go, and how many of them. */
static size_t conn_room(struct load_conn *conn, struct load_sample *sample, uint8_t **to)
{
    if (!conn->in_body) {
        *to = (uint8_t *)conn->in + conn->in_size;
        return CONN_IN_SIZE - conn->in_size;
    }
    if (sample->owner == conn) {
        *to = sample->bytes + sample->size;
        return (size_t)conn->body_left;
    }
    *to = unread;
    return conn->body_left < UNREAD_SIZE_MAX ? (size_t)conn->body_left : UNREAD_SIZE_MAX;
}

static bool conn_take(struct load_conn *conn, struct load_sample *sample, size_t size,
                      struct gen_error *err)
{
    if (!conn->in_body) {
        conn->in_size += size;
        return conn_take_head(conn, sample, err);
    }
    if (sample->owner == conn)
        sample->size += size;
    conn->body_left -= size;
    return true;
}

static enum conn_result conn_receive(struct load_conn *conn, struct load_sample *sample,
                                     struct gen_error *err)
{
    for (;;) {
        uint8_t *to;
        size_t room = conn_room(conn, sample, &to);
        ssize_t size = stream_receive(&conn->stream, to, room);

        if (size < 0 && (errno == EAGAIN || errno == EINTR))
            return CONN_WAIT;
        if (size <= 0) {
            gen_fail(err, "%s", size == 0 ? "the server closed the connection" : strerror(errno));
            return CONN_FAILED;
        }
        if (!conn_take(conn, sample, (size_t)size, err))
            return CONN_FAILED;
        if (conn->in_body && conn->body_left == 0)
            return conn_finish(conn, sample, err);
        /* Less than there was room for: the socket is empty, and asking it again would cost a call. */
        if ((size_t)size < room && !stream_holds_back(&conn->stream))
            return CONN_WAIT;
    }
}

enum conn_result conn_on_event(struct load_conn *conn, uint32_t events, struct load_sample *sample,
                               struct gen_error *err)
{
    if ((events & EPOLLOUT) != 0 && conn_send(conn, err) == CONN_FAILED)
        return CONN_FAILED;
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
        return conn_receive(conn, sample, err);
    return CONN_WAIT;
}
