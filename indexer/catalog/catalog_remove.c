/* catalog_remove.c: a node's locations out of a run, and runs out of the catalog; in batches, so that others get their turn. */
#include "indexer/catalog/catalog_ops.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { REMOVE_BATCH_MAX = 1000 };

bool catalog_location_goes(const struct field_location *location, const char *node,
                           const char *file, const char *const *keep_only)
{
    if (strcmp(location->node, node) != 0 || (file != NULL && strcmp(location->file, file) != 0))
        return false;
    for (; keep_only != NULL && *keep_only != NULL; keep_only++)
        if (strcmp(location->file, *keep_only) == 0)
            return false;
    return true;
}

/* Documents that have such locations, gathered until a batch is full. */
struct removal {
    const char *node, *file;
    const char *const *keep_only;
    struct field_event *events;
    size_t count, size;
    struct record_id last; /* where the scan stopped */
    enum status status;
    struct error *err;
};

static bool removal_has(const struct removal *removal, const struct field_id *id, const char *file)
{
    for (size_t i = removal->count; i-- > 0;) {
        const struct field_event *event = &removal->events[i];
        if (event->id.size != id->size || memcmp(event->id.bytes, id->bytes, id->size) != 0)
            return false; /* events of one document lie together, at the end */
        if (strcmp(event->file, file) == 0)
            return true;
    }
    return false;
}

static enum status removal_add(struct removal *removal, const struct field_id *id,
                               const struct run_key *run, const struct field_location *location)
{
    if (removal_has(removal, id, location->file))
        return STATUS_OK;
    if (removal->count == removal->size) {
        size_t size = removal->size == 0 ? REMOVE_BATCH_MAX : 2 * removal->size;
        struct field_event *grown = realloc(removal->events, size * sizeof *grown);
        if (grown == NULL)
            return error_set(removal->err, STATUS_NO_MEMORY, "a batch of removals");
        removal->events = grown;
        removal->size = size;
    }
    struct field_event *event = &removal->events[removal->count++];
    *event = (struct field_event){ .kind = FIELD_REMOVE, .id = *id, .run = *run };
    memcpy(event->node, location->node, sizeof event->node);
    memcpy(event->file, location->file, sizeof event->file);
    return STATUS_OK;
}

static bool removal_on_document(void *data, const struct field_document *document)
{
    struct removal *removal = data;

    for (unsigned i = 0; i < document->issues_count; i++) {
        const struct field_issue *issue = &document->issues[i];
        for (unsigned j = 0; j < issue->locations_count; j++) {
            const struct field_location *location = &issue->locations[j];
            if (!catalog_location_goes(location, removal->node, removal->file, removal->keep_only))
                continue;
            removal->status = removal_add(removal, &document->id, &document->run, location);
            if (removal->status != STATUS_OK)
                return false;
        }
    }
    record_id_set(&removal->last, document->id.bytes, document->id.size);
    return removal->count < REMOVE_BATCH_MAX;
}

static enum status remove_from_fields(struct catalog *catalog, const struct run_key *run,
                                      struct removal *removal)
{
    struct record_range range;
    enum status status;

    record_range_run(&range, run, GRIB_IDENTITY_SIZE);
    range.node = removal->node;
    range.file = removal->file;
    do {
        removal->count = 0;
        removal->status = STATUS_OK;
        status = catalog_scan_range(catalog, &range, removal_on_document, removal, removal->err);
        if (status == STATUS_OK)
            status = removal->status;
        if (status == STATUS_OK)
            status = catalog_apply(catalog, removal->events, removal->count, removal->err);
        range.from = removal->last;
        range.behind = true;
    } while (status == STATUS_OK && removal->count >= REMOVE_BATCH_MAX);
    return status;
}

enum status catalog_remove_locations(struct catalog *catalog, const struct run_key *run,
                                     const char *node, const char *file,
                                     const char *const *keep_only, struct error *err)
{
    struct error own;
    struct removal removal = {
        .node = node, .file = file, .keep_only = keep_only, .err = err != NULL ? err : &own
    };

    assert(file == NULL || keep_only == NULL);
    /* Quarantine first: catalog_quarantine_resolve.c. */
    enum status status = catalog_quarantine_remove_locations(catalog, run, node, file, keep_only, removal.err);
    if (status == STATUS_OK)
        status = remove_from_fields(catalog, run, &removal);
    free(removal.events);
    return status == STATUS_OK ? STATUS_OK : error_wrap(removal.err, "removing what %s held", node);
}

enum status catalog_remove_run(struct catalog *catalog, const struct run_key *run,
                               uint64_t incarnation, size_t limit, size_t *removed, struct error *err)
{
    struct record_range range;
    size_t more = 0;

    if (incarnation > INT64_MAX)
        incarnation = INT64_MAX;
    record_range_run(&range, run, GRIB_IDENTITY_SIZE);
    enum status status = catalog->ops->remove(catalog, CATALOG_FIELDS, &range, incarnation, limit,
                                              removed, err);
    if (status == STATUS_OK && *removed < limit) {
        record_range_run(&range, run, DIGEST_SIZE);
        status = catalog->ops->remove(catalog, CATALOG_QUARANTINE, &range, incarnation,
                                      limit - *removed, &more, err);
        *removed += more;
    }
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "removing run of %s", run->source);
}
