/* catalog_suite_quarantine.c: many entries at once, and messages that decode after all. */
#include "catalog_suite.h"
#include "indexer/catalog/catalog_ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An entry in the place of field `number`, first issue; its location lies in *location. */
static struct quarantine_entry make_entry(unsigned number, const char *node, unsigned file,
                                          const char *reason, struct field_location *location)
{
    struct quarantine_entry entry = {
        .run = suite_run, .incarnation = 1, .length = 4158, .stored_at_us = 1000, .form = 7
    };

    entry.digest = make_digest(number, 1);
    snprintf(entry.reason, sizeof entry.reason, "%s", reason);
    snprintf(entry.eccodes, sizeof entry.eccodes, "2.28.0");
    *location = make_location(&suite_run, node, file, number);
    entry.locations = location;
    entry.locations_count = 1;
    return entry;
}

struct found {
    size_t count, locations;
    char reasons[64];
    unsigned form;
};

static bool found_take(void *data, const struct quarantine_entry *entry)
{
    struct found *found = data;
    size_t used = strlen(found->reasons);

    found->count++;
    found->locations += entry->locations_count;
    found->form = entry->form;
    if (used + 2 < sizeof found->reasons)
        snprintf(found->reasons + used, sizeof found->reasons - used, "%.8s ", entry->reason);
    return true;
}

static struct found find(struct catalog *catalog)
{
    struct found found = { .count = 0 };

    assert_ok(catalog_quarantine_scan(catalog, &suite_run, found_take, &found, &suite_err));
    return found;
}

static void many_entries_at_once_are_as_one_after_the_other(void **state)
{
    struct catalog_fixture *fixture = *state;
    enum { COUNT = 6 };
    struct field_location locations[COUNT];
    struct quarantine_entry before = make_entry(2, "n2", 1, "old", &locations[0]);
    struct quarantine_entry entries[COUNT] = { { .length = 0 } };

    assert_ok(catalog_quarantine_put(fixture->catalog, &before, &suite_err));
    entries[0] = make_entry(2, "n1", 1, "b", &locations[0]); /* is there, with another place */
    entries[1] = make_entry(1, "n1", 1, "first", &locations[1]);
    entries[2] = make_entry(1, "n1", 2, "a", &locations[2]); /* the same message again: the newest reason */
    entries[3] = make_entry(3, "n1", 1, "c", &locations[3]);
    entries[4] = make_entry(4, "n1", 1, "nowhere", &locations[4]);
    entries[4].locations_count = 0;
    entries[5] = make_entry(3, "n1", 1, "c", &locations[5]); /* nothing new */
    for (unsigned round = 0; round < 2; round++) {
        assert_ok(catalog_quarantine_put_all(fixture->catalog, entries, COUNT, &suite_err));
        struct found found = find(fixture->catalog);
        assert_int_equal(found.count, 3);
        assert_int_equal(found.locations, 5);
        assert_non_null(strstr(found.reasons, "a "));
        assert_non_null(strstr(found.reasons, "b "));
        assert_non_null(strstr(found.reasons, "c "));
        assert_int_equal(found.form, 7);
    }
    assert_ok(catalog_quarantine_put_all(fixture->catalog, NULL, 0, &suite_err));
}

static bool stop_at_two(void *data, const struct quarantine_entry *entry)
{
    struct quarantine_entry *last = data;

    *last = *entry;
    last->locations = NULL;
    return ++last->length < 2; /* counts, here */
}

static void entries_are_read_on_from_where_one_stopped(void **state)
{
    struct catalog_fixture *fixture = *state;
    enum { COUNT = 5 };
    struct field_location locations[COUNT];
    struct quarantine_entry entries[COUNT], last = { .length = 0 };
    struct found left = { .count = 0 };

    for (unsigned i = 0; i < COUNT; i++)
        entries[i] = make_entry(i, "n1", 1, "x", &locations[i]);
    entries[COUNT - 1].run = make_run("other", "20130408T0000Z");
    assert_ok(catalog_quarantine_put_all(fixture->catalog, entries, COUNT, &suite_err));
    assert_ok(catalog_quarantine_scan_behind(fixture->catalog, &last, found_take, &left, &suite_err));
    assert_int_equal(left.count, COUNT);
    for (unsigned i = 0; i < COUNT; i++) { /* one by one */
        struct quarantine_entry next = last;
        next.length = 1;
        assert_ok(catalog_quarantine_scan_behind(fixture->catalog, &last, stop_at_two, &next, &suite_err));
        assert_true(run_key_compare(&next.run, &last.run) != 0 ||
                    memcmp(&next.digest, &last.digest, sizeof last.digest) != 0);
        last = next;
    }
    left = (struct found){ .count = 0 };
    assert_ok(catalog_quarantine_scan_behind(fixture->catalog, &last, found_take, &left, &suite_err));
    assert_int_equal(left.count, 0);
}

