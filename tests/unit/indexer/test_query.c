/* test_query.c: pairs of key and value become terms, as metkit expands them; what is wrong is named. */
#include "indexer/grib2_product.h"
#include "indexer/grib_grid.h"
#include "indexer/grib_packing.h"
#include "indexer/query.h"
#include "indexer/query_keys.h"
#include "proto/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static enum status add(struct query_request *request, const char *key, const char *value,
                       struct error *err)
{
    return query_add(request, slice_text(key), slice_text(value), err);
}

/* The terms as text: "step in 0 6 12 or stepRange in 0-24". */
static void print_terms(const struct catalog_query *query, struct buf *buf)
{
    for (size_t i = 0; i < query->terms_count; i++) {
        const struct query_term *term = &query->terms[i];
        buf_format(buf, "%s%s in", i == 0 ? "" : term->alternative ? " or " : " and ", term->key);
        for (size_t j = 0; j < term->count; j++) {
            buf_text(buf, " ");
            if (term->type == QUERY_TEXT)
                buf_text(buf, term->values[j].text);
            else if (term->type == QUERY_NUMBER)
                buf_double(buf, term->values[j].number);
            else
                buf_format(buf, "@%lld", (long long)term->values[j].time);
        }
    }
}

static void values_are_read_key_by_key(void **state)
{
    static const struct {
        const char *key, *value, *terms;
    } cases[] = {
        { "param", "2t", "param in 2t" },
        { "param", "2t/msl", "param in 2t msl" },
        { "parameter", "167", "paramId in 167" },
        { "param", "130.128", "paramId in 130 or idTable in 130.128" },
        { "param", "246.228", "paramId in 228246 or idTable in 246.228" },
        { "param", "011.002", "paramId in 2011 or idTable in 11.2" },
        { "param", "t/130.128/gh", "param in t gh or paramId in 130 or idTable in 130.128" },
        { "param", "t/11.2/167/201.16.0",
          "param in t or paramId in 2011 167 or idTable in 11.2 or idCategoryDiscipline in 201.16.0" },
        { "param", "201.16.0/0.0.0", "idCategoryDiscipline in 201.16.0 0.0.0" },
        { "param", "48.260", "paramId in 260048 or idTable in 48.260" },
        { "param", "1.2.3.4/1000.1/1./.1/1..2", "param in 1.2.3.4 1000.1 1. .1 1..2" },
        { "param", "10u", "param in 10u" },
        { "param", " 2t / msl ", "param in 2t msl" },
        { "paramId", "167/151", "paramId in 167 151" },
        { "source", "hres", "source in hres" },
        { "step", "24", "step_seconds in 86400" },
        { "step", "0/6/12", "step_seconds in 0 21600 43200" },
        { "step", "1.5", "step_seconds in 5400" },
        { "step", "90m", "step_seconds in 5400" },
        { "step", "1h30m/2h", "step_seconds in 5400 7200" },
        { "step", "-6", "step_seconds in -21600" },
        { "step", "0-24", "stepRange in 0-24" },
        { "step", "24/0-24/0m-90m", "step_seconds in 86400 or stepRange in 0-24 0m-90m" },
        { "levelist", "500/850/1000", "levelist in 500 850 1000" },
        { "leve", "0.5", "levelist in 0.5" },
        { "levellist", "500", "levelist in 500" },
        { "levtyp", "PL", "levtype in pl" },
        { "levtype", "surface", "levtype in sfc" },
        { "type", "Analysis/fc", "type in an fc" },
        { "stream", "da", "stream in oper" },
        { "class", "OD", "class in od" },
        { "expver", "1", "expver in 0001" },
        { "expver", "0001/abcd/12345", "expver in 0001 abcd 12345" },
        { "number", "0/1", "number in 0 1" },
        { "date", "20130408", "date in 20130408" },
        { "date", "2013-04-08/2013-098", "date in 20130408 20130408" },
        { "time", "0/6/1200/18:30/06:00:00", "time in 0000 0600 1200 1830 0600" },
        { "base_time", "20130408T0000Z", "base_time in @1365379200" },
        { "base_time", "2013-04-08T00:00:00Z/20130408T000030Z", "base_time in @1365379200 @1365379230" },
        { "valid_time", "1969-12-31T23:00:00Z", "valid_time in @-3600" },
        { "typeOfLevel", "heightAboveGround", "typeOfLevel in heightAboveGround" },
        { "units", "m s**-1", "units in m s**-1" },
        { "param", "all", "" },
        { "levelist", "ALL", "" },
        { "source", "all", "source in all" },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct query_request request;
        struct error err = { .text = "" };
        struct buf text;
        query_init(&request);
        buf_init(&text, 10000);
        if (add(&request, cases[i].key, cases[i].value, &err) != STATUS_OK)
            fail_msg("%s=%s: %s", cases[i].key, cases[i].value, err.text);
        assert_int_equal(query_finish(&request, &err), STATUS_OK);
        print_terms(&request.query, &text);
        assert_string_equal(buf_string(&text), cases[i].terms);
        buf_fini(&text);
        query_fini(&request);
    }
}

