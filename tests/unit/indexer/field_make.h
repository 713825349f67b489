/* field_make.h: fields as an upsert would make them, for the tests of indexer/. Everything follows from small numbers: field 7 of a
 * run is the same field in every test. */
#ifndef TESTS_UNIT_INDEXER_FIELD_MAKE_H
#define TESTS_UNIT_INDEXER_FIELD_MAKE_H

#include "indexer/field.h"

enum {
    MAKE_PARAMS = 4, /* 2t, msl, t, u: field % 4 */
    MAKE_STEPS = 5,  /* hours 0, 6, .. 24: field / 4 % 5 */
};

extern const char *const make_params[MAKE_PARAMS];

struct run_key make_run(const char *source, const char *base_time);
void make_field_id(const struct run_key *run, unsigned field, struct field_id *id);
struct digest make_digest(unsigned field, unsigned issue);

/* {url, node, file, offset, length} of message `field` in file number `file` of a node. */
struct field_location make_location(const struct run_key *run, const char *node, unsigned file,
                                    unsigned field);
void make_file_name(unsigned file, char name[DATA_FILE_NAME_SIZE]);

/* A decoder's keys for the field; a new reference. */
struct field_keys *make_keys(const struct run_key *run, unsigned field);

struct field_keys *make_keys_of(json_t *json); /* takes the reference */
/* A key of an issue: set (takes the reference) or, NULL, left out; as a new reference, NULL when it lacks it. */
void make_set(struct field_issue *issue, const char *name, json_t *value);
json_t *make_value(const struct field_issue *issue, const char *name);

/* An ADD of one issue with one location, incarnation 1. field_event_fini() frees it. */
struct field_event make_add(const struct run_key *run, unsigned field, unsigned issue,
                            uint64_t stored_at_us, const char *node, unsigned file);
/* A REMOVE of what the node holds, in this file (0: in any). */
struct field_event make_remove(const struct run_key *run, unsigned field, const char *node, unsigned file);

#endif
