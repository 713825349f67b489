/* quarantine_heads.c: a source of bytes that are asked of a node, a window at a time. */
#include "indexer/quarantine_heads.h"

#include "proto/grib_head.h"

#include <inttypes.h>
#include <stdio.h>

enum { WINDOW_SIZE = 64 << 10, WINDOW_SIZE_MAX = 2 << 20, READ_TIMEOUT_MS = 10000 };

struct ranged {
    struct grib_source source;
    struct transfer *transfer;
    const struct field_location *location;
    uint64_t at; /* of the window, in the message */
    struct buf window;
};

static bool ranged_has(const struct ranged *ranged, uint64_t offset, size_t size)
{
    return offset >= ranged->at && offset - ranged->at <= ranged->window.size &&
           size <= ranged->window.size - (offset - ranged->at);
}

static enum status ranged_fetch(struct ranged *ranged, uint64_t offset, size_t size, struct error *err)
{
    uint64_t left = ranged->source.size - offset, first = ranged->location->offset + offset;
    size_t wanted = size > WINDOW_SIZE ? size : WINDOW_SIZE;
    struct transfer_request request;
    char range[64];

    if (wanted > left)
        wanted = (size_t)left;
    snprintf(range, sizeof range, "bytes=%" PRIu64 "-%" PRIu64, first, first + wanted - 1);
    transfer_request_init(&request);
    request.method = "GET";
    request.url = ranged->location->url;
    request.headers[0] = (struct transfer_header){ "Range", range };
    request.timeout_ms = READ_TIMEOUT_MS;
    request.answer_max = wanted;
    enum status status = transfer_perform(ranged->transfer, &request, err);
    if (status == STATUS_OK && (request.http_status != 206 || request.answer.size != wanted))
        status = error_set(err, STATUS_UNREACHABLE, "%s: an answer of %d with %zu bytes in place of %zu",
                           request.url, request.http_status, request.answer.size, wanted);
    if (status == STATUS_OK) {
        ranged->at = offset;
        buf_clear(&ranged->window);
        buf_append(&ranged->window, request.answer.data, request.answer.size);
        status = buf_status(&ranged->window);
    }
    transfer_request_fini(&request);
    return status;
}

static enum status ranged_read(struct grib_source *source, uint64_t offset, void *data, size_t size,
                               struct error *err)
{
    struct ranged *ranged = container_of(source, struct ranged, source);

    if (offset > source->size || size > source->size - offset || size > WINDOW_SIZE_MAX)
        return error_set(err, STATUS_BAD_GRIB, "a section passes the end of the message");
    if (!ranged_has(ranged, offset, size)) {
        enum status status = ranged_fetch(ranged, offset, size, err);
        if (status != STATUS_OK)
            return status;
    }
    memcpy(data, ranged->window.data + (offset - ranged->at), size);
    return STATUS_OK;
}

enum status quarantine_heads(struct transfer *transfer, const struct field_location *location,
                             struct buf *heads, struct error *err)
{
    struct ranged ranged = {
        .source = { .size = location->length, .read = ranged_read },
        .transfer = transfer,
        .location = location,
    };

    buf_init(&ranged.window, WINDOW_SIZE_MAX);
    enum status status = grib_heads(&ranged.source, heads, err);
    buf_fini(&ranged.window);
    return status;
}
