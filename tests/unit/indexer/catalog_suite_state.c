/* catalog_suite_state.c: quarantine, cursors, runs, the cluster map, leases. */
#include "catalog_suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- quarantine --- */

static struct quarantine_entry make_entry(const struct run_key *run, unsigned number, const char *node,
                                          unsigned file, struct field_location *location)
{
    struct quarantine_entry entry = { .run = *run, .incarnation = 1, .length = 4158, .stored_at_us = 1000 };

    entry.digest = make_digest(number, 1);
    snprintf(entry.reason, sizeof entry.reason, "decoder died: signal 6 (abort)");
    snprintf(entry.eccodes, sizeof entry.eccodes, "2.28.0");
    *location = make_location(run, node, file, number);
    entry.locations = location;
    entry.locations_count = 1;
    return entry;
}

static void put_entry(struct catalog *catalog, const struct run_key *run, unsigned number,
                      const char *node, unsigned file)
{
    struct field_location location;
    struct quarantine_entry entry = make_entry(run, number, node, file, &location);

    assert_ok(catalog_quarantine_put(catalog, &entry, &suite_err));
}

struct entries {
    size_t count, locations;
    struct quarantine_entry last; /* without locations */
};

static bool entries_take(void *data, const struct quarantine_entry *entry)
{
    struct entries *entries = data;

    entries->count++;
    entries->locations += entry->locations_count;
    entries->last = *entry;
    entries->last.locations = NULL;
    return true;
}

static struct entries entries_of(struct catalog *catalog, const struct run_key *run)
{
    struct entries entries = { .count = 0 };

    assert_ok(catalog_quarantine_scan(catalog, run, entries_take, &entries, &suite_err));
    return entries;
}

static void quarantine_is_a_union_of_locations(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct field_location location;
    struct quarantine_entry again = make_entry(&suite_run, 1, "n2", 1, &location);
    struct run_key other = make_run("gfs", "20130408T0000Z");

    put_entry(fixture->catalog, &suite_run, 1, "n1", 1);
    put_entry(fixture->catalog, &suite_run, 1, "n1", 1);
    put_entry(fixture->catalog, &suite_run, 2, "n1", 1);
    put_entry(fixture->catalog, &other, 1, "n1", 1);
    assert_int_equal(entries_of(fixture->catalog, &suite_run).locations, 2);
    snprintf(again.reason, sizeof again.reason, "decoder timed out after 10 s");
    snprintf(again.eccodes, sizeof again.eccodes, "2.50.0");
    again.digest = make_digest(2, 1);
    again.stored_at_us = 3000;
    assert_ok(catalog_quarantine_put(fixture->catalog, &again, &suite_err));
    suite_reopen(fixture);
    assert_int_equal(entries_of(fixture->catalog, &suite_run).count, 2);
    assert_int_equal(entries_of(fixture->catalog, &suite_run).locations, 3);
    assert_int_equal(entries_of(fixture->catalog, NULL).count, 3);
    assert_ok(catalog_quarantine_remove(fixture->catalog, &suite_run, &(struct digest){ 0 }, &suite_err));
    struct digest first = make_digest(1, 1);
    assert_ok(catalog_quarantine_remove(fixture->catalog, &suite_run, &first, &suite_err));
    struct entries left = entries_of(fixture->catalog, &suite_run);
    assert_int_equal(left.count, 1);
    assert_memory_equal(left.last.digest.bytes, again.digest.bytes, DIGEST_SIZE);
    assert_string_equal(left.last.reason, "decoder timed out after 10 s");
    assert_string_equal(left.last.eccodes, "2.50.0");
    assert_int_equal(left.last.stored_at_us, 3000);
    assert_int_equal(left.last.length, 4158);
    assert_int_equal(left.last.incarnation, 1);
    assert_int_equal(run_key_compare(&left.last.run, &suite_run), 0);
}

