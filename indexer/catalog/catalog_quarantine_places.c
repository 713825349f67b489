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

/* What becomes of an entry's places. */
struct places_change {
    bool (*apply)(struct places_change *change, struct quarantine_entry *entry); /* true: something changed */
    const char *node, *file, *base_url;
    const char *const *keep_only;
    size_t changed; /* entries that were written */
    size_t *kept;   /* NULL, or: the last place of an entry stays, and these are counted */
};

static bool places_strip(struct places_change *change, struct quarantine_entry *entry)
{
    unsigned kept = 0, count = entry->locations_count;

    for (unsigned i = 0; i < count; i++)
        if (!catalog_location_goes(&entry->locations[i], change->node, change->file, change->keep_only))
            entry->locations[kept++] = entry->locations[i];
    if (kept == 0 && change->kept != NULL) { /* nothing was overwritten */
        ++*change->kept;
        return false;
    }
    entry->locations_count = kept;
    return kept != count;
}

static bool places_move(struct places_change *change, struct quarantine_entry *entry)
{
    return field_locations_move(entry->locations, entry->locations_count, &entry->run, change->node,
                                change->base_url);
}

/* An entry without a place goes. */
static enum status change_once(struct catalog *catalog, const struct record_id *id,
                               struct places_change *change, struct error *err)
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
    if (change->apply(change, &entry)) {
        status = record_write_one(catalog, CATALOG_QUARANTINE, id, found.rev,
                                  entry.locations_count == 0 ? NULL : quarantine_entry_to_doc(&entry),
                                  err);
        change->changed += status == STATUS_OK;
    }
    quarantine_entry_fini(&entry);
    return status;
}

static enum status change_one(struct catalog *catalog, const struct record_id *id,
                              struct places_change *change, struct error *err)
{
    enum status status = STATUS_CONFLICT;

    for (int round = 0; status == STATUS_CONFLICT && round < CATALOG_ROUNDS_MAX; round++)
        status = change_once(catalog, id, change, err);
    return status;
}

/* Those of a run that name the node, and the file if there is one. */
static enum status change_run(struct catalog *catalog, const struct run_key *run,
                              struct places_change *change, struct error *err)
{
    struct entry_ids list = { .count = 0 };
    struct record_range range;

    record_range_run(&range, run, DIGEST_SIZE);
    range.node = change->node;
    range.file = change->file;
    enum status status = catalog->ops->scan(catalog, CATALOG_QUARANTINE, &range,
                                            entry_ids_on_record, &list, err);
    if (list.failed)
        status = error_set(err, STATUS_NO_MEMORY, "a list of entries");
    for (size_t i = 0; status == STATUS_OK && i < list.count; i++)
        status = change_one(catalog, &list.ids[i], change, err);
    free(list.ids);
    return status;
}

enum status catalog_quarantine_remove_node(struct catalog *catalog, const struct run_key *run,
                                           const struct digest *digest, const char *node,
                                           struct error *err)
{
    struct places_change change = { .apply = places_strip, .node = node };
    struct record_id id;

    record_id_quarantine(&id, run, digest);
    enum status status = change_one(catalog, &id, &change, err);
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "quarantine");
}

enum status catalog_quarantine_remove_locations(struct catalog *catalog, const struct run_key *run,
                                                const char *node, const char *file,
                                                const char *const *keep_only, size_t *kept,
                                                struct error *err)
{
    struct places_change change = {
        .apply = places_strip, .node = node, .file = file, .keep_only = keep_only, .kept = kept
    };

    return change_run(catalog, run, &change, err);
}

enum status catalog_quarantine_move_node(struct catalog *catalog, const struct run_key *run,
                                         const char *node, const char *base_url, size_t *moved,
                                         struct error *err)
{
    struct places_change change = { .apply = places_move, .node = node, .base_url = base_url };
    enum status status = change_run(catalog, run, &change, err);

    *moved += change.changed;
    return status;
}
