/* catalog_suite_lock.c: locks, which no time makes free. */
#include "catalog_suite.h"

#include <stdio.h>
#include <string.h>

static struct catalog *catalog_of(void **state)
{
    return ((struct catalog_fixture *)*state)->catalog;
}

static void a_lock_is_one_holders_until_it_is_given_back(void **state)
{
    struct catalog *catalog = catalog_of(state);
    struct catalog_lock lock, met;
    struct error err;

    error_init(&err);
    assert_ok(catalog_lock_take(catalog, "release/hres/20130408T0000Z/7", "n1 00aa", &lock, &suite_err));
    assert_int_equal(catalog_lock_take(catalog, "release/hres/20130408T0000Z/7", "n2 00bb", &met, &err),
                     STATUS_CONFLICT);
    assert_string_equal(met.holder, "n1 00aa");
    assert_string_equal(met.name, "release/hres/20130408T0000Z/7");
    assert_int_equal(met.rev, lock.rev);
    suite_reopen(*state);
    catalog = catalog_of(state);
    assert_int_equal(catalog_lock_take(catalog, "release/hres/20130408T0000Z/7", "n2 00bb", &met, &err),
                     STATUS_CONFLICT);
    assert_ok(catalog_lock_release(catalog, &lock, &suite_err));
    assert_ok(catalog_lock_release(catalog, &lock, &suite_err)); /* free already, as after an answer that was lost */
    assert_ok(catalog_lock_take(catalog, "release/hres/20130408T0000Z/7", "n2 00bb", &met, &suite_err));
}

static void a_lock_is_taken_again_by_its_holder_and_what_was_decided_before_does_not_end_it(void **state)
{
    struct catalog *catalog = catalog_of(state);
    struct catalog_lock first, again, met;
    struct error err;

    error_init(&err);
    assert_ok(catalog_lock_take(catalog, "release/x", "n1 00aa", &first, &suite_err));
    assert_ok(catalog_lock_take(catalog, "release/x", "n1 00aa", &again, &suite_err));
    assert_int_not_equal(first.rev, again.rev);
    assert_ok(catalog_lock_check(catalog, &again, &met, &suite_err));
    assert_int_equal(catalog_lock_check(catalog, &first, &met, &err), STATUS_CONFLICT);
    assert_int_equal(met.rev, again.rev);
    assert_int_equal(catalog_lock_release(catalog, &first, &err), STATUS_CONFLICT);
    assert_int_equal(catalog_lock_take(catalog, "release/x", "n2 00bb", &met, &err), STATUS_CONFLICT);
    assert_ok(catalog_lock_release(catalog, &again, &suite_err));
    assert_int_equal(catalog_lock_check(catalog, &again, &met, &err), STATUS_CONFLICT);
    assert_int_equal(met.rev, 0);
    /* Given back and taken once more: the same text, another taking. */
    assert_ok(catalog_lock_take(catalog, "release/x", "n1 00aa", &met, &suite_err));
    assert_int_equal(catalog_lock_release(catalog, &first, &err), STATUS_CONFLICT);
    assert_int_equal(catalog_lock_release(catalog, &again, &err), STATUS_CONFLICT);
    met.rev = 0; /* whichever taking */
    assert_ok(catalog_lock_release(catalog, &met, &suite_err));
}

static void a_lock_is_not_given_back_by_another(void **state)
{
    struct catalog *catalog = catalog_of(state);
    struct catalog_lock lock, other;
    struct error err;

    error_init(&err);
    assert_ok(catalog_lock_take(catalog, "release/x", "n1 00aa", &lock, &suite_err));
    other = lock;
    snprintf(other.holder, sizeof other.holder, "n1 00ab");
    assert_int_equal(catalog_lock_release(catalog, &other, &err), STATUS_CONFLICT);
    other.rev = 0;
    assert_int_equal(catalog_lock_release(catalog, &other, &err), STATUS_CONFLICT);
    assert_int_equal(catalog_lock_take(catalog, "release/x", "n2 00bb", &other, &err), STATUS_CONFLICT);
}

