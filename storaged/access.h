/* access.h: who may do what on this node, and as whom it speaks to others: the token file, the node's own token and the
 * sources file, opened at the start and read again on SIGHUP. */
#ifndef STORAGED_ACCESS_H
#define STORAGED_ACCESS_H

#include "storaged/settings.h"
#include "storaged/sources.h"

#include "proto/http/http_auth.h"
#include "proto/transfer/transfer_secret.h"

struct access {
    struct http_auth *auth;         /* owned; NULL: everything is open */
    struct transfer_secret *secret; /* owned; NULL: none is shown */
    struct sources *sources;        /* owned; NULL: no rules */
};

/* BAD_VALUE with what is wrong with which file. [blocking] */
enum status access_open(struct access *access, const struct settings *settings, struct error *err);
/* Each file by itself: one that is wrong leaves its old contents in force, and the log says why. [blocking] */
void access_reload(struct access *access);
void access_close(struct access *access); /* behind servers and transfers; safe on one that was not opened */

#endif
