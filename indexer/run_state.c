/* run_state.c: filling, ready, retired, purged: changed in the catalog by compare and set, then told to the nodes.
 *
 *     filling --> ready --> retired --> purged --(reopen: next incarnation)--> filling
 *         \------------------^  |
 *               ready <---------'  (undo, before the nodes delete)
 *
 * The table in memory is what the catalog has; it is written after the catalog, never before. Changes of one run are made
 * one after another: each looks at the state that the one before it left. */
#include "indexer/run_state.h"

#include "indexer/census.h"
#include "indexer/release_catalog.h"
#include "indexer/retire.h"
#include "indexer/run_tell.h"
#include "indexer/sweep.h"
#include "indexer/tail.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"

#include <assert.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <uthash.h>

enum run_op_kind { RUN_OP_SEEN, RUN_OP_CHANGE, RUN_OP_PURGED };

/* One change asked for; they queue at their run. */
struct run_op {
    enum run_op_kind kind;
    struct list list;
    struct run_entry *entry;
    struct run_info seen;            /* SEEN */
    struct run_state_change *change; /* CHANGE */
    void (*on_done)(void *data, enum status status);
    void *data;
    struct work work;
    struct catalog_run next; /* being written */
    struct run_info was;
    bool begun, writes, forgets; /* forgets: the cursors go first */
};

struct run_entry {
    char name[RUN_TEXT_SIZE];
    struct catalog_run run;       /* incarnation 0: the catalog has it not */
    struct list ops;              /* the first is under way */
    uint64_t touched_ns, seen_ns; /* when it was last written here; found in the catalog */
    struct indexer *indexer;
    UT_hash_handle hh;
};

struct run_states {
    struct run_entry *runs;
    unsigned ops;
    void (*on_stopped)(struct indexer *indexer);
};

static void run_op_next(struct run_entry *entry);

/* --- the table --- */

static struct run_entry *run_find(const struct indexer *indexer, const struct run_key *key)
{
    struct run_entry *entry;
    char name[RUN_TEXT_SIZE];

    run_key_print(key, name);
    HASH_FIND_STR(indexer->run_states->runs, name, entry);
    return entry;
}

static struct run_entry *run_make(struct indexer *indexer, const struct run_key *key)
{
    struct run_entry *entry = run_find(indexer, key);

    if (entry != NULL)
        return entry;
    entry = calloc(1, sizeof *entry);
    assert(entry != NULL);
    run_key_print(key, entry->name);
    entry->run.run = *key;
    entry->indexer = indexer;
    list_init(&entry->ops);
    HASH_ADD_STR(indexer->run_states->runs, name, entry);
    return entry;
}

bool run_state_get(const struct indexer *indexer, const struct run_key *run, struct catalog_run *state)
{
    const struct run_entry *entry = run_find(indexer, run);

    if (entry == NULL || entry->run.info.incarnation == 0)
        return false;
    *state = entry->run;
    return true;
}

bool run_state_takes(const struct indexer *indexer, const struct run_key *run, uint64_t incarnation)
{
    struct catalog_run state;

    return run_state_get(indexer, run, &state) && state.info.incarnation == incarnation &&
           (state.info.state == RUN_FILLING || state.info.state == RUN_READY);
}

void run_state_each(const struct indexer *indexer,
                    bool (*each)(void *data, const struct catalog_run *run), void *data)
{
    for (const struct run_entry *entry = indexer->run_states->runs; entry != NULL; entry = entry->hh.next)
        if (entry->run.info.incarnation > 0 && !each(data, &entry->run))
            return;
}

/* --- an operation: what is to be written --- */

/* A node's state is higher than ours (an older catalog), or the run is new to us. */
static enum status run_plan_seen(struct run_op *op)
{
    const struct run_entry *entry = op->entry;

    op->writes = entry->run.info.incarnation == 0 || run_info_compare(&op->seen, &entry->run.info) > 0;
    if (!op->writes)
        return STATUS_OK;
    /* When it came there nobody here knows: as if it were now, so that a grace is not cut short. */
    op->next = (struct catalog_run){ .run = entry->run.run, .info = op->seen };
    if (op->seen.state == RUN_READY)
        op->next.ready_at_us = clock_wall_us();
    if (op->seen.state == RUN_PURGED)
        op->next.purged_at_us = clock_wall_us();
    if (op->seen.state == RUN_RETIRED) {
        op->next.retired_at_us = clock_wall_us();
        op->next.grace_ms = entry->indexer->settings->grace_ms;
        op->next.step = RETIRE_TELL;
    }
    return STATUS_OK;
}

