/* catalog_fields.c: documents out of the catalog: a query's, a run's. */
#include "indexer/catalog/catalog_ops.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* --- records and documents --- */

enum status catalog_document_of(const struct record *record, struct field_document *document,
                                struct error *err)
{
    struct field_id id;
    struct run_key run;

    field_document_init(document, &(struct field_id){ .size = 0 }, &(struct run_key){ .base_time = 0 });
    if (!field_id_parse(record->id.bytes, record->id.size, &id, &run)) {
        error_set(err, STATUS_CORRUPT, "a record's id is not that of a field");
        return STATUS_CORRUPT;
    }
    if (record->document != NULL) {
        *document = *record->document;
        field_document_init(record->document, &id, &run);
    } else if (field_from_json(record->doc, document, err) != STATUS_OK) {
        error_set(err, STATUS_CORRUPT, "document of %s: %s", run.source, err->text);
        return STATUS_CORRUPT;
    }
    if (run_key_compare(&run, &document->run) != 0) {
        field_document_fini(document);
        error_set(err, STATUS_CORRUPT, "a document of %s stands under another run's id", run.source);
        return STATUS_CORRUPT;
    }
    document->id = id;
    document->rev = record->rev;
    return STATUS_OK;
}

/* --- reading --- */

struct reading {
    const struct catalog_query *query; /* NULL: a scan */
    bool (*each)(void *data, const struct field_document *document);
    void *data;
    size_t given;
    enum status status;
    struct error *err;
};

/* Every issue of it that matches, as a document of its own that borrows from the whole. */
static bool give_issues(struct reading *reading, const struct field_document *document)
{
    for (unsigned i = 0; i < document->issues_count; i++) {
        if (!catalog_matches(reading->query, document, i))
            continue;
        struct field_document one = *document;
        one.issues = &document->issues[i];
        one.issues_count = 1;
        reading->given++;
        if (!reading->each(reading->data, &one))
            return false;
    }
    return reading->query->limit == 0 || reading->given < reading->query->limit;
}

/* The issue that was current then, if it matches: those behind the current one are ordered newest first. */
static bool give_as_of(struct reading *reading, const struct field_document *document)
{
    for (unsigned i = 0; i < document->issues_count; i++) {
        if (document->issues[i].stored_at_us > reading->query->as_of_us)
            continue;
        if (!catalog_matches(reading->query, document, i))
            return true;
        struct field_document one = *document;
        one.issues = &document->issues[i];
        one.issues_count = 1;
        reading->given++;
        return reading->each(reading->data, &one) &&
               (reading->query->limit == 0 || reading->given < reading->query->limit);
    }
    return true;
}

static bool reading_on_record(void *data, const struct record *record)
{
    struct reading *reading = data;
    struct field_document document;
    bool more;

    reading->status = catalog_document_of(record, &document, reading->err);
    if (reading->status != STATUS_OK)
        return false;
    if (reading->query != NULL && reading->query->as_of_us != 0)
        more = give_as_of(reading, &document);
    else if (reading->query != NULL && reading->query->all)
        more = give_issues(reading, &document);
    else
        more = reading->each(reading->data, &document);
    field_document_fini(&document);
    return more;
}

enum status catalog_find(struct catalog *catalog, const struct catalog_query *query,
                         bool (*each)(void *data, const struct field_document *document),
                         void *data, struct error *err)
{
    struct error own;
    struct reading reading = { .query = query, .each = each, .data = data, .err = err != NULL ? err : &own };

    assert(query->terms_count <= QUERY_TERMS_MAX);
    enum status status = catalog->ops->find(catalog, query, reading_on_record, &reading, reading.err);
    if (status == STATUS_OK)
        status = reading.status;
    return status == STATUS_OK ? STATUS_OK : error_wrap(reading.err, "query");
}

enum status catalog_scan_range(struct catalog *catalog, const struct record_range *range,
                               bool (*each)(void *data, const struct field_document *document),
                               void *data, struct error *err)
{
    struct reading reading = { .each = each, .data = data, .err = err };
    enum status status = catalog->ops->scan(catalog, CATALOG_FIELDS, range, reading_on_record,
                                            &reading, err);

    return status == STATUS_OK ? reading.status : status;
}

enum status catalog_scan_run(struct catalog *catalog, const struct run_key *run,
                             bool (*each)(void *data, const struct field_document *document),
                             void *data, struct error *err)
{
    struct error own;
    struct record_range range;

    if (err == NULL)
        err = &own;
    record_range_run(&range, run, GRIB_IDENTITY_SIZE);
    enum status status = catalog_scan_range(catalog, &range, each, data, err);
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "scan of %s", run->source);
}
