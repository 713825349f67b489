/* capacity.h: how full a node's disk is, where its marks are, and how long it lasts.
 *
 * Above the high-water mark a node takes PUTs as before, until nothing but the reserve is free; it says so, and is no place that a
 * change of the cluster may fill further (`gribstore cluster`). It is *high* from there until it is below the low-water mark.
 * space_watch.h asks the disk, on the pool; who wants to know reads what it saw last, on any loop. */
#ifndef STORAGED_CAPACITY_H
#define STORAGED_CAPACITY_H

#include "storaged/growth.h"
#include "storaged/store/store.h"

#include "proto/base/buf.h"
#include "proto/http/http_exchange.h"

#include <uv.h>

struct capacity {
    unsigned high_percent, low_percent; /* of the file system */
    uv_mutex_t mutex;                   /* of what follows */
    struct growth growth;
    bool is_high;
};

/* What is said of it. */
struct capacity_now {
    uint64_t total, free, reserve, used;
    uint64_t high_water, low_water; /* bytes used; never more than the reserve leaves */
    bool is_high;
    bool has_growth, has_full;
    double growth, full_seconds; /* bytes a second; until the reserve is reached */
};

void capacity_init(struct capacity *capacity, unsigned high_percent, unsigned low_percent);
void capacity_fini(struct capacity *capacity);

/* The disk was asked. Space that is not known (disk_size 0) is no sample. */
void capacity_seen(struct capacity *capacity, uint64_t now_ms, const struct store_stats *stats);
void capacity_look(struct capacity *capacity, const struct store_stats *stats, struct capacity_now *now);

/* "" below the mark; else what /readyz says. */
void capacity_describe(const struct capacity_now *now, char *text, size_t size);

void capacity_print_metrics(struct buf *buf, const struct capacity_now *now);
void capacity_handle(struct http_exchange *ex); /* GET /cluster/capacity */

#endif
