/* settings.h: what a node may be told: one table for the file, the flags and --help.
 *
 * settings_load() reads flags, GRIBSTORE_* variables and the file, then fills in what follows from others (the URL from
 * the listen address, the number of loops from the cores) and refuses what would be unsafe. */
#ifndef STORAGED_SETTINGS_H
#define STORAGED_SETTINGS_H

#include "proto/base/config.h"

struct settings {
    char *config;
    char *data;
    char *listen;
    char *id;  /* NULL: as in node.json, or a random one */
    char *url; /* NULL: as in node.json, or http://LISTEN */
    char *host;
    char *colo;
    char *join; /* URLs, comma-separated */
    uint64_t weight;
    uint64_t shards;
    bool check_config;
    bool insecure;

    uint64_t loops;        /* event loops */
    uint64_t pool_threads; /* that may wait for the disk */
    uint64_t body_memory;  /* bytes for bodies under way */
    uint64_t reserve;      /* bytes kept free on the disk; 0: max(5 %, 5 GiB) */
    uint64_t batch_size;
    uint64_t flush_threads;
    uint64_t run_memory_ms;
    bool redirect; /* /sha256/ of another node's message: 307 instead of passing it through */

    uint64_t connections;
    uint64_t body_max;
    uint64_t head_timeout_ms;
    uint64_t idle_timeout_ms;

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
