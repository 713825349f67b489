/* check_pass.c: the states of nodes and runs, then run by run the messages.
 *
 * A run that differs is looked at again: after the time that a difference has to last, and once the index has read what the nodes had
 * before. What is in both looks stays; as long as that becomes less, something moves, and there is another look. */
#include "client/check_pass.h"

#include "client/call.h"
#include "client/indexer_api.h"
#include "proto/base/clock.h"
#include "proto/base/json_read.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { PASS_POLL_MS = 100, PASS_STATUS_MAX = 16 << 20 };

struct passing {
    const struct check_pass *pass;
    struct check_survey survey;
    struct check_report *report;
    bool *caught_up; /* owned: of each node: the index has read it since it was asked */
};

void check_say(const struct check_options *options, const char *format, ...)
{
    char text[GS_TEXT_SIZE];
    va_list list;

    if (options->on_text == NULL)
        return;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    options->on_text(options->user, text);
}

static enum status pause_for(struct gs_session *session, uint64_t ms, struct error *err)
{
    uint64_t until_ms = clock_monotonic_ms() + ms, now_ms;
    enum status status = STATUS_OK;

    while (status == STATUS_OK && (now_ms = clock_monotonic_ms()) < until_ms)
        status = session_wait(session, until_ms - now_ms, err);
    return status;
}

static bool takes_run(const struct check_pass *pass, const struct run_key *run)
{
    if (pass->options->source != NULL && strcmp(pass->options->source, run->source) != 0)
        return false;
    if (pass->options->run != NULL && run_key_compare(pass->options->run, run) != 0)
        return false;
    for (size_t i = 0; pass->only != NULL && i < pass->only->findings_count; i++)
        if (pass->only->findings[i].has_run && run_key_compare(&pass->only->findings[i].run, run) == 0)
            return true;
    return pass->only == NULL;
}

/* --- has the index read what the nodes have? --- */

static void status_read(struct passing *passing, const json_t *answer)
{
    const struct cluster_map *map = passing->survey.map;
    json_t *nodes, *node;
    const char *id;
    size_t i;

    if (json_get_array(answer, "nodes", &nodes, NULL) != STATUS_OK)
        return;
    json_array_foreach (nodes, i, node) {
        unsigned place = json_get_string(node, "id", &id, NULL) == STATUS_OK ? map_index(map, id)
                                                                             : NODE_NONE;
        if (place != NODE_NONE && json_is_true(json_object_get(node, "caught_up")) &&
            json_is_true(json_object_get(node, "reachable")))
            passing->caught_up[place] = true;
    }
}

/* Each indexer tells of the nodes that it follows. */
static enum status status_ask(struct passing *passing, struct error *err)
{
    struct gs_session *session = passing->pass->session;

    for (unsigned i = 0; i < session->indexers.count; i++) {
        const struct call call = { .to = CALL_URL,
                                   .url = session->indexers.items[i].url,
                                   .method = "GET",
                                   .path = INDEXER_STATUS_PATH,
                                   .answer_max = PASS_STATUS_MAX,
                                   .once = true };
        json_t *answer = NULL;
        if (call_json(session, &call, &answer, err) == STATUS_CANCELLED)
            return STATUS_CANCELLED;
        status_read(passing, answer);
        json_decref(answer);
    }
    return STATUS_OK;
}

static bool all_caught_up(const struct passing *passing)
{
    for (unsigned i = 0; i < passing->survey.map->nodes_count; i++)
        if (passing->survey.state[i].listed && !passing->caught_up[i])
            return false;
    return true;
}

/* Until the index has read every node that was listed, or the time is over. */
static enum status await_index(struct passing *passing, struct error *err)
{
    uint64_t until_ms = clock_monotonic_ms() + passing->pass->options->wait_ms;
    enum status status = pause_for(passing->pass->session, passing->pass->options->settle_ms, err);

    memset(passing->caught_up, 0, passing->survey.map->nodes_count * sizeof *passing->caught_up);
    while (status == STATUS_OK) {
        status = status_ask(passing, err);
        if (status != STATUS_OK || all_caught_up(passing) || clock_monotonic_ms() >= until_ms)
            break;
        status = pause_for(passing->pass->session, PASS_POLL_MS, err);
    }
    return status;
}

