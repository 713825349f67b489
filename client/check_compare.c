/* check_compare.c: message by message: who is said to hold it, who does, who should. */
#include "client/check_compare.h"

#include "proto/placement.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const struct check_kind_info kinds[] = {
    [CHECK_LOST] = { "lost", CHECK_LOSS, false, "no node has a good copy of these messages any more",
                     "nothing brings them back by itself: put them again" },
    [CHECK_UNCONFIRMED] = { "unconfirmed", CHECK_DIFFERENCE, false,
                            "a node serves these messages, but counts none of them as a copy: its journal was made anew, and nobody vouches for them",
                            NULL },
    [CHECK_DANGLING] = { "dangling", CHECK_DIFFERENCE, true,
                         "the index names these messages on a node that does not hold them",
                         "the index reads the run again from that node" },
    [CHECK_MISPLACED] = { "misplaced", CHECK_DIFFERENCE, true,
                          "the index names another file, offset or length than the node",
                          "the index reads the run again from that node" },
    [CHECK_UNINDEXED] = { "unindexed", CHECK_DIFFERENCE, true,
                          "the node holds these messages, and the index does not name them there",
                          "the index reads the run again from that node" },
    [CHECK_MISSING_COPY] = { "missing-copy", CHECK_DIFFERENCE, false,
                             "an owner lacks messages that another node holds",
                             "the owner looks at the others now, and pulls what it lacks" },
    [CHECK_UNDER_REPLICATED] = { "under-replicated", CHECK_DIFFERENCE, false,
                                 "fewer nodes hold these messages than the map wants copies",
                                 "their owners look at the others now, and pull what they lack" },
    [CHECK_DAMAGED] = { "damaged", CHECK_DIFFERENCE, false,
                        "messages on this node are damaged, and no good copy has come for them yet",
                        "the node looks at the others now, and pulls good copies" },
    [CHECK_RUN_NOT_INDEXED] = { "run-not-indexed", CHECK_DIFFERENCE, true,
                                "a node holds this run, and the index does not know it",
                                "none: the index enters it when it next hears that node" },
    [CHECK_RUN_NOT_HELD] = { "run-not-held", CHECK_DIFFERENCE, true,
                             "the index names messages of this run, and no node knows it",
                             "the index reads the run again" },
    [CHECK_STATE] = { "state-differs", CHECK_DIFFERENCE, false,
                      "index and node differ in the run's incarnation, version or state",
                      "the node is told the run's state again" },
    [CHECK_MAP] = { "map-differs", CHECK_DIFFERENCE, false,
                    "the node has another epoch of the cluster map than the index",
                    "the node is given the newest map" },
    [CHECK_NOT_LISTED] = { "not-listed", CHECK_UNSEEN, false,
                           "this node could not be asked, so nothing is said of it", NULL },
    [CHECK_INDEX_BEHIND] = { "index-behind", CHECK_UNSEEN, false,
                             "the index has not read all of this node yet, so nothing is said of what it names there",
                             NULL },
    [CHECK_SURPLUS] = { "surplus", CHECK_NOTE, false,
                        "a node holds messages that it does not own: it gives them up by itself once their owners have them",
                        NULL },
    [CHECK_SUPERSEDED] = { "superseded", CHECK_NOTE, true,
                           "older issues than the index has room for in a field: readable by digest, named in no query",
                           NULL },
    [CHECK_RETIREMENT] = { "in-retirement", CHECK_NOTE, false,
                           "the run is on its way out, so it was not looked at", NULL },
};

const struct check_kind_info *check_kind_info(enum check_kind kind)
{
    assert(kind < CHECK_KINDS);
    return &kinds[kind];
}

/* --- lists --- */

enum status check_copies_add(struct check_copies *copies, const struct check_copy *copy, struct error *err)
{
    if (copies->count == copies->room) {
        size_t room = copies->room > 0 ? copies->room + copies->room / 2 : 1024;
        struct check_copy *items = realloc(copies->items, room * sizeof *items);
        if (items == NULL)
            return error_set(err, STATUS_NO_MEMORY, "no memory for %zu copies", room);
        copies->items = items;
        copies->room = room;
    }
    copies->items[copies->count++] = *copy;
    return STATUS_OK;
}

