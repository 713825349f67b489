/* catalog_mongo_format.c: the number of the form is a record of settings; indexes are made to match by themselves. */
#include "indexer/catalog/catalog_mongo.h"
#include "proto/base/json_read.h"

#include <string.h>

static enum status format_look(struct catalog *catalog, struct record *found, uint64_t *format,
                               struct error *err)
{
    struct record_id id;

    *format = 0;
    record_id_set(&id, "format", strlen("format"));
    enum status status = record_read(catalog, CATALOG_SETTINGS, &id, found, err);
    if (status == STATUS_OK && found->doc != NULL) {
        status = json_get_u64(found->doc, "format", INT64_MAX, format, err);
        json_decref(found->doc);
        found->doc = NULL;
    }
    return status;
}

enum status mongo_format_read(struct catalog *catalog, uint64_t *format, struct error *err)
{
    struct record found;

    return format_look(catalog, &found, format, err);
}

/* Unless it is as high already: another indexer may be at the same step. */
static enum status format_write(struct catalog *catalog, unsigned format, struct error *err)
{
    struct record found;
    uint64_t there;
    enum status status = format_look(catalog, &found, &there, err);

    if (status != STATUS_OK || there >= format)
        return status;
    json_t *doc = json_pack("{s:i}", "format", (int)format);
    if (doc == NULL) /* which would mean that it is to be deleted */
        return error_set(err, STATUS_NO_MEMORY, "the number of the form");
    status = record_write_one(catalog, CATALOG_SETTINGS, &found.id, found.rev, doc, err);
    return status == STATUS_CONFLICT ? format_write(catalog, format, err) : status;
}

enum status mongo_format_make(struct catalog *catalog, struct error *err)
{
    return format_write(catalog, CATALOG_FORMAT, err);
}

enum status mongo_format_step(struct catalog *catalog, unsigned format, struct error *err)
{
    return format_write(catalog, format, err);
}
