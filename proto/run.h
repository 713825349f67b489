/* run.h: source and base_time, the name of a run: parse, print, order. FORMATS.md section 4. Pure. */
#ifndef PROTO_RUN_H
#define PROTO_RUN_H

#include "proto/base/bytes.h"
#include "proto/base/status.h"

#include <stdbool.h>

enum {
    SOURCE_SIZE_MAX = 64,
    BASE_TIME_TEXT_SIZE = 24, /* "20130408T000030Z" and its end, with room */
    RUN_TEXT_SIZE = SOURCE_SIZE_MAX + 1 + BASE_TIME_TEXT_SIZE,
    RUN_ID_SIZE_MAX = SOURCE_SIZE_MAX + 1 + 8,
};

struct run_key {
    char source[SOURCE_SIZE_MAX + 1]; /* terminated */
    int64_t base_time;                /* seconds since 1970, UTC */
};

enum run_state { RUN_FILLING = 1, RUN_READY = 2, RUN_RETIRED = 3, RUN_PURGED = 4 };

/* What is told of a run: higher (incarnation, version) wins. Nobody spoke of it: filling, 1, 0. */
struct run_info {
    uint64_t incarnation;
    uint64_t version;
    enum run_state state;
};

bool source_valid(struct slice text);

/* BAD_VALUE, with what is wrong, when the text is no base_time: the compact form, or RFC 3339 with `Z`
 * ("2013-04-08T00:00:00Z"); either is taken. */
enum status base_time_parse(struct slice text, int64_t *base_time, struct error *err);
void base_time_print(int64_t base_time, char text[BASE_TIME_TEXT_SIZE]);         /* compact */
void base_time_print_rfc3339(int64_t base_time, char text[BASE_TIME_TEXT_SIZE]); /* 2013-04-08T00:00:00Z */

bool base_time_valid(int64_t base_time); /* in years 1 to 9999: what the functions that print ask for */

/* A calendar date to seconds since 1970; false when it does not exist (years 1 to 9999). */
bool base_time_from_calendar(int year, int month, int day, int hour, int minute, int second,
                             int64_t *base_time);
void base_time_to_calendar(int64_t base_time, int *year, int *month, int *day, int *hour,
                           int *minute, int *second);

enum status run_key_parse(struct slice source, struct slice base_time, struct run_key *run,
                          struct error *err);
void run_key_print(const struct run_key *run, char text[RUN_TEXT_SIZE]); /* "hres/20130408T0000Z" */
int run_key_compare(const struct run_key *a, const struct run_key *b); /* source, then base_time */

/* source, 0x00, base_time with its top bit flipped: the front of an `_id`. Returns its size. */
size_t run_id_print(const struct run_key *run, uint8_t id[RUN_ID_SIZE_MAX]);
bool run_id_parse(struct slice id, struct run_key *run, size_t *used); /* rest begins at id + *used */

const char *run_state_name(enum run_state state); /* "filling" */
bool run_state_parse(const char *name, enum run_state *state);
int run_info_compare(const struct run_info *a, const struct run_info *b); /* by incarnation, version */

#endif
