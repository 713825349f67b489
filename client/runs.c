/* runs.c: runs as the indexer tells them. */
#include "client/runs.h"

#include "client/call.h"
#include "client/indexer_api.h"
#include "client/query.h"
#include "proto/base/json_read.h"
#include "proto/base/json_write.h"
#include "proto/digest_json.h"
#include "proto/node_api.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    RUN_PATH_MAX = 512,
    RUN_CHECK_SIZE_MAX = 16 << 20,
    RUN_CHECK_COUNT = HAVE_DIGESTS_MAX /* each question costs the indexer one look at the whole run */
};

/* ---- one run ---- */

static enum status run_text(const json_t *json, const char *key, const char *missing, char *to,
                            size_t size, struct error *err)
{
    const char *text;
    enum status status = missing == NULL ? json_get_string(json, key, &text, err)
                                         : json_opt_string(json, key, missing, &text, err);

    if (status != STATUS_OK)
        return status;
    if (strlen(text) >= size)
        return error_set(err, STATUS_BAD_VALUE, "%s: too long", key);
    snprintf(to, size, "%s", text);
    return STATUS_OK;
}

enum status run_from_json(const json_t *json, struct gs_run *run, struct error *err)
{
    static const struct {
        const char *key;
        size_t offset;
    } numbers[] = {
        { "incarnation", offsetof(struct gs_run, incarnation) },
        { "version", offsetof(struct gs_run, version) },
        { "messages", offsetof(struct gs_run, messages) },
        { "fields", offsetof(struct gs_run, fields) },
        { "bytes", offsetof(struct gs_run, bytes) },
        { "quarantined", offsetof(struct gs_run, quarantined) },
    };
    char base_time[64];
    int64_t seconds;

    *run = (struct gs_run){ 0 };
    enum status status = run_text(json, "source", NULL, run->source, sizeof run->source, err);
    if (status == STATUS_OK)
        status = run_text(json, "base_time", NULL, base_time, sizeof base_time, err);
    if (status == STATUS_OK)
        status = base_time_parse(slice_text(base_time), &seconds, err);
    if (status == STATUS_OK)
        status = run_text(json, "state", NULL, run->state, sizeof run->state, err);
    if (status == STATUS_OK)
        status = run_text(json, "fingerprint", "", run->fingerprint, sizeof run->fingerprint, err);
    for (size_t i = 0; i < ARRAY_COUNT(numbers) && status == STATUS_OK; i++)
        status = json_opt_u64(json, numbers[i].key, INT64_MAX, 0,
                              (uint64_t *)((char *)run + numbers[i].offset), err);
    if (status == STATUS_OK)
        base_time_print(seconds, run->base_time);
    return error_of_answer(status, err, "the indexer's answer: a run");
}

enum status run_ask(struct gs_session *session, const struct run_key *key, const char *action,
                    struct gs_run *run, struct error *err)
{
    struct call call = { .to = CALL_INDEXERS, .method = action == NULL ? "GET" : "POST" };
    char name[RUN_TEXT_SIZE], path[RUN_PATH_MAX];
    json_t *json = NULL;

    run_key_print(key, name);
    snprintf(path, sizeof path, INDEXER_RUNS_PATH "/%s%s%s", name, action == NULL ? "" : "/",
             action == NULL ? "" : action);
    call.path = path;
    enum status status = call_json(session, &call, &json, err);
    if (status == STATUS_OK && json == NULL)
        status = error_set(err, STATUS_MALFORMED, "the indexer's answer is empty");
    if (status == STATUS_OK)
        status = run_from_json(json, run, err);
    json_decref(json);
    return status == STATUS_OK ? status : error_wrap(err, "run %s", name);
}

/* ---- all runs of a source ---- */

void run_list_fini(struct run_list *list)
{
    free(list->items);
    *list = (struct run_list){ 0 };
}

static int run_order(const void *a, const void *b)
{
    const struct gs_run *left = a, *right = b;
    struct run_key left_key, right_key;
    struct error err;

    if (run_key_parse(slice_text(left->source), slice_text(left->base_time), &left_key, &err) != STATUS_OK ||
        run_key_parse(slice_text(right->source), slice_text(right->base_time), &right_key, &err) != STATUS_OK)
        return 0; /* run_from_json() let both through */
    return run_key_compare(&left_key, &right_key);
}

