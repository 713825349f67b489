/* test_query_route.c: GET /v1/fields over a real socket, answered from a real catalog. */
#include "../proto/http/http_fixture.h"
#include "catalog_file.h"
#include "field_make.h"
#include "indexer/indexer.h"
#include "indexer/query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/gribstore-query-XXXXXX";
static struct fixture fixture;
static struct indexer indexer;
static struct run_key run;

static const struct http_route routes[] = {
    { HTTP_GET_, "/v1/fields", ROLE_READ, "fields", query_route },
    { 0, NULL, ROLE_NONE, NULL, NULL },
};

/* 40 fields, two of them with an older issue. */
static void fill(void)
{
    struct field_event events[42];
    struct error err;

    for (unsigned i = 0; i < 40; i++)
        events[i] = make_add(&run, i, 1, 1000, "n1", 1);
    events[40] = make_add(&run, 1, 2, 500, "n1", 1);
    events[41] = make_add(&run, 5, 2, 500, "n1", 1);
    if (catalog_apply(indexer.catalog, events, ARRAY_COUNT(events), &err) != STATUS_OK)
        fail_msg("%s", err.text);
    for (unsigned i = 0; i < ARRAY_COUNT(events); i++)
        field_event_fini(&events[i]);
}

static int start(void **state)
{
    struct http_server_options options = {
        .loop = &fixture.loop, .listen = "127.0.0.1:0", .routes = routes, .context = &indexer
    };
    struct error err;

    (void)state;
    run = make_run("hres", "20130408T0000Z");
    indexer.catalog = catalog_file_open(folder);
    fill();
    uv_loop_init(&fixture.loop);
    return http_server_start(&options, &fixture.server, &err) == STATUS_OK ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    work_stop(&fixture.loop);
    fixture_stop(&fixture);
    catalog_file_close(indexer.catalog, folder);
    return 0;
}

static struct answer ask(const char *target, const char *more)
{
    char request[4096];

    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n", target, more);
    return client_once(&fixture, request);
}

