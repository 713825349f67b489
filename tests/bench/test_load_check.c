/* test_load_check.c: an answer that is right passes; each way to be wrong is seen. */
#include "load_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FILE_SIZE = 1000, RANGE_SIZE = 10, TEXT_SIZE = 1024 };

/* A file, a request for ranges of it, and room for an answer. */
struct fixture {
    char path[8];
    struct load_file file;
    struct load_request request;
    char head[TEXT_SIZE];
    char body[TEXT_SIZE];
    size_t head_size, body_size;
};

static uint8_t file_byte(uint64_t at)
{
    return (uint8_t)(at * 7 + at / 256);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    assert_non_null(fixture);
    fixture->file = (struct load_file){ .path = fixture->path,
                                        .fd = memfd_create("x", MFD_CLOEXEC),
                                        .size = FILE_SIZE };
    for (uint64_t at = 0; at < FILE_SIZE; at++) {
        uint8_t byte = file_byte(at);
        assert_int_equal(pwrite(fixture->file.fd, &byte, 1, (off_t)at), 1);
    }
    fixture->request = (struct load_request){
        .file = &fixture->file,
        .offset = { 300, 600, 990 },
        .ranges = 1,
        .size = RANGE_SIZE,
    };
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    close(fixture->file.fd);
    free(fixture);
    return 0;
}

static void add_body(struct fixture *fixture, const char *text)
{
    memcpy(fixture->body + fixture->body_size, text, strlen(text));
    fixture->body_size += strlen(text);
}

static void add_bytes(struct fixture *fixture, uint64_t offset)
{
    for (uint64_t i = 0; i < RANGE_SIZE; i++)
        fixture->body[fixture->body_size++] = (char)file_byte(offset + i);
}

static void set_head(struct fixture *fixture, const char *text)
{
    fixture->head_size = (size_t)snprintf(fixture->head, sizeof fixture->head, "%s", text);
}

static bool passes(const struct fixture *fixture)
{
    struct gen_error err;

    return check_bytes(&fixture->request, fixture->head, fixture->head_size,
                       (const uint8_t *)fixture->body, fixture->body_size, &err);
}

static void answer_single(struct fixture *fixture)
{
    set_head(fixture, "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 300-309/1000\r\n\r\n");
    fixture->body_size = 0;
    add_bytes(fixture, 300);
}

/* Three parts, as a server has to send them. */
static void answer_multipart(struct fixture *fixture)
{
    static const char *const range[] = { "300-309", "600-609", "990-999" };

    fixture->request.ranges = 3;
    set_head(fixture,
             "HTTP/1.1 206 Partial Content\r\nContent-Type: multipart/byteranges; boundary=XyZ\r\n\r\n");
    fixture->body_size = 0;
    for (unsigned i = 0; i < 3; i++) {
        add_body(fixture,
                 i == 0 ? "--XyZ\r\nContent-Type: application/wmo-grib\r\nContent-Range: bytes "
                        : "\r\n--XyZ\r\nContent-Type: application/wmo-grib\r\nContent-Range: bytes ");
        add_body(fixture, range[i]);
        add_body(fixture, "/1000\r\n\r\n");
        add_bytes(fixture, fixture->request.offset[i]);
    }
    add_body(fixture, "\r\n--XyZ--\r\n");
}

static void right_answers_pass(void **state)
{
    answer_single(*state);
    assert_true(passes(*state));
    answer_multipart(*state);
    assert_true(passes(*state));
}

static void every_wrong_byte_of_a_range_is_seen(void **state)
{
    struct fixture *fixture = *state;

    answer_single(fixture);
    for (size_t i = 0; i < fixture->body_size; i++) {
        fixture->body[i] ^= 1;
        assert_false(passes(fixture));
        fixture->body[i] ^= 1;
    }
    assert_true(passes(fixture));
}

/* All but the names and values of a part's other fields: only Content-Type is there, and it is not looked at. */
static void every_wrong_byte_of_a_multipart_is_seen(void **state)
{
    static const char unread[] = "Content-Type: application/wmo-grib";
    struct fixture *fixture = *state;

    answer_multipart(fixture);
    for (size_t i = 0; i < fixture->body_size; i++) {
        char *at = memmem(fixture->body + i, fixture->body_size - i, unread, sizeof unread - 1);
        if (at == fixture->body + i) {
            i += sizeof unread - 2;
            continue;
        }
        fixture->body[i] ^= 1;
        if (passes(fixture))
            fail_msg("octet %zu may be anything", i);
        fixture->body[i] ^= 1;
    }
    assert_true(passes(fixture));
}