static enum status run_list_read(const json_t *json, const char *source, struct run_list *list,
                                 struct error *err)
{
    json_t *runs, *item;
    size_t i;

    enum status status = json_get_array(json, "runs", &runs, err);
    if (status != STATUS_OK)
        return error_of_answer(status, err, "the indexer's answer");
    list->items = calloc(json_array_size(runs) + 1, sizeof *list->items);
    if (list->items == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the list of runs");
    json_array_foreach (runs, i, item) {
        status = run_from_json(item, &list->items[list->count], err);
        if (status != STATUS_OK)
            return status;
        if (source == NULL || strcmp(list->items[list->count].source, source) == 0)
            list->count++;
    }
    qsort(list->items, list->count, sizeof *list->items, run_order);
    return STATUS_OK;
}

enum status run_list_get(struct gs_session *session, const char *source, struct run_list *list,
                         struct error *err)
{
    struct call call = { .to = CALL_INDEXERS, .method = "GET", .answer_max = INDEXER_ANSWER_MAX };
    struct buf path;
    json_t *json = NULL;

    *list = (struct run_list){ 0 };
    buf_init(&path, RUN_PATH_MAX);
    buf_text(&path, INDEXER_RUNS_PATH);
    if (source != NULL) {
        buf_text(&path, "?source=");
        url_escape(&path, slice_text(source));
    }
    call.path = buf_string(&path);
    enum status status = call_json(session, &call, &json, err);
    if (status == STATUS_OK)
        status = run_list_read(json, source, list, err);
    if (status != STATUS_OK)
        run_list_fini(list);
    json_decref(json);
    buf_fini(&path);
    return status;
}

/* How many of the sorted base_times are less than this one. */
static size_t base_times_before(int64_t base_time, const int64_t *sorted, size_t count)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (sorted[middle] < base_time)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void runs_past_retention(const struct run_list *list, unsigned keep, const int64_t *pushed,
                         size_t pushed_count, bool *retire)
{
    size_t ready = 0; /* newer than the run looked at; those pushed are counted apart, whatever the list says */

    for (size_t i = list->count; i > 0; i--) {
        const struct gs_run *run = &list->items[i - 1];
        bool is_ready = strcmp(run->state, "ready") == 0;
        int64_t base_time;

        retire[i - 1] = false;
        if (base_time_parse(slice_text(run->base_time), &base_time, NULL) != STATUS_OK ||
            (!is_ready && strcmp(run->state, "filling") != 0))
            continue;
        size_t before = base_times_before(base_time, pushed, pushed_count);
        if (before < pushed_count && pushed[before] == base_time)
            continue;
        retire[i - 1] = ready + (pushed_count - before) >= keep;
        ready += is_ready;
    }
}

/* ---- check ---- */

static void check_write(const struct digest *digests, size_t count, struct buf *body)
{
    struct json_writer json;

    json_init(&json, body);
    json_object_begin(&json);
    digest_json_put(&json, "digests", digests, count);
    json_object_end(&json);
}

/* Appends the digests listed under key to list, which has room for so many. */
static enum status check_member(const json_t *json, const char *key, struct digest *list,
                                size_t room, size_t *count, struct error *err)
{
    json_t *array, *item;
    size_t i;

    enum status status = json_get_array(json, key, &array, err);
    if (status != STATUS_OK)
        return error_of_answer(status, err, "the indexer's answer");
    json_array_foreach (array, i, item) {
        if (*count == room || !json_is_string(item) ||
            !digest_parse(slice_text(json_string_value(item)), &list[*count]))
            return error_set(err, STATUS_MALFORMED,
                             "the indexer's answer: %s[%zu] is no digest of the request", key, i);
        (*count)++;
    }
    return STATUS_OK;
}

/* left, with room for count digests, gets those that are not there yet: a digest is in one of the lists at most. An answer
 * without the lists says nothing, and nothing is taken for there. */
enum status run_check_read(const json_t *json, size_t count, struct digest *left,
                           size_t *left_count, struct error *err)
{
    *left_count = 0;
    enum status status = check_member(json, "missing", left, count, left_count, err);
    if (status == STATUS_OK)
        status = check_member(json, "under_replicated", left, count, left_count, err);
    return status;
}

static enum status check_some(struct gs_session *session, const struct run_key *key,
                              const struct digest *digests, size_t count, struct digest *left,
                              size_t *left_count, struct error *err)
{
    struct call call = { .to = CALL_INDEXERS, .method = "POST", .answer_max = INDEXER_ANSWER_MAX };
    char name[RUN_TEXT_SIZE], path[RUN_PATH_MAX];
    struct buf body;
    json_t *json = NULL;

    run_key_print(key, name);
    snprintf(path, sizeof path, INDEXER_RUNS_PATH "/%s/check", name);
    buf_init(&body, RUN_CHECK_SIZE_MAX);
    check_write(digests, count, &body);
    call.path = path;
    call.body = slice_of(body.data, body.size);
    enum status status = buf_status(&body) == STATUS_OK
                             ? call_json(session, &call, &json, err)
                             : error_set(err, STATUS_NO_MEMORY, "no memory for a request");
    if (status == STATUS_OK)
        status = run_check_read(json, count, left, left_count, err);
    json_decref(json);
    buf_fini(&body);
    return status;
}

enum status run_check(struct gs_session *session, const struct run_key *key, struct digest *digests,
                      size_t *count, struct error *err)
{
    struct digest *left = malloc(RUN_CHECK_COUNT * sizeof *left);
    size_t kept = 0;
    enum status status = left != NULL ? STATUS_OK
                                      : error_set(err, STATUS_NO_MEMORY, "no memory for a request");

    for (size_t at = 0; at < *count && status == STATUS_OK;) {
        size_t some = *count - at < RUN_CHECK_COUNT ? *count - at : RUN_CHECK_COUNT, left_count = 0;

        status = check_some(session, key, digests + at, some, left, &left_count, err);
        if (status == STATUS_OK) {
            memcpy(digests + kept, left, left_count * sizeof *left); /* kept <= at, left_count <= some */
            kept += left_count;
        }
        at += some;
    }
    free(left);
    if (status == STATUS_OK)
        *count = kept;
    return status;
}

/* ---- the public face ---- */

enum gs_status gs_runs(struct gs_session *session, const char *source,
                       int (*on_run)(void *user, const struct gs_run *run), void *user,
                       struct gs_error *error)
{
    struct run_list list;
    struct error err;

