/* census.c: what a run holds in the index, from one scan of its documents.
 *
 * A request is answered by a scan that began after it came, unless nothing changed since the last one. One scan a run is
 * under way at a time; those that come meanwhile share the next. Digests are kept for the few runs asked about last. */
#include "indexer/census.h"

#include "indexer/share.h"

#include <assert.h>
#include <stdlib.h>
#include <uthash.h>
#include <xxhash.h>

enum { CENSUS_DIGESTS_KEPT = 4 }; /* runs whose digests stay in memory */

struct census_message {
    struct digest digest;
    uint64_t length;
    uint16_t copies;
    bool quarantined;
};

struct census_run {
    char name[RUN_TEXT_SIZE];
    struct run_key run;
    struct indexer *indexer;
    uint64_t changes, scanned_changes; /* counters; equal: the census holds */
    bool known, scanning, fresh;       /* fresh: the scan under way has nothing to do */
    struct census census;
    struct census_message *messages; /* owned; ordered by digest; NULL: not kept */
    size_t messages_count, messages_capacity;
    uint64_t used; /* for the choice of whose messages go */
    struct list waiting, served;
    uint64_t cursors_sum, cursors_next; /* over node and revision of the run's cursors */
    struct work work;
    struct census next; /* being made, on the pool */
    struct census_message *next_messages;
    size_t next_count, next_capacity;
    UT_hash_handle hh;
};

struct censuses {
    struct census_run *runs;
    uint64_t clock;
};

static struct census_run *census_find(struct indexer *indexer, const struct run_key *key)
{
    struct censuses *censuses = indexer->censuses;
    char name[RUN_TEXT_SIZE];
    struct census_run *run;

    run_key_print(key, name);
    HASH_FIND_STR(censuses->runs, name, run);
    if (run != NULL)
        return run;
    run = calloc(1, sizeof *run);
    assert(run != NULL);
    memcpy(run->name, name, sizeof name);
    run->run = *key;
    run->indexer = indexer;
    list_init(&run->waiting);
    list_init(&run->served);
    HASH_ADD_STR(censuses->runs, name, run);
    return run;
}

void census_touch(struct indexer *indexer, const struct run_key *key)
{
    census_find(indexer, key)->changes++;
}

void censuses_refresh(struct indexer *indexer, const struct catalog_cursor *cursors, size_t count)
{
    for (size_t i = 0; i < count; i++)
        census_find(indexer, &cursors[i].run)->cursors_next += XXH3_64bits(cursors[i].node,
                                                                           strlen(cursors[i].node)) *
                                                               (cursors[i].rev | 1);
    for (struct census_run *run = indexer->censuses->runs; run != NULL; run = run->hh.next) {
        run->changes += run->cursors_next != run->cursors_sum;
        run->cursors_sum = run->cursors_next;
        run->cursors_next = 0;
    }
}

/* --- the scan, on the pool --- */

static void census_add(struct census_run *run, const struct digest *digest, uint64_t length,
                       unsigned copies, bool quarantined)
{
    if (run->next_count == run->next_capacity) {
        run->next_capacity = run->next_capacity == 0 ? 4096 : run->next_capacity * 2;
        run->next_messages = realloc(run->next_messages, run->next_capacity * sizeof *run->next_messages);
        assert(run->next_messages != NULL);
    }
    run->next_messages[run->next_count++] = (struct census_message){
        .digest = *digest, .length = length, .copies = (uint16_t)copies, .quarantined = quarantined
    };
}

/* Locations are ordered by node: distinct ones are borders. */
static unsigned census_copies(const struct field_location *locations, unsigned count)
{
    unsigned copies = 0;

    for (unsigned i = 0; i < count; i++)
        copies += i == 0 || strcmp(locations[i].node, locations[i - 1].node) != 0;
    return copies;
}

static bool census_on_document(void *data, const struct catalog_issue *issues, unsigned count)
{
    struct census_run *run = data;

    run->next.fields++;
    for (unsigned i = 0; i < count; i++)
        census_add(run, &issues[i].digest, issues[i].length, issues[i].nodes, false);
    return true;
}

static bool census_on_quarantined(void *data, const struct quarantine_entry *entry)
{
    census_add(data, &entry->digest, entry->length,
               census_copies(entry->locations, entry->locations_count), true);
    return true;
}

static int census_compare(const void *a, const void *b)
{
    const struct census_message *left = a, *right = b;
    return digest_compare(&left->digest, &right->digest);
}

/* One entry a digest: a message of several fields has the fewest copies of any. */
static void census_fold(struct census_run *run)
{
    size_t kept = 0;

    assert(run->next_messages != NULL);
    qsort(run->next_messages, run->next_count, sizeof *run->next_messages, census_compare);
    for (size_t i = 0; i < run->next_count; i++) {
        const struct census_message *message = &run->next_messages[i];
        struct census_message *last = kept > 0 ? &run->next_messages[kept - 1] : NULL;

        if (last != NULL && digest_compare(&last->digest, &message->digest) == 0) {
            last->copies = message->copies < last->copies ? message->copies : last->copies;
            continue;
        }
        run->next_messages[kept++] = *message;
        run->next.messages++;
        run->next.bytes += message->length;
        run->next.quarantined += message->quarantined;
        digest_set_add(&run->next.fingerprint, &message->digest);
    }
    run->next_count = kept;
}

