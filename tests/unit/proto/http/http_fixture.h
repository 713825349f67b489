/* http_fixture.h: a server on a loop and raw clients on loopback, all in the test's one thread.
 *
 * Whenever a client waits, the loop runs: on events, never on time. A wait that lasts longer
 * than FIXTURE_PATIENCE_MS fails the test. */
#ifndef TESTS_UNIT_HTTP_FIXTURE_H
#define TESTS_UNIT_HTTP_FIXTURE_H

#include "proto/http/http_server.h"

#include <poll.h>

enum { FIXTURE_PATIENCE_MS = 60000 };

struct fixture {
    uv_loop_t loop;
    struct http_server *server;
    bool drained;
    void *user; /* http_context() is the fixture */
};

void fixture_start(struct fixture *fixture, const struct http_route *routes,
                   const struct http_limits *limits);
void fixture_start_with(struct fixture *fixture, struct http_server_options options);
void fixture_stop(struct fixture *fixture); /* drains; nothing may be left on the loop */
void fixture_on_drained(struct http_server *server, void *data); /* for http_server_drain(): data is the fixture */
void fixture_turn(struct fixture *fixture, int fd, short events); /* until the loop or fd has something to do */

int client_connect(struct fixture *fixture); /* these two */
int client_socket(void);
void client_connect_to(struct fixture *fixture, int fd);
void client_send(struct fixture *fixture, int fd, const void *data, size_t size);
void client_text(struct fixture *fixture, int fd, const char *text);

/* One answer, taken apart. */
struct answer {
    int status;
    char *head; /* as text, with its empty line */
    uint8_t *body;
    size_t size;
};

/* Reads one answer (also 100); without_body: to a HEAD. Free with answer_free(). */
struct answer client_answer(struct fixture *fixture, int fd, bool without_body);
void answer_free(struct answer *answer);
const char *answer_header(const struct answer *answer, const char *name, char *value, size_t size); /* NULL: none */
bool client_closed(struct fixture *fixture, int fd); /* waits: true at the server's end, false if bytes come */

/* Sends text on a new connection and takes the first answer; closes. */
struct answer client_once(struct fixture *fixture, const char *text);

#endif
