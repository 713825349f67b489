/* catalog_map.c: the cluster map as text, by compare and set on its epoch.
 *
 * A database may not take a large map in one record (MongoDB: 16 MiB), so what is longer than a part is written in parts, under names
 * that nobody had before, and the record that is compared and set names them. Those of the map before go afterwards: a
 * reader that finds one missing reads the record again. A crash between the two leaves parts that nobody names. */
#include "indexer/catalog/catalog_ops.h"
#include "proto/base/json_read.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAP_PART_SIZE = 8 << 20,
    MAP_PARTS_MAX = MAP_JSON_SIZE_MAX / (MAP_PART_SIZE - 4) + 2,
    MAP_READS_MAX = 10, /* so often may the map change while it is read */
};

/* The record, and the text that it holds or names. */
struct map_stored {
    struct record record;
    uint64_t epoch, parts, key;
    struct buf text;
};

static void map_part_id(struct record_id *id, uint64_t key, uint64_t part)
{
    char name[64];
    int size = snprintf(name, sizeof name, "map-part-%016" PRIx64 "-%" PRIu64, key, part);

    record_id_set(id, name, (size_t)size);
}

static void map_stored_fini(struct map_stored *stored)
{
    json_decref(stored->record.doc);
    buf_fini(&stored->text);
}

/* --- read --- */

static enum status part_read(struct catalog *catalog, struct map_stored *stored, uint64_t part,
                             bool *there, struct error *err)
{
    struct record_id id;
    struct record found;
    const char *text;

    map_part_id(&id, stored->key, part);
    enum status status = record_read(catalog, CATALOG_SETTINGS, &id, &found, err);
    *there = status == STATUS_OK && found.doc != NULL;
    if (!*there)
        return status;
    status = json_get_string(found.doc, "json", &text, err);
    if (status == STATUS_OK)
        buf_text(&stored->text, text);
    json_decref(found.doc);
    return status;
}

static enum status parts_read(struct catalog *catalog, struct map_stored *stored, bool *whole,
                              struct error *err)
{
    enum status status = STATUS_OK;

    *whole = true;
    for (uint64_t part = 0; status == STATUS_OK && *whole && part < stored->parts; part++)
        status = part_read(catalog, stored, part, whole, err);
    return status;
}

static enum status record_take(struct map_stored *stored, struct error *err)
{
    const json_t *doc = stored->record.doc;
    const char *text, *key;
    enum status status = json_get_u64(doc, "epoch", INT64_MAX, &stored->epoch, err);

    if (status == STATUS_OK)
        status = json_opt_string(doc, "json", NULL, &text, err);
    if (status != STATUS_OK || text != NULL) {
        if (status == STATUS_OK)
            buf_text(&stored->text, text);
        return status;
    }
    status = json_get_u64(doc, "parts", MAP_PARTS_MAX, &stored->parts, err);
    if (status == STATUS_OK)
        status = json_get_string(doc, "key", &key, err);
    if (status == STATUS_OK && sscanf(key, "%16" SCNx64, &stored->key) != 1)
        status = error_set(err, STATUS_CORRUPT, "key: not a number");
    return status;
}

static enum status map_read_once(struct catalog *catalog, struct map_stored *stored, bool *whole,
                                 struct error *err)
{
    struct record_id id;

    *stored = (struct map_stored){ .epoch = 0 };
    buf_init(&stored->text, MAP_JSON_SIZE_MAX);
    *whole = true;
    record_id_set(&id, "map", strlen("map"));
    enum status status = record_read(catalog, CATALOG_SETTINGS, &id, &stored->record, err);
    if (status == STATUS_OK && stored->record.doc != NULL)
        status = record_take(stored, err);
    if (status == STATUS_OK)
        status = parts_read(catalog, stored, whole, err);
    if (status == STATUS_OK && buf_status(&stored->text) != STATUS_OK)
        status = error_set(err, buf_status(&stored->text), "its text");
    return status;
}

/* stored is to be given back whatever comes. */
static enum status map_read(struct catalog *catalog, struct map_stored *stored, struct error *err)
{
    bool whole = false;
    enum status status = map_read_once(catalog, stored, &whole, err);

    for (int i = 1; status == STATUS_OK && !whole && i < MAP_READS_MAX; i++) {
        map_stored_fini(stored);
        status = map_read_once(catalog, stored, &whole, err);
    }
    if (status == STATUS_OK && !whole)
        status = error_set(err, STATUS_CORRUPT, "a part of it is missing");
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "cluster map");
}

enum status catalog_map_get(struct catalog *catalog, struct buf *json, struct error *err)
{
    struct map_stored stored;
    enum status status = map_read(catalog, &stored, err);

    if (status == STATUS_OK && stored.record.doc == NULL)
        status = error_set(err, STATUS_NOT_FOUND, "the index has no cluster map");
    if (status == STATUS_OK) {
        buf_append(json, stored.text.data, stored.text.size);
        status = buf_status(json);
        if (status != STATUS_OK)
            error_set(err, status, "cluster map");
    }
    map_stored_fini(&stored);
    return status;
}

/* --- write --- */

