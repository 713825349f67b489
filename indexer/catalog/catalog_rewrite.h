/* catalog_rewrite.h: events made of the documents of a run, in batches, so that others get their turn: what removals and moves share.
 * Private to this folder.
 *
 * The run is read from its beginning; once a batch of events is gathered it is applied, and the reading goes on behind the last document: none
 * is read twice. A document that changes meanwhile is merged as it is by then, so an event says what is to go, never what is to be left. */
#ifndef INDEXER_CATALOG_REWRITE_H
#define INDEXER_CATALOG_REWRITE_H

#include "indexer/catalog/catalog_ops.h"

enum {
    REWRITE_BATCH_MAX = 1000
}; /* events that are applied at once; all those of the last document more */

struct rewrite {
    const struct run_key *run;
    const char *node, *file; /* file NULL: any; only documents with such locations need looking at */
    /* What is to happen to a document, by rewrite_add(). */
    enum status (*each)(struct rewrite *rewrite, const struct field_document *document);
    size_t documents; /* out: that events were made of and applied */
    struct error *err;
    /* The rest is its own. */
    struct field_event *events; /* owned */
    size_t count, size;
    size_t touched;        /* documents of this batch */
    struct record_id last; /* where the reading stopped */
    enum status status;
};

/* One more event of the document, of rewrite->node, to be filled in; NULL and err: no memory. Valid until the next one. */
struct field_event *rewrite_add(struct rewrite *rewrite, const struct field_document *document,
                                enum field_event_kind kind);
/* The events of the document so far: *count of them. */
const struct field_event *rewrite_events(const struct rewrite *rewrite,
                                         const struct field_document *document, size_t *count);
enum status catalog_rewrite(struct catalog *catalog, struct rewrite *rewrite);

#endif
