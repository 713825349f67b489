/* cmd_cluster_init.c: gribstore cluster init. */
#include "client/cli/cmd.h"
#include "client/cli/output.h"
#include "client/cli/table.h"
#include "client/cluster.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const struct table_column show_columns[] = {
    { "id", false },    { "url", false },   { "host", false },  { "colo", false },
    { "state", false }, { "weight", true }, { "shards", true },
};

/* How many shards the newest era gives to the node. */
static unsigned shards_of(const struct cluster_map *map, unsigned node)
{
    const struct map_era *era = &map->eras[map->eras_count - 1];
    unsigned count = 0;

    for (unsigned i = 0; i < map->shards * map->replicas; i++)
        count += era->owners[i] == node;
    return count;
}

static void show_print(const struct cluster_map *map, struct buf *buf)
{
    struct table table;

    buf_format(buf, "cluster %s\nepoch %" PRIu64 ", %u shards, %u replicas (at least %u), %u eras\n",
               map->cluster, map->epoch, map->shards, map->replicas, map->min_replicas, map->eras_count);
    for (unsigned i = 0; i < map->indexers_count; i++)
        buf_format(buf, "indexer %s\n", map->indexers[i]);
    table_init(&table, show_columns, ARRAY_COUNT(show_columns));
    for (unsigned i = 0; i < map->nodes_count; i++) {
        const struct map_node *node = &map->nodes[i];

        table_cell(&table, node->id);
        table_cell(&table, node->url);
        table_cell(&table, node->host);
        table_cell(&table, node->colo);
        table_cell(&table, node_state_name(node->state));
        table_cellf(&table, "%" PRIu32, node->weight);
        table_cellf(&table, "%u", shards_of(map, i));
    }
    table_print(&table, true, true, buf);
    table_fini(&table);
}

static int map_out(const struct cli *cli, const struct cluster_map *map)
{
    struct buf buf;

    buf_init(&buf, MAP_JSON_SIZE_MAX);
    if (cli->settings->json) {
        map_print(map, &buf);
        buf_text(&buf, "\n");
    } else {
        show_print(map, &buf);
    }
    int code = cli_print(&buf);
    buf_fini(&buf);
    return code;
}

struct init_settings {
    struct common_settings common;
    uint64_t replicas, min_replicas, shards, wait_ms;
};

static const struct config_option init_options[] = {
    { NULL, "replicas", 'r', CONFIG_COUNT, offsetof(struct init_settings, replicas), "0", NULL, "N",
      "Copies of each message; 0: 2, or 1 for a single node." },
    { NULL, "min-replicas", 0, CONFIG_COUNT, offsetof(struct init_settings, min_replicas), "0",
      NULL, "N", "Copies below which a PUT is refused; 0: 2, or as many as there are." },
    { NULL, "shards", 0, CONFIG_COUNT, offsetof(struct init_settings, shards), "0", NULL, "N",
      "A power of two, fixed for good; 8 to 64 a node is right; 0: the nodes' own." },
    { NULL, "wait", 0, CONFIG_DURATION, offsetof(struct init_settings, wait_ms), "30s", NULL,
      "TIME", "How long the nodes may take to know the map." },
    COMMON_OPTIONS,
    { 0 },
};

static int init_go(struct cli *cli, const struct cluster_init_options *options,
                   const char *const *urls, unsigned count)
{
    struct cluster_map *map;
    struct error err;
    bool exists, told_indexer;

    error_init(&err);
    enum status status = cluster_init_nodes(cli->session, urls, count, options, &map, &exists,
                                            &told_indexer, &err);
    if (status != STATUS_OK)
        return cli_fail_status(cli, status, &err);
    if (exists)
        cli_say(cli, "these nodes are one cluster already");
    else if (told_indexer)
        cli_say(cli, "one cluster now; the indexer keeps its map");
    else
        cli_say(cli, "one cluster now; no indexer answered, so the nodes were told directly");
    int code = map_out(cli, map);
    map_unref(map);
    return code;
}

static int init_run(struct cli *cli, void *data, char **arguments, size_t count)
{
    struct init_settings *settings = data;
    struct cluster_init_options options = { .wait_ms = settings->wait_ms };
    const char **urls;

    if (count == 0)
        return cli_usage(cli, "name the nodes, as in http://10.0.0.7:8410 http://10.0.0.8:8410");
    if (count > MAP_NODES_MAX || settings->replicas > MAP_REPLICAS_MAX ||
        settings->min_replicas > MAP_REPLICAS_MAX || settings->shards > MAP_SHARDS_MAX)
        return cli_usage(cli, "at most %d nodes, %d replicas and %d shards", MAP_NODES_MAX,
                         MAP_REPLICAS_MAX, MAP_SHARDS_MAX);
    options.replicas = (unsigned)settings->replicas;
    options.min_replicas = (unsigned)settings->min_replicas;
    options.shards = (unsigned)settings->shards;
    urls = calloc(count + 1, sizeof *urls);
    if (urls == NULL)
        return GS_FAILED;
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(arguments[i]);

        while (size > 0 && arguments[i][size - 1] == '/')
            arguments[i][--size] = '\0';
        urls[i] = arguments[i];
        if (!node_url_valid(arguments[i])) {
            free(urls);
            return cli_usage(cli, "%s is no URL of a node; write http://HOST:PORT", arguments[i]);
        }
    }
    int code = init_go(cli, &options, urls, (unsigned)count);
    free(urls);
    return code;
}

const struct command command_cluster_init = {
    .name = "cluster init",
    .arguments = "URL... [options]",
    .summary = "Make one cluster of nodes that are each on their own",
    .examples = "  gribstore cluster init http://127.0.0.1:8410 http://127.0.0.1:8411 http://127.0.0.1:8412\n"
                "  gribstore cluster init --replicas 3 --shards 128 http://n1:8410 http://n2:8410 http://n3:8410",
    .about = "At most one of the nodes may hold data: its cluster id and its shards are the cluster's. The map goes to\n"
             "the indexer, which tells the nodes; without an indexer it goes to the nodes. It ends when every node has the\n"
             "map. Doing it again changes nothing.",
    .options = init_options,
    .settings_size = sizeof(struct init_settings),
    .run = init_run,
};
