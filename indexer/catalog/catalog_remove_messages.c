/* catalog_remove_messages.c: what a node held of certain messages of a run, out of the catalog in one reading of the run. */
#include "indexer/catalog/catalog_ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    REMOVE_BATCH_MAX = 1000
}; /* events gathered before they are applied; those of one document more */

struct removal {
    const char *node;
    const struct run_key *run;
    struct digest *digests; /* owned; sorted */
    size_t digests_count;
    struct field_event *events; /* owned */
    size_t count, size;
    struct record_id last; /* where the scan stopped */
    enum status status;
    struct error *err;
};

static int removal_order(const void *a, const void *b)
{
    return digest_compare(a, b);
}

static enum status removal_add(struct removal *removal, const struct field_id *id,
                               const struct digest *digest)
{
    if (removal->count == removal->size) {
        size_t size = removal->size == 0 ? REMOVE_BATCH_MAX : 2 * removal->size;
        struct field_event *grown = realloc(removal->events, size * sizeof *grown);
        if (grown == NULL)
            return error_set(removal->err, STATUS_NO_MEMORY, "a batch of removals");
        removal->events = grown;
        removal->size = size;
    }
    struct field_event *event = &removal->events[removal->count++];
    *event = (struct field_event){
        .kind = FIELD_REMOVE, .id = *id, .run = *removal->run, .has_digest = true, .digest = *digest
    };
    snprintf(event->node, sizeof event->node, "%s", removal->node);
    return STATUS_OK;
}

static bool removal_on_document(void *data, const struct field_document *document)
{
    struct removal *removal = data;

    for (unsigned i = 0; i < document->issues_count && removal->status == STATUS_OK; i++) {
        const struct digest *digest = &document->issues[i].digest;
        if (bsearch(digest, removal->digests, removal->digests_count, sizeof *digest, removal_order) != NULL)
            removal->status = removal_add(removal, &document->id, digest);
    }
    record_id_set(&removal->last, document->id.bytes, document->id.size);
    return removal->status == STATUS_OK && removal->count < REMOVE_BATCH_MAX;
}

static enum status remove_from_fields(struct catalog *catalog, struct removal *removal)
{
    struct record_range range;
    enum status status;

    record_range_run(&range, removal->run, GRIB_IDENTITY_SIZE);
    range.node = removal->node;
    do {
        removal->count = 0;
        status = catalog_scan_range(catalog, &range, removal_on_document, removal, removal->err);
        if (status == STATUS_OK)
            status = removal->status;
        if (status == STATUS_OK && removal->count > 0)
            status = catalog_apply(catalog, removal->events, removal->count, removal->err);
        range.from = removal->last; /* goes on behind: what was read is not read again */
        range.behind = true;
    } while (status == STATUS_OK && removal->count >= REMOVE_BATCH_MAX);
    return status;
}

enum status catalog_remove_messages(struct catalog *catalog, const struct run_key *run, const char *node,
                                    const struct digest *digests, size_t count, struct error *err)
{
    struct error own;
    struct removal removal = {
        .node = node,
        .run = run,
        .digests = malloc(count * sizeof *digests + 1),
        .digests_count = count,
        .err = err != NULL ? err : &own,
    };
    enum status status = STATUS_OK;

    if (removal.digests == NULL)
        return error_set(removal.err, STATUS_NO_MEMORY, "a list of messages");
    memcpy(removal.digests, digests, count * sizeof *digests);
    qsort(removal.digests, count, sizeof *digests, removal_order);
    /* Quarantine first: catalog_quarantine_resolve.c. */
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        status = catalog_quarantine_remove_node(catalog, run, &digests[i], node, removal.err);
    if (status == STATUS_OK)
        status = remove_from_fields(catalog, &removal);
    free(removal.events);
    free(removal.digests);
    return status == STATUS_OK ? STATUS_OK
                               : error_wrap(removal.err, "removing messages that %s held", node);
}