static enum status run_plan_refuse(const struct run_op *op, const char *why, struct error *err)
{
    return error_set(err, STATUS_CONFLICT, "run %s is %s: %s", op->entry->name,
                     run_state_name(op->entry->run.info.state), why);
}

static enum status run_plan_ready(struct run_op *op, struct error *err)
{
    enum run_state now = op->entry->run.info.state;

    if (now == RUN_PURGED)
        return run_plan_refuse(op, "it can be reopened and filled again", err);
    if (now == RUN_RETIRED && op->entry->run.step > RETIRE_GRACE)
        return run_plan_refuse(op, "its files are being deleted already", err);
    op->writes = now != RUN_READY;
    op->forgets = now == RUN_RETIRED;
    op->next.info.state = RUN_READY;
    op->next.ready_at_us = clock_wall_us();
    op->next.retired_at_us = 0;
    op->next.step = 0;
    return STATUS_OK;
}

static enum status run_plan_retired(struct run_op *op)
{
    enum run_state now = op->entry->run.info.state;

    op->writes = now == RUN_FILLING || now == RUN_READY;
    op->next.info.state = RUN_RETIRED;
    op->next.retired_at_us = clock_wall_us();
    op->next.grace_ms = op->change->grace_ms;
    op->next.step = RETIRE_TELL;
    return STATUS_OK;
}

static enum status run_plan_reopen(struct run_op *op, struct error *err)
{
    if (op->entry->run.info.state != RUN_PURGED)
        return run_plan_refuse(op, "only a purged run is reopened", err);
    op->writes = true;
    op->next = (struct catalog_run){ .run = op->entry->run.run, .info = op->entry->run.info };
    op->next.info.incarnation++;
    op->next.info.state = RUN_FILLING;
    return STATUS_OK;
}

static enum status run_plan_change(struct run_op *op, struct error *err)
{
    enum status status;

    if (op->entry->run.info.incarnation == 0)
        return error_set(err, STATUS_NOT_FOUND, "there is no run %s", op->entry->name);
    if (op->change->reopen)
        status = run_plan_reopen(op, err);
    else if (op->change->to == RUN_READY)
        status = run_plan_ready(op, err);
    else
        status = run_plan_retired(op);
    if (status == STATUS_OK && op->writes)
        op->next.info.version++;
    return status;
}

static enum status run_plan(struct run_op *op, struct error *err)
{
    op->next = op->entry->run;
    op->was = op->entry->run.info;
    switch (op->kind) {
    case RUN_OP_SEEN:
        return run_plan_seen(op);
    case RUN_OP_CHANGE:
        return run_plan_change(op, err);
    case RUN_OP_PURGED:
        op->writes = op->forgets = op->next.info.state == RUN_RETIRED;
        op->next.info.state = RUN_PURGED;
        op->next.info.version++;
        op->next.purged_at_us = clock_wall_us();
        op->next.step = 0;
        return STATUS_OK;
    }
    assert(!"an operation of no kind");
    return STATUS_INTERNAL;
}

/* --- what follows a change --- */

/* was: what the run was here before. */
static void run_follow(struct run_entry *entry, const struct run_info *was, bool tells)
{
    struct indexer *indexer = entry->indexer;
    const struct catalog_run *run = &entry->run;

    log_msg(LOG_INFO, "run.state", "%s: %s, incarnation %" PRIu64 ", version %" PRIu64, entry->name,
            run_state_name(run->info.state), run->info.incarnation, run->info.version);
    if (indexer->draining)
        return;
    if (run->info.state == RUN_RETIRED)
        retire_start(indexer, run); /* tells the nodes itself */
    else if (tells)
        run_tell_all(indexer, RUN_TELL_STATE, &run->run, &run->info, NULL, NULL);
    if (was->state == RUN_RETIRED && run->info.state == RUN_READY)
        tails_reread(indexer, &run->run);
}

