/* run_routes.c: runs over HTTP: list, one, check, ready, retire, reopen. */
#include "indexer/census.h"
#include "indexer/map_authority.h"
#include "indexer/node_fingerprint.h"
#include "indexer/run_state.h"
#include "indexer/sweep.h"
#include "indexer/work.h"
#include "proto/base/config.h"
#include "proto/base/json_read.h"
#include "proto/base/json_write.h"
#include "proto/digest_json.h"
#include "proto/http/http_auth.h"
#include "proto/node_api.h"

#include <assert.h>
#include <stdlib.h>

enum {
    RUN_BODY_MAX = 16 << 20,
    RUN_CHECK_BODY_MAX = HAVE_DIGESTS_MAX * 70 + 4096,
};

static void run_reply_failure(struct http_exchange *ex, enum status status, const struct error *err)
{
    struct error shown;

    error_init(&shown);
    status = work_status_shown(status, err, &shown);
    http_reply_error(ex, status, &shown, NULL);
}

/* The run of the path; an answer is sent when it is none. */
static bool run_of_path(struct http_exchange *ex, struct run_key *run)
{
    struct error err;

    error_init(&err);
    enum status status = run_key_parse(http_param(ex, "source"), http_param(ex, "base_time"), run, &err);
    if (status != STATUS_OK)
        http_reply_error(ex, status, &err, NULL);
    return status == STATUS_OK;
}

static void run_unknown(struct http_exchange *ex, const struct run_key *run)
{
    char name[RUN_TEXT_SIZE];
    struct error err;

    run_key_print(run, name);
    error_init(&err);
    error_set(&err, STATUS_NOT_FOUND, "there is no run %s in the index; GET /v1/runs lists them", name);
    http_reply_error(ex, STATUS_NOT_FOUND, &err, NULL);
}

static bool run_nodes_whole(const struct node_fingerprint *nodes)
{
    return nodes->shards_disagreed == 0 && nodes->shards_unanswered == 0;
}

static void run_print_nodes(struct json_writer *json, const struct node_fingerprint *nodes,
                            const struct census *census)
{
    char fingerprint[FINGERPRINT_TEXT_SIZE];
    bool whole = run_nodes_whole(nodes);

    json_key(json, "nodes");
    json_object_begin(json);
    if (whole) {
        digest_set_print(&nodes->set, fingerprint);
        json_put_string(json, "fingerprint", fingerprint);
    }
    json_put_bool(json, "equal", whole && run_holdings_same(&nodes->set, &census->fingerprint));
    json_put_u64(json, "shards_disagreed", nodes->shards_disagreed);
    json_put_u64(json, "shards_unanswered", nodes->shards_unanswered);
    json_put_u64(json, "nodes_unanswered", nodes->nodes_unanswered);
    json_object_end(json);
}

static void run_print(struct json_writer *json, const struct catalog_run *run,
                      const struct census *census, const struct node_fingerprint *nodes)
{
    char base_time[BASE_TIME_TEXT_SIZE], fingerprint[FINGERPRINT_TEXT_SIZE];

    base_time_print_rfc3339(run->run.base_time, base_time);
    digest_set_print(&census->fingerprint, fingerprint);
    json_object_begin(json);
    json_put_string(json, "source", run->run.source);
    json_put_string(json, "base_time", base_time);
    json_put_u64(json, "incarnation", run->info.incarnation);
    json_put_u64(json, "version", run->info.version);
    json_put_string(json, "state", run_state_name(run->info.state));
    json_put_u64(json, "messages", census->messages);
    json_put_u64(json, "fields", census->fields);
    json_put_u64(json, "bytes", census->bytes);
    json_put_u64(json, "quarantined", census->quarantined);
    json_put_string(json, "fingerprint", fingerprint);
    json_put_time(json, "ready_at", run->ready_at_us);
    json_put_time(json, "retired_at", run->retired_at_us);
    json_put_time(json, "purged_at", run->purged_at_us);
    if (nodes != NULL)
        run_print_nodes(json, nodes, census);
    json_object_end(json);
}

/* --- one run --- */

struct run_one {
    struct http_exchange *exchange;
    struct indexer *indexer;
    struct catalog_run run;
    struct census_request census;
    struct run_state_change change;
    bool asks_nodes;
    struct node_fingerprint nodes;
};

