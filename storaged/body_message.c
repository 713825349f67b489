/* body_message.c: decides where a message's bytes go, and takes them there. */
#include "storaged/body_message.h"

#include "storaged/store/disk.h"
#include "storaged/store/store.h"

#include <assert.h>
#include <stdlib.h>

void body_message_init(struct body_message *message, struct body_budget *budget, enum body_class class)
{
    *message = (struct body_message){ .budget = budget, .class = class, .fd = -1 };
}

static void message_give(struct body_message *message)
{
    uint64_t reserved = message->reserved;

    free(message->data);
    message->data = NULL;
    message->data_size = message->data_used = 0;
    message->reserved = 0;
    if (reserved > 0)
        body_budget_give(message->budget, message->class, reserved);
}

void body_message_fini(struct body_message *message)
{
    if (message->fd >= 0)
        store_spool_close(message->store, message->fd);
    message->fd = -1;
    message_give(message);
}

void body_message_give_chunk(struct body_message *message)
{
    assert(message->in_file && message->data_used == 0);
    message_give(message);
}

static void message_keep_prefix(struct body_message *message, struct slice bytes)
{
    if (message->size >= sizeof message->prefix)
        return;
    size_t room = sizeof message->prefix - (size_t)message->size;
    memcpy(message->prefix + message->size, bytes.data, bytes.size < room ? bytes.size : room);
}

bool body_message_plan(struct body_message *message, uint64_t frame_size, struct slice bytes)
{
    uint64_t largest = body_budget_max(message->budget, message->class);

    assert(!message->planned);
    if (frame_size == 0 && message->size + bytes.size < BODY_HEAD_SIZE) {
        message_keep_prefix(message, bytes);
        message->size += bytes.size;
        return false;
    }
    message->planned = true;
    message->promised = frame_size;
    largest -= BODY_OVERHEAD;
    if (largest > BODY_MEMORY_MAX)
        largest = BODY_MEMORY_MAX;
    message->in_file = frame_size == 0 || frame_size > largest;
    message->data_size = message->in_file ? BODY_CHUNK_SIZE : (size_t)frame_size;
    return true;
}

uint64_t body_message_needs(const struct body_message *message)
{
    return message->data_size + BODY_OVERHEAD;
}

enum status body_message_room(struct body_message *message, struct store *store, struct error *err)
{
    message->reserved = body_message_needs(message);
    message->data = malloc(message->data_size);
    if (message->data == NULL)
        return error_set(err, STATUS_NO_MEMORY, "%zu bytes for a message", message->data_size);
    /* What came before the plan: fewer bytes than the prefix holds. */
    memcpy(message->data, message->prefix, (size_t)message->size);
    message->data_used = (size_t)message->size;
    message->store = store;
    return STATUS_OK;
}

/* With its first chunk. */
static enum status message_open_file(struct body_message *message, struct error *err)
{
    int fd;

    /* It is there twice until it is stored. */
    enum status status = store_check_room(message->store, 2 * message->promised, err);
    if (status == STATUS_OK)
        status = store_spool_open(message->store, &fd, err);
    if (status == STATUS_OK)
        message->fd = fd;
    return status;
}

size_t body_message_take(struct body_message *message, struct slice bytes)
{
    size_t room = message->data_size - message->data_used;

    if (bytes.size > room)
        bytes.size = room;
    message_keep_prefix(message, bytes);
    memcpy(message->data + message->data_used, bytes.data, bytes.size);
    message->data_used += bytes.size;
    message->size += bytes.size;
    return bytes.size;
}

enum status body_message_write(struct body_message *message, struct error *err)
{
    enum status status = store_check_room(message->store, message->data_used, err);

    if (status == STATUS_OK && message->fd < 0)
        status = message_open_file(message, err);
    if (status == STATUS_OK)
        status = disk_write(message->fd, message->file_size, message->data, message->data_used, err);
    if (status != STATUS_OK)
        return status;
    message->file_size += message->data_used;
    message->data_used = 0;
    return STATUS_OK;
}

enum status body_message_read(const struct body_message *message, uint64_t offset, void *data,
                              size_t size, bool may_block, struct error *err)
{
    assert(offset <= message->size && size <= message->size - offset);
    if (message->in_file)
        return disk_read(message->fd, offset, data, size, may_block, err);
    memcpy(data, message->data + offset, size);
    return STATUS_OK;
}
