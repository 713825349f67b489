/* catalog_remove_messages.c: what a node held of certain messages of a run, out of the catalog in one reading of the run. */
#include "indexer/catalog/catalog_rewrite.h"

#include <stdlib.h>
#include <string.h>

struct removal {
    struct rewrite rewrite;
    struct digest *digests; /* owned; sorted */
    size_t count;
};

static int removal_order(const void *a, const void *b)
{
    return digest_compare(a, b);
}

static enum status removal_each(struct rewrite *rewrite, const struct field_document *document)
{
    const struct removal *removal = container_of(rewrite, struct removal, rewrite);

    for (unsigned i = 0; i < document->issues_count; i++) {
        const struct digest *digest = &document->issues[i].digest;
        if (bsearch(digest, removal->digests, removal->count, sizeof *digest, removal_order) == NULL)
            continue;
        struct field_event *event = rewrite_add(rewrite, document, FIELD_REMOVE);
        if (event == NULL)
            return STATUS_NO_MEMORY;
        event->has_digest = true;
        event->digest = *digest;
    }
    return STATUS_OK;
}

enum status catalog_remove_messages(struct catalog *catalog, const struct run_key *run, const char *node,
                                    const struct digest *digests, size_t count, struct error *err)
{
    struct error own;
    struct removal removal = {
        .rewrite = { .run = run, .node = node, .each = removal_each, .err = err != NULL ? err : &own },
        .digests = malloc(count * sizeof *digests + 1),
        .count = count,
    };

    err = removal.rewrite.err;
    if (removal.digests == NULL)
        return error_set(err, STATUS_NO_MEMORY, "a list of messages");
    memcpy(removal.digests, digests, count * sizeof *digests);
    qsort(removal.digests, count, sizeof *digests, removal_order);
    enum status status = catalog_rewrite(catalog, &removal.rewrite);
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        status = catalog_quarantine_remove_node(catalog, run, &digests[i], node, err);
    free(removal.digests);
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "removing messages that %s held", node);
}
