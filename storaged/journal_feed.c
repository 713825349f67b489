/* journal_feed.c: two jobs on the thread pool, and a line of those who wait for a change.
 *
 * SEQ is `{boot id}.{counter}` of the store: with another boot id, or a counter that is ahead of it, the listing is full. A
 * poll that has nothing to say waits, in the loop's line, until the store's counter moves or its time is over. */
#include "storaged/journal_feed.h"

#include "storaged/node.h"
#include "storaged/request.h"
#include "storaged/work.h"

#include "proto/node_api.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { RUNS_SIZE_MAX = 512 << 20, HEX_ID_SIZE = 16 };

static bool parse_id(struct slice text, uint64_t *id)
{
    uint8_t bytes[8];

    if (text.size != HEX_ID_SIZE ||
        hex_parse((const char *)text.data, text.size, bytes, sizeof bytes) != 0)
        return false;
    *id = get_u64(bytes);
    return true;
}

/* --- the runs --- */

struct runs_poll {
    struct work work;
    struct list list; /* of those who wait */
    struct http_exchange *ex;
    struct node_loop *loop;
    bool full;
    uint64_t since;
    uint64_t deadline_ms;
    struct buf body;
};

static void print_run(struct json_writer *json, const struct store_run_info *info)
{
    char id[HEX_ID_SIZE + 1];

    json_object_begin(json);
    request_print_run(json, &info->run, &info->info);
    snprintf(id, sizeof id, "%016" PRIx64, info->journal_id);
    json_put_string(json, "journal", info->journal_id == 0 ? NULL : id);
    json_put_u64(json, "records", info->records);
    json_key(json, "files");
    json_array_begin(json);
    for (unsigned i = 0; i < info->files_count; i++) {
        const struct store_file_info *file = &info->files[i];
        snprintf(id, sizeof id, "%016" PRIx64, file->birth);
        json_object_begin(json);
        json_put_u64(json, "shard", file->shard);
        json_put_string(json, "birth", id);
        json_put_u64(json, "size", file->size);
        json_put_u64(json, "count", file->count);
        json_object_end(json);
    }
    json_array_end(json);
    json_object_end(json);
}

static void runs_run(struct work *work)
{
    struct runs_poll *poll = container_of(work, struct runs_poll, work);
    struct store *store = poll->loop->node->store;
    struct store_run_info *runs = NULL;
    size_t count = 0;
    uint64_t counter = 0;
    struct json_writer json;

    buf_init(&poll->body, RUNS_SIZE_MAX);
    if (store_runs(store, poll->full ? 0 : poll->since, &runs, &count, &counter) != STATUS_OK)
        abort(); /* out of memory */
    json_init(&json, &poll->body);
    json_object_begin(&json);
    json_key(&json, "seq");
    json_format(&json, "%016" PRIx64 ".%" PRIu64, store_boot_id(store), counter);
    json_put_bool(&json, "full", poll->full);
    if (node_phase(poll->loop->node) == NODE_JOINING)
        json_put_bool(&json, "joining", true); /* states of runs may be missing */
    json_key(&json, "runs");
    json_array_begin(&json);
    for (size_t i = 0; i < count; i++)
        print_run(&json, &runs[i]);
    json_array_end(&json);
    json_object_end(&json);
    store_runs_free(runs, count);
}

static void runs_done(struct work *work)
{
    struct runs_poll *poll = container_of(work, struct runs_poll, work);

    request_reply_json(poll->ex, 200, &poll->body);
    buf_fini(&poll->body);
    free(poll);
}

static void poll_answer(struct runs_poll *poll)
{
    struct error err;

    error_init(&err);
    if (work_start(&poll->work, poll->loop, runs_run, runs_done, &err) == STATUS_OK)
        return;
    request_fail(poll->ex, &err);
    free(poll);
}

/* Those whose time is over. Waits differ, so the line is looked through; it is short. */
static void feed_on_timer(uv_timer_t *timer)
{
    struct node_loop *loop = timer->data;
    uint64_t now = uv_now(&loop->uv);

    list_for_each_safe (item, after, &loop->feed_waiting) {
        struct runs_poll *poll = container_of(item, struct runs_poll, list);
        if (poll->deadline_ms > now && !http_gone(poll->ex))
            continue;
        list_remove(item);
        poll_answer(poll);
    }
    if (list_empty(&loop->feed_waiting))
        uv_timer_stop(timer);
}

static void poll_wait(struct runs_poll *poll, uint64_t wait_s)
{
    struct node_loop *loop = poll->loop;
    enum { TICK_MS = 250 };

    poll->deadline_ms = uv_now(&loop->uv) + wait_s * 1000;
    list_append(&loop->feed_waiting, &poll->list);
    loop->feed_timer.data = loop;
    if (!uv_is_active((uv_handle_t *)&loop->feed_timer))
        uv_timer_start(&loop->feed_timer, feed_on_timer, TICK_MS, TICK_MS);
}

