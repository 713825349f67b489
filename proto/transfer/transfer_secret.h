/* transfer_secret.h: the token that a process shows in its requests to others: read from a file, again when it changes.
 *
 * One a process, given to its transfers (transfer_options.secret), which add `Authorization: Bearer ...` to every request
 * whose URL keeps secrets. Thread-safe: it is replaced while requests run; each takes what holds when it starts. */
#ifndef PROTO_TRANSFER_SECRET_H
#define PROTO_TRANSFER_SECRET_H

#include "proto/base/buf.h"

#include <stdbool.h>

enum { TRANSFER_TOKEN_MAX = 4096 };

struct transfer_secret;

/* The first line of the file, which has to be closed to others (proto/base/secret_file.h). BAD_VALUE: there is no token in
 * it. [blocking] */
enum status transfer_secret_open(const char *path, struct transfer_secret **secret, struct error *err);
/* The file again; on failure what was read before stays in use. [blocking] */
enum status transfer_secret_reload(struct transfer_secret *secret, struct error *err);
void transfer_secret_close(struct transfer_secret *secret); /* after all transfers; NULL is fine */

/* Appends "Authorization: Bearer ..." when url keeps it. False: nothing is sent with such a request; the first time that is
 * for want of https, the log says so. secret NULL: false. */
bool transfer_secret_header(struct transfer_secret *secret, const char *url, struct buf *line);

/* May a token travel to it? A token in the clear is everybody's: it goes over https, or stays on this machine. */
bool url_keeps_secrets(const char *url);

#endif
