/* test_grib_scan.c: for proto/grib_scan.c. */
#include "proto/grib_scan.h"

#include "tests/unit/proto/cmocka_all.h"
#include "tests/unit/proto/grib_bytes.h"

#include <stdio.h>
#include <stdlib.h>

enum { STREAM_MAX = 4 << 20, TEXT_SIZE = 256 };

/* What a scan said, as text: "S0+12 B12 E12+203 " for a stretch, a beginning and an end, and a digest-like sum of the data. */
struct told {
    struct buf text;
    struct buf data;
    enum status status;
    struct error err;
};

static void tell(struct told *told, const struct grib_scan *scan, const struct grib_piece *piece,
                 uint64_t *expected)
{
    switch (piece->kind) {
    case GRIB_PIECE_NONE:
        break;
    case GRIB_PIECE_BEGIN:
        buf_format(&told->text, "B%llu ", (unsigned long long)piece->offset);
        *expected = piece->offset;
        break;
    case GRIB_PIECE_DATA:
        assert_int_equal(piece->length, piece->data.size);
        assert_true(piece->offset == *expected);
        *expected += piece->length;
        buf_append(&told->data, piece->data.data, piece->data.size);
        break;
    case GRIB_PIECE_END:
        assert_true(*expected == piece->offset + piece->length);
        assert_true(scan->frame.size == piece->length);
        buf_format(&told->text, "E%llu+%llu ", (unsigned long long)piece->offset,
                   (unsigned long long)piece->length);
        break;
    case GRIB_PIECE_SKIPPED:
        assert_true(piece->length > 0);
        buf_format(&told->text, "S%llu+%llu ", (unsigned long long)piece->offset,
                   (unsigned long long)piece->length);
        break;
    }
}

/* As callers do: while there is chunk left. */
static void scan_all(const uint8_t *data, size_t size, size_t chunk, struct told *told)
{
    struct grib_scan scan;
    struct grib_piece piece;
    uint64_t expected = 0;

    *told = (struct told){ .status = STATUS_OK };
    buf_init(&told->text, STREAM_MAX);
    buf_init(&told->data, STREAM_MAX);
    error_init(&told->err);
    grib_scan_init(&scan);
    for (size_t at = 0; at < size && told->status == STATUS_OK;) {
        size_t left = size - at < chunk ? size - at : chunk;
        /* A copy of its own: a look behind the chunk is found by ASan. */
        uint8_t *copy = malloc(left);
        assert_non_null(copy);
        memcpy(copy, data + at, left);
        for (size_t used, done = 0; done < left && told->status == STATUS_OK; done += used) {
            told->status = grib_scan_next(&scan, copy + done, left - done, &used, &piece, &told->err);
            assert_true(used <= left - done);
            if (told->status == STATUS_OK)
                tell(told, &scan, &piece, &expected);
        }
        free(copy);
        at += left;
    }
    if (told->status == STATUS_OK) {
        told->status = grib_scan_end(&scan, &piece, &told->err);
        if (told->status == STATUS_OK)
            tell(told, &scan, &piece, &expected);
    }
}

static void told_fini(struct told *told)
{
    buf_fini(&told->text);
    buf_fini(&told->data);
}

/* The same for every size of chunk: what is said, the bytes, and a failure's status, text and offset. */
static void assert_tells(const struct buf *stream, const char *text, enum status status,
                         const char *error, uint64_t offset)
{
    for (size_t chunk = 1; chunk <= stream->size + 1; chunk += chunk < 64     ? 1
                                                               : chunk < 2048 ? 37
                                                                              : chunk) {
        struct told told;
        scan_all(stream->data, stream->size, chunk, &told);
        assert_int_equal(told.status, status);
        assert_string_equal(buf_string(&told.text), text);
        if (status != STATUS_OK) {
            assert_non_null(strstr(told.err.text, error));
            assert_int_equal(told.err.status, status);
            assert_true(told.err.has_offset);
            assert_int_equal(told.err.offset, offset);
        }
        told_fini(&told);
    }
}

static void stretch(struct buf *buf, char c, size_t size)
{
    uint8_t *room = buf_reserve(buf, size);

    memset(room, c, size);
    buf->size += size;
}

