/* test_client_put_scan.c: a file as a row of messages. */
#include "client/put_scan.h"
#include "grib_bytes.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A file that is gone when its descriptor is closed. */
static int file_of(const void *data, size_t size)
{
    int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), size);
    return fd;
}

static void open_file(struct put_file *file, int fd)
{
    struct gs_input input = { .name = "a.grib", .fd = fd };
    struct error err;

    assert_int_equal(put_file_open(file, &input, NULL, NULL, &err), STATUS_OK);
}

/* All messages of the file; how it ended. */
static enum status scan_all(int fd, struct put_message *messages, size_t room, size_t *count,
                            struct put_scan *scan, struct error *err)
{
    struct put_file file;
    enum status status;

    open_file(&file, fd);
    assert_int_equal(put_scan_init(scan, err), STATUS_OK);
    put_scan_begin(scan, &file);
    *count = 0;
    while ((status = put_scan_next(scan, &messages[*count], err)) == STATUS_OK || status == STATUS_MORE) {
        if (status == STATUS_OK)
            assert_true(++*count < room);
    }
    put_file_close(&file);
    return status;
}

static void messages_come_with_place_digest_and_base_time(void **state)
{
    uint8_t data[3000];
    struct put_message messages[8];
    struct put_scan scan;
    struct digest digest;
    struct error err;
    size_t count;

    (void)state;
    memset(data, ' ', sizeof data);
    grib_bytes(data + 3, 100, 2013, 4, 8, 0, 1);
    grib_bytes(data + 103, 1000, 2013, 4, 8, 12, 2);
    grib_bytes(data + 1200, 50, 2013, 4, 8, 0, 3);
    int fd = file_of(data, sizeof data);
    assert_int_equal(scan_all(fd, messages, 8, &count, &scan, &err), STATUS_NOT_FOUND);
    assert_int_equal(count, 3);
    assert_int_equal(messages[0].offset, 3);
    assert_int_equal(messages[1].offset, 103);
    assert_int_equal(messages[1].size, 1000);
    assert_int_equal(messages[0].base_time, 1365379200);
    assert_int_equal(messages[1].base_time, 1365379200 + 12 * 3600);
    for (size_t i = 0; i < count; i++) {
        digest_of(data + messages[i].offset, (size_t)messages[i].size, &digest);
        assert_int_equal(digest_compare(&digest, &messages[i].digest), 0);
    }
    assert_int_equal(scan.skipped, 3);
    assert_int_equal(scan.bytes_skipped, 3 + 97 + sizeof data - 1250);
    put_scan_fini(&scan);
    close(fd);
}

static void messages_larger_than_a_chunk_are_whole(void **state)
{
    size_t size = 3 * PUT_SCAN_CHUNK_SIZE + 17, count;
    uint8_t *data = malloc(size + 60);
    struct put_message messages[4];
    struct put_scan scan;
    struct digest digest;
    struct error err;

    (void)state;
    assert_non_null(data);
    grib_bytes(data, size, 2013, 4, 8, 0, 1);
    grib_bytes(data + size, 60, 2013, 4, 8, 0, 2);
    int fd = file_of(data, size + 60);
    assert_int_equal(scan_all(fd, messages, 4, &count, &scan, &err), STATUS_NOT_FOUND);
    assert_int_equal(count, 2);
    digest_of(data, size, &digest);
    assert_int_equal(digest_compare(&digest, &messages[0].digest), 0);
    assert_int_equal(messages[1].offset, size);
    put_scan_fini(&scan);
    close(fd);
    free(data);
}

static void what_is_wrong_is_named_with_file_and_offset(void **state)
{
    uint8_t data[400];
    struct put_message messages[8];
    struct put_scan scan;
    struct error err;
    size_t count;

    (void)state;
    grib_bytes(data, 100, 2013, 4, 8, 0, 1);
    grib_bytes(data + 100, 100, 2013, 2, 30, 0, 2); /* no such day */
    grib_bytes(data + 200, 200, 2013, 4, 8, 0, 3);
    int fd = file_of(data, sizeof data);
    assert_int_equal(scan_all(fd, messages, 8, &count, &scan, &err), STATUS_BAD_DATE);
    assert_int_equal(count, 1);
    assert_true(err.has_offset);
    assert_int_equal(err.offset, 100);
    assert_non_null(strstr(err.text, "a.grib: at byte 100"));
    put_scan_fini(&scan);
    close(fd);

    fd = file_of(data, 50); /* cut in the middle */
    assert_int_equal(scan_all(fd, messages, 8, &count, &scan, &err), STATUS_BAD_GRIB);
    assert_int_equal(count, 0);
    put_scan_fini(&scan);
    close(fd);

    fd = file_of("<html>", 6);
    assert_int_equal(scan_all(fd, messages, 8, &count, &scan, &err), STATUS_NOT_GRIB);
    assert_non_null(strstr(err.text, "HTML"));
    put_scan_fini(&scan);
    close(fd);
}

static void a_file_after_one_that_was_cut_is_read_right(void **state)
{
    uint8_t data[200];
    struct put_message message;
    struct put_file files[2];
    struct put_scan scan;
    struct digest digest;
    struct error err;
    enum status status;

    (void)state;
    grib_bytes(data, sizeof data, 2013, 4, 8, 0, 1);
    int cut = file_of(data, 150), whole = file_of(data, sizeof data);
    open_file(&files[0], cut);
    open_file(&files[1], whole);
    assert_int_equal(put_scan_init(&scan, &err), STATUS_OK);
    put_scan_begin(&scan, &files[0]);
    while ((status = put_scan_next(&scan, &message, &err)) == STATUS_MORE)
        ;
    assert_int_equal(status, STATUS_BAD_GRIB);
    put_scan_begin(&scan, &files[1]);
    assert_int_equal(put_scan_next(&scan, &message, &err), STATUS_OK);
    digest_of(data, sizeof data, &digest);
    assert_int_equal(digest_compare(&digest, &message.digest), 0);
    put_scan_fini(&scan);
    close(cut);
    close(whole);
}

static void a_pipe_can_be_read_twice(void **state)
{
    uint8_t data[100], again[100];
    struct put_file file;
    struct error err;
    int ends[2];

    (void)state;
    grib_bytes(data, sizeof data, 2013, 4, 8, 0, 1);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], data, sizeof data), sizeof data);
    close(ends[1]);
    open_file(&file, ends[0]);
    assert_int_equal(file.size, sizeof data);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(put_file_read(&file, 0, again, sizeof again, &err), STATUS_OK);
        assert_memory_equal(again, data, sizeof data);
    }
    assert_int_equal(put_file_read(&file, 50, again, 51, &err), STATUS_IO);
    put_file_close(&file);
    close(ends[0]);
}

static void folders_and_missing_files_are_refused(void **state)
{
    struct gs_input folder = { .name = "/tmp", .fd = -1 },
                    missing = { .name = "/nonexistent/a.grib", .fd = -1 };
    struct put_file file;
    struct error err;

    (void)state;
    assert_int_equal(put_file_open(&file, &folder, NULL, NULL, &err), STATUS_IO);
    assert_int_equal(put_file_open(&file, &missing, NULL, NULL, &err), STATUS_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nonexistent/a.grib"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_with_place_digest_and_base_time),
        cmocka_unit_test(messages_larger_than_a_chunk_are_whole),
        cmocka_unit_test(what_is_wrong_is_named_with_file_and_offset),
        cmocka_unit_test(a_file_after_one_that_was_cut_is_read_right),
        cmocka_unit_test(a_pipe_can_be_read_twice),
        cmocka_unit_test(folders_and_missing_files_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
