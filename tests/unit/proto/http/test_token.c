/* test_token.c: lines of a token file, good and bad; looking tokens up; their buckets. */
#include "proto/http/token.h"

#include "../cmocka_all.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

#define HASH_A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HASH_B "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define CERT_A "cert:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* Every comparison of hashes goes through here (the linker's --wrap). */
static unsigned compares, compared_bytes;

int __wrap_CRYPTO_memcmp(const void *a, const void *b, size_t size);
int __real_CRYPTO_memcmp(const void *a, const void *b, size_t size);

int __wrap_CRYPTO_memcmp(const void *a, const void *b, size_t size)
{
    compares++;
    compared_bytes += (unsigned)size;
    return __real_CRYPTO_memcmp(a, b, size);
}

static struct token_table *parse(const char *text)
{
    struct token_table *table;
    struct error err;

    error_init(&err);
    if (token_table_parse(slice_text(text), &table, &err) != STATUS_OK)
        fail_msg("%s: %s", text, err.text);
    return table;
}

static void a_line_says_all_of_a_token(void **state)
{
    struct token_table *table = parse("# comment\n\n  \t\n"
                                      "one " HASH_A " read\n"
                                      "\ttwo.b-c_9\t" HASH_B
                                      "  ingest,admin  sources=hres,gfs requests=5 bytes=16MiB\t"
                                      "expires=2027-01-31T00:00:00Z \n"
                                      " # another\n"
                                      "3 " CERT_A " node");
    (void)state;

    assert_int_equal(token_table_count(table), 3);
    const struct token *one = token_table_at(table, 0), *two = token_table_at(table, 1),
                       *three = token_table_at(table, 2);
    assert_string_equal(one->name, "one");
    assert_int_equal(one->roles, ROLE_READ);
    assert_null(one->sources);
    assert_int_equal(one->requests, 0);
    assert_true(one->expires == INT64_MAX);
    assert_int_equal(one->line, 4);
    assert_string_equal(two->name, "two.b-c_9");
    assert_int_equal(two->roles, ROLE_INGEST | ROLE_ADMIN);
    assert_string_equal(two->sources, "hres,gfs");
    assert_int_equal(two->requests, 5);
    assert_int_equal(two->bytes, 16 << 20);
    assert_true(two->expires == 1801353600);
    assert_true(three->of_certificate);
    token_table_unref(table);
}

static void an_empty_file_has_no_token(void **state)
{
    static const char *const texts[] = { "", "\n", "\n\n#\n", "   ", "# no end" };
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct token_table *table = parse(texts[i]);
        struct digest hash = { { 0 } };

        assert_int_equal(token_table_count(table), 0);
        assert_null(token_table_find(table, &hash, false));
        token_table_unref(table);
    }
}

static void what_is_wrong_is_named_by_its_line(void **state)
{
    static const struct {
        const char *line, *named;
    } cases[] = {
        { "one", "sha256:" },
        { "one " HASH_A, "roles" },
        { "One " HASH_A " read", "name" },
        { ".one " HASH_A " read", "name" },
        { "one,two " HASH_A " read", "name" },
        { "one " HASH_A "0 read", "64" },
        { "one sha256:aa read", "64" },
        { "one sha512:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa read", "64" },
        { "one sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA read", "64" },
        { "one aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa read", "64" },
        { "one gst_abc read", "gribstore token" },
        { "one " HASH_A " reader", "roles" },
        { "one " HASH_A " read,", "roles" },
        { "one " HASH_A " ,read", "roles" },
        { "one " HASH_A " read, ingest", "roles" },
        { "one " HASH_A " READ", "roles" },
        { "one " HASH_A " none", "roles" },
        { "one " HASH_A " read sources=", "sources" },
        { "one " HASH_A " read sources=a,,b", "sources" },
        { "one " HASH_A " read sources=A", "sources" },
        { "one " HASH_A " read sources=a sources=b", "twice" },
        { "one " HASH_A " read source=a", "sources" },
        { "one " HASH_A " read colour=red", "sources=" },
        { "one " HASH_A " read requests=0", "requests" },
        { "one " HASH_A " read requests=-1", "requests" },
        { "one " HASH_A " read requests=1.5", "requests" },
        { "one " HASH_A " read requests=99999999999999999999", "requests" },
        { "one " HASH_A " read bytes=0", "bytes" },
        { "one " HASH_A " read bytes=1MB", "bytes" },
        { "one " HASH_A " read expires=soon", "expires" },
        { "one " HASH_A " read expires=20270131T0000Z", "expires" },
        { "one " HASH_A " read expires=2027-02-30T00:00:00Z", "expires" },
        { "one " HASH_A " read expires=2027-01-31T00:00:00+01:00", "expires" },
        { "one " HASH_A " read more", "sources=" },
        { "one " HASH_A " read =", "sources=" },
        { "one " HASH_A " read\r", "roles" },
        { "one " HASH_A " read requests=1\r", "requests" },
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct token_table *table = (void *)1;
        struct error err;
        char text[512];

        error_init(&err);
        snprintf(text, sizeof text, "good " HASH_B " read\n%s\n", cases[i].line);
        enum status status = token_table_parse(slice_text(text), &table, &err);
        if (status != STATUS_BAD_VALUE && status != STATUS_UNKNOWN_KEY)
            fail_msg("%s: %d", cases[i].line, status);
        assert_null(table);
        if (strstr(err.text, "line 2: ") != err.text || strstr(err.text, cases[i].named) == NULL)
            fail_msg("%s: %s", cases[i].line, err.text);
        /* Nothing of it that may be a secret is shown. */
        assert_null(strstr(err.text, "gst_abc"));
        assert_null(strstr(err.text, "aaaaaaaa"));
    }
}

