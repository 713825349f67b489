/* catalog_suite_write.c: first inserts, what they meet, and what is written straight from a document. */
#include "catalog_suite.h"
#include "indexer/catalog/catalog_ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the catalog gives back is what merging the same events gives without one. */
static void assert_stored_as_merged(struct catalog *catalog, unsigned field,
                                    struct field_event *events, size_t count)
{
    struct field_document document;
    struct error err;
    bool changed;

    field_document_init(&document, &events[0].id, &events[0].run);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(field_merge(&document, &events[i], &changed, &err), STATUS_OK);
    suite_apply(catalog, events, count);
    json_t *wanted = field_to_json(&document), *found = suite_document(catalog, &suite_run, field, NULL);
    assert_non_null(found);
    if (!json_equal(wanted, found))
        fail_msg("wanted %s\nfound %s", json_dumps(wanted, JSON_SORT_KEYS),
                 json_dumps(found, JSON_SORT_KEYS));
    json_decref(wanted);
    json_decref(found);
    field_document_fini(&document);
}

static void what_is_stored_is_what_was_merged_to_the_last_key(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct field_event events[] = {
        make_add(&suite_run, 2, 1, 1000, "n1", 1),
        make_add(&suite_run, 2, 2, 2000, "n2", 2), /* the current one */
        make_add(&suite_run, 2, 3, 500, "n1", 3),
        make_add(&suite_run, 2, 1, 1000, "n3", 1),
    };

    /* An older issue that has a key more, one that it lacks, one that differs. */
    make_set(&events[0].issue, "extra", json_string("a \"quote\", \\ and \xc3\xa9\n"));
    make_set(&events[0].issue, "units", NULL);
    make_set(&events[0].issue, "name", json_string(""));
    make_set(&events[1].issue, "whole", json_real(1.0));
    make_set(&events[1].issue, "small", json_real(-1.5e-300));
    make_set(&events[1].issue, "third", json_real(1.0 / 3));
    make_set(&events[1].issue, "wide", json_integer(INT64_MAX));
    make_set(&events[1].issue, "least", json_integer(INT64_MIN));
    make_set(&events[1].issue, "yes", json_true());
    make_set(&events[1].issue, "no", json_false());
    field_keys_unref(events[3].issue.keys);
    events[3].issue.keys = field_keys_ref(events[0].issue.keys);
    assert_stored_as_merged(fixture->catalog, 2, events, ARRAY_COUNT(events));
}

static void a_real_number_stays_one_so_that_it_is_not_written_again(void **state)
{
    struct catalog_fixture *fixture = *state;
    uint64_t revs[2];

    for (int i = 0; i < 2; i++) {
        struct field_event event = make_add(&suite_run, 1, 1, 1000, "n1", 1);
        make_set(&event.issue, "whole", json_real(1.0));
        suite_apply_one(fixture->catalog, event);
        json_decref(suite_document(fixture->catalog, &suite_run, 1, &revs[i]));
    }
    assert_true(revs[0] == revs[1]);
}

/* Whatever the last batch met: batches that find all, some or none of their documents come in turn. */
static void copies_and_first_ones_may_come_in_any_mixture(void **state)
{
    struct catalog_fixture *fixture = *state;
    static const struct {
        unsigned first, count;
        const char *node;
    } batches[] = {
        { 0, 100, "n1" },  { 0, 100, "n2" },  { 0, 100, "n2" },  { 50, 100, "n2" },
        { 90, 200, "n2" }, { 200, 90, "n1" }, { 300, 90, "n2" }, { 0, 400, "n1" },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(batches); i++)
        suite_add_fields(fixture->catalog, &suite_run, batches[i].first, batches[i].count,
                         batches[i].node, 1);
    struct suite_counts counts = suite_count(fixture->catalog, &suite_run);
    assert_int_equal(counts.documents, 400);
    assert_int_equal(counts.issues, 400);
    assert_int_equal(counts.locations, 400 + 290 + 90); /* n2: 0 to 289, 300 to 389 */
}

