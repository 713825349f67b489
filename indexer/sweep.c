/* sweep.c: what no node has any more leaves the index.
 *
 *     TAKE -> COLLECT (a run) ... -> LIST (all nodes at once) -> REMOVE (a run's file) ... -> HEAL -> KEEP -> END
 *
 * HEAL is a machine of its own (sweep_heal.c). Runs that it has read again, and those that somebody found to differ, are in focus: they are
 * swept by themselves a little later.
 *
 * On its way a sweep gives locations the URL that their node goes by now, where the map has another than the catalog last saw (`url/{node}` among
 * its notes, written at the end: a crash begins anew, and what was done is not done twice).
 *
 * The order is what makes it safe: a file that is collected was there before any listing was asked for, so one that a full listing then lacks
 * is gone, and gone for good, since no file's name is used twice. What is kept in memory are names of files, not of documents. */
#include "indexer/sweep.h"

#include "indexer/census.h"
#include "indexer/map_authority.h"
#include "indexer/share.h"
#include "indexer/sweep_heal.h"
#include "proto/base/clock.h"
#include "proto/base/fsm.h"
#include "proto/base/json_read.h"
#include "proto/base/json_write.h"
#include "proto/base/log.h"
#include "proto/base/metric.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    SWEEP_LOOK_MS = 60000, /* whether it is time */
    SWEEP_SOON_MS = 200,
    SWEEP_BATCH = 2000,
    SWEEP_TIMEOUT_MS = 60000,
    SWEEP_LISTING_SIZE_MAX = 256 << 20,
    SWEEP_LOG_MS = 10000,
    SWEEP_FOCUS_MAX = 256,  /* runs; what is more waits for the next sweep of all */
    SWEEP_FOCUS_LEASES = 2, /* how long a run in focus waits: time to be read again */
};
static const char sweep_note[] = "sweep", sweep_lease[] = "sweep";

enum sweep_step {
    SWEEP_TAKE,
    SWEEP_COLLECT,
    SWEEP_LIST,
    SWEEP_REMOVE,
    SWEEP_HEAL,
    SWEEP_KEEP,
    SWEEP_END
};

/* A file that documents name. */
struct sweep_file {
    char key[NODE_ID_SIZE_MAX + RUN_TEXT_SIZE + DATA_FILE_NAME_SIZE + 3]; /* node, run, file: each once */
    struct run_key run;
    char node[NODE_ID_SIZE_MAX + 1], file[DATA_FILE_NAME_SIZE];
    bool gone;
    bool unknown; /* of a node that is no member: it goes only from what has another place */
    UT_hash_handle hh;
};

/* What the map calls a node. */
struct sweep_url {
    char id[NODE_ID_SIZE_MAX + 1], url[URL_SIZE_MAX + 1];
    bool moved; /* the note has another, or there is none */
};

struct sweep_node {
    struct node_request request;
    struct sweeps *sweeps;
    char id[NODE_ID_SIZE_MAX + 1];
    bool asked, listed; /* asked: the request is under way */
};

struct sweeps {
    struct indexer *indexer;
    struct fsm fsm;
    uv_timer_t timer;
    bool running, wanted, due_now;
    uint64_t ended_us;     /* as the catalog has it */
    struct heal_run *runs; /* owned */
    size_t runs_count, runs_size, at;
    struct sweep_heal *heal; /* owned */
    struct run_key focus[SWEEP_FOCUS_MAX];
    size_t focus_count, focus_taken; /* taken: those at the front are this sweep's */
    bool partial;                    /* only runs in focus */
    bool more; /* more runs differed than could be looked at, and some were read again: soon another sweep of all */
    struct sweep_url *urls; /* owned; the map's nodes */
    size_t urls_count;
    struct sweep_file *files, *next; /* owned table; the next to look at */
    struct sweep_node *nodes;        /* owned; those of the map that are not out */
    size_t nodes_count;
    struct work work;
    bool skipped; /* TAKE: another indexer sweeps, or it is not time */
    char owner[64];
    struct run_key changed; /* by the work just done */
    size_t removed_documents, removed_files, kept;
    uint64_t logged_ms;
    struct sweep_status status;
    void (*on_stopped)(struct indexer *indexer);
};

