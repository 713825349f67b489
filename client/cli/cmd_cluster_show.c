/* cmd_cluster_show.c: gribstore cluster show: the map, and how each of its nodes is. */
#include "client/cli/cmd.h"
#include "client/cli/output.h"
#include "client/cli/table.h"
#include "client/cluster_edit.h"

#include <inttypes.h>
#include <stdio.h>

struct show_settings {
    struct common_settings common;
};

static const struct config_option show_options[] = { COMMON_OPTIONS, { 0 } };

struct show {
    struct cluster_map *map; /* owned */
    struct survey survey;
    struct cluster_moves moves; /* from the map to itself: what is not where it belongs */
};

/* ---- asked ---- */

static enum status show_ask(struct cli *cli, struct show *show, struct error *err)
{
    bool of_indexer;

    enum status status = cluster_map_now(cli->session, &show->map, &of_indexer, err);
    if (status != STATUS_OK && status != STATUS_CANCELLED) { /* as the nodes have it is better than nothing */
        status = session_map_once(cli->session, err);
        show->map = status == STATUS_OK ? map_ref(cli->session->map) : NULL;
    }
    if (status == STATUS_OK)
        status = survey_run_all(cli->session, show->map, NULL, &show->survey, err);
    if (status == STATUS_OK)
        status = cluster_moves_make(show->map, show->map, &show->survey, &show->moves, err);
    return status;
}

static void show_fini(struct show *show)
{
    cluster_moves_fini(&show->moves);
    survey_fini(&show->survey);
    map_unref(show->map);
}

/* ---- for people ---- */

static const struct table_column show_columns[] = {
    { "id", false },        { "url", false },     { "host", false },  { "colo", false },
    { "state", false },     { "weight", true },   { "shards", true }, { "messages", true },
    { "bytes", true },      { "free", true },     { "fill", true },   { "to pull", true },
    { "to give up", true }, { "answers", false },
};

static void show_row_held(const struct moves_node *node, struct table *table)
{
    const char *refused = node->seen->give_up_refused;
    char text[CLI_SIZE_TEXT];
    bool listed = node->seen->listed;

    if (listed)
        table_cellf(table, "%" PRIu64, node->held.messages);
    else
        table_cell(table, NULL);
    table_cell(table, listed ? text_of_size(node->held.bytes, text) : NULL);
    table_cell(table, node->disk_known ? text_of_size(node->seen->disk.free, text) : NULL);
    if (node->disk_known)
        table_cellf(table, "%.0f %%",
                    100.0 * (double)node->seen->disk.used / (double)node->seen->disk.total);
    else
        table_cell(table, NULL);
    table_cell(table, listed && node->in.bytes > 0 ? text_of_size(node->in.bytes, text) : NULL);
    if (listed && node->out.bytes > 0)
        table_cellf(table, "%s%s%s%s", text_of_size(node->out.bytes, text),
                    refused[0] != '\0' ? " (" : "", refused, refused[0] != '\0' ? ")" : "");
    else
        table_cell(table, NULL);
}

static void show_row_answers(const struct survey_node *seen, uint64_t epoch, struct table *table)
{
    if (!seen->reachable)
        table_cell(table, seen->other_cluster ? "other cluster" : "no");
    else if (seen->epoch < epoch)
        table_cellf(table, "%s, %" PRIu64 " epochs behind", seen->ready ? "yes" : "not ready",
                    epoch - seen->epoch);
    else
        table_cell(table, seen->ready ? "yes" : "not ready");
}

static void show_row(const struct moves_node *node, uint64_t epoch, struct table *table)
{
    const struct map_node *of = node->after;

    table_cell(table, of->id);
    table_cell(table, of->url);
    table_cell(table, of->host);
    table_cell(table, of->colo);
    table_cell(table, node_state_name(of->state));
    table_cellf(table, "%" PRIu32, of->weight);
    table_cellf(table, "%u", node->shards_after);
    show_row_held(node, table);
    show_row_answers(node->seen, epoch, table);
}

static void show_print_eras(const struct cluster_map *map, struct buf *buf)
{
    char from[BASE_TIME_TEXT_SIZE];

    for (unsigned i = 1; i < map->eras_count; i++) {
        base_time_print(map->eras[i].from, from);
        buf_format(buf, "era for base times from %s on\n", from);
    }
}

static void show_print(const struct show *show, struct buf *buf)
{
    const struct cluster_map *map = show->map;
    struct table table;

    buf_format(buf, "cluster %s\nepoch %" PRIu64 ", %u shards, %u replicas (at least %u), %u eras%s\n",
               map->cluster, map->epoch, map->shards, map->replicas, map->min_replicas,
               map->eras_count, map->paused ? ", paused: nothing is pulled or given up" : "");
    show_print_eras(map, buf);
    for (unsigned i = 0; i < map->indexers_count; i++)
        buf_format(buf, "indexer %s\n", map->indexers[i]);
    table_init(&table, show_columns, ARRAY_COUNT(show_columns));
    for (size_t i = 0; i < show->moves.count; i++)
        show_row(&show->moves.nodes[i], map->epoch, &table);
    table_print(&table, true, true, buf);
    table_fini(&table);
}

/* ---- for programs ---- */

