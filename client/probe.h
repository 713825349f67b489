/* probe.h: what each server says of itself, all asked at once: is it there, is it ready, which map has it, how full is its
 * disk. */
#ifndef CLIENT_PROBE_H
#define CLIENT_PROBE_H

#include "client/session.h"

enum { PROBE_TIMEOUT_MS = 5000, PROBE_URL_MAX = 512 };

/* Taken from a node's /metrics: gribstore_disk_bytes{state="free|used|reserved"}, gribstore_disk_..., gribstore_sync_bytes_left,
 * gribstore_release_bytes_left. */
struct probe_disk {
    bool known;
    uint64_t free, used, reserved; /* bytes; free includes what is reserved */
    uint64_t high_water;           /* bytes used; 0: a node that has no such mark */
    bool has_growth, has_full;
    double growth, full_seconds; /* bytes a second; until nothing but the reserve is free */
    uint64_t sync_left;          /* bytes that it lacks and another node has, as far as it knows */
    uint64_t release_left;       /* bytes that it holds and does not own */
};

struct probe {
    char url[URL_SIZE_MAX + 1];
    bool is_node; /* false: an indexer */
    bool reachable, ready;
    int ready_status;        /* HTTP */
    struct error err;        /* why it is not reachable, or what /readyz said */
    struct cluster_map *map; /* owned; NULL: it gave none */
    struct error map_err;
    struct probe_disk disk;
    char *nodes_json; /* owned; of an indexer: what it says of its nodes */
    char *status_json; /* owned; of an indexer: what it says of all indexers, its tails, sweeps; NULL: it said nothing */
};

struct probes {
    struct probe *items; /* owned */
    size_t count;
};

/* Asks all; OK even when nobody answers. */
enum status probes_run(struct gs_session *session, const char *const *node_urls, size_t nodes,
                       const char *const *indexer_urls, size_t indexers, struct probes *probes,
                       struct error *err);
/* The nodes of the session (of its map, when one is known) and its indexers. */
enum status probes_session(struct gs_session *session, struct probes *probes, struct error *err);
void probes_fini(struct probes *probes);

/* What the body of a /readyz that is not 200 says is amiss, separated by "; ": the details of checks that are not ok. Left
 * as it is when the body says nothing. Pure. */
void probe_ready_read(struct slice body, struct error *err);

/* Reads Prometheus text; known only when free is there. What is absent or odd is left out. Pure. */
void probe_disk_read(struct slice metrics, struct probe_disk *disk);

#endif