static struct metric sweep_ended = { .name = "gribstore_sweeps_total",
                                     .help = "Sweeps of the index that came to their end here.",
                                     .kind = METRIC_COUNTER };
static struct metric sweep_files_gone = { .name = "gribstore_sweep_files_total",
                                          .help = "Data files whose locations a sweep removed from the index.",
                                          .kind = METRIC_COUNTER };
static struct metric sweep_documents_gone = { .name = "gribstore_sweep_documents_total",
                                              .help = "Documents of purged runs that a sweep removed.",
                                              .kind = METRIC_COUNTER };

static struct sweeps *sweeps_of(struct fsm *fsm)
{
    return container_of(fsm, struct sweeps, fsm);
}

static bool sweep_leaves(const struct sweeps *sweeps)
{
    return sweeps->indexer->draining;
}

static void sweep_on_work(struct work *work)
{
    struct sweeps *sweeps = container_of(work, struct sweeps, work);
    fsm_resume(&sweeps->fsm, work->status, &work->err);
}

static enum fsm_next sweep_work(struct sweeps *sweeps, void (*run)(struct work *work), enum sweep_step next)
{
    work_start(sweeps->indexer->loop, &sweeps->work, run, sweep_on_work);
    return fsm_wait(&sweeps->fsm, 1, next);
}

/* --- TAKE: one indexer at a time, when it is time; and which runs there are --- */

static bool sweep_in_focus(const struct sweeps *sweeps, const struct run_key *run)
{
    for (size_t i = 0; i < sweeps->focus_taken; i++)
        if (run_key_compare(&sweeps->focus[i], run) == 0)
            return true;
    return false;
}

static bool sweep_on_run(void *data, const struct catalog_run *run)
{
    struct sweeps *sweeps = data;

    if (sweeps->partial && !sweep_in_focus(sweeps, &run->run))
        return true;
    if (sweeps->runs_count == sweeps->runs_size) {
        sweeps->runs_size = sweeps->runs_size == 0 ? 64 : 2 * sweeps->runs_size;
        sweeps->runs = realloc(sweeps->runs, sweeps->runs_size * sizeof *sweeps->runs);
        assert(sweeps->runs != NULL);
    }
    sweeps->runs[sweeps->runs_count++] = (struct heal_run){ .run = *run };
    return true;
}

/* Was the last one long ago? */
static enum status sweep_read_note(struct sweeps *sweeps, struct error *err)
{
    char text[CATALOG_NOTE_SIZE_MAX];
    enum status status = catalog_note_get(sweeps->indexer->catalog, sweep_note, text, err);

    if (status == STATUS_OK && decimal_parse(text, strlen(text), UINT64_MAX, &sweeps->ended_us) != 0)
        sweeps->ended_us = 0;
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* Which nodes go by another URL than when a sweep last came to its end? */
static enum status sweep_read_urls(struct sweeps *sweeps, bool *moved, struct error *err)
{
    char name[NODE_ID_SIZE_MAX + 8], text[CATALOG_NOTE_SIZE_MAX];
    enum status status = STATUS_OK;