static json_t *ask_json(const char *target)
{
    struct answer answer = ask(target, "");
    char type[64];

    if (answer.status != 200)
        fail_msg("%s: %d %.*s", target, answer.status, (int)answer.size, (char *)answer.body);
    assert_string_equal(answer_header(&answer, "Content-Type", type, sizeof type), "application/json");
    json_t *json = json_loadb((const char *)answer.body, answer.size, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    answer_free(&answer);
    return json;
}

static size_t count_of(const char *target)
{
    json_t *json = ask_json(target);
    size_t count = json_array_size(json_object_get(json, "fields"));

    assert_true(json_is_null(json_object_get(json, "next")));
    json_decref(json);
    return count;
}

static void a_query_is_answered_with_documents(void **state)
{
    json_t *json = ask_json("/v1/fields?param=msl&base_time=2013-04-08T00:00:00Z&step=6&number=0");
    json_t *field = json_array_get(json_object_get(json, "fields"), 0);
    json_t *location = json_array_get(json_object_get(field, "locations"), 0);

    (void)state;
    assert_int_equal(json_array_size(json_object_get(json, "fields")), 1);
    assert_string_equal(json_string_value(json_object_get(location, "url")),
                        "http://n1:8410/data/hres/20130408T0000Z/0001-6f3a92c1d0e40001.grib");
    assert_int_equal(json_integer_value(json_object_get(location, "offset")), 5 * 4158);
    assert_int_equal(json_array_size(json_object_get(field, "older")), 1);
    assert_string_equal(json_string_value(json_object_get(field, "base_time")), "2013-04-08T00:00:00Z");
    assert_null(json_object_get(field, "rev"));
    json_decref(json);
}

static void keys_select_and_absent_keys_mean_any(void **state)
{
    static const struct {
        const char *target;
        size_t count;
    } cases[] = {
        { "/v1/fields", 40 },
        { "/v1/fields?source=hres", 40 },
        { "/v1/fields?source=gfs", 0 },
        { "/v1/fields?param=2t%2Fmsl", 20 },
        { "/v1/fields?param=2t/151", 20 },
        { "/v1/fields?param=t&step=0/to/24/by/6&levelist=500", 10 },
        { "/v1/fields?levtype=sfc&number=1", 10 },
        { "/v1/fields?date=20130408&time=00", 40 },
        { "/v1/fields?param=msl&all=1", 12 },
        { "/v1/fields?param=all&levelist=500", 20 },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++)
        if (count_of(cases[i].target) != cases[i].count)
            fail_msg("%s: not %zu", cases[i].target, cases[i].count);
}

/* Follows the Link of each answer; every document comes once. */
static size_t follow(const char *target, size_t limit, size_t *pages)
{
    char next[2048], link[2048];
    size_t count = 0;
    json_t *seen = json_object();

    snprintf(next, sizeof next, "%s", target);
    for (*pages = 1;; ++*pages) {
        struct answer answer = ask(next, "");
        json_t *json = json_loadb((const char *)answer.body, answer.size, 0, NULL);
        json_t *fields = json_object_get(json, "fields"), *cursor = json_object_get(json, "next");
        assert_int_equal(answer.status, 200);
        assert_true(json_array_size(fields) <= limit);
        count += json_array_size(fields);
        for (size_t i = 0; i < json_array_size(fields); i++) {
            json_t *field = json_array_get(fields, i);
            char key[400];
            snprintf(key, sizeof key, "%s %s", json_string_value(json_object_get(field, "id")),
                     json_string_value(json_object_get(field, "digest")));
            assert_null(json_object_get(seen, key));
            json_object_set_new(seen, key, json_true());
        }
        const char *found = answer_header(&answer, "Link", link, sizeof link);
        assert_int_equal(found != NULL, json_is_string(cursor));
        if (found != NULL) {
            assert_non_null(strstr(link, json_string_value(cursor)));
            assert_int_equal(sscanf(link, "<%2000[^>]>; rel=\"next\"", next), 1);
        }
        json_decref(json);
        answer_free(&answer);
        if (found == NULL)
            break;
    }
    json_decref(seen);
    return count;
}

static void pages_are_followed_to_their_end(void **state)
{
    size_t pages;

    (void)state;
    assert_int_equal(follow("/v1/fields?limit=7", 7, &pages), 40);
    assert_int_equal(pages, 6);
    assert_int_equal(follow("/v1/fields?limit=10&source=hres&base_time=20130408T0000Z", 10, &pages), 40);
    assert_int_equal(pages, 4); /* the last is full, and known to be the last */
    assert_int_equal(follow("/v1/fields?limit=3&param=msl/t%2F167", 3, &pages), 30);
    assert_int_equal(follow("/v1/fields?limit=1&param=msl&all=1", 2, &pages), 12);
    assert_int_equal(pages, 10);
}

static void ndjson_is_a_document_a_line(void **state)
{
    static const struct {
        const char *target, *header;
    } cases[] = {
        { "/v1/fields?param=msl&limit=4", "Accept: application/x-ndjson\r\n" },
        { "/v1/fields?param=msl&limit=4", "Accept: text/html, application/X-NDJSON;q=0.9\r\n" },
        { "/v1/fields?param=msl&limit=4&format=ndjson", "Accept: application/json\r\n" },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct answer answer = ask(cases[i].target, cases[i].header);
        char value[2048];
        unsigned lines = 0;
        assert_int_equal(answer.status, 200);
        assert_string_equal(answer_header(&answer, "Content-Type", value, sizeof value),
                            "application/x-ndjson");
        assert_non_null(answer_header(&answer, "Link", value, sizeof value));
        for (char *line = (char *)answer.body; line < (char *)answer.body + answer.size; lines++) {
            char *end = memchr(line, '\n', answer.size - (size_t)(line - (char *)answer.body));
            assert_non_null(end);
            json_t *json = json_loadb(line, (size_t)(end - line), 0, NULL);
            assert_string_equal(json_string_value(json_object_get(json, "param")), "msl");
            json_decref(json);
            line = end + 1;
        }
        assert_int_equal(lines, 4);
        answer_free(&answer);
    }
    struct answer none = ask("/v1/fields?param=none&format=ndjson", "");
    assert_int_equal(none.status, 200);
    assert_int_equal(none.size, 0);
    answer_free(&none);
}

static void a_mistake_is_a_problem_that_names_it(void **state)
{
    static const struct {
        const char *target, *code, *said;
    } cases[] = {
        { "/v1/fields?parm=2t", "unknown-key", "did you mean param" },
        { "/v1/fields?step=x", "bad-value", "step" },
        { "/v1/fields?limit=100000", "bad-value", "limit" },
        { "/v1/fields?cursor=12", "bad-value", "cursor" },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct answer answer = ask(cases[i].target, "");
        json_t *json = json_loadb((const char *)answer.body, answer.size, 0, NULL);
        assert_int_equal(answer.status, 400);
        assert_string_equal(json_string_value(json_object_get(json, "code")), cases[i].code);
        assert_non_null(strstr(json_string_value(json_object_get(json, "detail")), cases[i].said));
        json_decref(json);
        answer_free(&answer);
    }
}

static void many_queries_at_once_are_all_answered(void **state)
{
    static const char request[] = "GET /v1/fields?param=msl HTTP/1.1\r\nHost: a\r\n\r\n";
    int fds[40];

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(fds); i++) {
        fds[i] = client_connect(&fixture);
        client_text(&fixture, fds[i], request);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(fds); i += 2) /* half of them leave */
        close(fds[i]);
    for (unsigned i = 1; i < ARRAY_COUNT(fds); i += 2) {
        struct answer answer = client_answer(&fixture, fds[i], false);
        assert_int_equal(answer.status, 200);
        answer_free(&answer);
        close(fds[i]);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_query_is_answered_with_documents),
        cmocka_unit_test(keys_select_and_absent_keys_mean_any),
        cmocka_unit_test(pages_are_followed_to_their_end),
        cmocka_unit_test(ndjson_is_a_document_a_line),
        cmocka_unit_test(a_mistake_is_a_problem_that_names_it),
        cmocka_unit_test(many_queries_at_once_are_all_answered),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