static int compare_u64(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int copy_compare(const void *a, const void *b)
{
    const struct check_copy *left = a, *right = b;
    int order = digest_compare(&left->digest, &right->digest);

    if (order == 0)
        order = compare_u64(left->node, right->node);
    if (order == 0)
        order = compare_u64(left->birth, right->birth);
    if (order == 0)
        order = compare_u64(left->offset, right->offset);
    return order != 0 ? order : compare_u64(left->length, right->length);
}

void check_copies_sort(struct check_copies *copies)
{
    if (copies->count > 1)
        qsort(copies->items, copies->count, sizeof *copies->items, copy_compare);
}

void check_copies_fini(struct check_copies *copies)
{
    free(copies->items);
    *copies = (struct check_copies){ 0 };
}

void check_items_fini(struct check_items *items)
{
    free(items->items);
    *items = (struct check_items){ 0 };
}

static enum status items_add(struct check_items *items, const struct digest *digest,
                             enum check_kind kind, uint16_t node, struct error *err)
{
    if (items->count == items->room) {
        size_t room = items->room > 0 ? items->room + items->room / 2 : 256;
        struct check_item *grown = realloc(items->items, room * sizeof *grown);
        if (grown == NULL)
            return error_set(err, STATUS_NO_MEMORY, "no memory for %zu differences", room);
        items->items = grown;
        items->room = room;
    }
    items->items[items->count++] = (struct check_item){ .digest = *digest,
                                                        .node = node,
                                                        .kind = (uint8_t)kind };
    return STATUS_OK;
}

static int item_compare(const void *a, const void *b)
{
    const struct check_item *left = a, *right = b;
    int order = digest_compare(&left->digest, &right->digest);

    if (order == 0)
        order = compare_u64(left->kind, right->kind);
    return order != 0 ? order : compare_u64(left->node, right->node);
}

void check_items_keep(struct check_items *items, const struct check_items *again)
{
    size_t kept = 0, at = 0;

    for (size_t i = 0; i < items->count; i++) {
        while (at < again->count && item_compare(&again->items[at], &items->items[i]) < 0)
            at++;
        if (at < again->count && item_compare(&again->items[at], &items->items[i]) == 0)
            items->items[kept++] = items->items[i];
    }
    items->count = kept;
}

/* --- one message --- */

struct message {
    const struct check_frame *frame;
    unsigned shard;
    const struct digest *digest;
    const struct check_copy *index, *held; /* of this message, by node */
    size_t index_count, held_count;
    struct check_items *found;
    struct error *err;
};

static bool holds(const struct message *message, uint16_t node)
{
    for (size_t i = 0; i < message->held_count; i++)
        if (message->held[i].node == node)
            return true;
    return false;
}

static bool named(const struct message *message, uint16_t node)
{
    for (size_t i = 0; i < message->index_count; i++)
        if (message->index[i].node == node && !message->index[i].bad)
            return true;
    return false;
}

static bool lies_there(const struct message *message, const struct check_copy *copy)
{
    for (size_t i = 0; i < message->held_count; i++)
        if (copy_compare(&message->held[i], copy) == 0)
            return true;
    return false;
}

static bool is_listed(const struct check_frame *frame, uint16_t node)
{
    return node == CHECK_NODE_NONE || frame->listed[node];
}

static enum status add(struct message *message, enum check_kind kind, uint16_t node)
{
    const struct check_items *found = message->found;
    const struct check_item item = { *message->digest, node, (uint8_t)kind };

    /* Two wrong places of one message on one node are one difference. */
    if (found->count > 0 && item_compare(&found->items[found->count - 1], &item) == 0)
        return STATUS_OK;
    return items_add(message->found, message->digest, kind, node, message->err);
}

static enum status find_lost(struct message *message)
{
    const struct cluster_map *map = message->frame->map;

    for (unsigned i = 0; i < map->nodes_count; i++)
        if (map->nodes[i].state != NODE_OUT && !message->frame->listed[i])
            return STATUS_OK;
    return message->held_count == 0 ? add(message, CHECK_LOST, CHECK_NODE_NONE) : STATUS_OK;
}

static enum status find_named(struct message *message, enum check_kind kind)
{
    enum status status = STATUS_OK;

    for (size_t i = 0; status == STATUS_OK && i < message->index_count; i++) {
        const struct check_copy *copy = &message->index[i];
        if (copy->bad || !is_listed(message->frame, copy->node))
            continue;
        /* The last place that is known, on a node that is no member: the index keeps it, and *lost* says it. */
        if (copy->node == CHECK_NODE_NONE && message->held_count == 0)
            continue;
        bool dangling = !holds(message, copy->node);
        if (kind == CHECK_DANGLING ? dangling : !dangling && !lies_there(message, copy))
            status = add(message, kind, copy->node);
    }
    return status;
}

/* Named nowhere, and older than what is left out of a field with very many issues. That it is such a one nobody says; reading the run
 * again would change nothing if it is, and the index does that by itself once if it is not. */
static bool is_superseded(const struct message *message)
{
    uint64_t stamp = 0;

    for (size_t i = 0; i < message->index_count; i++)
        if (!message->index[i].bad)
            return false;
    for (size_t i = 0; i < message->held_count; i++)
        if (message->held[i].stored_at_us > stamp)
            stamp = message->held[i].stored_at_us;
    return stamp < message->frame->superseded_before_us;
}

static enum status find_superseded(struct message *message)
{
    enum status status = STATUS_OK;

    if (!is_superseded(message))
        return STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < message->held_count; i++)
        status = add(message, CHECK_SUPERSEDED, message->held[i].node);
    return status;
}