static void ranges_are_expanded_as_metkit_does(void **state)
{
    static const struct {
        const char *key, *value, *terms;
    } cases[] = {
        { "step", "0/to/24/by/6", "step_seconds in 0 21600 43200 64800 86400" },
        { "step", "0/to/24", "step_seconds in 0 43200 86400" },
        { "step", "0/to/10/by/3", "step_seconds in 0 10800 21600 32400" },
        { "step", "0/TO/12/By/6/24", "step_seconds in 0 21600 43200 86400" },
        { "step", "3/0/to/24/30/to/36/by/3", "step_seconds in 10800 0 43200 86400 108000 118800 129600" },
        { "step", "24/to/0/by/12", "step_seconds in 86400 43200 0" },
        { "step", "24/to/0/by/-12", "step_seconds in 86400 43200 0" },
        { "step", "0/to/2/by/30m", "step_seconds in 0 1800 3600 5400 7200" },
        { "step", "0/to/1/by/20m", "step_seconds in 0 1200 2400 3600" },
        { "step", "6/to/6/by/6", "step_seconds in 21600" },
        { "number", "1/to/5", "number in 1 2 3 4 5" },
        { "number", "1/2/to/5", "number in 1 2 3 4 5" },
        { "levelist", "0/to/1/by/0.25", "levelist in 0 0.25 0.5 0.75 1" },
        { "levelist", "0/to/0.4/by/0.1", "levelist in 0 0.1 0.2 0.3 0.4" },
        { "date", "20130227/to/20130302", "date in 20130227 20130228 20130301 20130302" },
        { "date", "20130430/to/20130410/by/-10", "date in 20130430 20130420 20130410" },
        { "time", "0/to/18", "time in 0000 0600 1200 1800" },
        { "time", "00/to/12/by/12", "time in 0000 1200" },
        { "time", "00:00/to/01:30/by/00:45", "time in 0000 0045 0130" },
        { "time", "0/to/3/by/90m", "time in 0000 0130 0300" },
        { "valid_time", "20130408T0000Z/to/20130408T0100Z/by/30m",
          "valid_time in @1365379200 @1365381000 @1365382800" },
        { "valid_time", "20130408T0200Z/to/20130408T0000Z",
          "valid_time in @1365386400 @1365382800 @1365379200" },
        { "date", "2012-366/to/2013-001", "date in 20121231 20130101" },
        { "base_time", "20130408T0000Z/to/20130408T1200Z/by/6",
          "base_time in @1365379200 @1365400800 @1365422400" },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct query_request request;
        struct error err = { .text = "" };
        struct buf text;
        query_init(&request);
        buf_init(&text, 10000);
        if (add(&request, cases[i].key, cases[i].value, &err) != STATUS_OK)
            fail_msg("%s=%s: %s", cases[i].key, cases[i].value, err.text);
        print_terms(&request.query, &text);
        assert_string_equal(buf_string(&text), cases[i].terms);
        buf_fini(&text);
        query_fini(&request);
    }
}

static uint64_t noon(void)
{
    return UINT64_C(1365422400000000); /* 2013-04-08T12:00:00Z */
}

static void dates_may_count_from_today(void **state)
{
    struct query_request request;
    struct error err;

    (void)state;
    clock_replace(noon, NULL);
    query_init(&request);
    assert_int_equal(add(&request, "date", "0/-1/-8", &err), STATUS_OK);
    assert_true(request.query.terms[0].values[0].number == 20130408);
    assert_true(request.query.terms[0].values[1].number == 20130407);
    assert_true(request.query.terms[0].values[2].number == 20130331);
    query_fini(&request);
    clock_replace(NULL, NULL);
}

