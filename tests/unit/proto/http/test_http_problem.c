/* test_http_problem.c: application/problem+json to the byte. */
#include "proto/http/http_problem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void a_problem_tells_all_it_knows(void **state)
{
    struct buf buf, extra;
    struct error err;
    (void)state;

    error_init(&err);
    error_set(&err, STATUS_BAD_GRIB, "no \"7777\" where the length says");
    error_at(&err, 1234);
    buf_init(&buf, 4096);
    buf_init(&extra, 4096);
    buf_text(&extra, "\"stored\":1,\"known\":0");
    http_problem_print(&buf, STATUS_BAD_GRIB, &err, "abc", &extra);
    assert_string_equal(buf_string(&buf),
                        "{\"type\":\"urn:gribstore:error:bad-grib\",\"code\":\"bad-grib\","
                        "\"title\":\"A GRIB message is malformed\",\"status\":422,"
                        "\"detail\":\"no \\\"7777\\\" where the length says\",\"instance\":\"abc\","
                        "\"offset\":1234,\"stored\":1,\"known\":0}\n");
    buf_fini(&buf);
    buf_fini(&extra);
}

static void a_problem_needs_no_story(void **state)
{
    struct buf buf, extra;
    (void)state;

    buf_init(&buf, 4096);
    buf_init(&extra, 16);
    http_problem_print(&buf, STATUS_NOT_FOUND, NULL, NULL, &extra);
    assert_string_equal(buf_string(&buf),
                        "{\"type\":\"urn:gribstore:error:not-found\",\"code\":\"not-found\","
                        "\"title\":\"There is no such thing here\",\"status\":404}\n");
    buf_clear(&buf);
    buf_text(&extra, "\"stored\":1");
    buf_text(&extra, ",\"known\":0,"); /* half a list is none */
    http_problem_print(&buf, STATUS_NOT_FOUND, NULL, NULL, &extra);
    assert_null(strstr(buf_string(&buf), "stored"));
    buf_fini(&extra);
    buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_problem_tells_all_it_knows),
        cmocka_unit_test(a_problem_needs_no_story),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