static void every_cut_of_an_answer_is_seen(void **state)
{
    struct fixture *fixture = *state;

    answer_multipart(fixture);
    for (size_t size = fixture->body_size; size-- > 0;) {
        fixture->body_size = size;
        assert_false(passes(fixture));
    }
    fixture->request.ranges = 1;
    answer_single(fixture);
    fixture->body_size--;
    assert_false(passes(fixture));
}

static void another_range_is_seen(void **state)
{
    struct fixture *fixture = *state;
    static const char *const wrong[] = {
        "bytes 301-309/1000", "bytes 300-310/1000", "bytes 300-309/1001",
        "bytes 300-309/*",    "300-309/1000",       "",
    };

    answer_single(fixture);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        fixture->head_size = (size_t)snprintf(fixture->head, sizeof fixture->head,
                                              "HTTP/1.1 206 Partial Content\r\nContent-Range: %s\r\n\r\n",
                                              wrong[i]);
        assert_false(passes(fixture));
    }
    set_head(fixture, "HTTP/1.1 206 Partial Content\r\n\r\n");
    assert_false(passes(fixture));
}

static void a_status_or_a_length_that_was_not_asked_for_is_seen(void **state)
{
    struct fixture *fixture = *state;
    struct gen_error err;
    struct answer_head head = { .status = 206, .has_length = true, .length = RANGE_SIZE };

    assert_true(check_head(&fixture->request, &head, &err));
    head.status = 200;
    assert_false(check_head(&fixture->request, &head, &err));
    head.status = 206;
    head.length = RANGE_SIZE + 1;
    assert_false(check_head(&fixture->request, &head, &err));
    head.length = RANGE_SIZE - 1;
    assert_false(check_head(&fixture->request, &head, &err));
    head.length = RANGE_SIZE;
    head.has_length = false;
    assert_false(check_head(&fixture->request, &head, &err));
}

static void a_put_has_to_have_made_something(void **state)
{
    struct gen_error err;
    uint8_t body[1];
    struct load_request request = { .body = body };
    struct answer_head head = { .status = 201, .has_length = true };

    (void)state;
    assert_true(check_head(&request, &head, &err));
    head.status = 200;
    assert_false(check_head(&request, &head, &err));
}

static void a_head_is_found_wherever_it_is_cut(void **state)
{
    static const char text[] = "HTTP/1.1 206 Partial Content\r\nServer: x\r\ncontent-length:  42 \r\n\r\nbody";
    struct answer_head head;

    (void)state;
    for (size_t size = 0; size < sizeof text - 1; size++) {
        enum answer_result result = answer_head_parse(text, size, &head);
        assert_int_equal(result, size < sizeof text - 5 ? ANSWER_MORE : ANSWER_OK);
    }
    assert_int_equal(head.status, 206);
    assert_int_equal(head.length, 42);
    assert_int_equal(head.size, sizeof text - 5);
}

static void what_is_no_head_is_refused(void **state)
{
    static const char *const wrong[] = {
        "\r\n\r\n",
        "HTTP/1.1 2x6 OK\r\n\r\n",
        "HTTP/1.0 206 OK\r\n\r\n",
        "<html>206 206 206 206</html>\r\n\r\n",
        "HTTP/1.1 206 OK\r\nContent-Length: 4x\r\n\r\n",
        "HTTP/1.1 206 OK\r\nContent-Length:\r\n\r\n",
        "HTTP/1.1 206 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 206 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
    };
    struct answer_head head;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(answer_head_parse(wrong[i], strlen(wrong[i]), &head), ANSWER_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(right_answers_pass, setup, teardown),
        cmocka_unit_test_setup_teardown(every_wrong_byte_of_a_range_is_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(every_wrong_byte_of_a_multipart_is_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(every_cut_of_an_answer_is_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(another_range_is_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(a_status_or_a_length_that_was_not_asked_for_is_seen, setup,
                                        teardown),
        cmocka_unit_test(a_put_has_to_have_made_something),
        cmocka_unit_test(a_head_is_found_wherever_it_is_cut),
        cmocka_unit_test(what_is_no_head_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
