/* indexer_status.c: metrics, healthz, readyz, what each node's tail is doing. */
#include "indexer/indexer_status.h"

#include "indexer/catalog_watch.h"
#include "indexer/map_authority.h"
#include "indexer/openapi.h"
#include "indexer/tail.h"
#include "proto/base/json_write.h"
#include "proto/base/metric.h"

#include <assert.h>
#include <stdlib.h>

enum { STATUS_BODY_MAX = 4 << 20 };

void status_health_route(struct http_exchange *ex)
{
    http_reply_text(ex, 200, "text/plain; charset=utf-8", "ok\n");
}

static void status_check(struct json_writer *json, const char *name, bool ok, const char *detail,
                         bool *all)
{
    json_object_begin(json);
    json_put_string(json, "check", name);
    json_put_bool(json, "ok", ok);
    if (!ok)
        json_put_string(json, "detail", detail);
    json_object_end(json);
    *all = *all && ok;
}

void status_ready_route(struct http_exchange *ex)
{
    struct indexer *indexer = http_context(ex);
    struct json_writer json;
    char why[CATALOG_TROUBLE_SIZE];
    struct buf body;
    bool all = true;

    buf_init(&body, STATUS_BODY_MAX);
    json_init(&json, &body);
    json_object_begin(&json);
    json_key(&json, "checks");
    json_array_begin(&json);
    status_check(&json, "map", map_authority_map(indexer) != NULL, map_authority_why(indexer), &all);
    status_check(&json, "decoders", decoders_ready(indexer->decoders), "no decoder is ready yet", &all);
    bool trouble = catalog_watch_trouble(indexer, why);
    status_check(&json, "database", !trouble, why, &all);
    status_check(&json, "draining", !indexer->draining, "the indexer is about to stop", &all);
    json_array_end(&json);
    json_put_bool(&json, "ready", all);
    json_put_string(&json, "catalog", catalog_backend(indexer->catalog));
    json_put_string(&json, "eccodes", decoders_release(indexer->decoders));
    json_object_end(&json);
    http_reply_header(ex, "Cache-Control", "no-store");
    if (!all)
        http_reply_header(ex, "Retry-After", "1");
    http_reply(ex, all ? 200 : 503, "application/json", &body);
}

/* What the tails say now, in an array that the caller frees. */
static struct tail_status *status_tails(struct indexer *indexer, size_t *count)
{
    struct tail_status *tails = calloc(MAP_NODES_MAX, sizeof *tails);
    assert(tails != NULL);
    *count = tails_status(indexer, tails, MAP_NODES_MAX);
    return tails;
}

void status_nodes_route(struct http_exchange *ex)
{
    struct indexer *indexer = http_context(ex);
    struct json_writer json;
    struct buf body;
    size_t count;
    struct tail_status *tails = status_tails(indexer, &count);

    buf_init(&body, STATUS_BODY_MAX);
    json_init(&json, &body);
    json_object_begin(&json);
    json_key(&json, "nodes");
    json_array_begin(&json);
    for (size_t i = 0; i < count; i++) {
        json_object_begin(&json);
        json_put_string(&json, "id", tails[i].node);
        json_put_string(&json, "url", tails[i].url);
        json_put_bool(&json, "reachable", tails[i].reachable);
        json_put_bool(&json, "caught_up", tails[i].caught_up);
        json_put_u64(&json, "records_read", tails[i].records_read);
        json_put_u64(&json, "records_behind", tails[i].records_behind);
        json_put_time(&json, "last_heard", tails[i].last_heard_us);
        if (tails[i].error[0] != '\0')
            json_put_string(&json, "error", tails[i].error);
        json_object_end(&json);
    }
    json_array_end(&json);
    json_object_end(&json);
    free(tails);
    http_reply_header(ex, "Cache-Control", "no-store");
    http_reply(ex, 200, "application/json", &body);
}

