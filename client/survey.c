/* survey.c: asks every node of a map what it holds, and reads the answers. */
#include "client/survey.h"

#include "client/probe.h"
#include "client/runs.h"
#include "proto/base/json_read.h"
#include "proto/node_api.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- runs ---- */

/* Nodes list the same runs in the same order, so the next one is mostly behind the last. */
static bool survey_run_find(struct survey *survey, const struct run_key *key, uint32_t *run)
{
    for (size_t i = 0; i < survey->runs_count; i++) {
        size_t at = (survey->run_hint + i) % survey->runs_count;
        if (run_key_compare(&survey->runs[at].key, key) != 0)
            continue;
        survey->run_hint = at + 1;
        *run = (uint32_t)at;
        return true;
    }
    return false;
}

static enum status survey_room(struct survey *survey, struct error *err)
{
    if (survey->runs_count < survey->runs_capacity)
        return STATUS_OK;
    if (survey->runs_count >= SURVEY_RUNS_MAX)
        return error_set(err, STATUS_TOO_LARGE, "more than %d runs", SURVEY_RUNS_MAX);
    size_t capacity = survey->runs_capacity == 0 ? 64 : 2 * survey->runs_capacity;
    struct survey_run *runs = realloc(survey->runs, capacity * sizeof runs[0]);
    if (runs == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a list of runs");
    survey->runs = runs;
    survey->runs_capacity = capacity;
    return STATUS_OK;
}

enum status survey_add_run(struct survey *survey, const struct run_key *key, uint32_t *run,
                           struct error *err)
{
    if (survey_run_find(survey, key, run))
        return STATUS_OK;
    enum status status = survey_room(survey, err);
    if (status != STATUS_OK)
        return status;
    *run = (uint32_t)survey->runs_count;
    survey->runs[survey->runs_count++] = (struct survey_run){ .key = *key,
                                                              .info = { 1, 0, RUN_FILLING },
                                                              .was = *run };
    return STATUS_OK;
}

/* ---- a listing ---- */

static enum status listing_file(struct survey_node *node, uint32_t run, unsigned shards,
                                const json_t *file, struct error *err)
{
    uint64_t shard, size = 0, count = 0;

    enum status status = json_get_u64(file, "shard", shards - 1, &shard, err);
    if (status == STATUS_OK)
        status = json_get_u64(file, "size", INT64_MAX / SURVEY_HOLDINGS_MAX, &size, err);
    if (status == STATUS_OK)
        status = json_get_u64(file, "count", UINT32_MAX, &count, err);
    if (status != STATUS_OK)
        return status;
    if (node->holdings_count >= SURVEY_HOLDINGS_MAX)
        return error_set(err, STATUS_TOO_LARGE, "more than %d data files", SURVEY_HOLDINGS_MAX);
    node->holdings[node->holdings_count++] = (struct survey_holding){
        .run = run, .shard = (uint32_t)shard, .messages = count, .bytes = size
    };
    return STATUS_OK;
}

static enum status listing_room(struct survey_node *node, size_t more, struct error *err)
{
    size_t count = node->holdings_count + more;

    if (more == 0)
        return STATUS_OK;
    if (count > SURVEY_HOLDINGS_MAX)
        return error_set(err, STATUS_TOO_LARGE, "more than %d data files", SURVEY_HOLDINGS_MAX);
    struct survey_holding *holdings = realloc(node->holdings, count * sizeof holdings[0]);
    if (holdings == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a listing");
    node->holdings = holdings;
    return STATUS_OK;
}

static enum status listing_state(const json_t *entry, struct run_info *info, struct error *err)
{
    const char *state;

