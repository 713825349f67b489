/* test_http_address.c: addresses to listen on, and which of them stay on this machine. */
#include "proto/http/http_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void addresses_are_taken_apart(void **state)
{
    static const struct {
        const char *text, *host;
        unsigned port;
        bool loopback;
    } cases[] = {
        { "127.0.0.1:8410", "127.0.0.1", 8410, true },
        { "127.8.9.1:0", "127.8.9.1", 0, true },
        { "localhost:80", "localhost", 80, true },
        { "[::1]:65535", "::1", 65535, true },
        { "0.0.0.0:8410", "0.0.0.0", 8410, false },
        { "[::]:8410", "::", 8410, false },
        { "node1:8410", "node1", 8410, false },
        { "128.0.0.1:8410", "128.0.0.1", 8410, false },
        { "localhost.x:8410", "localhost.x", 8410, false },
    };
    char host[64];
    unsigned port;
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        assert_true(http_address_parse(cases[i].text, host, sizeof host, &port));
        assert_string_equal(host, cases[i].host);
        assert_int_equal(port, cases[i].port);
        assert_int_equal(http_address_loopback(cases[i].text), cases[i].loopback);
    }
}

static void what_is_no_address_is_refused(void **state)
{
    static const char *const cases[] = {
        "",           ":",      ":80",   "host",  "host:",   "host:x",   "host:-1",
        "host:65536", "::1:80", "[::1]", "[]:80", "[::1:80", "host:80 ",
    };
    char host[8];
    unsigned port;
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        if (http_address_parse(cases[i], host, sizeof host, &port))
            fail_msg("%s", cases[i]);
        assert_false(http_address_loopback(cases[i]));
    }
    assert_false(http_address_parse("longer-than-8:80", host, sizeof host, &port));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_taken_apart),
        cmocka_unit_test(what_is_no_address_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
