/* catalog_suite_rows.c: documents as text, in an order, as they were at a time; how many; the runs of a source. */
#include "catalog_suite.h"
#include "proto/base/json_read.h"

#include <math.h>
#include <string.h>

/* --- rows beside documents --- */

struct pair {
    json_t *rows, *documents; /* arrays */
};

static bool take_row(void *data, const struct catalog_row *row)
{
    struct pair *pair = data;
    char id[2 * FIELD_ID_SIZE_MAX + 1];
    json_t *json = NULL;

    assert_int_equal(json_parse(row->text.data, row->text.size, &json, NULL), STATUS_OK);
    assert_null(json_object_get(json, "id"));
    hex_print(row->id.data, row->id.size, id);
    json_object_set_new(json, "id", json_string(id));
    json_array_append_new(pair->rows, json);
    return true;
}

static bool take_document(void *data, const struct field_document *document)
{
    struct pair *pair = data;

    json_array_append_new(pair->documents, field_to_json(document));
    return true;
}

static void fill_issues(struct catalog *catalog)
{
    suite_add_fields(catalog, &suite_run, 0, 40, "n1", 1);
    suite_apply_one(catalog, make_add(&suite_run, 5, 2, 500, "n1", 1));
    suite_apply_one(catalog, make_add(&suite_run, 5, 3, 2000, "n2", 1));
    suite_apply_one(catalog, make_add(&suite_run, 6, 2, 1500, "n1", 1));
}

static void rows_are_the_documents_as_text(void **state)
{
    struct catalog_fixture *fixture = *state;

    fill_issues(fixture->catalog);
    for (int which = 0; which < 3; which++) {
        struct catalog_query query = { .all = which == 1, .as_of_us = which == 2 ? 1200 : 0 };
        struct pair pair = { json_array(), json_array() };
        struct catalog_rows rows = { .text = true, .each = take_row, .data = &pair };
        assert_ok(catalog_find_rows(fixture->catalog, &query, &rows, &suite_err));
        assert_ok(catalog_find(fixture->catalog, &query, take_document, &pair, &suite_err));
        assert_int_equal(json_array_size(pair.rows), which == 1 ? 43 : 40);
        assert_true(json_equal(pair.rows, pair.documents));
        json_decref(pair.rows);
        json_decref(pair.documents);
    }
}

/* --- members --- */

static bool take_members(void *data, const struct catalog_row *row)
{
    const struct catalog_value *values = row->values;

    assert_int_equal(row->text.size, 0);
    assert_int_equal(values[0].kind, CATALOG_TEXT);
    assert_true(slice_equals(values[0].text, "t"));
    assert_int_equal(values[1].kind, CATALOG_NUMBER);
    assert_true(values[1].number == 500);
    assert_int_equal(values[2].kind, CATALOG_TIME);
    assert_int_equal(values[2].time, suite_run.base_time);
    assert_int_equal(values[3].kind, CATALOG_NONE);
    assert_true(slice_equals(values[4].text, "regular_ll"));
    assert_true(values[5].number == 2);
    ++*(int *)data;
    return true;
}

static void members_come_with_their_types(void **state)
{
    static const char *const keys[] = { "param",     "levelist", "base_time",
                                        "nosuchkey", "gridType", "edition" };
    struct catalog_fixture *fixture = *state;
    struct query_value t = { .text = (char *)(uintptr_t) "t" };
    struct catalog_query query = {
        .terms_count = 1, .terms = { { .key = "param", .type = QUERY_TEXT, .count = 1, .values = &t } }
    };

    suite_add_fields(fixture->catalog, &suite_run, 0, 40, "n1", 1);
    for (int i = 0; i < 3; i++) { /* all three ways to the members */
        int seen = 0;
        struct catalog_rows rows = {
            .keys_count = ARRAY_COUNT(keys), .keys = keys, .each = take_members, .data = &seen
        };
        query.all = i == 1;
        query.limit = i == 2 ? 4 : 0;
        assert_ok(catalog_find_rows(fixture->catalog, &query, &rows, &suite_err));
        assert_int_equal(seen, i == 2 ? 4 : 10);
    }
}

/* --- a few --- */

