/* nodes.h: the nodes a session may talk to: who is up, who is busy, who is worth another try when. Pure but for the clock. */
#ifndef CLIENT_NODES_H
#define CLIENT_NODES_H

#include "proto/cluster_map.h"

struct node {
    char url[URL_SIZE_MAX + 1];
    char id[NODE_ID_SIZE_MAX + 1]; /* "" while no map is known */
    unsigned under_way;            /* requests sent and not answered */
    unsigned failures;             /* in a row */
    uint64_t down_until_ms;        /* monotonic; 0: up */
    uint64_t stalled_until_ms; /* it took a request and did not answer: others are asked first */
};

struct nodes {
    struct node *items; /* owned */
    unsigned count;
    unsigned turn; /* where the next pick begins, so that equals take turns */
};

enum { NODES_BACKOFF_MIN_MS = 200, NODES_BACKOFF_MAX_MS = 10000, NODES_STALLED_MS = 120000 };

void nodes_fini(struct nodes *nodes);

/* From a comma-separated list of URLs. BAD_VALUE names the one that is none. */
enum status nodes_from_text(struct nodes *nodes, const char *text, struct error *err);
/* The nodes of a map that are not out; those known already keep their state. first_url stands in for a node without URL. */
enum status nodes_from_map(struct nodes *nodes, const struct cluster_map *map,
                           const char *first_url, struct error *err);

/* The least busy of those that are not waited for, who stalled last of all; NULL: none now. */
struct node *nodes_pick(struct nodes *nodes, uint64_t now_ms);
struct node *nodes_by_id(struct nodes *nodes, const char *id); /* NULL: not there */
/* When the next one is worth a try (now_ms or later). */
uint64_t nodes_next_ms(const struct nodes *nodes, uint64_t now_ms);

void node_failed(struct node *node, uint64_t now_ms);  /* waits longer each time */
void node_stalled(struct node *node, uint64_t now_ms); /* failed so that it cost a long wait */
void node_answered(struct node *node);
bool node_is_away(const struct node *node, uint64_t now_ms); /* is there another one, ask that */

#endif
