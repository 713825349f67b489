/* test_settings.c: what a node may be told, and what is refused before it starts. */
#include "storaged/node_json.h"
#include "storaged/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { ARGUMENTS_MAX = 16 };

/* Loads the flags, ended by NULL. */
static enum status load(struct settings *settings, struct error *err, const char *const *flags)
{
    char *argv[ARGUMENTS_MAX] = { (char *)"storaged" };
    enum config_asked asked;
    int argc = 1;

    for (; flags[argc - 1] != NULL; argc++)
        argv[argc] = (char *)flags[argc - 1];
    error_init(err);
    return settings_load(settings, argc, argv, &asked, err);
}
#define FLAGS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void a_directory_is_all_it_needs(void **state)
{
    struct settings settings;
    struct error err;

    (void)state;
    assert_int_equal(load(&settings, &err, FLAGS("--data", "d")), STATUS_OK);
    assert_string_equal(settings.listen, "127.0.0.1:8410");
    assert_string_equal(settings.data, "d");
    assert_int_equal(settings.shards, 32);
    assert_int_equal(settings.reserve, 0);
    assert_in_range(settings.loops, 1, 4);
    assert_true(settings.body_memory > 0);
    assert_non_null(settings.host);
    settings_free(&settings);
}

static void what_is_wrong_is_named(void **state)
{
    struct {
        const char *const *flags;
        const char *named;
    } cases[] = {
        { FLAGS("--listen", "127.0.0.1:1"), "--data" },
        { FLAGS("--data", "d", "--listen", "nowhere"), "--listen" },
        { FLAGS("--data", "d", "--id", "UPPER"), "--id" },
        { FLAGS("--data", "d", "--url", "ftp://x"), "--url" },
        { FLAGS("--data", "d", "--url", "http://x/path"), "--url" },
        { FLAGS("--data", "d", "--shards", "48"), "power of two" },
        { FLAGS("--data", "d", "--shards", "0"), "--shards" },
        { FLAGS("--data", "d", "--weight", "0"), "--weight" },
        { FLAGS("--data", "d", "--body-memory", "1KiB"), "--body-memory" },
        { FLAGS("--data", "d", "--join", "http://a:1,b"), "--join" },
        { FLAGS("--data", "d", "--log-level", "loud"), "--log-level" },
        { FLAGS("--data", "d", "--log-format", "xml"), "--log-format" },
        { FLAGS("--data", "d", "surplus"), "surplus" },
        { FLAGS("--data", "d", "--listen", "0.0.0.0:1"), "--insecure" },
        { FLAGS("--data", "d", "--listen", "10.0.0.1:1"), "--insecure" },
        { FLAGS("--data", "d", "--listen", "10.0.0.1:1"), "without TLS and tokens" },
        { FLAGS("--data", "d", "--listen", "10.0.0.1:1", "--tokens", "t"), "without TLS everybody" },
        { FLAGS("--data", "d", "--listen", "10.0.0.1:1", "--tls-cert", "c", "--tls-key", "k"),
          "without tokens everybody" },
        { FLAGS("--data", "d", "--anonymous", "all"), "--anonymous" },
        { FLAGS("--data", "d", "--listen", "0.0.0.0:1", "--insecure"), "--url" },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct settings settings;
        struct error err;

        assert_int_equal(load(&settings, &err, cases[i].flags), STATUS_BAD_VALUE);
        assert_non_null(strstr(err.text, cases[i].named));
        settings_free(&settings);
    }
}

static void an_open_address_may_be_meant(void **state)
{
    struct settings settings;
    struct error err;

    (void)state;
    assert_int_equal(load(&settings, &err, FLAGS("--data", "d", "--listen", "10.0.0.1:1", "--insecure")),
                     STATUS_OK);
    settings_free(&settings);
    assert_int_equal(
        load(&settings, &err,
             FLAGS("--data", "d", "--listen", "0.0.0.0:1", "--insecure", "--url", "http://n1:1")),
        STATUS_OK);
    settings_free(&settings);
    assert_int_equal(load(&settings, &err,
                          FLAGS("--data", "d", "--listen", "10.0.0.1:1", "--tls-cert", "c",
                                "--tls-key", "k", "--tokens", "t", "--anonymous", "read")),
                     STATUS_OK);
    settings_free(&settings);
}

static void a_first_start_gives_names(void **state)
{
    struct node_json self = { 0 }, other = { 0 };
    struct settings settings;
    struct error err;

    (void)state;
    assert_int_equal(load(&settings, &err, FLAGS("--data", "d", "--colo", "ams")), STATUS_OK);
    assert_int_equal(node_json_settle(&settings, "127.0.0.1:8410", false, &self, &err), STATUS_OK);
    assert_int_equal(node_json_settle(&settings, "127.0.0.1:8410", false, &other, &err), STATUS_OK);
    assert_true(node_id_valid(self.id));
    assert_string_not_equal(self.id, other.id);
    assert_string_not_equal(self.cluster, other.cluster);
    assert_string_equal(self.url, "http://127.0.0.1:8410");
    assert_string_equal(self.colo, "ams");
    settings_free(&settings);
}

static void a_name_once_given_stays(void **state)
{
    struct node_json self = { .cluster = "c", .id = "n1", .url = "http://a:1" };
    struct settings settings;
    struct error err;

    (void)state;
    assert_int_equal(load(&settings, &err, FLAGS("--data", "d", "--id", "n2", "--url", "http://a:1")),
                     STATUS_OK);
    assert_int_equal(node_json_settle(&settings, "a:1", true, &self, &err), STATUS_BAD_VALUE);
    assert_non_null(strstr(err.text, "--id"));
    settings_free(&settings);
    assert_int_equal(load(&settings, &err, FLAGS("--data", "d", "--url", "http://b:1")), STATUS_OK);
    assert_int_equal(node_json_settle(&settings, "a:1", true, &self, &err), STATUS_BAD_VALUE);
    assert_non_null(strstr(err.text, "cluster rename n1 http://b:1"));
    settings_free(&settings);
    assert_int_equal(load(&settings, &err, FLAGS("--data", "d", "--url", "http://a:1", "--colo", "x")),
                     STATUS_OK);
    assert_int_equal(node_json_settle(&settings, "a:1", true, &self, &err), STATUS_OK);
    assert_string_equal(self.colo, "x"); /* a machine may be moved */
    settings_free(&settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_is_all_it_needs),  cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(an_open_address_may_be_meant), cmocka_unit_test(a_first_start_gives_names),
        cmocka_unit_test(a_name_once_given_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
