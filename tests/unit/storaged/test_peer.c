/* test_peer.c: a failure takes a peer down, an answer brings it back, probes come after a growing, bounded delay. */
#include "storaged/peers/peer.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static uint64_t now_ms;

static uint64_t fake_us(void)
{
    return now_ms * 1000;
}

static struct peers peers;

static int setup(void **state)
{
    (void)state;
    log_setup(LOG_ERROR, LOG_LOGFMT);
    now_ms = 1000;
    clock_replace(fake_us, fake_us);
    return peers_init(&peers, NULL) == STATUS_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    peers_fini(&peers);
    clock_replace(NULL, NULL);
    return 0;
}

static void the_same_name_and_url_is_the_same_peer(void **state)
{
    (void)state;
    struct peer *peer = peers_get(&peers, "n1", "http://a:1");
    assert_ptr_equal(peers_get(&peers, "n1", "http://a:1"), peer);
    assert_ptr_not_equal(peers_get(&peers, "n1", "http://a:2"), peer);
    assert_ptr_not_equal(peers_get(&peers, "n2", "http://a:1"), peer);
    assert_int_equal(peers.count, 3);
}

static void a_new_peer_is_up(void **state)
{
    (void)state;
    struct peer *peer = peers_get(&peers, "n1", "http://a:1");
    assert_true(peer_is_up(peer));
    assert_true(peer_takes_puts(peer));
    assert_int_equal(peer_silent_ms(peer), 0);
}

static void a_failure_takes_it_down_until_it_answers(void **state)
{
    (void)state;
    struct peer *peer = peers_get(&peers, "n1", "http://a:1");
    peer_failed(peer, NULL);
    assert_false(peer_is_up(peer));
    assert_false(peer_takes_puts(peer));
    now_ms += 70000;
    peer_failed(peer, NULL);
    assert_int_equal(peer_silent_ms(peer), 70000); /* since the first */
    peer_answered(peer);
    assert_true(peer_is_up(peer));
    assert_int_equal(peer_silent_ms(peer), 0);
}

static void one_that_leaves_copies_unanswered_gets_none_for_longer_each_time(void **state)
{
    uint64_t delay = PEER_STALLED_DELAY_MIN_MS;

    (void)state;
    struct peer *peer = peers_get(&peers, "n1", "http://a:1");
    for (unsigned i = 0; i < 40; i++) {
        peer_stalled(peer);
        peer_stalled(peer);  /* others that were under way with it */
        peer_answered(peer); /* a probe */
        assert_true(peer_is_up(peer));
        now_ms += delay - 1;
        peer_refused(peer); /* shortens nothing, and is over soon */
        assert_false(peer_takes_puts(peer));
        now_ms += PEER_REFUSED_DELAY_MS;
        assert_true(peer_takes_puts(peer));
        delay = delay * 2 < PEER_STALLED_DELAY_MAX_MS ? delay * 2 : PEER_STALLED_DELAY_MAX_MS;
    }
    peer_kept(peer);
    peer_stalled(peer);
    assert_int_equal(atomic_load(&peer->refused_until_ms), now_ms + PEER_STALLED_DELAY_MIN_MS);
    peer_kept(peer);
    assert_true(peer_takes_puts(peer));
}

static void probes_come_after_a_growing_bounded_delay(void **state)
{
    uint64_t before = 0;

    (void)state;
    struct peer *peer = peers_get(&peers, "n1", "http://a:1");
    for (unsigned i = 0; i < 100; i++) {
        peer_failed(peer, NULL);
        uint64_t delay = atomic_load(&peer->probe_at_ms) - now_ms;
        assert_in_range(delay, PEER_PROBE_DELAY_MIN_MS, PEER_PROBE_DELAY_MAX_MS);
        assert_true(delay > before || delay == PEER_PROBE_DELAY_MAX_MS);
        before = delay;
    }
    peer_answered(peer);
    peer_failed(peer, NULL);
    assert_int_equal(atomic_load(&peer->probe_at_ms) - now_ms, PEER_PROBE_DELAY_MIN_MS);
}

static void a_peer_that_refuses_is_up_but_takes_no_puts_for_a_while(void **state)
{
    (void)state;
    struct peer *peer = peers_get(&peers, "n1", "http://a:1");
    peer_refused(peer);
    assert_true(peer_is_up(peer));
    assert_false(peer_takes_puts(peer));
    now_ms += PEER_REFUSED_DELAY_MS;
    assert_true(peer_takes_puts(peer));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_same_name_and_url_is_the_same_peer, setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_peer_is_up, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failure_takes_it_down_until_it_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(
            one_that_leaves_copies_unanswered_gets_none_for_longer_each_time, setup, teardown),
        cmocka_unit_test_setup_teardown(probes_come_after_a_growing_bounded_delay, setup, teardown),
        cmocka_unit_test_setup_teardown(a_peer_that_refuses_is_up_but_takes_no_puts_for_a_while,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