static void run_states_stop_if_idle(struct indexer *indexer)
{
    struct run_states *states = indexer->run_states;
    struct run_entry *entry, *after;

    if (states->on_stopped == NULL || states->ops > 0)
        return;
    HASH_ITER(hh, states->runs, entry, after)
    {
        HASH_DEL(states->runs, entry); /* NOLINT(clang-analyzer-unix.Malloc): it does not follow uthash's links */
        free(entry);
    }
    indexer->run_states = NULL;
    void (*on_stopped)(struct indexer *) = states->on_stopped;
    free(states);
    on_stopped(indexer);
}

static void run_op_end(struct run_op *op, enum status status, const struct error *err)
{
    struct run_entry *entry = op->entry;
    struct indexer *indexer = entry->indexer;
    struct catalog_run now = entry->run;

    list_remove(&op->list);
    entry->touched_ns = uv_hrtime();
    if (op->kind == RUN_OP_CHANGE)
        op->change->on_done(op->change, status, &now, err);
    else
        op->on_done(op->data, status);
    free(op);
    indexer->run_states->ops--;
    /* Who was told may have asked for the next change at once, and then that one has begun. */
    if (!list_empty(&entry->ops) && !list_first(&entry->ops, struct run_op, list)->begun)
        run_op_next(entry);
    run_states_stop_if_idle(indexer);
}

/* --- writing it --- */

/* What was given up of it goes with it. */
static bool run_ends(const struct run_op *op)
{
    return op->next.info.state == RUN_PURGED ||
           (op->was.incarnation > 0 && op->next.info.incarnation > op->was.incarnation);
}

/* What is asked for is so already, for all that is known here: another indexer may have changed it a moment ago. Where that is newer
 * the run is taken from there, and the change planned anew. */
static enum status run_look(struct run_op *op, struct error *err)
{
    struct catalog_run found;
    enum status status = catalog_run_get(op->entry->indexer->catalog, &op->next.run, &found, err);

    if (status == STATUS_NOT_FOUND ||
        (status == STATUS_OK && run_info_compare(&found.info, &op->was) <= 0))
        return STATUS_OK;
    if (status != STATUS_OK)
        return status;
    op->next = found;
    return error_set(err, STATUS_CONFLICT, "run %s: another indexer has changed it", op->entry->name);
}

static void run_write_run(struct work *work)
{
    struct run_op *op = container_of(work, struct run_op, work);
    struct catalog *catalog = op->entry->indexer->catalog;

    if (op->kind == RUN_OP_CHANGE && !op->writes && !op->forgets) {
        work->status = run_look(op, &work->err);
        return;
    }
    work->status = STATUS_OK;
    if (op->forgets)
        work->status = catalog_cursor_remove(catalog, NULL, &op->next.run, &work->err);
    if (op->writes && work->status == STATUS_OK && run_ends(op))
        work->status = release_locks_remove(catalog, &op->next.run, &work->err);
    if (op->writes && work->status == STATUS_OK) /* undone only as long as no node was told to delete, by whichever indexer */
        work->status = catalog_run_put_before(
            catalog, &op->next, &op->was,
            op->kind == RUN_OP_CHANGE && op->forgets ? RETIRE_GRACE : UINT_MAX, &work->err);
    /* Another indexer was faster, or our own write was thought lost: what is there now holds. */
    if (work->status == STATUS_CONFLICT &&
        catalog_run_get(catalog, &op->next.run, &op->next, &work->err) != STATUS_OK)
        work->status = work->err.status;
}

static void run_on_written(struct work *work)
{
    struct run_op *op = container_of(work, struct run_op, work);
    struct run_entry *entry = op->entry;
    struct run_info was = entry->run.info;

    if (op->writes && work->status == STATUS_OK) {
        entry->run = op->next;
        /* A run that is new here is new: but one that a node knows further than we did, others have missed as well. */
        run_follow(entry, &was, op->kind != RUN_OP_SEEN || was.incarnation > 0);
        if (op->kind == RUN_OP_SEEN && was.incarnation > 0)
            sweep_wanted(entry->indexer, "nodes know more of a run than the index did");
    } else if (work->status == STATUS_CONFLICT) {
        /* What is there is followed too: it may be our own write, whose answer the database could not give any more. */
        entry->run = op->next;
        if (run_info_compare(&entry->run.info, &was) != 0)
            run_follow(entry, &was, true);
        run_op_next(entry); /* planned again */
        return;
    } else if (work->status != STATUS_OK) {
        log_msg(LOG_WARN, "run.write", "%s: %s", entry->name, work->err.text);
    }
    run_op_end(op, work->status, &work->err);
}

