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
    char base_time[BASE_TIME_TEXT_SIZE], journal[17];

    base_time_print_rfc3339(cursor->run.base_time, base_time);
    snprintf(journal, sizeof journal, "%016" PRIx64, cursor->journal_id);
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:b}", "node", cursor->node, "source",
                     cursor->run.source, "base_time", base_time, "journal", journal, "record",
                     (json_int_t)cursor->record, "check", (json_int_t)cursor->check, "complete",
                     (int)cursor->complete);
}

static enum status cursor_from_doc(const json_t *doc, struct catalog_cursor *cursor, struct error *err)
{
    const char *node, *journal;
    uint8_t id[8];
    uint64_t check = 0;
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
    if (status != STATUS_OK)
        return error_wrap(err, "cursor");
    memcpy(cursor->node, node, strlen(node) + 1);
    cursor->journal_id = get_u64(id);
    cursor->check = (uint32_t)check;
    cursor->complete = json_is_true(json_object_get(doc, "complete"));
    return STATUS_OK;
}

/* The last one to speak holds: a cursor is one tail's. */
enum status catalog_cursor_put(struct catalog *catalog, const struct catalog_cursor *cursor,
                               struct error *err)
{
    struct record_id id;
    enum status status = STATUS_CONFLICT;

    if (cursor->record > INT64_MAX)
        return error_set(err, STATUS_BAD_VALUE, "cursor: a record number past 63 bits");
    cursor_id(&id, cursor->node, &cursor->run);
    for (int round = 0; status == STATUS_CONFLICT && round < CATALOG_ROUNDS_MAX; round++) {
        struct record found;
        status = record_read(catalog, CATALOG_CURSORS, &id, &found, err);
        json_decref(found.doc);
        json_t *doc = status == STATUS_OK ? cursor_to_doc(cursor) : NULL;
        if (status == STATUS_OK && doc == NULL)
            status = error_set(err, STATUS_NO_MEMORY, "a cursor");
        if (status == STATUS_OK)
            status = record_write_one(catalog, CATALOG_CURSORS, &id, found.rev, doc, err);
    }
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "cursor");
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

    reading->status = cursor_from_doc(record->doc, &cursor, reading->err);
    if (reading->status != STATUS_OK)
        return false;
    return !cursor_wanted(reading, &cursor) || reading->each(reading->data, &cursor);
}

enum status catalog_cursor_scan(struct catalog *catalog, const char *node,
                                bool (*each)(void *data, const struct catalog_cursor *cursor),
                                void *data, struct error *err)
{
    struct cursor_reading reading = { .node = node, .each = each, .data = data, .err = err };
    struct record_range whole = { .whole = true };
    enum status status = catalog->ops->scan(catalog, CATALOG_CURSORS, &whole, cursor_on_record,
                                            &reading, err);

    return status == STATUS_OK ? reading.status : status;
}

static bool cursor_gather(void *data, const struct record *record)
{
    struct cursor_reading *reading = data;
    struct catalog_cursor cursor;

    reading->status = cursor_from_doc(record->doc, &cursor, reading->err);
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
