/* test_journal_record.c: for proto/journal_record.c and the header it shares with runs.log. */
#include "proto/journal_record.h"

#include "tests/unit/proto/cmocka_all.h"

#include <xxhash.h>

enum { NUMBER = 7 };

static const uint64_t journal_id = 0x0123456789abcdef;

static const struct journal_header header = { .incarnation = 3,
                                              .journal_id = 0x0123456789abcdef,
                                              .made_at_us = 1365379200000000 };

/* One of each kind. */
static const struct journal_record records[] = {
    { .kind = JOURNAL_FILE, .batch_first = true, .shard = 17, .birth = 0x6f3a92c1d0e4b7a5, .stored_at_us = 5 },
    { .kind = JOURNAL_STORED,
      .shard = 16383,
      .digest = { { 1, 2, 3, [31] = 0xff } },
      .offset = 1000,
      .length = 4158,
      .stored_at_us = 1365379200000001 },
    { .kind = JOURNAL_STORED, .batch_first = true, .length = 1 }, /* adopted, a digest of zeros */
    { .kind = JOURNAL_BAD, .shard = 1, .digest = { { 9 } }, .offset = 77, .stored_record = 6, .stored_at_us = 8 },
    { .kind = JOURNAL_DROPPED, .shard = 31, .birth = 1, .stored_at_us = UINT64_MAX },
};

static void assert_same_record(const struct journal_record *a, const struct journal_record *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->batch_first, b->batch_first);
    assert_int_equal(a->is_void, b->is_void);
    assert_int_equal(a->shard, b->shard);
    assert_memory_equal(a->digest.bytes, b->digest.bytes, DIGEST_SIZE);
    assert_true(a->birth == b->birth && a->offset == b->offset && a->length == b->length);
    assert_true(a->stored_record == b->stored_record && a->stored_at_us == b->stored_at_us);
}

static void records_of_each_kind_come_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(records); i++) {
        uint8_t bytes[JOURNAL_RECORD_SIZE];
        struct journal_record again;
        journal_record_encode(&records[i], journal_id, NUMBER, bytes);
        assert_int_equal(journal_record_decode(bytes, journal_id, NUMBER, &again, NULL), STATUS_OK);
        assert_same_record(&records[i], &again);
    }
}

static void a_record_lies_as_formats_say(void **state)
{
    (void)state;
    uint8_t expected[JOURNAL_RECORD_SIZE] = { 1, 2, 3, [31] = 0xff };
    uint8_t bytes[JOURNAL_RECORD_SIZE];

    put_u64(expected + 32, 1000);
    put_u64(expected + 40, 4158);
    put_u64(expected + 48, 1365379200000001);
    put_u16(expected + 56, 16383);
    put_u16(expected + 58, 2);
    put_u32(expected + 60, (uint32_t)XXH3_64bits_withSeed(expected, 60, journal_id + NUMBER));
    journal_record_encode(&records[1], journal_id, NUMBER, bytes);
    assert_memory_equal(bytes, expected, sizeof bytes);
    assert_int_equal(journal_record_check(bytes), get_u32(bytes + 60));
    /* Written out, for other implementations. */
    assert_int_equal(journal_record_check(bytes), 0x8f7f0708);
}

