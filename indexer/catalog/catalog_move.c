/* catalog_move.c: a node goes by another URL: its locations of a run are given it, in batches. Done twice it changes nothing. */
#include "indexer/catalog/catalog_rewrite.h"

#include <assert.h>
#include <string.h>

struct move {
    struct rewrite rewrite;
    const char *base_url;
};

static bool move_wants(const struct move *move, const struct field_document *document)
{
    size_t size = strlen(move->base_url);

    for (unsigned i = 0; i < document->issues_count; i++) {
        const struct field_issue *issue = &document->issues[i];
        for (unsigned j = 0; j < issue->locations_count; j++) {
            const char *url = issue->locations[j].url;
            if (strcmp(issue->locations[j].node, move->rewrite.node) == 0 &&
                (strncmp(url, move->base_url, size) != 0 || url[size] != '/'))
                return true;
        }
    }
    return false;
}

static enum status move_each(struct rewrite *rewrite, const struct field_document *document)
{
    const struct move *move = container_of(rewrite, struct move, rewrite);

    if (!move_wants(move, document))
        return STATUS_OK;
    struct field_event *event = rewrite_add(rewrite, document, FIELD_MOVE);
    if (event == NULL)
        return STATUS_NO_MEMORY;
    event->base_url = move->base_url;
    return STATUS_OK;
}

enum status catalog_move_node(struct catalog *catalog, const struct run_key *run, const char *node,
                              const char *base_url, size_t *moved, struct error *err)
{
    struct error own;
    struct move move = {
        .rewrite = { .run = run, .node = node, .each = move_each, .err = err != NULL ? err : &own },
        .base_url = base_url,
    };

    assert(strlen(node) <= NODE_ID_SIZE_MAX && strlen(base_url) <= URL_SIZE_MAX);
    err = move.rewrite.err;
    enum status status = catalog_rewrite(catalog, &move.rewrite);
    *moved = move.rewrite.documents;
    if (status == STATUS_OK)
        status = catalog_quarantine_move_node(catalog, run, node, base_url, moved, err);
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "URLs of node %s", node);
}
