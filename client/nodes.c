/* nodes.c: who is up, who is busy, who is worth another try. */
#include "client/nodes.h"

#include <stdio.h>
#include <stdlib.h>

void nodes_fini(struct nodes *nodes)
{
    free(nodes->items);
    *nodes = (struct nodes){ 0 };
}

static struct node *nodes_add(struct nodes *nodes, const char *url, size_t size)
{
    struct node *items = realloc(nodes->items, (nodes->count + 1) * sizeof *items);

    if (items == NULL)
        return NULL;
    nodes->items = items;
    struct node *node = &items[nodes->count++];
    *node = (struct node){ 0 };
    snprintf(node->url, sizeof node->url, "%.*s", (int)size, url);
    return node;
}

enum status nodes_from_text(struct nodes *nodes, const char *text, struct error *err)
{
    *nodes = (struct nodes){ 0 };
    while (*text != '\0') {
        size_t size = strcspn(text, ",");
        size_t url_size = size;

        while (url_size > 0 && text[url_size - 1] == '/')
            url_size--;
        if (url_size > 0 && url_size <= URL_SIZE_MAX) {
            struct node *node = nodes_add(nodes, text, url_size);

            if (node == NULL)
                return error_set(err, STATUS_NO_MEMORY, "no memory for nodes");
            if (!node_url_valid(node->url))
                return error_set(err, STATUS_BAD_VALUE,
                                 "%s is no URL of a node; write http://HOST:PORT", node->url);
        } else if (size > 0) {
            return error_set(err, STATUS_BAD_VALUE, "a URL of a node is longer than %d characters",
                             URL_SIZE_MAX);
        }
        text += size;
        text += strspn(text, ", ");
    }
    return nodes->count > 0
               ? STATUS_OK
               : error_set(err, STATUS_BAD_VALUE, "no URL is given; write http://HOST:PORT");
}

static const struct node *nodes_find(const struct nodes *nodes, const char *url)
{
    for (unsigned i = 0; i < nodes->count; i++) {
        if (strcmp(nodes->items[i].url, url) == 0)
            return &nodes->items[i];
    }
    return NULL;
}

enum status nodes_from_map(struct nodes *nodes, const struct cluster_map *map,
                           const char *first_url, struct error *err)
{
    struct nodes fresh = { 0 };

    for (unsigned i = 0; i < map->nodes_count; i++) {
        const char *url = map->nodes[i].url[0] != '\0' ? map->nodes[i].url : first_url;
        const struct node *known = nodes_find(nodes, url);

        if (map->nodes[i].state == NODE_OUT)
            continue;
        struct node *node = nodes_add(&fresh, url, strlen(url));
        if (node == NULL) {
            nodes_fini(&fresh);
            return error_set(err, STATUS_NO_MEMORY, "no memory for nodes");
        }
        if (known != NULL)
            *node = *known;
        snprintf(node->id, sizeof node->id, "%s", map->nodes[i].id);
    }
    if (fresh.count == 0)
        return error_set(err, STATUS_NOT_FOUND, "the cluster map has no node");
    nodes_fini(nodes);
    *nodes = fresh;
    return STATUS_OK;
}

/* Who stalled comes behind all others, then who has more to do. */
static bool node_before(const struct node *node, const struct node *other, uint64_t now_ms)
{
    bool stalled = node->stalled_until_ms > now_ms, other_stalled = other->stalled_until_ms > now_ms;

    return stalled != other_stalled ? other_stalled : node->under_way < other->under_way;
}

struct node *nodes_pick(struct nodes *nodes, uint64_t now_ms)
{
    struct node *best = NULL;

    for (unsigned i = 0; i < nodes->count; i++) {
        struct node *node = &nodes->items[(nodes->turn + i) % nodes->count];

        if (node->down_until_ms > now_ms)
            continue;
        if (best == NULL || node_before(node, best, now_ms))
            best = node;
    }
    if (best != NULL)
        nodes->turn = (unsigned)(best - nodes->items) + 1;
    return best;
}

struct node *nodes_by_id(struct nodes *nodes, const char *id)
{
    for (unsigned i = 0; i < nodes->count; i++) {
        if (strcmp(nodes->items[i].id, id) == 0)
            return &nodes->items[i];
    }
    return NULL;
}

uint64_t nodes_next_ms(const struct nodes *nodes, uint64_t now_ms)
{
    uint64_t next = UINT64_MAX;

    for (unsigned i = 0; i < nodes->count; i++) {
        uint64_t at = nodes->items[i].down_until_ms > now_ms ? nodes->items[i].down_until_ms : now_ms;

        if (at < next)
            next = at;
    }
    return next;
}

void node_failed(struct node *node, uint64_t now_ms)
{
    uint64_t wait = NODES_BACKOFF_MIN_MS;

    for (unsigned i = 0; i < node->failures && wait < NODES_BACKOFF_MAX_MS; i++)
        wait *= 2;
    if (wait > NODES_BACKOFF_MAX_MS)
        wait = NODES_BACKOFF_MAX_MS;
    node->failures++;
    node->down_until_ms = now_ms + wait;
}

void node_stalled(struct node *node, uint64_t now_ms)
{
    node_failed(node, now_ms);
    node->stalled_until_ms = now_ms + NODES_STALLED_MS;
}

bool node_is_away(const struct node *node, uint64_t now_ms)
{
    return node->down_until_ms > now_ms || node->stalled_until_ms > now_ms;
}

void node_answered(struct node *node)
{
    node->stalled_until_ms = 0;
    node->failures = 0;
    node->down_until_ms = 0;
}
