/* batch.c: many ranges of a file in one request. */
#include "client/batch.h"

#include "proto/base/clock.h"
#include "proto/grib_frame.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH_STALL_MS = 10000 };

struct batch *batch_new(struct gs_session *session, const char *url)
{
    struct batch *batch = calloc(1, sizeof *batch);

    if (batch == NULL)
        return NULL;
    batch->session = session;
    snprintf(batch->url, sizeof batch->url, "%s", url);
    list_init(&batch->list);
    buf_init(&batch->range, BATCH_RANGE_TEXT_MAX + 64);
    buf_init(&batch->part, GRIB_MESSAGE_SIZE_MAX);
    transfer_request_init(&batch->request);
    return batch;
}

static const struct fetch_location *location_in(const struct fetch *fetch, const char *url)
{
    for (unsigned i = 0; i < fetch->locations_count; i++)
        if (strcmp(fetch->locations[i].url, url) == 0)
            return &fetch->locations[i];
    return NULL;
}

/* Whoever it did not serve goes on alone. */
static void batch_let_go(struct batch *batch)
{
    for (unsigned i = 0; i < batch->count; i++)
        if (batch->items[i].fetch != NULL)
            batch->items[i].fetch->batched = false;
    batch->count = 0;
    batch->done = true;
}

void batch_free(struct batch *batch)
{
    batch_let_go(batch);
    while (batch->request.transfer != NULL) {
        transfer_cancel(&batch->request);
        transfer_run(batch->session->transfer, 0);
    }
    transfer_request_fini(&batch->request);
    buf_fini(&batch->range);
    buf_fini(&batch->part);
    free(batch->items);
    free(batch);
}

bool batch_add(struct batch *batch, struct fetch *fetch)
{
    const struct fetch_location *location = location_in(fetch, batch->url);

    if (location == NULL || batch->count == BATCH_RANGES_MAX ||
        (batch->count > 0 && batch->size + location->length > BATCH_SIZE_MAX))
        return false;
    if (batch->count == batch->room) {
        unsigned room = batch->room > 0 ? 2 * batch->room : 16;
        struct batch_item *grown = realloc(batch->items, room * sizeof *grown);
        if (grown == NULL)
            return false;
        batch->items = grown;
        batch->room = room;
    }
    batch->items[batch->count++] = (struct batch_item){ fetch, location->offset, location->length };
    batch->size += location->length;
    fetch->batched = true;
    return true;
}

static int item_compare(const void *left, const void *right)
{
    uint64_t a = ((const struct batch_item *)left)->offset;
    uint64_t b = ((const struct batch_item *)right)->offset;

    return (a > b) - (a < b);
}

/* --- the answer --- */

static struct batch_item *item_at(const struct batch *batch, uint64_t offset, uint64_t end)
{
    unsigned low = 0, high = batch->count;

    while (low < high) {
        unsigned middle = (low + high) / 2;
        struct batch_item *item = &batch->items[middle];
        if (item->offset == offset)
            return item->offset + item->length == end ? item : NULL;
        if (item->offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static int batch_on_bytes(struct multipart *multipart, uint64_t offset, uint64_t end, struct slice bytes)
{
    struct batch *batch = multipart->user;

    if (offset == multipart->first) {
        buf_clear(&batch->part);
        batch->current = item_at(batch, offset, end);
        if (batch->current == NULL || batch->current->fetch == NULL)
            return -1; /* a range that nobody asked for, or had already */
    }
    buf_append(&batch->part, bytes.data, bytes.size);
    if (offset + bytes.size < end)
        return buf_status(&batch->part) == STATUS_OK ? 0 : -1;
    if (buf_status(&batch->part) != STATUS_OK)
        return -1;
    struct fetch *fetch = batch->current->fetch;
    batch->current->fetch = NULL;
    fetch->batched = false;
    fetch_offer(fetch, &batch->part, batch->url);
    return 0;
}

static int batch_on_data(struct transfer_request *request, struct slice data)
{
    struct batch *batch = container_of(request, struct batch, request);

    if (batch->done || request->http_status != 206)
        return -1;
    if (!batch->multipart_begun &&
        !multipart_init(&batch->multipart, transfer_answer_header(request, "Content-Type"),
                        batch_on_bytes, batch))
        return -1;
    batch->multipart_begun = true;
    return multipart_feed(&batch->multipart, data) == STATUS_OK ? 0 : -1;
}

static void batch_on_done(struct transfer_request *request, enum status status, const struct error *unused)
{
    struct batch *batch = container_of(request, struct batch, request);

    (void)unused;
    if (batch->node != NULL && status != STATUS_CANCELLED) {
        if (status == STATUS_TIMEOUT)
            node_stalled(batch->node, clock_monotonic_ms());
        else if (request->http_status == 0)
            node_failed(batch->node, clock_monotonic_ms());
        else
            node_answered(batch->node);
    }
    batch_let_go(batch);
    session_wake(batch->session);
}

/* --- the request --- */

/* As many as the line holds; the others go on alone. */
static void batch_print(struct batch *batch)
{
    unsigned kept = 0;

    qsort(batch->items, batch->count, sizeof *batch->items, item_compare);
    buf_text(&batch->range, "bytes=");
    for (unsigned i = 0; i < batch->count; i++) {
        struct batch_item item = batch->items[i];
        /* Two of one place would overlap, and the server may answer otherwise then. */
        bool overlaps = kept > 0 &&
                        item.offset < batch->items[kept - 1].offset + batch->items[kept - 1].length;
        if (overlaps || batch->range.size + 44 > BATCH_RANGE_TEXT_MAX) {
            item.fetch->batched = false;
            continue;
        }
        buf_format(&batch->range, "%s%" PRIu64 "-%" PRIu64, kept > 0 ? "," : "", item.offset,
                   item.offset + item.length - 1);
        batch->items[kept++] = item;
    }
    batch->count = kept;
}

void batch_start(struct batch *batch)
{
    struct error err;

    if (batch->count < 2) { /* one is fetched as well alone */
        batch_let_go(batch);
        return;
    }
    batch->node = fetch_node_of(batch->session, batch->url);
    if (batch->node != NULL && node_is_away(batch->node, clock_monotonic_ms())) {
        batch_let_go(batch); /* found out since it was put together: each finds another copy */
        return;
    }
    batch_print(batch);
    batch->request.method = "GET";
    batch->request.url = batch->url;
    batch->request.stall_timeout_ms = BATCH_STALL_MS;
    batch->request.on_data = batch_on_data;
    batch->request.on_done = batch_on_done;
    batch->request.headers[0] = (struct transfer_header){ "Range", buf_string(&batch->range) };
    if (session_sign(batch->session, &batch->request, &err) == STATUS_OK)
        transfer_start(batch->session->transfer, &batch->request);
    else
        batch_let_go(batch); /* alone it says what is wrong */
}

void batches_step(struct list *batches, unsigned parallel)
{
    unsigned active = 0;

    for (struct list *item = batches->next, *next; item != batches; item = next) {
        struct batch *batch = container_of(item, struct batch, list);

        next = item->next;
        if (!batch->done && batch->request.transfer == NULL && active < parallel)
            batch_start(batch);
        if (batch->done && batch->request.transfer == NULL) {
            list_remove(&batch->list);
            batch_free(batch);
        } else {
            active += batch->request.transfer != NULL;
        }
    }
}