static void an_entry_without_locations_leaves(void **state)
{
    struct catalog_fixture *fixture = *state;
    char file[DATA_FILE_NAME_SIZE];
    const char *keep[] = { file, NULL };

    put_entry(fixture->catalog, &suite_run, 1, "n1", 1);
    put_entry(fixture->catalog, &suite_run, 1, "n2", 1);
    put_entry(fixture->catalog, &suite_run, 2, "n1", 2);
    make_file_name(2, file);
    assert_ok(catalog_remove_locations(fixture->catalog, &suite_run, "n1", NULL, keep, &suite_err));
    assert_int_equal(entries_of(fixture->catalog, &suite_run).count, 2);
    assert_int_equal(entries_of(fixture->catalog, &suite_run).locations, 2);
    assert_ok(catalog_remove_locations(fixture->catalog, &suite_run, "n1", file, NULL, &suite_err));
    assert_int_equal(entries_of(fixture->catalog, &suite_run).count, 1);
    assert_ok(catalog_remove_locations(fixture->catalog, &suite_run, "n2", NULL, NULL, &suite_err));
    assert_int_equal(entries_of(fixture->catalog, &suite_run).count, 0);
}

static void one_messages_places_on_one_node_leave(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct digest first = make_digest(1, 1), unknown = make_digest(9, 1);

    put_entry(fixture->catalog, &suite_run, 1, "n1", 1);
    put_entry(fixture->catalog, &suite_run, 1, "n1", 2);
    put_entry(fixture->catalog, &suite_run, 1, "n2", 1);
    put_entry(fixture->catalog, &suite_run, 2, "n1", 1);
    assert_ok(catalog_quarantine_remove_node(fixture->catalog, &suite_run, &first, "n1", &suite_err));
    assert_ok(catalog_quarantine_remove_node(fixture->catalog, &suite_run, &first, "n1", &suite_err));
    assert_ok(catalog_quarantine_remove_node(fixture->catalog, &suite_run, &unknown, "n1", &suite_err));
    assert_int_equal(entries_of(fixture->catalog, &suite_run).count, 2);
    assert_int_equal(entries_of(fixture->catalog, &suite_run).locations, 2);
    assert_ok(catalog_quarantine_remove_node(fixture->catalog, &suite_run, &first, "n2", &suite_err));
    assert_int_equal(entries_of(fixture->catalog, &suite_run).count, 1);
}

static void a_removed_run_takes_its_quarantine_along(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct field_location location;
    struct quarantine_entry newer = make_entry(&suite_run, 99, "n1", 1, &location);
    size_t removed;

    newer.incarnation = 2;
    assert_ok(catalog_quarantine_put(fixture->catalog, &newer, &suite_err));
    for (unsigned i = 0; i < 5; i++)
        put_entry(fixture->catalog, &suite_run, i, "n1", 1);
    suite_add_fields(fixture->catalog, &suite_run, 10, 3, "n1", 1);
    assert_ok(catalog_remove_run(fixture->catalog, &suite_run, 1, 6, &removed, &suite_err));
    assert_int_equal(removed, 6);
    assert_ok(catalog_remove_run(fixture->catalog, &suite_run, 1, 6, &removed, &suite_err));
    assert_int_equal(removed, 2);
    struct entries left = entries_of(fixture->catalog, &suite_run);
    assert_int_equal(left.count, 1);
    assert_int_equal(left.last.incarnation, 2);
}

/* --- cursors --- */

struct cursors {
    size_t count;
    struct catalog_cursor last;
};

static bool cursors_take(void *data, const struct catalog_cursor *cursor)
{
    struct cursors *cursors = data;

    cursors->count++;
    cursors->last = *cursor;
    return true;
}

struct cursor_wanted {
    const struct run_key *run;
    struct catalog_cursor found;
};

static bool cursor_take(void *data, const struct catalog_cursor *cursor)
{
    struct cursor_wanted *wanted = data;

    if (run_key_compare(wanted->run, &cursor->run) == 0)
        wanted->found = *cursor;
    return true;
}

static struct catalog_cursor cursor_of(struct catalog *catalog, const char *node,
                                       const struct run_key *run)
{
    struct cursor_wanted wanted = { .run = run };

    assert_ok(catalog_cursor_scan(catalog, node, cursor_take, &wanted, &suite_err));
    return wanted.found;
}

