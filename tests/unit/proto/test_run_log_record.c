/* test_run_log_record.c: for proto/run_log_record.c. */
#include "proto/run_log_record.h"

#include "tests/unit/proto/cmocka_all.h"

#include <xxhash.h>

static const uint64_t log_id = 0xfeedface12345678;

static const struct run_log_record records[] = {
    { .run = { "hres", 1365379200 }, .info = { 1, 0, RUN_FILLING }, .told_at_us = 1365379200000000 },
    { .run = { "a", -62135596800 }, .info = { UINT64_MAX, UINT64_MAX, RUN_PURGED }, .told_at_us = 0 },
    { .run = { "0123456789012345678901234567890123456789012345678901234567890123", 253402300799 },
      .info = { 2, 7, RUN_RETIRED },
      .told_at_us = UINT64_MAX },
};

static void records_come_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(records); i++) {
        uint8_t bytes[RUN_LOG_RECORD_SIZE];
        struct run_log_record again;
        run_log_record_encode(&records[i], log_id, bytes);
        assert_int_equal(run_log_record_decode(bytes, log_id, &again, NULL), STATUS_OK);
        assert_int_equal(run_key_compare(&again.run, &records[i].run), 0);
        assert_int_equal(run_info_compare(&again.info, &records[i].info), 0);
        assert_int_equal(again.info.state, records[i].info.state);
        assert_true(again.told_at_us == records[i].told_at_us);
    }
}

static void a_record_lies_as_formats_say(void **state)
{
    (void)state;
    uint8_t expected[RUN_LOG_RECORD_SIZE] = { 4, 'h', 'r', 'e', 's' };
    uint8_t bytes[RUN_LOG_RECORD_SIZE];

    put_u64(expected + 72, 1365379200);
    put_u64(expected + 80, 1);
    put_u64(expected + 96, 1365379200000000);
    put_u16(expected + 104, 1);
    put_u64(expected + 120, XXH3_64bits_withSeed(expected, 120, log_id));
    run_log_record_encode(&records[0], log_id, bytes);
    assert_memory_equal(bytes, expected, sizeof bytes);
}

static void every_flipped_bit_of_a_record_is_found(void **state)
{
    (void)state;
    uint8_t bytes[RUN_LOG_RECORD_SIZE];
    struct run_log_record again;

    run_log_record_encode(&records[2], log_id, bytes);
    assert_int_equal(run_log_record_decode(bytes, log_id + 1, &again, NULL), STATUS_CORRUPT);
    for (unsigned bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(run_log_record_decode(bytes, log_id, &again, NULL), STATUS_CORRUPT);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void impossible_values_are_refused_though_the_checksum_holds(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t value;
    } cases[] = {
        { 0, 0 },   { 0, 65 },  { 0, 255 },
        { 1, 'H' }, { 0, 3 }, /* source: none, too long, not one, longer than said */
        { 66, 1 },  { 107, 1 }, { 72, 127 },
        { 87, 0 },                          /* filling, filling, base_time, incarnation 0 */
        { 105, 0 }, { 105, 5 }, { 104, 1 }, /* states */
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint8_t bytes[RUN_LOG_RECORD_SIZE];
        struct run_log_record again;
        run_log_record_encode(&records[0], log_id, bytes);
        assert_int_not_equal(bytes[cases[i].at], cases[i].value);
        bytes[cases[i].at] = cases[i].value;
        put_u64(bytes + 120, XXH3_64bits_withSeed(bytes, 120, log_id));
        assert_int_equal(run_log_record_decode(bytes, log_id, &again, NULL), STATUS_CORRUPT);
    }
}

static void the_header_is_not_a_journals(void **state)
{
    (void)state;
    uint8_t bytes[RUN_LOG_HEADER_SIZE];
    uint64_t id;

    run_log_header_encode(log_id, 99, bytes);
    assert_memory_equal(bytes, "GRSTORUN", 8);
    assert_int_equal(run_log_header_decode(bytes, &id, NULL), STATUS_OK);
    assert_true(id == log_id);
    for (unsigned bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(run_log_header_decode(bytes, &id, NULL), STATUS_CORRUPT);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    put_u64(bytes, UINT64_C(0x475253544f4a4e4c)); /* GRSTOJNL */
    put_u64(bytes + 56, XXH3_64bits(bytes, 56));
    assert_int_equal(run_log_header_decode(bytes, &id, NULL), STATUS_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_back),
        cmocka_unit_test(a_record_lies_as_formats_say),
        cmocka_unit_test(every_flipped_bit_of_a_record_is_found),
        cmocka_unit_test(impossible_values_are_refused_though_the_checksum_holds),
        cmocka_unit_test(the_header_is_not_a_journals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