    enum status status = json_opt_u64(entry, "incarnation", INT64_MAX, 1, &info->incarnation, err);
    if (status == STATUS_OK)
        status = json_opt_u64(entry, "version", INT64_MAX, 0, &info->version, err);
    if (status == STATUS_OK)
        status = json_opt_string(entry, "state", "filling", &state, err);
    if (status == STATUS_OK && !run_state_parse(state, &info->state))
        status = error_set(err, STATUS_BAD_VALUE, "state: %.32s is none", state);
    return status;
}

static enum status listing_run(struct survey *survey, struct survey_node *node, unsigned shards,
                               const json_t *entry, struct error *err)
{
    const char *source, *base_time;
    struct run_key key;
    struct run_info info;
    json_t *files, *file;
    uint32_t run = 0;
    size_t i;

    enum status status = json_get_string(entry, "source", &source, err);
    if (status == STATUS_OK)
        status = json_get_string(entry, "base_time", &base_time, err);
    if (status == STATUS_OK)
        status = run_key_parse(slice_text(source), slice_text(base_time), &key, err);
    if (status == STATUS_OK)
        status = listing_state(entry, &info, err);
    if (status == STATUS_OK)
        status = json_get_array(entry, "files", &files, err);
    if (status == STATUS_OK)
        status = listing_room(node, json_array_size(files), err);
    if (status != STATUS_OK || json_array_size(files) == 0)
        return status; /* only spoken of, or purged */
    status = survey_add_run(survey, &key, &run, err);
    if (status == STATUS_OK && run_info_compare(&info, &survey->runs[run].info) > 0)
        survey->runs[run].info = info;
    json_array_foreach (files, i, file) {
        if (status == STATUS_OK)
            status = listing_file(node, run, shards, file, err);
    }
    return status;
}

static enum status listing_read(struct survey *survey, struct survey_node *node, unsigned shards,
                                const json_t *json, struct error *err)
{
    json_t *runs, *entry;
    size_t i;

    if (!json_is_true(json_object_get(json, "full")))
        return error_set(err, STATUS_MALFORMED, "it is not full");
    enum status status = json_get_array(json, "runs", &runs, err);
    if (status != STATUS_OK)
        return status;
    json_array_foreach (runs, i, entry) {
        status = listing_run(survey, node, shards, entry, err);
        if (status != STATUS_OK)
            return error_wrap(err, "runs[%zu]", i);
    }
    return STATUS_OK;
}

enum status survey_read_listing(struct survey *survey, struct survey_node *node, unsigned shards,
                                struct slice answer, struct error *err)
{
    json_t *json = NULL;

