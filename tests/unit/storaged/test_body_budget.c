/* test_body_budget.c: what is reserved is counted, and what comes back goes to who waited first. */
#include "storaged/body_budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct waiter {
    struct body_wait wait;
    unsigned *turn; /* shared: counts those who were served */
    unsigned served;
};

static void on_room(struct body_wait *wait)
{
    struct waiter *waiter = container_of(wait, struct waiter, wait);

    waiter->served = ++*waiter->turn;
}

static void waiter_join(struct waiter *waiter, struct body_budget *budget, enum body_class class,
                        uint64_t size, unsigned *turn)
{
    *waiter = (struct waiter){ .wait = { .size = size, .class = class, .on_room = on_room },
                               .turn = turn };
    body_budget_wait(budget, &waiter->wait);
}

static void a_quarter_is_kept_for_replicas(void **state)
{
    struct body_budget budget;

    (void)state;
    body_budget_init(&budget, 100);
    assert_int_equal(body_budget_max(&budget, BODY_INGEST), 75);
    assert_int_equal(body_budget_max(&budget, BODY_REPLICA), 25);
    assert_true(body_budget_take(&budget, BODY_INGEST, 75));
    assert_false(body_budget_take(&budget, BODY_INGEST, 1));
    assert_true(body_budget_take(&budget, BODY_REPLICA, 25));
    assert_false(body_budget_take(&budget, BODY_REPLICA, 1));
    assert_int_equal(body_budget_used(&budget), 100);
}

static void replicas_may_use_what_is_free(void **state)
{
    struct body_budget budget;

    (void)state;
    body_budget_init(&budget, 100);
    assert_true(body_budget_take(&budget, BODY_REPLICA, 90));
    assert_false(body_budget_take(&budget, BODY_INGEST, 11));
    assert_true(body_budget_take(&budget, BODY_INGEST, 10));
}

static void who_waited_first_is_served_first(void **state)
{
    struct body_budget budget;
    struct waiter first, second;
    unsigned turn = 0;

    (void)state;
    body_budget_init(&budget, 100);
    assert_true(body_budget_take(&budget, BODY_INGEST, 70));
    waiter_join(&first, &budget, BODY_INGEST, 40, &turn);
    waiter_join(&second, &budget, BODY_INGEST, 5, &turn);
    assert_false(body_budget_take(&budget, BODY_INGEST, 5)); /* there is room, but others wait for it */
    body_budget_give(&budget, BODY_INGEST, 10);
    assert_int_equal(turn, 0); /* a small one does not overtake */
    body_budget_give(&budget, BODY_INGEST, 60);
    assert_int_equal(first.served, 1);
    assert_int_equal(second.served, 2);
    assert_int_equal(budget.used[BODY_INGEST], 45);
}

static void replicas_are_served_before_ingests(void **state)
{
    struct body_budget budget;
    struct waiter ingest, replica;
    unsigned turn = 0;

    (void)state;
    body_budget_init(&budget, 100);
    assert_true(body_budget_take(&budget, BODY_INGEST, 75));
    assert_true(body_budget_take(&budget, BODY_REPLICA, 25));
    waiter_join(&ingest, &budget, BODY_INGEST, 20, &turn);
    waiter_join(&replica, &budget, BODY_REPLICA, 20, &turn);
    body_budget_give(&budget, BODY_INGEST, 25);
    assert_int_equal(replica.served, 1);
    assert_int_equal(ingest.served, 0);
    body_budget_give(&budget, BODY_REPLICA, 25);
    assert_int_equal(ingest.served, 2);
}

static void who_leaves_the_line_gets_nothing(void **state)
{
    struct body_budget budget;
    struct waiter first, second;
    unsigned turn = 0;

    (void)state;
    body_budget_init(&budget, 100);
    assert_true(body_budget_take(&budget, BODY_INGEST, 75));
    waiter_join(&first, &budget, BODY_INGEST, 10, &turn);
    waiter_join(&second, &budget, BODY_INGEST, 10, &turn);
    body_budget_leave(&budget, &first.wait);
    body_budget_leave(&budget, &first.wait); /* harmless */
    body_budget_give(&budget, BODY_INGEST, 75);
    assert_int_equal(first.served, 0);
    assert_int_equal(second.served, 1);
    assert_int_equal(body_budget_used(&budget), 10);
}

static void who_leaves_makes_way_for_those_behind(void **state)
{
    struct body_budget budget;
    struct waiter first, second;
    unsigned turn = 0;

    (void)state;
    body_budget_init(&budget, 100);
    assert_true(body_budget_take(&budget, BODY_INGEST, 70));
    waiter_join(&first, &budget, BODY_INGEST, 40, &turn);
    waiter_join(&second, &budget, BODY_INGEST, 5, &turn);
    body_budget_leave(&budget, &first.wait);
    assert_int_equal(first.served, 0);
    assert_int_equal(second.served, 1);
    assert_int_equal(body_budget_used(&budget), 75);
}

/* One whose message fails at once: it gives back while it is being served. */
struct short_waiter {
    struct body_wait wait;
    struct body_budget *budget;
    unsigned *depth, *depth_max, *served;
};

static void on_short_room(struct body_wait *wait)
{
    struct short_waiter *waiter = container_of(wait, struct short_waiter, wait);

    ++*waiter->served;
    if (++*waiter->depth > *waiter->depth_max)
        *waiter->depth_max = *waiter->depth;
    body_budget_give(waiter->budget, BODY_INGEST, wait->size);
    --*waiter->depth;
}

static void a_long_line_of_those_who_give_back_at_once_needs_no_stack(void **state)
{
    static struct short_waiter waiters[1000];
    unsigned depth = 0, depth_max = 0, served = 0;
    struct body_budget budget;

    (void)state;
    body_budget_init(&budget, 100);
    assert_true(body_budget_take(&budget, BODY_INGEST, 75));
    for (unsigned i = 0; i < ARRAY_COUNT(waiters); i++) {
        waiters[i] = (struct short_waiter){
            .wait = { .size = 50, .class = BODY_INGEST, .on_room = on_short_room },
            .budget = &budget,
            .depth = &depth,
            .depth_max = &depth_max,
            .served = &served,
        };
        body_budget_wait(&budget, &waiters[i].wait);
    }
    body_budget_give(&budget, BODY_INGEST, 75);
    assert_int_equal(served, ARRAY_COUNT(waiters));
    assert_int_equal(depth_max, 1);
    assert_int_equal(body_budget_used(&budget), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quarter_is_kept_for_replicas),
        cmocka_unit_test(replicas_may_use_what_is_free),
        cmocka_unit_test(who_waited_first_is_served_first),
        cmocka_unit_test(replicas_are_served_before_ingests),
        cmocka_unit_test(who_leaves_the_line_gets_nothing),
        cmocka_unit_test(who_leaves_makes_way_for_those_behind),
        cmocka_unit_test(a_long_line_of_those_who_give_back_at_once_needs_no_stack),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