/* --- messages that decode after all --- */

/* Entry 1 in two places, and the two fields that it has. */
struct decoded {
    struct field_location locations[2];
    struct quarantine_entry entry;
    struct quarantine_field fields[2];
};

static void make_decoded(struct decoded *decoded)
{
    decoded->entry = make_entry(1, "n1", 1, "x", &decoded->locations[0]);
    decoded->locations[1] = make_location(&suite_run, "n2", 2, 1);
    decoded->entry.locations_count = 2;
    for (unsigned i = 0; i < 2; i++) {
        struct field_id id;
        make_field_id(&suite_run, 1 + i, &id);
        memcpy(decoded->fields[i].identity, id.bytes + id.size - GRIB_IDENTITY_SIZE, GRIB_IDENTITY_SIZE);
        decoded->fields[i].keys = make_keys(&suite_run, 1 + i);
    }
}

static void free_decoded(struct decoded *decoded)
{
    for (unsigned i = 0; i < 2; i++)
        field_keys_unref(decoded->fields[i].keys);
}

static bool resolve(struct catalog_fixture *fixture, const struct decoded *decoded)
{
    bool resolved;

    assert_ok(catalog_quarantine_resolve(fixture->catalog, &decoded->entry, decoded->fields, 2,
                                         &resolved, &suite_err));
    return resolved;
}

static void a_message_that_decodes_after_all_has_documents_and_no_entry(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct decoded decoded;
    struct field_location other;

    make_decoded(&decoded);
    struct quarantine_entry neighbour = make_entry(5, "n1", 1, "y", &other);
    assert_ok(catalog_quarantine_put(fixture->catalog, &neighbour, &suite_err));
    assert_ok(catalog_quarantine_put(fixture->catalog, &decoded.entry, &suite_err));
    assert_true(resolve(fixture, &decoded));
    assert_int_equal(find(fixture->catalog).count, 1); /* the neighbour */
    struct suite_counts counts = suite_count(fixture->catalog, &suite_run);
    assert_int_equal(counts.documents, 2);
    assert_int_equal(counts.locations, 4);
    json_t *second = suite_document(fixture->catalog, &suite_run, 2, NULL);
    assert_int_equal(json_integer_value(json_object_get(second, "sub")), 2);
    assert_int_equal(json_integer_value(json_object_get(second, "stored_at")), 1000);
    json_decref(second);
    assert_false(resolve(fixture, &decoded)); /* once more: there is nothing to do */
    assert_int_equal(suite_count(fixture->catalog, &suite_run).locations, 4);
    free_decoded(&decoded);
}

static void an_entry_that_left_meanwhile_brings_no_documents(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct decoded decoded;

    make_decoded(&decoded);
    assert_false(resolve(fixture, &decoded));
    decoded.entry.incarnation = 2; /* of a run that was reopened */
    assert_ok(catalog_quarantine_put(fixture->catalog, &decoded.entry, &suite_err));
    decoded.entry.incarnation = 1;
    assert_false(resolve(fixture, &decoded));
    assert_int_equal(find(fixture->catalog).count, 1);
    assert_int_equal(suite_count(fixture->catalog, &suite_run).documents, 0);
    free_decoded(&decoded);
}

/* The database with somebody who comes in between: in front of the first deletion of an entry he does his part. */
static struct {
    const struct catalog_ops *real;
    void (*meanwhile)(struct catalog *catalog);
    bool fails; /* the process ends there */
} between;

static enum status write_between(struct catalog *catalog, enum catalog_table table,
                                 struct record_write *writes, size_t count, struct error *err)
{
    void (*meanwhile)(struct catalog * catalog) = between.meanwhile;

    if (table == CATALOG_QUARANTINE && writes[0].doc == NULL && meanwhile != NULL) {
        between.meanwhile = NULL;
        meanwhile(catalog);
        if (between.fails)
            return error_set(err, STATUS_UNREACHABLE, "the end");
    }
    return between.real->write(catalog, table, writes, count, err);
}

static void resolve_with(struct catalog_fixture *fixture, const struct decoded *decoded,
                         void (*meanwhile)(struct catalog *catalog), bool fails, bool expected)
{
    struct catalog_ops ops = *fixture->catalog->ops;
    bool resolved;

    between.real = fixture->catalog->ops;
    between.meanwhile = meanwhile;
    between.fails = fails;
    ops.write = write_between;
    fixture->catalog->ops = &ops;
    enum status status = catalog_quarantine_resolve(fixture->catalog, &decoded->entry,
                                                    decoded->fields, 2, &resolved, &suite_err);
    fixture->catalog->ops = between.real;
    assert_null(between.meanwhile); /* it came to that */
    assert_int_equal(status, fails ? STATUS_UNREACHABLE : STATUS_OK);
    assert_int_equal(resolved, expected);
}