static void status_memo_metrics(const struct decode_memo_stats *memo, struct buf *body)
{
    const struct {
        const char *name, *help;
        enum metric_kind kind;
        uint64_t value;
    } samples[] = {
        { "gribstore_decode_memo_hits_total", "Heads whose keys were remembered.", METRIC_COUNTER,
          memo->hits },
        { "gribstore_decode_memo_misses_total",
          "Heads that were decoded in full, checks among them.", METRIC_COUNTER, memo->misses },
        { "gribstore_decode_memo_unusual_total", "Decoded heads that are not remembered.",
          METRIC_COUNTER, memo->unusual },
        { "gribstore_decode_memo_checks_total",
          "Remembered keys that were compared with a full decode.", METRIC_COUNTER, memo->checks },
        { "gribstore_decode_memo_mismatches_total",
          "Comparisons that failed: the log has both; heads of that kind are remembered no more.",
          METRIC_COUNTER, memo->mismatches },
        { "gribstore_decode_memo_entries", "Heads remembered.", METRIC_GAUGE, memo->entries },
        { "gribstore_decode_memo_bytes", "Memory that they take.", METRIC_GAUGE, memo->bytes },
    };

    for (size_t i = 0; i < ARRAY_COUNT(samples); i++) {
        metric_head(body, samples[i].name, samples[i].help, samples[i].kind);
        metric_sample(body, samples[i].name, NULL, (double)samples[i].value);
    }
}

static void status_decoder_metrics(struct indexer *indexer, struct buf *body)
{
    struct decoders_stats stats;

    decoders_stats(indexer->decoders, &stats);
    metric_head(body, "gribstore_decoded_total", "Heads decoded.", METRIC_COUNTER);
    metric_sample(body, "gribstore_decoded_total", NULL, (double)stats.decoded);
    metric_head(body, "gribstore_decode_refused_total",
                "Heads that ecCodes refused, or that killed or hung a decoder.", METRIC_COUNTER);
    metric_sample(body, "gribstore_decode_refused_total", NULL, (double)stats.refused);
    metric_head(body, "gribstore_decoder_deaths_total",
                "Decoders that died or were killed for taking too long.", METRIC_COUNTER);
    metric_sample(body, "gribstore_decoder_deaths_total", NULL, (double)(stats.deaths + stats.timeouts));
    status_memo_metrics(&stats.memo, body);
    metric_head(body, "gribstore_decoders", "Decoders alive.", METRIC_GAUGE);
    metric_sample(body, "gribstore_decoders", NULL, stats.alive);
}

void status_metrics_route(struct http_exchange *ex)
{
    struct indexer *indexer = http_context(ex);
    size_t count;
    struct tail_status *tails = status_tails(indexer, &count);
    struct buf body;
    char labels[NODE_ID_SIZE_MAX + 16];

    buf_init(&body, STATUS_BODY_MAX);
    metric_print(&body);
    status_decoder_metrics(indexer, &body);
    metric_head(&body, "gribstore_index_records_behind",
                "Journal records that a node has and the index has not.", METRIC_GAUGE);
    for (size_t i = 0; i < count; i++) {
        snprintf(labels, sizeof labels, "node=\"%s\"", tails[i].node);
        metric_sample(&body, "gribstore_index_records_behind", labels, (double)tails[i].records_behind);
    }
    metric_head(&body, "gribstore_node_reachable", "1 when the node answers the indexer.", METRIC_GAUGE);
    for (size_t i = 0; i < count; i++) {
        snprintf(labels, sizeof labels, "node=\"%s\"", tails[i].node);
        metric_sample(&body, "gribstore_node_reachable", labels, tails[i].reachable);
    }
    free(tails);
    http_reply(ex, 200, "text/plain; version=0.0.4; charset=utf-8", &body);
}

void status_openapi_route(struct http_exchange *ex)
{
    http_reply_text(ex, 200, "application/json", indexer_openapi);
}
