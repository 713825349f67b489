/* catalog_fields.c: events into documents, and documents out again.
 *
 * A change is: read the documents, merge in memory, write each only where (id, rev) is as it was read. What lost a race is read
 * and merged again. Merging is idempotent, so a write whose fate is not known is treated as lost. */
#include "indexer/catalog/catalog_ops.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* --- records and documents --- */

static enum status document_from_record(const struct record *record,
                                        struct field_document *document, struct error *err)
{
    struct field_id id;
    struct run_key run;

    if (!field_id_parse(record->id.bytes, record->id.size, &id, &run))
        return error_set(err, STATUS_CORRUPT, "a record's id is not that of a field");
    if (field_from_json(record->doc, document, err) != STATUS_OK)
        return error_set(err, STATUS_CORRUPT, "document of %s: %s", run.source, err->text);
    if (run_key_compare(&run, &document->run) != 0) {
        field_document_fini(document);
        return error_set(err, STATUS_CORRUPT, "a document of %s stands under another run's id",
                         run.source);
    }
    document->id = id;
    document->rev = record->rev;
    return STATUS_OK;
}

static json_t *document_to_doc(const struct field_document *document)
{
    json_t *doc = field_to_json(document);

    if (doc != NULL)
        json_object_del(doc, "id"); /* the record's */
    return doc;
}

/* --- apply --- */

/* The events of one field, and its document. */
struct group {
    const struct field_event *const *events; /* borrowed: a piece of the sorted list */
    size_t count;
    struct record_id id;
    bool done;
    bool changed;
    struct field_document document; /* of this round */
};

struct apply {
    struct catalog *catalog;
    struct group *groups; /* ascending by id */
    size_t count;
    enum status status;
    struct error *err;
};

/* By id; events of one id stay in the order in which they were given (they lie in one array). */
static int event_compare(const void *left, const void *right)
{
    const struct field_event *a = *(const struct field_event *const *)left;
    const struct field_event *b = *(const struct field_event *const *)right;
    size_t common = a->id.size < b->id.size ? a->id.size : b->id.size;
    int order = memcmp(a->id.bytes, b->id.bytes, common);

    if (order == 0)
        order = (a->id.size > b->id.size) - (a->id.size < b->id.size);
    return order != 0 ? order : (a > b) - (a < b);
}

static bool same_field(const struct field_event *a, const struct field_event *b)
{
    return a->id.size == b->id.size && memcmp(a->id.bytes, b->id.bytes, a->id.size) == 0;
}

/* The next groups of the sorted list, at most CATALOG_CHUNK_MAX; returns how many events they have. */
static size_t apply_gather(struct apply *apply, const struct field_event *const *sorted, size_t count)
{
    size_t at = 0;

    apply->count = 0;
    while (at < count && apply->count < CATALOG_CHUNK_MAX) {
        struct group *group = &apply->groups[apply->count++];
        *group = (struct group){ .events = &sorted[at], .count = 1 };
        record_id_set(&group->id, sorted[at]->id.bytes, sorted[at]->id.size);
        while (at + group->count < count && same_field(sorted[at], sorted[at + group->count]))
            group->count++;
        at += group->count;
    }
    return at;
}

static int group_compare(const void *key, const void *member)
{
    return record_id_compare(key, &((const struct group *)member)->id);
}

static bool apply_on_read(void *data, const struct record *record)
{
    struct apply *apply = data;
    struct group *group = bsearch(&record->id, apply->groups, apply->count, sizeof *group, group_compare);

    assert(group != NULL && !group->done);
    field_document_fini(&group->document);
    apply->status = document_from_record(record, &group->document, apply->err);
    return apply->status == STATUS_OK;
}

/* Every group that is not done yet gets its document as it is now, an empty one when it is not there. */
static enum status apply_read(struct apply *apply)
{
    struct record_id *ids = malloc(apply->count * sizeof *ids);
    size_t count = 0;

    if (ids == NULL)
        return error_set(apply->err, STATUS_NO_MEMORY, "a batch of documents");
    for (size_t i = 0; i < apply->count; i++) {
        struct group *group = &apply->groups[i];
        if (group->done)
            continue;
        ids[count++] = group->id;
        field_document_fini(&group->document);
        field_document_init(&group->document, &group->events[0]->id, &group->events[0]->run);
    }
    apply->status = STATUS_OK;
    enum status status = apply->catalog->ops->read(apply->catalog, CATALOG_FIELDS, ids, count,
                                                   apply_on_read, apply, apply->err);
    free(ids);
    return status != STATUS_OK ? status : apply->status;
}

