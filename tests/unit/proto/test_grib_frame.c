/* test_grib_frame.c: for proto/grib_frame.c. */
#include "proto/grib_frame.h"

#include "tests/unit/proto/cmocka_all.h"
#include "tests/unit/proto/grib_bytes.h"

enum { BYTES_MAX = 32 << 20 };

/* Feeds it all in chunks of this size and returns the last status; *used counts what the frame took. */
static enum status feed_all(struct grib_frame *frame, const uint8_t *data, size_t size,
                            size_t chunk, size_t *used, struct error *err)
{
    enum status status = STATUS_MORE;

    grib_frame_init(frame);
    error_init(err);
    for (*used = 0; *used < size && status == STATUS_MORE;) {
        size_t took, left = size - *used < chunk ? size - *used : chunk;
        status = grib_frame_feed(frame, data + *used, left, &took, err);
        if (status == STATUS_MORE)
            assert_int_equal(took, left);
        *used += took;
    }
    return status;
}

static void assert_frames(const struct buf *message, size_t chunk)
{
    struct grib_frame frame;
    struct error err;
    size_t used;

    assert_int_equal(feed_all(&frame, message->data, message->size, chunk, &used, &err), STATUS_OK);
    assert_int_equal(used, message->size);
    assert_int_equal(frame.size, message->size);
    assert_int_equal(frame.seen, message->size);
}

static void assert_two_pieces_frame(const struct buf *message, size_t cut)
{
    struct grib_frame frame;
    size_t used;

    grib_frame_init(&frame);
    assert_int_equal(grib_frame_feed(&frame, message->data, cut, &used, NULL), STATUS_MORE);
    assert_int_equal(used, cut);
    assert_int_equal(grib_frame_feed(&frame, message->data + cut, message->size - cut, &used, NULL),
                     STATUS_OK);
    assert_int_equal(used, message->size - cut);
    assert_int_equal(frame.size, message->size);
}

/* Sections 1 and 2 so long that section 4 begins at 92, as in the messages that ecCodes 2.50 wrote and read. */
static const uint32_t measured[4] = { 52, 32, 0, 0 };

static const struct {
    uint32_t size, length, said4;
} lengths[] = {
    { 4500108, 0x44aa8c, 4500012 },   /* below 8 MiB: plain */
    { 8388716, 0x80006c, 8388620 },   /* plain with bit 23 set */
    { 9680108, 0x93b4ec, 9680012 },   /* the same */
    { 8388716, 0x811112, 8 },         /* ECMWF's extended length */
    { 9680108, 0x813b1c, 56 },        /* the same */
    { 18000108, 0x8249f1, 16 },       /* more than 24 bits */
    { 8388716, 0x80006c, 120 },       /* 120 is the first that is no remainder */
    { 69905 * 120 + 4, 0x811111, 0 }, /* and 0 is one */
};

static void the_lengths_that_eccodes_writes_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
        struct buf message;
        buf_init(&message, BYTES_MAX);
        grib1_message(&message, measured, lengths[i].length, lengths[i].said4, lengths[i].size);
        assert_int_equal(message.size, lengths[i].size);
        assert_frames(&message, SIZE_MAX);
        assert_frames(&message, 1 << 20);
        assert_frames(&message, 4093);
        for (size_t cut = 1; cut < 128; cut++)
            assert_two_pieces_frame(&message, cut);
        for (size_t cut = 1; cut < 8; cut++)
            assert_two_pieces_frame(&message, message.size - cut);
        buf_fini(&message);
    }
}

/* The walk has to find section 4 whatever lies before it. */
static void the_walk_passes_over_sections_2_and_3(void **state)
{
    (void)state;
    static const uint32_t cases[][4] = { { 28, 0, 0, 0 }, { 28, 32, 0, 0 },
                                         { 28, 0, 6, 0 }, { 52, 178, 9, 0 },
                                         { 28, 3, 3, 0 }, { 5000, 5000, 300000, 0 } };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct buf message;
        buf_init(&message, BYTES_MAX);
        grib1_message(&message, cases[i], 0x800000 + 80000, 64, 80000 * 120 - 64 + 4);
        assert_frames(&message, SIZE_MAX);
        assert_frames(&message, 65536);
        for (size_t cut = 1; cut < 300; cut++)
            assert_two_pieces_frame(&message, cut);
        buf_fini(&message);
    }
}

static void every_split_of_a_message_frames_alike(void **state)
{
    (void)state;
    for (int edition = 1; edition <= 2; edition++) {
        struct buf message;
        buf_init(&message, BYTES_MAX);
        if (edition == 1)
            grib1_small(&message);
        else
            grib2_message(&message, 100);
        for (size_t cut = 1; cut < message.size; cut++) {
            assert_two_pieces_frame(&message, cut);
            assert_frames(&message, cut);
        }
        buf_fini(&message);
    }
}

