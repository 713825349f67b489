/* catalog_rewrite.c: documents of a run into events, batch by batch. */
#include "indexer/catalog/catalog_rewrite.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static enum status rewrite_grow(struct rewrite *rewrite)
{
    size_t size = rewrite->size == 0 ? REWRITE_BATCH_MAX : 2 * rewrite->size;
    struct field_event *grown = realloc(rewrite->events, size * sizeof *grown);

    if (grown == NULL)
        return error_set(rewrite->err, STATUS_NO_MEMORY, "a batch of changes");
    rewrite->events = grown;
    rewrite->size = size;
    return STATUS_OK;
}

struct field_event *rewrite_add(struct rewrite *rewrite, const struct field_document *document,
                                enum field_event_kind kind)
{
    assert(kind != FIELD_ADD && strlen(rewrite->node) <= NODE_ID_SIZE_MAX);
    if (rewrite->count == rewrite->size && rewrite_grow(rewrite) != STATUS_OK)
        return NULL;
    struct field_event *event = &rewrite->events[rewrite->count++];
    *event = (struct field_event){ .kind = kind, .id = document->id, .run = document->run };
    memcpy(event->node, rewrite->node, strlen(rewrite->node) + 1);
    return event;
}

const struct field_event *rewrite_events(const struct rewrite *rewrite,
                                         const struct field_document *document, size_t *count)
{
    size_t first = rewrite->count;

    while (first > 0 && rewrite->events[first - 1].id.size == document->id.size &&
           memcmp(rewrite->events[first - 1].id.bytes, document->id.bytes, document->id.size) == 0)
        first--;
    *count = rewrite->count - first;
    return rewrite->events + first;
}

static bool rewrite_on_document(void *data, const struct field_document *document)
{
    struct rewrite *rewrite = data;
    size_t before = rewrite->count;

    rewrite->status = rewrite->each(rewrite, document);
    if (rewrite->status != STATUS_OK)
        return false;
    rewrite->touched += rewrite->count > before;
    record_id_set(&rewrite->last, document->id.bytes, document->id.size);
    return rewrite->count < REWRITE_BATCH_MAX;
}

static enum status rewrite_batch(struct catalog *catalog, struct rewrite *rewrite,
                                 const struct record_range *range)
{
    rewrite->count = rewrite->touched = 0;
    rewrite->status = STATUS_OK;
    enum status status = catalog_scan_range(catalog, range, rewrite_on_document, rewrite, rewrite->err);
    if (status == STATUS_OK)
        status = rewrite->status;
    if (status == STATUS_OK)
        status = catalog_apply(catalog, rewrite->events, rewrite->count, rewrite->err);
    if (status == STATUS_OK)
        rewrite->documents += rewrite->touched;
    return status;
}

enum status catalog_rewrite(struct catalog *catalog, struct rewrite *rewrite)
{
    struct record_range range;
    enum status status;

    record_range_run(&range, rewrite->run, GRIB_IDENTITY_SIZE);
    range.node = rewrite->node;
    range.file = rewrite->file;
    do {
        status = rewrite_batch(catalog, rewrite, &range);
        range.from = rewrite->last;
        range.behind = true;
    } while (status == STATUS_OK && rewrite->count >= REWRITE_BATCH_MAX);
    free(rewrite->events);
    rewrite->events = NULL;
    return status;
}
