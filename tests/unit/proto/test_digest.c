/* test_digest.c: for proto/digest.c. */
#include "proto/digest.h"

#include "tests/unit/proto/cmocka_all.h"

/* FIPS 180-4's examples. */
static const char empty_hex[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
static const char abc_hex[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

static void digests_are_sha256(void **state)
{
    (void)state;
    struct digest digest;
    char text[DIGEST_TEXT_SIZE];

    digest_of("", 0, &digest);
    digest_print(&digest, text);
    assert_string_equal(text, empty_hex);
    digest_of("abc", 3, &digest);
    digest_print(&digest, text);
    assert_string_equal(text, abc_hex);
}

static void a_stream_is_split_anywhere_and_used_again(void **state)
{
    (void)state;
    uint8_t data[300];
    struct digest whole, parts;
    struct digest_stream *stream = digest_stream_new();

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 11);
    digest_of(data, sizeof data, &whole);
    for (size_t cut = 0; cut <= sizeof data; cut++) {
        digest_stream_update(stream, data, cut);
        digest_stream_update(stream, data + cut, sizeof data - cut);
        digest_stream_final(stream, &parts);
        assert_int_equal(digest_compare(&whole, &parts), 0);
    }
    digest_stream_free(stream);
}

static void only_64_lower_case_hex_digits_are_a_digest(void **state)
{
    (void)state;
    struct digest digest;
    char text[DIGEST_TEXT_SIZE];
    char bad[DIGEST_TEXT_SIZE];

    assert_true(digest_parse(slice_text(abc_hex), &digest));
    digest_print(&digest, text);
    assert_string_equal(text, abc_hex);
    for (size_t i = 0; i < DIGEST_TEXT_SIZE - 1; i++) {
        memcpy(bad, abc_hex, sizeof bad);
        bad[i] = 'A';
        assert_false(digest_parse(slice_text(bad), &digest));
        assert_false(digest_parse(slice_of(abc_hex, i), &digest));
    }
    assert_false(digest_parse(slice_of("", 0), &digest));
}

static void the_shard_is_the_first_bits(void **state)
{
    (void)state;
    struct digest digest;

    assert_true(digest_parse(slice_text(abc_hex), &digest)); /* 1011 1010 0111 1000 */
    assert_int_equal(digest_shard(&digest, 1), 0);
    assert_int_equal(digest_shard(&digest, 2), 1);
    assert_int_equal(digest_shard(&digest, 4), 2);
    assert_int_equal(digest_shard(&digest, 32), 0xba >> 3);
    assert_int_equal(digest_shard(&digest, 256), 0xba);
    assert_int_equal(digest_shard(&digest, 16384), 0xba78 >> 2);
    memset(digest.bytes, 0xff, sizeof digest.bytes);
    assert_int_equal(digest_shard(&digest, 16384), 16383);
}

static void sums_carry_through_all_bytes(void **state)
{
    (void)state;
    struct digest_set set = { .count = 0 };
    struct digest ones, one = { { 0 } };
    char text[FINGERPRINT_TEXT_SIZE];

    memset(ones.bytes, 0xff, sizeof ones.bytes);
    one.bytes[DIGEST_SIZE - 1] = 1;
    digest_set_add(&set, &ones);
    digest_set_add(&set, &one);
    digest_set_print(&set, text);
    assert_string_equal(text, "2-0000000000000000000000000000000000000000000000000000000000000000");
    digest_set_remove(&set, &one);
    digest_set_print(&set, text);
    assert_string_equal(text, "1-ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff");
    digest_set_add(&set, &ones);
    digest_set_print(&set, text);
    assert_string_equal(text, "2-fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe");
}

/* (empty + abc) mod 2^256, by a calculator with large numbers. */
static void sums_do_not_depend_on_the_order(void **state)
{
    (void)state;
    struct digest a, b;
    struct digest_set left = { .count = 0 }, right = { .count = 0 }, rest = { .count = 0 };
    char text[FINGERPRINT_TEXT_SIZE], again[FINGERPRINT_TEXT_SIZE];

    digest_of("", 0, &a);
    digest_of("abc", 3, &b);
    digest_set_add(&left, &a);
    digest_set_add(&left, &b);
    digest_set_add(&right, &b);
    digest_set_add(&rest, &a);
    digest_set_merge(&right, &rest);
    digest_set_print(&left, text);
    digest_set_print(&right, again);
    assert_string_equal(text, again);
    assert_string_equal(text, "2-9e28db0227fdebfedc3d35a6f71ddb47d7b1a387fab30de958a6987d6a52ce02");
    digest_set_remove(&left, &a);
    digest_set_remove(&left, &b);
    digest_set_print(&left, text);
    assert_string_equal(text, "0-0000000000000000000000000000000000000000000000000000000000000000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_are_sha256),
        cmocka_unit_test(a_stream_is_split_anywhere_and_used_again),
        cmocka_unit_test(only_64_lower_case_hex_digits_are_a_digest),
        cmocka_unit_test(the_shard_is_the_first_bits),
        cmocka_unit_test(sums_carry_through_all_bytes),
        cmocka_unit_test(sums_do_not_depend_on_the_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
