/* mirror_fetch.c: messages from the other cluster's nodes, many of a file in one request, each from its next copy when one fails. */
#include "client/mirror_window.h"

#include "proto/node_api.h"

#include <stdio.h>
#include <stdlib.h>

/* Its copies, beginning with another one for each message: all holders have the same to do. */
static void fetch_add_places(const struct mirroring *mirroring,
                             const struct mirror_message *message, struct fetch *fetch)
{
    const struct mirror_copy *copy = mirroring->copy;
    const struct cluster_map *map = copy->from->map;
    char path[DATA_PATH_SIZE], url[FETCH_URL_MAX];

    for (unsigned i = 0; i < message->places_count; i++) {
        size_t at = (message->digest.bytes[DIGEST_SIZE - 1] + i) % message->places_count;
        const struct mirror_place *place = &copy->list->places[message->first_place + at];
        data_path_print(&copy->run, digest_shard(&message->digest, map->shards), place->birth, path);
        snprintf(url, sizeof url, "%s%s", map->nodes[place->node].url, path);
        (void)fetch_add(fetch, url, place->offset, message->length); /* /sha256/ comes after them */
    }
}

/* Into the last batch of its file, or a new one; alone where there is no memory for one. */
static void fetch_batch(struct mirror_window *window, struct fetch *fetch)
{
    const struct fetch_location *location = fetch_first(fetch);

    if (location == NULL)
        return;
    for (struct list *at = window->batches.prev; at != &window->batches; at = at->prev) {
        struct batch *batch = container_of(at, struct batch, list);
        if (strcmp(batch->url, location->url) == 0 && batch_add(batch, fetch))
            return;
    }
    struct batch *batch = batch_new(window->mirroring->copy->from, location->url);
    if (batch == NULL)
        return;
    list_append(&window->batches, &batch->list);
    batch_add(batch, fetch);
}

bool mirror_fetch_start(struct mirror_window *window)
{
    for (unsigned i = 0; i < window->count; i++) {
        struct mirror_item *item = &window->items[i];
        if (!item->lacking)
            continue;
        item->fetch = malloc(sizeof *item->fetch);
        if (item->fetch == NULL)
            return false;
        fetch_init(item->fetch, window->mirroring->copy->from, &item->message->digest);
        fetch_add_places(window->mirroring, item->message, item->fetch);
        fetch_batch(window, item->fetch);
    }
    window->stage = WINDOW_FETCH;
    return true;
}

bool mirror_fetch_step(struct mirror_window *window)
{
    unsigned active = 0;
    bool done = true;

    batches_step(&window->batches, MIRROR_BATCHES);
    for (unsigned i = 0; i < window->count; i++) {
        struct fetch *fetch = window->items[i].fetch;
        if (fetch == NULL || fetch->done)
            continue;
        done = false;
        if (fetch->batched)
            continue;
        if (active++ == MIRROR_FETCHES)
            break;
        fetch_step(fetch);
    }
    return done;
}
