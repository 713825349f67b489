/* cluster_map.c: the cluster map: what a cluster is made of and which nodes own which shard from when on.
 *
 * Invariants of every map that leaves this file, and of all that reads one:
 * 1. shards is a power of two, replicas at least 1, min_replicas between 1 and replicas;
 * 2. nodes have different ids and urls; an url is empty only in a cluster of one;
 * 3. eras ascend, the first has no beginning;
 * 4. each shard of an era has 1 to replicas different owners, all of them in nodes, then NODE_NONE. */
#include "proto/cluster_map.h"

#include "proto/cluster_map_make.h"

#include <assert.h>
#include <stdlib.h>

static const char *const node_state_names[] = { "in", "retiring", "evacuating", "out" };

const char *node_state_name(enum node_state state)
{
    assert((unsigned)state < ARRAY_COUNT(node_state_names));
    return node_state_names[state];
}

bool node_state_parse(const char *name, enum node_state *state)
{
    for (unsigned i = 0; i < ARRAY_COUNT(node_state_names); i++) {
        if (strcmp(name, node_state_names[i]) == 0) {
            *state = (enum node_state)i;
            return true;
        }
    }
    return false;
}

bool node_id_valid(const char *id)
{
    return source_valid(slice_text(id)); /* the same form */
}

static bool url_host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
}

/* A name, an IPv4 address, or an IPv6 address in brackets; NULL when it is none, else what follows. */
static const char *url_skip_host(const char *at)
{
    const char *start = at;

    if (*at == '[') {
        at += 1 + strspn(at + 1, "0123456789abcdefABCDEF:.");
        return *at == ']' && at > start + 2 ? at + 1 : NULL;
    }
    while (url_host_char(*at))
        at++;
    return at > start ? at : NULL;
}

bool node_url_valid(const char *url)
{
    uint64_t port;

    if (strlen(url) > URL_SIZE_MAX)
        return false;
    if (strncmp(url, "http://", 7) == 0)
        url += 7;
    else if (strncmp(url, "https://", 8) == 0)
        url += 8;
    else
        return false;
    url = url_skip_host(url);
    if (url == NULL || *url == '\0')
        return url != NULL;
    return *url == ':' && decimal_parse(url + 1, strlen(url + 1), 65535, &port) == 0 && port > 0;
}

bool cluster_id_valid(const char *id)
{
    return strlen(id) == CLUSTER_ID_SIZE && strspn(id, "0123456789abcdef") == CLUSTER_ID_SIZE;
}

void cluster_id_make(char id[CLUSTER_ID_SIZE + 1])
{
    uint8_t bytes[CLUSTER_ID_SIZE / 2];

    random_bytes(bytes, sizeof bytes);
    hex_print(bytes, sizeof bytes, id);
}

/* ---- making, copying, counting ---- */

uint16_t *map_owners_new(const struct cluster_map *map)
{
    size_t count = (size_t)map->shards * map->replicas;
    uint16_t *owners = malloc(count * sizeof owners[0]);

    if (owners != NULL)
        memset(owners, 0xff, count * sizeof owners[0]);
    return owners;
}

struct cluster_map *map_new(size_t nodes, size_t eras)
{
    struct cluster_map *map = calloc(1, sizeof *map);

    if (map == NULL)
        return NULL;
    atomic_init(&map->references, 1);
    map->nodes = calloc(nodes, sizeof map->nodes[0]);
    map->eras = calloc(eras, sizeof map->eras[0]);
    if (map->nodes != NULL && map->eras != NULL)
        return map;
    map_unref(map);
    return NULL;
}

struct cluster_map *map_ref(struct cluster_map *map)
{
    unsigned before = atomic_fetch_add_explicit(&map->references, 1, memory_order_relaxed);

    assert(before > 0);
    return map;
}

void map_unref(struct cluster_map *map)
{
    if (map == NULL || atomic_fetch_sub_explicit(&map->references, 1, memory_order_acq_rel) > 1)
        return;
    for (unsigned i = 0; i < map->eras_count; i++)
        free(map->eras[i].owners);
    free(map->eras);
    free(map->nodes);
    free(map);
}

void map_text_copy(char *to, size_t size, const char *from)
{
    size_t length = strlen(from);

    assert(length < size);
    memcpy(to, from, length + 1);
}

struct cluster_map *map_single(const char *cluster, unsigned shards, const char *id,
                               const char *url, const char *host, const char *colo, uint32_t weight)
{
    assert(cluster_id_valid(cluster) && node_id_valid(id) && (*url == '\0' || node_url_valid(url)));
    assert(shards >= 1 && shards <= MAP_SHARDS_MAX && (shards & (shards - 1)) == 0 && weight >= 1);
    struct cluster_map *map = map_new(1, 1);

    if (map == NULL)
        return NULL;
    map_text_copy(map->cluster, sizeof map->cluster, cluster);
    map->shards = shards;
    map->replicas = map->min_replicas = 1;
    map->eras[0] = (struct map_era){ .first = true, .owners = map_owners_new(map) };
    map->nodes_count = map->eras_count = 1;
    if (map->eras[0].owners == NULL) {
        map_unref(map);
        return NULL;
    }
    for (unsigned shard = 0; shard < shards; shard++)
        map->eras[0].owners[shard] = 0;

    struct map_node *node = &map->nodes[0];
    node->weight = weight;
    node->state = NODE_IN;
    map_text_copy(node->id, sizeof node->id, id);
    map_text_copy(node->url, sizeof node->url, url);
    map_text_copy(node->host, sizeof node->host, host);
    map_text_copy(node->colo, sizeof node->colo, colo);
    return map;
}

struct cluster_map *map_copy(const struct cluster_map *map)
{
    return map_copy_with_room(map, 0, 0);
}

struct cluster_map *map_copy_with_room(const struct cluster_map *map, size_t nodes, size_t eras)
{
    struct cluster_map *copy = map_new(map->nodes_count + nodes, map->eras_count + eras);

    if (copy == NULL)
        return NULL;
    memcpy(copy->cluster, map->cluster, sizeof copy->cluster);
    memcpy(copy->indexers, map->indexers, sizeof copy->indexers);
    copy->indexers_count = map->indexers_count;
    copy->epoch = map->epoch;
    copy->shards = map->shards;
    copy->replicas = map->replicas;
    copy->min_replicas = map->min_replicas;
    copy->paused = map->paused;
    memcpy(copy->nodes, map->nodes, map->nodes_count * sizeof map->nodes[0]);
    copy->nodes_count = map->nodes_count;
    for (; copy->eras_count < map->eras_count; copy->eras_count++) {
        struct map_era *era = &copy->eras[copy->eras_count];
        *era = map->eras[copy->eras_count];
        era->owners = map_owners_new(map);
        if (era->owners == NULL) {
            map_unref(copy);
            return NULL;
        }
        memcpy(era->owners, map->eras[copy->eras_count].owners,
               (size_t)map->shards * map->replicas * sizeof era->owners[0]);
    }
    return copy;
}

unsigned map_index(const struct cluster_map *map, const char *id)
{
    for (unsigned i = 0; i < map->nodes_count; i++) {
        if (strcmp(map->nodes[i].id, id) == 0)
            return i;
    }
    return NODE_NONE;
}

const struct map_node *map_find(const struct cluster_map *map, const char *id)
{
    unsigned index = map_index(map, id);

    return index == NODE_NONE ? NULL : &map->nodes[index];
}
