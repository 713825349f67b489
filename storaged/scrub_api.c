/* scrub_api.c: asks the store's scrub, and says what it says as JSON. */
#include "storaged/scrub_api.h"

#include "storaged/node.h"
#include "storaged/node_metrics.h"
#include "storaged/request.h"

#include "proto/base/clock.h"
#include "proto/node_api.h"

enum { SCRUB_ANSWER_MAX = 1 << 20 };

/* RFC 3339, or null for what was not yet. */
static void print_time(struct json_writer *json, const char *key, uint64_t time_us)
{
    char text[CLOCK_TEXT_SIZE];

    if (time_us > 0)
        clock_print_rfc3339((int64_t)time_us, text);
    json_put_string(json, key, time_us > 0 ? text : NULL);
}

static void print_pass(struct json_writer *json, const char *key, const struct store_scrub_pass *pass)
{
    json_key(json, key);
    if (pass->begun_us == 0) {
        json_none(json);
        return;
    }
    json_object_begin(json);
    print_time(json, "begun", pass->begun_us);
    print_time(json, "completed", pass->completed_us);
    json_put_u64(json, "messages", pass->messages);
    json_put_u64(json, "bytes", pass->bytes);
    json_put_u64(json, "findings", pass->found);
    json_object_end(json);
}

static void print_finding(struct json_writer *json, const struct store_scrub_finding *finding)
{
    char run[RUN_TEXT_SIZE], name[DATA_FILE_NAME_SIZE];

    run_key_print(&finding->run, run);
    json_object_begin(json);
    json_put_string(json, "finding", finding->kind == STORE_FINDING_JOURNAL ? "journal" : "damaged");
    print_time(json, "time", finding->time_us);
    json_put_string(json, "run", run);
    json_put_u64(json, "record", finding->record);
    if (finding->kind == STORE_FINDING_DAMAGED) {
        data_file_name_print(finding->shard, finding->birth, name);
        json_put_string(json, "file", name);
        json_put_hex(json, "digest", finding->digest.bytes, DIGEST_SIZE);
        json_put_u64(json, "offset", finding->offset);
        json_put_u64(json, "length", finding->length);
    }
    json_put_string(json, "detail", finding->detail);
    json_object_end(json);
}

static void print_run(struct json_writer *json, const struct run_key *key)
{
    char run[RUN_TEXT_SIZE];

    if (key->source[0] != '\0')
        run_key_print(key, run);
    json_put_string(json, "run", key->source[0] != '\0' ? run : NULL);
}

static void reply_status(struct http_exchange *ex, int http_status)
{
    struct store *store = request_loop(ex)->node->store;
    struct store_scrub_info info;
    struct store_stats stats;
    struct json_writer json;
    struct buf body;

    store_scrub_status(store, &info);
    store_stats(store, &stats);
    buf_init(&body, SCRUB_ANSWER_MAX);
    json_init(&json, &body);
    json_object_begin(&json);
    json_put_bool(&json, "running", info.is_running || info.is_asked);
    json_put_u64(&json, "rate", info.rate);
    print_run(&json, &info.run);
    json_put_u64(&json, "bytes_total", info.bytes_total);
    print_pass(&json, "pass", &info.pass);
    print_pass(&json, "last", &info.last);
    json_put_u64(&json, "suspects", info.suspects);
    json_put_u64(&json, "bad", stats.bad);
    json_put_i64(&json, "missing", atomic_load(&metric_missing.value));
    json_put_u64(&json, "findings_total", info.findings_total);
    json_key(&json, "findings");
    json_array_begin(&json);
    for (unsigned i = 0; i < info.findings_count; i++)
        print_finding(&json, &info.findings[i]);
    json_array_end(&json);
    json_object_end(&json);
    http_reply_header(ex, "Cache-Control", "no-store");
    request_reply_json(ex, http_status, &body);
}

void scrub_api_start(struct http_exchange *ex)
{
    static const char *const keys[] = { "rate", NULL };
    uint64_t rate;

    if (!request_keys_known(ex, keys) || !request_query_u64(ex, "rate", 0, &rate))
        return;
    store_scrub(request_loop(ex)->node->store, rate);
    reply_status(ex, 202);
}

void scrub_api_get(struct http_exchange *ex)
{
    static const char *const keys[] = { NULL };

    if (!request_keys_known(ex, keys))
        return;
    reply_status(ex, 200);
}
