/* catalog_cursor.c: where tailing goes on, a record a node and run. */
#include "indexer/catalog/catalog_ops.h"
#include "proto/base/json_read.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void cursor_id(struct record_id *id, const char *node, const struct run_key *run)
{
    size_t size = strlen(node);

    assert(size > 0 && size <= NODE_ID_SIZE_MAX);
    *id = (struct record_id){ .size = size + 1 };
    memcpy(id->bytes, node, size + 1);
    id->size += run_id_print(run, id->bytes + size + 1);
}

static json_t *cursor_to_doc(const struct catalog_cursor *cursor)
{
    char base_time[BASE_TIME_TEXT_SIZE], journal[17], files[17];

    base_time_print_rfc3339(cursor->run.base_time, base_time);
    snprintf(journal, sizeof journal, "%016" PRIx64, cursor->journal_id);
    snprintf(files, sizeof files, "%016" PRIx64, cursor->files);
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:b, s:s}", "node", cursor->node, "source",
                     cursor->run.source, "base_time", base_time, "journal", journal, "record",
                     (json_int_t)cursor->record, "check", (json_int_t)cursor->check, "complete",
                     (int)cursor->complete, "files", files);
}

static enum status cursor_from_record(const struct record *record, struct catalog_cursor *cursor,
                                      struct error *err)
{
    const json_t *doc = record->doc;
    const char *node, *journal, *files;
    uint8_t id[8], hash[8];
    uint64_t check = 0;

    *cursor = (struct catalog_cursor){ .rev = record->rev };
    enum status status = record_run(doc, &cursor->run, err);

    if (status == STATUS_OK)
        status = json_get_string(doc, "node", &node, err);
    if (status == STATUS_OK && strlen(node) > NODE_ID_SIZE_MAX)
        status = error_set(err, STATUS_CORRUPT, "node: too long");
    if (status == STATUS_OK)
        status = json_get_string(doc, "journal", &journal, err);
    if (status == STATUS_OK && hex_parse(journal, strlen(journal), id, sizeof id) != 0)
        status = error_set(err, STATUS_CORRUPT, "journal: not 16 hex digits");
    if (status == STATUS_OK)
        status = json_get_u64(doc, "record", INT64_MAX, &cursor->record, err);
    if (status == STATUS_OK)
        status = json_get_u64(doc, "check", UINT32_MAX, &check, err);
    if (status == STATUS_OK)
        status = json_opt_string(doc, "files", "0000000000000000", &files, err);
    if (status == STATUS_OK && hex_parse(files, strlen(files), hash, sizeof hash) != 0)
        status = error_set(err, STATUS_CORRUPT, "files: not 16 hex digits");
    if (status != STATUS_OK)
        return error_wrap(err, "cursor");
    cursor->files = get_u64(hash);
    memcpy(cursor->node, node, strlen(node) + 1);
    cursor->journal_id = get_u64(id);
    cursor->check = (uint32_t)check;
    cursor->complete = json_is_true(json_object_get(doc, "complete"));
    return STATUS_OK;
}

/* Of the same meaning; the revision is not looked at. */
static bool cursor_same(const struct catalog_cursor *a, const struct catalog_cursor *b)
{
    return a->journal_id == b->journal_id && a->record == b->record && a->check == b->check &&
           a->complete == b->complete && a->files == b->files;
}

/* The stored one; rev 0: it is not there. */
static enum status cursor_get(struct catalog *catalog, const struct record_id *id,
                              struct catalog_cursor *stored, struct error *err)
{
    struct record found;
    enum status status = record_read(catalog, CATALOG_CURSORS, id, &found, err);

    *stored = (struct catalog_cursor){ .rev = 0 };
    if (status == STATUS_OK && found.doc != NULL)
        status = cursor_from_record(&found, stored, err);
    json_decref(found.doc);
    return status;
}

enum status catalog_cursor_get(struct catalog *catalog, const char *node, const struct run_key *run,
                               struct catalog_cursor *cursor, struct error *err)
{
    struct record_id id;

    cursor_id(&id, node, run);
    return cursor_get(catalog, &id, cursor, err);
}

static enum status cursor_write(struct catalog *catalog, const struct record_id *id,
                                uint64_t rev_was, struct catalog_cursor *cursor, struct error *err)
{
    struct record_write write = { .id = *id,
                                  .rev_was = rev_was,
                                  .rev = rev_was == 0 ? record_rev_new() : rev_was + 1,
                                  .doc = cursor_to_doc(cursor) };

    if (write.doc == NULL)
        return error_set(err, STATUS_NO_MEMORY, "a cursor");
    enum status status = catalog->ops->write(catalog, CATALOG_CURSORS, &write, 1, err);
    json_decref(write.doc);
    if (status == STATUS_OK && write.lost)
        status = error_set(err, STATUS_CONFLICT, "another change came first");
    if (status == STATUS_OK)
        cursor->rev = write.rev;
    return status;
}

enum status catalog_cursor_put(struct catalog *catalog, struct catalog_cursor *cursor,
                               const struct catalog_cursor *was, struct error *err)
{
    struct catalog_cursor stored;
    struct record_id id;

    if (cursor->record > INT64_MAX)
        return error_set(err, STATUS_BAD_VALUE, "cursor: a record number past 63 bits");
    cursor_id(&id, cursor->node, &cursor->run);
    enum status status = cursor_get(catalog, &id, &stored, err);
    if (status == STATUS_OK && stored.rev != 0 && cursor_same(&stored, cursor)) {
        cursor->rev = stored.rev;
        return STATUS_OK;
    }
    if (status == STATUS_OK &&
        (stored.rev != was->rev || (stored.rev != 0 && !cursor_same(&stored, was))))
        status = error_set(err, STATUS_CONFLICT,
                           "it stands at record %" PRIu64 ", not at %" PRIu64
                           ": another indexer, or an older database",
                           stored.record, was->record);
    if (status == STATUS_OK)
        status = cursor_write(catalog, &id, stored.rev, cursor, err);
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "cursor");
}