static void drop_one_place(struct catalog *catalog)
{
    char file[DATA_FILE_NAME_SIZE];

    make_file_name(1, file);
    assert_ok(catalog_remove_locations(catalog, &suite_run, "n1", file, NULL, &suite_err));
}

static void mark_one_place_bad_in_quarantine(struct catalog *catalog)
{
    struct digest digest = make_digest(1, 1);

    /* The first half of a removal; its second came before the documents were written. */
    assert_ok(catalog_quarantine_remove_node(catalog, &suite_run, &digest, "n1", &suite_err));
}

static void drop_all_places(struct catalog *catalog)
{
    struct digest digest = make_digest(1, 1);

    assert_ok(catalog_quarantine_remove(catalog, &suite_run, &digest, &suite_err));
}

static void add_one_place(struct catalog *catalog)
{
    struct field_location location;
    struct quarantine_entry entry = make_entry(1, "n3", 3, "x", &location);

    assert_ok(catalog_quarantine_put(catalog, &entry, &suite_err));
}

static void places_that_come_or_go_meanwhile_are_heeded(void **state)
{
    struct catalog_fixture *fixture = *state;
    static const struct {
        void (*meanwhile)(struct catalog *catalog);
        bool resolved;
        size_t locations; /* of both documents, in the end */
    } cases[] = {
        { drop_one_place, true, 2 },
        { mark_one_place_bad_in_quarantine, true, 2 },
        { drop_all_places, false, 0 },
        { add_one_place, true, 6 },
    };
    struct decoded decoded;

    make_decoded(&decoded);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        size_t removed;
        assert_ok(catalog_quarantine_put(fixture->catalog, &decoded.entry, &suite_err));
        resolve_with(fixture, &decoded, cases[i].meanwhile, false, cases[i].resolved);
        assert_int_equal(find(fixture->catalog).count, 0);
        assert_int_equal(suite_count(fixture->catalog, &suite_run).locations, cases[i].locations);
        assert_ok(catalog_remove_run(fixture->catalog, &suite_run, 1, 100, &removed, &suite_err));
    }
    free_decoded(&decoded);
}

static void nothing_happens(struct catalog *catalog)
{
    (void)catalog;
}

static void an_end_before_the_entry_goes_is_made_good_by_the_next_attempt(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct decoded decoded;

    make_decoded(&decoded);
    assert_ok(catalog_quarantine_put(fixture->catalog, &decoded.entry, &suite_err));
    resolve_with(fixture, &decoded, nothing_happens, true, false);
    assert_int_equal(find(fixture->catalog).count, 1);
    assert_int_equal(suite_count(fixture->catalog, &suite_run).documents, 2);
    assert_true(resolve(fixture, &decoded));
    assert_int_equal(find(fixture->catalog).count, 0);
    assert_int_equal(suite_count(fixture->catalog, &suite_run).locations, 4);
    free_decoded(&decoded);
}

static void an_entry_that_was_tried_in_vain_says_by_whom(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct field_location location;
    struct quarantine_entry entry = make_entry(1, "n1", 1, "old", &location);

    assert_ok(catalog_quarantine_renew(fixture->catalog, &entry, &suite_err));
    assert_int_equal(find(fixture->catalog).count, 0); /* none is made of nothing */
    assert_ok(catalog_quarantine_put(fixture->catalog, &entry, &suite_err));
    snprintf(entry.reason, sizeof entry.reason, "new");
    entry.form = 8;
    entry.locations_count = 0; /* not looked at */
    assert_ok(catalog_quarantine_renew(fixture->catalog, &entry, &suite_err));
    struct found found = find(fixture->catalog);
    assert_string_equal(found.reasons, "new ");
    assert_int_equal(found.form, 8);
    assert_int_equal(found.locations, 1);
    entry.incarnation = 2;
    entry.form = 9;
    assert_ok(catalog_quarantine_renew(fixture->catalog, &entry, &suite_err));
    assert_int_equal(find(fixture->catalog).form, 8);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, suite_setup, suite_teardown)

int suite_run_quarantine(void)
{
    const struct CMUnitTest tests[] = {
        CASE(many_entries_at_once_are_as_one_after_the_other),
        CASE(entries_are_read_on_from_where_one_stopped),
        CASE(a_message_that_decodes_after_all_has_documents_and_no_entry),
        CASE(an_entry_that_left_meanwhile_brings_no_documents),
        CASE(places_that_come_or_go_meanwhile_are_heeded),
        CASE(an_end_before_the_entry_goes_is_made_good_by_the_next_attempt),
        CASE(an_entry_that_was_tried_in_vain_says_by_whom),
    };

    return cmocka_run_group_tests_name("quarantine", tests, NULL, NULL);
}
