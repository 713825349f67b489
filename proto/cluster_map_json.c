/* cluster_map_json.c: the cluster map as JSON: printed, and parsed with every member checked.
 *
 * An error names the place: "cluster map: eras[1]: owners[17]: unknown node". Members that we don't know are for later
 * releases and are passed over. */
#include "proto/cluster_map.h"

#include "proto/base/json_read.h"
#include "proto/base/json_write.h"
#include "proto/cluster_map_make.h"

#include <stdlib.h>

/* ---- printing ---- */

static void map_print_node(struct json_writer *json, const struct map_node *node)
{
    json_object_begin(json);
    json_put_string(json, "id", node->id);
    json_put_string(json, "url", node->url);
    json_put_string(json, "host", node->host);
    json_put_string(json, "colo", node->colo);
    json_put_u64(json, "weight", node->weight);
    json_put_string(json, "state", node_state_name(node->state));
    json_object_end(json);
}

static void map_print_owners(struct json_writer *json, const struct cluster_map *map,
                             const uint16_t *owners)
{
    json_array_begin(json);
    for (unsigned i = 0; i < map->replicas && owners[i] != NODE_NONE; i++)
        json_text(json, map->nodes[owners[i]].id);
    json_array_end(json);
}

static void map_print_era(struct json_writer *json, const struct cluster_map *map,
                          const struct map_era *era)
{
    char from[BASE_TIME_TEXT_SIZE];

    json_object_begin(json);
    json_key(json, "from");
    if (era->first) {
        json_none(json);
    } else {
        base_time_print_rfc3339(era->from, from);
        json_text(json, from);
    }
    json_key(json, "owners");
    json_array_begin(json);
    for (unsigned shard = 0; shard < map->shards; shard++)
        map_print_owners(json, map, era->owners + (size_t)shard * map->replicas);
    json_array_end(json);
    json_object_end(json);
}

void map_print(const struct cluster_map *map, struct buf *buf)
{
    struct json_writer json;

    json_init(&json, buf);
    json_object_begin(&json);
    json_put_string(&json, "cluster", map->cluster);
    json_put_u64(&json, "epoch", map->epoch);
    json_put_u64(&json, "shards", map->shards);
    json_put_u64(&json, "replicas", map->replicas);
    json_put_u64(&json, "min_replicas", map->min_replicas);
    if (map->paused)
        json_put_bool(&json, "paused", true);
    json_key(&json, "indexers");
    json_array_begin(&json);
    for (unsigned i = 0; i < map->indexers_count; i++)
        json_text(&json, map->indexers[i]);
    json_array_end(&json);
    json_key(&json, "nodes");
    json_array_begin(&json);
    for (unsigned i = 0; i < map->nodes_count; i++)
        map_print_node(&json, &map->nodes[i]);
    json_array_end(&json);
    json_key(&json, "eras");
    json_array_begin(&json);
    for (unsigned i = 0; i < map->eras_count; i++)
        map_print_era(&json, map, &map->eras[i]);
    json_array_end(&json);
    json_object_end(&json);
}

/* ---- parsing ---- */

struct map_entry {
    const struct map_node *node; /* borrowed from the map */
};

/* A map on its way in. Nodes are looked up by id for every owner, so they are sorted once. */
struct map_reader {
    struct cluster_map *map;
    struct map_entry sorted[MAP_NODES_MAX];
    struct error *err;
};

static enum status map_bad(struct map_reader *reader, const char *where, const char *what)
{
    return error_set(reader->err, STATUS_BAD_VALUE, "%s: %s", where, what);
}

/* A required string of at most size - 1 bytes, without control characters. */
static enum status map_read_text(struct map_reader *reader, const json_t *object, const char *key,
                                 char *text, size_t size)
{
    const char *value;

    enum status status = json_get_string(object, key, &value, reader->err);
    if (status != STATUS_OK)
        return status;
    if (strlen(value) >= size)
        return error_set(reader->err, STATUS_BAD_VALUE, "%s: longer than %zu bytes", key, size - 1);
    for (const char *at = value; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return map_bad(reader, key, "holds a control character");
    }
    map_text_copy(text, size, value);
    return STATUS_OK;
}

