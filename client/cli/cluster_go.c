/* cluster_go.c: what the commands that change a cluster do alike. */
#include "client/cli/cluster_go.h"

#include "client/cli/progress.h"
#include "client/cluster_diff.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- the wish ---- */

/* What a wish needs while it is made into a plan. */
struct wishing {
    struct cli *cli;
    const struct change_settings *settings;
    struct change_plan *plan;
    struct cluster_wish wish;
    struct map_node with;
    struct cluster_map *base; /* owned: the map with other weights */
    struct error err;
};

static const struct map_node *node_named(const struct cluster_map *map, const char *name)
{
    for (unsigned i = 0; i < map->nodes_count; i++) {
        if (strcmp(map->nodes[i].id, name) == 0 || strcmp(map->nodes[i].url, name) == 0)
            return &map->nodes[i];
    }
    return NULL;
}

static enum status wish_node(struct wishing *wishing, const char *name)
{
    const struct map_node *node = node_named(wishing->plan->before, name);

    if (node == NULL)
        return error_set(&wishing->err, STATUS_NOT_FOUND,
                         "there is no node %.120s in the map of epoch %" PRIu64
                         ": `gribstore cluster show`",
                         name, wishing->plan->before->epoch);
    wishing->wish.node = node->id;
    snprintf(wishing->plan->subject, sizeof wishing->plan->subject, "%s", node->id);
    return STATUS_OK;
}

static void url_trim(char *url)
{
    size_t size = strlen(url);

    while (size > 0 && url[size - 1] == '/')
        url[--size] = '\0';
}

static enum status wish_with(struct wishing *wishing, char *url)
{
    url_trim(url);
    if (!node_url_valid(url))
        return error_set(&wishing->err, STATUS_BAD_VALUE,
                         "%.120s is no URL of a node; write http://HOST:PORT", url);
    enum status status = cluster_ask_node(wishing->cli->session, wishing->plan->before, url,
                                          &wishing->with, &wishing->err);
    if (status != STATUS_OK)
        return status;
    wishing->wish.with = &wishing->with;
    if (wishing->wish.action == CLUSTER_ADD)
        snprintf(wishing->plan->subject, sizeof wishing->plan->subject, "%s", wishing->with.id);
    return STATUS_OK;
}

static enum status wish_arguments(struct wishing *wishing, char **arguments)
{
    enum cluster_action action = wishing->wish.action;
    enum status status = STATUS_OK;

    if (action == CLUSTER_ADD)
        return wish_with(wishing, arguments[0]);
    if (action == CLUSTER_REBALANCE || action == CLUSTER_PAUSE || action == CLUSTER_RESUME)
        return STATUS_OK;
    status = wish_node(wishing, arguments[0]);
    if (status == STATUS_OK && action == CLUSTER_REPLACE)
        status = wish_with(wishing, arguments[1]);
    if (status == STATUS_OK && action == CLUSTER_RENAME) {
        url_trim(arguments[1]);
        wishing->wish.url = arguments[1];
    }
    return status;
}

/* Other weights, "n1=100,n2=50". */
static enum status wish_weights(struct wishing *wishing)
{
    const char *at = wishing->settings->weights;

    wishing->base = map_copy(wishing->plan->before);
    if (wishing->base == NULL)
        return error_set(&wishing->err, STATUS_NO_MEMORY, "no memory for a cluster map");
    while (at != NULL && *at != '\0') {
        size_t size = strcspn(at, ","), name_size = strcspn(at, "=,");
        char name[URL_SIZE_MAX + 1];
        uint64_t weight;

        snprintf(name, sizeof name, "%.*s",
                 (int)(name_size < sizeof name ? name_size : sizeof name - 1), at);
        const struct map_node *node = node_named(wishing->base, name);
        if (node == NULL || name_size >= size ||
            decimal_parse(at + name_size + 1, size - name_size - 1, MAP_WEIGHT_MAX, &weight) != 0 ||
            weight == 0)
            return error_set(&wishing->err, STATUS_BAD_VALUE,
                             "--weight takes NODE=N, a node of the map and a number from 1 to %d: %.*s",
                             MAP_WEIGHT_MAX, (int)(size < 80 ? size : 80), at);
        wishing->base->nodes[node - wishing->base->nodes].weight = (uint32_t)weight;
        at += size + (at[size] == ',');
    }
    return STATUS_OK;
}

static enum status wish_weights_alone(struct wishing *wishing)
{
    wishing->plan->after = map_copy(wishing->base);
    if (wishing->plan->after == NULL)
        return error_set(&wishing->err, STATUS_NO_MEMORY, "no memory for a cluster map");
    wishing->plan->after->epoch++;
    return STATUS_OK;
}

