/* cluster_moves.c: what moves between two maps. Run by run: the holdings of all nodes in it are brought into the order of their
 * shards, and each shard is looked at by itself. */
#include "client/cluster_moves.h"

#include "proto/placement.h"

#include <stdio.h>
#include <stdlib.h>

/* What one node holds of the shard looked at. */
struct piece {
    uint32_t shard;
    uint16_t node; /* index into moves->nodes */
    struct moves_part part;
};

struct mover {
    const struct cluster_map *before, *after;
    const struct survey *survey;
    struct cluster_moves *moves;
    size_t *next;         /* owned: the next holding of each node */
    struct piece *pieces; /* owned: of the run */
    size_t pieces_count, pieces_capacity;
    uint64_t *owned_before, *owned_after; /* owned: bytes by table */
    const struct survey_run *run;
    uint16_t of_before[MAP_NODES_MAX], of_after[MAP_NODES_MAX]; /* a map's node -> moves->nodes */
};

/* ---- nodes ---- */

static unsigned shards_of(const struct cluster_map *map, const struct map_node *node)
{
    const struct map_era *era = &map->eras[map->eras_count - 1];
    unsigned count = 0;

    for (size_t i = 0; node != NULL && i < (size_t)map->shards * map->replicas; i++)
        count += era->owners[i] == (unsigned)(node - map->nodes);
    return count;
}

static void mover_add_nodes(struct mover *mover)
{
    struct cluster_moves *moves = mover->moves;

    for (unsigned i = 0; i < mover->before->nodes_count; i++) {
        struct moves_node *node = &moves->nodes[moves->count];
        node->before = &mover->before->nodes[i];
        node->after = map_find(mover->after, node->before->id);
        mover->of_before[i] = (uint16_t)moves->count++;
        if (node->after != NULL)
            mover->of_after[node->after - mover->after->nodes] = mover->of_before[i];
    }
    for (unsigned i = 0; i < mover->after->nodes_count; i++) {
        if (map_find(mover->before, mover->after->nodes[i].id) != NULL)
            continue;
        moves->nodes[moves->count].after = &mover->after->nodes[i];
        mover->of_after[i] = (uint16_t)moves->count++;
    }
    for (size_t i = 0; i < moves->count; i++) {
        struct moves_node *node = &moves->nodes[i];
        node->seen = survey_find(mover->survey, (node->before != NULL ? node->before : node->after)->id);
        node->shards_before = shards_of(mover->before, node->before);
        node->shards_after = shards_of(mover->after, node->after);
        if (node->seen != NULL)
            node->held = (struct moves_part){ node->seen->messages, node->seen->bytes };
    }
}

/* ---- eras ---- */

static unsigned copies_of(const struct cluster_map *map, const uint16_t *of)
{
    unsigned copies = 0;

    while (copies < map->replicas && of[copies] != NODE_NONE)
        copies++;
    return copies;
}

static bool same_host(const struct cluster_map *map, const uint16_t *of)
{
    for (unsigned i = 1; i < copies_of(map, of); i++) {
        for (unsigned k = 0; k < i; k++) {
            if (map->nodes[of[i]].host[0] != '\0' &&
                strcmp(map->nodes[of[i]].host, map->nodes[of[k]].host) == 0)
                return true;
        }
    }
    return false;
}

/* The fewest owners of a shard, and how many shards have two on one host. */
static void map_look(const struct cluster_map *map, unsigned *fewest, unsigned *hosts)
{
    *fewest = map->replicas;
    *hosts = 0;
    for (unsigned era = 0; era < map->eras_count; era++) {
        for (unsigned shard = 0; shard < map->shards; shard++) {
            const uint16_t *of = map->eras[era].owners + (size_t)shard * map->replicas;
            unsigned copies = copies_of(map, of);
            *fewest = copies < *fewest ? copies : *fewest;
            *hosts += same_host(map, of);
        }
    }
}

/* Each shard of each era after, against the era that was in force where it begins. */
static unsigned maps_fewer(const struct cluster_map *before, const struct cluster_map *after)
{
    unsigned fewer = 0;

    for (unsigned i = 0; i < after->eras_count; i++) {
        const struct map_era *era = &after->eras[i];
        const struct map_era *was = placement_era(before, era->first ? INT64_MIN : era->from);
        for (unsigned shard = 0; shard < after->shards; shard++)
            fewer += copies_of(after, era->owners + (size_t)shard * after->replicas) <
                     copies_of(before, was->owners + (size_t)shard * before->replicas);
    }
    return fewer;
}

/* ---- a shard of a run ---- */

/* Owners as moves->nodes; returns how many. */
static unsigned owners_of(const struct mover *mover, bool after, uint32_t shard, uint16_t *nodes)
{
    unsigned count;
    const uint16_t *owners = placement_owners(after ? mover->after : mover->before,
                                              mover->run->key.base_time, shard, &count);

    for (unsigned i = 0; i < count; i++)
        nodes[i] = after ? mover->of_after[owners[i]] : mover->of_before[owners[i]];
    return count;
}