static void what_follows_a_message_is_left_alone(void **state)
{
    (void)state;
    struct buf message;
    struct grib_frame frame;
    struct error err;
    size_t used;

    buf_init(&message, BYTES_MAX);
    grib2_message(&message, 9);
    size_t size = message.size;
    buf_text(&message, "GRIB7777");
    assert_int_equal(feed_all(&frame, message.data, message.size, SIZE_MAX, &used, &err), STATUS_OK);
    assert_int_equal(used, size);
    assert_int_equal(grib_frame_feed(&(struct grib_frame){ .size = 0 }, message.data, 0, &used, NULL),
                     STATUS_MORE);
    assert_int_equal(used, 0);
    buf_fini(&message);
}

/* A byte of a small message set to something else, and what has to be said. */
struct damage {
    int edition;
    int at; /* from the end when below 0 */
    uint8_t value;
    enum status status;
    const char *text;
};

static const struct damage damages[] = {
    { 2, 0, 'g', STATUS_BAD_GRIB, "GRIB" },
    { 2, 3, 'b', STATUS_BAD_GRIB, "GRIB" },
    { 2, 7, 0, STATUS_BAD_GRIB, "edition 0 is not supported" },
    { 2, 7, 3, STATUS_BAD_GRIB, "edition 3 is not supported (1 and 2 are)" },
    { 2, 8, 1, STATUS_TOO_LARGE, "more than" },
    { 2, 12, 0x40, STATUS_TOO_LARGE, "more than" }, /* 1 GiB and the rest */
    { 2, -1, '8', STATUS_BAD_GRIB, "7777" },
    { 2, -4, 0, STATUS_BAD_GRIB, "7777" },
    { 1, 7, 9, STATUS_BAD_GRIB, "edition 9" },
    { 1, 6, 50, STATUS_BAD_GRIB, "too short" },
    { 1, -2, ' ', STATUS_BAD_GRIB, "7777" },
};

static void damage_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(damages); i++) {
        const struct damage *damage = &damages[i];
        struct buf message;
        buf_init(&message, BYTES_MAX);
        if (damage->edition == 1)
            grib1_small(&message);
        else
            grib2_message(&message, 100);
        message.data[damage->at < 0 ? message.size - (size_t)-damage->at : (size_t)damage->at] =
            damage->value;
        for (size_t chunk = 1; chunk <= message.size; chunk += 7) {
            struct grib_frame frame;
            struct error err;
            size_t used;
            assert_int_equal(feed_all(&frame, message.data, message.size, chunk, &used, &err),
                             damage->status);
            assert_non_null(strstr(err.text, damage->text));
        }
        buf_fini(&message);
    }
}

/* Heads alone: the error must come before the body has to. */
static void lengths_that_can_not_be_are_refused_at_once(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[48];
        size_t size;
        enum status status;
    } cases[] = {
        { "GRIB\0\0\0\2\0\0\0\0\0\0\0\x28", 16, STATUS_BAD_GRIB },  /* 40, one too few */
        { "GRIB\0\0\0\2\0\0\0\0\0\0\0\x29", 16, STATUS_MORE },      /* 41 */
        { "GRIB\0\0\0\2\0\0\0\0\x40\0\0\0", 16, STATUS_MORE },      /* 1 GiB */
        { "GRIB\0\0\0\2\0\0\0\0\x40\0\0\1", 16, STATUS_TOO_LARGE }, /* and a byte */
        { "GRIB\0\0\0\2\xff\xff\xff\xff\xff\xff\xff\xff", 16, STATUS_TOO_LARGE },
        { "GRIB\0\0\x32\1", 8, STATUS_BAD_GRIB },                    /* 50, one too few */
        { "GRIB\0\0\x33\1", 8, STATUS_MORE },                        /* 51 */
        { "GRIB\x80\0\0\1\0\0\x1b\0\0\0\0\0", 16, STATUS_BAD_GRIB }, /* section 1 of 27 */
        { "GRIB\x80\0\0\1\0\0\x1c\0\0\0\0\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2", 39,
          STATUS_BAD_GRIB }, /* section 2 of 2 */
        { "GRIB\x80\0\1\1\0\0\x1c\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x77", 39,
          STATUS_BAD_GRIB }, /* one unit, and 119 of it not there */
        { "GRIB\x80\0\0\1\0\0\x1c\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x77", 39,
          STATUS_BAD_GRIB }, /* no unit at all */
        { "GRIB\xff\xff\xff\1\0\0\x1c\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 39,
          STATUS_MORE }, /* the longest there is */
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        for (size_t chunk = 1; chunk <= cases[i].size; chunk++) {
            struct grib_frame frame;
            struct error err;
            size_t used;
            assert_int_equal(feed_all(&frame, cases[i].bytes, cases[i].size, chunk, &used, &err),
                             cases[i].status);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lengths_that_eccodes_writes_are_read),
        cmocka_unit_test(the_walk_passes_over_sections_2_and_3),
        cmocka_unit_test(every_split_of_a_message_frames_alike),
        cmocka_unit_test(what_follows_a_message_is_left_alone),
        cmocka_unit_test(damage_is_named),
        cmocka_unit_test(lengths_that_can_not_be_are_refused_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
