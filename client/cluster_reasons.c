/* cluster_reasons.c: why a change of the cluster should not be made. Part of cluster_edit.h. */
#include "client/cluster_edit.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const reason_names[REASONS_COUNT] = {
    [REASON_FEWER_COPIES] = "fewer-copies",
    [REASON_HIGH_WATER] = "high-water",
    [REASON_NOT_REACHABLE] = "not-reachable",
    [REASON_HAS_DATA] = "has-data",
};

const char *cluster_reason_name(enum cluster_reason reason)
{
    return reason_names[reason];
}

bool cluster_reason_parse(const char *name, enum cluster_reason *reason)
{
    for (unsigned i = 0; i < REASONS_COUNT; i++) {
        if (strcmp(name, reason_names[i]) != 0)
            continue;
        *reason = (enum cluster_reason)i;
        return true;
    }
    return false;
}

struct reasons {
    unsigned found;
    struct buf *buf;
};

static void reason_add(struct reasons *reasons, enum cluster_reason reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void reason_add(struct reasons *reasons, enum cluster_reason reason, const char *format, ...)
{
    char text[1024];
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    reasons->found |= 1u << reason;
    buf_format(reasons->buf, "%s: %s\n", cluster_reason_name(reason), text);
}

static bool moves_data(enum cluster_action action)
{
    return action != CLUSTER_RENAME && action != CLUSTER_REMOVE && action != CLUSTER_PAUSE &&
           action != CLUSTER_RESUME;
}

/* Who is dead and is to be left behind need not answer. */
static void reasons_reachable(struct reasons *reasons, const struct cluster_map *after,
                              const struct survey *survey)
{
    for (size_t i = 0; i < survey->nodes_count; i++) {
        const struct survey_node *node = &survey->nodes[i];
        const struct map_node *then = map_find(after, node->id);

        if (then == NULL || then->state == NODE_OUT || (node->reachable && node->listed))
            continue;
        reason_add(reasons, REASON_NOT_REACHABLE,
                   "%s (%s) does not say what it holds: %s. Bring it back first, or remove it as lost",
                   node->id, node->url, node->reachable ? node->listed_err.text : node->err.text);
    }
}

static void reasons_full(struct reasons *reasons, const struct cluster_moves *moves)
{
    for (size_t i = 0; i < moves->count; i++) {
        const struct moves_node *node = &moves->nodes[i];
        const struct survey_disk *disk = node->seen != NULL ? &node->seen->disk : NULL;

        if (!node->past_high_water || disk == NULL)
            continue;
        reason_add(
            reasons, REASON_HIGH_WATER,
            "%s would have %.1f %% of its disk in use, its mark is at %.1f %%: purge runs, or add a node",
            node->seen->id, 100.0 * (double)node->used_peak / (double)disk->total,
            100.0 * (double)(disk->high_water > 0 ? disk->high_water : disk->total - disk->reserve) /
                (double)disk->total);
    }
}

static void reasons_copies(struct reasons *reasons, const struct cluster_moves *moves)
{
    if (moves->shards_fewer > 0)
        reason_add(reasons, REASON_FEWER_COPIES,
                   "%u shards would have fewer copies than now (at least %u, now %u): add a node first",
                   moves->shards_fewer, moves->copies_after, moves->copies_before);
    if (moves->orphans.messages > 0)
        reason_add(reasons, REASON_FEWER_COPIES,
                   "of %" PRIu64 " messages (the first in %s) no node that stays is seen to hold a whole copy: they would "
                   "be lost unless somebody holds them after all",
                   moves->orphans.messages, moves->orphan);
}

static void reasons_data(struct reasons *reasons, enum cluster_action action, const char *subject,
                         const struct survey *survey)
{
    for (size_t i = 0; i < survey->nodes_count; i++) {
        const struct survey_node *node = &survey->nodes[i];

        if (node->comes && node->messages + node->holdings_count > 0)
            reason_add(reasons, REASON_HAS_DATA,
                       "%s holds %" PRIu64 " messages already: only an empty node comes in",
                       node->id, node->messages);
        if (node->comes && node->other_cluster && node->epoch > 0) /* since the plan was made */
            reason_add(reasons, REASON_NOT_REACHABLE, "%s (%s) belongs to another cluster by now",
                       node->id, node->url);
        if (action == CLUSTER_REMOVE && strcmp(node->id, subject) == 0 && node->holdings_count > 0)
            reason_add(reasons, REASON_HAS_DATA,
                       "%s holds %" PRIu64 " messages still (%" PRIu64
                       " bytes): wait until it has given them up (`gribstore cluster show`)",
                       node->id, node->messages, node->bytes);
        else if (action == CLUSTER_REMOVE && strcmp(node->id, subject) == 0 && node->grace_files > 0)
            reason_add(reasons, REASON_HAS_DATA,
                       "%s serves %" PRIu64
                       " files that it gave up through their grace: wait until that is over",
                       node->id, node->grace_files);
    }
}

unsigned cluster_reasons(enum cluster_action action, const char *subject,
                         const struct cluster_map *before, const struct cluster_map *after,
                         const struct survey *survey, const struct cluster_moves *moves, struct buf *buf)
{
    struct reasons reasons = { .buf = buf };

    (void)before;
    if (moves_data(action)) {
        reasons_reachable(&reasons, after, survey);
        reasons_copies(&reasons, moves);
        reasons_full(&reasons, moves);
    }
    reasons_data(&reasons, action, subject != NULL ? subject : "", survey);
    return reasons.found;
}
