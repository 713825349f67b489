/* body_message.h: the bytes of one message while its body arrives: in memory, or in an unnamed file of the store.
 *
 * A message whose head gives a length up to BODY_MEMORY_MAX lies in memory that was reserved before; a larger one, or one
 * whose length shows only later (edition 1 with bit 23), goes through a chunk of memory into an unnamed file. */
#ifndef STORAGED_BODY_MESSAGE_H
#define STORAGED_BODY_MESSAGE_H

#include "storaged/body_budget.h"

#include "proto/grib_head.h"

enum {
    BODY_MEMORY_MAX = 16 << 20,  /* a larger message goes to a file */
    BODY_CHUNK_SIZE = 256 << 10, /* of memory in front of that file */
    BODY_HEAD_SIZE = 16,         /* bytes after which the length is known, or will take a walk */
    BODY_OVERHEAD = 4 << 10,     /* that a message on its way costs besides its bytes */
};

struct store;

struct body_message {
    struct body_budget *budget; /* borrowed */
    enum body_class class;
    uint64_t reserved;
    uint8_t *data; /* owned: the message, or the chunk in front of the file */
    size_t data_size;
    size_t data_used;
    int fd; /* owned; -1: all is in memory */
    uint64_t file_size;
    uint64_t promised;   /* bytes in all by its head; 0: it does not say */
    struct store *store; /* borrowed: of the file */
    uint64_t size;       /* bytes so far, in memory, chunk and file */
    uint8_t prefix[GRIB_BASE_TIME_PREFIX];
    bool planned, in_file;
};

void body_message_init(struct body_message *message, struct body_budget *budget, enum body_class class);
void body_message_fini(struct body_message *message); /* gives everything back; safe twice */

/* Bytes were seen and the frame says so much of its size (0: not yet). false: too early to plan, the bytes are kept.
 * true: body_message_needs() holds, and body_message_room() is the next call. */
bool body_message_plan(struct body_message *message, uint64_t frame_size, struct slice bytes);
uint64_t body_message_needs(const struct body_message *message);

/* What it needs has been reserved: takes the memory. NO_MEMORY. */
enum status body_message_room(struct body_message *message, struct store *store, struct error *err);

/* Takes bytes; less than all of them when the chunk is full: body_message_write(), then the rest. */
size_t body_message_take(struct body_message *message, struct slice bytes);

/* The chunk goes to the file, which is made for the first. FULL: the disk's reserve would be touched by the file, or by the
 * message's place behind it; IO. [blocking] */
enum status body_message_write(struct body_message *message, struct error *err);

/* The chunk's memory, when all is in the file. */
void body_message_give_chunk(struct body_message *message);

/* Some of its bytes, for who sends it on: from memory, or read from the file. MORE: that would wait for the disk, and
 * may_block is false. */
enum status body_message_read(const struct body_message *message, uint64_t offset, void *data,
                              size_t size, bool may_block, struct error *err);

#endif
