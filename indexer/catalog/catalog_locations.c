/* catalog_locations.c: every place that a run's documents and quarantine name, without their keys: what a check holds against the nodes.
 *
 * A document's places come together, so who stops between two documents goes on behind the last one; what comes or goes meanwhile
 * neither hides nor doubles others. */
#include "indexer/catalog/catalog_ops.h"
#include "proto/base/json_read.h"

#include <stdlib.h>
#include <string.h>

struct locations_reading {
    catalog_locations_each *each;
    void *data;
    struct catalog_location *items; /* owned; of one document */
    size_t count, room;
    enum status status;
    struct error *err;
};

static enum status locations_room(struct locations_reading *reading, size_t more)
{
    if (reading->count + more <= reading->room)
        return STATUS_OK;
    size_t room = 2 * (reading->count + more);
    struct catalog_location *items = realloc(reading->items, room * sizeof *items);
    if (items == NULL)
        return error_set(reading->err, STATUS_NO_MEMORY, "%zu locations", room);
    reading->items = items;
    reading->room = room;
    return STATUS_OK;
}

static enum status location_read(const json_t *from, struct catalog_location *location, struct error *err)
{
    enum status status = json_get_string(from, "node", &location->node, err);

    if (status == STATUS_OK)
        status = json_get_string(from, "file", &location->file, err);
    if (status == STATUS_OK)
        status = json_get_u64(from, "offset", INT64_MAX, &location->offset, err);
    return status;
}

static enum status issue_head(const json_t *from, enum catalog_as as,
                              struct catalog_location *location, struct error *err)
{
    const char *digest;
    enum status status = json_get_string(from, "digest", &digest, err);

    location->as = as;
    if (status == STATUS_OK && !digest_parse(slice_text(digest), &location->digest))
        status = error_set(err, STATUS_CORRUPT, "digest: not 64 hex digits");
    if (status == STATUS_OK)
        status = json_get_u64(from, "length", INT64_MAX, &location->length, err);
    if (status == STATUS_OK)
        status = json_get_u64(from, "stored_at", INT64_MAX, &location->stored_at_us, err);
    return status;
}

static enum status locations_of_issue(struct locations_reading *reading, const json_t *issue,
                                      enum catalog_as as)
{
    struct catalog_location location;
    json_t *locations;
    enum status status = issue_head(issue, as, &location, reading->err);

    if (status == STATUS_OK)
        status = json_get_array(issue, "locations", &locations, reading->err);
    if (status == STATUS_OK)
        status = locations_room(reading, json_array_size(locations));
    for (size_t i = 0; status == STATUS_OK && i < json_array_size(locations); i++) {
        status = location_read(json_array_get(locations, i), &location, reading->err);
        reading->items[reading->count++] = location;
    }
    return status;
}

static bool locations_on_record(void *data, const struct record *record)
{
    struct locations_reading *reading = data;
    const json_t *older = json_object_get(record->doc, "older");
    struct field_id id = { .size = record->id.size };

    reading->count = 0;
    reading->status = id.size <= sizeof id.bytes
                          ? locations_of_issue(reading, record->doc, CATALOG_AS_FIELD)
                          : error_set(reading->err, STATUS_CORRUPT, "an id of %zu bytes", id.size);
    for (size_t i = 0; reading->status == STATUS_OK && i < json_array_size(older); i++)
        reading->status = locations_of_issue(reading, json_array_get(older, i), CATALOG_AS_OLDER);
    if (reading->status != STATUS_OK)
        return false;
    memcpy(id.bytes, record->id.bytes, id.size);
    return reading->each(reading->data, &id, reading->items, reading->count);
}

enum status catalog_scan_locations(struct catalog *catalog, const struct run_key *run,
                                   const struct field_id *after, catalog_locations_each *each,
                                   void *data, struct error *err)
{
    struct error own;
    struct locations_reading reading = { .each = each, .data = data, .err = err != NULL ? err : &own };
    struct record_range range;

    record_range_run(&range, run, GRIB_IDENTITY_SIZE);
    range.brief = range.places = true;
    range.behind = after->size > 0;
    if (range.behind)
        record_id_set(&range.from, after->bytes, after->size);
    enum status status = catalog->ops->scan(catalog, CATALOG_FIELDS, &range, locations_on_record,
                                            &reading, reading.err);
    free(reading.items);
    if (status == STATUS_OK)
        status = reading.status;
    return status == STATUS_OK ? STATUS_OK : error_wrap(reading.err, "locations of %s", run->source);
}
