/* sweep_heal.c: index and nodes, run by run; what differs is looked at twice.
 *
 *     COMPARE (a run) ... -> CURSORS -> PAUSE -> ASK -> HEAL -> ASK ... -> END
 *
 * A run that is written to differs all the time. So a difference counts only when, over a pause, the node holds the same, the cursor has not
 * moved, stands at the end of what the node listed, and the index still differs when it is read behind all that. Should something move
 * in spite of it, a journal is read once for nothing: nothing here can do harm. */
#include "indexer/sweep_heal.h"

#include "indexer/node_fingerprint.h"
#include "proto/base/log.h"
#include "proto/base/metric.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    HEAL_LOOK_MS = 100,  /* the pause is waited for in pieces */
    HEAL_LOOKS_MAX = 20, /* at a run that was read again and is not at its end yet, before it waits for the next sweep of all */
};

enum heal_step { HEAL_COMPARE, HEAL_CURSORS, HEAL_PAUSE, HEAL_ASK, HEAL_READ, HEAL_END };

struct heal_listed {
    char key[NODE_ID_SIZE_MAX + RUN_TEXT_SIZE + 2];
    uint64_t journal_id, records;
    UT_hash_handle hh;
};

/* A run that differs on a node; and, of those that were read again, how they differed then. */
struct heal_doubt {
    struct catalog_run run;
    char node[NODE_ID_SIZE_MAX + 1];
    struct digest_set theirs, ours;
    uint64_t cursor_rev; /* 0: it does not stand at the end */
    bool over;           /* something moved */
    bool stays;          /* known ones: it was the same when it was looked at again */
    unsigned looks;      /* known ones: that came too early to tell */
};

struct sweep_heal {
    struct fsm fsm;
    struct indexer *indexer;
    struct heal_listed *listed;  /* owned table */
    const struct heal_run *runs; /* borrowed */
    size_t runs_count, at;
    size_t first; /* where a comparison begins: where the one before had no room for more */
    struct heal_doubt doubts[HEAL_DOUBTS_MAX];
    size_t doubts_count;
    struct heal_doubt *known; /* owned; HEAL_KNOWN_MAX */
    size_t known_count;
    struct heal_result result;
    uint64_t paused_ms;
    uv_timer_t *timer; /* borrowed */
    struct work work;
    bool rereads;
    struct heal_caller caller;
};

static struct metric heal_differ = { .name = "gribstore_sweep_differences_total",
                                     .help = "Runs that a sweep found to differ between index and a node.",
                                     .kind = METRIC_COUNTER };
static struct metric heal_reread = { .name = "gribstore_sweep_rereads_total",
                                     .help = "Runs that are read again from a node, as the index differed from it.",
                                     .kind = METRIC_COUNTER };
static struct metric heal_unhealed = { .name = "gribstore_sweep_unhealed",
                                       .help = "Runs that differ on a node as they did before they were read again.",
                                       .kind = METRIC_GAUGE };

static struct sweep_heal *heal_of(struct fsm *fsm)
{
    return container_of(fsm, struct sweep_heal, fsm);
}

static void heal_key(char key[NODE_ID_SIZE_MAX + RUN_TEXT_SIZE + 2], const char *node,
                     const struct run_key *run)
{
    char name[RUN_TEXT_SIZE];

    run_key_print(run, name);
    snprintf(key, NODE_ID_SIZE_MAX + RUN_TEXT_SIZE + 2, "%s %s", node, name);
}

/* --- listings --- */

void sweep_heal_listed(struct sweep_heal *heal, const char *node, const struct tail_listing *listing)
{
    struct heal_listed *found;
    char key[sizeof found->key];

    heal_key(key, node, &listing->run);
    HASH_FIND_STR(heal->listed, key, found);
    if (found == NULL) {
        found = calloc(1, sizeof *found);
        assert(found != NULL);
        memcpy(found->key, key, sizeof key);
        HASH_ADD_STR(heal->listed, key, found);
    }
    found->journal_id = listing->journal_id;
    found->records = listing->records;
}

static void heal_forget_listings(struct sweep_heal *heal)
{
    struct heal_listed *listed, *after;

    HASH_ITER(hh, heal->listed, listed, after)
    {
        HASH_DEL(heal->listed, listed); /* NOLINT(clang-analyzer-unix.Malloc): it does not follow uthash's links */
        free(listed);
    }
}

/* Whether there is nothing to be read any more, as far as the node's listing went. */
static bool heal_at_end(struct sweep_heal *heal, const struct catalog_cursor *cursor)
{
    struct heal_listed *found;
    char key[sizeof found->key];

    heal_key(key, cursor->node, &cursor->run);
    HASH_FIND_STR(heal->listed, key, found);
    return found != NULL && cursor->complete && cursor->journal_id == found->journal_id &&
           cursor->record >= found->records;
}