static enum status map_read_unsigned(struct map_reader *reader, const json_t *object,
                                     const char *key, unsigned min, unsigned max, unsigned *number)
{
    uint64_t value;

    enum status status = json_get_u64(object, key, max, &value, reader->err);
    if (status != STATUS_OK)
        return status;
    if (value < min)
        return error_set(reader->err, STATUS_BAD_VALUE, "%s: less than %u", key, min);
    *number = (unsigned)value;
    return STATUS_OK;
}

/* A required array with min to max elements. */
static enum status map_read_array(struct map_reader *reader, const json_t *object, const char *key,
                                  size_t min, size_t max, json_t **array)
{
    enum status status = json_get_array(object, key, array, reader->err);

    if (status != STATUS_OK)
        return status;
    if (json_array_size(*array) < min || json_array_size(*array) > max)
        return error_set(reader->err, STATUS_BAD_VALUE, "%s: %zu elements and not %zu to %zu", key,
                         json_array_size(*array), min, max);
    return STATUS_OK;
}

static enum status map_read_settings(struct map_reader *reader, const json_t *root)
{
    struct cluster_map *map = reader->map;

    enum status status = map_read_text(reader, root, "cluster", map->cluster, sizeof map->cluster);
    if (status == STATUS_OK && !cluster_id_valid(map->cluster))
        return map_bad(reader, "cluster", "not 32 lower-case hex digits");
    if (status == STATUS_OK)
        status = json_get_u64(root, "epoch", INT64_MAX, &map->epoch, reader->err);
    if (status == STATUS_OK)
        status = map_read_unsigned(reader, root, "shards", 1, MAP_SHARDS_MAX, &map->shards);
    if (status == STATUS_OK && (map->shards & (map->shards - 1)) != 0)
        return map_bad(reader, "shards", "not a power of two");
    if (status == STATUS_OK)
        status = map_read_unsigned(reader, root, "replicas", 1, MAP_REPLICAS_MAX, &map->replicas);
    if (status == STATUS_OK)
        status = map_read_unsigned(reader, root, "min_replicas", 1, map->replicas, &map->min_replicas);
    if (status != STATUS_OK)
        return status;
    const json_t *paused = json_object_get(root, "paused");
    if (paused != NULL && !json_is_boolean(paused))
        return map_bad(reader, "paused", "neither true nor false");
    map->paused = json_is_true(paused);
    return STATUS_OK;
}

static enum status map_read_indexers(struct map_reader *reader, const json_t *root)
{
    struct cluster_map *map = reader->map;
    json_t *array;

    enum status status = map_read_array(reader, root, "indexers", 0, MAP_INDEXERS_MAX, &array);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *url = json_string_value(json_array_get(array, i));
        if (url == NULL || !node_url_valid(url))
            return error_set(reader->err, STATUS_BAD_VALUE,
                             "indexers[%zu]: not http://HOST:PORT or https://HOST:PORT", i);
        for (unsigned k = 0; k < map->indexers_count; k++) {
            if (strcmp(map->indexers[k], url) == 0)
                return error_set(reader->err, STATUS_BAD_VALUE, "indexers[%zu]: %s is there twice",
                                 i, url);
        }
        map_text_copy(map->indexers[map->indexers_count++], sizeof map->indexers[0], url);
    }
    return STATUS_OK;
}

static enum status map_read_node_state(struct map_reader *reader, const json_t *object,
                                       enum node_state *state)
{
    const char *name;

    enum status status = json_get_string(object, "state", &name, reader->err);
    if (status != STATUS_OK)
        return status;
    if (node_state_parse(name, state))
        return STATUS_OK;
    return map_bad(reader, "state", "none of in, retiring, evacuating, out");
}

static enum status map_read_node(struct map_reader *reader, const json_t *object, struct map_node *node)
{
    unsigned weight = 0;