static void two_of_one_name_or_hash_are_refused(void **state)
{
    static const struct {
        const char *text, *named;
    } cases[] = {
        { "a " HASH_A " read\nb " CERT_A " read\n\na " HASH_B " read\n",
          "line 4: the name a stands on line 1" },
        { "a " HASH_A " read\nb " HASH_A " admin\n", "line 2: the same hash as a on line 1" },
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct token_table *table;
        struct error err;

        error_init(&err);
        assert_int_equal(token_table_parse(slice_text(cases[i].text), &table, &err), STATUS_BAD_VALUE);
        assert_non_null(strstr(err.text, cases[i].named));
    }
}

static void a_file_has_limits(void **state)
{
    struct token_table *table;
    struct error err;
    struct buf text;
    (void)state;

    buf_init(&text, TOKEN_FILE_MAX);
    for (unsigned i = 0; i < TOKEN_LINES_MAX; i++)
        buf_text(&text, "#\n");
    error_init(&err);
    assert_int_equal(token_table_parse(slice_of(text.data, text.size), &table, &err), STATUS_OK);
    token_table_unref(table);
    buf_text(&text, "#\n");
    assert_int_equal(token_table_parse(slice_of(text.data, text.size), &table, &err), STATUS_BAD_VALUE);
    assert_non_null(strstr(err.text, "line 10001"));
    buf_clear(&text);
    buf_text(&text, "one " HASH_A " read ");
    while (text.size < TOKEN_LINE_MAX)
        buf_text(&text, " ");
    assert_int_equal(token_table_parse(slice_of(text.data, text.size), &table, &err), STATUS_OK);
    token_table_unref(table);
    buf_text(&text, " ");
    assert_int_equal(token_table_parse(slice_of(text.data, text.size), &table, &err), STATUS_BAD_VALUE);
    buf_fini(&text);
}

static void bytes_that_are_no_text_are_refused(void **state)
{
    static const char line[] = "one " HASH_A " read requests=1";
    (void)state;

    for (size_t at = 0; at < sizeof line - 1; at++) {
        struct token_table *table;
        char text[sizeof line];

        memcpy(text, line, sizeof line);
        text[at] = '\0';
        assert_int_not_equal(token_table_parse(slice_of(text, sizeof line - 1), &table, NULL), STATUS_OK);
    }
}

/* --- looking up --- */

static void make_lines(struct buf *text, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char secret[32], hex[DIGEST_TEXT_SIZE];
        struct digest hash;

        snprintf(secret, sizeof secret, "secret-%u", i);
        token_hash(slice_text(secret), &hash);
        digest_print(&hash, hex);
        buf_format(text, "t%u sha256:%s read\n", i, hex);
    }
}

static void each_of_many_is_found_and_nobody_else(void **state)
{
    enum { COUNT = 3000 };
    struct digest hash;
    struct buf text;
    (void)state;

    buf_init(&text, TOKEN_FILE_MAX);
    make_lines(&text, COUNT);
    struct token_table *table = parse(buf_string(&text));
    for (unsigned i = 0; i < COUNT + 100; i++) {
        char secret[32];

        snprintf(secret, sizeof secret, "secret-%u", i);
        token_hash(slice_text(secret), &hash);
        const struct token *token = token_table_find(table, &hash, false);
        assert_null(token_table_find(table, &hash, true));
        if (i >= COUNT) {
            assert_null(token);
            continue;
        }
        assert_non_null(token);
        assert_int_equal(strtoul(token->name + 1, NULL, 10), i);
        hash.bytes[DIGEST_SIZE - 1] ^= 1;
        assert_null(token_table_find(table, &hash, false));
    }
    token_table_unref(table);
    buf_fini(&text);
}