    enum status status = json_parse(answer.data, answer.size, &json, err);
    if (status == STATUS_OK)
        status = listing_read(survey, node, shards, json, err);
    json_decref(json);
    node->listed = status == STATUS_OK;
    if (status == STATUS_OK)
        return STATUS_OK;
    free(node->holdings);
    node->holdings = NULL;
    node->holdings_count = 0;
    return error_of_answer(status, err, "its listing of runs");
}

/* ---- what a node says of itself ---- */

static uint64_t number_of(const json_t *json, const char *key)
{
    uint64_t value;

    return json_opt_u64(json, key, INT64_MAX, 0, &value, NULL) == STATUS_OK ? value : 0;
}

static json_t *object_of(struct slice answer)
{
    json_t *json = NULL;

    if (json_parse(answer.data, answer.size, &json, NULL) != STATUS_OK || json_is_object(json))
        return json;
    json_decref(json);
    return NULL;
}

void survey_read_capacity(struct survey_node *node, struct slice answer)
{
    json_t *json = object_of(answer);
    struct survey_disk disk = { .total = number_of(json, "total"),
                                .free = number_of(json, "free"),
                                .reserve = number_of(json, "reserve"),
                                .used = number_of(json, "used"),
                                .high_water = number_of(json, "high_water") };

    disk.known = disk.total > 0 && disk.used <= disk.total && disk.free <= disk.total;
    if (disk.high_water > disk.total)
        disk.high_water = 0;
    if (disk.known)
        node->disk = disk;
    json_decref(json);
}

void survey_read_sync(struct survey_node *node, struct slice answer)
{
    json_t *json = object_of(answer), *peers, *peer;
    size_t i;

    if (json_get_array(json, "nodes", &peers, NULL) == STATUS_OK) {
        node->sync_known = true;
        node->sync_rate = number_of(json, "rate");
        node->pull_left = number_of(json, "bytes_left");
        node->settled = !json_is_true(json_object_get(json, "running"));
        json_array_foreach (peers, i, peer) {
            if (json_is_true(json_object_get(peer, "up")) &&
                !json_is_true(json_object_get(peer, "settled")))
                node->settled = false;
        }
    }
    json_decref(json);
}

/* Codes with numbers; what is no code is passed over. */
static void refused_add(struct survey_node *node, const char *code, uint64_t count)
{
    size_t size = strlen(node->give_up_refused), room = sizeof node->give_up_refused - size;

    if (count == 0 || code[0] == '\0' || code[strspn(code, "abcdefghijklmnopqrstuvwxyz-")] != '\0')
        return;
    int more = snprintf(node->give_up_refused + size, room, "%s%s %" PRIu64, size > 0 ? ", " : "",
                        code, count);
    if (more < 0 || (size_t)more >= room)
        node->give_up_refused[size] = '\0';
}

void survey_read_releases(struct survey_node *node, struct slice answer)
{
    json_t *json = object_of(answer), *refused = json_object_get(json, "refused"), *count;
    const char *code;

    node->releases_known = json_is_integer(json_object_get(json, "files"));
    node->give_up_files = number_of(json, "files");
    node->grace_files = number_of(json, "grace_files");
    node->give_up_refused[0] = '\0';
    json_object_foreach (refused, code, count)
        refused_add(node, code, number_of(refused, code));
    json_decref(json);
}

/* ---- asking ---- */

enum ask_kind {
    ASK_MAP,
    ASK_READY,
    ASK_RUNS,
    ASK_CAPACITY,
    ASK_METRICS,
    ASK_SYNC,
    ASK_RELEASES,
    ASK_KINDS
};

static const char *const ask_paths[ASK_KINDS] = {
    [ASK_MAP] = "/cluster/map",           [ASK_READY] = "/readyz",    [ASK_RUNS] = "/cluster/runs",
    [ASK_CAPACITY] = "/cluster/capacity", [ASK_METRICS] = "/metrics", [ASK_SYNC] = "/cluster/sync",
    [ASK_RELEASES] = "/cluster/releases",
};

struct ask {
    struct asker *asker;
    struct survey_node *node;
    enum ask_kind kind;
    struct transfer_request request;
    char url[PROBE_URL_MAX];
};

/* A slot asks one node all there is to ask, then the next one. */
struct asker {
    struct gs_session *session;
    const struct cluster_map *map;
    struct survey *survey;
    struct ask *asks; /* owned: ASK_KINDS for each slot */
    size_t next, slots, under_way;
    enum status status; /* NO_MEMORY ends it */
    struct error err;
};

static void take_map(struct ask *ask, const struct transfer_request *request)
{
    struct survey_node *node = ask->node;

    struct cluster_map *map = map_parse(request->answer.data, request->answer.size, &node->err);
    if (map == NULL)
        return;
    node->other_cluster = strcmp(map->cluster, ask->asker->map->cluster) != 0;
    if (node->other_cluster && !node->comes)
        error_set(&node->err, STATUS_OTHER_CLUSTER, "it belongs to cluster %s", map->cluster);
    node->epoch = map->epoch;
    node->reachable = node->comes || !node->other_cluster;
    map_unref(map);
}

static void take_disk_of_metrics(struct survey_node *node, struct slice metrics)
{
    struct probe_disk disk;

    probe_disk_read(metrics, &disk);
    if (node->disk.known || !disk.known)
        return;
    node->disk = (struct survey_disk){ .known = true,
                                       .total = disk.used + disk.free,
                                       .free = disk.free,
                                       .reserve = disk.reserved,
                                       .used = disk.used };
}

static void ask_take(struct ask *ask, const struct transfer_request *request)
{
    struct slice answer = slice_of(request->answer.data, request->answer.size);
    struct survey_node *node = ask->node;

    if (ask->kind == ASK_MAP)
        take_map(ask, request);
    else if (ask->kind == ASK_READY)
        node->ready = true;
    else if (ask->kind == ASK_CAPACITY)
        survey_read_capacity(node, answer);
    else if (ask->kind == ASK_METRICS)
        take_disk_of_metrics(node, answer);
    else if (ask->kind == ASK_SYNC)
        survey_read_sync(node, answer);
    else if (ask->kind == ASK_RELEASES)
        survey_read_releases(node, answer);
    else if (survey_read_listing(ask->asker->survey, node, ask->asker->map->shards, answer,
                                 &node->listed_err) == STATUS_NO_MEMORY)
        ask->asker->status = error_set(&ask->asker->err, STATUS_NO_MEMORY, "no memory for a survey");
}

static void ask_failed(struct ask *ask, const struct transfer_request *request, const struct error *err)
{
    struct survey_node *node = ask->node;

    if (ask->kind == ASK_MAP)
        node->err = *err;
    else if (ask->kind == ASK_RUNS)
        node->listed_err = *err;
    else if (ask->kind == ASK_READY && node->err.text[0] == '\0') {
        node->err = *err;
        probe_ready_read(slice_of(request->answer.data, request->answer.size), &node->err);
    }
}

static void ask_next(struct asker *asker, size_t slot);

static void ask_on_done(struct transfer_request *request, enum status status, const struct error *failure)
{
    struct ask *ask = container_of(request, struct ask, request);
    struct asker *asker = ask->asker;
    size_t slot = (size_t)(ask - asker->asks) / ASK_KINDS;
    struct error err;
    bool busy = false;

    (void)status, (void)failure;
    error_init(&err);
    if (transfer_answer_status(request, &err) == STATUS_OK)
        ask_take(ask, request);
    else
        ask_failed(ask, request, &err);
    transfer_request_fini(request);
    transfer_request_init(request);
    asker->under_way--;
    ask->node = NULL;
    for (size_t i = 0; i < ASK_KINDS; i++)
        busy = busy || asker->asks[slot * ASK_KINDS + i].node != NULL;
    if (!busy)
        ask_next(asker, slot);
    session_wake(asker->session);
}

static size_t ask_answer_max(enum ask_kind kind)
{
    return kind == ASK_MAP    ? MAP_JSON_SIZE_MAX
           : kind == ASK_RUNS ? SURVEY_LISTING_MAX
                              : SURVEY_ANSWER_MAX;
}

static void ask_start(struct ask *ask, struct survey_node *node, enum ask_kind kind)
{
    struct transfer_request *request = &ask->request;

    transfer_request_init(request);
    snprintf(ask->url, sizeof ask->url, "%s%s", node->url, ask_paths[kind]);
    request->method = "GET";
    request->url = ask->url;
    request->timeout_ms = kind == ASK_RUNS ? 0 : SURVEY_TIMEOUT_MS;
    request->stall_timeout_ms = SURVEY_STALL_MS;
    request->answer_max = ask_answer_max(kind);
    request->on_done = ask_on_done;
    if (session_sign(ask->asker->session, request, &node->err) != STATUS_OK)
        return;
    ask->node = node;
    ask->kind = kind;
    ask->asker->under_way++;
    transfer_start(ask->asker->session->transfer, request);
}

static void ask_next(struct asker *asker, size_t slot)
{
    if (asker->next >= asker->survey->nodes_count || asker->status != STATUS_OK)
        return;
    struct survey_node *node = &asker->survey->nodes[asker->next++];
    for (int kind = 0; kind < ASK_KINDS; kind++)
        ask_start(&asker->asks[slot * ASK_KINDS + (size_t)kind], node, (enum ask_kind)kind);
}

static void ask_cancel(struct asker *asker)
{
    asker->next = asker->survey->nodes_count; /* nobody else is asked */
    for (size_t i = 0; i < asker->slots * ASK_KINDS; i++) {
        if (asker->asks[i].node != NULL)
            transfer_cancel(&asker->asks[i].request);
    }
    while (asker->under_way > 0)
        transfer_run(asker->session->transfer, 0);
}

static enum status ask_all(struct asker *asker, struct error *err)
{
    struct gs_session *session = asker->session;
    enum status status = STATUS_OK;

