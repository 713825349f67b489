/* test_copy_batch.c: which copies travel in one request. */
#include "storaged/peers/copy_batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { COPIES = 6, SMALL = 100 };

static const char *const bodies[2] = { "first body", "second body" };

struct fixture {
    struct run_key runs[2];
    struct body_message messages[COPIES];
    struct copy copies[COPIES];
    struct list waiting;
    struct copy_batch batch;
};

/* Copies of one run and body, all small, in a list. */
static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    for (unsigned i = 0; i < 2; i++) {
        strcpy(fixture->runs[i].source, "hres");
        fixture->runs[i].base_time = 3600 * (int64_t)i;
    }
    list_init(&fixture->waiting);
    list_init(&fixture->batch.members);
    for (unsigned i = 0; i < COPIES; i++) {
        struct copy *copy = &fixture->copies[i];

        fixture->messages[i].size = SMALL;
        copy->message = &fixture->messages[i];
        copy->run = &fixture->runs[0];
        copy->incarnation = 1;
        copy->request_id = bodies[0];
        list_append(&fixture->waiting, &copy->list);
    }
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

/* "012": which copies a list has, in its order. */
static const char *names(const struct fixture *fixture, const struct list *list)
{
    static char text[COPIES + 1];
    size_t at = 0;

    for (const struct list *item = list->next; item != list; item = item->next)
        text[at++] = (char)('0' + (container_of(item, struct copy, list) - fixture->copies));
    text[at] = '\0';
    return text;
}

static void check_fill(struct fixture *fixture, unsigned count_max, uint64_t size_max,
                       const char *taken, const char *left)
{
    copy_batch_fill(&fixture->batch, &fixture->waiting, count_max, size_max);
    assert_string_equal(names(fixture, &fixture->batch.members), taken);
    assert_string_equal(names(fixture, &fixture->waiting), left);
    assert_int_equal(fixture->batch.count, strlen(taken));
}

static void a_batch_takes_all_that_fits(void **state)
{
    check_fill(*state, COPIES_BATCH_COUNT, COPIES_BATCH_SIZE, "012345", "");
    assert_int_equal(((struct fixture *)*state)->batch.size, COPIES * SMALL);
    assert_false(((struct fixture *)*state)->batch.mixed);
}

static void the_count_is_limited(void **state)
{
    check_fill(*state, 4, COPIES_BATCH_SIZE, "0123", "45");
}

static void bytes_are_limited(void **state)
{
    check_fill(*state, COPIES_BATCH_COUNT, 3 * SMALL + SMALL - 1, "012", "345");
}

static void the_first_is_taken_however_large(void **state)
{
    struct fixture *fixture = *state;

    fixture->messages[0].size = COPIES_BATCH_SIZE + 1;
    check_fill(fixture, COPIES_BATCH_COUNT, COPIES_BATCH_SIZE, "0", "12345");
}

static void another_run_or_incarnation_waits_for_the_next_batch(void **state)
{
    struct fixture *fixture = *state;

    fixture->copies[1].run = &fixture->runs[1];
    fixture->copies[3].incarnation = 2;
    fixture->copies[4].run = &fixture->runs[1];
    check_fill(fixture, COPIES_BATCH_COUNT, COPIES_BATCH_SIZE, "025", "134");
}

static void bodies_travel_together(void **state)
{
    struct fixture *fixture = *state;

    fixture->copies[2].request_id = bodies[1];
    check_fill(fixture, COPIES_BATCH_COUNT, COPIES_BATCH_SIZE, "012345", "");
    assert_true(fixture->batch.mixed);
}

static void copies_apart_travel_with_those_of_their_body(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned i = 1; i < COPIES; i += 2)
        fixture->copies[i].request_id = bodies[1];
    for (unsigned i = 0; i < 4; i++)
        fixture->copies[i].apart = true;
    check_fill(fixture, COPIES_BATCH_COUNT, COPIES_BATCH_SIZE, "02", "1345");
    assert_false(fixture->batch.mixed);
}

static void a_copy_apart_joins_no_other_batch(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned i = 1; i < COPIES; i += 2)
        fixture->copies[i].request_id = bodies[1];
    fixture->copies[1].apart = true;
    check_fill(fixture, COPIES_BATCH_COUNT, COPIES_BATCH_SIZE, "02345", "1");
    assert_true(fixture->batch.mixed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_batch_takes_all_that_fits),
        TEST(the_count_is_limited),
        TEST(bytes_are_limited),
        TEST(the_first_is_taken_however_large),
        TEST(another_run_or_incarnation_waits_for_the_next_batch),
        TEST(bodies_travel_together),
        TEST(copies_apart_travel_with_those_of_their_body),
        TEST(a_copy_apart_joins_no_other_batch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