static void hashes_are_compared_whole_and_in_constant_time(void **state)
{
    struct token_table *table = parse("one " HASH_A " read\n");
    struct digest hash;
    (void)state;

    memset(hash.bytes, 0xaa, sizeof hash.bytes);
    for (unsigned place = 0; place <= DIGEST_SIZE; place++) {
        struct digest other = hash;

        if (place < DIGEST_SIZE)
            other.bytes[place] ^= 0x80;
        compares = compared_bytes = 0;
        assert_int_equal(token_table_find(table, &other, false) != NULL, place == DIGEST_SIZE);
        assert_int_equal(compared_bytes, compares * DIGEST_SIZE); /* the other's bucket may be empty */
        assert_true(place < DIGEST_SIZE || compares == 1);
    }
    token_table_unref(table);
}

static void the_hash_is_of_the_text_as_sent(void **state)
{
    char hex[DIGEST_TEXT_SIZE];
    struct digest hash;
    (void)state;

    token_hash(slice_text("abc"), &hash);
    digest_print(&hash, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/* --- rights --- */

static void every_role_may_read_and_only_that_on_top(void **state)
{
    static const unsigned roles[] = { ROLE_READ, ROLE_INGEST, ROLE_ADMIN, ROLE_NODE };
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(roles); i++) {
        struct token token = { .roles = roles[i] };

        assert_true(token_may(&token, ROLE_READ));
        assert_true(token_may(&token, ROLE_READ | ROLE_BOUND));
        for (size_t k = 0; k < ARRAY_COUNT(roles); k++)
            assert_int_equal(token_may(&token, roles[k]), i == k || roles[k] == ROLE_READ);
        assert_int_equal(token_may(&token, ROLE_INGEST | ROLE_NODE),
                         roles[i] == ROLE_INGEST || roles[i] == ROLE_NODE);
        assert_false(token_may(&token, ROLE_BOUND));
    }
}

static void a_source_is_one_of_the_list_or_not(void **state)
{
    struct token bound = { .roles = ROLE_READ, .sources = (char *)"hres,gfs,a" },
                 any = { .roles = ROLE_READ };
    static const char *const mine[] = { "hres", "gfs", "a" };
    static const char *const others[] = { "",         "h", "hre", "hress", "res",  "gf",
                                          "hres,gfs", ",", "b",   "HRES",  "gfs,a" };
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(mine); i++)
        assert_true(token_allows_source(&bound, slice_text(mine[i])));
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        assert_false(token_allows_source(&bound, slice_text(others[i])));
        assert_true(token_allows_source(&any, slice_text(others[i])));
    }
    assert_false(token_allows_source(&bound, slice_of(NULL, 0)));
}

static void what_is_made_is_a_token_and_never_the_same(void **state)
{
    char one[TOKEN_TEXT_SIZE], two[TOKEN_TEXT_SIZE];
    (void)state;

    for (int i = 0; i < 100; i++) {
        token_make(one);
        token_make(two);
        assert_int_equal(strlen(one), 47);
        assert_memory_equal(one, "gst_", 4);
        assert_int_equal(
            strspn(one + 4, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), 43);
        assert_true(token_text_valid(slice_text(one)));
        assert_string_not_equal(one, two);
    }
}

static void a_bearer_token_has_its_letters(void **state)
{
    static const char *const good[] = { "a", "gst_aZ09-_", "a.b~c+d/e", "abc=", "abc===" };
    static const char *const bad[] = { "",     "=",   "a b",      "a=b",  "a,b",
                                       "a\"b", "a;b", "\xc3\xa4", "a\tb", "a:b" };
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(good); i++)
        assert_true(token_text_valid(slice_text(good[i])));
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_false(token_text_valid(slice_text(bad[i])));
    assert_false(token_text_valid(slice_of("a\0b", 3)));
}

/* --- buckets --- */

static void a_bucket_holds_ten_seconds_worth(void **state)
{
    static const uint64_t rates[] = { 1, 7, 1000, 1000000, UINT64_C(1) << 33 };
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(rates); i++) {
        struct token_bucket bucket = { 0 };
        uint64_t wait_ms, now = 123456789, taken = 0;

        if (rates[i] > 1000) { /* all but the last of them at once */
            token_bucket_charge(&bucket, rates[i], rates[i] * 10 - 5, now);
            taken = rates[i] * 10 - 5;
        }
        while (token_bucket_take(&bucket, rates[i], now, &wait_ms))
            taken++;
        /* A part of a nanosecond is rounded up. */
        assert_true(taken >= rates[i] * 10 - 6 && taken <= rates[i] * 10);
        assert_true(wait_ms >= 1 && wait_ms <= 1000 / (rates[i] < 1000 ? rates[i] : 1000) + 1);
        assert_true(token_bucket_take(&bucket, rates[i], now + wait_ms * 1000, &wait_ms));
        assert_false(token_bucket_take(&bucket, rates[i] == 1 ? 1 : rates[i], now, &wait_ms));
    }
}