/* Which keys have an index is what ARCHITECTURE.md, section 15, says. */
static void a_query_that_was_too_slow_is_told_how_to_ask(void **state)
{
    static const struct {
        const char *key, *value, *more, *more_value;
        bool told;
    } cases[] = {
        { "number", "3", NULL, NULL, true },
        { "param", "201.16.0", NULL, NULL, true },
        { "param", "t/201.16.0", NULL, NULL, true },
        { "base_time", "2013-04-08T00:00:00Z", "number", "3", true },
        { "param", "201.16.0", "source", "gfs", false },
        { "number", "3", "param", "t", false },
        { "param", "t/167/11.2", NULL, NULL, false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct query_request request;
        struct error err;

        query_init(&request);
        assert_int_equal(add(&request, cases[i].key, cases[i].value, &err), STATUS_OK);
        if (cases[i].more != NULL)
            assert_int_equal(add(&request, cases[i].more, cases[i].more_value, &err), STATUS_OK);
        error_set(&err, STATUS_TIMEOUT, "operation exceeded time limit");
        assert_int_equal(query_too_slow(&request.query, STATUS_TIMEOUT, &err), STATUS_TIMEOUT);
        assert_non_null(strstr(err.text, "operation exceeded time limit"));
        assert_int_equal(strstr(err.text, "name a source") != NULL, cases[i].told);
        error_set(&err, STATUS_CORRUPT, "a document");
        assert_int_equal(query_too_slow(&request.query, STATUS_CORRUPT, &err), STATUS_CORRUPT);
        assert_string_equal(err.text, "a document");
        query_fini(&request);
    }
}

static void what_is_malformed_is_named(void **state)
{
    static const struct {
        const char *key, *value, *said;
    } cases[] = {
        { "step", "", "step" },
        { "step", "six", "step: \"six\"" },
        { "step", "6/", "step" },
        { "step", "/6", "step" },
        { "step", "6//12", "step" },
        { "step", "0/to", "to" },
        { "step", "0/to/24/by", "by" },
        { "step", "to/24", "step: \"to\"" },
        { "step", "0/to/24/by/0", "never end" },
        { "step", "0/to/24/by/-6", "leads away" },
        { "step", "0/to/24/by/x", "by" },
        { "step", "0/to/99999/by/1", "more than 10000" },
        { "step", "1e400", "step" },
        { "step", "nan", "step" },
        { "step", "0x10", "step" },
        { "step", "5x", "step" },
        { "number", "1/to/1000000", "more than 10000" },
        { "param", "2t/to/msl", "range" },
        { "levtype", "pl/", "levtype" },
        { "source", "../etc", "source" },
        { "source", "HRES", "source" },
        { "digest", "abc", "digest" },
        { "base_time", "today", "base_time" },
        { "base_time", "20130230T0000Z", "base_time" },
        { "date", "20130230", "date" },
        { "date", "2013-366x", "date" },
        { "date", "7", "date" },
        { "time", "25", "time" },
        { "time", "12:00:01", "time" },
        { "limit", "0", "limit" },
        { "limit", "10001", "limit" },
        { "limit", "-1", "limit" },
        { "limit", "", "limit" },
        { "all", "yes", "all" },
        { "format", "xml", "format" },
        { "cursor", "", "cursor" },
        { "cursor", "zz", "cursor" },
        { "cursor", "68726573", "cursor" },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct query_request request;
        struct error err;
        query_init(&request);
        if (add(&request, cases[i].key, cases[i].value, &err) != STATUS_BAD_VALUE)
            fail_msg("%s=%s was taken", cases[i].key, cases[i].value);
        if (strstr(err.text, cases[i].said) == NULL)
            fail_msg("%s=%s: %s", cases[i].key, cases[i].value, err.text);
        query_fini(&request);
    }
}

static void an_unknown_key_is_named_with_the_nearest(void **state)
{
    static const struct {
        const char *key, *said;
    } cases[] = {
        { "parm", "parm is no key; did you mean param?" },
        { "paramid", "did you mean paramId?" },
        { "lavelist", "did you mean levelist?" },
        { "basetime", "did you mean base_time?" },
        { "Step", "did you mean step?" },
        { "$where", "$where is no key" },
        { "x", "x is no key" },
        { "", " is no key" },
        { "locations.url", "is no key" },
        { "grid", "as they were stored" },
        { "area", "as they were stored" },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct query_request request;
        struct error err;
        query_init(&request);
        assert_int_equal(add(&request, cases[i].key, "1", &err), STATUS_UNKNOWN_KEY);
        if (strstr(err.text, cases[i].said) == NULL)
            fail_msg("%s: %s", cases[i].key, err.text);
        query_fini(&request);
    }
}

static void a_key_is_given_once(void **state)
{
    struct query_request request;
    struct error err;

    (void)state;
    query_init(&request);
    assert_int_equal(add(&request, "param", "2t", &err), STATUS_OK);
    assert_int_equal(add(&request, "parameter", "167", &err), STATUS_BAD_VALUE);
    query_fini(&request);
}

static void too_many_keys_are_refused(void **state)
{
    struct query_request request;
    struct error err;
    unsigned taken = 0;

    (void)state;
    query_init(&request);
    for (const struct query_key *key = query_keys; key->name != NULL; key++) {
        if (key->kind != KIND_NUMBER)
            continue;
        if (add(&request, key->name, "1", &err) != STATUS_OK)
            break;
        taken++;
    }
    assert_int_equal(add(&request, "param", "2t/167", &err), STATUS_BAD_VALUE);
    assert_int_equal(taken, QUERY_TERMS_MAX);
    assert_int_equal(request.query.terms_count, QUERY_TERMS_MAX);
    query_fini(&request);
}

static void the_table_of_keys_has_each_name_once(void **state)
{
    (void)state;
    for (const struct query_key *key = query_keys; key->name != NULL; key++) {
        assert_ptr_equal(query_key_find(slice_text(key->name)), key);
        for (const char *at = key->name; *at != '\0'; at++)
            if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_", *at) == NULL)
                fail_msg("%s would not be a plain name in a database", key->name);
    }
}

static void answers_are_limited_and_formed_as_asked(void **state)
{
    struct query_request request;
    struct error err;

    (void)state;
    query_init(&request);
    assert_int_equal(request.query.limit, 1000);
    assert_false(request.query.all);
    assert_int_equal(add(&request, "limit", "10000", &err), STATUS_OK);
    assert_int_equal(add(&request, "all", "1", &err), STATUS_OK);
    assert_int_equal(add(&request, "format", "ndjson", &err), STATUS_OK);
    assert_int_equal(query_finish(&request, &err), STATUS_OK);
    assert_int_equal(request.query.limit, 10000);
    assert_true(request.query.all);
    assert_int_equal(request.form, QUERY_NDJSON);
    query_fini(&request);
}

static void a_cursor_of_another_run_is_refused(void **state)
{
    static const char cursor[] = "6872657300"
                                 "8000000051620880"
                                 "000102030405060708090a0b0c0d0e0f";
    static const char *const base_times[] = { "20130408T0000Z", "20130408T1200Z" };

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct query_request request;
        struct error err;
        query_init(&request);
        assert_int_equal(add(&request, "cursor", cursor, &err), STATUS_OK);
        assert_int_equal(query_finish(&request, &err), STATUS_OK);
        assert_int_equal(add(&request, "source", "hres", &err), STATUS_OK);
        assert_int_equal(add(&request, "base_time", base_times[i], &err), STATUS_OK);
        assert_int_equal(query_finish(&request, &err), i == 0 ? STATUS_OK : STATUS_BAD_VALUE);
        query_fini(&request);
    }
}

