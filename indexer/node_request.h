/* node_request.h: a request to a storage node: its URL, Gribstore-Cluster and Gribstore-Epoch, deadlines; the answer's epoch is
 * shown to the map authority. Embedded in its owner; on_done exactly once, later. */
#ifndef INDEXER_NODE_REQUEST_H
#define INDEXER_NODE_REQUEST_H

#include "indexer/indexer.h"
#include "proto/cluster_map.h"

struct node_request {
    struct transfer_request transfer; /* answer and answer headers are read here */
    struct indexer *indexer;
    char url[URL_SIZE_MAX + 512];
    char cluster[CLUSTER_ID_SIZE + 1], epoch[24];
    struct buf body; /* owned; sent when not empty */
    struct transfer_header more; /* set before the start; its value is borrowed until on_done [none] */
    bool until_stop; /* set before the start: nobody waits for its answer once the indexer leaves */
    struct list list;
    /* The status of the answer: OK for 2xx, else as its problem+json says; UNREACHABLE, TIMEOUT... */
    void (*on_done)(struct node_request *request, enum status status, const struct error *err);
    void *user;
};

void node_request_init(struct node_request *request, struct indexer *indexer);
/* node_url without a slash at the end; path formatted. The body is request->body, filled before. timeout_ms: of the whole. */
void node_request_start(struct node_request *request, const char *method, const char *node_url,
                        uint64_t timeout_ms,
                        void (*on_done)(struct node_request *request, enum status status,
                                        const struct error *err),
                        const char *path_format, ...) __attribute__((format(printf, 6, 7)));
void node_request_cancel(struct node_request *request);
/* The indexer leaves: those `until_stop` are cancelled, also those that begin from here on. */
void node_requests_give_up(struct indexer *indexer);
void node_request_fini(struct node_request *request); /* not while under way */

#endif