static void messages_and_what_lies_between_are_told_apart(void **state)
{
    (void)state;
    struct buf stream, data;
    struct told told;
    char text[TEXT_SIZE];

    buf_init(&stream, STREAM_MAX);
    buf_init(&data, STREAM_MAX);
    buf_text(&stream, "\001\r\r\nTTAA01 KWBC 080000\r\r\n****0000000245****\n");
    size_t first = stream.size;
    grib2_message(&stream, 30);
    size_t second = stream.size;
    grib1_small(&stream); /* nothing between */
    size_t end = stream.size;
    buf_append(&stream, "\0\0GRI", 5);
    size_t third = stream.size;
    grib2_message(&stream, 7);
    size_t last = stream.size;
    buf_text(&stream, "GRIGRI\n");

    buf_append(&data, stream.data + first, end - first);
    buf_append(&data, stream.data + third, last - third);
    snprintf(text, sizeof text, "S0+%zu B%zu E%zu+%zu B%zu E%zu+%zu S%zu+5 B%zu E%zu+%zu S%zu+7 ",
             first, first, first, second - first, second, second, end - second, end, third, third,
             last - third, last);
    assert_tells(&stream, text, STATUS_OK, "", 0);
    for (size_t chunk = 1; chunk < 40; chunk++) {
        scan_all(stream.data, stream.size, chunk, &told);
        assert_int_equal(told.data.size, data.size);
        assert_memory_equal(told.data.data, data.data, data.size);
        told_fini(&told);
    }
    buf_fini(&stream);
    buf_fini(&data);
}

/* Parts of "GRIB" in front of it, of every kind. */
static void false_beginnings_do_not_hide_a_true_one(void **state)
{
    (void)state;
    static const char *const leads[] = { "G",    "GR",    "GRI",      "GG",   "GRG",
                                         "GRIG", "GRGRI", "GRIGRIGR", "GGGG", "BIRG" };

    for (size_t i = 0; i < ARRAY_COUNT(leads); i++) {
        struct buf stream;
        char text[TEXT_SIZE];
        size_t lead = strlen(leads[i]);
        buf_init(&stream, STREAM_MAX);
        buf_text(&stream, leads[i]);
        grib2_message(&stream, 6);
        size_t size = stream.size - lead;
        buf_text(&stream, leads[i]);
        grib2_message(&stream, 6);
        snprintf(text, sizeof text, "S0+%zu B%zu E%zu+%zu S%zu+%zu B%zu E%zu+%zu ", lead, lead,
                 lead, size, lead + size, lead, 2 * lead + size, 2 * lead + size, size);
        assert_tells(&stream, text, STATUS_OK, "", 0);
        buf_fini(&stream);
    }
}

static void before_the_first_message_lies_a_heading_or_nothing(void **state)
{
    (void)state;
    struct buf stream;

    buf_init(&stream, STREAM_MAX);
    stretch(&stream, '0', GRIB_SCAN_LEAD_MAX);
    grib2_message(&stream, 5);
    assert_int_equal(stream.size, 512 + 179);
    assert_tells(&stream, "S0+512 B512 E512+179 ", STATUS_OK, "", 0);
    buf_clear(&stream);
    stretch(&stream, 'A', GRIB_SCAN_LEAD_MAX + 1);
    grib2_message(&stream, 5);
    assert_tells(&stream, "", STATUS_NOT_GRIB, "plain text", 0);
    for (int c = 0; c < 256; c++) {
        bool allowed = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == 0 || c == 1 ||
                       c == 3 || (c != 0 && strchr("\r\n\t *#-.", c) != NULL);
        buf_clear(&stream);
        stretch(&stream, (char)c, 1);
        grib2_message(&stream, 5);
        struct told told;
        scan_all(stream.data, stream.size, SIZE_MAX, &told);
        assert_int_equal(told.status, allowed ? STATUS_OK : STATUS_NOT_GRIB);
        told_fini(&told);
    }
    buf_fini(&stream);
}