/* What fits a page may be put in order by the catalog, what does not by the database: it is the same order, and the same page. */
static void pages_are_in_order_whether_they_hold_all_or_not(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct query_value t = { .text = (char *)(uintptr_t) "t" };
    struct query_value time = { .time = suite_run.base_time }, step = { .number = 21600 };
    struct catalog_query query = {
        .terms_count = 3,
        .terms = { { .key = "param", .type = QUERY_TEXT, .count = 1, .values = &t },
                   { .key = "base_time", .type = QUERY_TIME, .count = 1, .values = &time },
                   { .key = "step_seconds", .type = QUERY_NUMBER, .count = 1, .values = &step } },
    };

    suite_add_fields(fixture->catalog, &suite_run, 0, 200, "n1", 1); /* ten are asked for */
    for (size_t limit = 0; limit <= 12; limit++) {
        struct pair pair = { json_array(), json_array() };
        struct catalog_rows rows = { .text = true, .each = take_row, .data = &pair };
        query.limit = limit;
        assert_ok(catalog_find_rows(fixture->catalog, &query, &rows, &suite_err));
        query.limit = 0;
        assert_ok(catalog_find(fixture->catalog, &query, take_document, &pair, &suite_err));
        assert_int_equal(json_array_size(pair.documents), 10);
        while (limit > 0 && json_array_size(pair.documents) > limit)
            json_array_remove(pair.documents, json_array_size(pair.documents) - 1);
        assert_true(json_equal(pair.rows, pair.documents));
        json_decref(pair.rows);
        json_decref(pair.documents);
    }
}

/* A database may send it in several answers: none of it is missing, and it is in order. */
static void a_page_larger_than_an_answer_of_the_database_is_whole(void **state)
{
    enum { TEXT_SIZE = 6000000, FIELDS = 3 };
    static char text[TEXT_SIZE];
    struct catalog_fixture *fixture = *state;
    struct query_value t = { .text = (char *)(uintptr_t) "t" };
    struct query_value time = { .time = suite_run.base_time }, step = { .number = 21600 };
    struct catalog_query query = {
        .limit = 10,
        .terms_count = 3,
        .terms = { { .key = "param", .type = QUERY_TEXT, .count = 1, .values = &t },
                   { .key = "base_time", .type = QUERY_TIME, .count = 1, .values = &time },
                   { .key = "step_seconds", .type = QUERY_NUMBER, .count = 1, .values = &step } },
    };
    struct pair pair = { json_array(), json_array() };
    struct catalog_rows rows = { .text = true, .each = take_row, .data = &pair };

    memset(text, 'x', sizeof text);
    for (unsigned i = 0; i < FIELDS; i++) {
        struct field_event event = make_add(&suite_run, 6 + 20 * i, 1, 1000, "n1", 1);
        make_set(&event.issue, "large", json_stringn(text, sizeof text));
        suite_apply_one(fixture->catalog, event);
    }
    assert_ok(catalog_find_rows(fixture->catalog, &query, &rows, &suite_err));
    assert_int_equal(json_array_size(pair.rows), FIELDS);
    query.limit = 0;
    assert_ok(catalog_find(fixture->catalog, &query, take_document, &pair, &suite_err));
    assert_true(json_equal(pair.rows, pair.documents));
    json_decref(pair.rows);
    json_decref(pair.documents);
}

/* --- an order --- */

enum { ORDER_KEYS = 3, ORDER_MAX = 200 };

struct order {
    const struct catalog_query *query;
    size_t count;
    struct {
        struct field_id id;
        struct catalog_value values[ORDER_KEYS];
        char texts[ORDER_KEYS][16];
    } rows[ORDER_MAX];
};

static bool order_take(void *data, const struct catalog_row *row)
{
    struct order *order = data;

    assert_true(order->count < ORDER_MAX);
    order->rows[order->count].id.size = row->id.size;
    memcpy(order->rows[order->count].id.bytes, row->id.data, row->id.size);
    for (size_t i = 0; i < order->query->sorts_count; i++) {
        struct catalog_value *value = &order->rows[order->count].values[i];
        *value = row->values[i];
        if (value->kind != CATALOG_TEXT)
            continue;
        assert_true(value->text.size < 16);
        memcpy(order->rows[order->count].texts[i], value->text.data, value->text.size);
        value->text.data = (const uint8_t *)order->rows[order->count].texts[i];
    }
    order->count++;
    return true;
}

static int value_order(const struct catalog_value *a, const struct catalog_value *b)
{
    if (a->kind == CATALOG_NONE || b->kind == CATALOG_NONE)
        return (a->kind != CATALOG_NONE) - (b->kind != CATALOG_NONE);
    if (a->kind == CATALOG_NUMBER)
        return (a->number > b->number) - (a->number < b->number);
    if (a->kind == CATALOG_TIME)
        return (a->time > b->time) - (a->time < b->time);
    size_t common = a->text.size < b->text.size ? a->text.size : b->text.size;
    int order = memcmp(a->text.data, b->text.data, common);
    return order != 0 ? order : (a->text.size > b->text.size) - (a->text.size < b->text.size);
}