    for (size_t slot = 0; slot < asker->slots; slot++) {
        for (size_t i = 0; i < ASK_KINDS; i++)
            asker->asks[slot * ASK_KINDS + i].asker = asker;
        ask_next(asker, slot);
    }
    while (asker->under_way > 0 && status == STATUS_OK && asker->status == STATUS_OK)
        status = session_wait(session, SURVEY_STALL_MS, err);
    if (asker->under_way > 0)
        ask_cancel(asker);
    if (status == STATUS_OK && asker->status != STATUS_OK) {
        *err = asker->err;
        status = asker->status;
    }
    return status;
}

/* ---- what the index has ---- */

static void survey_take_time(struct survey *survey, int64_t base_time)
{
    if (!survey->has_data || base_time < survey->oldest)
        survey->oldest = base_time;
    if (!survey->has_data || base_time > survey->newest)
        survey->newest = base_time;
    survey->has_data = true;
}

/* An indexer that does not answer is asked once: nodes say what they hold themselves. */
static enum status survey_index(struct gs_session *session, struct survey *survey, struct error *err)
{
    uint64_t retry_ms = session->retry_ms;
    struct run_list list = { 0 };
    int64_t base_time;

    session->retry_ms = 0;
    enum status status = run_list_get(session, NULL, &list, err);
    session->retry_ms = retry_ms;
    survey->index_known = status == STATUS_OK;
    for (size_t i = 0; i < list.count && status == STATUS_OK; i++) {
        if (strcmp(list.items[i].state, run_state_name(RUN_PURGED)) != 0 && list.items[i].messages > 0 &&
            base_time_parse(slice_text(list.items[i].base_time), &base_time, NULL) == STATUS_OK)
            survey_take_time(survey, base_time);
    }
    run_list_fini(&list);
    return status == STATUS_CANCELLED || status == STATUS_NO_MEMORY ? status : STATUS_OK;
}

/* ---- the whole ---- */

static int run_compare(const void *left, const void *right)
{
    const struct survey_run *a = left, *b = right;

    return run_key_compare(&a->key, &b->key);
}

static int holding_compare(const void *left, const void *right)
{
    const struct survey_holding *a = left, *b = right;

    if (a->run != b->run)
        return a->run < b->run ? -1 : 1;
    return (a->shard > b->shard) - (a->shard < b->shard);
}

/* Several files of a shard are one holding. */
static void node_order(struct survey_node *node)
{
    size_t count = 0;

    if (node->holdings_count > 0)
        qsort(node->holdings, node->holdings_count, sizeof node->holdings[0], holding_compare);
    node->messages = node->bytes = 0;
    for (size_t i = 0; i < node->holdings_count; i++) {
        struct survey_holding holding = node->holdings[i];
        node->messages += holding.messages;
        node->bytes += holding.bytes;
        if (count > 0 && holding_compare(&node->holdings[count - 1], &holding) == 0) {
            node->holdings[count - 1].messages += holding.messages;
            node->holdings[count - 1].bytes += holding.bytes;
        } else {
            node->holdings[count++] = holding;
        }
    }
    node->holdings_count = count;
}

enum status survey_order(struct survey *survey, struct error *err)
{
    uint32_t *now = calloc(survey->runs_count + 1, sizeof now[0]);

