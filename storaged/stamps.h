/* stamps.h: the stamps that come with copies: "T", or "T1,T2,...": message i has the i-th, and behind the last they count
 * up by 1. Pure. */
#ifndef STORAGED_STAMPS_H
#define STORAGED_STAMPS_H

#include "proto/base/bytes.h"
#include "proto/base/status.h"

enum { STAMPS_MAX = 1024 };

struct stamps {
    unsigned count;   /* 0: none came */
    uint64_t *values; /* owned */
};

/* BAD_VALUE: not such a list, or a stamp of 0. data NULL: none. */
enum status stamps_parse(struct slice text, struct stamps *stamps, struct error *err);
void stamps_fini(struct stamps *stamps);
uint64_t stamps_get(const struct stamps *stamps, uint64_t message); /* count > 0 */

#endif