static bool survey_whole(const struct change_plan *plan)
{
    for (size_t i = 0; i < plan->survey.nodes_count; i++) {
        const struct survey_node *node = &plan->survey.nodes[i];
        const struct map_node *of = map_find(plan->before, node->id);
        if (!node->listed && of != NULL && of->state != NODE_OUT)
            return false;
    }
    return true;
}

/* Where an era may begin and end: what nobody told may be there. */
static enum status wish_times(struct wishing *wishing)
{
    const struct survey *survey = &wishing->plan->survey;
    struct cluster_wish *wish = &wishing->wish;
    bool whole = survey_whole(wishing->plan);

    wish->has_data = survey->has_data || !whole;
    wish->oldest = whole && survey->has_data ? survey->oldest : INT64_MIN;
    wish->from = survey->has_data ? survey->newest + 1 : 0;
    if (wishing->settings->from != NULL)
        return base_time_parse(slice_text(wishing->settings->from), &wish->from, &wishing->err) == STATUS_OK
                   ? STATUS_OK
                   : error_wrap(&wishing->err, "--from");
    const struct map_node *node = wish->node != NULL ? map_find(wishing->plan->before, wish->node) : NULL;
    bool begins = wish->action == CLUSTER_RETIRE || (wish->action == CLUSTER_ADD && !wish->all_eras) ||
                  (wish->action == CLUSTER_KEEP && node != NULL && node->state == NODE_RETIRING);
    if (begins && !whole && !survey->index_known)
        return error_set(&wishing->err, STATUS_PRECONDITION,
                         "not every node lists what it holds, nor does the index: where the next era begins has to be said, "
                         "with --from BASE_TIME");
    return STATUS_OK;
}

static bool is_reachable(const struct survey *survey, const char *id)
{
    const struct survey_node *node = id != NULL ? survey_find(survey, id) : NULL;

    return node != NULL && node->reachable;
}

static enum status wish_make(struct wishing *wishing, char **arguments)
{
    struct change_plan *plan = wishing->plan;
    struct gs_session *session = wishing->cli->session;
    struct error *err = &wishing->err;

    enum status status = cluster_map_now(session, &plan->before, &plan->of_indexer, err);
    if (status == STATUS_OK)
        status = wish_arguments(wishing, arguments);
    if (status == STATUS_OK)
        status = wish_weights(wishing);
    if (status == STATUS_OK)
        status = survey_run_all(session, plan->before, wishing->wish.with, &plan->survey, err);
    if (status == STATUS_OK)
        status = wish_times(wishing);
    if (status != STATUS_OK)
        return status;
    /* Whether copies get fewer is judged with the other reasons, where it can be forced. */
    wishing->wish.fewer = true;
    wishing->wish.alive = is_reachable(&plan->survey, wishing->wish.node);
    status = cluster_change(wishing->base, &wishing->wish, &plan->after, NULL, err);
    if (status == STATUS_PRECONDITION && !cluster_maps_equal(wishing->base, plan->before))
        status = wish_weights_alone(wishing); /* they hold for what is to come */
    return status == STATUS_OK ? change_plan_judge(plan, err) : status;
}

/* "retire: ..." is right behind `cluster plan`; behind `cluster retire` it is said already. */
static void drop_action(const struct cli *cli, enum cluster_action action, struct error *err)
{
    const char *name = cluster_action_name(action), *last = strrchr(cli->command->name, ' ');
    size_t size = strlen(name);

    if (last != NULL && strcmp(last + 1, name) == 0 && strncmp(err->text, name, size) == 0 &&
        strncmp(err->text + size, ": ", 2) == 0)
        memmove(err->text, err->text + size + 2, strlen(err->text + size + 2) + 1);
}

int cluster_go_plan(struct cli *cli, enum cluster_action action, const struct change_settings *settings,
                    char **arguments, size_t count, struct change_plan *plan)
{
    static const struct {
        size_t count;
        const char *usage;
    } needs[] = {
        [CLUSTER_ADD] = { 1, "name the node that comes: its URL" },
        [CLUSTER_RETIRE] = { 1, "name the node: its id" },
        [CLUSTER_EVACUATE] = { 1, "name the node: its id" },
        [CLUSTER_KEEP] = { 1, "name the node: its id" },
        [CLUSTER_REPLACE] = { 2, "name the node, and the URL of the one that takes its place" },
        [CLUSTER_RENAME] = { 2, "name the node, and its new URL" },
        [CLUSTER_REMOVE] = { 1, "name the node: its id" },
        [CLUSTER_LOST] = { 1, "name the node: its id" },
        [CLUSTER_REBALANCE] = { 0, "rebalance takes no arguments" },
        [CLUSTER_PAUSE] = { 0, "pause takes no arguments" },
        [CLUSTER_RESUME] = { 0, "resume takes no arguments" },
    };
    struct wishing wishing = { .cli = cli, .settings = settings, .plan = plan };

    if (count != needs[action].count)
        return cli_usage(cli, "%s", needs[action].usage);
    error_init(&wishing.err);
    plan->action = action == CLUSTER_REMOVE && settings->lost ? CLUSTER_LOST : action;
    wishing.wish.action = plan->action;
    wishing.wish.all_eras = settings->all_eras;
    enum status status = wish_make(&wishing, arguments);
    map_unref(wishing.base);
    if (status == STATUS_OK)
        return GS_OK;
    drop_action(cli, action, &wishing.err);
    return cli_fail_status(cli, status, &wishing.err);
}

