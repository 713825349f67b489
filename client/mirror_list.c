/* mirror_list.c: lines of locations, sorted, into messages. */
#include "client/mirror_list.h"

#include "client/locations.h"

#include <stdlib.h>
#include <string.h>

/* A line as it came. */
struct line {
    struct digest digest;
    uint64_t length, stored_at_us, birth, offset;
    uint16_t node;
    bool current;
};

struct lines {
    struct line *items; /* owned */
    size_t count, room;
    const struct cluster_map *map;
};

static void lines_begin(void *user)
{
    struct lines *lines = user;

    lines->count = 0;
}

static enum status lines_take(void *user, const struct location *location, struct error *err)
{
    struct lines *lines = user;

    if (lines->count == lines->room) {
        size_t room = lines->room > 0 ? lines->room + lines->room / 2 : 1024;
        struct line *grown = realloc(lines->items, room * sizeof *grown);
        if (grown == NULL)
            return error_set(err, STATUS_NO_MEMORY, "no memory for %zu places", room);
        lines->items = grown;
        lines->room = room;
    }
    lines->items[lines->count++] = (struct line){ .digest = location->digest,
                                                  .length = location->length,
                                                  .stored_at_us = location->stored_at_us,
                                                  .birth = location->birth,
                                                  .offset = location->offset,
                                                  .node = (uint16_t)map_index(lines->map, location->node),
                                                  .current = location->as != LOCATION_OLDER };
    return STATUS_OK;
}

static int line_compare(const void *a, const void *b)
{
    const struct line *left = a, *right = b;
    int order = digest_compare(&left->digest, &right->digest);

    if (order == 0)
        order = left->node - right->node;
    if (order == 0)
        order = left->birth < right->birth ? -1 : left->birth > right->birth;
    return order != 0 ? order : left->offset < right->offset ? -1 : left->offset > right->offset;
}

static void place_add(struct mirror_list *list, struct mirror_message *message, const struct line *line)
{
    const struct mirror_place place = { line->birth, line->offset, line->node };

    if (line->node == NODE_NONE) /* a node that has left the map */
        return;
    if (message->places_count > 0) {
        const struct mirror_place *last = &list->places[list->places_count - 1];
        if (last->node == place.node && last->birth == place.birth && last->offset == place.offset)
            return; /* another field of the message */
    }
    list->places[list->places_count++] = place;
    message->places_count++;
}

/* Sorted lines; room for as many messages and places is there. */
static void list_fill(struct mirror_list *list, const struct lines *lines)
{
    for (size_t i = 0; i < lines->count; i++) {
        const struct line *line = &lines->items[i];
        struct mirror_message *message = list->count > 0 ? &list->messages[list->count - 1] : NULL;
        if (message == NULL || digest_compare(&message->digest, &line->digest) != 0) {
            message = &list->messages[list->count++];
            *message = (struct mirror_message){ .digest = line->digest,
                                                .length = line->length,
                                                .first_place = list->places_count };
        }
        if (line->stored_at_us > message->stored_at_us)
            message->stored_at_us = line->stored_at_us; /* of several the greatest holds */
        message->current = message->current || line->current;
        place_add(list, message, line);
    }
    for (size_t i = 0; i < list->count; i++) {
        digest_set_add(&list->all, &list->messages[i].digest);
        list->bytes += list->messages[i].length;
        if (list->messages[i].current)
            digest_set_add(&list->current, &list->messages[i].digest);
    }
}

static enum status list_make(struct mirror_list *list, struct lines *lines, struct error *err)
{
    list->messages = calloc(lines->count + 1, sizeof *list->messages);
    list->places = calloc(lines->count + 1, sizeof *list->places);
    if (list->messages == NULL || list->places == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for %zu places", lines->count);
    if (lines->count > 1)
        qsort(lines->items, lines->count, sizeof *lines->items, line_compare);
    list_fill(list, lines);
    return STATUS_OK;
}

enum status mirror_list_get(struct gs_session *session, const struct run_key *run,
                            struct mirror_list *list, struct error *err)
{
    struct lines lines = { .count = 0 };
    const struct locations_taker taker = { lines_begin, lines_take, &lines };

    *list = (struct mirror_list){ .count = 0 };
    enum status status = session_map(session, err);
    lines.map = session->map;
    if (status == STATUS_OK)
        status = locations_get(session, run, &taker, err);
    if (status == STATUS_OK)
        status = list_make(list, &lines, err);
    free(lines.items);
    return status;
}

void mirror_list_fini(struct mirror_list *list)
{
    free(list->messages);
    free(list->places);
    *list = (struct mirror_list){ .count = 0 };
}

const struct mirror_message *mirror_list_find(const struct mirror_list *list, const struct digest *digest)
{
    size_t low = 0, high = list->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (digest_compare(&list->messages[middle].digest, digest) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < list->count && digest_compare(&list->messages[low].digest, digest) == 0
               ? &list->messages[low]
               : NULL;
}
