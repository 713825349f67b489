/* run_holdings.h: what the index says each node holds of a run: distinct digests, as count and sum. The nodes say the same of themselves
 * (node_fingerprint.h); where the two differ the index is wrong, or behind. */
#ifndef INDEXER_RUN_HOLDINGS_H
#define INDEXER_RUN_HOLDINGS_H

#include "indexer/catalog/catalog.h"
#include "proto/cluster_map.h"
#include "proto/digest.h"

struct run_holding {
    char node[NODE_ID_SIZE_MAX + 1];
    struct digest_set set;
};

struct run_holdings {
    struct run_holding *items; /* owned; each node that is named once */
    size_t count;
};

/* Of documents, older issues among them, and of quarantine. on_file is called with every location, however often its file comes; NULL: nobody
 * wants them. Blocks: the pool only. After a failure, too, the holdings are the caller's to end. */
enum status run_holdings_scan(struct catalog *catalog, const struct run_key *run,
                              void (*on_file)(void *data, const char *node, const char *file),
                              void *data, struct run_holdings *holdings, struct error *err);
void run_holdings_fini(struct run_holdings *holdings);

/* The empty set of a node that is not named. */
struct digest_set run_holdings_of(const struct run_holdings *holdings, const char *node);
bool run_holdings_same(const struct digest_set *a, const struct digest_set *b);

#endif