static void order_check(const struct order *order)
{
    for (size_t i = 1; i < order->count; i++) {
        int compared = 0;
        for (size_t j = 0; compared == 0 && j < order->query->sorts_count; j++) {
            compared = value_order(&order->rows[i - 1].values[j], &order->rows[i].values[j]);
            if (order->query->sorts[j].descending)
                compared = -compared;
        }
        if (compared == 0)
            compared = memcmp(order->rows[i - 1].id.bytes, order->rows[i].id.bytes,
                              order->rows[i].id.size);
        assert_true(compared < 0);
    }
}

static void read_in_order(struct catalog *catalog, struct catalog_query *query, struct order *order)
{
    const char *keys[ORDER_KEYS];
    struct catalog_rows rows = {
        .keys_count = query->sorts_count, .keys = keys, .each = order_take, .data = order
    };

    for (size_t i = 0; i < query->sorts_count; i++)
        keys[i] = query->sorts[i].key;
    order->query = query;
    assert_ok(catalog_find_rows(catalog, query, &rows, &suite_err));
}

/* Every document once, in order, whatever the size of a page, where keys are absent as well. */
static void sorted_pages_go_on_where_the_last_one_ended(void **state)
{
    static const struct {
        size_t count;
        struct query_sort sorts[ORDER_KEYS];
    } cases[] = {
        { 1, { { .key = "step_seconds", .type = QUERY_NUMBER } } },
        { 1, { { .key = "step_seconds", .type = QUERY_NUMBER, .descending = true } } },
        { 1, { { .key = "levelist", .type = QUERY_NUMBER } } }, /* half of them have none */
        { 1, { { .key = "levelist", .type = QUERY_NUMBER, .descending = true } } },
        { 2,
          { { .key = "levelist", .type = QUERY_NUMBER, .descending = true },
            { .key = "param", .type = QUERY_TEXT } } },
        { 2,
          { { .key = "param", .type = QUERY_TEXT, .descending = true },
            { .key = "levelist", .type = QUERY_NUMBER } } },
        { 3,
          { { .key = "valid_time", .type = QUERY_TIME, .descending = true },
            { .key = "param", .type = QUERY_TEXT },
            { .key = "number", .type = QUERY_NUMBER, .descending = true } } },
        { 1, { { .key = "stored_at", .type = QUERY_NUMBER } } }, /* all alike: the id decides */
    };
    struct catalog_fixture *fixture = *state;
    static struct order whole, pieces;

    suite_add_fields(fixture->catalog, &suite_run, 0, 120, "n1", 1);
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct catalog_query query = { .sorts_count = cases[i].count };
        memcpy(query.sorts, cases[i].sorts, sizeof cases[i].sorts);
        whole.count = pieces.count = 0;
        read_in_order(fixture->catalog, &query, &whole);
        assert_int_equal(whole.count, 120);
        order_check(&whole);
        query.limit = 7;
        for (size_t before = 1; before != pieces.count;) {
            before = pieces.count;
            read_in_order(fixture->catalog, &query, &pieces);
            query.after = pieces.rows[pieces.count - 1].id;
            for (size_t j = 0; j < query.sorts_count; j++)
                query.sorts[j].after = pieces.rows[pieces.count - 1].values[j];
        }
        assert_int_equal(pieces.count, whole.count);
        for (size_t j = 0; j < whole.count; j++)
            assert_memory_equal(pieces.rows[j].id.bytes, whole.rows[j].id.bytes, whole.rows[j].id.size);
    }
}

/* --- as of --- */

static bool take_stamp(void *data, const struct field_document *document)
{
    uint64_t *stamp = data;

    assert_int_equal(document->issues_count, 1);
    *stamp += document->issues[0].stored_at_us;
    return true;
}

