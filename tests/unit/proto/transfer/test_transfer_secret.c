/* test_transfer_secret.c: what a file's first line gives, and to which URLs it goes. */
#include "proto/transfer/transfer_secret.h"

#include "../cmocka_all.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char path[] = "/tmp/test_transfer_secret_XXXXXX";

static int setup(void **state)
{
    int fd = mkstemp(path);

    (void)state;
    close(fd);
    return fd >= 0 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return unlink(path);
}

static void put(const void *text, size_t size)
{
    int fd = open(path, O_WRONLY | O_TRUNC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, size), size);
    close(fd);
}

static bool shows(struct transfer_secret *secret, const char *url, const char *line)
{
    struct buf buf;

    buf_init(&buf, 8192);
    bool shown = transfer_secret_header(secret, url, &buf);
    if (shown)
        assert_string_equal(buf_string(&buf), line);
    else
        assert_int_equal(buf.size, 0);
    buf_fini(&buf);
    return shown;
}

static void the_first_line_is_shown_where_it_is_safe(void **state)
{
    static const char *const texts[] = { "gst_x", "gst_x\n", "gst_x\r\n", "gst_x \n# comment",
                                         "gst_x\nother\n" };
    struct transfer_secret *secret;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        put(texts[i], strlen(texts[i]));
        assert_int_equal(transfer_secret_open(path, &secret, NULL), STATUS_OK);
        assert_true(shows(secret, "https://n1:8410/have", "Authorization: Bearer gst_x"));
        assert_true(shows(secret, "http://127.0.0.1:8410/have", "Authorization: Bearer gst_x"));
        assert_false(shows(secret, "http://n1:8410/have", ""));
        assert_false(shows(secret, "http://10.0.0.1/have", ""));
        transfer_secret_close(secret);
    }
    assert_false(shows(NULL, "https://n1:8410/have", ""));
    transfer_secret_close(NULL);
}

static void what_is_no_token_is_refused(void **state)
{
    static const struct {
        const char *text;
        size_t size;
    } cases[] = {
        { "", 0 },       { "\n", 1 }, { " gst_x\n", 7 }, { "gst\0x\n", 6 }, { "gst_\xc3\xa4\n", 7 },
        { "\x7f\n", 2 },
    };
    char big[TRANSFER_TOKEN_MAX + 1];
    struct transfer_secret *secret;
    struct error err;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        put(cases[i].text, cases[i].size);
        error_init(&err);
        assert_int_equal(transfer_secret_open(path, &secret, &err), STATUS_BAD_VALUE);
        assert_null(strstr(err.text, "gst_x"));
        assert_null(secret);
    }
    memset(big, 'a', sizeof big);
    put(big, sizeof big);
    assert_int_equal(transfer_secret_open(path, &secret, &err), STATUS_BAD_VALUE);
    put(big, sizeof big - 1);
    assert_int_equal(transfer_secret_open(path, &secret, &err), STATUS_OK);
    transfer_secret_close(secret);
}

static void it_is_read_again_or_stays(void **state)
{
    struct transfer_secret *secret;

    (void)state;
    put("one\n", 4);
    assert_int_equal(transfer_secret_open(path, &secret, NULL), STATUS_OK);
    put("two\n", 4);
    assert_true(shows(secret, "https://a/", "Authorization: Bearer one"));
    assert_int_equal(transfer_secret_reload(secret, NULL), STATUS_OK);
    assert_true(shows(secret, "https://a/", "Authorization: Bearer two"));
    put("", 0);
    assert_int_equal(transfer_secret_reload(secret, NULL), STATUS_BAD_VALUE);
    assert_true(shows(secret, "https://a/", "Authorization: Bearer two"));
    transfer_secret_close(secret);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_line_is_shown_where_it_is_safe),
        cmocka_unit_test(what_is_no_token_is_refused),
        cmocka_unit_test(it_is_read_again_or_stays),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