/* ---- refused ---- */

static int forced_parse(struct cli *cli, const char *text, unsigned *forced)
{
    *forced = 0;
    while (text != NULL && *text != '\0') {
        size_t size = strcspn(text, ",");
        enum cluster_reason reason;
        char name[32];

        snprintf(name, sizeof name, "%.*s", (int)(size < sizeof name ? size : sizeof name - 1), text);
        if (!cluster_reason_parse(name, &reason))
            return cli_usage(
                cli, "--force takes fewer-copies, high-water, not-reachable, has-data; not %s", name);
        *forced |= 1u << reason;
        text += size + (text[size] == ',');
    }
    return GS_OK;
}

static int go_refused(struct cli *cli, const struct change_plan *plan, unsigned reasons)
{
    struct error err;
    char names[128] = "";

    for (unsigned i = 0; i < REASONS_COUNT; i++) {
        if ((reasons & 1u << i) != 0)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s",
                     names[0] != '\0' ? "," : "", cluster_reason_name((enum cluster_reason)i));
    }
    error_init(&err);
    error_set(&err, STATUS_PRECONDITION, "refused: %.*s(--force %s does it all the same)",
              (int)(plan->why.size < 700 ? plan->why.size : 700), (const char *)plan->why.data, names);
    for (char *at = err.text; *at != '\0'; at++)
        *at = *at == '\n' ? ' ' : *at;
    return cli_fail_status(cli, STATUS_PRECONDITION, &err);
}

/* ---- asked ---- */