static void the_issue_that_was_current_then_is_found(void **state)
{
    static const struct {
        uint64_t as_of, stamp;
    } cases[] = { { 499, 0 },     { 500, 500 },   { 999, 500 },  { 1000, 1000 },
                  { 1999, 1000 }, { 2000, 2000 }, { 9999, 2000 } };
    struct catalog_fixture *fixture = *state;
    struct digest old = make_digest(5, 2);
    char digest[DIGEST_TEXT_SIZE];

    fill_issues(fixture->catalog);
    digest_print(&old, digest);
    struct query_value values[] = {
        { .number = 6 }, { .text = (char *)(uintptr_t) "msl" }, { .number = 0 }, { .text = digest }
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct catalog_query query = {
            .as_of_us = cases[i].as_of,
            .terms_count = 3,
            .terms = {
                { .key = "step", .type = QUERY_NUMBER, .count = 1, .values = &values[0] },
                { .key = "param", .type = QUERY_TEXT, .count = 1, .values = &values[1] },
                { .key = "number", .type = QUERY_NUMBER, .count = 1, .values = &values[2] },
            },
        };
        uint64_t stamp = 0;
        assert_ok(catalog_find(fixture->catalog, &query, take_stamp, &stamp, &suite_err));
        assert_int_equal(stamp, cases[i].stamp);
        /* An issue that was superseded by then is not given, though it matches. */
        query.terms_count = 1;
        query.terms[0] = (struct query_term){
            .key = "digest", .type = QUERY_TEXT, .count = 1, .values = &values[3]
        };
        stamp = 0;
        assert_ok(catalog_find(fixture->catalog, &query, take_stamp, &stamp, &suite_err));
        assert_int_equal(stamp, cases[i].stamp == 500 ? 500 : 0);
    }
}

/* --- counts, runs --- */

static void what_matches_is_counted(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct run_key other = make_run("gfs", "20130408T0000Z");
    struct query_value values[] = { { .text = suite_run.source },
                                    { .time = suite_run.base_time },
                                    { .text = (char *)(uintptr_t) "msl" } };
    struct catalog_query query = {
        .terms = {
            { .key = "source", .type = QUERY_TEXT, .count = 1, .values = &values[0] },
            { .key = "base_time", .type = QUERY_TIME, .count = 1, .values = &values[1] },
            { .key = "param", .type = QUERY_TEXT, .count = 1, .values = &values[2] },
        },
    };
    static const uint64_t expected[] = { 180, 120, 120, 30 };

    suite_add_fields(fixture->catalog, &suite_run, 0, 120, "n1", 1);
    suite_add_fields(fixture->catalog, &other, 0, 60, "n1", 1);
    for (query.terms_count = 0; query.terms_count < ARRAY_COUNT(expected); query.terms_count++) {
        uint64_t count = 0;
        assert_ok(catalog_count(fixture->catalog, &query, &count, &suite_err));
        assert_int_equal(count, expected[query.terms_count]);
    }
}

static bool take_run(void *data, const struct catalog_run *run)
{
    assert_string_equal(run->run.source, "hres");
    ++*(int *)data;
    return true;
}

static bool any_run(void *data, const struct catalog_run *run)
{
    (void)run;
    ++*(int *)data;
    return true;
}

static void the_runs_of_one_source_are_listed(void **state)
{
    static const char *const sources[] = { "hre", "hres", "hres", "hres", "hres2", "gfs" };
    static const char *const times[] = { "20130408T0000Z", "19500101T0000Z", "20130408T0000Z",
                                         "20130408T1200Z", "20130408T0000Z", "20130408T0000Z" };
    struct catalog_fixture *fixture = *state;
    struct run_info none = { .incarnation = 0 };
    int seen = 0;

    for (unsigned i = 0; i < ARRAY_COUNT(sources); i++) {
        struct catalog_run run = { .run = make_run(sources[i], times[i]) };
        run.info = (struct run_info){ .incarnation = 1, .state = RUN_FILLING };
        assert_ok(catalog_run_put(fixture->catalog, &run, &none, &suite_err));
    }
    assert_ok(catalog_run_scan_source(fixture->catalog, "hres", take_run, &seen, &suite_err));
    assert_int_equal(seen, 3);
    seen = 0;
    assert_ok(catalog_run_scan_source(fixture->catalog, NULL, any_run, &seen, &suite_err));
    assert_int_equal(seen, ARRAY_COUNT(sources));
}

int suite_run_rows(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, suite_setup, suite_teardown)
    static const struct CMUnitTest rows[] = {
        CASE(rows_are_the_documents_as_text),
        CASE(members_come_with_their_types),
        CASE(pages_are_in_order_whether_they_hold_all_or_not),
        CASE(a_page_larger_than_an_answer_of_the_database_is_whole),
        CASE(sorted_pages_go_on_where_the_last_one_ended),
        CASE(the_issue_that_was_current_then_is_found),
        CASE(what_matches_is_counted),
        CASE(the_runs_of_one_source_are_listed),
    };
#undef CASE

    return cmocka_run_group_tests(rows, NULL, NULL);
}
