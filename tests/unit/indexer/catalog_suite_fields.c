/* catalog_suite_fields.c: events applied, documents found. */
#include "catalog_suite.h"
#include "indexer/catalog/catalog_ops.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- applying --- */

static void what_was_applied_is_there_after_reopening(void **state)
{
    struct catalog_fixture *fixture = *state;

    suite_add_fields(fixture->catalog, &suite_run, 0, 100, "n1", 1);
    suite_apply_one(fixture->catalog, make_add(&suite_run, 3, 2, 2000, "n2", 2));
    json_t *before = suite_document(fixture->catalog, &suite_run, 3, NULL);
    suite_reopen(fixture);
    json_t *after = suite_document(fixture->catalog, &suite_run, 3, NULL);
    assert_non_null(before);
    assert_true(json_equal(before, after));
    assert_int_equal(suite_count(fixture->catalog, &suite_run).documents, 100);
    assert_int_equal(suite_count(fixture->catalog, &suite_run).issues, 101);
    json_decref(before);
    json_decref(after);
}

static void a_document_holds_what_the_decoder_said(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct field_event event = make_add(&suite_run, 6, 1, UINT64_C(1365379200123456), "n1", 1);

    event.issue.length = UINT64_C(5000000000);
    event.issue.locations[0].offset = UINT64_C(70000000000);
    make_set(&event.issue, "step", json_real(1.5));
    make_set(&event.issue, "hdate", json_integer(INT64_C(20130408000000)));
    make_set(&event.issue, "negative", json_integer(-7));
    make_set(&event.issue, "flag", json_true());
    make_set(&event.issue, "title", json_string("Température à 2 m"));
    json_t *keys = field_keys_to_json(event.issue.keys);
    suite_apply_one(fixture->catalog, event);

    const char *key;
    json_t *value, *found = suite_document(fixture->catalog, &suite_run, 6, NULL);
    json_object_foreach (keys, key, value)
        if (!json_equal(json_object_get(found, key), value))
            fail_msg("%s came back otherwise", key);
    assert_int_equal(json_integer_value(json_object_get(found, "stored_at")), INT64_C(1365379200123456));
    assert_int_equal(json_integer_value(json_object_get(found, "length")), INT64_C(5000000000));
    json_t *location = json_array_get(json_object_get(found, "locations"), 0);
    assert_int_equal(json_integer_value(json_object_get(location, "offset")), INT64_C(70000000000));
    json_decref(keys);
    json_decref(found);
}

static void applying_again_changes_nothing(void **state)
{
    struct catalog_fixture *fixture = *state;
    uint64_t before, after;

    suite_add_fields(fixture->catalog, &suite_run, 0, 50, "n1", 1);
    json_t *first = suite_document(fixture->catalog, &suite_run, 7, &before);
    suite_add_fields(fixture->catalog, &suite_run, 0, 50, "n1", 1);
    json_t *second = suite_document(fixture->catalog, &suite_run, 7, &after);
    assert_true(json_equal(first, second));
    assert_int_equal(before, after);
    assert_int_equal(suite_count(fixture->catalog, &suite_run).locations, 50);
    json_decref(first);
    json_decref(second);
}

static void events_of_one_field_in_one_batch_keep_their_order(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct field_event events[] = {
        make_add(&suite_run, 1, 1, 1000, "n1", 1), make_add(&suite_run, 2, 1, 1000, "n1", 1),
        make_remove(&suite_run, 1, "n1", 1),       make_add(&suite_run, 1, 1, 1000, "n1", 2),
        make_remove(&suite_run, 2, "n1", 0),       make_remove(&suite_run, 3, "n1", 0),
    };
    char file[DATA_FILE_NAME_SIZE];

    suite_apply(fixture->catalog, events, ARRAY_COUNT(events));
    struct suite_counts counts = suite_count(fixture->catalog, &suite_run);
    assert_int_equal(counts.documents, 1);
    assert_int_equal(counts.locations, 1);
    json_t *left = suite_document(fixture->catalog, &suite_run, 1, NULL);
    json_t *location = json_array_get(json_object_get(left, "locations"), 0);
    make_file_name(2, file);
    assert_string_equal(json_string_value(json_object_get(location, "file")), file);
    json_decref(left);
}

static void a_document_without_locations_is_deleted(void **state)
{
    struct catalog_fixture *fixture = *state;

    suite_add_fields(fixture->catalog, &suite_run, 0, 10, "n1", 1);
    suite_apply_one(fixture->catalog, make_remove(&suite_run, 4, "n1", 0));
    assert_int_equal(suite_count(fixture->catalog, &suite_run).documents, 9);
    assert_null(suite_document(fixture->catalog, &suite_run, 4, NULL));
    suite_add_fields(fixture->catalog, &suite_run, 4, 1, "n1", 1);
    assert_int_equal(suite_count(fixture->catalog, &suite_run).documents, 10);
}

static void a_batch_larger_than_a_chunk_is_applied_whole(void **state)
{
    struct catalog_fixture *fixture = *state;

    suite_add_fields(fixture->catalog, &suite_run, 0, 5100, "n1", 1);
    assert_int_equal(suite_count(fixture->catalog, &suite_run).documents, 5100);
}