static void run_write(struct run_op *op)
{
    work_start(op->entry->indexer->loop, &op->work, run_write_run, run_on_written);
}

static void run_on_undone(void *data, bool undone)
{
    struct run_op *op = data;
    struct error err;

    if (undone) {
        run_write(op);
        return;
    }
    error_init(&err);
    error_set(&err, STATUS_CONFLICT, "run %s: its files are being deleted already", op->entry->name);
    run_op_end(op, STATUS_CONFLICT, &err);
}

/* The first operation of a run begins. What has nothing to write still ends later, by way of the pool. */
static void run_op_next(struct run_entry *entry)
{
    struct run_op *op = list_first(&entry->ops, struct run_op, list);

    error_init(&op->work.err);
    op->begun = true;
    op->writes = op->forgets = false;
    enum status status = run_plan(op, &op->work.err);
    if (status != STATUS_OK) {
        struct error err = op->work.err;
        run_op_end(op, status, &err);
    } else if (op->kind == RUN_OP_CHANGE && op->forgets) {
        retire_undo(entry->indexer, &entry->run.run, run_on_undone, op);
    } else {
        run_write(op);
    }
}

static struct run_op *run_op_add(struct indexer *indexer, enum run_op_kind kind, const struct run_key *key)
{
    struct run_op *op = calloc(1, sizeof *op);

    assert(op != NULL);
    op->kind = kind;
    op->entry = run_make(indexer, key);
    list_append(&op->entry->ops, &op->list);
    indexer->run_states->ops++;
    return op;
}

/* It begins when it is alone; filled in before. */
static void run_op_begin(struct run_op *op)
{
    if (op->entry->ops.next == &op->list)
        run_op_next(op->entry);
}

/* --- the ways in --- */

void run_state_seen(struct indexer *indexer, const char *node_url, const struct run_key *run,
                    const struct run_info *info, void (*on_known)(void *data, enum status status),
                    void *data)
{
    struct catalog_run state;

    if (run_state_get(indexer, run, &state) && run_info_compare(info, &state.info) <= 0) {
        if (run_info_compare(info, &state.info) < 0)
            run_tell_node(indexer, node_url, run, &state.info);
        on_known(data, STATUS_OK);
        return;
    }
    struct run_op *op = run_op_add(indexer, RUN_OP_SEEN, run);
    op->seen = *info;
    op->on_done = on_known;
    op->data = data;
    run_op_begin(op);
}

void run_state_change(struct indexer *indexer, struct run_state_change *change)
{
    struct run_op *op = run_op_add(indexer, RUN_OP_CHANGE, &change->run);

    op->change = change;
    run_op_begin(op);
}

/* A step's number is written beside the queue: an undo that waits at the head of it waits for the very machine that keeps its step.
 * Compare and set on the version keeps a late one from harm. */
struct run_step {
    struct work work;
    struct run_entry *entry;
    struct catalog_run next;
    void (*on_done)(void *data, enum status status);
    void *data;
};

static void run_step_run(struct work *work)
{
    struct run_step *step = container_of(work, struct run_step, work);
    work->status = catalog_run_put(step->entry->indexer->catalog, &step->next, &step->next.info,
                                   &work->err);
}

static void run_step_on_done(struct work *work)
{
    struct run_step *step = container_of(work, struct run_step, work);
    struct run_entry *entry = step->entry;
    struct indexer *indexer = entry->indexer;

    if (work->status == STATUS_OK && run_info_compare(&entry->run.info, &step->next.info) == 0)
        entry->run.step = step->next.step;
    step->on_done(step->data, work->status);
    free(step);
    indexer->run_states->ops--;
    run_states_stop_if_idle(indexer);
}

