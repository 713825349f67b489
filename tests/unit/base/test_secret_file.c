/* test_secret_file.c: which files hold secrets, and which show them. */
#include "proto/base/secret_file.h"

#include "../proto/cmocka_all.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/test_secret_XXXXXX";
static char path[64];

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/secret", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void file_make(const char *text, size_t size, mode_t mode)
{
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, size), size);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static enum status file_read(struct buf *text, struct error *err)
{
    error_init(err);
    return secret_file_read(path, 100, text, err);
}

static void a_closed_file_is_read_whole(void **state)
{
    static const mode_t closed[] = { 0600, 0640, 0400, 0440, 0700, 04600 };
    struct error err;
    struct buf text;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(closed); i++) {
        file_make("a\0b\n", 4, closed[i]);
        assert_int_equal(file_read(&text, &err), STATUS_OK);
        assert_int_equal(text.size, 4);
        assert_memory_equal(text.data, "a\0b\n", 4);
        buf_fini(&text);
    }
}

static void a_file_that_others_may_touch_is_refused(void **state)
{
    static const mode_t open_modes[] = { 0644, 0604, 0601, 0602, 0660, 0620,
                                         0650, 0610, 0666, 0777, 0642 };
    struct error err;
    struct buf text;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(open_modes); i++) {
        char mode[8];

        file_make("hidden", 6, open_modes[i]);
        assert_int_equal(file_read(&text, &err), STATUS_BAD_VALUE);
        snprintf(mode, sizeof mode, "%04o", (unsigned)open_modes[i]);
        assert_non_null(strstr(err.text, mode));
        assert_non_null(strstr(err.text, "chmod 600"));
        assert_null(strstr(err.text, "hidden"));
        assert_null(text.data);
    }
}

static void what_is_no_file_is_refused_without_waiting(void **state)
{
    struct error err;
    struct buf text;

    (void)state;
    unlink(path);
    assert_int_equal(file_read(&text, &err), STATUS_NOT_FOUND);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(file_read(&text, &err), STATUS_BAD_VALUE);
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(file_read(&text, &err), STATUS_BAD_VALUE);
    rmdir(path);
}

static void it_has_a_limit(void **state)
{
    char big[102];
    struct error err;
    struct buf text;

    (void)state;
    memset(big, 'x', sizeof big);
    file_make(big, 100, 0600);
    assert_int_equal(file_read(&text, &err), STATUS_OK);
    assert_int_equal(text.size, 100);
    buf_fini(&text);
    file_make(big, 101, 0600);
    assert_int_equal(file_read(&text, &err), STATUS_TOO_LARGE);
    file_make(big, 0, 0600);
    assert_int_equal(file_read(&text, &err), STATUS_OK);
    assert_int_equal(text.size, 0);
    buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_closed_file_is_read_whole),
        cmocka_unit_test(a_file_that_others_may_touch_is_refused),
        cmocka_unit_test(what_is_no_file_is_refused_without_waiting),
        cmocka_unit_test(it_has_a_limit),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