/* --- COMPARE: a run, on all nodes that answer --- */

static bool heal_leaves(const struct sweep_heal *heal)
{
    return heal->indexer->draining;
}

static bool heal_takes(const struct catalog_run *run)
{
    return run->info.state == RUN_FILLING || run->info.state == RUN_READY;
}

static const struct heal_run *heal_run_at(const struct sweep_heal *heal)
{
    return &heal->runs[(heal->first + heal->at) % heal->runs_count];
}

/* It does not differ any more, or there is nothing that could. node NULL: on any. */
static void heal_forget(struct sweep_heal *heal, const char *node, const struct run_key *run)
{
    for (size_t i = heal->known_count; i-- > 0;)
        if ((node == NULL || strcmp(heal->known[i].node, node) == 0) &&
            run_key_compare(&heal->known[i].run.run, run) == 0)
            heal->known[i] = heal->known[--heal->known_count];
}

static void heal_on_held(void *data, enum status status, const struct node_fingerprint *found)
{
    struct sweep_heal *heal = data;
    const struct heal_run *run = heal_run_at(heal);

    for (size_t i = 0; status == STATUS_OK && i < found->held->count; i++) {
        const struct run_holding *held = &found->held->items[i];
        struct digest_set ours = run_holdings_of(&run->holdings, held->node);
        if (run_holdings_same(&ours, &held->set)) {
            heal_forget(heal, held->node, &run->run.run);
            continue;
        }
        if (heal->doubts_count == HEAL_DOUBTS_MAX) {
            heal->result.more = true;
            break;
        }
        struct heal_doubt *doubt = &heal->doubts[heal->doubts_count++];
        *doubt = (struct heal_doubt){ .run = run->run, .theirs = held->set, .ours = ours };
        snprintf(doubt->node, sizeof doubt->node, "%s", held->node);
    }
    heal->at += !heal->result.more;
    fsm_resume(&heal->fsm, STATUS_OK, NULL); /* no map: nothing is asked any more */
}

static enum fsm_next heal_compare(struct fsm *fsm)
{
    struct sweep_heal *heal = heal_of(fsm);

    while (heal->at < heal->runs_count && !heal_takes(&heal_run_at(heal)->run)) {
        heal_forget(heal, NULL, &heal_run_at(heal)->run.run);
        heal->at++;
    }
    if (heal_leaves(heal))
        return fsm_go(fsm, HEAL_END);
    if (heal->at == heal->runs_count || heal->result.more) {
        heal->first = heal->result.more ? (heal->first + heal->at) % heal->runs_count : 0;
        heal->at = 0;
        return fsm_go(fsm, heal->doubts_count > 0 ? HEAL_CURSORS : HEAL_END);
    }
    node_fingerprint_take(heal->indexer, &heal_run_at(heal)->run.run, heal_on_held, heal);
    return fsm_wait(fsm, 1, HEAL_COMPARE);
}

/* --- CURSORS: those of what differs --- */

static bool heal_is(const struct heal_doubt *doubt, const char *node, const struct run_key *run)
{
    return strcmp(doubt->node, node) == 0 && run_key_compare(&doubt->run.run, run) == 0;
}

static bool heal_on_cursor(void *data, const struct catalog_cursor *cursor)
{
    struct sweep_heal *heal = data;

    for (size_t i = 0; i < heal->doubts_count; i++)
        if (heal_is(&heal->doubts[i], cursor->node, &cursor->run))
            heal->doubts[i].cursor_rev = heal_at_end(heal, cursor) ? cursor->rev : 0;
    return true;
}

static void heal_cursors_run(struct work *work)
{
    struct sweep_heal *heal = container_of(work, struct sweep_heal, work);
    work->status = catalog_cursor_scan(heal->indexer->catalog, NULL, heal_on_cursor, heal, &work->err);
}

static void heal_on_work(struct work *work)
{
    struct sweep_heal *heal = container_of(work, struct sweep_heal, work);
    fsm_resume(&heal->fsm, work->status, &work->err);
}

static enum fsm_next heal_cursors(struct fsm *fsm)
{
    struct sweep_heal *heal = heal_of(fsm);

    heal->paused_ms = 0;
    error_init(&heal->work.err);
    work_start(heal->indexer->loop, &heal->work, heal_cursors_run, heal_on_work);
    return fsm_wait(fsm, 1, HEAL_PAUSE);
}

/* --- PAUSE: a third of a lease; whoever tails has read what there is by then --- */

static void heal_on_timer(uv_timer_t *timer)
{
    struct sweep_heal *heal = timer->data;

    heal->paused_ms += HEAL_LOOK_MS;
    fsm_resume(&heal->fsm, STATUS_OK, NULL);
}

