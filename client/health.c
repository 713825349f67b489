/* health.c: what is wrong, how bad it is. */
#include "client/health.h"

#include "proto/base/json_read.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum {
    HEALTH_NEARFULL_PERCENT = 90, /* of nodes that name no mark themselves */
    HEALTH_FILLING_HOURS = 6,
    HEALTH_ROOM_PERCENT = 1, /* less than that above the reserve is as good as none */
    HEALTH_LAG_RECORDS = 10000,
    HEALTH_PULL_SIZE = 1 << 30, /* to be fetched from other nodes: less is a matter of seconds */
};

const char *health_name(enum health health)
{
    switch (health) {
    case HEALTH_OK:
        return "HEALTH_OK";
    case HEALTH_WARN:
        return "HEALTH_WARN";
    case HEALTH_ERR:
        break;
    }
    return "HEALTH_ERR";
}

static void health_add(struct health_report *report, enum health health, const char *code,
                       const char *format, ...) __attribute__((format(printf, 4, 5)));

static void health_add(struct health_report *report, enum health health, const char *code,
                       const char *format, ...)
{
    va_list list;

    if (health > report->health)
        report->health = health;
    if (report->count == HEALTH_CHECKS_MAX) {
        report->more++;
        return;
    }
    struct health_check *check = &report->checks[report->count++];
    check->code = code;
    check->health = health;
    va_start(list, format);
    vsnprintf(check->text, sizeof check->text, format, list);
    va_end(list);
}

/* ---- nodes ---- */

/* How soon it is full counts only where it is high: a rotation fills half a disk fast, and then frees it. */
static void health_disk(const struct probe *probe, struct health_report *report)
{
    const struct probe_disk *disk = &probe->disk;
    uint64_t all = disk->free + disk->used;
    uint64_t room = disk->free > disk->reserved ? disk->free - disk->reserved : 0;
    uint64_t high = disk->high_water > 0 ? disk->high_water : all / 100 * HEALTH_NEARFULL_PERCENT;

    if (!disk->known || all == 0)
        return;
    unsigned percent = (unsigned)(100.0 * (double)disk->used / (double)all);
    if (room == 0) {
        health_add(report, HEALTH_ERR, "FULL", "%s: takes nothing more (%u %% used)", probe->url, percent);
        return;
    }
    bool near = room < all / 100 * HEALTH_ROOM_PERCENT;
    if (near || disk->used >= high)
        health_add(report, near ? HEALTH_ERR : HEALTH_WARN, "NEARFULL", "%s: %u %% used%s",
                   probe->url, percent,
                   near ? ", hardly anything is left above the reserve" : ", above the high-water mark");
    if (disk->used >= high && disk->has_full && disk->full_seconds < HEALTH_FILLING_HOURS * 3600.0)
        health_add(report, HEALTH_ERR, "FILLING", "%s: full in %.1f hours at the rate of the last hour",
                   probe->url, disk->full_seconds / 3600);
}

static void health_node(const struct probe *probe, const struct cluster_map *map,
                        struct health_report *report)
{
    if (!probe->reachable)
        health_add(report, HEALTH_WARN, "NODE_DOWN", "%s: %s", probe->url, probe->err.text);
    else if (!probe->ready)
        health_add(report, HEALTH_WARN, "NODE_NOT_READY", "%s: %s", probe->url, probe->err.text);
    if (probe->map != NULL && map != NULL && strcmp(probe->map->cluster, map->cluster) != 0)
        health_add(report, HEALTH_ERR, "OTHER_CLUSTER", "%s: belongs to cluster %s", probe->url,
                   probe->map->cluster);
    else if (probe->map != NULL && map != NULL && probe->map->epoch < map->epoch)
        health_add(report, HEALTH_WARN, "STALE_MAP",
                   "%s: has the map of epoch %" PRIu64 ", %" PRIu64 " is the newest", probe->url,
                   probe->map->epoch, map->epoch);
    health_disk(probe, report);
    if (probe->disk.sync_left >= HEALTH_PULL_SIZE)
        health_add(report, HEALTH_WARN, "CATCHING_UP", "%s: fetches %.1f GB that it owns and lacks",
                   probe->url, (double)probe->disk.sync_left / 1e9);
}