static struct cursors cursors_of(struct catalog *catalog, const char *node)
{
    struct cursors cursors = { .count = 0 };

    assert_ok(catalog_cursor_scan(catalog, node, cursors_take, &cursors, &suite_err));
    return cursors;
}

static struct catalog_cursor make_cursor(const char *node, const struct run_key *run, uint64_t record)
{
    struct catalog_cursor cursor = { .run = *run,
                                     .journal_id = UINT64_C(0xf123456789abcdef),
                                     .record = record,
                                     .check = 0xfffffffe,
                                     .complete = record > 5,
                                     .files = UINT64_C(0xfedcba9876543210) };

    snprintf(cursor.node, sizeof cursor.node, "%s", node);
    return cursor;
}

/* Behind the one that is there. */
static struct catalog_cursor put_cursor(struct catalog *catalog, const char *node,
                                        const struct run_key *run, uint64_t record)
{
    struct catalog_cursor cursor = make_cursor(node, run, record);
    struct catalog_cursor was = cursor_of(catalog, node, run);

    assert_ok(catalog_cursor_put(catalog, &cursor, &was, &suite_err));
    return cursor;
}

static void a_cursor_comes_back_as_it_was_put(void **state)
{
    struct catalog_fixture *fixture = *state;

    put_cursor(fixture->catalog, "n1", &suite_run, 3);
    put_cursor(fixture->catalog, "n1", &suite_run, 1000000);
    suite_reopen(fixture);
    struct cursors cursors = cursors_of(fixture->catalog, "n1");
    assert_int_equal(cursors.count, 1);
    assert_string_equal(cursors.last.node, "n1");
    assert_int_equal(run_key_compare(&cursors.last.run, &suite_run), 0);
    assert_true(cursors.last.journal_id == UINT64_C(0xf123456789abcdef));
    assert_int_equal(cursors.last.record, 1000000);
    assert_int_equal(cursors.last.check, 0xfffffffe);
    assert_true(cursors.last.complete);
    assert_true(cursors.last.files == UINT64_C(0xfedcba9876543210));
    assert_true(cursors.last.rev != 0);
}

static void a_cursor_that_another_one_moved_is_not_overwritten(void **state)
{
    struct catalog *catalog = ((struct catalog_fixture *)*state)->catalog;
    struct catalog_cursor none = { .rev = 0 };
    struct catalog_cursor slept = put_cursor(catalog, "n1", &suite_run, 3);
    struct catalog_cursor late = make_cursor("n1", &suite_run, 9);
    struct error err;

    error_init(&err);
    struct catalog_cursor now = put_cursor(catalog, "n1", &suite_run, 1000);
    assert_int_equal(catalog_cursor_put(catalog, &late, &slept, &err), STATUS_CONFLICT);
    assert_int_equal(catalog_cursor_put(catalog, &late, &none, &err), STATUS_CONFLICT);
    assert_int_equal(cursor_of(catalog, "n1", &suite_run).record, 1000);
    /* The answer was lost, so it is said again; it stands as it was. */
    struct catalog_cursor again = make_cursor("n1", &suite_run, 1000);
    assert_ok(catalog_cursor_put(catalog, &again, &slept, &suite_err));
    assert_true(again.rev == now.rev);
    /* A database that came back as it was before, then moved by somebody else to the same revision. */
    struct catalog_cursor forged = now;
    forged.record = 2000;
    assert_int_equal(catalog_cursor_put(catalog, &late, &forged, &err), STATUS_CONFLICT);
    assert_ok(catalog_cursor_remove(catalog, "n1", &suite_run, &suite_err));
    assert_int_equal(catalog_cursor_put(catalog, &late, &now, &err), STATUS_CONFLICT);
    assert_ok(catalog_cursor_put(catalog, &late, &none, &suite_err));
}