void run_state_step(struct indexer *indexer, const struct catalog_run *run, unsigned number,
                    void (*on_done)(void *data, enum status status), void *data)
{
    struct run_step *step = calloc(1, sizeof *step);

    assert(step != NULL);
    step->entry = run_make(indexer, &run->run);
    step->next = *run;
    step->next.step = number;
    step->on_done = on_done;
    step->data = data;
    indexer->run_states->ops++;
    error_init(&step->work.err);
    work_start(indexer->loop, &step->work, run_step_run, run_step_on_done);
}

void run_state_purged(struct indexer *indexer, const struct run_key *run,
                      void (*on_done)(void *data, enum status status), void *data)
{
    struct run_op *op = run_op_add(indexer, RUN_OP_PURGED, run);

    op->on_done = on_done;
    op->data = data;
    run_op_begin(op);
}

/* --- what the catalog has now --- */

static void run_refresh_one(struct indexer *indexer, struct run_entry *entry,
                            const struct catalog_run *stored)
{
    struct run_info was = entry->run.info;
    int order = run_info_compare(&stored->info, &was);

    if (order == 0 && memcmp(&stored->info, &was, sizeof was) == 0) {
        if (entry->run.step != stored->step)
            census_touch(indexer, &entry->run.run); /* another indexer has removed its documents */
        entry->run.step = stored->step;
    } else if (order > 0) { /* another indexer's change */
        entry->run = *stored;
        census_touch(indexer, &entry->run.run);
        run_follow(entry, &was, false);
    } else { /* the database is an older one: the nodes know what came since */
        log_msg(LOG_WARN, "run.went-back",
                "%s: the index has incarnation %" PRIu64 ", version %" PRIu64 ", it had %" PRIu64
                ", %" PRIu64,
                entry->name, stored->info.incarnation, stored->info.version, was.incarnation,
                was.version);
        entry->run = *stored;
        census_touch(indexer, &entry->run.run);
        tails_weigh(indexer, &entry->run.run);
        sweep_wanted(indexer, "the index is an older one");
    }
    if (entry->run.info.state == RUN_RETIRED && entry->run.info.incarnation > 0)
        retire_start(indexer, &entry->run); /* unless another indexer is at it, or this one */
}

static bool run_newer(const struct run_entry *entry, uint64_t started_ns)
{
    return !list_empty(&entry->ops) || entry->touched_ns >= started_ns;
}

void run_states_refresh(struct indexer *indexer, const struct catalog_run *runs, size_t count,
                        uint64_t started_ns)
{
    if (indexer->run_states == NULL || indexer->draining)
        return;
    for (size_t i = 0; i < count; i++) {
        struct run_entry *entry = run_make(indexer, &runs[i].run);
        entry->seen_ns = started_ns;
        if (!run_newer(entry, started_ns))
            run_refresh_one(indexer, entry, &runs[i]);
    }
    for (struct run_entry *entry = indexer->run_states->runs; entry != NULL; entry = entry->hh.next) {
        struct catalog_run none = { .run = entry->run.run };
        if (entry->seen_ns != started_ns && entry->run.info.incarnation > 0 &&
            !run_newer(entry, started_ns))
            run_refresh_one(indexer, entry, &none);
    }
}

/* --- start and stop --- */

static bool run_on_stored(void *data, const struct catalog_run *run)
{
    struct indexer *indexer = data;

    run_make(indexer, &run->run)->run = *run;
    return true;
}

enum status run_states_start(struct indexer *indexer, struct error *err)
{
    indexer->run_states = calloc(1, sizeof *indexer->run_states);
    if (indexer->run_states == NULL)
        return error_set(err, STATUS_NO_MEMORY, "run states");
    enum status status = catalog_run_scan(indexer->catalog, run_on_stored, indexer, err);
    if (status != STATUS_OK)
        return error_wrap(err, "reading the runs");
    for (struct run_entry *entry = indexer->run_states->runs; entry != NULL; entry = entry->hh.next)
        if (entry->run.info.state == RUN_RETIRED)
            retire_start(indexer, &entry->run);
    return STATUS_OK;
}

void run_states_stop(struct indexer *indexer, void (*on_stopped)(struct indexer *indexer))
{
    indexer->run_states->on_stopped = on_stopped;
    run_states_stop_if_idle(indexer);
}