    for (size_t i = 0; i < sweeps->urls_count && status == STATUS_OK; i++) {
        struct sweep_url *url = &sweeps->urls[i];
        snprintf(name, sizeof name, "url/%s", url->id);
        status = catalog_note_get(sweeps->indexer->catalog, name, text, err);
        url->moved = status == STATUS_NOT_FOUND || (status == STATUS_OK && strcmp(text, url->url) != 0);
        *moved = *moved || (url->moved && status == STATUS_OK);
        if (status == STATUS_NOT_FOUND) /* nobody has looked yet; that alone is no reason to sweep */
            status = STATUS_OK;
    }
    return status;
}

static void sweep_take_run(struct work *work)
{
    struct sweeps *sweeps = container_of(work, struct sweeps, work);
    struct indexer *indexer = sweeps->indexer;
    uint64_t now_us = clock_wall_us(), every_us = indexer->settings->sweep_ms * 1000;
    char holder[64];
    bool moved = false;

    work->status = sweep_read_note(sweeps, &work->err);
    if (work->status == STATUS_OK)
        work->status = sweep_read_urls(sweeps, &moved, &work->err);
    if (work->status != STATUS_OK)
        return;
    /* A clock that was put back makes it due, rather than never. */
    bool due = sweeps->due_now || moved ||
               (every_us > 0 && (now_us < sweeps->ended_us || now_us - sweeps->ended_us >= every_us));
    sweeps->partial = !due && sweeps->focus_taken > 0;
    sweeps->skipped = !due && !sweeps->partial;
    if (!sweeps->skipped && catalog_is_shared(indexer->catalog)) {
        work->status = catalog_lease_take(indexer->catalog, sweep_lease, sweeps->owner,
                                          indexer->settings->lease_ms, holder, &work->err);
        sweeps->skipped = work->status == STATUS_CONFLICT;
        if (sweeps->skipped)
            work->status = STATUS_OK;
    }
    if (work->status == STATUS_OK && !sweeps->skipped)
        work->status = catalog_run_scan(indexer->catalog, sweep_on_run, sweeps, &work->err);
}

static enum fsm_next sweep_take(struct fsm *fsm)
{
    struct sweeps *sweeps = sweeps_of(fsm);

    const struct cluster_map *map = map_authority_map(sweeps->indexer);

    sweeps->due_now = sweeps->wanted || sweeps->more;
    sweeps->wanted = sweeps->more = false;
    sweeps->skipped = false;
    sweeps->focus_taken = sweeps->focus_count;
    sweeps->urls = calloc((map != NULL ? map->nodes_count : 0) + 1, sizeof *sweeps->urls);
    assert(sweeps->urls != NULL);
    for (unsigned i = 0; map != NULL && i < map->nodes_count; i++) {
        struct sweep_url *url = &sweeps->urls[sweeps->urls_count++];
        snprintf(url->id, sizeof url->id, "%s", map->nodes[i].id);
        snprintf(url->url, sizeof url->url, "%s", map->nodes[i].url);
    }
    return sweep_work(sweeps, sweep_take_run, SWEEP_COLLECT);
}

/* --- COLLECT: what belongs to purged runs goes; the files that the rest names --- */

static void sweep_on_file(void *data, const char *node, const char *file)
{
    struct sweeps *sweeps = data;
    const struct run_key *run = &sweeps->runs[sweeps->at].run.run;
    struct sweep_file *found;
    char key[sizeof found->key], name[RUN_TEXT_SIZE];

    run_key_print(run, name);
    snprintf(key, sizeof key, "%s %s %s", node, name, file);
    HASH_FIND_STR(sweeps->files, key, found);
    if (found != NULL)
        return;
    found = calloc(1, sizeof *found);
    assert(found != NULL);
    memcpy(found->key, key, sizeof key);
    found->run = *run;
    snprintf(found->node, sizeof found->node, "%s", node);
    snprintf(found->file, sizeof found->file, "%s", file);
    HASH_ADD_STR(sweeps->files, key, found);
}

/* Documents that the run's state has no place for. A purged run is never taken back under its incarnation, so this is right at any time. */
static enum status sweep_remove_old(struct sweeps *sweeps, const struct run_key *key, struct error *err)
{
    struct catalog *catalog = sweeps->indexer->catalog;
    struct catalog_run run;
    size_t removed = SWEEP_BATCH;
    enum status status = catalog_run_get(catalog, key, &run, err);

    if (status == STATUS_NOT_FOUND)
        return STATUS_OK;
    uint64_t up_to = run.info.state == RUN_PURGED ? run.info.incarnation : run.info.incarnation - 1;
    while (status == STATUS_OK && up_to > 0 && removed == SWEEP_BATCH) {
        status = catalog_remove_run(catalog, key, up_to, SWEEP_BATCH, &removed, err);
        if (status == STATUS_OK)
            sweeps->removed_documents += removed;
    }
    return status;
}

static enum status sweep_move_run(struct sweeps *sweeps, const struct run_key *run, struct error *err)
{
    enum status status = STATUS_OK;