static void what_is_no_grib_is_named_for_what_it_is(void **state)
{
    (void)state;
#define BYTES(text) (text), sizeof(text) - 1
    static const struct {
        const char *data;
        size_t size;
        const char *name;
    } cases[] = {
        { BYTES("<!DOCTYPE html><html><body>502 Bad Gateway"), "HTML" },
        { BYTES("\r\n <!doctype HTML>"), "HTML" },
        { BYTES("<html><head>"), "HTML" },
        { BYTES("<HTML>\n<BODY"), "HTML" },
        { BYTES("\xef\xbb\xbf<html>"), "HTML" },
        { BYTES("<?xml version=\"1.0\"?><Error><Code>NoSuchKey"), "XML" },
        { BYTES("<Error>AccessDenied</Error>"), "XML" },
        { BYTES("\x1f\x8b\x08\x00\x00\x00\x00\x00"), "gzip" },
        { BYTES("PK\3\4\x14\0\0\0\x08\0"), "zip" },
        { BYTES("PK\5\6\0\0\0\0\0\0"), "zip" },
        { BYTES("CDF\1\0\0\0\0\0\0\0\n\0\0\0\1\0\0\0\4time"), "netCDF" },
        { BYTES("CDF\2\0\0\0\0\0\0\0\n"), "netCDF" },
        { BYTES("CDF\5\0\0\0\0\0\0\0\n"), "netCDF" },
        { BYTES("\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0"), "HDF5" },
        { BYTES("BUFR\0\1\x20\4\0\0\x16\0"), "BUFR" },
        { BYTES("{\"error\": \"not found\"}"), "JSON" },
        { BYTES("\n[1, 2]"), "JSON" },
        { BYTES("BZh91AY&SY"), "bzip2" },
        { BYTES("\xfd"
                "7zXZ\0\0\4"),
          "xz" },
        { BYTES("\x28\xb5\x2f\xfd\4\0"), "zstd" },
        { BYTES("not found\n"), "plain text" },
        { BYTES("Gr\xc3\xbc\xc3\x9f"
                "e"),
          "plain text" },
        { BYTES("0123456789"), "plain text" },
        { BYTES("GRI"), "plain text" },
        { BYTES("\x7f"
                "ELF\2\1\1\0"),
          "bytes 7f454c4602010100" },
        { BYTES("\0\0\0\0"), "bytes 00000000" },
        { BYTES(""), "empty" },
    };
#undef BYTES

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct buf stream;
        buf_init(&stream, STREAM_MAX);
        buf_append(&stream, cases[i].data, cases[i].size);
        assert_tells(&stream, "", STATUS_NOT_GRIB, cases[i].name, 0);
        stretch(&stream, 'x', cases[i].size > 0 ? 1000 : 0); /* more of it changes nothing */
        if (strstr(cases[i].name, "bytes") == NULL)
            assert_tells(&stream, "", STATUS_NOT_GRIB, cases[i].name, 0);
        buf_fini(&stream);
    }
}

/* Whatever lies between: bytes that no heading has. */
static void sixty_four_kibibytes_between_messages_are_skipped_and_not_one_more(void **state)
{
    (void)state;
    for (int more = 0; more <= 1; more++) {
        struct buf stream;
        char text[TEXT_SIZE];
        buf_init(&stream, STREAM_MAX);
        grib2_message(&stream, 5);
        size_t size = stream.size;
        stretch(&stream, 'g', GRIB_SCAN_SKIP_MAX - 3 + (size_t)more);
        buf_text(&stream, "GRI");
        size_t end = stream.size;
        snprintf(text, sizeof text, "B0 E0+%zu S%zu+%zu ", size, size, end - size);
        if (more == 0)
            assert_tells(&stream, text, STATUS_OK, "", 0);
        else
            assert_tells(&stream, "B0 E0+179 ", STATUS_BAD_GRIB, "65536 bytes without GRIB", size);
        grib2_message(&stream, 5);
        snprintf(text, sizeof text, "B0 E0+%zu S%zu+%zu B%zu E%zu+%zu ", size, size, end - size,
                 end, end, size);
        if (more == 0)
            assert_tells(&stream, text, STATUS_OK, "", 0);
        else
            assert_tells(&stream, "B0 E0+179 ", STATUS_BAD_GRIB, "65536 bytes without GRIB", size);
        buf_fini(&stream);
    }
}

