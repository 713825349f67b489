/* check_survey.c: asks indexer and nodes what they say of themselves. */
#include "client/check_survey.h"

#include "client/call.h"
#include "client/error.h"
#include "client/indexer_api.h"
#include "proto/base/json_read.h"

#include <stdio.h>
#include <stdlib.h>

enum { SURVEY_ANSWER_MAX = 256 << 20 };

/* --- pure --- */

static enum status read_run(const json_t *item, struct check_survey_run *run, struct error *err)
{
    const char *source, *base_time, *state;
    enum status status = json_get_string(item, "source", &source, err);

    if (status == STATUS_OK)
        status = json_get_string(item, "base_time", &base_time, err);
    if (status == STATUS_OK)
        status = run_key_parse(slice_text(source), slice_text(base_time), &run->run, err);
    if (status == STATUS_OK)
        status = json_get_u64(item, "incarnation", INT64_MAX, &run->info.incarnation, err);
    if (status == STATUS_OK)
        status = json_get_u64(item, "version", INT64_MAX, &run->info.version, err);
    if (status == STATUS_OK)
        status = json_get_string(item, "state", &state, err);
    if (status == STATUS_OK && !run_state_parse(state, &run->info.state))
        status = error_set(err, STATUS_MALFORMED, "state: there is no such state");
    if (status == STATUS_OK)
        status = json_opt_u64(item, "records", INT64_MAX, 0, &run->records, err);
    return status;
}

static int run_compare(const void *a, const void *b)
{
    const struct check_survey_run *left = a, *right = b;

    return run_key_compare(&left->run, &right->run);
}