static void who_wrote_late_sets_the_cursor_back(void **state)
{
    struct catalog *catalog = ((struct catalog_fixture *)*state)->catalog;
    struct catalog_cursor slept = put_cursor(catalog, "n1", &suite_run, 10);
    struct error err;

    error_init(&err);
    assert_ok(catalog_cursor_check(catalog, &slept, false, &suite_err)); /* nobody moved it */
    assert_int_equal(cursor_of(catalog, "n1", &suite_run).record, 10);
    put_cursor(catalog, "n1", &suite_run, 1000);
    assert_int_equal(catalog_cursor_check(catalog, &slept, false, &err), STATUS_CONFLICT);
    struct catalog_cursor back = cursor_of(catalog, "n1", &suite_run);
    assert_int_equal(back.record, 10); /* what he wrote began here */
    assert_true(!back.complete && back.journal_id == slept.journal_id);
    /* What was removed by a list may be anywhere. */
    put_cursor(catalog, "n1", &suite_run, 1000);
    assert_int_equal(catalog_cursor_check(catalog, &slept, true, &err), STATUS_CONFLICT);
    assert_int_equal(cursor_of(catalog, "n1", &suite_run).record, 0);
    /* The run was purged meanwhile: one is left there all the same, for who looks after what the node has not. */
    assert_ok(catalog_cursor_remove(catalog, "n1", &suite_run, &suite_err));
    assert_int_equal(catalog_cursor_check(catalog, &slept, false, &err), STATUS_CONFLICT);
    back = cursor_of(catalog, "n1", &suite_run);
    assert_true(back.rev != 0 && back.record == 0 && !back.complete);
}

static void cursors_are_removed_by_node_and_run(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct run_key runs[] = { suite_run, make_run("gfs", "20130408T0000Z"),
                              make_run("hres", "20130408T1200Z") };
    const char *nodes[] = { "n1", "n10", "n2" };

    for (unsigned i = 0; i < 3; i++)
        for (unsigned j = 0; j < 3; j++)
            put_cursor(fixture->catalog, nodes[i], &runs[j], i + j);
    assert_int_equal(cursors_of(fixture->catalog, NULL).count, 9);
    assert_int_equal(cursors_of(fixture->catalog, "n1").count, 3);
    assert_ok(catalog_cursor_remove(fixture->catalog, "n1", &runs[0], &suite_err));
    assert_int_equal(cursors_of(fixture->catalog, "n1").count, 2);
    assert_ok(catalog_cursor_remove(fixture->catalog, NULL, &runs[1], &suite_err));
    assert_int_equal(cursors_of(fixture->catalog, NULL).count, 5);
    assert_ok(catalog_cursor_remove(fixture->catalog, "n10", NULL, &suite_err));
    assert_int_equal(cursors_of(fixture->catalog, NULL).count, 3);
    assert_ok(catalog_cursor_remove(fixture->catalog, NULL, NULL, &suite_err));
    assert_int_equal(cursors_of(fixture->catalog, NULL).count, 0);
    assert_ok(catalog_cursor_remove(fixture->catalog, NULL, NULL, &suite_err));
}

/* --- runs --- */

static bool runs_count(void *data, const struct catalog_run *run)
{
    (void)run;
    (*(size_t *)data)++;
    return true;
}

