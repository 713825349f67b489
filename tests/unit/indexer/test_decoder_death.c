/* test_decoder_death.c: reasons, and the kind that is read off them. */
#include "indexer/decoder_death.h"

#include "proto/base/bytes.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void a_death_is_told_by_its_signal_or_its_exit_status(void **state)
{
    (void)state;
    char text[DECODER_REASON_SIZE];

    decoder_death_text(SIGABRT, 0, text);
    assert_string_equal(text, "decoder died: signal 6 (abort)");
    decoder_death_text(SIGUSR1, 0, text);
    assert_string_equal(text, "decoder died: signal 10 (other)");
    decoder_death_text(0, 3, text);
    assert_string_equal(text, "decoder died: exit status 3");
    decoder_timeout_text(1001, true, text);
    assert_string_equal(text, "decoder timed out after 1.001 s of CPU time");
    decoder_timeout_text(30000, false, text);
    assert_string_equal(text, "decoder timed out after 30 s");
}

/* What is said here is what is kept in quarantine: each text has to be known again by its kind, with a field in front or without. */
static void the_kind_of_each_reason_is_known_again(void **state)
{
    (void)state;
    char died[DECODER_REASON_SIZE], slow[DECODER_REASON_SIZE], garbage[DECODER_REASON_SIZE];
    const struct {
        const char *reason, *name;
    } cases[] = {
        { died, "died" },
        { slow, "timed-out" },
        { garbage, "garbage" },
        { REFUSAL_NO_HEADS_TEXT "its sections don't hold", "no-heads" },
        { "ecCodes 2.28.0: Unable to find template", "refused" },
        { "the decoder died: somewhere else", "refused" },
        { "", "refused" },
    };

    decoder_death_text(SIGSEGV, 0, died);
    decoder_timeout_text(1000, true, slow);
    decoder_garbage_text("an answer of no possible length", garbage);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char with_field[DECODER_REASON_SIZE + 16];
        snprintf(with_field, sizeof with_field, "field 12: %s", cases[i].reason);
        assert_string_equal(refusal_class_name(refusal_class_of(cases[i].reason)), cases[i].name);
        assert_string_equal(refusal_class_name(refusal_class_of(with_field)), cases[i].name);
    }
    assert_string_equal(refusal_class_name(refusal_class_of("field : decoder died: x")), "refused");
    assert_string_equal(refusal_class_name(refusal_class_of("field 1")), "refused");
    assert_string_equal(refusal_class_name(refusal_class_of("field ")), "refused");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_death_is_told_by_its_signal_or_its_exit_status),
        cmocka_unit_test(the_kind_of_each_reason_is_known_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
