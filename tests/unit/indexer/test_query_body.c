/* test_query_body.c: requests in the language of MARS, and as JSON. */
#include "indexer/query_body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* "param=t/z step_seconds=0/21600; ..." : terms of each request as text. */
static void show(const struct query_body *body, char *text, size_t size)
{
    struct buf buf;

    buf_init(&buf, size - 1);
    for (size_t i = 0; i < body->count; i++) {
        buf_text(&buf, i > 0 ? "; " : "");
        for (size_t j = 0; j < body->requests[i].query.terms_count; j++) {
            const struct query_term *term = &body->requests[i].query.terms[j];
            buf_format(&buf, "%s%s=", j > 0 ? " " : "", term->key);
            for (size_t k = 0; k < term->count; k++) {
                buf_text(&buf, k > 0 ? "/" : "");
                if (term->type == QUERY_TEXT)
                    buf_text(&buf, term->values[k].text);
                else if (term->type == QUERY_NUMBER)
                    buf_double(&buf, term->values[k].number);
                else
                    buf_format(&buf, "%lld", (long long)term->values[k].time);
            }
        }
    }
    snprintf(text, size, "%s", buf_string(&buf));
    buf_fini(&buf);
}

struct example {
    const char *text, *shown;
};

static void check(const struct example *examples, size_t count,
                  enum status (*read)(struct query_body *, struct slice, struct error *))
{
    for (size_t i = 0; i < count; i++) {
        struct query_body body;
        struct error err;
        char shown[1000];

        query_body_init(&body);
        if (read(&body, slice_text(examples[i].text), &err) != STATUS_OK)
            fail_msg("%s: %s", examples[i].text, err.text);
        show(&body, shown, sizeof shown);
        assert_string_equal(shown, examples[i].shown);
        query_body_fini(&body);
    }
}

static void texts_are_read_as_mars_writes_them(void **state)
{
    static const struct example examples[] = {
        { "retrieve,param=t", "param=t" },
        { "RETRIEVE , PARAM = t / z ,\n  Step=0/TO/12/By/6 .", "param=t/z step_seconds=0/21600/43200" },
        { "ret,LEVTYP=pressure levels,LevelList=500/1000", "levtype=pl levelist=500/1000" },
        { "list,\n  # which ones\n  class=od, # operational\n expver=1, target = \"out file.grib\"",
          "class=od expver=0001" },
        { "retrieve,type='an',time=00/12", "type=an time=0000/1200" },
        { "retrieve,param=130.128", "paramId=130 idTable=130.128" },
        { "retrieve,step=24.", "step_seconds=86400" },
        { "retrieve,param=t,levelist=off,area=off,number=all", "param=t" },
        { "retrieve,paramid=130,typeoflevel=surface", "paramId=130 typeOfLevel=surface" },
        /* A later request inherits, and may take back. */
        { "retrieve,param=t,levelist=500,step=24\nretrieve,param=2t,levelist=off .\nlist,step=48",
          "param=t levelist=500 step_seconds=86400; param=2t step_seconds=86400; param=2t step_seconds=172800" },
    };

    (void)state;
    check(examples, ARRAY_COUNT(examples), query_body_text);
}

static void json_says_the_same(void **state)
{
    static const struct example examples[] = {
        { "{\"param\":[\"t\",\"z\"],\"step\":{\"from\":0,\"to\":12,\"by\":6}}",
          "param=t/z step_seconds=0/21600/43200" },
        { "{\"levelist\":[500,{\"from\":700,\"to\":702}]}", "levelist=500/700/701/702" },
        { "{\"number\":1.5,\"class\":\"od\"}", "number=1.5 class=od" },
        { "{}", "" },
        { "[{\"param\":\"t\"},{\"param\":\"z/q\"}]", "param=t; param=z/q" },
    };

    (void)state;
    check(examples, ARRAY_COUNT(examples), query_body_json);
}

/* Quotes make one value of it, as they do of words with blanks; so does a place in a list of JSON, while a text in a list's place is one. */
static void a_slash_of_the_value_itself_ends_no_value(void **state)
{
    static const struct {
        bool json;
        const char *text;
        size_t count;
        const char *values[3];
    } cases[] = {
        { false, "retrieve,units=\"m/s\"", 1, { "m/s" } },
        { false, "retrieve,units='m/s'/K/\"a\\/b / c/\"", 3, { "m/s", "K", "a/b / c/" } },
        { false, "retrieve,units=m/s", 2, { "m", "s" } },
        { false, "retrieve,units=\"/\"", 1, { "/" } },
        { true, "{\"units\":[\"m/s\"]}", 1, { "m/s" } },
        { true, "{\"units\":[\"m/s\",\"K\",\"/a/\"]}", 3, { "m/s", "K", "/a/" } },
        { true, "{\"units\":\"m/s\"}", 2, { "m", "s" } },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct query_body body;
        struct error err;

        query_body_init(&body);
        enum status status = cases[i].json ? query_body_json(&body, slice_text(cases[i].text), &err)
                                           : query_body_text(&body, slice_text(cases[i].text), &err);
        if (status != STATUS_OK)
            fail_msg("%s: %s", cases[i].text, err.text);
        const struct query_term *term = &body.requests[0].query.terms[0];
        assert_int_equal(term->count, cases[i].count);
        for (size_t k = 0; k < term->count; k++)
            assert_string_equal(term->values[k].text, cases[i].values[k]);
        query_body_fini(&body);
    }
}