static void a_bad_event_is_an_error(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct field_event event = make_add(&suite_run, 1, 1, UINT64_MAX, "n1", 1);
    struct error err;

    assert_int_equal(catalog_apply(fixture->catalog, &event, 1, &err), STATUS_BAD_VALUE);
    assert_int_equal(catalog_apply(fixture->catalog, &event, 1, NULL), STATUS_BAD_VALUE);
    field_event_fini(&event);
    assert_int_equal(suite_count(fixture->catalog, &suite_run).documents, 0);
    assert_ok(catalog_apply(fixture->catalog, NULL, 0, &suite_err));
}

/* --- races --- */

enum { RACE_THREADS = 4, RACE_FIELDS = 120 };

struct racer {
    pthread_t thread;
    pthread_barrier_t *start;
    struct catalog *catalog;
    unsigned number;
    enum status status;
    struct error err;
};

/* Adds its node's locations to all fields, and takes those in file 9 away again, at the same time as
 * the others do and just once: what is lost is not made good by a repetition. */
static void *race(void *data)
{
    struct racer *racer = data;
    struct field_event events[RACE_FIELDS * 3];
    char node[16];

    snprintf(node, sizeof node, "n%u", racer->number);
    for (unsigned i = 0; i < RACE_FIELDS; i++) {
        events[3 * i] = make_add(&suite_run, i, 1, 1000 + racer->number, node, 9);
        events[3 * i + 1] = make_add(&suite_run, i, 1, 1000, node, 1);
        events[3 * i + 2] = make_remove(&suite_run, i, node, 9);
    }
    racer->status = STATUS_OK;
    pthread_barrier_wait(racer->start);
    for (unsigned at = 0; racer->status == STATUS_OK && at < ARRAY_COUNT(events); at += 30)
        racer->status = catalog_apply(racer->catalog, events + at, 30, &racer->err);
    for (unsigned i = 0; i < ARRAY_COUNT(events); i++)
        field_event_fini(&events[i]);
    return NULL;
}