static bool among(const uint16_t *nodes, unsigned count, unsigned node)
{
    for (unsigned i = 0; i < count; i++) {
        if (nodes[i] == node)
            return true;
    }
    return false;
}

static const struct piece *piece_of(const struct piece *pieces, size_t count, unsigned node)
{
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].node == node)
            return &pieces[i];
    }
    return NULL;
}

/* What an owner lacks of the whole. */
static struct moves_part part_missing(struct moves_part whole, const struct piece *has)
{
    if (has == NULL)
        return whole;
    return (struct moves_part){ whole.messages > has->part.messages ? whole.messages - has->part.messages
                                                                    : 0,
                                /* Fewer bytes with as many messages: what is between them is not the shard's. */
                                whole.messages > has->part.messages && whole.bytes > has->part.bytes
                                    ? whole.bytes - has->part.bytes
                                    : 0 };
}

static void part_add(struct moves_part *sum, struct moves_part part)
{
    sum->messages += part.messages;
    sum->bytes += part.bytes;
}

/* Can what this node holds be read once the map after holds? */
static bool counts_after(const struct moves_node *node)
{
    return node->after != NULL && node->after->state != NODE_OUT;
}

static void shard_copies_seen(struct mover *mover, const struct piece *pieces, size_t count,
                              struct moves_part whole)
{
    struct cluster_moves *moves = mover->moves;
    char run[RUN_TEXT_SIZE];
    unsigned copies = 0;

    for (size_t i = 0; i < count; i++)
        copies += counts_after(&moves->nodes[pieces[i].node]) && pieces[i].part.messages >= whole.messages;
    moves->copies_seen = copies < moves->copies_seen ? copies : moves->copies_seen;
    if (copies > 0)
        return;
    if (moves->orphan[0] == '\0') {
        run_key_print(&mover->run->key, run);
        snprintf(moves->orphan, sizeof moves->orphan, "%s %u", run, pieces[0].shard);
    }
    part_add(&moves->orphans, whole);
}

static void shard_move(struct mover *mover, const struct piece *pieces, size_t count)
{
    struct cluster_moves *moves = mover->moves;
    struct moves_part whole = pieces[0].part;
    uint16_t before[MAP_REPLICAS_MAX], after[MAP_REPLICAS_MAX];
    unsigned before_count = owners_of(mover, false, pieces[0].shard, before);
    unsigned after_count = owners_of(mover, true, pieces[0].shard, after);

    for (size_t i = 1; i < count; i++) {
        if (pieces[i].part.messages > whole.messages)
            whole = pieces[i].part;
    }
    for (unsigned i = 0; i < before_count; i++)
        mover->owned_before[before[i]] += whole.bytes;
    for (unsigned i = 0; i < after_count; i++) {
        struct moves_node *node = &moves->nodes[after[i]];
        bool was = among(before, before_count, after[i]);
        mover->owned_after[after[i]] += whole.bytes;
        moves->table_bytes += was ? 0 : whole.bytes;
        if (!was || (node->seen != NULL && node->seen->listed))
            part_add(&node->in, part_missing(whole, piece_of(pieces, count, after[i])));
    }
    for (size_t i = 0; i < count; i++) {
        if (!among(after, after_count, pieces[i].node))
            part_add(&moves->nodes[pieces[i].node].out, pieces[i].part);
    }
    shard_copies_seen(mover, pieces, count, whole);
}

/* ---- a run ---- */

static enum status mover_add_piece(struct mover *mover, struct piece piece, struct error *err)
{
    if (mover->pieces_count == mover->pieces_capacity) {
        size_t capacity = mover->pieces_capacity == 0 ? 1024 : 2 * mover->pieces_capacity;
        struct piece *pieces = realloc(mover->pieces, capacity * sizeof pieces[0]);
        if (pieces == NULL)
            return error_set(err, STATUS_NO_MEMORY, "no memory for a plan");
        mover->pieces = pieces;
        mover->pieces_capacity = capacity;
    }
    mover->pieces[mover->pieces_count++] = piece;
    return STATUS_OK;
}

static int piece_compare(const void *left, const void *right)
{
    const struct piece *a = left, *b = right;

    if (a->shard != b->shard)
        return a->shard < b->shard ? -1 : 1;
    return (a->node > b->node) - (a->node < b->node);
}

/* All that is held of run number `run`. What is of a node that is to come is not this cluster's. */
static enum status mover_gather(struct mover *mover, uint32_t run, struct error *err)
{
    enum status status = STATUS_OK;