static void a_run_is_changed_by_compare_and_set_only(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct catalog *catalog = fixture->catalog;
    struct catalog_run run = { .run = suite_run, .info = { 1, 0, RUN_FILLING } }, found;
    const struct run_info absent = { 0 }, first = { 1, 0, RUN_FILLING }, second = { 1, 1, RUN_READY };
    struct error err;
    size_t count = 0;

    assert_int_equal(catalog_run_get(catalog, &suite_run, &found, &err), STATUS_NOT_FOUND);
    assert_int_equal(catalog_run_put(catalog, &run, &first, &err), STATUS_CONFLICT);
    assert_ok(catalog_run_put(catalog, &run, &absent, &suite_err));
    assert_ok(catalog_run_put(catalog, &run, &absent, &suite_err)); /* the answer was lost, so it is said again */
    run.info = second;
    run.ready_at_us = UINT64_C(1365379200123456);
    assert_int_equal(catalog_run_put(catalog, &run, &absent, &err), STATUS_CONFLICT);
    assert_ok(catalog_run_put(catalog, &run, &first, &suite_err));
    run.info = (struct run_info){ 1, 2, RUN_RETIRED };
    run.retired_at_us = run.ready_at_us + 1;
    run.grace_ms = 60000;
    run.step = 3;
    assert_int_equal(catalog_run_put(catalog, &run, &first, &err), STATUS_CONFLICT);
    assert_non_null(strstr(err.text, "ready"));
    assert_ok(catalog_run_put(catalog, &run, &second, &suite_err));
    suite_reopen(fixture);
    catalog = fixture->catalog;
    assert_ok(catalog_run_get(catalog, &suite_run, &found, &suite_err));
    assert_int_equal(run_info_compare(&found.info, &run.info), 0);
    assert_int_equal(found.info.state, RUN_RETIRED);
    assert_int_equal(found.ready_at_us, run.ready_at_us);
    assert_int_equal(found.retired_at_us, run.retired_at_us);
    assert_int_equal(found.purged_at_us, 0);
    assert_int_equal(found.grace_ms, 60000);
    assert_int_equal(found.step, 3);
    run.run = make_run("gfs", "20130408T0000Z");
    assert_ok(catalog_run_put(catalog, &run, &absent, &suite_err));
    assert_ok(catalog_run_scan(catalog, runs_count, &count, &suite_err));
    assert_int_equal(count, 2);
}

/* --- the cluster map --- */

static void the_map_is_changed_by_compare_and_set_on_its_epoch(void **state)
{
    static const char first[] = "{\"epoch\": 0, \"colo\": \"a\"}", second[] = "{\"epoch\": 1}",
                      third[] = "{\"epoch\": 1, \"other\": \"\xc3\xa9\"}";
    struct catalog_fixture *fixture = *state;
    struct error err;
    struct buf json;

    buf_init(&json, 1000);
    assert_int_equal(catalog_map_get(fixture->catalog, &json, &err), STATUS_NOT_FOUND);
    assert_ok(catalog_map_put(fixture->catalog, first, strlen(first), 0, UINT64_MAX, &suite_err));
    assert_ok(catalog_map_put(fixture->catalog, first, strlen(first), 0, UINT64_MAX, &suite_err));
    assert_ok(catalog_map_put(fixture->catalog, second, strlen(second), 1, 0, &suite_err));
    assert_int_equal(catalog_map_put(fixture->catalog, third, strlen(third), 1, 0, &err),
                     STATUS_STALE_EPOCH);
    assert_int_equal(catalog_map_put(fixture->catalog, third, strlen(third), 1, UINT64_MAX, &err),
                     STATUS_STALE_EPOCH);
    assert_ok(catalog_map_put(fixture->catalog, third, strlen(third), 2, 1, &suite_err));
    assert_int_equal(catalog_map_put(fixture->catalog, "{\0}", 3, 3, 2, &err), STATUS_BAD_VALUE);
    assert_int_equal(catalog_map_put(fixture->catalog, "\xff", 1, 3, 2, &err), STATUS_BAD_VALUE);
    suite_reopen(fixture);
    assert_ok(catalog_map_get(fixture->catalog, &json, &suite_err));
    assert_string_equal(buf_string(&json), third);
    buf_fini(&json);
}

static void a_map_of_an_earlier_day_makes_way(void **state)
{
    static const char old[] = "{\"epoch\": 3}", new[] = "{\"epoch\": 8}", newer[] = "{\"epoch\": 10}";
    struct catalog_fixture *fixture = *state;
    struct error err;
    struct buf json;

    buf_init(&json, 1000);
    /* There was one of epoch 2 when it was asked for; the database that came back knows none. */
    assert_ok(catalog_map_put(fixture->catalog, old, strlen(old), 3, 2, &suite_err));
    /* The one that rules has epoch 7. */
    assert_ok(catalog_map_put(fixture->catalog, new, strlen(new), 8, 7, &suite_err));
    assert_int_equal(catalog_map_put(fixture->catalog, newer, strlen(newer), 8, 7, &err),
                     STATUS_STALE_EPOCH);
    assert_ok(catalog_map_get(fixture->catalog, &json, &suite_err));
    assert_string_equal(buf_string(&json), new);
    buf_fini(&json);
}

