/* catalog_note.c: small texts by name among the settings: when the last sweep ended, which URL a node's locations have. */
#include "indexer/catalog/catalog_ops.h"
#include "proto/base/json_read.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static void note_id(struct record_id *id, const char *name)
{
    char text[RECORD_ID_SIZE_MAX];
    int size = snprintf(text, sizeof text, "note/%s", name);

    assert(size > 0 && (size_t)size < sizeof text);
    record_id_set(id, text, (size_t)size);
}

enum status catalog_note_get(struct catalog *catalog, const char *name,
                             char text[CATALOG_NOTE_SIZE_MAX], struct error *err)
{
    struct record_id id;
    struct record found;
    const char *stored;

    note_id(&id, name);
    enum status status = record_read(catalog, CATALOG_SETTINGS, &id, &found, err);
    if (status != STATUS_OK)
        return status;
    if (found.doc == NULL)
        return error_set(err, STATUS_NOT_FOUND, "the index has no note %s", name);
    status = json_get_string(found.doc, "text", &stored, err);
    if (status == STATUS_OK && strlen(stored) >= CATALOG_NOTE_SIZE_MAX)
        status = error_set(err, STATUS_CORRUPT, "note %s: too long", name);
    if (status == STATUS_OK)
        memcpy(text, stored, strlen(stored) + 1);
    json_decref(found.doc);
    return status;
}

enum status catalog_note_put(struct catalog *catalog, const char *name, const char *text,
                             struct error *err)
{
    struct record_id id;
    enum status status = STATUS_CONFLICT;

    assert(strlen(text) < CATALOG_NOTE_SIZE_MAX);
    note_id(&id, name);
    for (int round = 0; status == STATUS_CONFLICT && round < CATALOG_ROUNDS_MAX; round++) {
        struct record found;
        json_t *doc = json_pack("{s:s}", "text", text);
        if (doc == NULL)
            return error_set(err, STATUS_NO_MEMORY, "a note");
        status = record_read(catalog, CATALOG_SETTINGS, &id, &found, err);
        if (status != STATUS_OK) {
            json_decref(doc);
            return status;
        }
        json_decref(found.doc);
        status = record_write_one(catalog, CATALOG_SETTINGS, &id, found.rev, doc, err);
    }
    return status;
}
