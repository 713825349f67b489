/* indexer.h: the owner of tails, decoders, catalog and server: what there is, in the order it starts and stops.
 *
 * Start: settings, catalog, decoders, map (map_authority), run states (run_state), tails, HTTP server. Stop: the reverse. One loop;
 * all of this is touched on it only, but for the catalog (pool threads). */
#ifndef INDEXER_INDEXER_H
#define INDEXER_INDEXER_H

#include "indexer/catalog/catalog.h"
#include "indexer/decoders.h"
#include "indexer/work.h"
#include "proto/http/http_server.h"
#include "proto/http_settings.h"
#include "proto/security.h"
#include "proto/transfer/transfer_uv.h"

#include <jansson.h>

struct settings {
    char *listen;       /* 127.0.0.1:8400 */
    char *catalog;      /* sqlite:FILE or mongodb://...; [sqlite:gribstore-index.sqlite] */
    char *catalog_file; /* that is read from there, when it is given */
    char *nodes;        /* --node, a comma-separated list of seeds [http://127.0.0.1:8410] */
    char *config;
    char *url; /* how others reach it [http://LISTEN] */
    char *log_level, *log_format, *decoder;
    bool check_config, access_log;
    struct http_settings http;
    struct security_settings security;
    uint64_t decoders; /* children; 0: number of cores */
    uint64_t decode_timeout_ms;
    uint64_t grace_ms;   /* after records are removed, before nodes delete [60 s] */
    uint64_t memo_size;  /* remembered decodes, bytes [384 MiB] */
    uint64_t memo_check; /* of remembered ones one in so many is decoded as well [1,000] */
    bool reindex_names;  /* make names anew, and leave */
    uint64_t cache_size; /* decoded heads kept, bytes [64 MiB] */
    char *name;          /* among the indexers of one database; by where it is reached otherwise */
    uint64_t lease_ms;   /* of nodes, retirements, sweeps [10 s] */
    uint64_t sweep_ms;   /* between sweeps [24 h]; 0: only when asked for */
    uint64_t out_after_ms; /* a node that nobody hears for so long is counted out [0: by hand only] */
};

struct catalog_watch;
struct map_authority;
struct run_states;
struct tails;
struct upserts;
struct censuses;
struct axes_cache;
struct share;
struct sweeps;
struct quarantine_retries;
struct reindex_job;
struct releases;
struct lost_nodes;

struct indexer {
    uv_loop_t *loop;
    const struct settings *settings;
    struct security security;
    struct catalog *catalog;
    struct catalog_watch *catalog_watch;
    struct decoders *decoders;
    struct transfer *transfer;
    struct map_authority *map_authority;
    struct run_states *run_states;
    struct upserts *upserts;
    struct censuses *censuses;
    struct tails *tails;
    struct axes_cache *axes_cache; /* made with the first query */
    struct share *share;
    struct sweeps *sweeps;
    struct quarantine_retries *quarantine_retries;
    struct reindex_job *reindex_job;
    struct releases *releases;
    struct lost_nodes *lost_nodes; /* NULL: not watched */
    struct http_server *server;
    struct list until_stop; /* of node_request.h */
    bool draining;
    bool failed; /* it leaves because something was wrong: the exit code says so */
};

enum status indexer_start(struct indexer *indexer, const struct settings *settings, uv_loop_t *loop,
                          struct error *err);
/* Reads anew what may change while the indexer runs (on SIGHUP): each file by itself. What can't be read, or does not
 * hold, leaves the old in force and is said in the log. */
void indexer_reload(struct indexer *indexer);

/* Drains and closes everything; on_stopped when the loop holds nothing of it any more. */
void indexer_stop(struct indexer *indexer, void (*on_stopped)(struct indexer *indexer));

#endif
