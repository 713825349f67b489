/* catalog_quarantine.c: messages that don't decode: why, by which decoder, and where they lie. */
#include "indexer/catalog/catalog_quarantine.h"

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

json_t *quarantine_entry_to_doc(const struct quarantine_entry *entry)
{
    char digest[DIGEST_TEXT_SIZE], base_time[BASE_TIME_TEXT_SIZE];

    digest_print(&entry->digest, digest);
    base_time_print_rfc3339(entry->run.base_time, base_time);
    return json_pack("{s:s, s:s, s:I, s:s, s:I, s:I, s:s, s:s, s:I, s:o}", "source", entry->run.source,
                     "base_time", base_time, "incarnation", (json_int_t)entry->incarnation,
                     "digest", digest, "length", (json_int_t)entry->length, "stored_at",
                     (json_int_t)entry->stored_at_us, "reason", entry->reason, "eccodes",
                     entry->eccodes, "decoder", (json_int_t)entry->form, "locations",
                     field_locations_to_json(entry->locations, entry->locations_count));
}

enum status quarantine_entry_of(const struct record *record, struct quarantine_entry *entry,
                                struct error *err)
{
    const json_t *doc = record->doc;
    const char *source, *base_time, *digest, *reason, *eccodes;
    uint64_t form = 0;
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
        status = json_opt_u64(doc, "decoder", UINT32_MAX, 0, &form, err);
    if (status == STATUS_OK)
        status = field_locations_from_json(doc, &entry->locations, &entry->locations_count, err);
    if (status != STATUS_OK) {
        quarantine_entry_fini(entry);
        return error_wrap(err, "entry");
    }
    entry->form = (unsigned)form;
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
    if (strcmp(stored->reason, entry->reason) != 0 ||
        strcmp(stored->eccodes, entry->eccodes) != 0 || stored->form != entry->form) {
        stored->form = entry->form;
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

/* A message of the batch, with all that the batch says of it. */
struct entry_put {
    struct record_id id;
    const struct quarantine_entry *entry;
    size_t place; /* in the batch: the later one has the newer reason */
    struct quarantine_entry merged;
    uint64_t rev; /* as it was read; 0: not there */
    bool changed, done;
};

struct entry_batch {
    struct entry_put *puts; /* owned; ordered by id, then as they came */
    size_t count;
    enum status status;
    struct error *err;
};

static int entry_put_order(const void *a, const void *b)
{
    const struct entry_put *left = a, *right = b;
    int order = record_id_compare(&left->id, &right->id);

    return order != 0 ? order : (left->place > right->place) - (left->place < right->place);
}

static int entry_put_find(const void *id, const void *put)
{
    return record_id_compare(id, &((const struct entry_put *)put)->id);
}

/* The first of those with this id. */
static struct entry_put *entry_batch_find(struct entry_batch *batch, const struct record_id *id)
{
    struct entry_put *put = bsearch(id, batch->puts, batch->count, sizeof *put, entry_put_find);

    while (put != NULL && put > batch->puts && record_id_compare(&put[-1].id, id) == 0)
        put--;
    return put;
}

static bool entry_batch_on_record(void *data, const struct record *record)
{
    struct entry_batch *batch = data;
    struct entry_put *put = entry_batch_find(batch, &record->id);

    if (put == NULL)
        return true;
    put->rev = record->rev;
    quarantine_entry_fini(&put->merged);
    batch->status = quarantine_entry_of(record, &put->merged, batch->err);
    return batch->status == STATUS_OK;
}

static bool entry_put_is_first(const struct entry_batch *batch, size_t i)
{
    return i == 0 || record_id_compare(&batch->puts[i - 1].id, &batch->puts[i].id) != 0;
}

/* What is stored of those that are not done, as it is now. */
static enum status entry_batch_read(struct catalog *catalog, struct entry_batch *batch, struct error *err)
{
    struct record_id *ids = malloc((batch->count + 1) * sizeof *ids);
    size_t count = 0;

    if (ids == NULL)
        return error_set(err, STATUS_NO_MEMORY, "a list of entries");
    for (size_t i = 0; i < batch->count; i++) {
        struct entry_put *put = &batch->puts[i];
        if (put->done || !entry_put_is_first(batch, i))
            continue;
        quarantine_entry_fini(&put->merged);
        put->merged = *put->entry;
        put->merged.locations = NULL;
        put->merged.locations_count = 0;
        put->rev = 0;
        ids[count++] = put->id;
    }
    batch->status = STATUS_OK;
    enum status status = count == 0 ? STATUS_OK
                                    : catalog->ops->read(catalog, CATALOG_QUARANTINE, ids, count,
                                                         entry_batch_on_record, batch, err);
    free(ids);
    return status == STATUS_OK ? batch->status : status;
}

/* All that the batch says of a message goes into its first; the others are done with that. */
static enum status entry_batch_merge(struct entry_batch *batch, struct error *err)
{
    struct entry_put *first = batch->puts;
    enum status status = STATUS_OK;

    for (size_t i = 0; i < batch->count && status == STATUS_OK; i++) {
        struct entry_put *put = &batch->puts[i];
        bool changed;
        if (entry_put_is_first(batch, i))
            first = put;
        if (first->done)
            continue;
        if (put == first)
            put->changed = put->rev == 0;
        status = entry_merge(&first->merged, put->entry, &changed, err);
        first->changed = first->changed || changed;
    }
    return status;
}

static enum status entry_batch_make(struct entry_batch *batch, struct record_write *writes,
                                    size_t *count, struct error *err)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct entry_put *put = &batch->puts[i];
        if (put->done || !entry_put_is_first(batch, i) || !put->changed)
            continue;
        struct record_write *write = &writes[*count];
        *write = (struct record_write){
            .id = put->id,
            .rev_was = put->rev,
            .rev = put->rev == 0 ? record_rev_new() : put->rev + 1,
            .doc = quarantine_entry_to_doc(&put->merged),
        };
        if (write->doc == NULL)
            return error_set(err, STATUS_BAD_VALUE, "a reason that is not UTF-8");
        ++*count;
    }
    return STATUS_OK;
}

