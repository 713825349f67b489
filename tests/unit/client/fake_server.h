/* fake_server.h: a server whose answers are the test's: one request a connection, one thread, loopback. */
#ifndef TESTS_CLIENT_FAKE_SERVER_H
#define TESTS_CLIENT_FAKE_SERVER_H

#include "proto/base/buf.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

enum { FAKE_BODY_MAX = 32 << 20, FAKE_LATER = -1, FAKE_KEPT_MAX = 32 };

struct fake_request {
    char method[16], target[512];
    bool has_range;
    uint64_t range_first, range_last;
    struct buf body;
};

struct fake_reply {
    /* [200]; 0: close without an answer; FAKE_LATER: none now, the test is asked again after each other request */
    int status;
    struct buf body; /* JSON, or bytes */
};

/* A connection, and what was asked there. */
struct fake_exchange {
    FILE *in; /* owned */
    struct fake_request request;
};

struct fake_server {
    int listener;
    struct fake_exchange kept[FAKE_KEPT_MAX]; /* that are answered later, or never */
    unsigned kept_count;
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