    for (size_t i = 0; i < sweeps->urls_count && status == STATUS_OK; i++) {
        size_t moved;
        if (!sweeps->urls[i].moved)
            continue;
        status = catalog_move_node(sweeps->indexer->catalog, run, sweeps->urls[i].id,
                                   sweeps->urls[i].url, &moved, err);
    }
    return status;
}

static void sweep_collect_run(struct work *work)
{
    struct sweeps *sweeps = container_of(work, struct sweeps, work);
    struct catalog *catalog = sweeps->indexer->catalog;
    const struct run_key *run = &sweeps->runs[sweeps->at].run.run;
    struct run_holdings *holdings = &sweeps->runs[sweeps->at].holdings;

    sweeps->removed_documents = 0;
    work->status = sweep_remove_old(sweeps, run, &work->err);
    if (work->status == STATUS_OK)
        work->status = sweep_move_run(sweeps, run, &work->err);
    if (work->status == STATUS_OK)
        work->status = run_holdings_scan(catalog, run, sweep_on_file, sweeps, holdings, &work->err);
    sweeps->changed = *run;
    sweeps->at++;
}

static void sweep_progress(struct sweeps *sweeps)
{
    uint64_t now = clock_monotonic_ms();

    if (now - sweeps->logged_ms < SWEEP_LOG_MS)
        return;
    sweeps->logged_ms = now;
    log_msg(LOG_INFO, "sweep.progress", "%zu of %zu runs, %u files named", sweeps->at,
            sweeps->runs_count, HASH_COUNT(sweeps->files));
}

static void sweep_begin(struct sweeps *sweeps)
{
    sweeps->status.running = true;
    sweeps->status.started_us = clock_wall_us();
    sweeps->status.runs_count = sweeps->runs_count;
    sweeps->status.nodes_skipped = sweeps->status.kept = 0;
    sweeps->logged_ms = clock_monotonic_ms();
    log_msg(LOG_INFO, "sweep.started", "%zu runs%s", sweeps->runs_count,
            sweeps->partial ? " that differed" : "");
}

static enum fsm_next sweep_collect(struct fsm *fsm)
{
    struct sweeps *sweeps = sweeps_of(fsm);

    if (sweeps->skipped || sweep_leaves(sweeps))
        return fsm_go(fsm, SWEEP_END);
    if (!sweeps->status.running)
        sweep_begin(sweeps);
    if (sweeps->removed_documents > 0) {
        census_touch(sweeps->indexer, &sweeps->changed);
        sweeps->status.documents_removed += sweeps->removed_documents;
        metric_add(&sweep_documents_gone, (int64_t)sweeps->removed_documents);
        sweeps->removed_documents = 0;
    }
    sweep_progress(sweeps);
    sweeps->status.runs_done = sweeps->at;
    if (sweeps->at == sweeps->runs_count)
        return fsm_go(fsm, SWEEP_LIST);
    run_key_print(&sweeps->runs[sweeps->at].run.run, sweeps->status.run);
    return sweep_work(sweeps, sweep_collect_run, SWEEP_COLLECT);
}

/* --- LIST: what the nodes have, asked for after what documents name was collected --- */

static struct sweep_node *sweep_node_find(struct sweeps *sweeps, const char *id)
{
    for (size_t i = 0; i < sweeps->nodes_count; i++)
        if (strcmp(sweeps->nodes[i].id, id) == 0)
            return &sweeps->nodes[i];
    return NULL;
}

/* All files of this node count as gone until the listing names them. */
static void sweep_mark(struct sweeps *sweeps, const char *node, bool gone)
{
    for (struct sweep_file *file = sweeps->files; file != NULL; file = file->hh.next)
        if (strcmp(file->node, node) == 0)
            file->gone = gone;
}

static void sweep_keep_listed(struct sweeps *sweeps, const char *node, const struct tail_listing *listing)
{
    char run[RUN_TEXT_SIZE], name[DATA_FILE_NAME_SIZE];
    struct sweep_file *found;
    char key[sizeof found->key];

    run_key_print(&listing->run, run);
    for (size_t i = 0; i < listing->files_count; i++) {
        data_file_name_print(listing->files[i].shard, listing->files[i].birth, name);
        snprintf(key, sizeof key, "%s %s %s", node, run, name);
        HASH_FIND_STR(sweeps->files, key, found);
        if (found != NULL)
            found->gone = false;
    }
}

static enum status sweep_take_listing(struct sweep_node *node, const json_t *answer, struct error *err)
{
    json_t *runs;
    enum status status = json_get_array(answer, "runs", &runs, err);