/* *lost: another change of some came first. */
static enum status entry_batch_write(struct catalog *catalog, struct entry_batch *batch, bool *lost,
                                     struct error *err)
{
    struct record_write *writes = calloc(batch->count + 1, sizeof *writes);
    size_t count = 0;

    *lost = false;
    if (writes == NULL)
        return error_set(err, STATUS_NO_MEMORY, "a batch of entries");
    enum status status = entry_batch_make(batch, writes, &count, err);
    if (status == STATUS_OK && count > 0)
        status = catalog->ops->write(catalog, CATALOG_QUARANTINE, writes, count, err);
    for (size_t i = 0; i < batch->count; i++)
        batch->puts[i].done = true;
    for (size_t i = 0; i < count; i++) {
        if (writes[i].lost) {
            entry_batch_find(batch, &writes[i].id)->done = false;
            *lost = true;
        }
        json_decref(writes[i].doc);
    }
    free(writes);
    return status;
}

static enum status entry_batch_fill(struct entry_batch *batch, const struct quarantine_entry *entries,
                                    size_t count, struct error *err)
{
    enum status status = STATUS_OK;

    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        status = entry_check(&entries[i], err);
        if (status != STATUS_OK || entries[i].locations_count == 0)
            continue;
        struct entry_put *put = &batch->puts[batch->count++];
        *put = (struct entry_put){ .entry = &entries[i], .place = i };
        record_id_quarantine(&put->id, &entries[i].run, &entries[i].digest);
    }
    qsort(batch->puts, batch->count, sizeof *batch->puts, entry_put_order);
    return status;
}

static enum status put_chunk(struct catalog *catalog, const struct quarantine_entry *entries,
                             size_t count, struct error *err)
{
    struct entry_batch batch = { .puts = calloc(count + 1, sizeof *batch.puts), .err = err };
    bool lost = true;

    if (batch.puts == NULL)
        return error_set(err, STATUS_NO_MEMORY, "a batch of entries");
    enum status status = entry_batch_fill(&batch, entries, count, err);
    for (int round = 0; status == STATUS_OK && lost && round < CATALOG_ROUNDS_MAX; round++) {
        status = entry_batch_read(catalog, &batch, err);
        if (status == STATUS_OK)
            status = entry_batch_merge(&batch, err);
        if (status == STATUS_OK)
            status = entry_batch_write(catalog, &batch, &lost, err);
    }
    if (status == STATUS_OK && lost)
        status = error_set(err, STATUS_CONFLICT, "other changes came first, again and again");
    for (size_t i = 0; i < batch.count; i++)
        quarantine_entry_fini(&batch.puts[i].merged);
    free(batch.puts);
    return status;
}

enum status catalog_quarantine_put_all(struct catalog *catalog, const struct quarantine_entry *entries,
                                       size_t count, struct error *err)
{
    struct error own;
    enum status status = STATUS_OK;

    if (err == NULL)
        err = &own;
    for (size_t at = 0; at < count && status == STATUS_OK; at += CATALOG_CHUNK_MAX) {
        size_t left = count - at;
        status = put_chunk(catalog, entries + at,
                           left < CATALOG_CHUNK_MAX ? left : CATALOG_CHUNK_MAX, err);
    }
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "quarantine");
}

enum status catalog_quarantine_put(struct catalog *catalog, const struct quarantine_entry *entry,
                                   struct error *err)
{
    return catalog_quarantine_put_all(catalog, entry, 1, err);
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

    reading->status = quarantine_entry_of(record, &entry, reading->err);
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

enum status catalog_quarantine_scan_behind(struct catalog *catalog, const struct quarantine_entry *last,
                                           bool (*each)(void *data, const struct quarantine_entry *entry),
                                           void *data, struct error *err)
{
    struct entry_reading reading = { .each = each, .data = data, .err = err };
    struct record_range range = { .whole = last->run.source[0] == '\0', .behind = true };

    record_id_quarantine(&range.from, &last->run, &last->digest);
    memset(range.to.bytes, 0xff, sizeof range.to.bytes);
    range.to.size = sizeof range.to.bytes;
    enum status status = catalog->ops->scan(catalog, CATALOG_QUARANTINE, &range,
                                            entry_reading_on_record, &reading, err);
    if (status == STATUS_OK)
        status = reading.status;
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "quarantine");
}