static void threads_that_change_the_same_documents_lose_nothing(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct racer racers[RACE_THREADS];
    pthread_barrier_t start;

    pthread_barrier_init(&start, NULL, RACE_THREADS);
    for (unsigned i = 0; i < RACE_THREADS; i++) {
        racers[i] = (struct racer){ .start = &start, .catalog = fixture->catalog, .number = i };
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (unsigned i = 0; i < RACE_THREADS; i++)
        pthread_join(racers[i].thread, NULL);
    pthread_barrier_destroy(&start);
    for (unsigned i = 0; i < RACE_THREADS; i++)
        if (racers[i].status != STATUS_OK)
            fail_msg("%s", racers[i].err.text);
    struct suite_counts counts = suite_count(fixture->catalog, &suite_run);
    assert_int_equal(counts.documents, RACE_FIELDS);
    assert_int_equal(counts.locations, RACE_FIELDS * RACE_THREADS);
}

/* --- removing --- */

static void a_nodes_locations_go_whatever_their_number(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct run_key other = make_run("hres", "20130408T1200Z");

    suite_add_fields(fixture->catalog, &suite_run, 0, 2500, "n1", 1);
    suite_add_fields(fixture->catalog, &suite_run, 0, 2300, "n2", 1);
    suite_add_fields(fixture->catalog, &other, 0, 5, "n1", 1);
    assert_ok(catalog_remove_locations(fixture->catalog, &suite_run, "n1", NULL, NULL, &suite_err));
    struct suite_counts counts = suite_count(fixture->catalog, &suite_run);
    assert_int_equal(counts.documents, 2300);
    assert_int_equal(counts.locations, 2300);
    assert_int_equal(suite_count(fixture->catalog, &other).locations, 5);
    assert_ok(catalog_remove_locations(fixture->catalog, &suite_run, "n1", NULL, NULL, &suite_err));
    assert_int_equal(suite_count(fixture->catalog, &suite_run).locations, 2300);
}

static void one_files_locations_go(void **state)
{
    struct catalog_fixture *fixture = *state;
    char file[DATA_FILE_NAME_SIZE];

    suite_add_fields(fixture->catalog, &suite_run, 0, 30, "n1", 1);
    suite_add_fields(fixture->catalog, &suite_run, 20, 30, "n1", 2);
    suite_add_fields(fixture->catalog, &suite_run, 0, 30, "n2", 1);
    suite_apply_one(fixture->catalog, make_add(&suite_run, 40, 2, 2000, "n3", 3));
    suite_apply_one(fixture->catalog, make_add(&suite_run, 40, 3, 500, "n1", 2)); /* an older issue's */
    make_file_name(2, file);
    assert_ok(catalog_remove_locations(fixture->catalog, &suite_run, "n1", file, NULL, &suite_err));
    struct suite_counts counts = suite_count(fixture->catalog, &suite_run);
    assert_int_equal(counts.documents, 31);
    assert_int_equal(counts.locations, 30 + 30 + 1);
    assert_int_equal(counts.issues, 31);
}

static void what_a_node_that_left_alone_had_stays_named(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct catalog *catalog = fixture->catalog;
    char file[DATA_FILE_NAME_SIZE];
    size_t kept;

    suite_add_fields(catalog, &suite_run, 0, 30, "gone", 1);
    suite_add_fields(catalog, &suite_run, 0, 30, "gone", 2);
    suite_add_fields(catalog, &suite_run, 10, 20, "n1", 1);
    suite_apply_one(catalog, make_add(&suite_run, 29, 2, 2000, "n1", 1)); /* 29's first issue is an older one now */
    suite_apply_one(catalog, make_add(&suite_run, 28, 2, 500, "gone", 1)); /* 28 has an older one, there alone */
    make_file_name(2, file);
    assert_ok(catalog_forget_node(catalog, &suite_run, "gone", file, &kept, &suite_err));
    assert_int_equal(kept, 0); /* each has a place in the other file */
    assert_int_equal(suite_count(catalog, &suite_run).locations, 30 + 20 + 2);
    for (int again = 0; again < 2; again++) {
        assert_ok(catalog_forget_node(catalog, &suite_run, "gone", NULL, &kept, &suite_err));
        assert_int_equal(kept, 10 + 1);
        struct suite_counts counts = suite_count(catalog, &suite_run);
        assert_int_equal(counts.documents, 30);
        assert_int_equal(counts.issues, 32);
        assert_int_equal(counts.locations, 10 + 1 + 20 + 1);
    }
    suite_add_fields(catalog, &suite_run, 0, 10, "n1", 1); /* put again */
    assert_ok(catalog_forget_node(catalog, &suite_run, "gone", NULL, &kept, &suite_err));
    assert_int_equal(kept, 1);
    assert_int_equal(suite_count(catalog, &suite_run).locations, 30 + 2);
}

/* The catalog's own calls, counted. */
static struct {
    const struct catalog_ops *ops;
    unsigned scans;
} counted;

static enum status counted_scan(struct catalog *catalog, enum catalog_table table,
                                const struct record_range *range, record_each *each, void *data,
                                struct error *err)
{
    counted.scans += table == CATALOG_FIELDS;
    return counted.ops->scan(catalog, table, range, each, data, err);
}

static void bad_messages_leave_a_node_in_one_scan(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct catalog *catalog = fixture->catalog;
    struct run_key other = make_run("gfs", "20130408T0000Z");
    struct digest digests[400];

    suite_add_fields(catalog, &suite_run, 0, 600, "n1", 1);
    suite_add_fields(catalog, &suite_run, 0, 600, "n2", 1);
    suite_add_fields(catalog, &other, 0, 10, "n1", 1);
    suite_apply_one(catalog, make_add(&suite_run, 399, 2, 2000, "n1", 1)); /* 399's first issue is an older one now */
    for (unsigned i = 0; i < ARRAY_COUNT(digests); i++)
        digests[i] = make_digest(i, 1);

    struct catalog_ops counting = *catalog->ops;
    counting.scan = counted_scan;
    counted.ops = catalog->ops;
    counted.scans = 0;
    catalog->ops = &counting;
    assert_ok(catalog_remove_messages(catalog, &suite_run, "n1", digests, ARRAY_COUNT(digests),
                                      &suite_err));
    assert_int_equal(counted.scans, 1);
    assert_ok(catalog_remove_messages(catalog, &suite_run, "n1", digests, ARRAY_COUNT(digests),
                                      &suite_err));
    assert_ok(catalog_remove_messages(catalog, &suite_run, "n1", digests, 0, &suite_err));
    catalog->ops = counted.ops;

    struct suite_counts counts = suite_count(catalog, &suite_run);
    assert_int_equal(counts.documents, 600);
    assert_int_equal(counts.locations, 600 + 200 + 1); /* the issue that replaced a bad one stays */
    assert_int_equal(suite_count(catalog, &other).locations, 10);
    assert_ok(catalog_remove_messages(catalog, &suite_run, "n2", digests, ARRAY_COUNT(digests),
                                      &suite_err));
    counts = suite_count(catalog, &suite_run);
    assert_int_equal(counts.documents, 201);
    assert_int_equal(counts.locations, 200 + 200 + 1);
}

static void more_bad_messages_than_a_batch_leave_a_node(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct digest *digests = calloc(2100, sizeof *digests);

    assert_non_null(digests);
    suite_add_fields(fixture->catalog, &suite_run, 0, 2200, "n1", 1);
    for (unsigned i = 0; i < 2100; i++)
        digests[i] = make_digest(2099 - i, 1);
    assert_ok(catalog_remove_messages(fixture->catalog, &suite_run, "n1", digests, 2100, &suite_err));
    assert_int_equal(suite_count(fixture->catalog, &suite_run).documents, 100);
    free(digests);
}

static void only_the_files_that_are_named_are_kept(void **state)
{
    struct catalog_fixture *fixture = *state;
    char first[DATA_FILE_NAME_SIZE], third[DATA_FILE_NAME_SIZE];
    const char *keep[] = { first, third, NULL };
    const char *none[] = { NULL };

    for (unsigned file = 1; file <= 4; file++)
        suite_add_fields(fixture->catalog, &suite_run, 0, 20, "n1", file);
    suite_add_fields(fixture->catalog, &suite_run, 0, 20, "n2", 4);
    make_file_name(1, first);
    make_file_name(3, third);
    assert_ok(catalog_remove_locations(fixture->catalog, &suite_run, "n1", NULL, keep, &suite_err));
    assert_int_equal(suite_count(fixture->catalog, &suite_run).locations, 60);
    assert_ok(catalog_remove_locations(fixture->catalog, &suite_run, "n1", NULL, none, &suite_err));
    assert_int_equal(suite_count(fixture->catalog, &suite_run).locations, 20);
}

static void a_run_goes_in_paced_batches(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct run_key longer = make_run("hres2", "20130408T0000Z");
    size_t removed, total = 0;

    suite_add_fields(fixture->catalog, &suite_run, 0, 230, "n1", 1);
    suite_add_fields(fixture->catalog, &longer, 0, 10, "n1", 1);
    struct field_event newer = make_add(&suite_run, 500, 1, 1000, "n1", 1);
    newer.issue.incarnation = 2;
    suite_apply_one(fixture->catalog, newer);
    do {
        assert_ok(catalog_remove_run(fixture->catalog, &suite_run, 1, 100, &removed, &suite_err));
        assert_true(removed <= 100);
        total += removed;
    } while (removed == 100);
    assert_int_equal(total, 230);
    assert_int_equal(suite_count(fixture->catalog, &suite_run).documents, 1);
    assert_int_equal(suite_count(fixture->catalog, &longer).documents, 10);
    assert_ok(catalog_remove_run(fixture->catalog, &suite_run, UINT64_MAX, SIZE_MAX, &removed,
                                 &suite_err));
    assert_int_equal(removed, 1);
}

/* --- queries --- */

static struct query_value text_values[4];
static struct query_value number_values[4];
static struct query_value time_values[4];

static struct query_term text_term(const char *key, const char *a, const char *b)
{
    text_values[0].text = (char *)(uintptr_t)a;
    text_values[1].text = (char *)(uintptr_t)b;
    return (struct query_term){
        .key = key, .type = QUERY_TEXT, .count = b != NULL ? 2 : 1, .values = text_values
    };
}

static struct query_term number_term(const char *key, size_t count, double a, double b)
{
    number_values[0].number = a;
    number_values[1].number = b;
    return (struct query_term){ .key = key, .type = QUERY_NUMBER, .count = count, .values = number_values };
}

static struct query_term time_term(const char *key, int64_t a)
{
    time_values[0].time = a;
    return (struct query_term){ .key = key, .type = QUERY_TIME, .count = 1, .values = time_values };
}

static bool count_found(void *data, const struct field_document *document)
{
    (void)document;
    (*(size_t *)data)++;
    return true;
}

static size_t found(struct catalog *catalog, const struct catalog_query *query)
{
    size_t count = 0;

    assert_ok(catalog_find(catalog, query, count_found, &count, &suite_err));
    return count;
}

static size_t found_by(struct catalog *catalog, struct query_term term)
{
    struct catalog_query query = { .terms_count = 1, .terms = { term } };
    size_t count = found(catalog, &query);

    query.all = true;
    assert_int_equal(found(catalog, &query), count); /* there is one issue of each */
    return count;
}

/* 40 fields: each of 4 params 10 times (numbers 0 and 1 by 5 steps); t and u on level 500. */
static void fields_are_found_by_keys_of_every_type(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct catalog *catalog = fixture->catalog;
    struct run_key other = make_run("gfs", "20130409T0000Z");
    char digest[DIGEST_TEXT_SIZE];
    struct digest third = make_digest(3, 1);

    suite_add_fields(catalog, &suite_run, 0, 40, "n1", 1);
    suite_add_fields(catalog, &other, 0, 20, "n1", 1);
    digest_print(&third, digest);
    assert_int_equal(found_by(catalog, text_term("param", "msl", NULL)), 15);
    assert_int_equal(found_by(catalog, text_term("param", "msl", "t")), 30);
    assert_int_equal(found_by(catalog, text_term("param", "MSL", NULL)), 0);
    assert_int_equal(found_by(catalog, number_term("paramId", 1, 151, 0)), 15);
    assert_int_equal(found_by(catalog, text_term("source", "gfs", NULL)), 20);
    assert_int_equal(found_by(catalog, text_term("source", "gfs", "hres")), 60);
    assert_int_equal(found_by(catalog, time_term("base_time", suite_run.base_time)), 40);
    assert_int_equal(found_by(catalog, time_term("valid_time", suite_run.base_time + 86400)), 8 + 4);
    assert_int_equal(found_by(catalog, number_term("step", 1, 6, 0)), 12);
    assert_int_equal(found_by(catalog, number_term("step", 2, 6, 24)), 24);
    assert_int_equal(found_by(catalog, number_term("step", 1, 6.5, 0)), 0);
    assert_int_equal(found_by(catalog, number_term("step_seconds", 1, 21600, 0)), 12);
    assert_int_equal(found_by(catalog, number_term("number", 1, 1, 0)), 20);
    assert_int_equal(found_by(catalog, number_term("levelist", 1, 500, 0)), 30);
    assert_int_equal(found_by(catalog, text_term("levtype", "pl", NULL)), 30);
    assert_int_equal(found_by(catalog, text_term("expver", "0001", NULL)), 60);
    assert_int_equal(found_by(catalog, text_term("expver", "1", NULL)), 0);
    assert_int_equal(found_by(catalog, number_term("Ni", 1, 1440, 0)), 60);
    assert_int_equal(found_by(catalog, number_term("bitsPerValue", 2, 16, 24)), 60);
    assert_int_equal(found_by(catalog, text_term("digest", digest, NULL)), 2);
    assert_int_equal(found_by(catalog, number_term("incarnation", 1, 1, 0)), 60);
    assert_int_equal(found_by(catalog, number_term("length", 1, 4158, 0)), 60);
}

static void add_with_numbers(struct catalog *catalog, unsigned field, int id, const char *key,
                             const char *numbers)
{
    struct field_event event = make_add(&suite_run, field, 1, 100, "n1", 1);

    make_set(&event.issue, "param", json_string("unknown"));
    make_set(&event.issue, "paramId", json_integer(id));
    if (key != NULL)
        make_set(&event.issue, key, json_string(numbers));
    suite_apply_one(catalog, event);
}

/* id.table is a paramId's, or that of a table that is in no paramId; the same for all three ways to spell a parameter at once. */
static void a_parameter_is_found_by_its_numbers(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct catalog *catalog = fixture->catalog;
    struct query_value name = { .text = (char *)(uintptr_t) "msl" }, id = { .number = 2011 };
    struct query_value table = { .text = (char *)(uintptr_t) "11.2" },
                       three = { .text = (char *)(uintptr_t) "201.16.0" };
    struct query_value run = { .text = suite_run.source }, when = { .time = suite_run.base_time };
    struct catalog_query query = {
        .terms_count = 4,
        .terms = { { .key = "param", .type = QUERY_TEXT, .count = 1, .values = &name },
                   { .key = "paramId", .type = QUERY_NUMBER, .count = 1, .values = &id, .alternative = true },
                   { .key = "idTable", .type = QUERY_TEXT, .count = 1, .values = &table, .alternative = true },
                   { .key = "idCategoryDiscipline",
                     .type = QUERY_TEXT,
                     .count = 1,
                     .values = &three,
                     .alternative = true } },
    };

    suite_add_fields(catalog, &suite_run, 0, 8, "n1", 1); /* two are msl */
    add_with_numbers(catalog, 20, 2011, NULL, NULL);
    add_with_numbers(catalog, 21, 130, "idTable", "11.2");
    add_with_numbers(catalog, 22, 0, "idTable", "33.2");
    add_with_numbers(catalog, 23, 0, "idCategoryDiscipline", "201.16.0");
    assert_int_equal(found(catalog, &query), 5);
    query.terms_count = 3;
    assert_int_equal(found(catalog, &query), 4);
    query.terms[3] = (struct query_term){ .key = "source", .type = QUERY_TEXT, .count = 1, .values = &run };
    query.terms[4] = (struct query_term){
        .key = "base_time", .type = QUERY_TIME, .count = 1, .values = &when
    };
    query.terms_count = 5;
    assert_int_equal(found(catalog, &query), 4);
    assert_int_equal(found_by(catalog, text_term("idTable", "33.2", "11.2")), 2);
    assert_int_equal(found_by(catalog, text_term("idCategoryDiscipline", "201.16.0", NULL)), 1);
}

static void an_absent_key_and_another_type_never_match(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct catalog *catalog = fixture->catalog;

    suite_add_fields(catalog, &suite_run, 0, 20, "n1", 1);
    assert_int_equal(found_by(catalog, number_term("levelist", 1, 0, 0)), 0); /* sfc has none */
    assert_int_equal(found_by(catalog, text_term("levelist", "500", NULL)), 0);
    assert_int_equal(found_by(catalog, text_term("levelist", "", NULL)), 0);
    assert_int_equal(found_by(catalog, number_term("expver", 1, 1, 0)), 0);
    assert_int_equal(found_by(catalog, text_term("origin", "ecmf", NULL)), 0);
    struct query_term none = text_term("param", "msl", NULL);
    none.count = 0;
    assert_int_equal(found_by(catalog, none), 0);
}

static void hostile_values_are_only_values(void **state)
{
    static const char *const hostile[] = { "' OR 1=1 --", "$ne", "{\"$gt\": \"\"}", "msl\" OR \"1",
                                           "$.param",     "%",   "\xff\xfe",        "\xc3" };
    struct catalog_fixture *fixture = *state;

    suite_add_fields(fixture->catalog, &suite_run, 0, 8, "n1", 1);
    for (unsigned i = 0; i < ARRAY_COUNT(hostile); i++) {
        assert_int_equal(found_by(fixture->catalog, text_term("param", hostile[i], NULL)), 0);
        assert_int_equal(found_by(fixture->catalog, text_term("class", hostile[i], NULL)), 0);
        assert_int_equal(found_by(fixture->catalog, text_term("class", hostile[i], hostile[i])), 0);
    }
}

static void all_terms_have_to_hold_but_alternatives(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct query_value msl = { .text = (char *)(uintptr_t) "msl" }, id = { .number = 167 };
    struct query_value six = { .number = 6 };
    struct catalog_query query = {
        .terms_count = 3,
        .terms = {
            { .key = "param", .type = QUERY_TEXT, .count = 1, .values = &msl },
            { .key = "paramId", .type = QUERY_NUMBER, .count = 1, .values = &id },
            { .key = "step", .type = QUERY_NUMBER, .count = 1, .values = &six },
        },
    };

    suite_add_fields(fixture->catalog, &suite_run, 0, 40, "n1", 1);
    assert_int_equal(found(fixture->catalog, &query), 0);
    query.terms[1].alternative = true;
    assert_int_equal(found(fixture->catalog, &query), 4);
    query.all = true;
    assert_int_equal(found(fixture->catalog, &query), 4);
}

struct page {
    size_t count;
    struct field_id ids[1000];
};

static bool page_take(void *data, const struct field_document *document)
{
    struct page *page = data;

    assert_true(page->count < ARRAY_COUNT(page->ids));
    page->ids[page->count++] = document->id;
    return true;
}

/* Every document once, in the same order, whatever the size of a page. */
static void pages_go_on_where_the_last_one_ended(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct run_key gfs = make_run("gfs", "20130408T0000Z");
    static struct page whole, pieces;

    suite_add_fields(fixture->catalog, &suite_run, 0, 120, "n1", 1);
    suite_add_fields(fixture->catalog, &gfs, 0, 60, "n1", 1);
    for (int which = 0; which < 4; which++) {
        struct query_value run_of[2] = { { .text = suite_run.source }, { .time = suite_run.base_time } };
        struct query_value param = { .text = (char *)(uintptr_t) "msl" };
        struct catalog_query query = {
            .terms_count = (size_t)which,
            .terms = {
                { .key = "source", .type = QUERY_TEXT, .count = 1, .values = &run_of[0] },
                { .key = "base_time", .type = QUERY_TIME, .count = 1, .values = &run_of[1] },
                { .key = "param", .type = QUERY_TEXT, .count = 1, .values = &param },
            },
        };
        whole.count = pieces.count = 0;
        assert_ok(catalog_find(fixture->catalog, &query, page_take, &whole, &suite_err));
        assert_int_equal(whole.count, which == 0 ? 180 : which == 3 ? 30 : 120);
        query.limit = 7;
        for (;;) {
            size_t before = pieces.count;
            assert_ok(catalog_find(fixture->catalog, &query, page_take, &pieces, &suite_err));
            assert_true(pieces.count - before <= 7);
            if (pieces.count == before)
                break;
            query.after = pieces.ids[pieces.count - 1];
        }
        assert_int_equal(pieces.count, whole.count);
        for (size_t i = 0; i < whole.count; i++)
            assert_memory_equal(pieces.ids[i].bytes, whole.ids[i].bytes, whole.ids[i].size);
    }
}

static bool stop_at_three(void *data, const struct field_document *document)
{
    (void)document;
    return ++*(int *)data < 3;
}

static void a_reader_may_stop(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct catalog_query query = { .limit = 10 };
    int seen = 0;

    suite_add_fields(fixture->catalog, &suite_run, 0, 20, "n1", 1);
    assert_ok(catalog_find(fixture->catalog, &query, stop_at_three, &seen, &suite_err));
    assert_int_equal(seen, 3);
    seen = 0;
    query.all = true;
    assert_ok(catalog_find(fixture->catalog, &query, stop_at_three, &seen, &suite_err));
    assert_int_equal(seen, 3);
    seen = 0;
    assert_ok(catalog_scan_run(fixture->catalog, &suite_run, stop_at_three, &seen, &suite_err));
    assert_int_equal(seen, 3);
    suite_add_fields(fixture->catalog, &suite_run, 20, 1, "n1", 1);
}

struct brief {
    size_t count;
    unsigned issues_count;
    struct catalog_issue issues[FIELD_ISSUES_MAX];
};

static bool brief_take(void *data, const struct catalog_issue *issues, unsigned count)
{
    struct brief *brief = data;

    brief->count++;
    brief->issues_count = count;
    memcpy(brief->issues, issues, count * sizeof *issues);
    return true;
}

static bool brief_stop(void *data, const struct catalog_issue *issues, unsigned count)
{
    (void)issues, (void)count;
    return ++*(int *)data < 3;
}

static void issues_come_without_keys_with_the_nodes_that_hold_them(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct run_key other = make_run("hres", "20130408T1200Z");
    struct field_event events[] = {
        make_add(&suite_run, 7, 1, 1000, "n1", 1),
        make_add(&suite_run, 7, 2, 2000, "n1", 1),
        make_add(&suite_run, 7, 2, 2000, "n1", 2),
        make_add(&suite_run, 7, 2, 2000, "n2", 3),
    };
    uint64_t lengths[] = { events[1].issue.length, events[0].issue.length };
    struct digest digests[] = { events[1].issue.digest, events[0].issue.digest };
    struct brief brief = { .count = 0 };
    int seen = 0;

    suite_apply(fixture->catalog, events, ARRAY_COUNT(events));
    assert_ok(catalog_scan_issues(fixture->catalog, &suite_run, brief_take, &brief, &suite_err));
    assert_int_equal(brief.count, 1);
    assert_int_equal(brief.issues_count, 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(digest_compare(&brief.issues[i].digest, &digests[i]), 0);
        assert_int_equal(brief.issues[i].length, lengths[i]);
    }
    assert_int_equal(brief.issues[0].nodes, 2);
    assert_int_equal(brief.issues[1].nodes, 1);

    suite_add_fields(fixture->catalog, &other, 0, 10, "n1", 1);
    assert_ok(catalog_scan_issues(fixture->catalog, &other, brief_stop, &seen, &suite_err));
    assert_int_equal(seen, 3);
    brief.count = 0;
    assert_ok(catalog_scan_issues(fixture->catalog, &other, brief_take, &brief, &suite_err));
    assert_int_equal(brief.count, 10);
}

struct issues {
    size_t count;
    uint64_t stamps[16];
    unsigned most;
};

static bool issues_take(void *data, const struct field_document *document)
{
    struct issues *issues = data;

    if (document->issues_count > issues->most)
        issues->most = document->issues_count;
    issues->stamps[issues->count++] = document->issues[0].stored_at_us;
    return true;
}

static void older_issues_come_as_documents_of_their_own_when_all_are_asked_for(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct digest old = make_digest(5, 2);
    char digest[DIGEST_TEXT_SIZE];

    suite_add_fields(fixture->catalog, &suite_run, 5, 1, "n1", 1);
    struct field_event second = make_add(&suite_run, 5, 2, 500, "n1", 1);
    make_set(&second.issue, "bitsPerValue", json_integer(24));
    suite_apply_one(fixture->catalog, second);
    suite_apply_one(fixture->catalog, make_add(&suite_run, 5, 3, 100, "n1", 1));
    digest_print(&old, digest);
    struct {
        struct query_term term;
        size_t current, all;
    } cases[] = {
        { number_term("paramId", 1, 151, 0), 1, 3 },
        { text_term("digest", digest, NULL), 0, 1 },
        { { .key = "bitsPerValue",
            .type = QUERY_NUMBER,
            .count = 1,
            .values = &(struct query_value){ .number = 24 } },
          0,
          1 },
        { { .key = "bitsPerValue",
            .type = QUERY_NUMBER,
            .count = 1,
            .values = &(struct query_value){ .number = 16 } },
          1,
          2 },
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct catalog_query query = { .terms_count = 1, .terms = { cases[i].term } };
        struct issues issues = { .count = 0 };
        assert_ok(catalog_find(fixture->catalog, &query, issues_take, &issues, &suite_err));
        assert_int_equal(issues.count, cases[i].current);
        assert_true(issues.count == 0 || issues.most == 3); /* a document with its older issues */
        issues = (struct issues){ .count = 0 };
        query.all = true;
        query.limit = 1; /* a document's issues stay together */
        assert_ok(catalog_find(fixture->catalog, &query, issues_take, &issues, &suite_err));
        assert_int_equal(issues.count, cases[i].all);
        issues = (struct issues){ .count = 0 };
        query.limit = 0;
        assert_ok(catalog_find(fixture->catalog, &query, issues_take, &issues, &suite_err));
        assert_int_equal(issues.count, cases[i].all);
        assert_int_equal(issues.most, 1);
    }
}

static void a_scan_sees_its_run_only(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct run_key runs[] = { suite_run, make_run("hres", "20130408T1200Z"),
                              make_run("hres", "19500101T0000Z"), make_run("hre", "20130408T0000Z"),
                              make_run("hres2", "20130408T0000Z") };

    for (unsigned i = 0; i < ARRAY_COUNT(runs); i++)
        suite_add_fields(fixture->catalog, &runs[i], 0, 10 + i, "n1", 1);
    for (unsigned i = 0; i < ARRAY_COUNT(runs); i++)
        assert_int_equal(suite_count(fixture->catalog, &runs[i]).documents, 10 + i);
}

struct placed {
    size_t count, documents, stop_at;
    struct field_id last;
    struct {
        enum catalog_as as;
        struct digest digest;
        uint64_t length, stored_at_us, offset;
        char node[NODE_ID_SIZE_MAX + 1], file[DATA_FILE_NAME_SIZE];
    } items[16];
};

static bool placed_take(void *data, const struct field_id *id,
                        const struct catalog_location *locations, size_t count)
{
    struct placed *placed = data;

    for (size_t i = 0; i < count; i++) {
        const struct catalog_location *from = &locations[i];
        size_t at = placed->count++ % ARRAY_COUNT(placed->items);
        placed->items[at].as = from->as;
        placed->items[at].digest = from->digest;
        placed->items[at].length = from->length;
        placed->items[at].stored_at_us = from->stored_at_us;
        placed->items[at].offset = from->offset;
        snprintf(placed->items[at].node, sizeof placed->items[at].node, "%s", from->node);
        snprintf(placed->items[at].file, sizeof placed->items[at].file, "%s", from->file);
    }
    placed->last = *id;
    return ++placed->documents != placed->stop_at;
}

static void every_place_of_every_issue_is_told_with_its_stamp(void **state)
{
    struct catalog_fixture *fixture = *state;
    const struct field_id beginning = { .size = 0 };
    struct field_event events[] = {
        make_add(&suite_run, 7, 1, 1000, "n1", 1),
        make_add(&suite_run, 7, 2, 2000, "n1", 2),
        make_add(&suite_run, 7, 2, 2000, "n2", 3),
    };
    /* The current issue first; places by node. */
    const struct {
        unsigned event;
        enum catalog_as as;
    } expected[] = { { 1, CATALOG_AS_FIELD }, { 2, CATALOG_AS_FIELD }, { 0, CATALOG_AS_OLDER } };
    struct field_location locations[3];
    struct placed placed = { .count = 0 };

    for (unsigned i = 0; i < 3; i++)
        locations[i] = events[i].issue.locations[0];
    suite_apply(fixture->catalog, events, ARRAY_COUNT(events));
    assert_ok(catalog_scan_locations(fixture->catalog, &suite_run, &beginning, placed_take, &placed,
                                     &suite_err));
    assert_int_equal(placed.count, 3);
    assert_int_equal(placed.documents, 1);
    for (unsigned i = 0; i < 3; i++) {
        const struct field_location *location = &locations[expected[i].event];
        struct digest digest = make_digest(7, expected[i].event == 0 ? 1 : 2);
        assert_int_equal(placed.items[i].as, expected[i].as);
        assert_int_equal(digest_compare(&placed.items[i].digest, &digest), 0);
        assert_int_equal(placed.items[i].stored_at_us, expected[i].event == 0 ? 1000 : 2000);
        assert_int_equal(placed.items[i].offset, location->offset);
        assert_int_equal(placed.items[i].length, location->length);
        assert_string_equal(placed.items[i].node, location->node);
        assert_string_equal(placed.items[i].file, location->file);
    }
}

static void places_are_read_in_pieces_that_meet(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct run_key other = make_run("hres", "20130408T1200Z");

    suite_add_fields(fixture->catalog, &suite_run, 0, 25, "n1", 1);
    suite_add_fields(fixture->catalog, &other, 0, 5, "n1", 1);
    for (size_t piece = 1; piece <= 26; piece++) {
        struct field_id after = { .size = 0 };
        size_t documents = 0, pieces = 0;
        for (;;) {
            struct placed placed = { .stop_at = piece };
            assert_ok(catalog_scan_locations(fixture->catalog, &suite_run, &after, placed_take,
                                             &placed, &suite_err));
            documents += placed.documents;
            pieces++;
            after = placed.last;
            if (placed.documents < piece)
                break;
        }
        assert_int_equal(documents, 25);
        assert_int_equal(pieces, 25 / piece + 1);
    }
}

int suite_run_fields(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, suite_setup, suite_teardown)
    static const struct CMUnitTest fields[] = {
        CASE(what_was_applied_is_there_after_reopening),
        CASE(a_document_holds_what_the_decoder_said),
        CASE(applying_again_changes_nothing),
        CASE(events_of_one_field_in_one_batch_keep_their_order),
        CASE(a_document_without_locations_is_deleted),
        CASE(a_batch_larger_than_a_chunk_is_applied_whole),
        CASE(a_bad_event_is_an_error),
        CASE(threads_that_change_the_same_documents_lose_nothing),
        CASE(a_nodes_locations_go_whatever_their_number),
        CASE(one_files_locations_go),
        CASE(what_a_node_that_left_alone_had_stays_named),
        CASE(bad_messages_leave_a_node_in_one_scan),
        CASE(more_bad_messages_than_a_batch_leave_a_node),
        CASE(only_the_files_that_are_named_are_kept),
        CASE(a_run_goes_in_paced_batches),
        CASE(fields_are_found_by_keys_of_every_type),
        CASE(a_parameter_is_found_by_its_numbers),
        CASE(an_absent_key_and_another_type_never_match),
        CASE(hostile_values_are_only_values),
        CASE(all_terms_have_to_hold_but_alternatives),
        CASE(pages_go_on_where_the_last_one_ended),
        CASE(a_reader_may_stop),
        CASE(older_issues_come_as_documents_of_their_own_when_all_are_asked_for),
        CASE(a_scan_sees_its_run_only),
        CASE(issues_come_without_keys_with_the_nodes_that_hold_them),
        CASE(every_place_of_every_issue_is_told_with_its_stamp),
        CASE(places_are_read_in_pieces_that_meet),
    };
#undef CASE

    return cmocka_run_group_tests(fields, NULL, NULL);
}
