/* catalog_quarantine.c: messages that don't decode: why, by which release, and where they lie. */
#include "indexer/catalog/catalog_ops.h"
#include "proto/base/json_read.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void quarantine_entry_fini(struct quarantine_entry *entry)
{
    free(entry->locations);
    entry->locations = NULL;
    entry->locations_count = 0;
}

static json_t *entry_to_doc(const struct quarantine_entry *entry)
{
    char digest[DIGEST_TEXT_SIZE], base_time[BASE_TIME_TEXT_SIZE];

    digest_print(&entry->digest, digest);
    base_time_print_rfc3339(entry->run.base_time, base_time);
    return json_pack("{s:s, s:s, s:I, s:s, s:I, s:I, s:s, s:s, s:o}", "source", entry->run.source,
                     "base_time", base_time, "incarnation", (json_int_t)entry->incarnation,
                     "digest", digest, "length", (json_int_t)entry->length, "stored_at",
                     (json_int_t)entry->stored_at_us, "reason", entry->reason, "eccodes", entry->eccodes,
                     "locations", field_locations_to_json(entry->locations, entry->locations_count));
}

static enum status entry_from_doc(const struct record *record, struct quarantine_entry *entry,
                                  struct error *err)
{
    const json_t *doc = record->doc;
    const char *source, *base_time, *digest, *reason, *eccodes;
    enum status status = json_get_string(doc, "source", &source, err);

    *entry = (struct quarantine_entry){ .length = 0 };
    if (status == STATUS_OK)
        status = json_get_string(doc, "base_time", &base_time, err);
    if (status == STATUS_OK)
        status = run_key_parse(slice_text(source), slice_text(base_time), &entry->run, err);
    if (status == STATUS_OK)
        status = json_get_string(doc, "digest", &digest, err);
    if (status == STATUS_OK && !digest_parse(slice_text(digest), &entry->digest))
        status = error_set(err, STATUS_CORRUPT, "digest: not 64 hex digits");
    if (status == STATUS_OK)
        status = json_get_u64(doc, "incarnation", INT64_MAX, &entry->incarnation, err);
    if (status == STATUS_OK)
        status = json_get_u64(doc, "length", INT64_MAX, &entry->length, err);
    if (status == STATUS_OK)
        status = json_get_u64(doc, "stored_at", INT64_MAX, &entry->stored_at_us, err);
    if (status == STATUS_OK)
        status = json_get_string(doc, "reason", &reason, err);
    if (status == STATUS_OK)
        status = json_get_string(doc, "eccodes", &eccodes, err);
    if (status == STATUS_OK)
        status = field_locations_from_json(doc, &entry->locations, &entry->locations_count, err);
    if (status != STATUS_OK) {
        quarantine_entry_fini(entry);
        return error_wrap(err, "entry");
    }
    strncat(entry->reason, reason, sizeof entry->reason - 1);
    strncat(entry->eccodes, eccodes, sizeof entry->eccodes - 1);
    return STATUS_OK;
}

/* --- put --- */

/* What is stored, with what the entry adds: its locations, the greatest stamp, the newer reason. As in field_merge.c the higher
 * incarnation wins. */
