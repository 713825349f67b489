/* sources.h: what may come in of a source: the sources file (FORMATS.md section 12): quotas of runs on this node, windows of
 * base_times, and whether a source has to be known.
 *
 * Shared by all loops; read again as a whole. Rules are copied out, so that a body is judged by the same ones to its end. */
#ifndef STORAGED_SOURCES_H
#define STORAGED_SOURCES_H

#include "proto/base/bytes.h"
#include "proto/base/status.h"

#include <stdbool.h>

enum { SOURCES_MAX = 10000, SOURCES_FILE_MAX = 4 << 20 };

struct source_rules {
    uint64_t run_bytes, run_messages; /* that one run may hold here; 0: any */
    bool has_oldest, has_newest;
    uint64_t oldest_s, newest_s; /* how far behind and ahead of now a base_time may lie */
};

struct sources;

/* BAD_VALUE, UNKNOWN_KEY: err names the line. NOT_FOUND, IO: it can't be read. [blocking] */
enum status sources_open(const char *path, struct sources **sources, struct error *err);
/* On failure what was read before stays in use. [blocking] */
enum status sources_reload(struct sources *sources, struct error *err);
void sources_close(struct sources *sources); /* NULL is fine */

/* The source's rules; FORBIDDEN: it has no section, and those are refused. sources NULL: no rules, OK. */
enum status sources_get(struct sources *sources, const char *source, struct source_rules *rules,
                        struct error *err);

/* BAD_DATE, naming the window. now: seconds since 1970. */
enum status source_rules_check_date(const struct source_rules *rules, int64_t base_time,
                                    int64_t now, struct error *err);

/* --- the table by itself, for tests and fuzzers --- */
struct sources_table;
enum status sources_parse(struct slice text, struct sources_table **table, struct error *err);
enum status sources_table_get(const struct sources_table *table, const char *source,
                              struct source_rules *rules, struct error *err);
void sources_table_free(struct sources_table *table); /* NULL is fine */

#endif
