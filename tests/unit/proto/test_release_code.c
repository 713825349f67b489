/* test_release_code.c: the words of releases stay what they are, and read back. */
#include "proto/release_code.h"

#include "tests/unit/proto/cmocka_all.h"

static const char *const words[] = {
    "granted",     "stale-run", "run-retired", "purged",         "paused",      "not-found",
    "owner",       "locked",    "behind",      "too-few-copies", "not-indexed", "incomplete",
    "unreachable", "late",      "too-large",   "failed",         "other",
};

static void each_code_is_its_word_and_back(void **state)
{
    (void)state;
    assert_int_equal(ARRAY_COUNT(words), RELEASE_CODES);
    for (unsigned code = 0; code < RELEASE_CODES; code++) {
        assert_string_equal(release_code_name((enum release_code)code), words[code]);
        assert_int_equal(release_code_parse(slice_text(words[code])), code);
    }
    assert_string_equal(release_code_name(RELEASE_ANSWERS), "unreachable");
}

static void what_is_no_word_is_other(void **state)
{
    static const char *const not_words[] = { "", "Granted", "grante", "granted ", "too_few_copies" };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(not_words); i++)
        assert_int_equal(release_code_parse(slice_text(not_words[i])), RELEASE_OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_code_is_its_word_and_back),
        cmocka_unit_test(what_is_no_word_is_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
