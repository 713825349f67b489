/* load_stream.h: the bytes of a connection: a socket's, or TLS 1.3 over it.
 *
 * One cipher, AES-128-GCM, so that two servers that are compared do the same work, and TLS 1.3 only. */
#ifndef BENCH_LOAD_STREAM_H
#define BENCH_LOAD_STREAM_H

#include "gribgen_error.h"

#include <sys/types.h>
#include <sys/uio.h>

struct ssl_st;

struct load_stream {
    int fd;
    struct ssl_st *ssl; /* owned; NULL: plain */
};

/* Connect to 127.0.0.1, and shake hands when ca_file is not NULL; not blocking from then on. False with err;
 * stream_close() is safe all the same. */
bool stream_open(struct load_stream *stream, unsigned port, const char *ca_file, struct gen_error *err);
void stream_close(struct load_stream *stream);

/* As sendmsg() and recv() with errno: bytes, or -1 with EAGAIN, or what is wrong. */
ssize_t stream_send(struct load_stream *stream, const struct iovec *pieces, size_t count);
ssize_t stream_receive(struct load_stream *stream, void *data, size_t size);

/* May more be there when a receive got less than it had room for? */
bool stream_holds_back(const struct load_stream *stream);

#endif