void journal_feed_changed(struct node_loop *loop)
{
    struct list waiting;

    list_init(&waiting);
    list_splice(&waiting, &loop->feed_waiting);
    uv_timer_stop(&loop->feed_timer);
    while (!list_empty(&waiting)) {
        struct runs_poll *poll = list_first(&waiting, struct runs_poll, list);
        list_remove(&poll->list);
        poll_answer(poll);
    }
}

/* Is SEQ one of ours? Otherwise the listing is full. */
static bool parse_since(struct slice text, struct store *store, uint64_t *since)
{
    uint64_t boot;

    if (text.size < HEX_ID_SIZE + 2 || text.data[HEX_ID_SIZE] != '.' ||
        !parse_id(slice_of(text.data, HEX_ID_SIZE), &boot) || boot != store_boot_id(store))
        return false;
    return decimal_parse((const char *)text.data + HEX_ID_SIZE + 1, text.size - HEX_ID_SIZE - 1,
                         UINT64_MAX, since) == 0 &&
           *since <= store_counter(store);
}

static unsigned count_waiting(const struct node_loop *loop)
{
    unsigned count = 0;

    list_for_each (item, &loop->feed_waiting)
        count++;
    return count;
}

void journal_feed_runs(struct http_exchange *ex)
{
    static const char *const keys[] = { "since", "wait", NULL };
    struct node_loop *loop = request_loop(ex);
    struct store *store = loop->node->store;
    uint64_t wait;

    if (!request_keys_known(ex, keys) || !request_query_u64(ex, "wait", FEED_WAIT_DEFAULT_S, &wait))
        return;
    struct runs_poll *poll = calloc(1, sizeof *poll);
    if (poll == NULL)
        abort();
    poll->ex = ex;
    poll->loop = loop;
    list_init(&poll->list);
    poll->full = !parse_since(http_query(ex, "since"), store, &poll->since);
    if (wait > FEED_WAIT_MAX_S)
        wait = FEED_WAIT_MAX_S;
    bool news = poll->full || store_counter(store) > poll->since;
    if (news || wait == 0 || loop->draining || count_waiting(loop) >= FEED_WAITERS_MAX)
        poll_answer(poll);
    else
        poll_wait(poll, wait);
}

/* --- the records --- */

struct records_job {
    struct work work;
    struct http_exchange *ex;
    struct store *store;
    struct run_key run;
    uint64_t journal_id, from, count;
    bool has_check;
    uint32_t check;
    struct buf records;
    uint64_t total;
    enum status status;
    struct error err;
};

static void records_run(struct work *work)
{
    struct records_job *job = container_of(work, struct records_job, work);

    job->status = store_journal_read(job->store, &job->run, job->journal_id, job->from,
                                     job->has_check, job->check, (size_t)job->count, &job->records,
                                     &job->total, &job->err);
}

static void records_done(struct work *work)
{
    struct records_job *job = container_of(work, struct records_job, work);

    if (job->status != STATUS_OK) {
        request_fail(job->ex, &job->err);
    } else {
        http_reply_header(job->ex, HEADER_JOURNAL, "%016" PRIx64, job->journal_id);
        http_reply_header(job->ex, HEADER_RECORDS, "%" PRIu64, job->total);
        http_reply_header(job->ex, "Cache-Control", "no-store");
        http_reply(job->ex, 200, TYPE_OCTETS, &job->records);
    }
    buf_fini(&job->records);
    free(job);
}

/* journal, from, check and count of the query. false: it has replied. */
static bool records_query(struct http_exchange *ex, struct records_job *job)
{
    uint64_t check;

    if (!parse_id(http_query(ex, "journal"), &job->journal_id)) {
        request_fail_with(ex, STATUS_BAD_VALUE,
                          "journal: 16 lower-case hex digits, as /cluster/runs names it");
        return false;
    }
    if (!request_query_u64(ex, "from", 0, &job->from) ||
        !request_query_u64(ex, "check", UINT64_MAX, &check) ||
        !request_query_u64(ex, "count", FEED_RECORDS_MAX, &job->count))
        return false;
    job->has_check = check != UINT64_MAX;
    if (job->has_check && check > UINT32_MAX) {
        request_fail_with(ex, STATUS_BAD_VALUE,
                          "check: the checksum of record from - 1, a number of 32 bits");
        return false;
    }
    job->check = (uint32_t)check;
    if (job->count == 0 || job->count > FEED_RECORDS_MAX)
        job->count = FEED_RECORDS_MAX;
    return true;
}

void journal_feed_records(struct http_exchange *ex)
{
    static const char *const keys[] = { "journal", "from", "check", "count", NULL };
    struct records_job query = { .ex = ex, .store = request_loop(ex)->node->store };
    struct error err;

    if (!request_keys_known(ex, keys) || !request_run(ex, &query.run) || !records_query(ex, &query))
        return;
    struct records_job *job = malloc(sizeof *job);
    if (job == NULL)
        abort();
    *job = query;
    buf_init(&job->records, (size_t)FEED_RECORDS_MAX * JOURNAL_RECORD_SIZE);
    error_init(&job->err);
    error_init(&err);
    if (work_start(&job->work, request_loop(ex), records_run, records_done, &err) == STATUS_OK)
        return;
    request_fail(ex, &err);
    free(job);
}
