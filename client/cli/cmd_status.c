/* cmd_status.c: gribstore status: one word, and why. */
#include "client/cli/cmd.h"
#include "client/cli/output.h"
#include "client/cli/status_index.h"
#include "client/cli/table.h"
#include "client/health.h"

#include <inttypes.h>
#include <stdio.h>

struct status_settings {
    struct common_settings common;
};

static const struct config_option status_options[] = { COMMON_OPTIONS, { 0 } };

static const struct table_column status_columns[] = {
    { "server", false }, { "id", false },     { "colo", false },      { "state", false },
    { "epoch", true },   { "used", true },    { "free", true },       { "full", true },
    { "full in", true }, { "to pull", true }, { "to give up", true },
};

static const char *probe_state(const struct probe *probe)
{
    return !probe->reachable ? "down" : probe->ready ? "ready" : "not ready";
}

/* What the map says of a node that is on its way out; "" of others. */
static const char *node_leaving(const struct map_node *node)
{
    static const char *const words[] = {
        [NODE_IN] = "", [NODE_RETIRING] = ", retiring", [NODE_EVACUATING] = ", evacuating", [NODE_OUT] = ", out"
    };

    return node != NULL ? words[node->state] : "";
}

static const struct map_node *probe_node(const struct probe *probe, const struct cluster_map *map)
{
    for (unsigned i = 0; probe->is_node && map != NULL && i < map->nodes_count; i++) {
        if (strcmp(map->nodes[i].url, probe->url) == 0)
            return &map->nodes[i];
    }
    return NULL;
}

/* ---- for people ---- */

static const char *health_color(const struct cli *cli, enum health health)
{
    static const char *const colors[] = { "\033[32m", "\033[33m", "\033[31m" };

    return cli->color && cli->out_tty ? colors[health] : "";
}

/* How full, for how long there is room at the present rate, and what it has still to fetch. */
static void status_row_disk(const struct probe_disk *disk, struct table *table)
{
    char used[CLI_SIZE_TEXT], left[CLI_SIZE_TEXT], pull[CLI_SIZE_TEXT], give[CLI_SIZE_TEXT];
    double all = (double)disk->used + (double)disk->free;

    table_cell(table, disk->known ? text_of_size(disk->used, used) : NULL);
    table_cell(table, disk->known ? text_of_size(disk->free, left) : NULL);
    if (disk->known && all > 0)
        table_cellf(table, "%.0f %%", 100.0 * (double)disk->used / all);
    else
        table_cell(table, NULL);
    if (disk->has_full)
        table_cellf(table, "%.1f h", disk->full_seconds / 3600);
    else
        table_cell(table, NULL);
    table_cell(table, disk->sync_left > 0 ? text_of_size(disk->sync_left, pull) : NULL);
    table_cell(table, disk->release_left > 0 ? text_of_size(disk->release_left, give) : NULL);
}

static void status_row(const struct probe *probe, const struct cluster_map *map, struct table *table)
{
    const struct map_node *node = probe_node(probe, map);

    table_cell(table, probe->url);
    table_cell(table, !probe->is_node ? "indexer" : node != NULL ? node->id : NULL);
    table_cell(table, node != NULL && node->colo[0] != '\0' ? node->colo : NULL);
    table_cellf(table, "%s%s", probe_state(probe), node_leaving(node));
    if (probe->map != NULL)
        table_cellf(table, "%" PRIu64, probe->map->epoch);
    else
        table_cell(table, NULL);
    status_row_disk(&probe->disk, table);
}

static void status_print(const struct cli *cli, const struct probes *probes,
                         const struct cluster_map *map, const struct health_report *report,
                         struct buf *buf)
{
    struct table table;

    buf_format(buf, "%s%s%s\n", health_color(cli, report->health), health_name(report->health),
               cli->color && cli->out_tty ? "\033[0m" : "");
    for (unsigned i = 0; i < report->count; i++)
        buf_format(buf, "  %-18s %s\n", report->checks[i].code, report->checks[i].text);
    if (report->more > 0)
        buf_format(buf, "  and %u more\n", report->more);
    if (map != NULL)
        buf_format(buf, "cluster %s, epoch %" PRIu64 ", %u nodes, %u shards, %u replicas%s\n",
                   map->cluster, map->epoch, map->nodes_count, map->shards, map->replicas,
                   map->paused ? ", paused" : "");
    table_init(&table, status_columns, ARRAY_COUNT(status_columns));
    for (size_t i = 0; i < probes->count; i++)
        status_row(&probes->items[i], map, &table);
    table_print(&table, true, true, buf);
    table_fini(&table);
    status_index_print(probes, buf);
}

/* ---- for programs ---- */