    error_init(&err);
    enum status status = run_list_get(session, source, &list, &err);
    for (size_t i = 0; status == STATUS_OK && i < list.count; i++) {
        if (on_run(user, &list.items[i]) != 0)
            break;
    }
    run_list_fini(&list);
    return gs_error_fill(error, status, &err);
}

static enum gs_status run_act(struct gs_session *session, const char *source, const char *base_time,
                              const char *action, struct gs_run *run, struct gs_error *error)
{
    struct run_key key;
    struct gs_run local;
    struct error err;

    error_init(&err);
    enum status status = run_key_parse(slice_text(source), slice_text(base_time), &key, &err);
    if (status == STATUS_OK)
        status = run_ask(session, &key, action, run != NULL ? run : &local, &err);
    return gs_error_fill(error, status, &err);
}

enum gs_status gs_run(struct gs_session *session, const char *source, const char *base_time,
                      struct gs_run *run, struct gs_error *error)
{
    return run_act(session, source, base_time, NULL, run, error);
}

enum gs_status gs_run_ready(struct gs_session *session, const char *source, const char *base_time,
                            struct gs_run *run, struct gs_error *error)
{
    return run_act(session, source, base_time, "ready", run, error);
}

enum gs_status gs_run_retire(struct gs_session *session, const char *source, const char *base_time,
                             uint64_t grace_ms, struct gs_run *run, struct gs_error *error)
{
    char action[64];

    snprintf(action, sizeof action, "retire?grace=%llums", (unsigned long long)grace_ms);
    return run_act(session, source, base_time, action, run, error);
}
