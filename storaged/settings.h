/* settings.h: what a node may be told: one table for the file, the flags and --help.
 *
 * settings_load() reads flags, GRIBSTORE_* variables and the file, then fills in what follows from others (the URL from
 * the listen address, the number of loops from the cores) and refuses what would be unsafe. */
#ifndef STORAGED_SETTINGS_H
#define STORAGED_SETTINGS_H

#include "proto/http_settings.h"
#include "proto/security.h"

struct settings {
    char *config;
    char *data;
    char *listen;
    char *id;  /* NULL: as in node.json, or a random one */
    char *url; /* NULL: as in node.json, or http(s)://LISTEN */
    char *host;
    char *colo;
    char *join; /* URLs, comma-separated */
    uint64_t weight;
    uint64_t shards;
    bool check_config;

    uint64_t loops;                 /* event loops */
    uint64_t pool_threads;          /* that may wait for the disk */
    uint64_t body_memory;           /* bytes for bodies under way */
    uint64_t reserve;               /* bytes kept free on the disk; 0: max(5 %, 5 GiB) */
    uint64_t high_water, low_water; /* percent of the file system */
    uint64_t batch_size;
    uint64_t flush_threads;
    uint64_t direct_size; /* written around the page cache from so many bytes a file on; 0: never */
    uint64_t run_memory_ms;
    bool redirect; /* /sha256/ of another node's message: 307 instead of passing it through */
    uint64_t message_max;       /* bytes of one GRIB message */
    uint64_t sync_rate;         /* bytes a second that are pulled from other nodes; 0: any */
    uint64_t sync_period_ms;    /* between two looks at another node; 0: none is looked at */
    uint64_t release_period_ms; /* between two rounds of giving up copies; 0: none is */
    uint64_t release_grace_ms;  /* that a dropped file is served */
    uint64_t scrub_rate;        /* bytes a second that are read again; 0: no scrub */

    struct http_settings http;
    uint64_t ranges_max;

    struct security_settings security;
    char *sources; /* quotas and date windows a source: FORMATS.md section 12; NULL: none */

    bool fsck; /* check DIR and leave */
    bool json; /* what --fsck finds, as JSON lines */

    char *log_level;
    char *log_format;
    bool access_log;
};

extern const struct config_program settings_program;

/* BAD_VALUE, UNKNOWN_KEY: flag or file:line, what is wrong, what would be right. Free with settings_free() either way. */
enum status settings_load(struct settings *settings, int argc, char **argv,
                          enum config_asked *asked, struct error *err);
void settings_free(struct settings *settings);

#endif