struct seen {
    unsigned count;
    char names[8][LOCK_NAME_SIZE_MAX + 1];
};

static bool see(void *data, const struct catalog_lock *lock)
{
    struct seen *seen = data;

    assert_true(seen->count < ARRAY_COUNT(seen->names));
    snprintf(seen->names[seen->count++], sizeof seen->names[0], "%s", lock->name);
    return true;
}

static struct seen seen_of(struct catalog *catalog, const char *prefix)
{
    struct seen seen = { .count = 0 };

    assert_ok(catalog_lock_scan(catalog, prefix, see, &seen, &suite_err));
    return seen;
}

static void locks_are_found_and_removed_by_how_their_names_begin(void **state)
{
    static const char *const names[] = { "release/a/20130408T0000Z/7", "release/a/20130408T0000Z/16383",
                                         "release/a/20130408T000030Z/7", "release/ab/20130408T0000Z/7" };
    struct catalog *catalog = catalog_of(state);
    struct catalog_lock lock;
    char text[CATALOG_NOTE_SIZE_MAX];

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++)
        assert_ok(catalog_lock_take(catalog, names[i], "n1 00aa", &lock, &suite_err));
    assert_ok(catalog_note_put(catalog, "release/a/20130408T0000Z/7", "not a lock", &suite_err));
    assert_int_equal(seen_of(catalog, "").count, 4);
    assert_int_equal(seen_of(catalog, "release/a/").count, 3);
    assert_int_equal(seen_of(catalog, "release/a/20130408T0000Z/").count, 2);
    assert_ok(catalog_lock_remove(catalog, "release/a/20130408T0000Z/", &suite_err));
    struct seen left = seen_of(catalog, "release/");
    assert_int_equal(left.count, 2);
    for (unsigned i = 0; i < left.count; i++)
        assert_true(strcmp(left.names[i], names[2]) == 0 || strcmp(left.names[i], names[3]) == 0);
    assert_ok(catalog_note_get(catalog, "release/a/20130408T0000Z/7", text, &suite_err));
    assert_ok(catalog_lock_remove(catalog, "release/none/", &suite_err));
}

static void names_that_are_none_are_refused(void **state)
{
    struct catalog *catalog = catalog_of(state);
    char longest[LOCK_HOLDER_SIZE_MAX + 2];
    struct catalog_lock lock;
    struct error err;

    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    error_init(&err);
    assert_int_equal(catalog_lock_take(catalog, "", "n1", &lock, &err), STATUS_BAD_VALUE);
    assert_int_equal(catalog_lock_take(catalog, "a b", "n1", &lock, &err), STATUS_BAD_VALUE);
    assert_int_equal(catalog_lock_take(catalog, longest, "n1", &lock, &err), STATUS_BAD_VALUE);
    assert_int_equal(catalog_lock_take(catalog, "x", longest, &lock, &err), STATUS_BAD_VALUE);
    assert_int_equal(catalog_lock_take(catalog, "x", "", &lock, &err), STATUS_BAD_VALUE);
    assert_ok(catalog_lock_take(catalog, longest + sizeof longest - 1 - LOCK_NAME_SIZE_MAX,
                                longest + 1, &lock, &suite_err));
}

int suite_run_lock(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, suite_setup, suite_teardown)
    static const struct CMUnitTest lock[] = {
        CASE(a_lock_is_one_holders_until_it_is_given_back),
        CASE(a_lock_is_taken_again_by_its_holder_and_what_was_decided_before_does_not_end_it),
        CASE(a_lock_is_not_given_back_by_another),
        CASE(locks_are_found_and_removed_by_how_their_names_begin),
        CASE(names_that_are_none_are_refused),
    };
#undef CASE

    return cmocka_run_group_tests(lock, NULL, NULL);
}
