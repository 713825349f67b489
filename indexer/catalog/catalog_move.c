/* catalog_move.c: a node goes by another URL: its locations of a run are given it, in batches. Done twice it changes nothing. */
#include "indexer/catalog/catalog_ops.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { MOVE_BATCH_MAX = 1000 };

struct move {
    const char *node, *base_url;
    struct field_event *events; /* owned; MOVE_BATCH_MAX */
    size_t count;
    struct record_id last; /* where the scan stopped */
};

static bool move_wants(const struct move *move, const struct field_document *document)
{
    size_t size = strlen(move->base_url);

    for (unsigned i = 0; i < document->issues_count; i++) {
        const struct field_issue *issue = &document->issues[i];
        for (unsigned j = 0; j < issue->locations_count; j++) {
            const char *url = issue->locations[j].url;
            if (strcmp(issue->locations[j].node, move->node) == 0 &&
                (strncmp(url, move->base_url, size) != 0 || url[size] != '/'))
                return true;
        }
    }
    return false;
}

static bool move_on_document(void *data, const struct field_document *document)
{
    struct move *move = data;

    record_id_set(&move->last, document->id.bytes, document->id.size);
    if (!move_wants(move, document))
        return true;
    struct field_event *event = &move->events[move->count++];
    *event = (struct field_event){
        .kind = FIELD_MOVE, .id = document->id, .run = document->run, .base_url = move->base_url
    };
    memcpy(event->node, move->node, strlen(move->node) + 1);
    return move->count < MOVE_BATCH_MAX;
}

static enum status move_fields(struct catalog *catalog, const struct run_key *run,
                               struct move *move, size_t *moved, struct error *err)
{
    struct record_range range;
    enum status status;

    record_range_run(&range, run, GRIB_IDENTITY_SIZE);
    range.node = move->node;
    do {
        move->count = 0;
        status = catalog_scan_range(catalog, &range, move_on_document, move, err);
        if (status == STATUS_OK)
            status = catalog_apply(catalog, move->events, move->count, err);
        if (status == STATUS_OK)
            *moved += move->count;
        range.from = move->last;
        range.behind = true;
    } while (status == STATUS_OK && move->count == MOVE_BATCH_MAX);
    return status;
}

enum status catalog_move_node(struct catalog *catalog, const struct run_key *run, const char *node,
                              const char *base_url, size_t *moved, struct error *err)
{
    struct error own;
    struct move move = { .node = node, .base_url = base_url };

    if (err == NULL)
        err = &own;
    *moved = 0;
    assert(strlen(node) <= NODE_ID_SIZE_MAX && strlen(base_url) <= URL_SIZE_MAX);
    move.events = calloc(MOVE_BATCH_MAX, sizeof *move.events);
    if (move.events == NULL)
        return error_set(err, STATUS_NO_MEMORY, "a batch of URLs");
    enum status status = move_fields(catalog, run, &move, moved, err);
    free(move.events);
    if (status == STATUS_OK)
        status = catalog_quarantine_move_node(catalog, run, node, base_url, moved, err);
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "URLs of node %s", node);
}