/* Where reading has to go on when both were believed. */
static struct catalog_cursor cursor_earlier(const struct catalog_cursor *stored,
                                            const struct catalog_cursor *was, bool whole)
{
    struct catalog_cursor to = *was;

    to.complete = false;
    to.files = 0;
    if (whole || stored->rev == 0 || was->rev == 0 || stored->journal_id != was->journal_id) {
        to.record = 0;
        to.check = 0;
    } else if (stored->record <= was->record) {
        to.record = stored->record;
        to.check = stored->check;
    }
    return to;
}

enum status catalog_cursor_check(struct catalog *catalog, const struct catalog_cursor *was,
                                 bool whole, struct error *err)
{
    struct record_id id;
    enum status status = STATUS_CONFLICT;

    cursor_id(&id, was->node, &was->run);
    for (int round = 0; status == STATUS_CONFLICT && round < CATALOG_ROUNDS_MAX; round++) {
        struct catalog_cursor stored;
        status = cursor_get(catalog, &id, &stored, err);
        if (status != STATUS_OK)
            break;
        if (stored.rev == was->rev && (stored.rev == 0 || cursor_same(&stored, was)))
            return STATUS_OK;
        struct catalog_cursor to = cursor_earlier(&stored, was, whole);
        status = cursor_write(catalog, &id, stored.rev, &to, err);
        if (status == STATUS_OK)
            return error_set(
                err, STATUS_CONFLICT,
                "cursor: another indexer was at %s on %s, or the database is an older one: set back to record %" PRIu64,
                was->run.source, was->node, to.record);
    }
    return error_wrap(err, "cursor");
}

struct cursor_reading {
    const char *node;          /* NULL: any */
    const struct run_key *run; /* NULL: any */
    bool (*each)(void *data, const struct catalog_cursor *cursor);
    void *data;
    /* cursor_remove's: what is to go */
    struct record_write *writes;
    size_t count;
    enum status status;
    struct error *err;
};

static bool cursor_wanted(const struct cursor_reading *reading, const struct catalog_cursor *cursor)
{
    return (reading->node == NULL || strcmp(reading->node, cursor->node) == 0) &&
           (reading->run == NULL || run_key_compare(reading->run, &cursor->run) == 0);
}

static bool cursor_on_record(void *data, const struct record *record)
{
    struct cursor_reading *reading = data;
    struct catalog_cursor cursor;

    reading->status = cursor_from_record(record, &cursor, reading->err);
    if (reading->status != STATUS_OK)
        return false;
    return !cursor_wanted(reading, &cursor) || reading->each(reading->data, &cursor);
}

enum status catalog_cursor_scan(struct catalog *catalog, const char *node,
                                bool (*each)(void *data, const struct catalog_cursor *cursor),
                                void *data, struct error *err)
{
    struct cursor_reading reading = { .node = node, .each = each, .data = data, .err = err };
    struct record_range whole = { .whole = true, .node = node };
    enum status status = catalog->ops->scan(catalog, CATALOG_CURSORS, &whole, cursor_on_record,
                                            &reading, err);

    return status == STATUS_OK ? reading.status : status;
}

static bool cursor_gather(void *data, const struct record *record)
{
    struct cursor_reading *reading = data;
    struct catalog_cursor cursor;

    reading->status = cursor_from_record(record, &cursor, reading->err);
    if (reading->status != STATUS_OK)
        return false;
    if (!cursor_wanted(reading, &cursor))
        return true;
    if ((reading->count & (reading->count - 1)) == 0) { /* grown whenever the count is a power of two */
        struct record_write *grown = realloc(reading->writes, (2 * reading->count + 1) * sizeof *grown);
        if (grown == NULL) {
            reading->status = error_set(reading->err, STATUS_NO_MEMORY, "a list of cursors");
            return false;
        }
        reading->writes = grown;
    }
    reading->writes[reading->count++] = (struct record_write){ .id = record->id, .rev_was = record->rev };
    return true;
}

static enum status cursor_remove_once(struct catalog *catalog, const char *node,
                                      const struct run_key *run, bool *lost, struct error *err)
{
    struct cursor_reading reading = { .node = node, .run = run, .err = err };
    struct record_range whole = { .whole = true };
    enum status status = catalog->ops->scan(catalog, CATALOG_CURSORS, &whole, cursor_gather,
                                            &reading, err);

    if (status == STATUS_OK)
        status = reading.status;
    if (status == STATUS_OK && reading.count > 0)
        status = catalog->ops->write(catalog, CATALOG_CURSORS, reading.writes, reading.count, err);
    *lost = false;
    for (size_t i = 0; status == STATUS_OK && i < reading.count; i++)
        *lost = *lost || reading.writes[i].lost;
    free(reading.writes);
    return status;
}

enum status catalog_cursor_remove(struct catalog *catalog, const char *node,
                                  const struct run_key *run, struct error *err)
{
    enum status status = STATUS_OK;
    bool lost = true;

    for (int round = 0; status == STATUS_OK && lost; round++) {
        if (round == CATALOG_ROUNDS_MAX)
            return error_set(err, STATUS_CONFLICT, "cursor: other writers came first");
        status = cursor_remove_once(catalog, node, run, &lost, err);
    }
    return status;
}