/* Best effort: what stays is named by nobody. */
static void parts_remove(struct catalog *catalog, uint64_t key, uint64_t parts)
{
    struct error err;

    for (uint64_t part = 0; part < parts; part++) {
        struct record_id id;
        struct record found;
        map_part_id(&id, key, part);
        if (record_read(catalog, CATALOG_SETTINGS, &id, &found, &err) == STATUS_OK && found.doc != NULL)
            record_write_one(catalog, CATALOG_SETTINGS, &id, found.rev, NULL, &err);
        json_decref(found.doc);
    }
}

/* As many bytes as a part takes, without a character cut in two. */
static size_t part_size(const char *text, size_t size)
{
    if (size <= MAP_PART_SIZE)
        return size;
    size = MAP_PART_SIZE;
    while (((uint8_t)text[size] & 0xc0) == 0x80 && size > MAP_PART_SIZE - 4)
        size--;
    return size;
}

static enum status parts_write(struct catalog *catalog, const char *text, size_t size, uint64_t key,
                               uint64_t *parts, struct error *err)
{
    enum status status = STATUS_OK;

    for (*parts = 0; status == STATUS_OK && size > 0; ++*parts) {
        size_t taken = part_size(text, size);
        json_t *doc = json_pack("{s:s%}", "json", text, taken);
        struct record_id id;
        if (doc == NULL)
            return error_set(err, STATUS_BAD_VALUE, "cluster map: not UTF-8");
        map_part_id(&id, key, *parts);
        status = record_write_one(catalog, CATALOG_SETTINGS, &id, 0, doc, err);
        text += taken;
        size -= taken;
    }
    return status;
}

/* As for runs: a map that is there already, to the byte, is no conflict. A lower one than the one that ruled, or none, is a database of
 * an earlier day: the nodes have had the one that ruled, so that day's can't come back, and makes way. */
static enum status map_compare(const struct map_stored *stored, const void *json, size_t size,
                               uint64_t was, bool *done, struct error *err)
{
    bool there = stored->record.doc != NULL;

    *done = there && stored->text.size == size && memcmp(stored->text.data, json, size) == 0;
    if (*done || !there)
        return STATUS_OK;
    if (was == UINT64_MAX || stored->epoch > was)
        return error_set(err, STATUS_STALE_EPOCH, "the cluster map is at epoch %" PRIu64, stored->epoch);
    return STATUS_OK;
}

/* The record takes doc's reference. */
static enum status record_set(struct catalog *catalog, const struct map_stored *stored, json_t *doc,
                              struct error *err)
{
    struct record_id id;

    if (doc == NULL)
        return error_set(err, STATUS_BAD_VALUE, "cluster map: not UTF-8");
    record_id_set(&id, "map", strlen("map"));
    enum status status = record_write_one(catalog, CATALOG_SETTINGS, &id, stored->record.rev, doc, err);
    return status == STATUS_CONFLICT
               ? error_set(err, STATUS_STALE_EPOCH, "another cluster map came first")
               : status;
}

static enum status map_write_parts(struct catalog *catalog, const struct map_stored *stored,
                                   const void *json, size_t size, uint64_t epoch, struct error *err)
{
    uint64_t key = record_rev_new(), parts = 0;
    char text[17];

    snprintf(text, sizeof text, "%016" PRIx64, key);
    enum status status = parts_write(catalog, json, size, key, &parts, err);
    if (status == STATUS_OK)
        status = record_set(catalog, stored,
                            json_pack("{s:I, s:I, s:s}", "epoch", (json_int_t)epoch, "parts",
                                      (json_int_t)parts, "key", text),
                            err);
    /* Unless it is unknown whether the record names them. */
    if (status == STATUS_STALE_EPOCH || status == STATUS_BAD_VALUE)
        parts_remove(catalog, key, parts);
    return status;
}

static enum status map_write(struct catalog *catalog, const struct map_stored *stored,
                             const void *json, size_t size, uint64_t epoch, struct error *err)
{
    enum status status;

    if (size > MAP_PART_SIZE)
        status = map_write_parts(catalog, stored, json, size, epoch, err);
    else
        status = record_set(catalog, stored,
                            json_pack("{s:I, s:s%}", "epoch", (json_int_t)epoch, "json", json, size),
                            err);
    if (status == STATUS_OK)
        parts_remove(catalog, stored->key, stored->parts);
    return status;
}

enum status catalog_map_put(struct catalog *catalog, const void *json, size_t size, uint64_t epoch,
                            uint64_t was, struct error *err)
{
    struct map_stored stored;
    bool done = false;

    if (size > MAP_JSON_SIZE_MAX || epoch > INT64_MAX)
        return error_set(err, STATUS_TOO_LARGE, "cluster map: %zu bytes, at most %d are kept", size,
                         MAP_JSON_SIZE_MAX);
    if (memchr(json, '\0', size) != NULL)
        return error_set(err, STATUS_BAD_VALUE, "cluster map: a zero byte");
    enum status status = map_read(catalog, &stored, err);
    if (status == STATUS_OK)
        status = map_compare(&stored, json, size, was, &done, err);
    if (status == STATUS_OK && !done)
        status = map_write(catalog, &stored, json, size, epoch, err);
    map_stored_fini(&stored);
    return status;
}