static enum fsm_next heal_pause(struct fsm *fsm)
{
    struct sweep_heal *heal = heal_of(fsm);

    if (heal_leaves(heal))
        return fsm_go(fsm, HEAL_END);
    if (heal->paused_ms >= heal->indexer->settings->lease_ms / 3)
        return fsm_go(fsm, HEAL_ASK);
    heal->timer->data = heal;
    uv_timer_start(heal->timer, heal_on_timer, HEAL_LOOK_MS, 0);
    return fsm_wait(fsm, 1, HEAL_PAUSE);
}

/* --- ASK: does the node hold the same as before? --- */

static void heal_on_held_again(void *data, enum status status, const struct node_fingerprint *found)
{
    struct sweep_heal *heal = data;
    struct heal_doubt *doubt = &heal->doubts[heal->at];
    bool same = false;

    for (size_t i = 0; status == STATUS_OK && i < found->held->count; i++)
        same = same || (strcmp(found->held->items[i].node, doubt->node) == 0 &&
                        run_holdings_same(&found->held->items[i].set, &doubt->theirs));
    doubt->over = !same;
    fsm_resume(&heal->fsm, STATUS_OK, NULL);
}

static struct heal_doubt *heal_known(struct sweep_heal *heal, const struct heal_doubt *doubt)
{
    for (size_t i = 0; i < heal->known_count; i++)
        if (heal_is(&heal->known[i], doubt->node, &doubt->run.run))
            return &heal->known[i];
    return NULL;
}

/* It could not be told whether it differs. What was read again for it is looked at once more: whoever tails it may be slow to begin. */
static void heal_look_later(struct sweep_heal *heal, const struct heal_doubt *doubt)
{
    struct heal_doubt *known = heal_known(heal, doubt);

    if (known == NULL || known->stays || known->looks == HEAL_LOOKS_MAX)
        return;
    known->looks++;
    heal->caller.on_reread(heal->caller.data, &doubt->run.run);
}

static enum fsm_next heal_ask(struct fsm *fsm)
{
    struct sweep_heal *heal = heal_of(fsm);

    while (heal->at < heal->doubts_count && heal->doubts[heal->at].cursor_rev == 0)
        heal_look_later(heal, &heal->doubts[heal->at++]); /* it is read already, or could not be read so far */
    if (heal_leaves(heal) || heal->at == heal->doubts_count)
        return fsm_go(fsm, HEAL_END);
    node_fingerprint_take(heal->indexer, &heal->doubts[heal->at].run.run, heal_on_held_again, heal);
    return fsm_wait(fsm, 1, HEAL_READ);
}

/* --- READ: the index once more, then the cursor; removed where nothing explains the difference --- */

static bool heal_tried(struct sweep_heal *heal, const struct heal_doubt *doubt)
{
    const struct heal_doubt *known = heal_known(heal, doubt);

    return known != NULL && run_holdings_same(&known->theirs, &doubt->theirs) &&
           run_holdings_same(&known->ours, &doubt->ours);
}

static bool heal_on_cursor_again(void *data, const struct catalog_cursor *cursor)
{
    struct sweep_heal *heal = data;
    struct heal_doubt *doubt = &heal->doubts[heal->at];

    if (heal_is(doubt, cursor->node, &cursor->run))
        doubt->over = cursor->rev != doubt->cursor_rev;
    return true;
}

static void heal_read_run(struct work *work)
{
    struct sweep_heal *heal = container_of(work, struct sweep_heal, work);
    struct catalog *catalog = heal->indexer->catalog;
    struct heal_doubt *doubt = &heal->doubts[heal->at];
    struct run_holdings holdings;
    struct catalog_run run;

    work->status = run_holdings_scan(catalog, &doubt->run.run, NULL, NULL, &holdings, &work->err);
    doubt->ours = run_holdings_of(&holdings, doubt->node);
    run_holdings_fini(&holdings);
    if (work->status == STATUS_OK && run_holdings_same(&doubt->ours, &doubt->theirs))
        doubt->over = true;
    if (work->status != STATUS_OK || doubt->over)
        return;
    doubt->over = true; /* unless its cursor is there */
    work->status = catalog_cursor_scan(catalog, doubt->node, heal_on_cursor_again, heal, &work->err);
    if (work->status == STATUS_OK)
        work->status = catalog_run_get(catalog, &doubt->run.run, &run, &work->err);
    if (work->status != STATUS_OK)
        return;
    doubt->over = doubt->over || !heal_takes(&run) || run_info_compare(&run.info, &doubt->run.info) != 0;
    heal->rereads = !doubt->over && !heal_tried(heal, doubt);
    if (heal->rereads)
        work->status = catalog_cursor_remove(catalog, doubt->node, &doubt->run.run, &work->err);
}

