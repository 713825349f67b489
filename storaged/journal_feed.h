/* journal_feed.h: which runs changed; a run's records from N on. What the indexer tails. */
#ifndef STORAGED_JOURNAL_FEED_H
#define STORAGED_JOURNAL_FEED_H

#include "proto/http/http_exchange.h"

struct node_loop;

enum {
    FEED_WAIT_MAX_S = 60,
    FEED_WAIT_DEFAULT_S = 30,
    FEED_WAITERS_MAX = 1000,  /* long polls of a loop; one more is answered at once */
    FEED_RECORDS_MAX = 65536, /* in one answer: 4 MiB */
};

void journal_feed_runs(struct http_exchange *ex); /* GET /cluster/runs?since=SEQ[&wait=SECONDS] */
void journal_feed_records(struct http_exchange *ex); /* GET /cluster/journal/{source}/{base_time}?journal=ID&from=N&check=C */

/* Some run has changed, or the loop drains: those who wait are answered. */
void journal_feed_changed(struct node_loop *loop);

#endif