static void malformed_messages_are_refused_at_their_beginning(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        enum status status;
        const char *text;
    } cases[] = {
        { "GRIB\0\0\0\3\0\0\0\0\0\0\1\0", 16, STATUS_BAD_GRIB, "edition 3 is not supported (1 and 2 are)" },
        { "GRIB\0\0\x40\0", 8, STATUS_BAD_GRIB, "edition 0 is not supported (1 and 2 are)" },
        { "GRIB\0\0\0\2\0\0\0\0\xff\0\0\0", 16, STATUS_TOO_LARGE, "more than" },
        { "GRIB\0\0\0\2\0\0\0\0\0\0\0\1", 16, STATUS_BAD_GRIB, "too short" },
        { "GRIB\0\0\x33\1 333333333333333333333333333333333333333777", 52, STATUS_BAD_GRIB, "no 7777" },
        { "GRIB\0\0\x33\1 7777", 13, STATUS_BAD_GRIB, "ends inside a message: 13 of 51 bytes" },
        { "GRIB\0\0\0\2", 8, STATUS_BAD_GRIB, "inside the head of a message: 8 bytes" },
        { "GRIB", 4, STATUS_BAD_GRIB, "inside the head of a message: 4 bytes" },
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct buf stream;
        buf_init(&stream, STREAM_MAX);
        buf_text(&stream, " \n");
        buf_append(&stream, cases[i].bytes, cases[i].size);
        assert_tells(&stream, "S0+2 B2 ", cases[i].status, cases[i].text, 2);
        buf_clear(&stream);
        grib2_message(&stream, 5);
        buf_append(&stream, cases[i].bytes, cases[i].size);
        assert_tells(&stream, "B0 E0+179 B179 ", cases[i].status, cases[i].text, 179);
        buf_fini(&stream);
    }
}

static void data_comes_in_pieces_as_large_as_the_chunk(void **state)
{
    (void)state;
    struct buf stream;
    struct grib_scan scan;
    struct grib_piece piece;
    size_t used;

    buf_init(&stream, STREAM_MAX);
    grib2_message(&stream, 100000);
    grib_scan_init(&scan);
    assert_int_equal(grib_scan_next(&scan, stream.data, 70000, &used, &piece, NULL), STATUS_OK);
    assert_int_equal(piece.kind, GRIB_PIECE_BEGIN);
    assert_int_equal(used, 0);
    assert_int_equal(grib_scan_next(&scan, stream.data, 70000, &used, &piece, NULL), STATUS_OK);
    assert_int_equal(piece.kind, GRIB_PIECE_DATA);
    assert_int_equal(piece.data.size, 70000);
    assert_ptr_equal(piece.data.data, stream.data);
    assert_int_equal(scan.frame.size, stream.size);
    assert_int_equal(grib_scan_next(&scan, stream.data + used, 0, &used, &piece, NULL), STATUS_OK);
    assert_int_equal(piece.kind, GRIB_PIECE_NONE);
    buf_fini(&stream);
}

static void a_message_beyond_the_limit_is_refused_once_its_length_is_known(void **state)
{
    (void)state;
    struct buf stream;

    buf_init(&stream, STREAM_MAX);
    grib2_message(&stream, 5);
    for (size_t cut = 1; cut <= stream.size; cut++) {
        for (uint64_t room = 0; room < 2; room++) { /* a byte too little, and just enough */
            struct grib_scan scan;
            struct grib_piece piece;
            enum status status = STATUS_OK;
            size_t at = 0, used;

            grib_scan_init(&scan);
            scan.message_max = stream.size - 1 + room;
            while (status == STATUS_OK && at < stream.size) {
                size_t size = at < cut ? cut - at : stream.size - at;
                status = grib_scan_next(&scan, stream.data + at, size, &used, &piece, NULL);
                at += used;
            }
            assert_int_equal(status, room == 0 ? STATUS_TOO_LARGE : STATUS_OK);
            assert_true(room == 1 || at <= (cut < 16 ? 16 : cut));
        }
    }
    buf_fini(&stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_and_what_lies_between_are_told_apart),
        cmocka_unit_test(false_beginnings_do_not_hide_a_true_one),
        cmocka_unit_test(before_the_first_message_lies_a_heading_or_nothing),
        cmocka_unit_test(what_is_no_grib_is_named_for_what_it_is),
        cmocka_unit_test(sixty_four_kibibytes_between_messages_are_skipped_and_not_one_more),
        cmocka_unit_test(malformed_messages_are_refused_at_their_beginning),
        cmocka_unit_test(data_comes_in_pieces_as_large_as_the_chunk),
        cmocka_unit_test(a_message_beyond_the_limit_is_refused_once_its_length_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
