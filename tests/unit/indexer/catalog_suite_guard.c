/* catalog_suite_guard.c: what becomes of documents that come when their run's state has no place for them any more (run_guard.h): of a process
 * that slept between its look and its write, while another one retired the run. */
#include "catalog_suite.h"
#include "indexer/retire.h"
#include "indexer/run_guard.h"

#include <stdio.h>

enum { GUARD_FIELDS = 20, GUARD_MANY = 2010 }; /* many: more than are removed at once */

/* What the catalog says of the run when the write has been done, and what is left then of what was written of incarnation 1. */
static const struct guard_case {
    const char *what;
    struct run_info info;
    unsigned step;
    enum status status;
    unsigned written, left;
} guard_cases[] = {
    { "being filled", { 1, 1, RUN_FILLING }, 0, STATUS_OK, GUARD_FIELDS, GUARD_FIELDS },
    { "ready", { 1, 2, RUN_READY }, 0, STATUS_OK, GUARD_FIELDS, GUARD_FIELDS },
    { "told", { 1, 3, RUN_RETIRED }, RETIRE_TELL, STATUS_STALE_RUN, GUARD_FIELDS, GUARD_FIELDS },
    { "its records go", { 1, 3, RUN_RETIRED }, RETIRE_REMOVE, STATUS_STALE_RUN, GUARD_FIELDS, GUARD_FIELDS },
    { "may be undone", { 1, 3, RUN_RETIRED }, RETIRE_GRACE, STATUS_STALE_RUN, GUARD_FIELDS, GUARD_FIELDS },
    { "its files go", { 1, 3, RUN_RETIRED }, RETIRE_DELETE, STATUS_STALE_RUN, GUARD_FIELDS, GUARD_FIELDS },
    { "its records go for the last time", { 1, 3, RUN_RETIRED }, RETIRE_AGAIN, STATUS_STALE_RUN, GUARD_FIELDS, 0 },
    { "purged", { 1, 4, RUN_PURGED }, 0, STATUS_STALE_RUN, GUARD_MANY, 0 },
    { "filled again", { 2, 5, RUN_FILLING }, 0, STATUS_STALE_RUN, GUARD_FIELDS, 0 },
    { "ready again", { 3, 9, RUN_READY }, 0, STATUS_STALE_RUN, GUARD_FIELDS, 0 },
    { "not yet reopened", { 0, 0, RUN_FILLING }, 0, STATUS_STALE_RUN, GUARD_FIELDS, GUARD_FIELDS }, /* an older database */
};

static void guard_put(struct catalog *catalog, const struct run_key *run, const struct guard_case *is)
{
    struct catalog_run stored = { .run = *run, .info = is->info, .step = is->step };
    struct run_info absent = { .incarnation = 0 };

    if (is->info.incarnation != 0)
        assert_ok(catalog_run_put(catalog, &stored, &absent, &suite_err));
}

static void guard_one(struct catalog *catalog, unsigned i)
{
    const struct guard_case *is = &guard_cases[i];
    char source[16];
    struct error err;

    snprintf(source, sizeof source, "guard%u", i);
    struct run_key run = make_run(source, "20130408T0000Z");
    guard_put(catalog, &run, is);
    suite_add_fields(catalog, &run, 0, is->written, "n1", 1);
    enum status status = run_guard_check(catalog, &run, 1, &err);
    size_t left = suite_count(catalog, &run).documents;
    if (status != is->status || left != is->left)
        fail_msg("%s: %s, %zu documents left", is->what, status_name(status), left);
}

static void what_was_written_too_late_is_removed_by_who_wrote_it(void **state)
{
    struct catalog_fixture *fixture = *state;

    for (unsigned i = 0; i < ARRAY_COUNT(guard_cases); i++)
        guard_one(fixture->catalog, i);
}

static void what_the_run_was_filled_with_since_stays(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct catalog_run stored = { .run = suite_run, .info = { 2, 5, RUN_FILLING } };
    struct run_info absent = { .incarnation = 0 };
    struct field_event again = make_add(&suite_run, 7, 1, 1000, "n1", 2);
    struct error err;

    again.issue.incarnation = 2;
    assert_ok(catalog_run_put(fixture->catalog, &stored, &absent, &suite_err));
    suite_apply_one(fixture->catalog, again);
    suite_add_fields(fixture->catalog, &suite_run, 0, 40, "n1", 1);
    assert_int_equal(run_guard_check(fixture->catalog, &suite_run, 1, &err), STATUS_STALE_RUN);
    assert_int_equal(suite_count(fixture->catalog, &suite_run).documents, 1);
    assert_int_equal(run_guard_check(fixture->catalog, &suite_run, 2, &err), STATUS_OK);
}

int suite_run_guard(void)
{
    static const struct CMUnitTest guard[] = {
        cmocka_unit_test_setup_teardown(what_was_written_too_late_is_removed_by_who_wrote_it,
                                        suite_setup, suite_teardown),
        cmocka_unit_test_setup_teardown(what_the_run_was_filled_with_since_stays, suite_setup,
                                        suite_teardown),
    };

    return cmocka_run_group_tests(guard, NULL, NULL);
}