static void run_on_census(struct census_request *request, enum status status,
                          const struct census *census, const struct error *err)
{
    struct run_one *one = container_of(request, struct run_one, census);
    struct json_writer json;
    struct buf body;

    if (status != STATUS_OK) {
        run_reply_failure(one->exchange, status, err);
    } else {
        buf_init(&body, RUN_BODY_MAX);
        json_init(&json, &body);
        run_print(&json, &one->run, census, one->asks_nodes ? &one->nodes : NULL);
        if (one->asks_nodes && run_nodes_whole(&one->nodes) &&
            !run_holdings_same(&one->nodes.set, &census->fingerprint))
            sweep_differs(one->indexer, &one->run.run);
        http_reply_header(one->exchange, "Cache-Control", "no-store");
        http_reply(one->exchange, 200, "application/json", &body);
    }
    free(one);
}

static void run_answer(struct run_one *one)
{
    one->census = (struct census_request){ .run = one->run.run, .on_done = run_on_census };
    census_take(one->indexer, &one->census);
}

static struct run_one *run_one_new(struct http_exchange *ex)
{
    struct run_one *one = calloc(1, sizeof *one);

    assert(one != NULL);
    one->exchange = ex;
    one->indexer = http_context(ex);
    return one;
}

/* The nodes first: what they took in meanwhile the index may have, and a run that is written to is not equal anyway. */
static void run_on_nodes(void *data, enum status status, const struct node_fingerprint *found)
{
    struct run_one *one = data;
    struct error err;

    if (status == STATUS_OK) {
        one->nodes = *found;
        one->nodes.held = NULL; /* borrowed */
        run_answer(one);
        return;
    }
    error_init(&err);
    error_set(&err, status, "no cluster map yet: %s", map_authority_why(one->indexer));
    http_reply_error(one->exchange, status, &err, NULL);
    free(one);
}

void run_get_route(struct http_exchange *ex)
{
    struct slice asks = http_query(ex, "fingerprint");
    struct run_one *one;
    struct run_key run;

    if (!run_of_path(ex, &run))
        return;
    one = run_one_new(ex);
    if (!run_state_get(one->indexer, &run, &one->run)) {
        run_unknown(ex, &run);
        free(one);
        return;
    }
    one->asks_nodes = slice_equals(asks, "1");
    if (one->asks_nodes)
        node_fingerprint_take(one->indexer, &run, run_on_nodes, one);
    else
        run_answer(one);
}

/* --- ready, retire, reopen --- */

static void run_on_changed(struct run_state_change *change, enum status status,
                           const struct catalog_run *run, const struct error *err)
{
    struct run_one *one = container_of(change, struct run_one, change);

    if (status != STATUS_OK) {
        run_reply_failure(one->exchange, status, err);
        free(one);
        return;
    }
    one->run = *run;
    run_answer(one);
}

static void run_change(struct http_exchange *ex, enum run_state to, bool reopen, uint64_t grace_ms)
{
    struct run_key run;

    if (!run_of_path(ex, &run))
        return;
    struct run_one *one = run_one_new(ex);
    one->change = (struct run_state_change){
        .run = run, .to = to, .reopen = reopen, .grace_ms = grace_ms, .on_done = run_on_changed
    };
    run_state_change(one->indexer, &one->change);
}

void run_ready_route(struct http_exchange *ex)
{
    run_change(ex, RUN_READY, false, 0);
}

void run_retire_route(struct http_exchange *ex)
{
    const struct indexer *indexer = http_context(ex);
    uint64_t grace_ms = indexer->settings->grace_ms;
    struct slice text = http_query(ex, "grace");
    char grace[32];
    struct error err;

    if (text.data != NULL) {
        bool fits = text.size < sizeof grace;
        snprintf(grace, sizeof grace, "%.*s", (int)(fits ? text.size : 0), (const char *)text.data);
        if (!fits || config_parse_duration(grace, &grace_ms) != 0) {
            error_init(&err);
            error_set(&err, STATUS_BAD_VALUE, "grace: not a duration such as 60s, 15min, 2h");
            http_reply_error(ex, STATUS_BAD_VALUE, &err, NULL);
            return;
        }
    }
    run_change(ex, RUN_RETIRED, false, grace_ms);
}

void run_reopen_route(struct http_exchange *ex)
{
    run_change(ex, RUN_FILLING, true, 0);
}

/* --- the list --- */