enum status check_survey_read_runs(const json_t *answer, struct check_survey_run **runs,
                                   size_t *count, struct error *err)
{
    json_t *list, *item;
    size_t i;
    enum status status = json_get_array(answer, "runs", &list, err);

    *runs = NULL;
    *count = 0;
    if (status == STATUS_OK && !json_is_true(json_object_get(answer, "full")))
        status = error_set(err, STATUS_MALFORMED, "it is not a full listing");
    if (status != STATUS_OK)
        return error_of_answer(status, err, "a node's runs");
    *runs = calloc(json_array_size(list) + 1, sizeof **runs);
    if (*runs == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a node's runs");
    json_array_foreach (list, i, item) {
        status = read_run(item, &(*runs)[i], err);
        if (status != STATUS_OK)
            return error_of_answer(status, err, "a node's runs");
        ++*count;
    }
    qsort(*runs, *count, sizeof **runs, run_compare);
    return STATUS_OK;
}

const struct check_survey_run *check_survey_find(const struct check_survey_node *node,
                                                 const struct run_key *run)
{
    const struct check_survey_run key = { .run = *run };

    return node->runs_count > 0
               ? bsearch(&key, node->runs, node->runs_count, sizeof *node->runs, run_compare)
               : NULL;
}

/* --- one node --- */

static enum status node_get(struct gs_session *session, const char *url, const char *path,
                            json_t **json, struct error *err)
{
    const struct call call = {
        .to = CALL_URL, .url = url, .method = "GET", .path = path, .answer_max = SURVEY_ANSWER_MAX, .once = true
    };

    return call_json(session, &call, json, err);
}

static enum status node_map(struct gs_session *session, const struct check_survey *survey,
                            unsigned at, struct error *err)
{
    const char *cluster;
    json_t *json = NULL;
    enum status status = node_get(session, survey->map->nodes[at].url, "/cluster/map", &json, err);

    if (status == STATUS_OK)
        status = json_get_u64(json, "epoch", INT64_MAX, &survey->nodes[at].epoch, err);
    if (status == STATUS_OK)
        status = json_get_string(json, "cluster", &cluster, err);
    if (status == STATUS_OK && strcmp(cluster, survey->map->cluster) != 0)
        status = error_set(err, STATUS_OTHER_CLUSTER, "it belongs to another cluster");
    json_decref(json);
    return status;
}

static enum status node_runs(struct gs_session *session, const struct check_survey *survey,
                             unsigned at, struct error *err)
{
    struct check_survey_node *node = &survey->nodes[at];
    json_t *json = NULL;
    enum status status = node_get(session, survey->map->nodes[at].url, "/cluster/runs?wait=0",
                                  &json, err);

    if (status == STATUS_OK)
        status = check_survey_read_runs(json, &node->runs, &node->runs_count, err);
    json_decref(json);
    return status;
}

static enum status bad_add(struct check_survey *survey, const struct check_bad *bad, struct error *err)
{
    struct check_bad *items = realloc(survey->bad, (survey->bad_count + 1) * sizeof *items);

    if (items == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for damaged messages");
    survey->bad = items;
    items[survey->bad_count++] = *bad;
    return STATUS_OK;
}

/* A finding of a scrub; one that can't be read is none of a message. */
static enum status node_finding(struct check_survey *survey, unsigned at, const json_t *finding,
                                struct error *err)
{
    struct check_bad bad = { .node = (uint16_t)at };
    const char *run, *digest, *slash;

    if (json_opt_string(finding, "run", "", &run, NULL) != STATUS_OK ||
        json_opt_string(finding, "digest", "", &digest, NULL) != STATUS_OK ||
        !digest_parse(slice_text(digest), &bad.digest) || (slash = strchr(run, '/')) == NULL ||
        run_key_parse(slice_of(run, (size_t)(slash - run)), slice_text(slash + 1), &bad.run, NULL) !=
            STATUS_OK)
        return STATUS_OK;
    return bad_add(survey, &bad, err);
}

static enum status node_scrub(struct gs_session *session, struct check_survey *survey, unsigned at,
                              struct error *err)
{
    json_t *json = NULL, *findings, *finding;
    size_t i;
    enum status status = node_get(session, survey->map->nodes[at].url, "/cluster/scrub", &json, err);

    if (status == STATUS_OK)
        status = json_opt_u64(json, "missing", INT64_MAX, 0, &survey->nodes[at].missing, err);
    if (status == STATUS_OK)
        status = json_get_array(json, "findings", &findings, err);
    if (status == STATUS_OK) {
        json_array_foreach (findings, i, finding) {
            if (status == STATUS_OK)
                status = node_finding(survey, at, finding, err);
        }
    }
    json_decref(json);
    return status;
}

/* Who may not ask one node may ask none: that is no finding. */
static bool ends_it(enum status status)
{
    return status == STATUS_CANCELLED || status == STATUS_UNAUTHORIZED || status == STATUS_FORBIDDEN;
}

static enum status survey_node(struct gs_session *session, struct check_survey *survey, unsigned at,
                               struct error *err)
{
    struct check_node *state = &survey->state[at];
    struct error own;

    error_init(&own);
    enum status status = node_map(session, survey, at, &own);
    if (status == STATUS_OK)
        status = node_runs(session, survey, at, &own);
    if (status == STATUS_OK)
        status = node_scrub(session, survey, at, &own);
    state->listed = status == STATUS_OK;
    if (!state->listed)
        snprintf(state->error, sizeof state->error, "%.*s", CHECK_ERROR_SIZE - 1, own.text);
    if (!ends_it(status))
        return STATUS_OK;
    *err = own;
    return error_wrap(err, "node %s", survey->map->nodes[at].id);
}

/* --- the whole --- */

static enum status survey_map(struct gs_session *session, struct check_survey *survey, struct error *err)
{
    const struct call call = {
        .to = CALL_INDEXERS, .method = "GET", .path = INDEXER_MAP_PATH, .answer_max = SURVEY_ANSWER_MAX
    };
    struct call_answer answer;
    enum status status = call_run(session, &call, &answer, err);

    if (status == STATUS_OK) {
        survey->map = map_parse(answer.body.data, answer.body.size, err);
        if (survey->map == NULL)
            status = error_of_answer(STATUS_BAD_VALUE, err, "the cluster map");
    }
    call_answer_fini(&answer);
    return status;
}

enum status check_survey_take(struct gs_session *session, const char *source,
                              struct check_survey *survey, struct error *err)
{
    *survey = (struct check_survey){ 0 };
    enum status status = survey_map(session, survey, err);

    if (status == STATUS_OK)
        status = run_list_get(session, source, &survey->runs, err);
    if (status != STATUS_OK)
        return status;
    survey->state = calloc(survey->map->nodes_count + 1, sizeof *survey->state);
    survey->nodes = calloc(survey->map->nodes_count + 1, sizeof *survey->nodes);
    if (survey->state == NULL || survey->nodes == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for nodes");
    for (unsigned i = 0; status == STATUS_OK && i < survey->map->nodes_count; i++)
        if (survey->map->nodes[i].state != NODE_OUT)
            status = survey_node(session, survey, i, err);
    return status;
}

void check_survey_fini(struct check_survey *survey)
{
    for (unsigned i = 0; survey->nodes != NULL && i < survey->map->nodes_count; i++)
        free(survey->nodes[i].runs);
    free(survey->nodes);
    free(survey->state);
    free(survey->bad);
    run_list_fini(&survey->runs);
    map_unref(survey->map);
    *survey = (struct check_survey){ 0 };
}
