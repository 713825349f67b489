/* catalog_remove.c: a node's locations out of a run, and runs out of the catalog. */
#include "indexer/catalog/catalog_rewrite.h"

#include <assert.h>
#include <string.h>

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

struct removal {
    struct rewrite rewrite;
    const char *file;
    const char *const *keep_only;
    size_t *kept; /* NULL, or: the last place of an issue stays, and these are counted */
};

static bool removal_has(const struct rewrite *rewrite, const struct field_document *document,
                        const char *file)
{
    size_t count;
    const struct field_event *events = rewrite_events(rewrite, document, &count);

    for (size_t i = 0; i < count; i++)
        if (strcmp(events[i].file, file) == 0)
            return true;
    return false;
}

/* Does all of it lie where it has to go? */
static bool removal_spares(const struct removal *removal, const struct field_issue *issue)
{
    for (unsigned i = 0; i < issue->locations_count; i++)
        if (!catalog_location_goes(&issue->locations[i], removal->rewrite.node, removal->file, NULL))
            return false;
    return true;
}

/* An event for each file of the node that has to go. */
static enum status removal_each(struct rewrite *rewrite, const struct field_document *document)
{
    const struct removal *removal = container_of(rewrite, struct removal, rewrite);

    for (unsigned i = 0; i < document->issues_count; i++) {
        const struct field_issue *issue = &document->issues[i];
        if (removal->kept != NULL && removal_spares(removal, issue)) {
            ++*removal->kept;
            continue;
        }
        for (unsigned j = 0; j < issue->locations_count; j++) {
            const struct field_location *location = &issue->locations[j];
            if (!catalog_location_goes(location, rewrite->node, removal->file, removal->keep_only) ||
                removal_has(rewrite, document, location->file))
                continue;
            struct field_event *event = rewrite_add(rewrite, document, FIELD_REMOVE);
            if (event == NULL)
                return STATUS_NO_MEMORY;
            memcpy(event->file, location->file, sizeof event->file);
            event->spare_last = removal->kept != NULL; /* of the others that it has, and as they are by then */
        }
    }
    return STATUS_OK;
}

enum status catalog_remove_locations(struct catalog *catalog, const struct run_key *run,
                                     const char *node, const char *file,
                                     const char *const *keep_only, struct error *err)
{
    struct error own;
    struct removal removal = {
        .rewrite = { .run = run, .node = node, .file = file, .each = removal_each, .err = err != NULL ? err : &own },
        .file = file,
        .keep_only = keep_only,
    };

    assert(file == NULL || keep_only == NULL);
    err = removal.rewrite.err;
    enum status status = catalog_rewrite(catalog, &removal.rewrite);
    if (status == STATUS_OK)
        status = catalog_quarantine_remove_locations(catalog, run, node, file, keep_only, NULL, err);
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "removing what %s held", node);
}

enum status catalog_forget_node(struct catalog *catalog, const struct run_key *run,
                                const char *node, const char *file, size_t *kept, struct error *err)
{
    struct removal removal = {
        .rewrite = { .run = run, .node = node, .file = file, .each = removal_each, .err = err },
        .file = file,
        .kept = kept,
    };

    *kept = 0;
    enum status status = catalog_rewrite(catalog, &removal.rewrite);
    if (status == STATUS_OK)
        status = catalog_quarantine_remove_locations(catalog, run, node, file, NULL, kept, err);
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "forgetting what %s held", node);
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