struct run_list {
    struct http_exchange *exchange;
    struct indexer *indexer;
    struct catalog_run *runs; /* owned */
    size_t count, capacity, next;
    char source[SOURCE_SIZE_MAX + 1];
    enum run_state state; /* 0: any */
    struct census_request census;
    struct buf body;
    struct json_writer json;
};

static bool run_list_add(void *data, const struct catalog_run *run)
{
    struct run_list *list = data;

    if (list->source[0] != '\0' && strcmp(list->source, run->run.source) != 0)
        return true;
    if (!http_allows_source(list->exchange, slice_text(run->run.source)))
        return true;
    if (list->state != 0 && list->state != run->info.state)
        return true;
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 64 : 2 * list->capacity;
        list->runs = realloc(list->runs, list->capacity * sizeof *list->runs);
        assert(list->runs != NULL);
    }
    list->runs[list->count++] = *run;
    return true;
}

static int run_list_compare(const void *a, const void *b)
{
    const struct catalog_run *left = a, *right = b;
    return run_key_compare(&left->run, &right->run);
}

static void run_list_free(struct run_list *list)
{
    buf_fini(&list->body);
    free(list->runs);
    free(list);
}

static void run_list_next(struct run_list *list);

static void run_list_on_census(struct census_request *request, enum status status,
                               const struct census *census, const struct error *err)
{
    struct run_list *list = container_of(request, struct run_list, census);

    if (status != STATUS_OK) {
        run_reply_failure(list->exchange, status, err);
        run_list_free(list);
        return;
    }
    run_print(&list->json, &list->runs[list->next++], census, NULL);
    run_list_next(list);
}

static void run_list_next(struct run_list *list)
{
    if (list->next < list->count) {
        list->census = (struct census_request){ .run = list->runs[list->next].run,
                                                .on_done = run_list_on_census };
        census_take(list->indexer, &list->census);
        return;
    }
    json_array_end(&list->json);
    json_object_end(&list->json);
    http_reply_header(list->exchange, "Cache-Control", "no-store");
    http_reply(list->exchange, 200, "application/json", &list->body);
    run_list_free(list);
}

static enum status run_list_filter(struct http_exchange *ex, struct run_list *list, struct error *err)
{
    struct slice source = http_query(ex, "source"), state = http_query(ex, "state");
    char name[16];

    if (source.data != NULL) {
        if (!source_valid(source))
            return error_set(err, STATUS_BAD_VALUE, "source: [a-z0-9][a-z0-9._-]{0,63}");
        snprintf(list->source, sizeof list->source, "%.*s", (int)source.size, (const char *)source.data);
    }
    if (state.data != NULL) {
        snprintf(name, sizeof name, "%.*s", (int)(state.size < sizeof name ? state.size : 0),
                 (const char *)state.data);
        if (!run_state_parse(name, &list->state))
            return error_set(err, STATUS_BAD_VALUE, "state: filling, ready, retired or purged");
    }
    return STATUS_OK;
}

void run_list_route(struct http_exchange *ex)
{
    struct slice source = http_query(ex, "source");
    struct error err;

    if (source.data != NULL && !http_allows_source(ex, source)) {
        http_refuse_source(ex);
        return;
    }
    struct run_list *list = calloc(1, sizeof *list);
    assert(list != NULL);
    list->exchange = ex;
    list->indexer = http_context(ex);
    buf_init(&list->body, RUN_BODY_MAX);
    error_init(&err);
    enum status status = run_list_filter(ex, list, &err);
    if (status != STATUS_OK) {
        http_reply_error(ex, status, &err, NULL);
        run_list_free(list);
        return;
    }
    run_state_each(list->indexer, run_list_add, list);
    if (list->count > 0)
        qsort(list->runs, list->count, sizeof *list->runs, run_list_compare);
    json_init(&list->json, &list->body);
    json_object_begin(&list->json);
    json_key(&list->json, "runs");
    json_array_begin(&list->json);
    run_list_next(list);
}

/* --- check: which of these digests has the index, with how many copies --- */

struct run_check {
    struct http_exchange *exchange;
    struct indexer *indexer;
    struct digest *digests;        /* owned */
    struct census_digest *answers; /* owned */
    size_t count;
    unsigned replicas;
    struct census_request census;
};

static void run_check_free(struct run_check *check)
{
    free(check->digests);
    free(check->answers);
    free(check);
}

enum run_check_list { CHECK_MISSING, CHECK_UNDER_REPLICATED, CHECK_QUARANTINED };