/* What is asked for in order is asked for again behind its last document. */
static void a_cursor_brings_back_where_a_page_ended(void **state)
{
    static const char *const sorts[] = { "", "step,-levelist", "param,valid_time,number,-source" };
    struct run_key run;
    struct field_id id;
    uint8_t identity[GRIB_IDENTITY_SIZE] = { 7 };

    (void)state;
    run_key_parse(slice_text("hres"), slice_text("20130408T0000Z"), &run, NULL);
    field_id_make(&run, identity, &id);
    for (unsigned i = 0; i < ARRAY_COUNT(sorts); i++) {
        struct catalog_value values[QUERY_SORTS_MAX] = {
            { .kind = i == 2 ? CATALOG_TEXT : CATALOG_NUMBER, .number = 21600.5, .text = slice_text("2t\"") },
            { .kind = i == 2 ? CATALOG_TIME : CATALOG_NONE, .time = -1365379200 },
        };
        struct query_request first, next, other;
        struct error err;
        struct buf cursor;

        query_init(&first);
        query_init(&next);
        query_init(&other);
        buf_init(&cursor, 4096);
        if (i > 0)
            assert_int_equal(add(&first, "sort", sorts[i], &err), STATUS_OK);
        query_cursor_print(&first, i, slice_of(id.bytes, id.size), values, &cursor);
        /* The cursor may come before the keys that it is of. */
        assert_int_equal(add(&next, "cursor", buf_string(&cursor), &err), STATUS_OK);
        if (i > 0)
            assert_int_equal(add(&next, "sort", sorts[i], &err), STATUS_OK);
        assert_int_equal(query_finish(&next, &err), STATUS_OK);
        assert_int_equal(next.cursor_part, i);
        assert_memory_equal(next.query.after.bytes, id.bytes, id.size);
        for (size_t j = 0; j < next.query.sorts_count; j++) {
            const struct catalog_value *value = &next.query.sorts[j].after;
            assert_int_equal(value->kind, values[j].kind);
            assert_true(value->kind != CATALOG_NUMBER || value->number == values[j].number);
            assert_true(value->kind != CATALOG_TIME || value->time == values[j].time);
            assert_true(value->kind != CATALOG_TEXT || slice_equals(value->text, "2t\""));
        }
        assert_int_equal(add(&other, "cursor", buf_string(&cursor), &err), STATUS_OK);
        assert_int_equal(add(&other, "sort", "paramId", &err), STATUS_OK);
        assert_int_equal(query_finish(&other, &err), STATUS_BAD_VALUE);
        buf_fini(&cursor);
        query_fini(&first);
        query_fini(&next);
        query_fini(&other);
    }
}

