/* test_http_router.c: paths against patterns; the first match wins, and Allow knows the others. */
#include "proto/http/http_router.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct http_route routes[] = {
    { HTTP_GET_, "/", ROLE_NONE, "root", NULL },
    { HTTP_PUT_, "/ingest/{source}/", ROLE_INGEST, "ingest", NULL },
    { HTTP_PUT_, "/ingest/{source}/{name}", ROLE_INGEST, "ingest_named", NULL },
    { HTTP_GET_, "/data/{source}/{run}/", ROLE_READ, "listing", NULL },
    { HTTP_DELETE_, "/data/{source}/{run}/", ROLE_ADMIN, "purge", NULL },
    { HTTP_GET_, "/data/{source}/{run}/{file}.idx", ROLE_READ, "idx", NULL },
    { HTTP_GET_, "/data/{source}/{run}/{file}", ROLE_READ, "file", NULL },
    { HTTP_GET_, "/cluster/map", ROLE_NODE, "map", NULL },
    { HTTP_PUT_, "/cluster/map", ROLE_ADMIN, "map_put", NULL },
    { .pattern = NULL },
};

static void paths_find_their_route(void **state)
{
    static const struct {
        enum http_method method;
        const char *path, *name;
        const char *param, *value;
    } cases[] = {
        { HTTP_GET_, "/", "root", NULL, NULL },
        { HTTP_HEAD_, "/", "root", NULL, NULL },
        { HTTP_PUT_, "/ingest/hres/", "ingest", "source", "hres" },
        { HTTP_PUT_, "/ingest/hres/a.grib", "ingest_named", "name", "a.grib" },
        { HTTP_PUT_, "/ingest/h%20s/", "ingest", "source", "h%20s" },
        { HTTP_GET_, "/data/s/r/", "listing", "run", "r" },
        { HTTP_DELETE_, "/data/s/r/", "purge", "run", "r" },
        { HTTP_GET_, "/data/s/r/f.grib", "file", "file", "f.grib" },
        { HTTP_GET_, "/data/s/r/f.grib.idx", "idx", "file", "f.grib" },
        { HTTP_GET_, "/data/s/r/.idx", "file", "file", ".idx" },
        { HTTP_PUT_, "/cluster/map", "map_put", NULL, NULL },
        { HTTP_GET_, "/ingest", NULL, NULL, NULL },
        { HTTP_PUT_, "/ingest/hres", NULL, NULL, NULL },
        { HTTP_PUT_, "/ingest//", NULL, NULL, NULL },
        { HTTP_PUT_, "/ingest//a", NULL, NULL, NULL },
        { HTTP_PUT_, "/ingest/a/b/c", NULL, NULL, NULL },
        { HTTP_PUT_, "/ingest/a%2Fb/", NULL, NULL, NULL },
        { HTTP_PUT_, "/ingest/a%2fb/", NULL, NULL, NULL },
        { HTTP_PUT_, "/ingest/a%00/", NULL, NULL, NULL },
        { HTTP_PUT_, "/ingest/a%/", NULL, NULL, NULL },
        { HTTP_PUT_, "/ingest/a%2/", NULL, NULL, NULL },
        { HTTP_PUT_, "/ingest/%zz/", NULL, NULL, NULL },
        { HTTP_GET_, "", NULL, NULL, NULL },
        { HTTP_GET_, "/cluster/map/", NULL, NULL, NULL },
        { HTTP_GET_, "/cluster/maps", NULL, NULL, NULL },
        { HTTP_GET_, "/Cluster/map", NULL, NULL, NULL },
        { HTTP_GET_, "*", NULL, NULL, NULL },
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct http_match match;

        http_route_match(routes, cases[i].method, slice_text(cases[i].path), &match);
        if (cases[i].name == NULL) {
            if (match.route != NULL)
                fail_msg("%s: %s", cases[i].path, match.route->name);
            continue;
        }
        assert_non_null(match.route);
        assert_string_equal(match.route->name, cases[i].name);
        if (cases[i].param == NULL)
            continue;
        bool found = false;
        for (unsigned p = 0; p < match.params_count; p++)
            found |= slice_equals(slice_of(match.params[p].name, match.params[p].name_size),
                                  cases[i].param) &&
                     slice_equals(match.params[p].value, cases[i].value);
        assert_true(found);
    }
}

static void other_methods_of_a_path_are_told(void **state)
{
    struct http_match match;
    (void)state;

    http_route_match(routes, HTTP_POST_, slice_text("/data/s/r/"), &match);
    assert_null(match.route);
    assert_int_equal(match.allowed, 1u << HTTP_GET_ | 1u << HTTP_HEAD_ | 1u << HTTP_DELETE_);
    http_route_match(routes, HTTP_DELETE_, slice_text("/ingest/s/"), &match);
    assert_int_equal(match.allowed, 1u << HTTP_PUT_);
    http_route_match(routes, HTTP_OPTIONS_, slice_text("/cluster/map"), &match);
    assert_int_equal(match.allowed, 1u << HTTP_GET_ | 1u << HTTP_HEAD_ | 1u << HTTP_PUT_);
    http_route_match(routes, HTTP_POST_, slice_text("/nothing"), &match);
    assert_int_equal(match.allowed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_find_their_route),
        cmocka_unit_test(other_methods_of_a_path_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
