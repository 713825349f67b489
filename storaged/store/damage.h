/* damage.h: messages that turned bad: told by the journal, then out of everything that counts. For the writer's thread.
 *
 * A *bad* record in the run's journal, flushed; then, under the run's lock, the digest leaves the table, the set hash and the
 * counts, and ranges that touch the message are damaged. Requests come in the writer's order: an append of the same digest
 * before them found it known, one behind them stores it anew; a purge before them leaves nothing to mark.
 *
 * Where the journal can't be written (read-only, full) the message counts for nothing in memory all the same, so that no
 * wrong byte is served; what the journal does not tell is found again after the next start. */
#ifndef STORAGED_STORE_DAMAGE_H
#define STORAGED_STORE_DAMAGE_H

#include "proto/base/list.h"
#include "storaged/store/journal.h"

enum { DAMAGE_BATCH_MAX = 1024 }; /* requests made durable by one flush */

struct store;

/* bads: of struct store_bad's requests, all of one run, at most DAMAGE_BATCH_MAX; each is answered. */
void damage_mark(struct store *store, struct list *bads);

/* Encodes the *bad* record `number` for *stored* record `stored`. */
void damage_encode(const struct journal_record *stored, uint64_t stored_number, uint64_t journal_id,
                   uint64_t number, bool batch_first, uint8_t bytes[JOURNAL_RECORD_SIZE]);

#endif
