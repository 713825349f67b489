/* https_wire.h: the tests of plain sockets once more, over TLS, with not a line of them changed.
 *
 * Included before a test (https_*.c), it puts itself in the place of the calls below: servers that are started get a
 * certificate, and each client's socket a TLS client, which shakes hands when it first sends or receives. */
#ifndef TESTS_UNIT_HTTPS_WIRE_H
#define TESTS_UNIT_HTTPS_WIRE_H

#include "proto/http/http_server.h"

#include <sys/socket.h>
#include <unistd.h>

int wire_connect(int fd, const struct sockaddr *address, socklen_t size);
ssize_t wire_send(int fd, const void *data, size_t size, int flags);
ssize_t wire_recv(int fd, void *data, size_t size, int flags);
int wire_shutdown(int fd, int how); /* says so (close_notify) first */
int wire_close(int fd);             /* says nothing */
enum status wire_server_start(const struct http_server_options *options,
                              struct http_server **server, struct error *err);

/* How the server's side of fd has ended: with close_notify? */
bool wire_ended_clean(int fd);
struct tls *wire_tls(void); /* what servers show; made with the first */
void wire_show(uint8_t fingerprint[32]); /* clients from here on show a certificate, which has this; NULL: none */
void wire_remove(void);     /* at the very end */
int plain_main(void);       /* the test of plain sockets */

#endif