/* With as many nodes down as there are copies, messages can be out of reach. */
static void health_nodes(const struct probes *probes, const struct cluster_map *map,
                         struct health_report *report)
{
    unsigned nodes = 0, down = 0;

    for (size_t i = 0; i < probes->count; i++) {
        if (!probes->items[i].is_node)
            continue;
        nodes++;
        down += !probes->items[i].reachable;
        health_node(&probes->items[i], map, report);
    }
    if (down > 0 && (down == nodes || (map != NULL && down >= map->replicas)))
        health_add(report, HEALTH_ERR, "DATA_UNREACHABLE",
                   "%u of %u nodes do not answer: some messages may have no copy in reach", down, nodes);
}

/* ---- indexers ---- */

static void health_tail(const json_t *node, struct health_report *report)
{
    const char *id, *why;
    uint64_t behind;

    if (json_opt_string(node, "id", "?", &id, NULL) != STATUS_OK ||
        json_opt_string(node, "error", "", &why, NULL) != STATUS_OK ||
        json_opt_u64(node, "records_behind", INT64_MAX, 0, &behind, NULL) != STATUS_OK)
        return;
    if (json_is_false(json_object_get(node, "reachable")))
        health_add(report, HEALTH_WARN, "INDEX_CUT_OFF", "the indexer does not reach node %s: %s",
                   id, why);
    else if (behind >= HEALTH_LAG_RECORDS)
        health_add(report, HEALTH_WARN, "INDEX_LAG",
                   "the index is %" PRIu64 " records behind node %s", behind, id);
}

/* Records that are wrong, and that reading a journal again does not put right. */
static void health_sweep(const struct probe *probe, struct health_report *report)
{
    json_t *json = NULL;
    uint64_t unhealed;

    if (probe->status_json == NULL ||
        json_parse(probe->status_json, strlen(probe->status_json), &json, NULL) != STATUS_OK)
        return;
    if (json_opt_u64(json_object_get(json, "sweep"), "unhealed", INT64_MAX, 0, &unhealed, NULL) == STATUS_OK &&
        unhealed > 0)
        health_add(report, HEALTH_WARN, "INDEX_DIFFERS",
                   "%s: %" PRIu64
                   " runs are not in the index as a node holds them, also after they were read again",
                   probe->url, unhealed);
    json_decref(json);
}

static void health_indexer(const struct probe *probe, struct health_report *report)
{
    json_t *json = NULL, *nodes, *node;
    size_t i;

    if (!probe->reachable)
        health_add(report, HEALTH_ERR, "INDEXER_DOWN", "%s: %s", probe->url, probe->err.text);
    else if (!probe->ready)
        health_add(report, HEALTH_WARN, "INDEXER_NOT_READY", "%s: %s", probe->url, probe->err.text);
    health_sweep(probe, report);
    if (probe->nodes_json == NULL ||
        json_parse(probe->nodes_json, strlen(probe->nodes_json), &json, NULL) != STATUS_OK)
        return;
    if (json_get_array(json, "nodes", &nodes, NULL) == STATUS_OK) {
        json_array_foreach (nodes, i, node)
            health_tail(node, report);
    }
    json_decref(json);
}

void health_judge(const struct probes *probes, const struct cluster_map *map, struct health_report *report)
{
    *report = (struct health_report){ 0 };
    if (map != NULL && map->paused)
        health_add(report, HEALTH_WARN, "PAUSED",
                   "nothing is fetched or given up by nodes until `gribstore cluster resume`");
    health_nodes(probes, map, report);
    for (size_t i = 0; i < probes->count; i++) {
        if (!probes->items[i].is_node)
            health_indexer(&probes->items[i], report);
    }
}
