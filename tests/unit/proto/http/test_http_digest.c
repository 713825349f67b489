/* test_http_digest.c: what wants a digest, and how one is told. */
#include "proto/http/http_digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void wishes_are_read(void **state)
{
    static const struct {
        const char *want;
        bool wanted;
    } cases[] = {
        { "sha-256=1", true },
        { "sha-256=10", true },
        { "sha-512=3, sha-256=10, unixsum=0", true },
        { "sha-512=3 ,\tsha-256=2", true },
        { "sha-256=0", false },
        { "sha-512=10", false },
        { "", false },
        { "sha-256", false },
        { "sha-256=", false },
        { "sha-256=11", false },
        { "sha-256=-1", false },
        { "sha-256=1.0", false },
        { "sha-256=?1", false },
        { "SHA-256=1", false },
        { "sha-2560=1", false },
        { "xsha-256=1", false },
        { "sha-256=1, sha-256=0", false },
        { "sha-256=0, sha-256=1", true },
        { ",,", false },
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        if (http_digest_wanted(slice_text(cases[i].want)) != cases[i].wanted)
            fail_msg("'%s'", cases[i].want);
    assert_false(http_digest_wanted(slice_of(NULL, 0)));
}

/* SHA-256 of nothing. */
static void a_digest_is_told_in_base64_between_colons(void **state)
{
    static const uint8_t empty[32] = {
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4,
        0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b,
        0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
    };
    char text[HTTP_DIGEST_TEXT_SIZE];
    (void)state;

    http_digest_print(empty, text);
    assert_string_equal(text, "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wishes_are_read),
        cmocka_unit_test(a_digest_is_told_in_base64_between_colons),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
