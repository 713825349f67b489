/* catalog_watch.h: whether the database answers: asked every few seconds on the pool, so that /readyz can say it at once, of an idle indexer too.
 *
 * How the question ended stands with how all calls ended (catalog_health.h). One question at a time. One that is under way for longer than CATALOG_WATCH_LATE_MS counts as no answer already. */
#ifndef INDEXER_CATALOG_WATCH_H
#define INDEXER_CATALOG_WATCH_H

#include "indexer/catalog/catalog_health.h"
#include "indexer/indexer.h"

enum { CATALOG_WATCH_MS = 2000, CATALOG_WATCH_LATE_MS = 5000 };

enum status catalog_watch_start(struct indexer *indexer, struct error *err);
/* Whether a call failed lately, the question among them, or it does not answer the question; text says how. */
bool catalog_watch_trouble(const struct indexer *indexer, char text[CATALOG_TROUBLE_SIZE]);
/* on_stopped once no question is under way any more. */
void catalog_watch_stop(struct indexer *indexer, void (*on_stopped)(struct indexer *indexer));

#endif