    if (status != STATUS_OK)
        return status;
    if (!json_is_true(json_object_get(answer, "full")))
        return error_set(err, STATUS_MALFORMED, "the listing is not a full one");
    sweep_mark(node->sweeps, node->id, true);
    for (size_t i = 0; i < json_array_size(runs) && status == STATUS_OK; i++) {
        struct tail_listing listing;
        status = tail_listing_parse(json_array_get(runs, i), &listing, err);
        if (status == STATUS_OK) {
            sweep_keep_listed(node->sweeps, node->id, &listing);
            sweep_heal_listed(node->sweeps->heal, node->id, &listing);
        }
        free(listing.files);
    }
    if (status != STATUS_OK)
        sweep_mark(node->sweeps, node->id, false); /* what it said is no proof of anything */
    return status;
}

static void sweep_on_listing(struct node_request *request, enum status status, const struct error *err)
{
    struct sweep_node *node = container_of(request, struct sweep_node, request);
    struct error story = *err;
    json_t *answer = NULL;

    if (status == STATUS_OK)
        status = json_parse(request->transfer.answer.data, request->transfer.answer.size, &answer, &story);
    if (status == STATUS_OK)
        status = sweep_take_listing(node, answer, &story);
    json_decref(answer);
    node_request_fini(request);
    node->asked = false;
    node->listed = status == STATUS_OK;
    if (!node->listed) {
        node->sweeps->status.nodes_skipped++;
        log_msg(LOG_WARN, "sweep.skipped", "node %s: %s", node->id, story.text);
    }
    fsm_resume(&node->sweeps->fsm, STATUS_OK, NULL);
}

/* A node that the map does not have, or counts out, can't be asked what it holds. */
static void sweep_mark_unknown(struct sweeps *sweeps)
{
    for (struct sweep_file *file = sweeps->files; file != NULL; file = file->hh.next)
        if (sweep_node_find(sweeps, file->node) == NULL)
            file->gone = file->unknown = true;
}

static enum fsm_next sweep_list(struct fsm *fsm)
{
    struct sweeps *sweeps = sweeps_of(fsm);
    const struct cluster_map *map = map_authority_map(sweeps->indexer);

    if (sweep_leaves(sweeps) || map == NULL)
        return fsm_go(fsm, SWEEP_END);
    sweeps->nodes = calloc(map->nodes_count + 1, sizeof *sweeps->nodes);
    assert(sweeps->nodes != NULL);
    for (unsigned i = 0; i < map->nodes_count; i++) {
        if (map->nodes[i].state == NODE_OUT)
            continue;
        struct sweep_node *node = &sweeps->nodes[sweeps->nodes_count++];
        node->sweeps = sweeps;
        node->asked = true;
        snprintf(node->id, sizeof node->id, "%s", map->nodes[i].id);
        node_request_init(&node->request, sweeps->indexer);
        node->request.transfer.answer_max = SWEEP_LISTING_SIZE_MAX;
        node_request_start(&node->request, "GET", map->nodes[i].url, SWEEP_TIMEOUT_MS,
                           sweep_on_listing, "/cluster/runs");
    }
    sweep_mark_unknown(sweeps);
    sweeps->next = NULL;
    if (sweeps->nodes_count == 0)
        return fsm_go(fsm, SWEEP_REMOVE);
    return fsm_wait(fsm, (unsigned)sweeps->nodes_count, SWEEP_REMOVE);
}

/* --- REMOVE: by name, so that nothing that came meanwhile can go --- */

static void sweep_remove_run(struct work *work)
{
    struct sweeps *sweeps = container_of(work, struct sweeps, work);
    const struct sweep_file *file = sweeps->next;

    struct catalog *catalog = sweeps->indexer->catalog;

    sweeps->kept = 0;
    if (file->unknown)
        work->status = catalog_forget_node(catalog, &file->run, file->node, file->file,
                                           &sweeps->kept, &work->err);
    else
        work->status = catalog_remove_locations(catalog, &file->run, file->node, file->file, NULL,
                                                &work->err);
}

static void sweep_on_removed(struct work *work)
{
    struct sweeps *sweeps = container_of(work, struct sweeps, work);
    struct sweep_file *file = sweeps->next;

    census_touch(sweeps->indexer, &file->run);
    file->gone = false;
    if (work->status == STATUS_OK && sweeps->kept > 0) {
        log_msg(LOG_WARN, "sweep.kept",
                "%s: %zu fields or messages are named there alone, and that node is no member: they stay named",
                file->key, sweeps->kept);
        sweeps->status.kept += sweeps->kept;
    } else if (work->status == STATUS_OK) {
        log_msg(LOG_INFO, "sweep.removed", "%s is gone", file->key);
        sweeps->status.locations_removed++;
        metric_add(&sweep_files_gone, 1);
    }
    fsm_resume(&sweeps->fsm, work->status, &work->err);
}

static enum fsm_next sweep_remove(struct fsm *fsm)
{
    struct sweeps *sweeps = sweeps_of(fsm);