static void census_scan_run(struct work *work)
{
    struct census_run *run = container_of(work, struct census_run, work);
    struct catalog *catalog = run->indexer->catalog;

    work->status = STATUS_OK;
    if (run->fresh)
        return;
    run->next = (struct census){ 0 };
    run->next_count = 0;
    work->status = catalog_scan_issues(catalog, &run->run, census_on_document, run, &work->err);
    if (work->status == STATUS_OK)
        work->status = catalog_quarantine_scan(catalog, &run->run, census_on_quarantined, run,
                                               &work->err);
    if (work->status == STATUS_OK && run->next_count > 0)
        census_fold(run);
}

/* --- answers --- */

static void census_look_up(const struct census_run *run, struct census_request *request)
{
    for (size_t i = 0; i < request->digests_count; i++) {
        const struct census_message wanted = { .digest = request->digests[i] };
        const struct census_message *found = run->messages_count == 0
                                                 ? NULL
                                                 : bsearch(&wanted, run->messages, run->messages_count,
                                                           sizeof wanted, census_compare);
        request->answers[i] = (struct census_digest){ 0 };
        if (found != NULL)
            request->answers[i] = (struct census_digest){ .known = true,
                                                          .quarantined = found->quarantined,
                                                          .copies = found->copies };
    }
}

static void census_keep_few(struct censuses *censuses)
{
    for (;;) {
        struct census_run *oldest = NULL;
        unsigned kept = 0;
        for (struct census_run *run = censuses->runs; run != NULL; run = run->hh.next) {
            if (run->messages == NULL || run->scanning)
                continue;
            kept++;
            if (oldest == NULL || run->used < oldest->used)
                oldest = run;
        }
        if (kept <= CENSUS_DIGESTS_KEPT)
            return;
        free(oldest->messages);
        oldest->messages = NULL;
        oldest->messages_count = oldest->messages_capacity = 0;
    }
}

static void census_start_scan(struct census_run *run);

static void census_take_over(struct census_run *run)
{
    free(run->messages);
    run->messages = run->next_messages;
    run->messages_count = run->next_count;
    run->messages_capacity = run->next_capacity;
    run->next_messages = NULL;
    run->next_count = run->next_capacity = 0;
    run->census = run->next;
    run->known = true;
}

static void census_on_scanned(struct work *work)
{
    struct census_run *run = container_of(work, struct census_run, work);
    struct list served;

    run->scanning = false;
    if (work->status == STATUS_OK && !run->fresh)
        census_take_over(run);
    else if (work->status != STATUS_OK)
        run->known = false;
    list_init(&served);
    list_splice(&served, &run->served);
    while (!list_empty(&served)) {
        struct census_request *request = list_first(&served, struct census_request, list);
        list_remove(&request->list);
        if (work->status == STATUS_OK)
            census_look_up(run, request);
        request->on_done(request, work->status, &run->census, &work->err);
    }
    if (!run->scanning && !list_empty(&run->waiting))
        census_start_scan(run);
    if (run->indexer->censuses != NULL)
        census_keep_few(run->indexer->censuses);
}

static void census_start_scan(struct census_run *run)
{
    bool digests = false;

    list_for_each (at, &run->waiting)
        digests = digests || container_of(at, struct census_request, list)->digests_count > 0;
    run->fresh = run->known && run->scanned_changes == run->changes &&
                 !(digests && share_alive(run->indexer) > 1) && /* what others write is known a moment later */
                 (!digests || run->messages != NULL || run->census.messages == 0);
    run->scanned_changes = run->changes;
    run->scanning = true;
    run->used = ++run->indexer->censuses->clock;
    list_splice(&run->served, &run->waiting);
    error_init(&run->work.err);
    work_start(run->indexer->loop, &run->work, census_scan_run, census_on_scanned);
}

void census_take(struct indexer *indexer, struct census_request *request)
{
    struct census_run *run = census_find(indexer, &request->run);

    list_append(&run->waiting, &request->list);
    if (!run->scanning)
        census_start_scan(run);
}

enum status censuses_start(struct indexer *indexer, struct error *err)
{
    indexer->censuses = calloc(1, sizeof *indexer->censuses);
    return indexer->censuses == NULL ? error_set(err, STATUS_NO_MEMORY, "censuses") : STATUS_OK;
}

void censuses_stop(struct indexer *indexer)
{
    struct census_run *run, *after;

    HASH_ITER(hh, indexer->censuses->runs, run, after)
    {
        assert(!run->scanning);
        HASH_DEL(indexer->censuses->runs,
                 run); /* NOLINT(clang-analyzer-unix.Malloc): it does not follow uthash's links */
        free(run->messages);
        free(run->next_messages);
        free(run);
    }
    free(indexer->censuses);
    indexer->censuses = NULL;
}
