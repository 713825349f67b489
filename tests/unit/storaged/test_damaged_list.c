/* test_damaged_list.c: a copy is remembered where it lies, for a while, and not too many. */
#include "storaged/damaged_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const int node_a, node_b;

static struct digest digest_number(unsigned number)
{
    struct digest digest = { .bytes = { (uint8_t)number, (uint8_t)(number >> 8) } };

    return digest;
}

static void an_empty_list_has_nothing(void **state)
{
    struct damaged_list list = { 0 };
    struct digest zero = { 0 };

    (void)state;
    assert_false(damaged_list_has(&list, &zero, NULL, 7, 0));
}

static void a_copy_is_known_where_it_lies(void **state)
{
    struct damaged_list list = { 0 };
    struct digest one = digest_number(1), two = digest_number(2);

    (void)state;
    damaged_list_add(&list, &one, &node_a, 7, 1000);
    damaged_list_add(&list, &two, NULL, 7, 1000);
    assert_true(damaged_list_has(&list, &one, &node_a, 7, 1000));
    assert_false(damaged_list_has(&list, &one, &node_b, 7, 1000));
    assert_false(damaged_list_has(&list, &one, &node_a, 8, 1000)); /* one that was stored anew */
    assert_false(damaged_list_has(&list, &one, NULL, 7, 1000));
    assert_true(damaged_list_has(&list, &two, NULL, 7, 1000));
}

static void it_is_forgotten_after_a_while(void **state)
{
    struct damaged_list list = { 0 };
    struct digest one = digest_number(1);

    (void)state;
    damaged_list_add(&list, &one, NULL, 7, 1000);
    assert_true(damaged_list_has(&list, &one, NULL, 7, 999 + DAMAGED_TIME_MS));
    assert_false(damaged_list_has(&list, &one, NULL, 7, 1000 + DAMAGED_TIME_MS));
}

static void the_oldest_makes_room(void **state)
{
    struct damaged_list list = { 0 };

    (void)state;
    for (unsigned i = 0; i < DAMAGED_COUNT + 1; i++) {
        struct digest digest = digest_number(i);
        damaged_list_add(&list, &digest, NULL, 7, 1000);
        damaged_list_add(&list, &digest, NULL, 7, 1000); /* takes no second place */
    }
    for (unsigned i = 0; i < DAMAGED_COUNT + 1; i++) {
        struct digest digest = digest_number(i);
        assert_int_equal(damaged_list_has(&list, &digest, NULL, 7, 1000), i > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_list_has_nothing),
        cmocka_unit_test(a_copy_is_known_where_it_lies),
        cmocka_unit_test(it_is_forgotten_after_a_while),
        cmocka_unit_test(the_oldest_makes_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
