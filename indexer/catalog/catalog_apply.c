/* catalog_apply.c: events into documents.
 *
 * A first insert needs no reading: what is not known is merged into an empty document and inserted. An insert that succeeds shows that
 * nothing was there, so the merge was right. What met a document, and what only takes something away, is read, merged
 * anew, and written where (id, rev) is as it was read; what lost a race is read again. Merging is idempotent, so a write
 * whose fate is not known is treated as lost. A copy that arrives later changes the locations of the only issue: then nothing else is written.
 *
 * Documents may be of any size up to CATALOG_DOCUMENT_SIZE_MAX. A round reads CATALOG_BATCH_SIZE_MAX of them; what it did not get to is
 * left to the next. A document that becomes too large is merged anew and loses its oldest issues.
 *
 * Second copies and replays meet their documents nearly always. So a batch that did makes the next one of the same nodes and run
 * read first, until most of one is not there. */
#include "indexer/catalog/catalog_health.h"
#include "indexer/catalog/catalog_ops.h"
#include "proto/base/log.h"
#include "proto/base/metric.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct metric apply_dropped = { .name = "gribstore_index_locations_dropped_total",
                                       .help = "Locations of a field left out: it has as many as a document holds.",
                                       .kind = METRIC_COUNTER };

static struct metric apply_shortened = { .name = "gribstore_index_issues_dropped_total",
                                         .help = "Older issues of a field left out: its document would be too large.",
                                         .kind = METRIC_COUNTER };

void catalog_apply_metrics(void)
{
    metric_register(&apply_dropped);
    metric_register(&apply_shortened);
    catalog_health_start();
}

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
    bool read;  /* to be read before it is merged */
    bool ready; /* its document is what is there, or empty; no: this round did not get to it */
    bool changed, places_only;
    unsigned losses;                /* races */
    unsigned issues_max;            /* 0: as many as field_merge() leaves */
    unsigned shortened;             /* issues that it left out */
    struct field_document document; /* of this round */
};

struct apply {
    struct catalog *catalog;
    struct group *groups; /* ascending by id */
    size_t count;
    size_t found;       /* documents read in this round */
    size_t size;        /* of those, in bytes */
    bool full;          /* they are as many as a round takes */
    uint64_t dropped;   /* locations left out */
    uint64_t shortened; /* issues left out */
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

/* --- the habit --- */

static uint64_t text_hash(const char *text)
{
    uint64_t hash = 0;

    for (; *text != '\0'; text++)
        hash = hash * 31 + (uint8_t)*text;
    return hash;
}

/* Of the run and of all nodes that the batch is of: what two nodes have together is met seldom, what the second has alone always. */
static atomic_bool *apply_habit(const struct apply *apply)
{
    const struct run_key *run = &apply->groups[0].places[0].event->run;
    uint64_t least = UINT64_MAX, most = 0;

    for (size_t i = 0; i < apply->count; i++)
        for (size_t place = 0; place < apply->groups[i].count; place++) {
            const struct field_event *event = apply->groups[i].places[place].event;
            uint64_t hash = text_hash(event->issue.locations_count > 0 ? event->issue.locations[0].node
                                                                       : event->node);
            least = hash < least ? hash : least;
            most = hash > most ? hash : most;
        }
    uint64_t hash = ((uint64_t)run->base_time * 31 + least) * 31 + most + text_hash(run->source);
    return &apply->catalog->meets[hash % CATALOG_HABITS];
}

static bool group_adds(const struct group *group)
{
    for (size_t i = 0; i < group->count; i++)
        if (group->places[i].event->kind == FIELD_ADD)
            return true;
    return false;
}

static void apply_expect(struct apply *apply, bool meets)
{
    for (size_t i = 0; i < apply->count; i++)
        apply->groups[i].read = meets || !group_adds(&apply->groups[i]);
}

/* --- read --- */

static int group_compare(const void *key, const void *member)
{
    return record_id_compare(key, &((const struct group *)member)->id);
}

static bool apply_on_read(void *data, const struct record *record)
{
    struct apply *apply = data;
    struct group *group = bsearch(&record->id, apply->groups, apply->count, sizeof *group, group_compare);

    assert(group != NULL && !group->done && group->read);
    field_document_fini(&group->document);
    apply->status = catalog_document_of(record, &group->document, apply->err);
    group->ready = apply->status == STATUS_OK;
    apply->found++;
    apply->size += record->size;
    apply->full = apply->size >= CATALOG_BATCH_SIZE_MAX;
    return group->ready && !apply->full;
}

/* What was not found is not there, unless the reading ended before its end: then nothing is known of it. */
static void apply_ready(struct apply *apply)
{
    for (size_t i = 0; i < apply->count && !apply->full; i++)
        apply->groups[i].ready = true;
}

/* Every group that is not done yet gets an empty document, or the one that is there if it has to be read. */
static enum status apply_read(struct apply *apply)
{
    struct record_id *ids = malloc(apply->count * sizeof *ids);
    enum status status = STATUS_OK;
    size_t count = 0;