static void what_is_wrong_is_named(void **state)
{
    static const struct {
        bool json;
        enum status status;
        const char *text, *named;
    } cases[] = {
        { true, STATUS_UNKNOWN_KEY, "{\"$or\": [{\"param\": \"t\"}]}", "$or is no key" },
        { false, STATUS_BAD_VALUE, "", "no request" },
        { false, STATUS_BAD_VALUE, "# nothing\n", "no request" },
        { false, STATUS_BAD_VALUE, "archive,param=t", "archive" },
        { false, STATUS_BAD_VALUE, "retrieve,param", "line 1" },
        { false, STATUS_BAD_VALUE, "retrieve,\nparam=", "line 2" },
        { false, STATUS_BAD_VALUE, "retrieve,param=t/,step=1", "line 1" },
        { false, STATUS_BAD_VALUE, "retrieve,param='t", "quote" },
        { false, STATUS_BAD_VALUE, "retrieve,param=\"\\u0041\"", "escape" },
        { false, STATUS_BAD_VALUE, "retrieve,param=$t", "line 1" },
        { false, STATUS_BAD_VALUE, "retrieve,step=0/to/6/by/0", "by" },
        { false, STATUS_UNKNOWN_KEY, "retrieve,parm=t", "param" },
        { false, STATUS_UNKNOWN_KEY, "retrieve,grid=1/1", "grid" },
        { false, STATUS_UNKNOWN_KEY, "retrieve,format=grib2", "format" },
        { false, STATUS_UNKNOWN_KEY, "retrieve,limit=3", "limit" },
        { false, STATUS_UNKNOWN_KEY, "retrieve,a.b=1", "a.b" },
        { true, STATUS_BAD_VALUE, "{", "JSON" },
        { true, STATUS_BAD_VALUE, "[]", "no request" },
        { true, STATUS_BAD_VALUE, "[1]", "request 1" },
        { true, STATUS_BAD_VALUE, "{\"param\":null}", "param" },
        { true, STATUS_BAD_VALUE, "{\"param\":[]}", "param" },
        { true, STATUS_BAD_VALUE, "{\"step\":[\"0/to/24\"]}", "step" }, /* one value, which is no step */
        { true, STATUS_BAD_VALUE, "{\"step\":{\"from\":\"0/6\",\"to\":24}}", "step" },
        { true, STATUS_BAD_VALUE, "{\"param\":[[\"t\"]]}", "param" },
        { true, STATUS_BAD_VALUE, "{\"step\":{\"from\":0}}", "range" },
        { true, STATUS_BAD_VALUE, "{\"step\":{\"$gt\":0,\"to\":1}}", "range" },
        { true, STATUS_UNKNOWN_KEY, "{\"$where\":\"1\"}", "$where" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct query_body body;
        struct error err;

        query_body_init(&body);
        enum status status = cases[i].json ? query_body_json(&body, slice_text(cases[i].text), &err)
                                           : query_body_text(&body, slice_text(cases[i].text), &err);
        if (status != cases[i].status || strstr(err.text, cases[i].named) == NULL)
            fail_msg("%s: %s %s", cases[i].text, status_name(status), err.text);
        query_body_fini(&body);
    }
}

/* Few letters that would be many values, or many requests. */
static void what_grows_without_end_is_refused(void **state)
{
    struct query_body body;
    struct error err;
    struct buf text;

    (void)state;
    buf_init(&text, QUERY_BODY_MAX);
    buf_text(&text,
             "retrieve,levelist=1/to/9000,number=1/to/9000,channel=1/to/9000,ident=1/to/9000,system=1/to/9000\n");
    for (int i = 0; i < 30; i++)
        buf_text(&text, "retrieve,param=t\n");
    query_body_init(&body);
    assert_int_equal(query_body_text(&body, slice_of(text.data, text.size), &err), STATUS_BAD_VALUE);
    assert_non_null(strstr(err.text, "values in all"));
    query_body_fini(&body);

    buf_clear(&text);
    for (int i = 0; i <= QUERY_REQUESTS_MAX; i++)
        buf_text(&text, "retrieve,param=t\n");
    query_body_init(&body);
    assert_int_equal(query_body_text(&body, slice_of(text.data, text.size), &err), STATUS_BAD_VALUE);
    assert_non_null(strstr(err.text, "requests"));
    query_body_fini(&body);
    buf_fini(&text);
}

static void what_is_the_clients_is_passed_over_and_named(void **state)
{
    struct query_body body;
    struct error err;

    (void)state;
    query_body_init(&body);
    assert_int_equal(
        query_body_text(&body, slice_text("retrieve,target=\"a/b\",param=t,EXPECT=any"), &err), STATUS_OK);
    assert_string_equal(buf_string(&body.ignored), "target, expect");
    query_body_fini(&body);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_read_as_mars_writes_them),
        cmocka_unit_test(json_says_the_same),
        cmocka_unit_test(a_slash_of_the_value_itself_ends_no_value),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(what_grows_without_end_is_refused),
        cmocka_unit_test(what_is_the_clients_is_passed_over_and_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