    if (now == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a survey");
    for (size_t i = 0; i < survey->runs_count; i++)
        survey->runs[i].was = (uint32_t)i;
    if (survey->runs_count > 0)
        qsort(survey->runs, survey->runs_count, sizeof survey->runs[0], run_compare);
    for (size_t i = 0; i < survey->runs_count; i++)
        now[survey->runs[i].was] = (uint32_t)i;
    for (size_t i = 0; i < survey->nodes_count; i++) {
        struct survey_node *node = &survey->nodes[i];
        for (size_t k = 0; k < node->holdings_count; k++) {
            node->holdings[k].run = now[node->holdings[k].run];
            if (!node->comes)
                survey_take_time(survey, survey->runs[node->holdings[k].run].key.base_time);
        }
        node_order(node);
    }
    free(now);
    return STATUS_OK;
}

static void survey_add_node(struct survey *survey, const struct map_node *of, bool comes)
{
    struct survey_node *node = &survey->nodes[survey->nodes_count++];

    node->comes = comes;
    snprintf(node->id, sizeof node->id, "%s", of->id);
    snprintf(node->url, sizeof node->url, "%s", of->url);
    error_init(&node->err);
    error_init(&node->listed_err);
}

static enum status survey_nodes(struct survey *survey, const struct cluster_map *map,
                                const struct map_node *comes, struct error *err)
{
    *survey = (struct survey){ .nodes = calloc(map->nodes_count + 2, sizeof survey->nodes[0]) };
    if (survey->nodes == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a survey");
    for (unsigned i = 0; i < map->nodes_count; i++)
        survey_add_node(survey, &map->nodes[i], false);
    if (comes != NULL)
        survey_add_node(survey, comes, true);
    return STATUS_OK;
}

enum status survey_run_all(struct gs_session *session, const struct cluster_map *map,
                           const struct map_node *comes, struct survey *survey, struct error *err)
{
    struct asker asker = { .session = session, .map = map, .survey = survey };

    enum status status = survey_nodes(survey, map, comes, err);
    if (status != STATUS_OK)
        return status;
    asker.slots = survey->nodes_count < SURVEY_AT_ONCE ? survey->nodes_count : SURVEY_AT_ONCE;
    asker.asks = calloc(asker.slots * ASK_KINDS + 1, sizeof asker.asks[0]);
    if (asker.asks == NULL)
        status = error_set(err, STATUS_NO_MEMORY, "no memory for a survey");
    else
        status = ask_all(&asker, err);
    free(asker.asks);
    if (status == STATUS_OK)
        status = survey_index(session, survey, err);
    if (status == STATUS_OK)
        status = survey_order(survey, err);
    if (status != STATUS_OK)
        survey_fini(survey);
    return status;
}

const struct survey_node *survey_find(const struct survey *survey, const char *id)
{
    for (size_t i = 0; i < survey->nodes_count; i++) {
        if (strcmp(survey->nodes[i].id, id) == 0)
            return &survey->nodes[i];
    }
    return NULL;
}

void survey_fini(struct survey *survey)
{
    for (size_t i = 0; i < survey->nodes_count; i++)
        free(survey->nodes[i].holdings);
    free(survey->nodes);
    free(survey->runs);
    *survey = (struct survey){ 0 };
}
