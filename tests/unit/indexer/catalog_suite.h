/* catalog_suite.h: what every catalog has to do, whatever database stands behind it. test_catalog.c runs it on SQLite,
 * test_catalog_mongo.c on MongoDB. Each case gets a new, empty catalog. */
#ifndef TESTS_UNIT_INDEXER_CATALOG_SUITE_H
#define TESTS_UNIT_INDEXER_CATALOG_SUITE_H

#include "field_make.h"
#include "indexer/catalog/catalog.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { SUITE_URI_SIZE = 512 };

struct catalog_fixture {
    char uri[SUITE_URI_SIZE];
    struct catalog *catalog;
};

/* A database that was never used; suite_forget() takes it away again. */
extern void (*suite_make_uri)(char uri[SUITE_URI_SIZE]);
extern void (*suite_forget)(const char *uri);
void suite_forget_sqlite(const char *uri); /* the file and those beside it */

int suite_setup(void **state);
int suite_teardown(void **state);
void suite_reopen(struct catalog_fixture *fixture);

/* Both run all cases of their part; 0 when all passed. */
int suite_run_fields(void);
int suite_run_rows(void);
int suite_run_write(void);
int suite_run_faults(void);
int suite_run_state(void);
int suite_run_quarantine(void);
int suite_run_lock(void);
int suite_run_guard(void);
/* What main() does when started with "--be-killed" URI AT: a batch of catalog_suite_faults.c, until it is killed in front of a call. */
int suite_be_killed(const char *uri, const char *at);

/* --- what the cases share (catalog_suite.c) --- */

extern struct run_key suite_run; /* hres/20130408T0000Z */

/* Applies count events and frees them. */
void suite_apply(struct catalog *catalog, struct field_event *events, size_t count);
void suite_apply_one(struct catalog *catalog, struct field_event event);
/* Fields first to first + count - 1 of a run, issue 1, stamp 1000, on the node. */
void suite_add_fields(struct catalog *catalog, const struct run_key *run, unsigned first,
                      unsigned count, const char *node, unsigned file);
/* How many documents, issues and locations a run has. */
struct suite_counts {
    size_t documents, issues, locations;
};
struct suite_counts suite_count(struct catalog *catalog, const struct run_key *run);
/* The field's document as JSON (a new reference), or NULL; rev may be NULL. */
json_t *suite_document(struct catalog *catalog, const struct run_key *run, unsigned field, uint64_t *rev);

/* The last argument of the call is &suite_err. */
extern struct error suite_err;
#define assert_ok(call)                                                                            \
    do {                                                                                           \
        if ((call) != STATUS_OK)                                                                   \
            fail_msg("%s: %s %s", #call, status_name(suite_err.status), suite_err.text);           \
    } while (0)

#endif
