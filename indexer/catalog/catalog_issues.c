/* catalog_issues.c: the issues of a run's documents without their keys: what a census counts.
 *
 * The databases leave out what is not asked for (range.brief), so that nothing is parsed that nobody reads: of a document some
 * forty keys, most of its text. */
#include "indexer/catalog/catalog_ops.h"
#include "proto/base/json_read.h"

#include <string.h>

struct issues_reading {
    bool (*each)(void *data, const struct catalog_issue *issues, unsigned count);
    void *data;
    enum status status;
    struct error *err;
};

/* Locations are ordered by node: distinct ones are borders. */
static enum status issue_nodes(const json_t *locations, unsigned *nodes, struct error *err)
{
    const char *last = "";

    *nodes = 0;
    for (size_t i = 0; i < json_array_size(locations); i++) {
        const char *node;
        enum status status = json_get_string(json_array_get(locations, i), "node", &node, err);
        if (status != STATUS_OK)
            return error_wrap(err, "locations[%zu]", i);
        *nodes += strcmp(node, last) != 0;
        last = node;
    }
    return STATUS_OK;
}

static enum status issue_read(const json_t *from, struct catalog_issue *issue, struct error *err)
{
    const char *digest;
    json_t *locations;
    enum status status = json_get_string(from, "digest", &digest, err);

    if (status == STATUS_OK && !digest_parse(slice_text(digest), &issue->digest))
        status = error_set(err, STATUS_CORRUPT, "digest: not 64 hex digits");
    if (status == STATUS_OK)
        status = json_get_u64(from, "length", INT64_MAX, &issue->length, err);
    if (status == STATUS_OK)
        status = json_get_array(from, "locations", &locations, err);
    return status == STATUS_OK ? issue_nodes(locations, &issue->nodes, err) : status;
}

static bool issues_on_record(void *data, const struct record *record)
{
    struct issues_reading *reading = data;
    struct catalog_issue issues[FIELD_ISSUES_MAX];
    const json_t *older = json_object_get(record->doc, "older");
    size_t count = 1 + json_array_size(older);

    reading->status = count > FIELD_ISSUES_MAX
                          ? error_set(reading->err, STATUS_CORRUPT, "older: %zu issues", count - 1)
                          : issue_read(record->doc, &issues[0], reading->err);
    for (size_t i = 1; i < count && reading->status == STATUS_OK; i++)
        reading->status = issue_read(json_array_get(older, i - 1), &issues[i], reading->err);
    return reading->status == STATUS_OK && reading->each(reading->data, issues, (unsigned)count);
}

enum status catalog_scan_issues(struct catalog *catalog, const struct run_key *run,
                                bool (*each)(void *data, const struct catalog_issue *issues, unsigned count),
                                void *data, struct error *err)
{
    struct error own;
    struct issues_reading reading = { .each = each, .data = data, .err = err != NULL ? err : &own };
    struct record_range range;

    record_range_run(&range, run, GRIB_IDENTITY_SIZE);
    range.brief = true;
    enum status status = catalog->ops->scan(catalog, CATALOG_FIELDS, &range, issues_on_record,
                                            &reading, reading.err);
    if (status == STATUS_OK)
        status = reading.status;
    return status == STATUS_OK ? STATUS_OK : error_wrap(reading.err, "issues of %s", run->source);
}
