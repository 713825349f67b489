/* catalog_files.c: which files the documents of a run name, without their keys: what a sweep holds against the nodes. */
#include "indexer/catalog/catalog_ops.h"
#include "proto/base/json_read.h"

struct files_reading {
    bool (*each)(void *data, const char *node, const char *file, const struct digest *digest);
    void *data;
    bool more;
    enum status status;
    struct error *err;
};

static void files_of_issue(struct files_reading *reading, const json_t *issue)
{
    json_t *locations;
    const char *text;
    struct digest digest;

    reading->status = json_get_string(issue, "digest", &text, reading->err);
    if (reading->status == STATUS_OK && !digest_parse(slice_text(text), &digest))
        reading->status = error_set(reading->err, STATUS_CORRUPT, "digest: not 64 hex digits");
    if (reading->status == STATUS_OK)
        reading->status = json_get_array(issue, "locations", &locations, reading->err);
    for (size_t i = 0;
         reading->status == STATUS_OK && reading->more && i < json_array_size(locations); i++) {
        const json_t *location = json_array_get(locations, i);
        const char *node, *file;
        reading->status = json_get_string(location, "node", &node, reading->err);
        if (reading->status == STATUS_OK)
            reading->status = json_get_string(location, "file", &file, reading->err);
        if (reading->status == STATUS_OK)
            reading->more = reading->each(reading->data, node, file, &digest);
    }
}

static bool files_on_record(void *data, const struct record *record)
{
    struct files_reading *reading = data;
    const json_t *older = json_object_get(record->doc, "older");

    files_of_issue(reading, record->doc);
    for (size_t i = 0; reading->status == STATUS_OK && reading->more && i < json_array_size(older); i++)
        files_of_issue(reading, json_array_get(older, i));
    return reading->status == STATUS_OK && reading->more;
}

enum status catalog_scan_files(struct catalog *catalog, const struct run_key *run,
                               bool (*each)(void *data, const char *node, const char *file,
                                            const struct digest *digest),
                               void *data, struct error *err)
{
    struct error own;
    struct files_reading reading = {
        .each = each, .data = data, .more = true, .err = err != NULL ? err : &own
    };
    struct record_range range;

    record_range_run(&range, run, GRIB_IDENTITY_SIZE);
    range.brief = true;
    enum status status = catalog->ops->scan(catalog, CATALOG_FIELDS, &range, files_on_record,
                                            &reading, reading.err);
    if (status == STATUS_OK)
        status = reading.status;
    return status == STATUS_OK ? STATUS_OK : error_wrap(reading.err, "files of %s", run->source);
}
