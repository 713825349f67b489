/* capacity.c: marks, growth, and what is said of them. */
#include "storaged/capacity.h"

#include "storaged/node.h"
#include "storaged/request.h"

#include "proto/base/metric.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { CAPACITY_ANSWER_MAX = 4096 };

void capacity_init(struct capacity *capacity, unsigned high_percent, unsigned low_percent)
{
    assert(low_percent <= high_percent && high_percent <= 100);
    *capacity = (struct capacity){ .high_percent = high_percent, .low_percent = low_percent };
    if (uv_mutex_init(&capacity->mutex) != 0)
        abort();
}

void capacity_fini(struct capacity *capacity)
{
    uv_mutex_destroy(&capacity->mutex);
}

/* --- marks --- */

/* percent of total, without leaving 64 bits. */
static uint64_t share(uint64_t total, unsigned percent)
{
    return total / 100 * percent + total % 100 * percent / 100;
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void now_fill(const struct capacity *capacity, const struct store_stats *stats,
                     struct capacity_now *now)
{
    *now = (struct capacity_now){ .total = stats->disk_size,
                                  .free = less(stats->disk_free, stats->disk_size),
                                  .reserve = stats->disk_reserved };
    now->used = now->total - now->free;
    uint64_t most = now->total > now->reserve ? now->total - now->reserve : 0;
    now->high_water = less(share(now->total, capacity->high_percent), most);
    now->low_water = less(share(now->total, capacity->low_percent), most);
}

void capacity_seen(struct capacity *capacity, uint64_t now_ms, const struct store_stats *stats)
{
    struct capacity_now now;

    if (stats->disk_size == 0)
        return;
    now_fill(capacity, stats, &now);
    uv_mutex_lock(&capacity->mutex);
    growth_add(&capacity->growth, now_ms, now.used);
    capacity->is_high = now.used >= (capacity->is_high ? now.low_water : now.high_water);
    uv_mutex_unlock(&capacity->mutex);
}

void capacity_look(struct capacity *capacity, const struct store_stats *stats, struct capacity_now *now)
{
    now_fill(capacity, stats, now);
    uint64_t room = now->free > now->reserve ? now->free - now->reserve : 0;
    uv_mutex_lock(&capacity->mutex);
    now->is_high = capacity->is_high;
    now->has_growth = growth_rate(&capacity->growth, &now->growth);
    now->has_full = growth_full_in(&capacity->growth, room, &now->full_seconds);
    uv_mutex_unlock(&capacity->mutex);
}

void capacity_describe(const struct capacity_now *now, char *text, size_t size)
{
    text[0] = '\0';
    if (now->is_high && now->total > 0)
        snprintf(text, size, "%.0f %% of the disk are used, above the high-water mark of %.0f %%",
                 100.0 * (double)now->used / (double)now->total,
                 100.0 * (double)now->high_water / (double)now->total);
}

/* --- metrics --- */

void capacity_print_metrics(struct buf *buf, const struct capacity_now *now)
{
    metric_head(buf, "gribstore_disk_high_water_bytes",
                "Used bytes from which on the node is no place to move anything to.", METRIC_GAUGE);
    metric_sample(buf, "gribstore_disk_high_water_bytes", NULL, (double)now->high_water);
    metric_head(buf, "gribstore_disk_low_water_bytes",
                "Used bytes below which a node that was above the high-water mark is one again.",
                METRIC_GAUGE);
    metric_sample(buf, "gribstore_disk_low_water_bytes", NULL, (double)now->low_water);
    if (now->has_growth) {
        metric_head(buf, "gribstore_disk_growth_bytes_per_second",
                    "By how much more is used, over the last hour; absent in the first minute.",
                    METRIC_GAUGE);
        metric_sample(buf, "gribstore_disk_growth_bytes_per_second", NULL, now->growth);
    }
    if (now->has_full) {
        metric_head(buf, "gribstore_disk_full_seconds",
                    "Until nothing but the reserve is free, at that rate; absent when it does not grow.",
                    METRIC_GAUGE);
        metric_sample(buf, "gribstore_disk_full_seconds", NULL, now->full_seconds);
    }
}

/* --- GET /cluster/capacity --- */

static void put_number(struct json_writer *json, const char *key, bool has, double value)
{
    json_key(json, key);
    if (has)
        json_double(json, value);
    else
        json_none(json);
}

/* By what it was started with: what a map that is to take it in says of it. */
static void put_who(struct json_writer *json, struct node *node)
{
    struct cluster_view *view = cluster_view(&node->cluster);

    json_put_string(json, "node", node->cluster.self.id);
    json_put_string(json, "url", view->url);
    json_put_string(json, "host", node->settings->host);
    json_put_string(json, "colo", node->settings->colo);
    json_put_u64(json, "weight", node->settings->weight);
    cluster_view_release(view);
}

void capacity_handle(struct http_exchange *ex)
{
    static const char *const keys[] = { NULL };
    struct node_loop *loop = request_loop(ex);
    struct node *node = loop->node;
    struct capacity_now now;
    struct json_writer json;
    struct buf body;

    if (!request_keys_known(ex, keys))
        return;
    capacity_look(&node->capacity, node_loop_stats(loop), &now);
    buf_init(&body, CAPACITY_ANSWER_MAX);
    json_init(&json, &body);
    json_object_begin(&json);
    put_who(&json, node);
    json_put_u64(&json, "total", now.total);
    json_put_u64(&json, "free", now.free);
    json_put_u64(&json, "reserve", now.reserve);
    json_put_u64(&json, "used", now.used);
    json_put_u64(&json, "high_water", now.high_water);
    json_put_u64(&json, "low_water", now.low_water);
    json_put_bool(&json, "above_high_water", now.is_high);
    put_number(&json, "growth_bytes_per_second", now.has_growth, now.growth);
    put_number(&json, "full_in_seconds", now.has_full, now.full_seconds);
    json_object_end(&json);
    http_reply_header(ex, "Cache-Control", "no-store");
    request_reply_json(ex, 200, &body);
}
