/* copy_body.c: from messages to a transfer's buffer, with one chunk of a file between. */
#include "storaged/peers/copy_body.h"

#include "storaged/node_loop.h"

#include "proto/transfer/transfer.h"

#include <assert.h>
#include <stdlib.h>

void copy_body_init(struct copy_body *body, struct node_loop *loop, const struct list *members,
                    void (*on_ready)(struct copy_body *body))
{
    *body = (struct copy_body){ .loop = loop, .members = members, .on_ready = on_ready };
}

void copy_body_fini(struct copy_body *body)
{
    assert(!body->reading);
    free(body->chunk);
    body->chunk = NULL;
}

static const struct copy *copy_body_next(const struct copy_body *body, const struct copy *copy)
{
    const struct list *next = copy == NULL ? body->members->next : copy->list.next;

    return next == body->members ? NULL : container_of(next, struct copy, list);
}

void copy_body_rewind(struct copy_body *body)
{
    body->at = copy_body_next(body, NULL);
    body->at_offset = 0;
}

/* --- on the pool --- */

static void copy_body_work(struct work *work)
{
    struct copy_body *body = container_of(work, struct copy_body, work);

    body->chunk_status = body_message_read(body->chunk_message, body->chunk_offset, body->chunk,
                                           body->chunk_size, true, NULL);
}

static void copy_body_work_done(struct work *work)
{
    struct copy_body *body = container_of(work, struct copy_body, work);

    body->reading = false;
    body->on_ready(body); /* body may be gone */
}

static void copy_body_start_chunk(struct copy_body *body)
{
    uint64_t left = body->at->message->size - body->at_offset;

    if (body->chunk == NULL) {
        body->chunk = malloc(COPY_CHUNK_SIZE);
        if (body->chunk == NULL)
            abort();
    }
    body->chunk_message = body->at->message;
    body->chunk_offset = body->at_offset;
    body->chunk_size = left < COPY_CHUNK_SIZE ? (size_t)left : COPY_CHUNK_SIZE;
    body->reading = true;
    work_start_own(&body->work, body->loop, copy_body_work, copy_body_work_done);
}

/* --- on the loop --- */

/* How many of the next bytes the chunk has, and where; 0: none. */
static size_t copy_body_in_chunk(const struct copy_body *body, const uint8_t **bytes)
{
    if (body->reading || body->chunk_message != body->at->message ||
        body->at_offset < body->chunk_offset || body->at_offset - body->chunk_offset >= body->chunk_size)
        return 0;
    size_t skip = (size_t)(body->at_offset - body->chunk_offset);
    *bytes = body->chunk + skip;
    return body->chunk_size - skip;
}

/* Some of the next bytes, at most size: OK, with *part how many; MORE: they are not in memory; or a failure. */
static enum status copy_body_part(struct copy_body *body, uint8_t *data, size_t size, size_t *part)
{
    uint64_t left = body->at->message->size - body->at_offset;
    const uint8_t *bytes;
    size_t in_chunk = copy_body_in_chunk(body, &bytes);

    *part = left < size ? (size_t)left : size;
    if (in_chunk == 0)
        return body_message_read(body->at->message, body->at_offset, data, *part, false, NULL);
    if (body->chunk_status != STATUS_OK)
        return body->chunk_status;
    if (in_chunk < *part)
        *part = in_chunk;
    memcpy(data, bytes, *part);
    return STATUS_OK;
}

int64_t copy_body_read(struct copy_body *body, uint8_t *data, size_t size)
{
    size_t filled = 0;

    while (filled < size && body->at != NULL) {
        size_t part;
        enum status status = copy_body_part(body, data + filled, size - filled, &part);

        if (status == STATUS_MORE && filled > 0)
            break;
        if (status == STATUS_MORE && !body->reading) /* one of before a rewind: it will call, too */
            copy_body_start_chunk(body);
        if (status == STATUS_MORE)
            return TRANSFER_BODY_LATER;
        if (status != STATUS_OK)
            return -1;
        filled += part;
        body->at_offset += part;
        if (body->at_offset == body->at->message->size) {
            body->at = copy_body_next(body, body->at);
            body->at_offset = 0;
        }
    }
    return (int64_t)filled;
}