    if (sweep_leaves(sweeps))
        return fsm_go(fsm, SWEEP_END);
    sweeps->next = sweeps->next == NULL ? sweeps->files : sweeps->next->hh.next;
    while (sweeps->next != NULL && !sweeps->next->gone)
        sweeps->next = sweeps->next->hh.next;
    if (sweeps->next == NULL)
        return fsm_go(fsm, SWEEP_HEAL);
    run_key_print(&sweeps->next->run, sweeps->status.run);
    work_start(sweeps->indexer->loop, &sweeps->work, sweep_remove_run, sweep_on_removed);
    return fsm_wait(fsm, 1, SWEEP_REMOVE);
}

/* --- HEAL: what differs is read again --- */

static void sweep_on_timer(uv_timer_t *timer);

static void sweep_focus(struct sweeps *sweeps, const struct run_key *run)
{
    for (size_t i = sweeps->focus_taken; i < sweeps->focus_count; i++)
        if (run_key_compare(&sweeps->focus[i], run) == 0)
            return;
    if (sweeps->focus_count < SWEEP_FOCUS_MAX)
        sweeps->focus[sweeps->focus_count++] = *run;
}

static void sweep_on_reread(void *data, const struct run_key *run)
{
    sweep_focus(data, run);
}

static void sweep_on_healed(void *data, enum status status, const struct heal_result *result,
                            const struct error *err)
{
    struct sweeps *sweeps = data;

    sweeps->timer.data = sweeps;
    sweeps->status.differing = result->differ;
    sweeps->status.unhealed = result->unhealed;
    sweeps->status.reread += result->reread;
    if (result->more)
        log_msg(LOG_WARN, "sweep.more", "more runs differ than are looked at twice in one sweep");
    sweeps->more = result->more && result->reread > 0;
    fsm_resume(&sweeps->fsm, status, err);
}

static enum fsm_next sweep_heal(struct fsm *fsm)
{
    struct sweeps *sweeps = sweeps_of(fsm);
    struct heal_caller caller = { .data = sweeps, .on_reread = sweep_on_reread, .on_done = sweep_on_healed };

    sweep_heal_start(sweeps->heal, sweeps->runs, sweeps->runs_count, &sweeps->timer, &caller);
    return fsm_wait(fsm, 1, SWEEP_KEEP);
}

/* --- KEEP: when it ended --- */

static void sweep_keep_run(struct work *work)
{
    struct sweeps *sweeps = container_of(work, struct sweeps, work);
    char text[32], name[NODE_ID_SIZE_MAX + 8];

    snprintf(text, sizeof text, "%" PRIu64, sweeps->ended_us);
    work->status = catalog_note_put(sweeps->indexer->catalog, sweep_note, text, &work->err);
    for (size_t i = 0; i < sweeps->urls_count && work->status == STATUS_OK; i++) {
        snprintf(name, sizeof name, "url/%s", sweeps->urls[i].id);
        if (sweeps->urls[i].moved)
            work->status = catalog_note_put(sweeps->indexer->catalog, name, sweeps->urls[i].url,
                                            &work->err);
    }
}

static enum fsm_next sweep_keep(struct fsm *fsm)
{
    struct sweeps *sweeps = sweeps_of(fsm);