static void a_query_is_bound_to_sources(void **state)
{
    static const struct {
        const char *asked, *bound, *terms; /* terms NULL: refused */
    } cases[] = {
        { NULL, "hres", "source in hres" },
        { NULL, "hres,gfs", "source in hres gfs" },
        { NULL, "all,to,by", "source in all to by" }, /* names of sources, not words of a query */
        { "hres", "hres", "source in hres" },
        { "gfs", "hres,gfs", "source in gfs" },
        { "gfs/hres", "hres,gfs", "source in gfs hres" },
        { "gfs", "hres", NULL },
        { "hres/gfs", "hres", NULL },
        { "hre", "hres", NULL },
        { "all", "hres", NULL },
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct query_request request;
        struct error err;
        struct buf terms;

        error_init(&err);
        query_init(&request);
        buf_init(&terms, 4096);
        if (cases[i].asked != NULL)
            assert_int_equal(add(&request, "source", cases[i].asked, &err), STATUS_OK);
        enum status status = query_bind(&request, cases[i].bound, &err);
        assert_int_equal(status, cases[i].terms != NULL ? STATUS_OK : STATUS_FORBIDDEN);
        print_terms(&request.query, &terms);
        if (cases[i].terms != NULL)
            assert_string_equal(buf_string(&terms), cases[i].terms);
        buf_fini(&terms);
        query_fini(&request);
    }
}

static void assert_numbers(const char *const *names)
{
    for (; *names != NULL; names++) {
        const struct query_key *key = query_key_find(slice_text(*names));
        if (key == NULL || key->kind != KIND_NUMBER)
            fail_msg("%s is no number of a query", *names);
    }
}

static void what_octets_say_may_be_asked_for(void **state)
{
    const char *name[] = { NULL, NULL };

    (void)state;
    for (size_t i = 0; (name[0] = grib2_product_key(i)) != NULL; i++)
        assert_numbers(name);
    assert_numbers(grib_packing_keys);
    assert_numbers(grib_grid_whole_keys);
    assert_numbers(grib_grid_real_keys);
    for (const char *const *other = grib_grid_other_keys; *other != NULL; other++)
        assert_non_null(query_key_find(slice_text(*other)));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_read_key_by_key),
        cmocka_unit_test(ranges_are_expanded_as_metkit_does),
        cmocka_unit_test(dates_may_count_from_today),
        cmocka_unit_test(a_query_that_was_too_slow_is_told_how_to_ask),
        cmocka_unit_test(what_is_malformed_is_named),
        cmocka_unit_test(an_unknown_key_is_named_with_the_nearest),
        cmocka_unit_test(a_key_is_given_once),
        cmocka_unit_test(too_many_keys_are_refused),
        cmocka_unit_test(the_table_of_keys_has_each_name_once),
        cmocka_unit_test(answers_are_limited_and_formed_as_asked),
        cmocka_unit_test(a_cursor_of_another_run_is_refused),
        cmocka_unit_test(a_cursor_brings_back_where_a_page_ended),
        cmocka_unit_test(a_query_is_bound_to_sources),
        cmocka_unit_test(what_octets_say_may_be_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
