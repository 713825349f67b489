/* check_repair.c: from findings to requests: the index reads a run again, a node looks at the others, a map is handed on. */
#include "client/check_repair.h"

#include "client/call.h"
#include "client/check_pass.h"
#include "client/indexer_api.h"
#include "proto/base/json_write.h"
#include "proto/digest_json.h"
#include "proto/node_api.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    REPAIR_PATH_SIZE = 512,
    REPAIR_BODY_MAX = HAVE_DIGESTS_MAX * 70 + 4096,
    REPAIR_MAP_MAX = 64 << 20
};

enum action { ACTION_REREAD, ACTION_SYNC, ACTION_MAP, ACTION_SWEEP };

static enum status request(struct check_repair *repair, const struct call *call, struct error *err)
{
    struct call_answer answer;
    enum status status = call_run(repair->session, call, &answer, err);

    call_answer_fini(&answer);
    return status;
}

/* A request with a body that may have failed. */
static enum status request_with(struct check_repair *repair, struct call *call, struct buf *body,
                                struct error *err)
{
    call->body = slice_of(body->data, body->size);
    return buf_status(body) == STATUS_OK ? request(repair, call, err)
                                         : error_set(err, STATUS_NO_MEMORY, "no memory for a request");
}

/* --- the index --- */

static void print_digests(const struct digest *digests, size_t count, struct buf *body)
{
    struct json_writer json;

    if (count == 0)
        return;
    json_init(&json, body);
    json_object_begin(&json);
    digest_json_put(&json, "digests", digests, count);
    json_object_end(&json);
}

/* Of what is wrong in files that are there the digests are named; the cursor goes with the last piece, too, and so behind all of them. */
static enum status ask_reread(struct check_repair *repair, const struct check_finding *finding,
                              const char *node, struct error *err)
{
    char path[REPAIR_PATH_SIZE], name[RUN_TEXT_SIZE];
    struct call call = { .to = CALL_INDEXERS, .method = "POST", .path = path };
    enum status status;
    struct buf body;
    size_t at = 0;

    run_key_print(&finding->run, name);
    snprintf(path, sizeof path, INDEXER_RUNS_PATH "/%s/reread?node=%s", name, node);
    buf_init(&body, REPAIR_BODY_MAX);
    do {
        size_t left = finding->digests_count - at;
        size_t count = left < HAVE_DIGESTS_MAX ? left : HAVE_DIGESTS_MAX;
        buf_clear(&body);
        print_digests(finding->digests + at, count, &body);
        status = request_with(repair, &call, &body, err);
        at += count;
    } while (status == STATUS_OK && at < finding->digests_count);
    buf_fini(&body);
    return status;
}

static enum status ask_sweep(struct check_repair *repair, const struct check_finding *finding,
                             const char *node, struct error *err)
{
    const struct call call = { .to = CALL_INDEXERS, .method = "POST", .path = INDEXER_SWEEP_PATH };

    (void)finding, (void)node;
    return request(repair, &call, err);
}

/* --- nodes --- */

static enum status node_call(struct check_repair *repair, const char *node, struct call *call,
                             struct error *err)
{
    const struct map_node *found = map_find(repair->map, node);

    if (found == NULL || found->state == NODE_OUT)
        return error_set(err, STATUS_NOT_FOUND, "the map has no such node");
    call->to = CALL_URL;
    call->url = found->url;
    return STATUS_OK;
}

static enum status ask_sync(struct check_repair *repair, const struct check_finding *finding,
                            const char *node, struct error *err)
{
    struct call call = { .method = "POST", .path = "/cluster/sync" };
    enum status status = node_call(repair, node, &call, err);

    (void)finding;
    return status == STATUS_OK ? request(repair, &call, err) : status;
}

static enum status ask_map(struct check_repair *repair, const struct check_finding *finding,
                           const char *node, struct error *err)
{
    struct call call = { .method = "PUT", .path = "/cluster/map" };
    enum status status = node_call(repair, node, &call, err);
    struct buf body;

    (void)finding;
    if (status != STATUS_OK)
        return status;
    buf_init(&body, REPAIR_MAP_MAX);
    map_print(repair->map, &body);
    status = request_with(repair, &call, &body, err);
    buf_fini(&body);
    return status;
}

/* --- once each --- */

static const struct {
    const char *name;
    enum status (*ask)(struct check_repair *repair, const struct check_finding *finding,
                       const char *node, struct error *err);
    bool of_run;
} actions[] = { [ACTION_REREAD] = { "reread", ask_reread, true },
                [ACTION_SYNC] = { "sync", ask_sync, false },
                [ACTION_MAP] = { "map", ask_map, false },
                [ACTION_SWEEP] = { "sweep", ask_sweep, false } };