static void what_comes_and_goes_in_one_batch_meets_what_was_there(void **state)
{
    struct catalog_fixture *fixture = *state;

    suite_add_fields(fixture->catalog, &suite_run, 0, 3, "n1", 1);
    struct field_event events[] = {
        make_add(&suite_run, 0, 1, 1000, "n2", 2), make_remove(&suite_run, 0, "n2", 0),
        make_add(&suite_run, 1, 1, 1000, "n2", 2), make_remove(&suite_run, 1, "n1", 0),
        make_remove(&suite_run, 2, "n1", 0),       make_add(&suite_run, 2, 1, 1000, "n2", 2),
        make_remove(&suite_run, 3, "n1", 0),       make_add(&suite_run, 4, 1, 1000, "n1", 1),
        make_remove(&suite_run, 4, "n1", 0),
    };
    suite_apply(fixture->catalog, events, ARRAY_COUNT(events));
    static const char *const nodes[] = { "n1", "n2", "n2" };
    for (unsigned field = 0; field < 3; field++) {
        json_t *found = suite_document(fixture->catalog, &suite_run, field, NULL);
        json_t *locations = json_object_get(found, "locations");
        assert_int_equal(json_array_size(locations), 1);
        assert_string_equal(json_string_value(json_object_get(json_array_get(locations, 0), "node")),
                            nodes[field]);
        json_decref(found);
    }
    assert_int_equal(suite_count(fixture->catalog, &suite_run).documents, 3);
}

static void a_location_too_many_stops_nothing(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct field_event events[FIELD_LOCATIONS_MAX + 3];

    for (unsigned i = 0; i < ARRAY_COUNT(events) - 1; i++)
        events[i] = make_add(&suite_run, 0, 1, 1000, "n1", i + 1);
    events[ARRAY_COUNT(events) - 1] = make_add(&suite_run, 1, 1, 1000, "n1", 1);
    suite_apply(fixture->catalog, events, ARRAY_COUNT(events));
    suite_apply_one(fixture->catalog, make_add(&suite_run, 0, 1, 1000, "n2", 1));
    struct suite_counts counts = suite_count(fixture->catalog, &suite_run);
    assert_int_equal(counts.documents, 2);
    assert_int_equal(counts.locations, FIELD_LOCATIONS_MAX + 1);
}

/* Of `size` bytes, with a character of three bytes at every place where a part could be cut. */
static char *large_map(size_t size, char filler)
{
    char *text = malloc(size + 1);

    assert_non_null(text);
    memset(text, filler, size);
    for (size_t at = (1 << 20) - 64; at + 128 < size; at += 1 << 20)
        for (size_t i = 0; i < 126; i += 3)
            memcpy(text + at + i, "\xe2\x82\xac", 3);
    text[size] = '\0';
    return text;
}

static void assert_map(struct catalog *catalog, const char *wanted)
{
    struct buf json;

    buf_init(&json, MAP_JSON_SIZE_MAX);
    assert_ok(catalog_map_get(catalog, &json, &suite_err));
    assert_int_equal(json.size, strlen(wanted));
    assert_memory_equal(json.data, wanted, json.size);
    buf_fini(&json);
}

static bool count_settings(void *data, const struct record *record)
{
    (void)record;
    ++*(unsigned *)data;
    return true;
}

static unsigned settings_count(struct catalog *catalog)
{
    struct record_range all = { .whole = true };
    unsigned count = 0;

    assert_ok(catalog->ops->scan(catalog, CATALOG_SETTINGS, &all, count_settings, &count, &suite_err));
    return count;
}

/* What MongoDB takes in one document is less. */
static void a_cluster_map_of_any_size_is_kept_and_leaves_nothing_behind(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct catalog *catalog = fixture->catalog;
    static const size_t sizes[] = { 100, 8 << 20, (8 << 20) + 1, 30 << 20, 5 };
    unsigned before = settings_count(catalog);
    uint64_t was = UINT64_MAX;

    for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
        char *text = large_map(sizes[i], (char)('a' + i));
        assert_ok(catalog_map_put(catalog, text, sizes[i], i + 1, was, &suite_err));
        assert_ok(catalog_map_put(catalog, text, sizes[i], i + 1, was, &suite_err)); /* the same again */
        unsigned kept = settings_count(catalog);
        assert_int_equal(catalog_map_put(catalog, text, sizes[i] - 1, 99, i, &suite_err),
                         STATUS_STALE_EPOCH);
        assert_int_equal(settings_count(catalog), kept);
        assert_map(catalog, text);
        free(text);
        was = i + 1;
    }
    assert_int_equal(settings_count(catalog), before + 1);
}

int suite_run_write(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, suite_setup, suite_teardown)
    static const struct CMUnitTest write[] = {
        CASE(what_is_stored_is_what_was_merged_to_the_last_key),
        CASE(a_real_number_stays_one_so_that_it_is_not_written_again),
        CASE(copies_and_first_ones_may_come_in_any_mixture),
        CASE(what_comes_and_goes_in_one_batch_meets_what_was_there),
        CASE(a_location_too_many_stops_nothing),
        CASE(a_cluster_map_of_any_size_is_kept_and_leaves_nothing_behind),
    };
#undef CASE

    return cmocka_run_group_tests(write, NULL, NULL);
}