static enum status entry_merge(struct quarantine_entry *stored, const struct quarantine_entry *entry,
                               bool *changed, struct error *err)
{
    *changed = false;
    if (entry->incarnation < stored->incarnation)
        return STATUS_OK;
    if (entry->incarnation > stored->incarnation) {
        quarantine_entry_fini(stored);
        stored->incarnation = entry->incarnation;
        stored->stored_at_us = 0;
        *changed = true;
    }
    if (entry->stored_at_us > stored->stored_at_us) {
        stored->stored_at_us = entry->stored_at_us;
        *changed = true;
    }
    if (strcmp(stored->reason, entry->reason) != 0 || strcmp(stored->eccodes, entry->eccodes) != 0) {
        memcpy(stored->reason, entry->reason, sizeof stored->reason);
        memcpy(stored->eccodes, entry->eccodes, sizeof stored->eccodes);
        *changed = true;
    }
    for (unsigned i = 0; i < entry->locations_count; i++) {
        enum status status = field_location_add(&stored->locations, &stored->locations_count,
                                                &entry->locations[i], changed, err);
        if (status == STATUS_TOO_LARGE)
            return STATUS_OK; /* it has enough, as a field has (catalog_apply.c) */
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status entry_check(const struct quarantine_entry *entry, struct error *err)
{
    if (entry->incarnation > INT64_MAX || entry->length > INT64_MAX || entry->stored_at_us > INT64_MAX)
        return error_set(err, STATUS_BAD_VALUE, "a stamp, length or incarnation past 63 bits");
    if (memchr(entry->reason, '\0', sizeof entry->reason) == NULL ||
        memchr(entry->eccodes, '\0', sizeof entry->eccodes) == NULL)
        return error_set(err, STATUS_BAD_VALUE, "a reason without an end");
    return STATUS_OK;
}

static enum status put_once(struct catalog *catalog, const struct record_id *id,
                            const struct quarantine_entry *entry, struct error *err)
{
    struct quarantine_entry merged = *entry;
    struct record found;
    bool changed = true;
    enum status status = record_read(catalog, CATALOG_QUARANTINE, id, &found, err);

    merged.locations = NULL;
    merged.locations_count = 0;
    if (status == STATUS_OK && found.doc != NULL) {
        status = entry_from_doc(&found, &merged, err);
        json_decref(found.doc);
    }
    if (status == STATUS_OK)
        status = entry_merge(&merged, entry, &changed, err);
    if (status == STATUS_OK && changed) {
        json_t *doc = entry_to_doc(&merged);
        status = doc == NULL ? error_set(err, STATUS_BAD_VALUE, "a reason that is not UTF-8")
                             : record_write_one(catalog, CATALOG_QUARANTINE, id, found.rev, doc, err);
    }
    quarantine_entry_fini(&merged);
    return status;
}

enum status catalog_quarantine_put(struct catalog *catalog, const struct quarantine_entry *entry,
                                   struct error *err)
{
    struct record_id id;
    enum status status = entry_check(entry, err);

    if (status != STATUS_OK || entry->locations_count == 0)
        return status;
    record_id_quarantine(&id, &entry->run, &entry->digest);
    status = STATUS_CONFLICT;
    for (int round = 0; status == STATUS_CONFLICT && round < CATALOG_ROUNDS_MAX; round++)
        status = put_once(catalog, &id, entry, err);
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "quarantine");
}

/* --- remove --- */

enum status catalog_quarantine_remove(struct catalog *catalog, const struct run_key *run,
                                      const struct digest *digest, struct error *err)
{
    struct record_id id;
    enum status status = STATUS_CONFLICT;

    record_id_quarantine(&id, run, digest);
    for (int round = 0; status == STATUS_CONFLICT && round < CATALOG_ROUNDS_MAX; round++) {
        struct record found;
        status = record_read(catalog, CATALOG_QUARANTINE, &id, &found, err);
        if (status != STATUS_OK || found.doc == NULL)
            break;
        json_decref(found.doc);
        status = record_write_one(catalog, CATALOG_QUARANTINE, &id, found.rev, NULL, err);
    }
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "quarantine");
}

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
    status = entry_from_doc(&found, &entry, err);
    json_decref(found.doc);
    if (status != STATUS_OK)
        return status;
    for (unsigned i = 0; i < entry.locations_count; i++)
        if (!catalog_location_goes(&entry.locations[i], node, file, keep_only))
            entry.locations[kept++] = entry.locations[i];
    if (kept != entry.locations_count) {
        entry.locations_count = kept;
        status = record_write_one(catalog, CATALOG_QUARANTINE, id, found.rev,
                                  kept == 0 ? NULL : entry_to_doc(&entry), err);
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
    status = entry_from_doc(&found, &entry, err);
    json_decref(found.doc);
    if (status != STATUS_OK)
        return status;
    if (field_locations_move(entry.locations, entry.locations_count, &entry.run, node, base_url)) {
        status = record_write_one(catalog, CATALOG_QUARANTINE, id, found.rev, entry_to_doc(&entry), err);
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

/* --- scan --- */

struct entry_reading {
    bool (*each)(void *data, const struct quarantine_entry *entry);
    void *data;
    enum status status;
    struct error *err;
};

static bool entry_reading_on_record(void *data, const struct record *record)
{
    struct entry_reading *reading = data;
    struct quarantine_entry entry;

    reading->status = entry_from_doc(record, &entry, reading->err);
    if (reading->status != STATUS_OK)
        return false;
    bool more = reading->each(reading->data, &entry);
    quarantine_entry_fini(&entry);
    return more;
}

enum status catalog_quarantine_scan(struct catalog *catalog, const struct run_key *run,
                                    bool (*each)(void *data, const struct quarantine_entry *entry),
                                    void *data, struct error *err)
{
    struct entry_reading reading = { .each = each, .data = data, .err = err };
    struct record_range range = { .whole = true };

    if (run != NULL)
        record_range_run(&range, run, DIGEST_SIZE);
    enum status status = catalog->ops->scan(catalog, CATALOG_QUARANTINE, &range,
                                            entry_reading_on_record, &reading, err);
    if (status == STATUS_OK)
        status = reading.status;
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "quarantine");
}
