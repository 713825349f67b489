/* fake_server.h: a server whose answers are the test's: one request a connection, one thread, loopback. */
#ifndef TESTS_CLIENT_FAKE_SERVER_H
#define TESTS_CLIENT_FAKE_SERVER_H

#include "proto/base/buf.h"

#include <pthread.h>
#include <stdbool.h>

enum { FAKE_BODY_MAX = 32 << 20 };

struct fake_request {
    char method[16], target[512];
    bool has_range;
    uint64_t range_first, range_last;
    struct buf body;
};

struct fake_reply {
    int status;      /* [200]; 0: close without an answer */
    struct buf body; /* JSON, or bytes */
};

struct fake_server {
    int listener;
    pthread_t thread;
    char url[64];
    /* Called on the server's thread, one request at a time. */
    void (*answer)(void *user, const struct fake_request *request, struct fake_reply *reply);
    void *user;
};

void fake_server_start(struct fake_server *server,
                       void (*answer)(void *, const struct fake_request *, struct fake_reply *),
                       void *user);
void fake_server_stop(struct fake_server *server);

#endif