    if (ids == NULL)
        return error_set(apply->err, STATUS_NO_MEMORY, "a batch of documents");
    for (size_t i = 0; i < apply->count; i++) {
        struct group *group = &apply->groups[i];
        if (group->done)
            continue;
        if (group->read)
            ids[count++] = group->id;
        group->ready = !group->read;
        field_document_init(&group->document, &group->places[0].event->id, &group->places[0].event->run);
    }
    apply->found = apply->size = 0;
    apply->full = false;
    apply->status = STATUS_OK;
    if (count > 0)
        status = apply->catalog->ops->read(apply->catalog, CATALOG_FIELDS, ids, count,
                                           apply_on_read, apply, apply->err);
    free(ids);
    apply_ready(apply);
    return status != STATUS_OK ? status : apply->status;
}

/* --- merge --- */

/* Once a batch, whatever the number. */
static void apply_tell_dropped(struct apply *apply)
{
    const char *source = apply->groups[0].places[0].event->run.source;

    if (apply->dropped > 0)
        log_msg(LOG_WARN, "catalog.locations",
                "of fields of %s %llu locations were left out: a document holds %d of a message",
                source, (unsigned long long)apply->dropped, FIELD_LOCATIONS_MAX);
    if (apply->shortened > 0)
        log_msg(LOG_WARN, "catalog.issues",
                "of fields of %s %llu older issues were left out: a document holds %d bytes",
                source, (unsigned long long)apply->shortened, CATALOG_DOCUMENT_SIZE_MAX);
    metric_add(&apply_dropped, (int64_t)apply->dropped);
    metric_add(&apply_shortened, (int64_t)apply->shortened);
    apply->dropped = apply->shortened = 0;
}

/* Whether of the only issue that was there, and is, nothing but its locations and its stamp may be another. */
static bool only_places_differ(const struct field_issue *before, const struct field_document *document)
{
    const struct field_issue *issue = &document->issues[0];

    return before->sub != 0 && document->issues_count == 1 && issue->keys == before->keys &&
           issue->sub == before->sub && issue->incarnation == before->incarnation &&
           digest_compare(&issue->digest, &before->digest) == 0;
}

static enum status group_merge_events(struct group *group, struct error *err)
{
    group->changed = false;
    for (size_t i = 0; i < group->count; i++) {
        bool changed;
        enum status status = field_merge(&group->document, group->places[i].event, &changed, err);
        if (status != STATUS_OK)
            return status;
        group->changed = group->changed || changed;
    }
    return STATUS_OK;
}

static enum status group_merge(struct group *group, struct error *err)
{
    struct field_document *document = &group->document;
    struct field_issue before = { .sub = 0 };

    if (document->issues_count == 1) {
        before = document->issues[0];
        field_keys_ref(before.keys); /* so that no others lie at its address */
    }
    enum status status = group_merge_events(group, err);
    group->places_only = status == STATUS_OK && only_places_differ(&before, document);
    field_keys_unref(before.keys);
    /* Came and went within the batch: there is nothing to delete. */
    if (document->issues_count == 0 && document->rev == 0)
        group->changed = false;
    return status;
}

/* The oldest issues beyond what the document turned out to have room for. */
static void group_shorten(struct group *group)
{
    struct field_document *document = &group->document;

    group->shortened = 0;
    while (group->issues_max != 0 && document->issues_count > group->issues_max) {
        field_issue_fini(&document->issues[--document->issues_count]);
        group->shortened++;
    }
}

/* Nothing more is to be done: what was left out stays so. */
static void group_done(struct apply *apply, struct group *group)
{
    group->done = true;
    apply->dropped += group->document.dropped;
    apply->shortened += group->shortened;
}

/* A first revision for each of a batch: one look at the system's random numbers is enough for all (record_rev_new()). */
static uint64_t rev_make(uint64_t seed, size_t i)
{
    uint64_t mixed = (seed + i) * UINT64_C(0x9e3779b97f4a7c15);

    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    return ((mixed ^ (mixed >> 27)) >> 16) + 1;
}

static void group_write_make(const struct group *group, struct record_write *write, uint64_t first_rev)
{
    const struct field_document *document = &group->document;

    *write = (struct record_write){ .id = group->id, .rev_was = document->rev };
    if (document->issues_count == 0)
        return;
    write->rev = document->rev == 0 ? first_rev : document->rev + 1;
    write->document = document;
    write->places_only = group->places_only;
}

/* The writes of a round: groups[i] is what writes[i] is for. Room for every group. */
struct round {
    struct record_write *writes; /* owned */
    struct group_of {
        struct group *group;
    } * groups; /* owned */
    size_t count;
};

/* Merges; what changed becomes a write, the rest is done, but for what was not read and took something away again. */
static enum status apply_merge(struct apply *apply, struct round *round, bool *again)
{
    uint64_t seed = record_rev_new();

