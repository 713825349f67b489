/* damaged_list.h: which copies were lately found not to have their digest, so that they are not tried first again.
 *
 * A message that is streamed is known to be damaged only when its last byte has been read: the client is cut, and asks
 * again, before whoever holds the copy has marked it bad. One list a loop; the oldest makes room for the newest, and none
 * is believed for longer than DAMAGED_TIME_MS. */
#ifndef STORAGED_DAMAGED_LIST_H
#define STORAGED_DAMAGED_LIST_H

#include "proto/digest.h"

enum { DAMAGED_COUNT = 64, DAMAGED_TIME_MS = 60000 };

struct damaged_copy {
    struct digest digest;
    const void *where; /* compared, not followed */
    uint64_t copy;     /* which of those that lay there */
    uint64_t until_ms; /* 0: none */
};

/* All zero: empty. */
struct damaged_list {
    struct damaged_copy copies[DAMAGED_COUNT];
    unsigned next;
};

/* where: the peer that has the copy; NULL: this node. copy: its record here, so that one stored anew is not meant. */
void damaged_list_add(struct damaged_list *list, const struct digest *digest, const void *where,
                      uint64_t copy, uint64_t now_ms);
bool damaged_list_has(const struct damaged_list *list, const struct digest *digest,
                      const void *where, uint64_t copy, uint64_t now_ms);

#endif