/* --- leases --- */

static void a_lease_is_held_until_it_runs_out(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct catalog *catalog = fixture->catalog;
    struct error err;
    char holder[64];
    enum status status;

    assert_ok(catalog_lease_take(catalog, "rotate-hres", "a", 60000, holder, &suite_err));
    assert_string_equal(holder, "a");
    assert_int_equal(catalog_lease_take(catalog, "rotate-hres", "$owner", 60000, holder, &err),
                     STATUS_CONFLICT);
    assert_string_equal(holder, "a");
    assert_ok(catalog_lease_take(catalog, "rotate-gfs", "$owner", 60000, holder, &suite_err));
    assert_string_equal(holder, "$owner");
    /* Renewed for a moment; then it is anybody's. No other lease is. */
    assert_ok(catalog_lease_take(catalog, "rotate-hres", "a", 20, holder, &suite_err));
    do {
        status = catalog_lease_take(catalog, "rotate-hres", "b", 60000, holder, &err);
    } while (status == STATUS_CONFLICT);
    assert_int_equal(status, STATUS_OK);
    assert_string_equal(holder, "b");
    assert_int_equal(catalog_lease_take(catalog, "rotate-hres", "a", 60000, holder, &err),
                     STATUS_CONFLICT);
    assert_string_equal(holder, "b");
    assert_int_equal(catalog_lease_take(catalog, "rotate-gfs", "a", 60000, holder, &err), STATUS_CONFLICT);
}

static void a_lease_is_given_back_by_its_owner_only(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct catalog *catalog = fixture->catalog;
    struct error err;
    char holder[64], longest[65];

    assert_ok(catalog_lease_take(catalog, "rotate", "a", 60000, holder, &suite_err));
    assert_ok(catalog_lease_release(catalog, "rotate", "b", &suite_err));
    assert_int_equal(catalog_lease_take(catalog, "rotate", "b", 60000, holder, &err), STATUS_CONFLICT);
    assert_ok(catalog_lease_release(catalog, "rotate", "a", &suite_err));
    assert_ok(catalog_lease_take(catalog, "rotate", "b", 60000, holder, &suite_err));
    memset(longest, 'x', 64);
    longest[64] = '\0';
    assert_int_equal(catalog_lease_take(catalog, "x", longest, 60000, holder, &err), STATUS_BAD_VALUE);
    assert_int_equal(catalog_lease_take(catalog, "", "a", 60000, holder, &err), STATUS_BAD_VALUE);
    assert_int_equal(catalog_lease_take(catalog, "x", "a", 0, holder, &err), STATUS_BAD_VALUE);
    assert_ok(catalog_lease_take(catalog, "x", longest + 1, 60000, holder, &suite_err));
    assert_string_equal(holder, longest + 1);
}

struct leases {
    size_t count, live;
    bool all_of_a;
};

static bool leases_take(void *data, const struct catalog_lease *lease)
{
    struct leases *leases = data;

    leases->count++;
    leases->live += lease->left_ms > 0;
    leases->all_of_a = leases->all_of_a && strcmp(lease->owner, "a") == 0;
    assert_true(lease->left_ms <= 60000);
    return true;
}

static struct leases leases_of(struct catalog *catalog)
{
    struct leases leases = { .all_of_a = true };

    assert_ok(catalog_lease_scan(catalog, leases_take, &leases, &suite_err));
    return leases;
}

