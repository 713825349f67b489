/* put_place.c: owners by the map, bodies by owners. */
#include "client/put_place.h"

#include <inttypes.h>
#include <stdlib.h>

static const uint16_t *owners_of(const struct cluster_map *map, const struct put_message *message,
                                 unsigned *count)
{
    return placement_owners(map, message->base_time, digest_shard(&message->digest, map->shards), count);
}

unsigned put_place_owner(const struct cluster_map *map, const struct put_message *message, unsigned rank)
{
    unsigned count;
    const uint16_t *owners = owners_of(map, message, &count);

    return rank < count ? owners[rank] : PUT_PLACE_NONE;
}

unsigned put_place_owners(const struct cluster_map *map, const struct put_message *message)
{
    unsigned count;

    owners_of(map, message, &count);
    return count;
}

struct sort_item {
    int64_t base_time;
    uint32_t owner, pick;
};

static int item_order(const void *left, const void *right)
{
    const struct sort_item *a = left, *b = right;

    if (a->base_time != b->base_time)
        return a->base_time < b->base_time ? -1 : 1;
    if (a->owner != b->owner)
        return a->owner < b->owner ? -1 : 1;
    return (a->pick > b->pick) - (a->pick < b->pick);
}

enum status put_place_sort(const struct cluster_map *map, const struct put_message *messages,
                           uint32_t *picks, size_t count, unsigned rank, struct error *err)
{
    struct sort_item *items = malloc(count * sizeof *items + 1);

    if (items == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a list of messages");
    for (size_t i = 0; i < count; i++) {
        const struct put_message *message = &messages[picks[i]];
        items[i] = (struct sort_item){ .base_time = message->base_time,
                                       .owner = put_place_owner(map, message, rank),
                                       .pick = picks[i] };
    }
    qsort(items, count, sizeof *items, item_order);
    for (size_t i = 0; i < count; i++)
        picks[i] = items[i].pick;
    free(items);
    return STATUS_OK;
}

static bool travels_with(const struct cluster_map *map, const struct put_message *first,
                         const struct put_message *next, unsigned rank)
{
    return first->base_time == next->base_time &&
           put_place_owner(map, first, rank) == put_place_owner(map, next, rank) &&
           (rank == 0 || first->incarnation == next->incarnation);
}

size_t put_place_body(const struct cluster_map *map, const struct put_message *messages,
                      const uint32_t *picks, size_t count, unsigned rank, size_t count_max,
                      uint64_t size_max, uint64_t *size)
{
    size_t taken = 1;

    if (rank > 0 && count_max > PUT_STAMPS_MAX)
        count_max = PUT_STAMPS_MAX;
    *size = messages[picks[0]].size;
    while (taken < count && taken < count_max) {
        const struct put_message *next = &messages[picks[taken]];

        if (next->size > size_max || *size > size_max - next->size ||
            (map != NULL && !travels_with(map, &messages[picks[0]], next, rank)))
            break;
        *size += next->size;
        taken++;
    }
    return taken;
}

void put_place_stamps(const struct put_message *messages, const uint32_t *picks, size_t count,
                      struct buf *buf)
{
    size_t written = count;

    while (written > 1 && messages[picks[written - 1]].stored_at_us ==
                              messages[picks[written - 2]].stored_at_us + 1)
        written--;
    for (size_t i = 0; i < written; i++)
        buf_format(buf, "%s%" PRIu64, i == 0 ? "" : ",", messages[picks[i]].stored_at_us);
}
