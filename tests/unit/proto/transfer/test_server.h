/* test_server.h: a small HTTP server on a loopback port, one thread a connection, for what clients meet: answers good and
 * bad, silence, cut connections. Its targets are the table in test_server.c. */
#ifndef TEST_SERVER_H
#define TEST_SERVER_H

#include <pthread.h>
#include <stdatomic.h>

enum { TEST_SERVER_CONNECTIONS_MAX = 256, TEST_SERVER_ODD_COUNT = 7 };

struct test_server {
    int listener;
    pthread_t thread;
    char url[64]; /* "http://127.0.0.1:PORT" */
    atomic_uint connections;
    atomic_uint open; /* connections now */
    atomic_uint open_most;
    pthread_t threads[TEST_SERVER_CONNECTIONS_MAX];
};

void test_server_start(struct test_server *server);
void test_server_stop(struct test_server *server); /* waits for its connections: the client has to be gone */

#endif