static void an_owners_leases_are_renewed_and_given_back_together(void **state)
{
    struct catalog *catalog = ((struct catalog_fixture *)*state)->catalog;
    char holder[64];

    assert_ok(catalog_lease_take(catalog, "node/n1", "a", 30000, holder, &suite_err));
    assert_ok(catalog_lease_take(catalog, "node/n2", "a", 1, holder, &suite_err));
    assert_ok(catalog_lease_take(catalog, "node/n3", "b", 30000, holder, &suite_err));
    while (leases_of(catalog).live == 3)
        ;
    assert_ok(catalog_lease_renew(catalog, "a", 60000, &suite_err));
    assert_int_equal(leases_of(catalog).count, 3);
    assert_int_equal(leases_of(catalog).live, 2); /* what had run out is not had back by renewing */
    assert_ok(catalog_lease_take(catalog, "node/n2", "b", 30000, holder, &suite_err));
    assert_ok(catalog_lease_release_all(catalog, "b", &suite_err));
    assert_int_equal(leases_of(catalog).count, 1);
    assert_true(leases_of(catalog).all_of_a);
    assert_ok(catalog_lease_release_all(catalog, "b", &suite_err));
}

static void a_note_is_what_was_written_last(void **state)
{
    struct catalog *catalog = ((struct catalog_fixture *)*state)->catalog;
    char text[CATALOG_NOTE_SIZE_MAX];
    struct error err;

    error_init(&err);
    assert_int_equal(catalog_note_get(catalog, "sweep", text, &err), STATUS_NOT_FOUND);
    assert_ok(catalog_note_put(catalog, "sweep", "{\"ended\":1}", &suite_err));
    assert_ok(catalog_note_put(catalog, "sweep", "{\"ended\":2}", &suite_err));
    assert_ok(catalog_note_put(catalog, "url/n1", "http://127.0.0.1:1", &suite_err));
    assert_ok(catalog_note_get(catalog, "sweep", text, &suite_err));
    assert_string_equal(text, "{\"ended\":2}");
}

static void a_retirement_is_undone_only_before_its_files_go(void **state)
{
    struct catalog *catalog = ((struct catalog_fixture *)*state)->catalog;
    struct catalog_run run = { .run = suite_run, .info = { 1, 2, RUN_RETIRED }, .step = 3 };
    struct run_info absent = { 0, 0, RUN_FILLING }, retired = run.info;
    struct error err;

    error_init(&err);
    assert_ok(catalog_run_put(catalog, &run, &absent, &suite_err));
    run.step = 4;
    assert_ok(catalog_run_put(catalog, &run, &retired, &suite_err));
    run.step = 2; /* who slept at an earlier step */
    assert_int_equal(catalog_run_put(catalog, &run, &retired, &err), STATUS_CONFLICT);
    run.info = (struct run_info){ 1, 3, RUN_READY };
    run.step = 0;
    assert_int_equal(catalog_run_put_before(catalog, &run, &retired, 3, &err), STATUS_CONFLICT);
    assert_ok(catalog_run_put_before(catalog, &run, &retired, 4, &suite_err));
}

static void a_catalog_that_is_there_answers(void **state)
{
    struct catalog_fixture *fixture = *state;

    assert_ok(catalog_ping(fixture->catalog, &suite_err));
    assert_non_null(strstr(fixture->uri, catalog_backend(fixture->catalog)));
}

int suite_run_state(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, suite_setup, suite_teardown)
    static const struct CMUnitTest state[] = {
        CASE(quarantine_is_a_union_of_locations),
        CASE(an_entry_without_locations_leaves),
        CASE(one_messages_places_on_one_node_leave),
        CASE(a_removed_run_takes_its_quarantine_along),
        CASE(a_cursor_comes_back_as_it_was_put),
        CASE(a_cursor_that_another_one_moved_is_not_overwritten),
        CASE(who_wrote_late_sets_the_cursor_back),
        CASE(cursors_are_removed_by_node_and_run),
        CASE(a_run_is_changed_by_compare_and_set_only),
        CASE(the_map_is_changed_by_compare_and_set_on_its_epoch),
        CASE(a_map_of_an_earlier_day_makes_way),
        CASE(a_lease_is_held_until_it_runs_out),
        CASE(a_lease_is_given_back_by_its_owner_only),
        CASE(an_owners_leases_are_renewed_and_given_back_together),
        CASE(a_note_is_what_was_written_last),
        CASE(a_retirement_is_undone_only_before_its_files_go),
        CASE(a_catalog_that_is_there_answers),
    };
#undef CASE

    return cmocka_run_group_tests(state, NULL, NULL);
}