static void every_flipped_bit_of_a_record_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(records); i++) {
        uint8_t bytes[JOURNAL_RECORD_SIZE];
        struct journal_record again;
        journal_record_encode(&records[i], journal_id, NUMBER, bytes);
        for (unsigned bit = 0; bit < 8 * sizeof bytes; bit++) {
            bool is_void = bit / 8 == 58 && bit % 8 == 7; /* may be set in an answer */
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_int_equal(journal_record_decode(bytes, journal_id, NUMBER, &again, NULL),
                             is_void ? STATUS_OK : STATUS_CORRUPT);
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}

static void a_record_holds_only_in_its_place(void **state)
{
    (void)state;
    uint8_t bytes[JOURNAL_RECORD_SIZE];
    struct journal_record again;
    struct error err;

    error_init(&err);
    journal_record_encode(&records[1], journal_id, NUMBER, bytes);
    assert_int_equal(journal_record_decode(bytes, journal_id, NUMBER + 1, &again, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.text, "record 8"));
    assert_int_equal(journal_record_decode(bytes, journal_id + 1, NUMBER, &again, NULL), STATUS_CORRUPT);
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(journal_record_decode(bytes, journal_id, NUMBER, &again, NULL), STATUS_CORRUPT);
}

static void void_is_set_without_a_new_checksum(void **state)
{
    (void)state;
    uint8_t bytes[JOURNAL_RECORD_SIZE];
    struct journal_record again;

    journal_record_encode(&records[1], journal_id, NUMBER, bytes);
    uint32_t check = journal_record_check(bytes);
    journal_record_set_void(bytes);
    assert_int_equal(journal_record_check(bytes), check);
    assert_int_equal(journal_record_decode(bytes, journal_id, NUMBER, &again, NULL), STATUS_OK);
    assert_true(again.is_void);
    assert_int_equal(again.kind, JOURNAL_STORED);
}

/* A peer can compute checksums too. */
static void impossible_values_are_refused_though_the_checksum_holds(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t value;
        size_t record;
    } cases[] = {
        { 59, 0, 1 },      { 59, 5, 1 },    { 58, 2, 1 }, /* kinds 0 and 5, a flag nobody knows */
        { 56, 0x40, 1 },                                  /* shard 16384 and more */
        { 32, 0x80, 1 },   { 40, 0x80, 1 },               /* an offset, a length below 0 */
        { 8, 1, 0 },       { 40, 1, 0 },    { 31, 1, 4 }, /* more than a birth id */
        { 7, 0, 4 },                                      /* no birth id */
        { 47, 0, 2 },                                     /* no length */
        { 47, NUMBER, 3 },                                /* itself the stored record */
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint8_t bytes[JOURNAL_RECORD_SIZE];
        struct journal_record again;
        journal_record_encode(&records[cases[i].record], journal_id, NUMBER, bytes);
        assert_int_not_equal(bytes[cases[i].at], cases[i].value);
        bytes[cases[i].at] = cases[i].value;
        put_u32(bytes + 60, (uint32_t)XXH3_64bits_withSeed(bytes, 60, journal_id + NUMBER));
        assert_int_equal(journal_record_decode(bytes, journal_id, NUMBER, &again, NULL), STATUS_CORRUPT);
    }
}

static void the_header_comes_back_and_every_flipped_bit_is_found(void **state)
{
    (void)state;
    uint8_t bytes[JOURNAL_HEADER_SIZE];
    struct journal_header again;

    journal_header_encode(&header, bytes);
    assert_memory_equal(
        bytes, "GRSTOJNL\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\3\x01\x23\x45\x67\x89\xab\xcd\xef", 32);
    assert_true(get_u64(bytes + 56) == XXH3_64bits(bytes, 56));
    assert_int_equal(journal_header_decode(bytes, &again, NULL), STATUS_OK);
    assert_true(again.incarnation == 3 && again.journal_id == journal_id &&
                again.made_at_us == header.made_at_us);
    for (unsigned bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(journal_header_decode(bytes, &again, NULL), STATUS_CORRUPT);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void a_newer_format_is_named_and_not_called_damage(void **state)
{
    (void)state;
    uint8_t bytes[JOURNAL_HEADER_SIZE];
    struct journal_header again;
    struct error err;

    journal_header_encode(&header, bytes);
    put_u64(bytes + 8, 2);
    put_u64(bytes + 56, XXH3_64bits(bytes, 56));
    assert_int_equal(journal_header_decode(bytes, &again, &err), STATUS_UNSUPPORTED);
    assert_non_null(strstr(err.text, "format 2"));
    put_u64(bytes + 8, 1);
    put_u64(bytes + 16, 0); /* incarnations count from 1 */
    put_u64(bytes + 56, XXH3_64bits(bytes, 56));
    assert_int_equal(journal_header_decode(bytes, &again, &err), STATUS_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_of_each_kind_come_back),
        cmocka_unit_test(a_record_lies_as_formats_say),
        cmocka_unit_test(every_flipped_bit_of_a_record_is_found),
        cmocka_unit_test(a_record_holds_only_in_its_place),
        cmocka_unit_test(void_is_set_without_a_new_checksum),
        cmocka_unit_test(impossible_values_are_refused_though_the_checksum_holds),
        cmocka_unit_test(the_header_comes_back_and_every_flipped_bit_is_found),
        cmocka_unit_test(a_newer_format_is_named_and_not_called_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
