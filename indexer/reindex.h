/* reindex.h: names made anew, from the octets that documents keep (grib_octets.h), by the decoder of now.
 *
 * Documents are read run by run in the order of ids, their heads made again and decoded, and what comes out with other keys is written as
 * FIELD_RENAME events: digests, stamps and locations stay, and what has gone since it was read does not come back. So it may
 * run beside indexers that write, and another that does the same. Doing it again writes nothing where names hold already: that is how it goes on
 * after an end half way. Messages are not read, nodes not asked. */
#ifndef INDEXER_REINDEX_H
#define INDEXER_REINDEX_H

#include "indexer/catalog/catalog.h"
#include "indexer/decoders.h"

#include <uv.h>

struct reindex_count {
    uint64_t documents, issues; /* read; an issue is a field of one message, and a reissued field has several */
    uint64_t renamed; /* issues written with other keys */
    uint64_t unkept;  /* issues without octets: stored before there were any, or with too many */
    uint64_t refused; /* issues that this decoder refuses: they keep their names */
};

struct reindex_options {
    uv_loop_t *loop;
    struct catalog *catalog;   /* borrowed until on_done */
    struct decoders *decoders; /* borrowed until on_done */
    const struct run_key *run; /* copied; NULL: all */
    /* After each piece: how far it is, and in which run. NULL: nobody asks. */
    void (*on_progress)(void *data, const struct run_key *run, const struct reindex_count *count);
    /* Once, later. A failure (of the database): what was counted is written; do it again. */
    void (*on_done)(void *data, enum status status, const struct reindex_count *count,
                    const struct error *err);
    void *data;
};

struct reindex;

struct reindex *reindex_start(const struct reindex_options *options); /* gone with on_done */
/* on_done comes with CANCELLED, after the piece that is under way. */
void reindex_cancel(struct reindex *reindex);

#endif