static bool run_check_belongs(const struct run_check *check, const struct census_digest *answer,
                              enum run_check_list list)
{
    switch (list) {
    case CHECK_MISSING:
        return !answer->known;
    case CHECK_UNDER_REPLICATED:
        return answer->known && answer->copies < check->replicas;
    case CHECK_QUARANTINED:
        return answer->quarantined;
    }
    return false;
}

static void run_check_print(const struct run_check *check, struct json_writer *json,
                            const char *key, enum run_check_list list)
{
    char text[DIGEST_TEXT_SIZE];

    json_key(json, key);
    json_array_begin(json);
    for (size_t i = 0; i < check->count; i++) {
        if (!run_check_belongs(check, &check->answers[i], list))
            continue;
        digest_print(&check->digests[i], text);
        json_text(json, text);
    }
    json_array_end(json);
}

static void run_check_on_census(struct census_request *request, enum status status,
                                const struct census *census, const struct error *err)
{
    struct run_check *check = container_of(request, struct run_check, census);
    struct json_writer json;
    struct buf body;

    (void)census;
    if (status != STATUS_OK) {
        run_reply_failure(check->exchange, status, err);
    } else {
        buf_init(&body, 3 * (size_t)RUN_CHECK_BODY_MAX);
        json_init(&json, &body);
        json_object_begin(&json);
        run_check_print(check, &json, "missing", CHECK_MISSING);
        run_check_print(check, &json, "under_replicated", CHECK_UNDER_REPLICATED);
        run_check_print(check, &json, "quarantined", CHECK_QUARANTINED);
        json_object_end(&json);
        http_reply_header(check->exchange, "Cache-Control", "no-store");
        http_reply(check->exchange, 200, "application/json", &body);
    }
    run_check_free(check);
}

static enum status run_check_parse(struct run_check *check, struct slice body, struct error *err)
{
    json_t *value = NULL, *list;

    enum status status = json_parse(body.data, body.size, &value, err);
    if (status == STATUS_OK)
        status = json_get_array(value, "digests", &list, err);
    if (status == STATUS_OK && json_array_size(list) > HAVE_DIGESTS_MAX)
        status = error_set(err, STATUS_TOO_LARGE, "digests: %zu, at most %d at once",
                           json_array_size(list), HAVE_DIGESTS_MAX);
    if (status == STATUS_OK) {
        check->count = json_array_size(list);
        check->digests = calloc(check->count + 1, sizeof *check->digests);
        check->answers = calloc(check->count + 1, sizeof *check->answers);
        assert(check->digests != NULL && check->answers != NULL);
    }
    for (size_t i = 0; status == STATUS_OK && i < check->count; i++)
        status = digest_json_item(list, "digests", i, &check->digests[i], err);
    json_decref(value);
    return status;
}

static void run_check_on_body(struct http_exchange *ex, enum status status, struct slice body)
{
    struct run_check *check = http_user(ex);
    struct run_key run;
    struct error err;

    error_init(&err);
    if (status != STATUS_OK)
        error_set(&err, status, "the digests: %s", status_title(status));
    else
        status = run_check_parse(check, body, &err);
    if (status == STATUS_OK)
        status = run_key_parse(http_param(ex, "source"), http_param(ex, "base_time"), &run, &err);
    if (status != STATUS_OK) {
        http_reply_error(ex, status, &err, NULL);
        run_check_free(check);
        return;
    }
    check->census = (struct census_request){ .run = run,
                                             .digests = check->digests,
                                             .digests_count = check->count,
                                             .answers = check->answers,
                                             .on_done = run_check_on_census };
    census_take(check->indexer, &check->census);
}

void run_check_route(struct http_exchange *ex)
{
    struct indexer *indexer = http_context(ex);
    const struct cluster_map *map = map_authority_map(indexer);
    struct run_check *check;
    struct error err;

    if (map == NULL) {
        error_init(&err);
        error_set(&err, STATUS_NOT_READY, "no cluster map yet: %s", map_authority_why(indexer));
        http_reply_error(ex, STATUS_NOT_READY, &err, NULL);
        return;
    }
    check = calloc(1, sizeof *check);
    assert(check != NULL);
    check->exchange = ex;
    check->indexer = indexer;
    check->replicas = map->replicas < map->nodes_count ? map->replicas : map->nodes_count;
    http_set_user(ex, check, NULL);
    http_body_gather(ex, RUN_CHECK_BODY_MAX, run_check_on_body);
}