static enum status group_merge(struct group *group, struct error *err)
{
    group->changed = false;
    for (size_t i = 0; i < group->count; i++) {
        bool changed;
        enum status status = field_merge(&group->document, group->events[i], &changed, err);
        if (status != STATUS_OK)
            return status;
        group->changed = group->changed || changed;
    }
    /* Came and went within the batch: there is nothing to delete. */
    if (group->document.issues_count == 0 && group->document.rev == 0)
        group->changed = false;
    return STATUS_OK;
}

static enum status group_write_make(const struct group *group, struct record_write *write,
                                    struct error *err)
{
    const struct field_document *document = &group->document;

    *write = (struct record_write){ .id = group->id, .rev_was = document->rev };
    if (document->issues_count == 0)
        return STATUS_OK;
    write->rev = document->rev == 0 ? record_rev_new() : document->rev + 1;
    write->doc = document_to_doc(document);
    return write->doc != NULL ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "a document");
}

/* Merges; what changed becomes a write, the rest is done. written[i] is the group of writes[i]. */
static enum status apply_merge(struct apply *apply, struct record_write *writes,
                               struct group **written, size_t *count)
{
    *count = 0;
    for (size_t i = 0; i < apply->count; i++) {
        struct group *group = &apply->groups[i];
        if (group->done)
            continue;
        enum status status = group_merge(group, apply->err);
        if (status != STATUS_OK)
            return status;
        group->done = !group->changed;
        if (group->done)
            continue;
        status = group_write_make(group, &writes[*count], apply->err);
        written[(*count)++] = group;
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status apply_round(struct apply *apply, struct record_write *writes,
                               struct group **written, bool *again)
{
    size_t count = 0;
    enum status status = apply_read(apply);

    if (status == STATUS_OK)
        status = apply_merge(apply, writes, written, &count);
    if (status == STATUS_OK && count > 0)
        status = apply->catalog->ops->write(apply->catalog, CATALOG_FIELDS, writes, count, apply->err);
    *again = false;
    for (size_t i = 0; i < count; i++) {
        written[i]->done = !writes[i].lost;
        *again = *again || writes[i].lost;
        json_decref(writes[i].doc);
    }
    return status;
}

static enum status apply_chunk(struct apply *apply)
{
    struct record_write *writes = calloc(apply->count, sizeof *writes);
    struct group **written = calloc(apply->count, sizeof *written);
    enum status status = STATUS_OK;
    bool again = true;

    if (writes == NULL || written == NULL)
        status = error_set(apply->err, STATUS_NO_MEMORY, "a batch of documents");
    for (int round = 0; status == STATUS_OK && again; round++) {
        if (round == CATALOG_ROUNDS_MAX)
            status = error_set(apply->err, STATUS_CONFLICT, "other writers came first %d times", round);
        else
            status = apply_round(apply, writes, written, &again);
    }
    for (size_t i = 0; i < apply->count; i++)
        field_document_fini(&apply->groups[i].document);
    free(writes);
    free(written);
    return status;
}

enum status catalog_apply(struct catalog *catalog, const struct field_event *events, size_t count,
                          struct error *err)
{
    struct error own;
    struct apply apply = { .catalog = catalog, .err = err != NULL ? err : &own };
    size_t groups_max = count < CATALOG_CHUNK_MAX ? count : CATALOG_CHUNK_MAX;
    enum status status = STATUS_OK;

    if (count == 0)
        return STATUS_OK;
    const struct field_event **sorted = malloc(count * sizeof *sorted);
    apply.groups = malloc(groups_max * sizeof *apply.groups);
    if (sorted == NULL || apply.groups == NULL)
        status = error_set(apply.err, STATUS_NO_MEMORY, "a batch of events");
    for (size_t i = 0; status == STATUS_OK && i < count; i++)
        sorted[i] = &events[i];
    if (status == STATUS_OK)
        qsort(sorted, count, sizeof *sorted, event_compare);
    for (size_t at = 0; status == STATUS_OK && at < count;) {
        at += apply_gather(&apply, sorted + at, count - at);
        status = apply_chunk(&apply);
    }
    free(sorted);
    free(apply.groups);
    return status == STATUS_OK ? STATUS_OK : error_wrap(apply.err, "fields");
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

static bool reading_on_record(void *data, const struct record *record)
{
    struct reading *reading = data;
    struct field_document document;
    bool more;

    reading->status = document_from_record(record, &document, reading->err);
    if (reading->status != STATUS_OK)
        return false;
    if (reading->query != NULL && reading->query->all)
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
