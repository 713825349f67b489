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

    if (!field_id_parse(record->id.bytes, record->id.size, &id, &run)) {
        error_set(err, STATUS_CORRUPT, "a record's id is not that of a field");
        return STATUS_CORRUPT;
    }
    if (field_from_json(record->doc, document, err) != STATUS_OK) {
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

static json_t *document_to_doc(const struct field_document *document)
{
    json_t *doc = field_to_json(document);

    if (doc != NULL)
        json_object_del(doc, "id"); /* the record's */
    return doc;
}

/* --- apply --- */

/* A place in the list of events, sorted by field. */
struct place {
    const struct field_event *event; /* borrowed */
};

/* The events of one field, and its document. */
struct group {
    const struct place *places; /* borrowed: a piece of the sorted list */
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
    const struct field_event *a = ((const struct place *)left)->event;
    const struct field_event *b = ((const struct place *)right)->event;
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
static size_t apply_gather(struct apply *apply, const struct place *sorted, size_t count)
{
    size_t at = 0;

    apply->count = 0;
    while (at < count && apply->count < CATALOG_CHUNK_MAX) {
        struct group *group = &apply->groups[apply->count++];
        *group = (struct group){ .places = &sorted[at], .count = 1 };
        record_id_set(&group->id, sorted[at].event->id.bytes, sorted[at].event->id.size);
        while (at + group->count < count && same_field(sorted[at].event, sorted[at + group->count].event))
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
        field_document_init(&group->document, &group->places[0].event->id, &group->places[0].event->run);
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
        enum status status = field_merge(&group->document, group->places[i].event, &changed, err);
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

/* The writes of a round: group[i] is what writes[i] is for. Room for every group. */
struct round {
    struct record_write *writes; /* owned */
    struct group_of {
        struct group *group;
    } * groups; /* owned */
    size_t count;
};

/* Merges; what changed becomes a write, the rest is done. */
static enum status apply_merge(struct apply *apply, struct round *round)
{
    round->count = 0;
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
        status = group_write_make(group, &round->writes[round->count], apply->err);
        round->groups[round->count++].group = group;
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status apply_round(struct apply *apply, struct round *round, bool *again)
{
    round->count = 0;
    enum status status = apply_read(apply);
    if (status == STATUS_OK)
        status = apply_merge(apply, round);
    if (status == STATUS_OK && round->count > 0)
        status = apply->catalog->ops->write(apply->catalog, CATALOG_FIELDS, round->writes,
                                            round->count, apply->err);
    *again = false;
    for (size_t i = 0; i < round->count; i++) {
        round->groups[i].group->done = !round->writes[i].lost;
        *again = *again || round->writes[i].lost;
        json_decref(round->writes[i].doc);
    }
    return status;
}

static enum status apply_rounds(struct apply *apply, struct round *round)
{
    bool again = true;

    for (int i = 0; again; i++) {
        if (i == CATALOG_ROUNDS_MAX)
            return error_set(apply->err, STATUS_CONFLICT, "other writers came first %d times", i);
        enum status status = apply_round(apply, round, &again);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status apply_chunk(struct apply *apply)
{
    struct round round = {
        .writes = calloc(apply->count, sizeof *round.writes),
        .groups = calloc(apply->count, sizeof *round.groups),
    };
    enum status status = STATUS_NO_MEMORY;

    if (round.writes != NULL && round.groups != NULL)
        status = apply_rounds(apply, &round);
    else
        error_set(apply->err, status, "a batch of documents");
    for (size_t i = 0; i < apply->count; i++)
        field_document_fini(&apply->groups[i].document);
    free(round.writes);
    free(round.groups);
    return status;
}

static enum status apply_sorted(struct apply *apply, struct place *sorted,
                                const struct field_event *events, size_t count)
{
    enum status status = STATUS_OK;

    for (size_t i = 0; i < count; i++)
        sorted[i].event = &events[i];
    qsort(sorted, count, sizeof *sorted, event_compare);
    for (size_t at = 0; status == STATUS_OK && at < count;) {
        at += apply_gather(apply, sorted + at, count - at);
        status = apply_chunk(apply);
    }
    return status;
}

enum status catalog_apply(struct catalog *catalog, const struct field_event *events, size_t count,
                          struct error *err)
{
    struct error own;
    struct apply apply = { .catalog = catalog, .err = err != NULL ? err : &own };
    enum status status = STATUS_NO_MEMORY;

    if (count == 0)
        return STATUS_OK;
    struct place *sorted = calloc(count, sizeof *sorted);
    apply.groups = calloc(count < CATALOG_CHUNK_MAX ? count : CATALOG_CHUNK_MAX, sizeof *apply.groups);
    if (sorted != NULL && apply.groups != NULL)
        status = apply_sorted(&apply, sorted, events, count);
    else
        error_set(apply.err, status, "a batch of events");
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
