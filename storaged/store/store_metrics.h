/* store_metrics.h: what the store counts: registered once by store_metrics_register(). */
#ifndef STORAGED_STORE_STORE_METRICS_H
#define STORAGED_STORE_STORE_METRICS_H

#include "proto/base/metric.h"

extern struct metric store_metric_put_bytes, store_metric_put_messages, store_metric_put_known;
extern struct metric store_metric_put_failed;
extern struct metric store_metric_corrupt, store_metric_corrupt_records, store_metric_damaged_files;
extern struct metric store_metric_scrub_bytes, store_metric_scrub_completed;
extern struct metric store_metric_batch_messages; /* histogram: appends a flush */
extern struct metric store_metric_flush; /* histogram: microseconds of one fdatasync or fsync */

#endif
