/* cmd_cluster_plan.c: gribstore cluster plan, cluster apply. */
#include "client/cli/cluster_go.h"
#include "client/cli/cmd.h"
#include "client/cluster_diff.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- plan ---- */

static const struct config_option plan_options[] = {
    { NULL, "output", 'o', CONFIG_TEXT, offsetof(struct change_settings, output), NULL, NULL,
      "FILE", "Keep the plan, for `gribstore cluster apply`." },
    CHANGE_FROM_OPTION,
    CHANGE_ALL_ERAS_OPTION,
    CHANGE_LOST_OPTION,
    CHANGE_WEIGHT_OPTION,
    COMMON_OPTIONS,
    { 0 },
};

/* Whole or not at all: another name first. */
static int plan_keep(struct cli *cli, const char *path, const struct buf *text)
{
    char name[4096];

    if (snprintf(name, sizeof name, "%s.part", path) >= (int)sizeof name)
        return cli_usage(cli, "%.80s...: the name is too long", path);
    FILE *file = fopen(name, "wbe");
    bool wrote = file != NULL && fwrite(text->data, 1, text->size, file) == text->size;
    int failed = errno;
    if (file != NULL && fclose(file) != 0 && wrote) {
        wrote = false;
        failed = errno;
    }
    if (wrote && rename(name, path) != 0) {
        wrote = false;
        failed = errno;
    }
    if (wrote)
        return GS_OK;
    if (file != NULL)
        unlink(name);
    return cli_usage(cli, "%s: %s", path, strerror(failed));
}

static int plan_show(struct cli *cli, const struct change_settings *settings,
                     const struct change_plan *plan)
{
    struct buf text, table;
    int code = GS_OK;

    buf_init(&text, CLUSTER_PLAN_SIZE_MAX);
    buf_init(&table, CLI_OUTPUT_MAX);
    change_plan_print_json(plan, &text);
    buf_text(&text, "\n");
    change_plan_print(plan, true, &table);
    if (buf_status(&text) != STATUS_OK)
        code = cli_usage(cli, "the plan is too large");
    if (code == GS_OK && settings->output != NULL)
        code = plan_keep(cli, settings->output, &text);
    if (code == GS_OK)
        code = cli_print(cli->settings->json ? &text : &table);
    if (code == GS_OK && settings->output != NULL)
        cli_say(cli, "nothing was changed; `gribstore cluster apply %s` does it", settings->output);
    buf_fini(&text);
    buf_fini(&table);
    return code;
}

static int plan_run(struct cli *cli, void *data, char **arguments, size_t count)
{
    const struct change_settings *settings = data;
    enum cluster_action action;
    struct change_plan plan;

    if (count == 0 || !cluster_action_parse(arguments[0], &action) || action == CLUSTER_LOST)
        return cli_usage(
            cli, "plan what? add, retire, evacuate, keep, replace, rename, remove, rebalance, pause or resume");
    change_plan_init(&plan);
    int code = cluster_go_plan(cli, action, settings, arguments + 1, count - 1, &plan);
    if (code == GS_OK)
        code = plan_show(cli, settings, &plan);
    change_plan_fini(&plan);
    return code;
}

const struct command command_cluster_plan = {
    .name = "cluster plan",
    .arguments = "ACTION [NODE] [URL] [options]",
    .summary = "Show what a change of the cluster moves, and change nothing",
    .examples = "  gribstore cluster plan add http://10.0.0.9:8410 --all-eras -o grow.plan\n"
                "  gribstore cluster plan evacuate n3\n"
                "  gribstore cluster plan remove n3 --lost --json | jq .refused",
    .about = "ACTION and what follows are those of `gribstore cluster add`, `retire` and so on. Each node's row says what it pulls and\n"
             "gives up, what it holds then, and how full its disk is now, at its fullest (all has come, nothing is given up yet) and\n"
             "after. Reasons for which the change would be refused stand below.\n"
             "With --json, and in FILE: {\"plan\": 1, \"action\", \"subject\", \"cluster\", \"epoch\", \"in\", \"out\": {\"messages\", \"bytes\"},\n"
             "\"owned_newly_bytes\", \"least_bytes\", \"seconds\", \"copies_before\", \"copies_after\", \"copies_seen\", \"shards_fewer\",\n"
             "\"same_host_before\", \"same_host_after\", \"nodes\": [{\"id\", \"url\",\n"
             "\"state_before\", \"state_after\", \"shards_before\", \"shards_after\", \"listed\", \"held\", \"in\", \"out\", \"held_after\", \"disk_total\",\n"
             "\"disk_used\", \"disk_used_peak\", \"disk_used_after\", \"disk_high_water\", \"seconds\"}], \"refused\": [{\"reason\", \"detail\"}],\n"
             "\"before\": MAP, \"after\": MAP}. What is not known is left out.",
    .options = plan_options,
    .settings_size = sizeof(struct change_settings),
    .run = plan_run,
};