/* --- states of nodes and runs --- */

static enum status found(struct check_report *report, enum check_kind kind,
                         const struct run_key *run, const char *node, struct error *err,
                         const char *format, ...) __attribute__((format(printf, 6, 7)));

static enum status found(struct check_report *report, enum check_kind kind, const struct run_key *run,
                         const char *node, struct error *err, const char *format, ...)
{
    struct check_finding *finding = check_report_add(report, kind, run, node);
    va_list list;

    if (finding == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for findings");
    va_start(list, format);
    vsnprintf(finding->detail, sizeof finding->detail, format, list);
    va_end(list);
    return STATUS_OK;
}

static enum status find_of_node(const struct check_survey *survey, unsigned at,
                                struct check_report *report, struct error *err)
{
    const char *id = survey->map->nodes[at].id;
    const struct check_survey_node *node = &survey->nodes[at];
    enum status status = STATUS_OK;

    if (!survey->state[at].listed)
        return found(report, CHECK_NOT_LISTED, NULL, id, err, "%s", survey->state[at].error);
    if (node->epoch != survey->map->epoch)
        status = found(report, CHECK_MAP, NULL, id, err,
                       "epoch %" PRIu64 ", the index has %" PRIu64, node->epoch, survey->map->epoch);
    if (status == STATUS_OK && node->missing > 0) {
        status = found(report, CHECK_DAMAGED, NULL, id, err,
                       "GET /cluster/scrub of the node lists what it found");
        check_report_add(report, CHECK_DAMAGED, NULL, id)->count = node->missing;
    }
    return status;
}

static enum status index_run_read(const struct gs_run *run, struct run_key *key,
                                  struct run_info *info, struct error *err)
{
    info->incarnation = run->incarnation;
    info->version = run->version;
    if (!run_state_parse(run->state, &info->state))
        return error_set(err, STATUS_MALFORMED, "the indexer's answer: state %s", run->state);
    return run_key_parse(slice_text(run->source), slice_text(run->base_time), key, err);
}

static enum status find_of_state(struct passing *passing, unsigned at, const struct run_key *key,
                                 const struct run_info *info, struct check_report *report,
                                 struct error *err)
{
    const struct check_survey_run *theirs = check_survey_find(&passing->survey.nodes[at], key);

    if (theirs == NULL || run_info_compare(&theirs->info, info) == 0)
        return STATUS_OK;
    return found(report, CHECK_STATE, key, passing->survey.map->nodes[at].id, err,
                 "%s (incarnation %" PRIu64 ", version %" PRIu64 ") there, %s (%" PRIu64
                 ", %" PRIu64 ") in the index",
                 run_state_name(theirs->info.state), theirs->info.incarnation, theirs->info.version,
                 run_state_name(info->state), info->incarnation, info->version);
}

static bool index_has(const struct check_survey *survey, const struct run_key *key)
{
    struct run_key known;
    struct run_info info;

    for (size_t i = 0; i < survey->runs.count; i++)
        if (index_run_read(&survey->runs.items[i], &known, &info, NULL) == STATUS_OK &&
            run_key_compare(&known, key) == 0)
            return true;
    return false;
}

/* A run that the index forgot after its end may be remembered by nodes. */
static enum status find_unknown(struct passing *passing, unsigned at, struct check_report *report,
                                struct error *err)
{
    const struct check_survey *survey = &passing->survey;
    enum status status = STATUS_OK;

    for (size_t i = 0; status == STATUS_OK && i < survey->nodes[at].runs_count; i++) {
        const struct check_survey_run *run = &survey->nodes[at].runs[i];
        if (run->records == 0 || run->info.state == RUN_RETIRED || run->info.state == RUN_PURGED ||
            !takes_run(passing->pass, &run->run) || index_has(survey, &run->run))
            continue;
        status = found(report, CHECK_RUN_NOT_INDEXED, &run->run, survey->map->nodes[at].id, err,
                       "%" PRIu64 " records in its journal", run->records);
    }
    return status;
}

/* What can be said without looking at messages. */
static enum status find_states(struct passing *passing, struct check_report *report, struct error *err)
{
    const struct check_survey *survey = &passing->survey;
    enum status status = STATUS_OK;

    for (unsigned at = 0; status == STATUS_OK && at < survey->map->nodes_count; at++) {
        if (survey->map->nodes[at].state == NODE_OUT)
            continue;
        status = find_of_node(survey, at, report, err);
        for (size_t i = 0;
             status == STATUS_OK && survey->state[at].listed && i < survey->runs.count; i++) {
            struct run_key key;
            struct run_info info;
            status = index_run_read(&survey->runs.items[i], &key, &info, err);
            if (status == STATUS_OK && takes_run(passing->pass, &key))
                status = find_of_state(passing, at, &key, &info, report, err);
        }
        if (status == STATUS_OK && survey->state[at].listed)
            status = find_unknown(passing, at, report, err);
    }
    return status;
}

static void keep_same(struct check_report *report, const struct check_report *again)
{
    size_t kept = 0;

    for (size_t i = 0; i < report->findings_count; i++)
        for (size_t j = 0; j < again->findings_count; j++)
            if (check_finding_same(&report->findings[i], &again->findings[j])) {
                report->findings[kept++] = again->findings[j];
                break;
            }
    report->findings_count = kept;
}

/* Twice, when there is anything at the first time. The survey is the second one's then. */
static enum status states(struct passing *passing, struct error *err)
{
    struct check_report again = { 0 };
    enum status status = check_survey_take(passing->pass->session, passing->pass->options->source,
                                           &passing->survey, err);

    if (status == STATUS_OK)
        status = find_states(passing, passing->report, err);
    if (status != STATUS_OK || passing->report->findings_count == 0)
        return status;
    status = pause_for(passing->pass->session, passing->pass->options->settle_ms, err);
    check_survey_fini(&passing->survey);
    if (status == STATUS_OK)
        status = check_survey_take(passing->pass->session, passing->pass->options->source,
                                   &passing->survey, err);
    if (status == STATUS_OK)
        status = find_states(passing, &again, err);
    if (status == STATUS_OK)
        keep_same(passing->report, &again);
    check_report_fini(&again);
    return status;
}

/* --- the messages of a run --- */

/* Of a node that the index has not read to its end nothing is said that this would explain. */
static enum status drop_unread(struct passing *passing, const struct run_key *run,
                               struct check_items *items, struct error *err)
{
    enum status status = STATUS_OK;
    size_t kept = 0;

    for (size_t i = 0; status == STATUS_OK && i < items->count; i++) {
        const struct check_item *item = &items->items[i];
        bool unread = check_kind_info(item->kind)->of_index && item->node != CHECK_NODE_NONE &&
                      !passing->caught_up[item->node];
        if (unread)
            status = found(passing->report, CHECK_INDEX_BEHIND, run,
                           passing->survey.map->nodes[item->node].id, err,
                           "GET /v1/status tells how far it is");
        else
            items->items[kept++] = *item;
    }
    items->count = kept;
    return status;
}

static enum status look_again(struct passing *passing, struct check_look *look,
                              struct check_items *items, struct error *err)
{
    uint64_t until_ms = clock_monotonic_ms() + passing->pass->options->wait_ms;
    enum status status = STATUS_OK;
    bool moves = true;

    while (status == STATUS_OK && items->count > 0 && moves) {
        struct check_items again = { 0 };
        size_t before = items->count;

        status = await_index(passing, err);
        if (status == STATUS_OK)
            status = check_look(look, &again, err);
        if (status == STATUS_OK)
            check_items_keep(items, &again);
        check_items_fini(&again);
        moves = items->count < before && clock_monotonic_ms() < until_ms;
    }
    return status == STATUS_OK ? drop_unread(passing, &look->run, items, err) : status;
}

/* Retired, or gone, since the survey: then nothing is said. */
static enum status still_looked_at(struct passing *passing, const struct run_key *key,
                                   bool *looked_at, struct error *err)
{
    struct gs_run run;
    enum status status = run_ask(passing->pass->session, key, NULL, &run, err);

    *looked_at = status == STATUS_OK &&
                 (strcmp(run.state, "filling") == 0 || strcmp(run.state, "ready") == 0);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status run_findings(struct passing *passing, const struct check_look *look,
                                const struct check_items *items, struct error *err)
{
    bool all_listed = true, looked_at = true;
    enum status status = STATUS_OK;

    for (unsigned i = 0; i < look->map->nodes_count; i++)
        all_listed = all_listed && (look->nodes[i].listed || look->map->nodes[i].state == NODE_OUT);
    if (items->count > 0)
        status = still_looked_at(passing, &look->run, &looked_at, err);
    if (status == STATUS_OK && looked_at)
        status = check_report_add_items(passing->report, look->map, &look->run, items, err);
    if (status == STATUS_OK && looked_at && items->count > 0 && look->holders == 0 && all_listed)
        status = found(passing->report, CHECK_RUN_NOT_HELD, &look->run, "", err,
                       "%" PRIu64 " places in the index", look->locations);
    return status;
}

static enum status look_at_run(struct passing *passing, const struct run_key *key, struct error *err)
{
    struct check_survey *survey = &passing->survey;
    struct check_look look = { .session = passing->pass->session,
                               .map = survey->map,
                               .run = *key,
                               .nodes = survey->state,
                               .bad = survey->bad,
                               .bad_count = survey->bad_count };
    struct check_items items = { 0 };
    enum status status = check_look(&look, &items, err);

    passing->report->runs++;
    passing->report->locations += look.locations;
    passing->report->messages += look.messages;
    if (status == STATUS_OK)
        status = look_again(passing, &look, &items, err);
    if (status == STATUS_OK)
        status = run_findings(passing, &look, &items, err);
    else if (status == STATUS_NOT_FOUND) /* it has left the index meanwhile */
        status = STATUS_OK;
    check_items_fini(&items);
    return status;
}

static enum status look_at_runs(struct passing *passing, struct error *err)
{
    const struct run_list *runs = &passing->survey.runs;
    enum status status = STATUS_OK;

    for (size_t i = 0; status == STATUS_OK && i < runs->count; i++) {
        struct run_key key;
        struct run_info info;
        char name[RUN_TEXT_SIZE];

        status = index_run_read(&runs->items[i], &key, &info, err);
        if (status != STATUS_OK || info.state == RUN_PURGED || !takes_run(passing->pass, &key))
            continue;
        run_key_print(&key, name);
        check_say(passing->pass->options, "%s: run %zu of %zu", name, i + 1, runs->count);
        if (info.state == RUN_RETIRED)
            status = found(passing->report, CHECK_RETIREMENT, &key, "", err, "%s", "");
        else
            status = look_at_run(passing, &key, err);
    }
    return status;
}

/* Who failed while shards were listed. */
static enum status find_failed(struct passing *passing, struct error *err)
{
    const struct check_survey *survey = &passing->survey;
    struct check_report *report = passing->report;
    enum status status = STATUS_OK;

    report->epoch = survey->map->epoch;
    for (unsigned i = 0; status == STATUS_OK && i < survey->map->nodes_count; i++) {
        if (survey->map->nodes[i].state == NODE_OUT)
            continue;
        report->nodes++;
        report->nodes_listed += survey->state[i].listed;
        if (!survey->state[i].listed)
            status = found(report, CHECK_NOT_LISTED, NULL, survey->map->nodes[i].id, err, "%s",
                           survey->state[i].error);
    }
    return status;
}

enum status check_pass(const struct check_pass *pass, struct check_report *report, struct error *err)
{
    struct passing passing = { .pass = pass, .report = report };
    enum status status = states(&passing, err);

    if (status == STATUS_OK) {
        passing.caught_up = calloc(passing.survey.map->nodes_count + 1, sizeof *passing.caught_up);
        if (passing.caught_up == NULL)
            status = error_set(err, STATUS_NO_MEMORY, "no memory for nodes");
    }
    if (status == STATUS_OK)
        status = look_at_runs(&passing, err);
    if (status == STATUS_OK)
        status = find_failed(&passing, err);
    if (status == STATUS_OK)
        check_report_sort(report);
    free(passing.caught_up);
    check_survey_fini(&passing.survey);
    return status;
}