static void json_seen(struct json_writer *json, const struct moves_node *node, uint64_t epoch)
{
    const struct survey_node *seen = node->seen;

    json_put_bool(json, "reachable", seen->reachable);
    json_put_bool(json, "ready", seen->ready);
    if (!seen->reachable || !seen->ready)
        json_put_string(json, "error", seen->err.text);
    if (seen->reachable) {
        json_put_u64(json, "epoch", seen->epoch);
        json_put_u64(json, "epochs_behind", seen->epoch < epoch ? epoch - seen->epoch : 0);
    }
    if (seen->listed) {
        json_put_u64(json, "messages", node->held.messages);
        json_put_u64(json, "bytes", node->held.bytes);
        json_put_u64(json, "pull_messages_left", node->in.messages);
        json_put_u64(json, "pull_bytes_left", node->in.bytes);
        json_put_u64(json, "give_up_messages_left", node->out.messages);
        json_put_u64(json, "give_up_bytes_left", node->out.bytes);
        if (seen->releases_known)
            json_put_u64(json, "grace_files", seen->grace_files);
        if (seen->give_up_refused[0] != '\0')
            json_put_string(json, "give_up_refused", seen->give_up_refused);
    }
    if (node->disk_known) {
        json_put_u64(json, "disk_total", seen->disk.total);
        json_put_u64(json, "disk_used", seen->disk.used);
        json_put_u64(json, "disk_free", seen->disk.free);
    }
}

static void json_node(struct json_writer *json, const struct moves_node *node, uint64_t epoch)
{
    const struct map_node *of = node->after;

    json_object_begin(json);
    json_put_string(json, "id", of->id);
    json_put_string(json, "url", of->url);
    json_put_string(json, "host", of->host);
    json_put_string(json, "colo", of->colo);
    json_put_u64(json, "weight", of->weight);
    json_put_string(json, "state", node_state_name(of->state));
    json_put_u64(json, "shards", node->shards_after);
    json_seen(json, node, epoch);
    json_object_end(json);
}

static void json_map_head(struct json_writer *json, const struct cluster_map *map)
{
    char from[BASE_TIME_TEXT_SIZE];

    json_put_string(json, "cluster", map->cluster);
    json_put_u64(json, "epoch", map->epoch);
    json_put_u64(json, "shards", map->shards);
    json_put_u64(json, "replicas", map->replicas);
    json_put_u64(json, "min_replicas", map->min_replicas);
    json_put_bool(json, "paused", map->paused);
    json_key(json, "indexers");
    json_array_begin(json);
    for (unsigned i = 0; i < map->indexers_count; i++)
        json_text(json, map->indexers[i]);
    json_array_end(json);
    json_key(json, "eras");
    json_array_begin(json);
    for (unsigned i = 0; i < map->eras_count; i++) {
        json_object_begin(json);
        if (!map->eras[i].first)
            base_time_print_rfc3339(map->eras[i].from, from);
        json_put_string(json, "from", map->eras[i].first ? NULL : from);
        json_object_end(json);
    }
    json_array_end(json);
}

static void show_print_json(const struct show *show, struct buf *buf)
{
    struct json_writer json;

    json_init(&json, buf);
    json_object_begin(&json);
    json_map_head(&json, show->map);
    json_key(&json, "nodes");
    json_array_begin(&json);
    for (size_t i = 0; i < show->moves.count; i++)
        json_node(&json, &show->moves.nodes[i], show->map->epoch);
    json_array_end(&json);
    json_object_end(&json);
    buf_text(buf, "\n");
}

static int show_run(struct cli *cli, void *settings, char **arguments, size_t count)
{
    struct show show = { .map = NULL };
    struct error err;
    struct buf buf;

    (void)settings, (void)arguments;
    if (count > 0)
        return cli_usage(cli, "cluster show takes no arguments");
    error_init(&err);
    enum status status = show_ask(cli, &show, &err);
    if (status != STATUS_OK) {
        show_fini(&show);
        return cli_fail_status(cli, status, &err);
    }
    buf_init(&buf, CLI_OUTPUT_MAX);
    if (cli->settings->json)
        show_print_json(&show, &buf);
    else
        show_print(&show, &buf);
    int code = cli_print(&buf);
    buf_fini(&buf);
    show_fini(&show);
    return code;
}

const struct command command_cluster_show = {
    .name = "cluster show",
    .arguments = "[options]",
    .summary = "Show the nodes, what they hold, and what is still to move",
    .examples = "  gribstore cluster show\n"
                "  gribstore cluster show --json | jq '.nodes[] | select(.pull_bytes_left > 0) | .id'",
    .about = "The map as the indexer has it, or the nodes where it does not answer; then what each node says of itself. `to pull`: what it\n"
             "owns and another one has, and it lacks. `to give up`: what it holds and does not own any more. Both are 0 when all is where\n"
             "it belongs.\n"
             "--json: {\"cluster\", \"epoch\", \"shards\", \"replicas\", \"min_replicas\", \"paused\", \"indexers\": [URL], \"eras\": [{\"from\"}],\n"
             "\"nodes\": [{\"id\", \"url\", \"host\", \"colo\", \"weight\", \"state\", \"shards\", \"reachable\", \"ready\", \"error\", \"epoch\", \"epochs_behind\",\n"
             "\"messages\", \"bytes\", \"pull_messages_left\", \"pull_bytes_left\", \"give_up_messages_left\", \"give_up_bytes_left\", \"grace_files\", \"give_up_refused\",\n"
             "\"disk_total\", \"disk_used\", \"disk_free\"}]}. What is not known is left out. The whole map: GET /v1/cluster/map of the indexer.",
    .options = show_options,
    .settings_size = sizeof(struct show_settings),
    .run = show_run,
};
