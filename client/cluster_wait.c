/* cluster_wait.c: until nothing is left to pull or to give up. Part of cluster_edit.h.
 *
 * What is left is what nodes list against what the map gives them. Where that never ends (a message that is bad on one node, a
 * file whose messages nobody confirms) it ends with what the nodes say themselves: all compared, no file to give up. */
#include "client/cluster_edit.h"

#include "proto/base/clock.h"

#include <stdio.h>

enum {
    WAIT_LOOK_MIN_MS = 200, /* at first */
    WAIT_LOOK_MS = 1000,
    WAIT_LOOKS_APART = 3, /* times as long as a look takes */
    WAIT_SETTLED_MS = 15000,
};

enum status cluster_progress_read(const struct cluster_map *map, const struct survey *survey,
                                  struct cluster_progress *progress, struct error *err)
{
    struct cluster_moves moves;

    enum status status = cluster_moves_make(map, map, survey, &moves, err);
    if (status != STATUS_OK)
        return status;
    progress->pull_bytes = moves.in.bytes;
    progress->give_up_bytes = moves.out.bytes;
    progress->leaving_runs = moves.leaving_runs;
    progress->behind = progress->silent = progress->unsettled = 0;
    progress->newer = false;
    bool listed_done = moves.in.messages == 0 && moves.out.messages == 0;
    for (size_t i = 0; i < survey->nodes_count; i++) {
        const struct survey_node *node = &survey->nodes[i];
        if (map->nodes[i].state == NODE_OUT)
            continue;
        progress->silent += !node->reachable || !node->listed;
        progress->behind += node->reachable && node->epoch < map->epoch;
        progress->newer = progress->newer || (node->reachable && node->epoch > map->epoch);
        progress->unsettled += node->reachable &&
                               ((node->sync_known && !node->settled) || node->give_up_files > 0);
    }
    progress->done = listed_done && progress->behind == 0 && progress->silent == 0;
    cluster_moves_fini(&moves);
    return STATUS_OK;
}

struct waiting {
    struct cluster_progress progress;
    uint64_t settled_ms; /* since when every node says that it is through, monotonic; 0: not all do */
};

static enum status wait_look(struct gs_session *session, const struct cluster_map *map,
                             struct waiting *waiting, struct error *err)
{
    struct cluster_progress *progress = &waiting->progress;
    struct survey survey;

    enum status status = survey_run_all(session, map, NULL, &survey, err);
    if (status != STATUS_OK)
        return status;
    status = cluster_progress_read(map, &survey, progress, err);
    survey_fini(&survey);
    uint64_t left = progress->pull_bytes + progress->give_up_bytes;
    progress->bytes_first = left > progress->bytes_first ? left : progress->bytes_first;
    bool through = progress->behind == 0 && progress->silent == 0 && progress->unsettled == 0;
    uint64_t now_ms = clock_monotonic_ms();
    if (!through)
        waiting->settled_ms = 0;
    else if (waiting->settled_ms == 0)
        waiting->settled_ms = now_ms;
    progress->done = progress->done || (through && now_ms - waiting->settled_ms >= WAIT_SETTLED_MS &&
                                        progress->give_up_bytes == 0);
    return status;
}

enum status cluster_wait_done(struct gs_session *session, const struct cluster_map *map,
                              uint64_t timeout_ms,
                              void (*on_look)(const struct cluster_progress *progress, void *data),
                              void *data, struct error *err)
{
    uint64_t began_ms = clock_monotonic_ms();
    struct waiting waiting = { .settled_ms = 0 };
    uint64_t apart_ms = WAIT_LOOK_MIN_MS;

    for (;;) {
        uint64_t look_ms = clock_monotonic_ms();
        enum status status = wait_look(session, map, &waiting, err);
        if (status != STATUS_OK)
            return status;
        uint64_t now_ms = clock_monotonic_ms(), rest_ms = WAIT_LOOKS_APART * (now_ms - look_ms);
        waiting.progress.took_ms = now_ms - began_ms;
        on_look(&waiting.progress, data);
        if (waiting.progress.done)
            return STATUS_OK;
        if (waiting.progress.newer)
            return error_set(err, STATUS_STALE_EPOCH, "a later map holds by now");
        if (waiting.progress.took_ms >= timeout_ms)
            return error_set(
                err, STATUS_TIMEOUT,
                "not all is where it belongs yet: it goes on by itself, `gribstore cluster show` says how far");
        status = session_wait(session, rest_ms > apart_ms ? rest_ms : apart_ms, err);
        apart_ms = 2 * apart_ms < WAIT_LOOK_MS ? 2 * apart_ms : WAIT_LOOK_MS;
        if (status != STATUS_OK)
            return status;
    }
}