    for (size_t i = 0; i < apply->count; i++) {
        struct group *group = &apply->groups[i];
        *again = *again || !(group->done || group->ready);
        if (group->done || !group->ready)
            continue;
        enum status status = group_merge(group, apply->err);
        if (status != STATUS_OK)
            return status;
        group_shorten(group);
        if (group->document.issues_count == 0 && !group->read) {
            group->read = *again = true;
            continue;
        }
        if (!group->changed) {
            group_done(apply, group);
            continue;
        }
        group_write_make(group, &round->writes[round->count], rev_make(seed, i));
        round->groups[round->count++].group = group;
    }
    return STATUS_OK;
}

/* --- rounds --- */

/* What became of a write. A document that was too large gets a quarter fewer issues; the current one alone always has room, as a decoder's
 * answer is far smaller (decoder_pipe.h). */
static enum status group_settle(struct apply *apply, struct group *group, const struct record_write *write)
{
    unsigned issues = group->document.issues_count;

    group->read = true;
    if (!write->lost && !write->too_large)
        group_done(apply, group);
    if (write->lost && ++group->losses == CATALOG_ROUNDS_MAX)
        return error_set(apply->err, STATUS_CONFLICT, "other writers came first %u times", group->losses);
    if (write->too_large && issues == 1)
        return error_set(apply->err, STATUS_TOO_LARGE, "a field of more than %d bytes",
                         CATALOG_DOCUMENT_SIZE_MAX);
    if (write->too_large)
        group->issues_max = issues - (issues + 3) / 4;
    return STATUS_OK;
}

static enum status apply_settle(struct apply *apply, const struct round *round, bool *again)
{
    enum status status = STATUS_OK;

    for (size_t i = 0; i < round->count && status == STATUS_OK; i++) {
        struct group *group = round->groups[i].group;
        status = group_settle(apply, group, &round->writes[i]);
        *again = *again || !group->done;
    }
    return status;
}

static enum status apply_round(struct apply *apply, struct round *round, bool *again)
{
    round->count = 0;
    *again = false;
    enum status status = apply_read(apply);
    if (status == STATUS_OK)
        status = apply_merge(apply, round, again);
    if (status == STATUS_OK && round->count > 0)
        status = apply->catalog->ops->write(apply->catalog, CATALOG_FIELDS, round->writes,
                                            round->count, apply->err);
    if (status == STATUS_OK)
        status = apply_settle(apply, round, again);
    for (size_t i = 0; i < apply->count; i++)
        field_document_fini(&apply->groups[i].document);
    return status;
}

/* Whether most of the first round's documents were there already. */
static bool round_met(const struct apply *apply, const struct round *round, bool expected)
{
    size_t lost = 0;

    if (expected)
        return apply->full || 2 * apply->found >= apply->count;
    for (size_t i = 0; i < round->count; i++)
        lost += round->writes[i].lost;
    return 2 * lost > round->count;
}

static enum status apply_rounds(struct apply *apply, struct round *round)
{
    atomic_bool *habit = apply_habit(apply);
    bool again = true, expected = atomic_load(habit);

    apply_expect(apply, expected);
    for (bool first = true; again; first = false) {
        enum status status = apply_round(apply, round, &again);
        if (status != STATUS_OK)
            return status;
        if (first)
            atomic_store(habit, round_met(apply, round, expected));
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
    apply_tell_dropped(apply);
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