    mover->pieces_count = 0;
    for (size_t i = 0; i < mover->moves->count; i++) {
        const struct survey_node *seen = mover->moves->nodes[i].seen;
        size_t *next = &mover->next[i];

        while (seen != NULL && *next < seen->holdings_count && seen->holdings[*next].run == run &&
               status == STATUS_OK) {
            const struct survey_holding *held = &seen->holdings[(*next)++];
            if (held->shard < mover->after->shards && !seen->comes)
                status = mover_add_piece(mover,
                                         (struct piece){ .shard = held->shard,
                                                         .node = (uint16_t)i,
                                                         .part = { held->messages, held->bytes } },
                                         err);
        }
    }
    if (mover->pieces_count > 0)
        qsort(mover->pieces, mover->pieces_count, sizeof mover->pieces[0], piece_compare);
    return status;
}

/* Nobody needs its copies any more, and nobody takes them. */
static void run_leaves(struct mover *mover)
{
    struct cluster_moves *moves = mover->moves;

    moves->leaving_runs += mover->pieces_count > 0;
    for (size_t i = 0; i < mover->pieces_count; i++)
        part_add(&moves->leaving, mover->pieces[i].part);
}

static enum status mover_run(struct mover *mover, uint32_t run, struct error *err)
{
    enum status status = mover_gather(mover, run, err);

    mover->run = &mover->survey->runs[run];
    if (mover->run->info.state == RUN_RETIRED || mover->run->info.state == RUN_PURGED) {
        run_leaves(mover);
        return status;
    }
    for (size_t i = 0, end; i < mover->pieces_count && status == STATUS_OK; i = end) {
        for (end = i + 1; end < mover->pieces_count && mover->pieces[end].shard == mover->pieces[i].shard;)
            end++;
        mover->moves->has_data = true;
        shard_move(mover, &mover->pieces[i], end - i);
    }
    return status;
}

/* ---- the sums ---- */

static uint64_t less(uint64_t from, uint64_t by)
{
    return from > by ? from - by : 0;
}

static void node_sum(struct moves_node *node, struct cluster_moves *moves)
{
    part_add(&moves->in, node->in);
    part_add(&moves->out, node->out);
    node->left = (struct moves_part){ less(node->held.messages + node->in.messages, node->out.messages),
                                      less(node->held.bytes + node->in.bytes, node->out.bytes) };
    if (node->seen != NULL && node->seen->disk.known) {
        const struct survey_disk *disk = &node->seen->disk;
        uint64_t high = disk->high_water > 0 ? disk->high_water : less(disk->total, disk->reserve);
        node->disk_known = true;
        node->used_peak = disk->used + node->in.bytes;
        node->used_after = less(node->used_peak, node->out.bytes);
        node->past_high_water = node->in.bytes > 0 && node->used_peak > high;
    }
    if (node->in.bytes > 0 && node->seen != NULL && node->seen->sync_rate > 0) {
        node->seconds_known = true;
        node->seconds = (double)node->in.bytes / (double)node->seen->sync_rate;
        moves->seconds_known = true;
        moves->seconds = node->seconds > moves->seconds ? node->seconds : moves->seconds;
    }
}

static enum status mover_init(struct mover *mover, struct error *err)
{
    size_t count = (size_t)mover->before->nodes_count + mover->after->nodes_count;

    mover->moves->nodes = calloc(count, sizeof mover->moves->nodes[0]);
    mover->next = calloc(count, sizeof mover->next[0]);
    mover->owned_before = calloc(count, sizeof mover->owned_before[0]);
    mover->owned_after = calloc(count, sizeof mover->owned_after[0]);
    if (mover->moves->nodes == NULL || mover->next == NULL || mover->owned_before == NULL ||
        mover->owned_after == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a plan");
    mover_add_nodes(mover);
    return STATUS_OK;
}

static void mover_fini(struct mover *mover)
{
    free(mover->next);
    free(mover->pieces);
    free(mover->owned_before);
    free(mover->owned_after);
}

enum status cluster_moves_make(const struct cluster_map *before, const struct cluster_map *after,
                               const struct survey *survey, struct cluster_moves *moves,
                               struct error *err)
{
    struct mover mover = { .before = before, .after = after, .survey = survey, .moves = moves };

    *moves = (struct cluster_moves){ .copies_seen = MAP_NODES_MAX };
    enum status status = before->shards != after->shards
                             ? error_set(err, STATUS_BAD_VALUE, "the number of shards never changes")
                             : mover_init(&mover, err);
    for (size_t run = 0; run < survey->runs_count && status == STATUS_OK; run++)
        status = mover_run(&mover, (uint32_t)run, err);
    if (status == STATUS_OK) {
        map_look(before, &moves->copies_before, &moves->same_host_before);
        map_look(after, &moves->copies_after, &moves->same_host_after);
        moves->shards_fewer = maps_fewer(before, after);
        for (size_t i = 0; i < moves->count; i++) {
            node_sum(&moves->nodes[i], moves);
            moves->ideal_bytes += less(mover.owned_after[i], mover.owned_before[i]);
        }
    }
    mover_fini(&mover);
    if (status != STATUS_OK)
        cluster_moves_fini(moves);
    return status;
}

void cluster_moves_fini(struct cluster_moves *moves)
{
    free(moves->nodes);
    *moves = (struct cluster_moves){ 0 };
}