static enum status find_unindexed(struct message *message)
{
    enum status status = STATUS_OK;

    if (is_superseded(message))
        return STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < message->held_count; i++)
        if (!named(message, message->held[i].node))
            status = add(message, CHECK_UNINDEXED, message->held[i].node);
    return status;
}

static enum status find_missing(struct message *message)
{
    const struct cluster_map *map = message->frame->map;
    unsigned count;
    const uint16_t *owners = placement_owners(map, message->frame->base_time, message->shard, &count);
    enum status status = STATUS_OK;

    /* By number of node: the order of items. */
    for (unsigned node = 0;
         message->held_count > 0 && status == STATUS_OK && node < map->nodes_count; node++) {
        bool owner = false;
        for (unsigned i = 0; i < count; i++)
            owner = owner || owners[i] == node;
        if (owner && message->frame->listed[node] && !holds(message, (uint16_t)node))
            status = add(message, CHECK_MISSING_COPY, (uint16_t)node);
    }
    return status;
}

/* What a node may hold that was not listed counts as held. */
static enum status find_too_few(struct message *message)
{
    const struct cluster_map *map = message->frame->map;
    unsigned alive = 0, copies = 0;

    for (unsigned i = 0; i < map->nodes_count; i++) {
        if (map->nodes[i].state == NODE_OUT)
            continue;
        alive++;
        copies += !message->frame->listed[i] || holds(message, (uint16_t)i);
    }
    unsigned wanted = map->replicas < alive ? map->replicas : alive;
    return copies < wanted && message->held_count > 0
               ? add(message, CHECK_UNDER_REPLICATED, CHECK_NODE_NONE)
               : STATUS_OK;
}

static enum status find_surplus(struct message *message)
{
    enum status status = STATUS_OK;

    for (size_t i = 0; status == STATUS_OK && i < message->held_count; i++)
        if (!placement_owns(message->frame->map, message->frame->base_time, message->shard,
                            message->held[i].node))
            status = add(message, CHECK_SURPLUS, message->held[i].node);
    return status;
}

/* In the order of kinds. */
static enum status find(struct message *message)
{
    enum status status = find_lost(message);

    if (status == STATUS_OK)
        status = find_named(message, CHECK_DANGLING);
    if (status == STATUS_OK)
        status = find_named(message, CHECK_MISPLACED);
    if (status == STATUS_OK)
        status = find_unindexed(message);
    if (status == STATUS_OK)
        status = find_missing(message);
    if (status == STATUS_OK)
        status = find_too_few(message);
    if (status == STATUS_OK)
        status = find_surplus(message);
    return status == STATUS_OK ? find_superseded(message) : status;
}

/* --- one shard --- */

static size_t group(const struct check_copy *copies, size_t count, size_t from, const struct digest *digest)
{
    size_t end = from;

    while (end < count && digest_compare(&copies[end].digest, digest) == 0)
        end++;
    return end;
}

enum status check_shard(const struct check_frame *frame, unsigned shard, const struct check_copy *index,
                        size_t index_count, const struct check_copy *held, size_t held_count,
                        struct check_items *found, struct error *err)
{
    size_t i = 0, h = 0;
    enum status status = STATUS_OK;

    while (status == STATUS_OK && (i < index_count || h < held_count)) {
        bool from_index = h == held_count ||
                          (i < index_count && digest_compare(&index[i].digest, &held[h].digest) <= 0);
        struct digest digest = from_index ? index[i].digest : held[h].digest;
        size_t index_end = group(index, index_count, i, &digest);
        size_t held_end = group(held, held_count, h, &digest);
        struct message message = { .frame = frame,
                                   .shard = shard,
                                   .digest = &digest,
                                   .index = index + i,
                                   .index_count = index_end - i,
                                   .held = held + h,
                                   .held_count = held_end - h,
                                   .found = found,
                                   .err = err };
        status = find(&message);
        i = index_end;
        h = held_end;
    }
    return status;
}