    if (sweep_leaves(sweeps))
        return fsm_go(fsm, SWEEP_END);
    memmove(sweeps->focus, sweeps->focus + sweeps->focus_taken,
            (sweeps->focus_count - sweeps->focus_taken) * sizeof sweeps->focus[0]);
    sweeps->focus_count -= sweeps->focus_taken;
    sweeps->focus_taken = 0;
    if (sweeps->partial)
        return fsm_go(fsm, SWEEP_END);
    sweeps->ended_us = sweeps->status.ended_us = clock_wall_us();
    metric_add(&sweep_ended, 1);
    log_msg(LOG_INFO, "sweep.ended", "%zu runs, %u files named, %" PRIu64 " nodes skipped",
            sweeps->runs_count, HASH_COUNT(sweeps->files), sweeps->status.nodes_skipped);
    return sweep_work(sweeps, sweep_keep_run, SWEEP_END);
}

/* --- END: also where failures go --- */

static void sweep_fini(struct sweeps *sweeps)
{
    struct sweep_file *file, *after;

    HASH_ITER(hh, sweeps->files, file, after)
    {
        HASH_DEL(sweeps->files, file); /* NOLINT(clang-analyzer-unix.Malloc): it does not follow uthash's links */
        free(file);
    }
    for (size_t i = 0; i < sweeps->runs_count; i++)
        run_holdings_fini(&sweeps->runs[i].holdings);
    free(sweeps->runs);
    free(sweeps->urls);
    free(sweeps->nodes);
    sweeps->urls = NULL;
    sweeps->urls_count = 0;
    sweeps->runs = NULL;
    sweeps->nodes = NULL;
    sweeps->next = NULL;
    sweeps->runs_count = sweeps->runs_size = sweeps->nodes_count = sweeps->at = 0;
}

static void sweep_on_closed(uv_handle_t *handle)
{
    struct sweeps *sweeps = handle->data;
    struct indexer *indexer = sweeps->indexer;
    void (*on_stopped)(struct indexer *) = sweeps->on_stopped;

    indexer->sweeps = NULL;
    sweep_heal_free(sweeps->heal);
    free(sweeps);
    on_stopped(indexer);
}

/* When to look again: at once where somebody wants it, a little later where runs were read again. */
static uint64_t sweep_pause_ms(const struct sweeps *sweeps, bool failed)
{
    uint64_t focus_ms = sweeps->indexer->settings->lease_ms * SWEEP_FOCUS_LEASES;

    if (sweeps->wanted && !failed)
        return SWEEP_SOON_MS;
    return (sweeps->focus_count > 0 || sweeps->more) && focus_ms < SWEEP_LOOK_MS ? focus_ms
                                                                                 : SWEEP_LOOK_MS;
}

static enum fsm_next sweep_end(struct fsm *fsm)
{
    struct sweeps *sweeps = sweeps_of(fsm);