static void what_was_used_is_paid_off_at_the_rate(void **state)
{
    struct token_bucket bucket = { 0 };
    uint64_t wait_ms, now = 50000000;
    (void)state;

    assert_true(token_bucket_has(&bucket, now, &wait_ms));
    token_bucket_charge(&bucket, 1000, 9999, now);
    assert_true(token_bucket_has(&bucket, now, &wait_ms));
    token_bucket_charge(&bucket, 1000, 30001, now); /* 40 s of it */
    assert_false(token_bucket_has(&bucket, now, &wait_ms));
    assert_in_range(wait_ms, 30000, 30002);
    assert_false(token_bucket_has(&bucket, now + 29000000, &wait_ms));
    assert_true(token_bucket_has(&bucket, now + 30002000, &wait_ms));
    assert_false(token_bucket_take(&bucket, 1000, now, &wait_ms));
}

static void no_amount_wraps_a_bucket(void **state)
{
    static const uint64_t amounts[] = { UINT64_MAX, UINT64_MAX / 2, UINT64_C(1) << 62, UINT64_C(1) << 40 };
    static const uint64_t rates[] = { 1, 3, UINT64_MAX, UINT64_MAX / 3 };
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(amounts); i++) {
        for (size_t k = 0; k < ARRAY_COUNT(rates); k++) {
            struct token_bucket bucket = { 0 };
            uint64_t wait_ms, before = 0;

            for (int again = 0; again < 20; again++) {
                token_bucket_charge(&bucket, rates[k], amounts[i], 1000);
                assert_true(bucket.full_ns >= before);
                before = bucket.full_ns;
            }
            if (amounts[i] / rates[k] > 10)
                assert_false(token_bucket_has(&bucket, 1000, &wait_ms));
        }
    }
}

static void no_length_is_free_at_a_high_rate(void **state)
{
    const uint64_t rate = UINT64_C(1) << 40, most = UINT64_MAX / 1000000000;
    struct token_bucket bucket = { 0 };
    (void)state;

    token_bucket_charge(&bucket, rate, most, 1000);
    assert_true(bucket.full_ns > 1000 * 1000 + 16 * 1000 * 1000); /* 17 GiB at 1 TiB a second */
    assert_true(bucket.full_ns < 1000 * 1000 + 17 * 1000 * 1000);
}

static void a_new_table_takes_over_what_was_used(void **state)
{
    struct token_table *before = parse("one " HASH_A " read requests=1\n");
    struct token_table *after = parse("other " HASH_B " read requests=1\nrenamed " HASH_A
                                      " read requests=1\n");
    uint64_t wait_ms, now = 1000000;
    (void)state;

    while (token_bucket_take(&token_table_at(before, 0)->request_bucket, 1, now, &wait_ms))
        ;
    token_table_inherit(after, before);
    assert_true(token_bucket_take(&token_table_at(after, 0)->request_bucket, 1, now, &wait_ms));
    assert_false(token_bucket_take(&token_table_at(after, 1)->request_bucket, 1, now, &wait_ms));
    token_table_unref(before);
    token_table_unref(after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_says_all_of_a_token),
        cmocka_unit_test(an_empty_file_has_no_token),
        cmocka_unit_test(what_is_wrong_is_named_by_its_line),
        cmocka_unit_test(two_of_one_name_or_hash_are_refused),
        cmocka_unit_test(a_file_has_limits),
        cmocka_unit_test(bytes_that_are_no_text_are_refused),
        cmocka_unit_test(each_of_many_is_found_and_nobody_else),
        cmocka_unit_test(hashes_are_compared_whole_and_in_constant_time),
        cmocka_unit_test(the_hash_is_of_the_text_as_sent),
        cmocka_unit_test(every_role_may_read_and_only_that_on_top),
        cmocka_unit_test(a_source_is_one_of_the_list_or_not),
        cmocka_unit_test(what_is_made_is_a_token_and_never_the_same),
        cmocka_unit_test(a_bearer_token_has_its_letters),
        cmocka_unit_test(a_bucket_holds_ten_seconds_worth),
        cmocka_unit_test(what_was_used_is_paid_off_at_the_rate),
        cmocka_unit_test(no_amount_wraps_a_bucket),
        cmocka_unit_test(no_length_is_free_at_a_high_rate),
        cmocka_unit_test(a_new_table_takes_over_what_was_used),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