static int go_ask(struct cli *cli, const struct change_plan *plan)
{
    struct error err;
    char answer[16];

    if (isatty(STDIN_FILENO) && cli->err_tty) {
        fprintf(stderr, "%s%s%s: do it? [y/N] ", cluster_action_name(plan->action),
                plan->subject[0] != '\0' ? " " : "", plan->subject);
        fflush(stderr);
        if (fgets(answer, sizeof answer, stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y'))
            return GS_OK;
        cli_say(cli, "nothing was changed");
        return GS_REFUSED;
    }
    error_init(&err);
    error_set(&err, STATUS_PRECONDITION, "there is nobody to be asked here: --yes does it without asking");
    return cli_fail_status(cli, STATUS_PRECONDITION, &err);
}

/* ---- put ---- */

int cluster_go_differs(struct cli *cli, const struct cluster_map *before, const struct cluster_map *now)
{
    struct buf diff;
    struct error err;

    buf_init(&diff, CLUSTER_DIFF_MAX);
    if (now != NULL)
        cluster_diff_print(before, now, &diff);
    for (size_t i = 0; i + 1 < diff.size; i++)
        diff.data[i] = diff.data[i] == '\n' ? ';' : diff.data[i];
    error_init(&err);
    error_set(&err, STATUS_STALE_EPOCH, "the plan is for epoch %" PRIu64 ", epoch %" PRIu64 " holds: %.*s",
              before->epoch, now != NULL ? now->epoch : 0, (int)(diff.size < 800 ? diff.size : 800),
              diff.size > 0 ? (const char *)diff.data : "");
    if (err.text[strlen(err.text) - 1] == '\n')
        err.text[strlen(err.text) - 1] = '\0';
    buf_fini(&diff);
    return cli_fail_status(cli, STATUS_STALE_EPOCH, &err);
}

static int go_put(struct cli *cli, const struct change_plan *plan)
{
    struct cluster_map *newer;
    struct error err;

    error_init(&err);
    enum status status = cluster_map_put(cli->session, plan->before, plan->after, plan->of_indexer,
                                         &newer, &err);
    int code = status == STATUS_OK            ? GS_OK
               : status == STATUS_STALE_EPOCH ? cluster_go_differs(cli, plan->before, newer)
                                              : cli_fail_status(cli, status, &err);
    map_unref(newer);
    return code;
}

/* ---- waited for ---- */

struct go_wait {
    struct cli *cli;
    struct progress progress;
    uint64_t pull_first; /* the most that was left */
    unsigned leaving_runs;
};

static void wait_event(const struct cluster_progress *progress)
{
    struct json_writer json;
    struct buf buf;

    buf_init(&buf, 4096);
    json_init(&json, &buf);
    json_object_begin(&json);
    json_put_string(&json, "event", "progress");
    json_put_u64(&json, "pull_bytes_left", progress->pull_bytes);
    json_put_u64(&json, "give_up_bytes_left", progress->give_up_bytes);
    json_put_u64(&json, "runs_leaving", progress->leaving_runs);
    json_put_u64(&json, "nodes_behind", progress->behind);
    json_put_u64(&json, "nodes_silent", progress->silent);
    json_put_u64(&json, "nodes_busy", progress->unsettled);
    json_put_seconds(&json, "seconds", progress->took_ms);
    json_put_bool(&json, "done", progress->done);
    json_object_end(&json);
    fprintf(stderr, "%s\n", buf_string(&buf));
    buf_fini(&buf);
}

/* What is not bytes: who does not answer, who has yet to hear of the map. */
static void wait_on_nodes(const struct cluster_progress *progress, char *text, size_t size)
{
    size_t used = strlen(text);

    if (progress->behind > 0 || progress->silent > 0)
        snprintf(text + used, size - used, ", %u nodes behind, %u silent", progress->behind,
                 progress->silent);
}

/* Pulling has a rate and an end. Giving up goes by rounds of the nodes, and what is just being put is seen on one node before the
 * other: no rate is made up for these. */
static void wait_on_look(const struct cluster_progress *progress, void *data)
{
    struct go_wait *wait = data;
    uint64_t pull = progress->pull_bytes;
    char text[160], left[CLI_SIZE_TEXT], give_up[CLI_SIZE_TEXT];

    if (wait->cli->settings->json && wait->cli->settings->progress)
        wait_event(progress);
    wait->leaving_runs = progress->leaving_runs;
    wait->pull_first = pull > wait->pull_first ? pull : wait->pull_first;
    text_of_size(progress->give_up_bytes, give_up);
    if (pull > wait->pull_first / 100) {
        snprintf(text, sizeof text, "then to give up %s", give_up);
        wait_on_nodes(progress, text, sizeof text);
        progress_show(&wait->progress, wait->pull_first - pull, wait->pull_first, text);
        return;
    }
    snprintf(text, sizeof text, "to pull %s, to give up %s, in rounds a minute apart",
             text_of_size(pull, left), give_up);
    wait_on_nodes(progress, text, sizeof text);
    progress_say(&wait->progress, text);
}

static int go_wait(struct cli *cli, const struct change_settings *settings, const struct change_plan *plan)
{
    struct go_wait wait = { .cli = cli };
    struct error err;

    if (plan->after->paused) {
        cli_say(cli, "the cluster is paused: nothing moves, and nothing is waited for");
        return GS_OK;
    }
    error_init(&err);
    progress_init(&wait.progress, cli);
    enum status status = cluster_wait_done(cli->session, plan->after, settings->timeout_ms,
                                           wait_on_look, &wait, &err);
    progress_clear(&wait.progress);
    if (status != STATUS_OK)
        return cli_fail_status(cli, status, &err);
    if (wait.leaving_runs > 0)
        cli_say(cli, "all is where it belongs, but for %u retired runs, which leave by themselves: gribstore runs",
                wait.leaving_runs);
    else
        cli_say(cli, "all is where it belongs");
    return GS_OK;
}

/* ---- the whole ---- */

static int go_print(struct cli *cli, const struct change_plan *plan)
{
    struct buf buf;

    buf_init(&buf, CLUSTER_PLAN_SIZE_MAX);
    if (cli->settings->json) {
        change_plan_print_json(plan, &buf);
        buf_text(&buf, "\n");
    } else {
        change_plan_print(plan, true, &buf);
    }
    int code = cli_print(&buf);
    buf_fini(&buf);
    return code;
}

int cluster_go(struct cli *cli, const struct change_settings *settings, struct change_plan *plan)
{
    unsigned forced;

    int code = forced_parse(cli, settings->force, &forced);
    if (code == GS_OK)
        code = go_print(cli, plan);
    if (code == GS_OK && (plan->reasons & ~forced) != 0)
        return go_refused(cli, plan, plan->reasons & ~forced);
    if (code == GS_OK && !settings->yes)
        code = go_ask(cli, plan);
    if (code == GS_OK)
        code = go_put(cli, plan);
    if (code == GS_OK)
        cli_say(cli, "done: epoch %" PRIu64 " holds", plan->after->epoch);
    return code == GS_OK && settings->wait ? go_wait(cli, settings, plan) : code;
}