    if (fsm->status != STATUS_OK) {
        log_msg(LOG_WARN, "sweep.failed", "%s: tried again later", fsm->err.text);
        sweeps->wanted = sweeps->wanted || (sweeps->status.running && !sweeps->partial);
    }
    if (sweeps->status.running && catalog_is_shared(sweeps->indexer->catalog))
        share_give_back(sweeps->indexer, sweep_lease);
    sweep_fini(sweeps);
    sweeps->running = sweeps->status.running = false;
    sweeps->status.run[0] = '\0';
    if (sweeps->on_stopped != NULL)
        uv_close((uv_handle_t *)&sweeps->timer, sweep_on_closed);
    else if (!sweep_leaves(sweeps))
        uv_timer_start(&sweeps->timer, sweep_on_timer,
                       sweep_pause_ms(sweeps, fsm->status != STATUS_OK), 0);
    return FSM_END;
}

#define TO(step) (1u << SWEEP_##step)
static const struct fsm_step sweep_steps[] = {
    [SWEEP_TAKE] = { "take", sweep_take, TO(COLLECT) },
    [SWEEP_COLLECT] = { "collect", sweep_collect, TO(COLLECT) | TO(LIST) | TO(END) },
    [SWEEP_LIST] = { "list", sweep_list, TO(REMOVE) | TO(END) },
    [SWEEP_REMOVE] = { "remove", sweep_remove, TO(REMOVE) | TO(HEAL) | TO(END) },
    [SWEEP_HEAL] = { "heal", sweep_heal, TO(KEEP) },
    [SWEEP_KEEP] = { "keep", sweep_keep, TO(END) },
    [SWEEP_END] = { "end", sweep_end, 0 },
};

static void sweep_on_timer(uv_timer_t *timer)
{
    struct sweeps *sweeps = timer->data;
    struct indexer *indexer = sweeps->indexer;

    if (sweep_leaves(sweeps) || sweeps->running)
        return;
    if (map_authority_map(indexer) == NULL) {
        uv_timer_start(&sweeps->timer, sweep_on_timer, SWEEP_LOOK_MS, 0);
        return;
    }
    sweeps->running = true;
    snprintf(sweeps->owner, sizeof sweeps->owner, "%s", share_owner(indexer));
    error_init(&sweeps->work.err);
    fsm_start(&sweeps->fsm, "sweep", sweep_steps, ARRAY_COUNT(sweep_steps), SWEEP_TAKE, SWEEP_END);
}

void sweep_wanted(struct indexer *indexer, const char *why)
{
    struct sweeps *sweeps = indexer->sweeps;

    if (sweeps == NULL || indexer->draining)
        return;
    if (!sweeps->wanted)
        log_msg(LOG_INFO, "sweep.wanted", "%s", why);
    sweeps->wanted = true;
    if (!sweeps->running)
        uv_timer_start(&sweeps->timer, sweep_on_timer, SWEEP_SOON_MS, 0);
}

void sweep_differs(struct indexer *indexer, const struct run_key *run)
{
    struct sweeps *sweeps = indexer->sweeps;

    if (sweeps == NULL || indexer->draining)
        return;
    sweep_focus(sweeps, run);
    if (!sweeps->running && uv_timer_get_due_in(&sweeps->timer) > sweep_pause_ms(sweeps, false))
        uv_timer_start(&sweeps->timer, sweep_on_timer, sweep_pause_ms(sweeps, false), 0);
}

void sweep_status(const struct indexer *indexer, struct sweep_status *status)
{
    *status = (struct sweep_status){ .running = false };
    if (indexer->sweeps == NULL)
        return;
    *status = indexer->sweeps->status;
    if (status->ended_us == 0)
        status->ended_us = indexer->sweeps->ended_us;
}

/* --- start and stop --- */

enum status sweeps_start(struct indexer *indexer, struct error *err)
{
    struct sweeps *sweeps = calloc(1, sizeof *sweeps);

    if (sweeps == NULL)
        return error_set(err, STATUS_NO_MEMORY, "sweeps");
    sweeps->indexer = indexer;
    sweeps->heal = sweep_heal_new(indexer);
    uv_timer_init(indexer->loop, &sweeps->timer);
    sweeps->timer.data = sweeps;
    uv_timer_start(&sweeps->timer, sweep_on_timer, SWEEP_LOOK_MS, 0);
    metric_register(&sweep_ended);
    metric_register(&sweep_files_gone);
    metric_register(&sweep_documents_gone);
    indexer->sweeps = sweeps;
    return STATUS_OK;
}

void sweeps_stop(struct indexer *indexer, void (*on_stopped)(struct indexer *indexer))
{
    struct sweeps *sweeps = indexer->sweeps;

    sweeps->on_stopped = on_stopped;
    for (size_t i = 0; i < sweeps->nodes_count; i++)
        if (sweeps->nodes[i].asked)
            node_request_cancel(&sweeps->nodes[i].request);
    if (!sweeps->running)
        uv_close((uv_handle_t *)&sweeps->timer, sweep_on_closed);
}