/* A node that looks at others passes over what is seconds old, so it is asked for that as long as something is missing. A run is read again once from a node, but once more for each list of digests. */
static bool was_asked(const struct check_report *report, const struct check_action *action)
{
    for (size_t i = 0; i < report->actions_count; i++) {
        const struct check_action *other = &report->actions[i];
        if (other->name == action->name && strcmp(other->node, action->node) == 0 &&
            other->has_run == action->has_run &&
            (!action->has_run || run_key_compare(&other->run, &action->run) == 0) &&
            (other->kind == action->kind || !action->names_messages))
            return true;
    }
    return false;
}

static enum status act(struct check_repair *repair, enum action which,
                       const struct check_finding *finding, const char *node, struct error *err)
{
    struct check_report *report = repair->report;
    struct check_action action = { .name = actions[which].name,
                                   .kind = finding->kind,
                                   .has_run = actions[which].of_run,
                                   .run = finding->run,
                                   .names_messages = finding->digests_count > 0 };
    struct error own;

    snprintf(action.node, sizeof action.node, "%s", node);
    bool again = was_asked(report, &action);
    if (again && which != ACTION_SYNC)
        return STATUS_OK;
    struct check_action *grown = realloc(report->actions, (report->actions_count + 1) * sizeof *grown);
    if (grown == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for what is asked for");
    report->actions = grown;
    error_init(&own);
    enum status status = actions[which].ask(repair, finding, node, &own);
    if (status == STATUS_CANCELLED || status == STATUS_NO_MEMORY) {
        *err = own;
        return status;
    }
    if (again)
        return STATUS_OK;
    if (status != STATUS_OK)
        snprintf(action.error, sizeof action.error, "%.*s", CHECK_DETAIL_SIZE - 1, own.text);
    grown[report->actions_count++] = action;
    check_say(repair->options, "%s%s%s%s%s", action.name, node[0] != '\0' ? " " : "", node,
              status != STATUS_OK ? ": " : "", action.error);
    return STATUS_OK;
}

static enum status sync_all(struct check_repair *repair, const struct check_finding *finding,
                            struct error *err)
{
    enum status status = STATUS_OK;

    for (unsigned i = 0; status == STATUS_OK && i < repair->map->nodes_count; i++)
        if (repair->map->nodes[i].state != NODE_OUT)
            status = act(repair, ACTION_SYNC, finding, repair->map->nodes[i].id, err);
    return status;
}

enum status check_repair_ask(struct check_repair *repair, const struct check_finding *finding,
                             struct error *err)
{
    switch (finding->kind) {
    case CHECK_DANGLING:
        if (finding->node[0] == '\0') /* on a node that the map does not have */
            return act(repair, ACTION_SWEEP, finding, "", err);
        return act(repair, ACTION_REREAD, finding, finding->node, err);
    case CHECK_MISPLACED:
    case CHECK_UNINDEXED:
    case CHECK_STATE:
        return act(repair, ACTION_REREAD, finding, finding->node, err);
    case CHECK_RUN_NOT_HELD:
        return act(repair, ACTION_SWEEP, finding, "", err);
    case CHECK_MISSING_COPY:
    case CHECK_DAMAGED:
        return act(repair, ACTION_SYNC, finding, finding->node, err);
    case CHECK_UNDER_REPLICATED:
        return sync_all(repair, finding, err);
    case CHECK_MAP:
        return act(repair, ACTION_MAP, finding, finding->node, err);
    case CHECK_LOST:
    case CHECK_UNCONFIRMED:
    case CHECK_RUN_NOT_INDEXED:
    case CHECK_NOT_LISTED:
    case CHECK_INDEX_BEHIND:
    case CHECK_SURPLUS:
    case CHECK_SUPERSEDED:
    case CHECK_RETIREMENT:
    case CHECK_KINDS:
        break;
    }
    return STATUS_OK;
}

enum status check_repair_init(struct check_repair *repair, struct gs_session *session,
                              const struct check_options *options, struct check_report *report,
                              struct error *err)
{
    const struct call call = {
        .to = CALL_INDEXERS, .method = "GET", .path = INDEXER_MAP_PATH, .answer_max = INDEXER_ANSWER_MAX
    };
    struct call_answer answer;

    *repair = (struct check_repair){ .session = session, .options = options, .report = report };
    enum status status = call_run(session, &call, &answer, err);
    if (status == STATUS_OK) {
        repair->map = map_parse(answer.body.data, answer.body.size, err);
        status = repair->map != NULL ? STATUS_OK : STATUS_MALFORMED;
    }
    call_answer_fini(&answer);
    return status;
}

void check_repair_fini(struct check_repair *repair)
{
    map_unref(repair->map);
}
