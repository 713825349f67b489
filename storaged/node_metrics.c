/* node_metrics.c: the node's metrics and their names. */
#include "storaged/node_metrics.h"

#include "storaged/peers/release_words.h"

#include "proto/base/bytes.h"

#include <stdio.h>

static const uint64_t batch_bounds[] = { 1, 2, 4, 8, 16, 32, 64, 128, 256, 512 };
static const uint64_t parts_bounds[] = { 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000 };

struct metric metric_copies_kept = {
    .name = "gribstore_copies_total",
    .help = "Copies of messages that other nodes were asked to keep.",
    .labels = "result=\"kept\"",
    .kind = METRIC_COUNTER,
};
struct metric metric_copies_failed = {
    .name = "gribstore_copies_total",
    .help = "Copies of messages that other nodes were asked to keep.",
    .labels = "result=\"failed\"",
    .kind = METRIC_COUNTER,
};
struct metric metric_copy_batches = {
    .name = "gribstore_copy_batch_messages",
    .help = "Messages that went to another node in one request.",
    .kind = METRIC_HISTOGRAM,
    .bounds = batch_bounds,
    .bounds_count = ARRAY_COUNT(batch_bounds),
};
struct metric metric_handoffs = {
    .name = "gribstore_handoffs_total",
    .help = "Copies put on a node that does not own them, because an owner did not answer.",
    .kind = METRIC_COUNTER,
};
struct metric metric_body_memory = {
    .name = "gribstore_body_memory_bytes",
    .help = "Memory reserved for bodies under way.",
    .kind = METRIC_GAUGE,
};
struct metric metric_body_waits = {
    .name = "gribstore_body_waits_total",
    .help = "Times that a body had to wait for memory.",
    .kind = METRIC_COUNTER,
};
struct metric metric_copies_damaged = {
    .name = "gribstore_damaged_copies_seen_total",
    .help = "Messages, from here or another node, that did not have their digest on the way out.",
    .kind = METRIC_COUNTER,
};
struct metric metric_repaired = {
    .name = "gribstore_repaired_messages_total",
    .help = "Bad messages of this node that were stored anew from another's copy.",
    .kind = METRIC_COUNTER,
};
struct metric metric_missing = {
    .name = "gribstore_missing_messages",
    .help = "Bad messages of this node that have no good copy here yet.",
    .kind = METRIC_GAUGE,
};
struct metric metric_synced = {
    .name = "gribstore_synced_messages_total",
    .help = "Messages of this node's shards that it lacked and has from another node.",
    .kind = METRIC_COUNTER,
};
struct metric metric_synced_bytes = {
    .name = "gribstore_synced_bytes_total",
    .help = "Bytes of messages that this node lacked and has from another node.",
    .kind = METRIC_COUNTER,
};
struct metric metric_sync_left = {
    .name = "gribstore_sync_bytes_left",
    .help = "Bytes that the node looked at now has more of than this one, as far as is known.",
    .kind = METRIC_GAUGE,
};
struct metric metric_release_left = {
    .name = "gribstore_release_bytes_left",
    .help = "Bytes of data files that the map does not give to this node, and that it has to give up.",
    .kind = METRIC_GAUGE,
};
struct metric metric_released = {
    .name = "gribstore_released_messages_total",
    .help = "Messages of this node that were given up, with their data files.",
    .kind = METRIC_COUNTER,
};
struct metric metric_released_bytes = {
    .name = "gribstore_released_bytes_total",
    .help = "Bytes of data files that were given up.",
    .kind = METRIC_COUNTER,
};
struct metric metric_release_refused[RELEASE_CODES];
struct metric metric_forwarded = {
    .name = "gribstore_messages_forwarded_total",
    .help = "Messages passed through from another node.",
    .kind = METRIC_COUNTER,
};
struct metric metric_range_parts = {
    .name = "gribstore_range_parts",
    .help = "Ranges in an answer.",
    .kind = METRIC_HISTOGRAM,
    .bounds = parts_bounds,
    .bounds_count = ARRAY_COUNT(parts_bounds),
};

static void register_refused(void)
{
    static char labels[RELEASE_CODES][32];

    for (unsigned code = RELEASE_GRANTED + 1; code < RELEASE_CODES; code++) {
        struct metric *metric = &metric_release_refused[code];

        snprintf(labels[code], sizeof labels[code], "code=\"%s\"", release_code_name(code));
        metric->name = "gribstore_release_refused_total";
        metric->help = "Times that a data file was asked about and had to stay.";
        metric->labels = labels[code];
        metric->kind = METRIC_COUNTER;
        metric_register(metric);
    }
}

void node_metrics_register(void)
{
    static struct metric *const all[] = {
        &metric_copies_kept,    &metric_copies_failed,  &metric_handoffs,     &metric_body_memory,
        &metric_body_waits,     &metric_copies_damaged, &metric_repaired,     &metric_missing,
        &metric_forwarded,      &metric_range_parts,    &metric_copy_batches, &metric_synced,
        &metric_synced_bytes,   &metric_sync_left,      &metric_release_left, &metric_released,
        &metric_released_bytes,
    };

    for (unsigned i = 0; i < ARRAY_COUNT(all); i++)
        metric_register(all[i]);
    register_refused();
}