static void heal_remember(struct sweep_heal *heal, const struct heal_doubt *doubt)
{
    struct heal_doubt *known = heal_known(heal, doubt);

    if (known == NULL) {
        if (heal->known_count == HEAL_KNOWN_MAX) /* the oldest ones' place, so far as that is known */
            heal->known[0] = heal->known[--heal->known_count];
        known = &heal->known[heal->known_count++];
    }
    *known = *doubt;
    known->stays = !heal->rereads;
}

static void heal_on_read(struct work *work)
{
    struct sweep_heal *heal = container_of(work, struct sweep_heal, work);
    struct heal_doubt *doubt = &heal->doubts[heal->at++];
    char name[RUN_TEXT_SIZE];

    if (work->status == STATUS_OK && !doubt->over) {
        run_key_print(&doubt->run.run, name);
        heal->result.differ++;
        heal->result.reread += heal->rereads;
        metric_add(&heal_differ, 1);
        metric_add(&heal_reread, heal->rereads);
        log_msg(LOG_WARN, heal->rereads ? "sweep.differs" : "sweep.unhealed",
                "%s: the index has %" PRIu64 " messages of node %s, which has %" PRIu64 "%s", name,
                doubt->ours.count, doubt->node, doubt->theirs.count,
                heal->rereads ? ": it is read again" : ", as before it was read again");
        heal_remember(heal, doubt);
        if (heal->rereads)
            heal->caller.on_reread(heal->caller.data, &doubt->run.run);
    } else if (work->status == STATUS_OK) {
        heal_look_later(heal, doubt);
    }
    fsm_resume(&heal->fsm, work->status, &work->err);
}

static enum fsm_next heal_read(struct fsm *fsm)
{
    struct sweep_heal *heal = heal_of(fsm);

    if (heal->doubts[heal->at].over) {
        heal_look_later(heal, &heal->doubts[heal->at++]);
        return fsm_go(fsm, HEAL_ASK);
    }
    heal->rereads = false;
    error_init(&heal->work.err);
    work_start(heal->indexer->loop, &heal->work, heal_read_run, heal_on_read);
    return fsm_wait(fsm, 1, HEAL_ASK);
}

/* --- END: also where failures go --- */

static enum fsm_next heal_end(struct fsm *fsm)
{
    struct sweep_heal *heal = heal_of(fsm);
    enum status status = fsm->status;
    struct error err = fsm->err;

    heal_forget_listings(heal);
    for (size_t i = 0; i < heal->known_count; i++)
        heal->result.unhealed += heal->known[i].stays;
    metric_set(&heal_unhealed, (int64_t)heal->result.unhealed);
    heal->caller.on_done(heal->caller.data, status, &heal->result, &err);
    return FSM_END;
}

#define TO(step) (1u << HEAL_##step)
static const struct fsm_step heal_steps[] = {
    [HEAL_COMPARE] = { "compare", heal_compare, TO(COMPARE) | TO(CURSORS) | TO(END) },
    [HEAL_CURSORS] = { "cursors", heal_cursors, TO(PAUSE) },
    [HEAL_PAUSE] = { "pause", heal_pause, TO(PAUSE) | TO(ASK) | TO(END) },
    [HEAL_ASK] = { "ask", heal_ask, TO(READ) | TO(END) },
    [HEAL_READ] = { "read", heal_read, TO(ASK) },
    [HEAL_END] = { "end", heal_end, 0 },
};

void sweep_heal_start(struct sweep_heal *heal, const struct heal_run *runs, size_t count,
                      uv_timer_t *timer, const struct heal_caller *caller)
{
    heal->runs = runs;
    heal->runs_count = count;
    heal->first = count > 0 ? heal->first % count : 0;
    heal->at = heal->doubts_count = 0;
    heal->result = (struct heal_result){ .differ = 0 };
    heal->timer = timer;
    heal->caller = *caller;
    fsm_start(&heal->fsm, "heal", heal_steps, ARRAY_COUNT(heal_steps), HEAL_COMPARE, HEAL_END);
}

struct sweep_heal *sweep_heal_new(struct indexer *indexer)
{
    struct sweep_heal *heal = calloc(1, sizeof *heal);

    assert(heal != NULL);
    heal->indexer = indexer;
    heal->known = calloc(HEAL_KNOWN_MAX, sizeof *heal->known);
    assert(heal->known != NULL);
    metric_register(&heal_differ);
    metric_register(&heal_reread);
    metric_register(&heal_unhealed);
    return heal;
}

void sweep_heal_free(struct sweep_heal *heal)
{
    heal_forget_listings(heal);
    free(heal->known);
    free(heal);
}
