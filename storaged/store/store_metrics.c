/* store_metrics.c: the store's counters and histograms. */
#include "storaged/store/store_metrics.h"

#include "storaged/store/store.h"

static const uint64_t flush_bounds_us[] = { 100,    250,    500,     1000,    2500,
                                            5000,   10000,  25000,   50000,   100000,
                                            250000, 500000, 1000000, 2500000, 5000000 };
static const uint64_t batch_bounds[] = { 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096 };

struct metric store_metric_put_bytes = {
    .name = "gribstore_put_bytes_total",
    .help = "Bytes of messages stored on this node",
    .kind = METRIC_COUNTER,
};
struct metric store_metric_put_messages = {
    .name = "gribstore_put_messages_total",
    .help = "Messages stored on this node",
    .kind = METRIC_COUNTER,
};
struct metric store_metric_put_known = {
    .name = "gribstore_put_dedup_total",
    .help = "Messages that were here already",
    .kind = METRIC_COUNTER,
};
struct metric store_metric_put_failed = {
    .name = "gribstore_put_failed_total",
    .help = "Messages that this node did not store",
    .kind = METRIC_COUNTER,
};
struct metric store_metric_corrupt = {
    .name = "gribstore_corrupt_messages_total",
    .help = "Messages that turned bad: unreadable, or without their digest",
    .kind = METRIC_COUNTER,
};
struct metric store_metric_corrupt_records = {
    .name = "gribstore_corrupt_journal_records_total",
    .help = "Journal records that the scrub found damaged",
    .kind = METRIC_COUNTER,
};
struct metric store_metric_damaged_files = {
    .name = "gribstore_damaged_files_total",
    .help = "Data files with so many bad messages that nothing of them is served",
    .kind = METRIC_COUNTER,
};
struct metric store_metric_scrub_bytes = {
    .name = "gribstore_scrub_bytes_total",
    .help = "Bytes that the scrub read from the disk",
    .kind = METRIC_COUNTER,
};
struct metric store_metric_scrub_completed = {
    .name = "gribstore_scrub_last_completed_timestamp_seconds",
    .help = "When the last whole pass of the scrub ended; 0: never",
    .kind = METRIC_GAUGE,
    .scale = 1e-6,
};
struct metric store_metric_batch_messages = {
    .name = "gribstore_batch_messages",
    .help = "Messages that one group commit made durable",
    .kind = METRIC_HISTOGRAM,
    .bounds = batch_bounds,
    .bounds_count = ARRAY_COUNT(batch_bounds),
};
struct metric store_metric_flush = {
    .name = "gribstore_fsync_duration_seconds",
    .help = "Time of one flush of a file or directory",
    .kind = METRIC_HISTOGRAM,
    .scale = 1e-6,
    .bounds = flush_bounds_us,
    .bounds_count = ARRAY_COUNT(flush_bounds_us),
};

void store_metrics_register(void)
{
    metric_register(&store_metric_put_bytes);
    metric_register(&store_metric_put_messages);
    metric_register(&store_metric_put_known);
    metric_register(&store_metric_put_failed);
    metric_register(&store_metric_corrupt);
    metric_register(&store_metric_corrupt_records);
    metric_register(&store_metric_damaged_files);
    metric_register(&store_metric_scrub_bytes);
    metric_register(&store_metric_scrub_completed);
    metric_register(&store_metric_batch_messages);
    metric_register(&store_metric_flush);
}
