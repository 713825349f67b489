/* message_get.h: a message by its content address, from whichever node has it. */
#ifndef STORAGED_MESSAGE_GET_H
#define STORAGED_MESSAGE_GET_H

#include "proto/http/http_exchange.h"

enum {
    MESSAGE_MEMORY_MAX = 1 << 20, /* up to this a message is read whole and proven before a byte leaves */
    MESSAGE_INLINE_MAX = 64 << 10, /* up to this it is read on the loop, where the page cache has it */
    MESSAGE_MEMORY_SHARE = 2, /* of a loop's memory for bodies; messages may have as much on their way out: one part in so many */
};

void message_get_handle(struct http_exchange *ex);

#endif