    enum status status = map_read_text(reader, object, "id", node->id, sizeof node->id);
    if (status == STATUS_OK && !node_id_valid(node->id))
        return map_bad(reader, "id", "not of a-z, 0-9, '.', '_', '-' with a letter or digit first");
    if (status == STATUS_OK)
        status = map_read_text(reader, object, "url", node->url, sizeof node->url);
    if (status == STATUS_OK && node->url[0] != '\0' && !node_url_valid(node->url))
        return map_bad(reader, "url", "not http://HOST:PORT or https://HOST:PORT");
    if (status == STATUS_OK)
        status = map_read_text(reader, object, "host", node->host, sizeof node->host);
    if (status == STATUS_OK)
        status = map_read_text(reader, object, "colo", node->colo, sizeof node->colo);
    if (status == STATUS_OK)
        status = map_read_unsigned(reader, object, "weight", 1, MAP_WEIGHT_MAX, &weight);
    node->weight = weight;
    return status == STATUS_OK ? map_read_node_state(reader, object, &node->state) : status;
}

static int map_compare_ids(const void *left, const void *right)
{
    const struct map_entry *a = left, *b = right;

    return strcmp(a->node->id, b->node->id);
}

static int map_compare_urls(const void *left, const void *right)
{
    const struct map_entry *a = left, *b = right;
    int order = strcmp(a->node->url, b->node->url);

    return order != 0 ? order : (a->node > b->node) - (a->node < b->node);
}

static enum status map_check_urls(struct map_reader *reader)
{
    struct map_entry *sorted = reader->sorted;
    unsigned count = reader->map->nodes_count;

    qsort(sorted, count, sizeof sorted[0], map_compare_urls);
    for (unsigned i = 0; i < count && count > 1; i++) {
        const struct map_node *node = sorted[i].node;
        if (node->url[0] == '\0')
            return error_set(reader->err, STATUS_BAD_VALUE, "nodes: %s has no url", node->id);
        if (i > 0 && strcmp(sorted[i - 1].node->url, node->url) == 0)
            return error_set(reader->err, STATUS_BAD_VALUE, "nodes: %s and %s have the same url %s",
                             sorted[i - 1].node->id, node->id, node->url);
    }
    return STATUS_OK;
}

/* No id and no url twice. Leaves the nodes sorted by id. */
static enum status map_check_nodes(struct map_reader *reader)
{
    struct map_entry *sorted = reader->sorted;
    unsigned count = reader->map->nodes_count;

    for (unsigned i = 0; i < count; i++)
        sorted[i].node = &reader->map->nodes[i];
    enum status status = map_check_urls(reader);
    if (status != STATUS_OK)
        return status;
    qsort(sorted, count, sizeof sorted[0], map_compare_ids);
    for (unsigned i = 1; i < count; i++) {
        if (map_compare_ids(&sorted[i - 1], &sorted[i]) == 0)
            return error_set(reader->err, STATUS_BAD_VALUE, "nodes: %s is there twice",
                             sorted[i].node->id);
    }
    return STATUS_OK;
}

static enum status map_read_nodes(struct map_reader *reader, json_t *array)
{
    struct cluster_map *map = reader->map;

    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *object = json_array_get(array, i);
        if (!json_is_object(object))
            return error_set(reader->err, STATUS_BAD_VALUE, "nodes[%zu]: not an object", i);
        if (map_read_node(reader, object, &map->nodes[i]) != STATUS_OK)
            return error_wrap(reader->err, "nodes[%zu]", i);
        map->nodes_count++;
    }
    return map_check_nodes(reader);
}

static unsigned map_owner(const struct map_reader *reader, const char *id)
{
    unsigned low = 0, high = reader->map->nodes_count;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        int order = strcmp(reader->sorted[middle].node->id, id);
        if (order == 0)
            return (unsigned)(reader->sorted[middle].node - reader->map->nodes);
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NODE_NONE;
}

static enum status map_read_owners(struct map_reader *reader, const json_t *array, uint16_t *owners)
{
    size_t count = json_array_size(array); /* 0 when it is no array */

    if (count < 1 || count > reader->map->replicas)
        return error_set(reader->err, STATUS_BAD_VALUE, "not a list of 1 to %u node ids",
                         reader->map->replicas);
    for (size_t i = 0; i < count; i++) {
        const char *id = json_string_value(json_array_get(array, i));
        if (id == NULL)
            return error_set(reader->err, STATUS_BAD_VALUE, "an owner is not a string");
        unsigned node = map_owner(reader, id);
        if (node == NODE_NONE)
            return error_set(reader->err, STATUS_BAD_VALUE, "unknown node \"%.80s\"", id);
        for (size_t k = 0; k < i; k++) {
            if (owners[k] == node)
                return error_set(reader->err, STATUS_BAD_VALUE, "%s is there twice", id);
        }
        owners[i] = (uint16_t)node;
    }
    return STATUS_OK;
}