static void status_json_disk(const struct probe_disk *disk, struct json_writer *json)
{
    if (!disk->known)
        return;
    json_put_u64(json, "disk_used", disk->used);
    json_put_u64(json, "disk_free", disk->free);
    json_put_u64(json, "disk_reserve", disk->reserved);
    if (disk->high_water > 0)
        json_put_u64(json, "disk_high_water", disk->high_water);
    if (disk->has_growth)
        json_put_double(json, "disk_growth_bytes_per_second", disk->growth);
    if (disk->has_full)
        json_put_double(json, "disk_full_in_seconds", disk->full_seconds);
    json_put_u64(json, "sync_bytes_left", disk->sync_left);
    json_put_u64(json, "release_bytes_left", disk->release_left);
}

static void status_json_probe(const struct probe *probe, const struct cluster_map *map,
                              struct json_writer *json)
{
    const struct map_node *node = probe_node(probe, map);

    json_object_begin(json);
    json_put_string(json, "url", probe->url);
    json_put_string(json, "kind", probe->is_node ? "node" : "indexer");
    if (node != NULL)
        json_put_string(json, "id", node->id);
    json_put_bool(json, "reachable", probe->reachable);
    json_put_bool(json, "ready", probe->ready);
    if (probe->map != NULL)
        json_put_u64(json, "epoch", probe->map->epoch);
    if (node != NULL)
        json_put_string(json, "state", node_state_name(node->state));
    status_json_disk(&probe->disk, json);
    status_index_json(probe, json);
    json_object_end(json);
}

static void status_print_json(const struct probes *probes, const struct cluster_map *map,
                              const struct health_report *report, struct buf *buf)
{
    struct json_writer json;

    json_init(&json, buf);
    json_object_begin(&json);
    json_put_string(&json, "health", health_name(report->health));
    json_key(&json, "checks");
    json_array_begin(&json);
    for (unsigned i = 0; i < report->count; i++) {
        json_object_begin(&json);
        json_put_string(&json, "code", report->checks[i].code);
        json_put_string(&json, "severity", health_name(report->checks[i].health));
        json_put_string(&json, "detail", report->checks[i].text);
        json_object_end(&json);
    }
    json_array_end(&json);
    if (map != NULL) {
        json_put_string(&json, "cluster", map->cluster);
        json_put_u64(&json, "epoch", map->epoch);
        json_put_bool(&json, "paused", map->paused);
    }
    json_key(&json, "servers");
    json_array_begin(&json);
    for (size_t i = 0; i < probes->count; i++)
        status_json_probe(&probes->items[i], map, &json);
    json_array_end(&json);
    json_object_end(&json);
    buf_text(buf, "\n");
}

static int status_run(struct cli *cli, void *settings, char **arguments, size_t count)
{
    struct health_report report;
    struct probes probes;
    struct error err;
    struct buf buf;

    (void)settings, (void)arguments;
    if (count > 0)
        return cli_usage(cli, "status takes no arguments");
    error_init(&err);
    enum status status = session_map_once(cli->session, &err);
    if (status != STATUS_CANCELLED)
        status = probes_session(cli->session, &probes, &err); /* without a map: those that were named */
    if (status != STATUS_OK)
        return cli_fail_status(cli, status, &err);
    health_judge(&probes, cli->session->map, &report);
    buf_init(&buf, CLI_OUTPUT_MAX);
    if (cli->settings->json)
        status_print_json(&probes, cli->session->map, &report, &buf);
    else
        status_print(cli, &probes, cli->session->map, &report, &buf);
    int code = cli_print(&buf);
    buf_fini(&buf);
    probes_fini(&probes);
    return code != GS_OK ? code : (int)report.health;
}

const struct command command_status = {
    .name = "status",
    .arguments = "[options]",
    .summary = "Say how the cluster is, in one word, and why",
    .examples = "  gribstore status\n"
                "  gribstore status --node http://10.0.0.7:8410\n"
                "  gribstore status --json | jq -r '.checks[].code'\n"
                "  gribstore status --json | jq '.servers[].index.nodes // empty'",
    .about = "HEALTH_OK, HEALTH_WARN or HEALTH_ERR, then the checks that failed, with stable codes: NODE_DOWN,\n"
             "NODE_NOT_READY, DATA_UNREACHABLE, OTHER_CLUSTER, STALE_MAP, PAUSED, CATCHING_UP, NEARFULL, FILLING, FULL,\n"
             "INDEXER_DOWN, INDEXER_NOT_READY, INDEX_CUT_OFF, INDEX_LAG, INDEX_DIFFERS. The exit code is the health: 0, 1 or 2.\n"
             "Then the servers: how full their disks are, when they will be at the rate of the last hour, what they have still to\n"
             "fetch from others, and to give up; which indexer tails which node and how far behind it is; the index's database, and its sweeps\n"
             "(with --json an indexer has all that as `index`).",
    .options = status_options,
    .settings_size = sizeof(struct status_settings),
    .run = status_run,
};
