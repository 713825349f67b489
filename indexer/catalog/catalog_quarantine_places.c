/* catalog_quarantine_places.c: where messages in quarantine lie: places that go, and nodes that move. */
#include "indexer/catalog/catalog_quarantine.h"

#include <stdlib.h>
#include <string.h>

/* The ids of a run's entries: there are few, and each is read again when it is changed. */
struct entry_ids {
    struct record_id *ids; /* owned */
    size_t count;
    bool failed;
};

static bool entry_ids_on_record(void *data, const struct record *record)
{
    struct entry_ids *list = data;

    if ((list->count & (list->count - 1)) == 0) { /* grown whenever the count is a power of two */
        struct record_id *grown = realloc(list->ids, (2 * list->count + 1) * sizeof *grown);
        list->failed = grown == NULL;
        if (list->failed)
            return false;
        list->ids = grown;
    }
    list->ids[list->count++] = record->id;
    return true;
}

static enum status strip_once(struct catalog *catalog, const struct record_id *id, const char *node,
                              const char *file, const char *const *keep_only, struct error *err)
{
    struct quarantine_entry entry;
    struct record found;
    unsigned kept = 0;
    enum status status = record_read(catalog, CATALOG_QUARANTINE, id, &found, err);

    if (status != STATUS_OK || found.doc == NULL)
        return status;
    status = quarantine_entry_of(&found, &entry, err);
    json_decref(found.doc);
    if (status != STATUS_OK)
        return status;
    for (unsigned i = 0; i < entry.locations_count; i++)
        if (!catalog_location_goes(&entry.locations[i], node, file, keep_only))
            entry.locations[kept++] = entry.locations[i];
    if (kept != entry.locations_count) {
        entry.locations_count = kept;
        status = record_write_one(catalog, CATALOG_QUARANTINE, id, found.rev,
                                  kept == 0 ? NULL : quarantine_entry_to_doc(&entry), err);
    }
    quarantine_entry_fini(&entry);
    return status;
}

static enum status strip(struct catalog *catalog, const struct record_id *id, const char *node,
                         const char *file, const char *const *keep_only, struct error *err)
{
    enum status status = STATUS_CONFLICT;

    for (int round = 0; status == STATUS_CONFLICT && round < CATALOG_ROUNDS_MAX; round++)
        status = strip_once(catalog, id, node, file, keep_only, err);
    return status;
}

enum status catalog_quarantine_remove_node(struct catalog *catalog, const struct run_key *run,
                                           const struct digest *digest, const char *node,
                                           struct error *err)
{
    struct record_id id;

    record_id_quarantine(&id, run, digest);
    enum status status = strip(catalog, &id, node, NULL, NULL, err);
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "quarantine");
}

enum status catalog_quarantine_remove_locations(struct catalog *catalog, const struct run_key *run,
                                                const char *node, const char *file,
                                                const char *const *keep_only, struct error *err)
{
    struct entry_ids list = { .count = 0 };
    struct record_range range;

    record_range_run(&range, run, DIGEST_SIZE);
    range.node = node;
    range.file = file;
    enum status status = catalog->ops->scan(catalog, CATALOG_QUARANTINE, &range,
                                            entry_ids_on_record, &list, err);
    if (list.failed)
        status = error_set(err, STATUS_NO_MEMORY, "a list of entries");
    for (size_t i = 0; status == STATUS_OK && i < list.count; i++)
        status = strip(catalog, &list.ids[i], node, file, keep_only, err);
    free(list.ids);
    return status;
}

static enum status move_once(struct catalog *catalog, const struct record_id *id, const char *node,
                             const char *base_url, size_t *moved, struct error *err)
{
    struct quarantine_entry entry;
    struct record found;
    enum status status = record_read(catalog, CATALOG_QUARANTINE, id, &found, err);

    if (status != STATUS_OK || found.doc == NULL)
        return status;
    status = quarantine_entry_of(&found, &entry, err);
    json_decref(found.doc);
    if (status != STATUS_OK)
        return status;
    if (field_locations_move(entry.locations, entry.locations_count, &entry.run, node, base_url)) {
        status = record_write_one(catalog, CATALOG_QUARANTINE, id, found.rev,
                                  quarantine_entry_to_doc(&entry), err);
        *moved += status == STATUS_OK;
    }
    quarantine_entry_fini(&entry);
    return status;
}

enum status catalog_quarantine_move_node(struct catalog *catalog, const struct run_key *run,
                                         const char *node, const char *base_url, size_t *moved,
                                         struct error *err)
{
    struct entry_ids list = { .count = 0 };
    struct record_range range;

    record_range_run(&range, run, DIGEST_SIZE);
    range.node = node;
    enum status status = catalog->ops->scan(catalog, CATALOG_QUARANTINE, &range,
                                            entry_ids_on_record, &list, err);
    if (list.failed)
        status = error_set(err, STATUS_NO_MEMORY, "a list of entries");
    for (size_t i = 0; status == STATUS_OK && i < list.count; i++) {
        status = STATUS_CONFLICT;
        for (int round = 0; status == STATUS_CONFLICT && round < CATALOG_ROUNDS_MAX; round++)
            status = move_once(catalog, &list.ids[i], node, base_url, moved, err);
    }
    free(list.ids);
    return status;
}