/* `from` is null in the first era and there alone. */
static enum status map_read_from(struct map_reader *reader, const json_t *object, unsigned number,
                                 struct map_era *era)
{
    const json_t *from = json_object_get(object, "from");

    if (from == NULL)
        return map_bad(reader, "from", "missing");
    era->first = number == 0;
    if (json_is_null(from) != era->first)
        return map_bad(reader, "from",
                       era->first ? "not null in the first era" : "null behind the first era");
    if (era->first)
        return STATUS_OK;
    if (!json_is_string(from))
        return map_bad(reader, "from", "not a string");
    enum status status = base_time_parse(slice_text(json_string_value(from)), &era->from, reader->err);
    if (status != STATUS_OK)
        return error_wrap(reader->err, "from");
    if (number > 1 && era->from <= era[-1].from)
        return map_bad(reader, "from", "not after the era before");
    return STATUS_OK;
}

static enum status map_read_era(struct map_reader *reader, const json_t *object, struct map_era *era)
{
    struct cluster_map *map = reader->map;
    json_t *array;

    enum status status = map_read_from(reader, object, (unsigned)(era - map->eras), era);
    if (status == STATUS_OK)
        status = map_read_array(reader, object, "owners", map->shards, map->shards, &array);
    for (unsigned shard = 0; status == STATUS_OK && shard < map->shards; shard++) {
        status = map_read_owners(reader, json_array_get(array, shard),
                                 era->owners + (size_t)shard * map->replicas);
        if (status != STATUS_OK)
            error_wrap(reader->err, "owners[%u]", shard);
    }
    return status;
}

static enum status map_read_eras(struct map_reader *reader, json_t *array)
{
    struct cluster_map *map = reader->map;

    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *object = json_array_get(array, i);
        struct map_era *era = &map->eras[i];
        if (!json_is_object(object))
            return error_set(reader->err, STATUS_BAD_VALUE, "eras[%zu]: not an object", i);
        era->owners = map_owners_new(map);
        if (era->owners == NULL)
            return error_set(reader->err, STATUS_NO_MEMORY, "eras[%zu]: memory ran out", i);
        map->eras_count++;
        enum status status = map_read_era(reader, object, era);
        if (status != STATUS_OK)
            return error_wrap(reader->err, "eras[%zu]", i);
    }
    return STATUS_OK;
}

static enum status map_read(struct map_reader *reader, const json_t *root)
{
    json_t *nodes, *eras;

    if (!json_is_object(root))
        return error_set(reader->err, STATUS_BAD_VALUE, "not an object");
    enum status status = map_read_array(reader, root, "nodes", 1, MAP_NODES_MAX, &nodes);
    if (status == STATUS_OK)
        status = map_read_array(reader, root, "eras", 1, MAP_ERAS_MAX, &eras);
    if (status != STATUS_OK)
        return status;
    reader->map = map_new(json_array_size(nodes), json_array_size(eras));
    if (reader->map == NULL)
        return error_set(reader->err, STATUS_NO_MEMORY, "memory ran out");
    status = map_read_settings(reader, root);
    if (status == STATUS_OK)
        status = map_read_indexers(reader, root);
    if (status == STATUS_OK)
        status = map_read_nodes(reader, nodes);
    if (status == STATUS_OK)
        status = map_read_eras(reader, eras);
    return status;
}

struct cluster_map *map_parse(const void *json, size_t size, struct error *err)
{
    struct map_reader reader = { .map = NULL, .err = err };
    json_t *root = NULL;
    enum status status;

    if (size > MAP_JSON_SIZE_MAX)
        status = error_set(err, STATUS_BAD_VALUE, "more than %d bytes", MAP_JSON_SIZE_MAX);
    else
        status = json_parse(json, size, &root, err);
    if (status == STATUS_OK)
        status = map_read(&reader, root);
    json_decref(root);
    if (status == STATUS_OK)
        return reader.map;
    map_unref(reader.map);
    error_wrap(err, "cluster map");
    return NULL;
}