/* ---- apply ---- */

static const struct config_option apply_options[] = {
    CHANGE_OPTIONS, CHANGE_GO_OPTIONS, COMMON_OPTIONS, { 0 }
};

static int apply_read(struct cli *cli, const char *path, struct change_plan *plan)
{
    FILE *file = fopen(path, "rbe");
    char chunk[64 << 10];
    struct error err;
    struct buf text;
    size_t size;

    if (file == NULL)
        return cli_usage(cli, "%s: %s", path, strerror(errno));
    error_init(&err);
    buf_init(&text, CLUSTER_PLAN_SIZE_MAX);
    while ((size = fread(chunk, 1, sizeof chunk, file)) > 0 && buf_status(&text) == STATUS_OK)
        buf_append(&text, chunk, size);
    bool whole = !ferror(file) && buf_status(&text) == STATUS_OK;
    fclose(file);
    enum status status = whole ? change_plan_parse(plan, slice_of(text.data, text.size), &err)
                               : error_set(&err, STATUS_IO, "can't be read whole");
    buf_fini(&text);
    if (status == STATUS_OK)
        return GS_OK;
    return cli_usage(cli, "%s is no plan: %s", path, err.text);
}

/* Who the plan's map has and the one before has not. */
static const struct map_node *plan_comes(const struct change_plan *plan)
{
    for (unsigned i = 0; i < plan->after->nodes_count; i++) {
        if (map_find(plan->before, plan->after->nodes[i].id) == NULL)
            return &plan->after->nodes[i];
    }
    return NULL;
}

/* What nodes hold may be other than when the plan was made: it is judged anew. */
static int apply_judge(struct cli *cli, struct change_plan *plan)
{
    struct cluster_map *now;
    struct error err;

    error_init(&err);
    enum status status = cluster_map_now(cli->session, &now, &plan->of_indexer, &err);
    if (status != STATUS_OK)
        return cli_fail_status(cli, status, &err);
    int code = cluster_maps_equal(plan->before, now) ? GS_OK
                                                     : cluster_go_differs(cli, plan->before, now);
    map_unref(now);
    if (code != GS_OK)
        return code;
    status = survey_run_all(cli->session, plan->before, plan_comes(plan), &plan->survey, &err);
    if (status == STATUS_OK)
        status = change_plan_judge(plan, &err);
    return status == STATUS_OK ? GS_OK : cli_fail_status(cli, status, &err);
}

static int apply_run(struct cli *cli, void *data, char **arguments, size_t count)
{
    struct change_plan plan;

    if (count != 1)
        return cli_usage(cli, "name the file of one plan");
    change_plan_init(&plan);
    int code = apply_read(cli, arguments[0], &plan);
    if (code == GS_OK)
        code = apply_judge(cli, &plan);
    if (code == GS_OK)
        code = cluster_go(cli, data, &plan);
    change_plan_fini(&plan);
    return code;
}

const struct command command_cluster_apply = {
    .name = "cluster apply",
    .arguments = "FILE [options]",
    .summary = "Make the change of a plan that was kept, and no other",
    .examples = "  gribstore cluster apply grow.plan --wait\n"
                "  gribstore cluster apply grow.plan --yes --json",
    .about = "FILE is one of `gribstore cluster plan -o FILE`. If the cluster's map is another one by now, what differs is said, and\n"
             "nothing changes (exit code 6). What moves is computed anew, as nodes may hold other things than then.",
    .options = apply_options,
    .settings_size = sizeof(struct change_settings),
    .run = apply_run,
};
