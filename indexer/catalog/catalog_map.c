/* catalog_map.c: the cluster map as text, by compare and set on its epoch. */
#include "indexer/catalog/catalog_ops.h"
#include "proto/base/json_read.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum status map_read(struct catalog *catalog, struct record_id *id, struct record *found,
                            uint64_t *epoch, const char **text, struct error *err)
{
    record_id_set(id, "map", strlen("map"));
    enum status status = record_read(catalog, CATALOG_SETTINGS, id, found, err);

    if (status == STATUS_OK && found->doc != NULL) {
        status = json_get_u64(found->doc, "epoch", INT64_MAX, epoch, err);
        if (status == STATUS_OK)
            status = json_get_string(found->doc, "json", text, err);
    }
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "cluster map");
}

enum status catalog_map_get(struct catalog *catalog, struct buf *json, struct error *err)
{
    struct record_id id;
    struct record found;
    const char *text = "";
    uint64_t epoch = 0;
    enum status status = map_read(catalog, &id, &found, &epoch, &text, err);

    if (status == STATUS_OK && found.doc == NULL)
        status = error_set(err, STATUS_NOT_FOUND, "the index has no cluster map");
    if (status == STATUS_OK) {
        buf_text(json, text);
        status = buf_status(json);
        if (status != STATUS_OK)
            error_set(err, status, "cluster map");
    }
    json_decref(found.doc);
    return status;
}

/* As for runs: a map that is there already, to the byte, is no conflict. */
static enum status map_compare(const struct record *found, uint64_t stored, const char *text,
                               const json_t *wanted, uint64_t was, bool *done, struct error *err)
{
    const json_t *json = json_object_get(wanted, "json");

    *done = found->doc != NULL && json_string_length(json) == strlen(text) &&
            strcmp(json_string_value(json), text) == 0;
    if (*done || (found->doc == NULL && was == UINT64_MAX))
        return STATUS_OK;
    if (found->doc == NULL)
        return error_set(err, STATUS_STALE_EPOCH, "the index has no cluster map");
    if (was != stored)
        return error_set(err, STATUS_STALE_EPOCH, "the cluster map is at epoch %" PRIu64, stored);
    return STATUS_OK;
}

enum status catalog_map_put(struct catalog *catalog, const void *json, size_t size, uint64_t epoch,
                            uint64_t was, struct error *err)
{
    struct record_id id;
    struct record found = { .doc = NULL };
    const char *text = "";
    uint64_t stored = 0;
    bool done = false;

    if (size > MAP_JSON_SIZE_MAX || epoch > INT64_MAX)
        return error_set(err, STATUS_TOO_LARGE, "cluster map: too large");
    if (memchr(json, '\0', size) != NULL)
        return error_set(err, STATUS_BAD_VALUE, "cluster map: a zero byte");
    json_t *doc = json_pack("{s:I, s:s%}", "epoch", (json_int_t)epoch, "json", json, size);
    if (doc == NULL)
        return error_set(err, STATUS_BAD_VALUE, "cluster map: not UTF-8");
    enum status status = map_read(catalog, &id, &found, &stored, &text, err);
    if (status == STATUS_OK)
        status = map_compare(&found, stored, text, doc, was, &done, err);
    if (status == STATUS_OK && !done) {
        status = record_write_one(catalog, CATALOG_SETTINGS, &id, found.rev, json_incref(doc), err);
        if (status == STATUS_CONFLICT)
            status = error_set(err, STATUS_STALE_EPOCH, "another cluster map came first");
    }
    json_decref(found.doc);
    json_decref(doc);
    return status;
}
