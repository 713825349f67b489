/* test_damage.c: what storaged/store/damage.h promises of messages that turn bad. */
#include "storaged/store/damage_ranges.h"
#include "tests/lib/fake_disk.h"
#include "tests/lib/store_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MESSAGES = 8, SIZE = 1000 };

struct damage_fixture {
    struct store_fixture store; /* the first: fixture_teardown() ends it and frees all */
    struct run_key run;
    struct store_place places[MESSAGES];
    unsigned told; /* calls of on_bad */
    struct digest told_digest;
};

static int setup(void **state)
{
    struct damage_fixture *fixture = calloc(1, sizeof *fixture);

    fixture_init(&fixture->store);
    fixture_open(&fixture->store);
    fixture->run = fixture_run(0);
    fixture_fill(&fixture->store, &fixture->run, MESSAGES, SIZE, fixture->places);
    *state = fixture;
    return 0;
}

static uint64_t journal_id(struct damage_fixture *fixture)
{
    struct store_run_info info;

    assert_int_equal(store_run_get(fixture->store.store, &fixture->run, &info), STATUS_OK);
    store_run_info_fini(&info);
    return info.journal_id;
}

struct mark {
    struct store_bad bad;
    bool is_done;
    enum status status;
};

static void on_marked(struct store_bad *bad, enum status status)
{
    struct mark *mark = container_of(bad, struct mark, bad);

    assert_false(mark->is_done);
    mark->is_done = true;
    mark->status = status;
}

static void mark_start(struct damage_fixture *fixture, struct mark *mark, uint64_t record)
{
    *mark = (struct mark){
        .bad = { .run = fixture->run,
                 .journal_id = journal_id(fixture),
                 .record = record,
                 .port = &fixture->store.port,
                 .on_done = on_marked },
    };
    store_mark_bad(fixture->store.store, &mark->bad);
}

static struct mark mark_bad(struct damage_fixture *fixture, uint64_t record)
{
    struct mark mark;

    mark_start(fixture, &mark, record);
    fixture_wait(&fixture->store, &mark.is_done);
    return mark;
}

static bool is_found(struct damage_fixture *fixture, unsigned number)
{
    return fixture_has(&fixture->store, &fixture->run, number, SIZE);
}

static bool is_damaged(struct damage_fixture *fixture, const struct store_place *place,
                       uint64_t offset, uint64_t length)
{
    struct store_file *file;

    assert_int_equal(store_file_open(fixture->store.store, &fixture->run, place->shard,
                                     place->birth, &file, NULL),
                     STATUS_OK);
    bool damaged = store_file_damaged(file, offset, length);
    store_file_release(file);
    return damaged;
}

static struct digest_set all_shards(struct damage_fixture *fixture)
{
    struct store_shard shards[FIXTURE_SHARDS];
    struct digest_set set = { 0 };

    assert_int_equal(store_shards(fixture->store.store, &fixture->run, shards), STATUS_OK);
    for (unsigned i = 0; i < FIXTURE_SHARDS; i++)
        digest_set_merge(&set, &shards[i].set);
    return set;
}

static void check_without(struct damage_fixture *fixture, unsigned missing)
{
    struct digest_set wanted = { 0 }, set = all_shards(fixture);
    const struct store_place *place = &fixture->places[missing];
    struct digest digest;

    for (unsigned i = 0; i < MESSAGES; i++) {
        fixture_digest(i, SIZE, &digest);
        if (i != missing)
            digest_set_add(&wanted, &digest);
        assert_int_equal(is_found(fixture, i), i != missing);
    }
    assert_memory_equal(&set, &wanted, sizeof set);
    assert_true(is_damaged(fixture, place, place->offset, 1));
    assert_true(is_damaged(fixture, place, place->offset + SIZE - 1, 1));
    assert_false(is_damaged(fixture, place, 0, place->offset));
    assert_false(is_damaged(fixture, place, place->offset + SIZE, SIZE));
}

/* Records of a kind that the feed shows, and how many of them void. */
static unsigned count_records(struct damage_fixture *fixture, enum journal_kind kind, unsigned *is_void)
{
    uint64_t id = journal_id(fixture), total;
    struct journal_record record;
    struct buf records;
    unsigned count = 0;

    buf_init(&records, 1 << 20);
    assert_int_equal(store_journal_read(fixture->store.store, &fixture->run, id, 0, false, 0, 1000,
                                        &records, &total, NULL),
                     STATUS_OK);
    *is_void = 0;
    for (uint64_t i = 0; i < total; i++) {
        assert_int_equal(
            journal_record_decode(records.data + i * JOURNAL_RECORD_SIZE, id, i, &record, NULL),
            STATUS_OK);
        if (record.kind != kind)
            continue;
        count++;
        *is_void += record.is_void;
    }
    buf_fini(&records);
    return count;
}

static void a_bad_message_counts_for_nothing_here_and_after_a_restart(void **state)
{
    struct damage_fixture *fixture = *state;
    struct mark mark = mark_bad(fixture, fixture->places[3].record);
    unsigned is_void;

    assert_int_equal(mark.status, STATUS_OK);
    assert_true(mark.bad.is_new);
    assert_int_equal(mark.bad.place.offset, fixture->places[3].offset);
    for (unsigned i = 0; i < 2; i++) {
        struct store_stats stats;

        check_without(fixture, 3);
        assert_int_equal(count_records(fixture, JOURNAL_BAD, &is_void), 1);
        assert_int_equal(count_records(fixture, JOURNAL_STORED, &is_void), MESSAGES);
        assert_int_equal(is_void, 1);
        store_stats(fixture->store.store, &stats);
        assert_int_equal(stats.messages, MESSAGES - 1);
        assert_int_equal(stats.bad, 1);
        fixture_close(&fixture->store);
        fixture_open(&fixture->store);
    }
}

static void a_second_time_is_no_news(void **state)
{
    struct damage_fixture *fixture = *state;
    unsigned is_void;

    mark_bad(fixture, fixture->places[3].record);
    struct mark again = mark_bad(fixture, fixture->places[3].record);
    assert_int_equal(again.status, STATUS_OK);
    assert_false(again.bad.is_new);
    assert_int_equal(count_records(fixture, JOURNAL_BAD, &is_void), 1);
    check_without(fixture, 3);
}

static void all_at_once_are_marked_once_each(void **state)
{
    enum { TIMES = 50 };
    struct damage_fixture *fixture = *state;
    struct mark *marks = calloc(TIMES, sizeof *marks);
    unsigned is_void, news = 0;

    for (unsigned i = 0; i < TIMES; i++)
        mark_start(fixture, &marks[i], fixture->places[i % 2].record);
    for (unsigned i = 0; i < TIMES; i++) {
        fixture_wait(&fixture->store, &marks[i].is_done);
        assert_int_equal(marks[i].status, STATUS_OK);
        news += marks[i].bad.is_new;
    }
    assert_int_equal(news, 2);
    assert_int_equal(count_records(fixture, JOURNAL_BAD, &is_void), 2);
    free(marks);
}

static void what_is_no_message_is_not_marked(void **state)
{
    struct damage_fixture *fixture = *state;
    struct mark mark = mark_bad(fixture, 0); /* a *file* record */
    unsigned is_void;

    assert_int_equal(mark.status, STATUS_NOT_FOUND);
    mark = mark_bad(fixture, 1000);
    assert_int_equal(mark.status, STATUS_NOT_FOUND);
    mark = (struct mark){
        .bad = { .run = fixture->run,
                 .journal_id = journal_id(fixture) ^ 1,
                 .record = fixture->places[0].record,
                 .port = &fixture->store.port,
                 .on_done = on_marked },
    };
    store_mark_bad(fixture->store.store, &mark.bad);
    fixture_wait(&fixture->store, &mark.is_done);
    assert_int_equal(mark.status, STATUS_NOT_FOUND);
    assert_int_equal(count_records(fixture, JOURNAL_BAD, &is_void), 0);
}

static void a_purged_run_has_nothing_to_mark(void **state)
{
    struct damage_fixture *fixture = *state;
    uint64_t id = journal_id(fixture);

    assert_int_equal(fixture_tell(&fixture->store, &fixture->run, 1, 1, RUN_RETIRED), STATUS_OK);
    assert_int_equal(fixture_purge(&fixture->store, &fixture->run, 1, 1), STATUS_OK);
    struct mark mark = {
        .bad = { .run = fixture->run,
                 .journal_id = id,
                 .record = fixture->places[0].record,
                 .port = &fixture->store.port,
                 .on_done = on_marked },
    };
    store_mark_bad(fixture->store.store, &mark.bad);
    fixture_wait(&fixture->store, &mark.is_done);
    assert_int_equal(mark.status, STATUS_NOT_FOUND);
}

static void a_bad_digest_is_stored_anew_behind(void **state)
{
    struct damage_fixture *fixture = *state;
    struct store_place place;

    mark_bad(fixture, fixture->places[3].record);
    assert_int_equal(fixture_put(&fixture->store, &fixture->run, 3, SIZE, &place), STATUS_OK);
    assert_true(place.record > fixture->places[3].record);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(is_found(fixture, 3));
        assert_true(is_damaged(fixture, &fixture->places[3], fixture->places[3].offset, SIZE));
        assert_false(is_damaged(fixture, &place, place.offset, SIZE));
        assert_int_equal(all_shards(fixture).count, MESSAGES);
        fixture_close(&fixture->store);
        fixture_open(&fixture->store);
    }
}

/* The order of the queue is the order of what happens. */
static void appends_around_a_mark_are_known_then_new(void **state)
{
    struct damage_fixture *fixture = *state;
    struct fixture_append *before = fixture_append_new(&fixture->store, &fixture->run, 3, SIZE);
    struct fixture_append *after = fixture_append_new(&fixture->store, &fixture->run, 3, SIZE);
    struct mark mark;

    store_append(fixture->store.store, &before->append);
    mark_start(fixture, &mark, fixture->places[3].record);
    store_append(fixture->store.store, &after->append);
    fixture_wait(&fixture->store, &after->is_done);
    assert_true(before->is_done && mark.is_done && mark.bad.is_new);
    assert_false(before->append.is_new);
    assert_true(after->append.is_new);
    assert_true(is_found(fixture, 3));
    fixture_append_free(before);
    fixture_append_free(after);
}

static void on_bad(void *user, const struct store_bad *bad)
{
    struct damage_fixture *fixture = user;

    assert_int_equal(bad->incarnation, 1);
    fixture->told++;
    fixture->told_digest = bad->digest;
}

static bool count_missing(void *user, const struct store_missing *missing)
{
    struct damage_fixture *fixture = user;

    assert_int_equal(missing->length, SIZE);
    assert_int_equal(missing->incarnation, 1);
    fixture->told += 100;
    fixture->told_digest = missing->digest;
    return true;
}

static void who_repairs_is_told_once_and_finds_what_is_missing(void **state)
{
    struct damage_fixture *fixture = *state;
    struct store *store = fixture->store.store;
    struct digest digest;

    fixture_digest(3, SIZE, &digest);
    store_on_bad(store, on_bad, fixture);
    mark_bad(fixture, fixture->places[3].record);
    mark_bad(fixture, fixture->places[3].record);
    store_on_bad(store, NULL, NULL);
    assert_int_equal(fixture->told, 1);
    assert_memory_equal(&fixture->told_digest, &digest, sizeof digest);
    store_missing_each(store, count_missing, fixture);
    assert_int_equal(fixture->told, 101);
    assert_memory_equal(&fixture->told_digest, &digest, sizeof digest);
    fixture_put(&fixture->store, &fixture->run, 3, SIZE, NULL);
    store_missing_each(store, count_missing, fixture);
    assert_int_equal(fixture->told, 101);
}

/* The journal can't be told, but nobody is served what is known to be wrong. */
static void without_a_journal_it_is_bad_until_the_restart(void **state)
{
    struct damage_fixture *fixture = *state;

    fixture_close(&fixture->store);
    for (unsigned is_full = 0; is_full < 2; is_full++) {
        struct mark mark;

        fake_disk_start(fixture->store.dir);
        fixture_open(&fixture->store);
        if (is_full != 0)
            fake_disk_room(0);
        else
            fake_disk_fail_at(3, EIO); /* read the record, write, flush */
        mark = mark_bad(fixture, fixture->places[3 + is_full].record); /* the first may be told all the same */
        assert_int_equal(mark.status, is_full != 0 ? STATUS_FULL : STATUS_IO);
        assert_true(mark.bad.is_new);
        assert_false(is_found(fixture, 3 + is_full));
        assert_true(is_damaged(fixture, &fixture->places[3 + is_full],
                               fixture->places[3 + is_full].offset, 1));
        fake_disk_room(UINT64_MAX);
        struct store_place place;
        assert_int_equal(fixture_put(&fixture->store, &fixture->run, 100, SIZE, &place),
                         is_full != 0 ? STATUS_OK : STATUS_READ_ONLY);
        fixture_close(&fixture->store);
        fake_disk_stop();
    }
    fixture_open(&fixture->store);
    assert_true(is_found(fixture, 100));
}

static void every_failing_call_leaves_a_message_bad_or_good(void **state)
{
    struct damage_fixture *fixture = *state;
    bool was_hit = true;

    for (uint64_t n = 1; was_hit; n++) {
        unsigned number = (unsigned)(n % MESSAGES), is_void;

        fixture_close(&fixture->store);
        fake_disk_start(fixture->store.dir);
        fixture_open(&fixture->store);
        fake_disk_fail_at(n, EIO);
        struct mark mark = mark_bad(fixture, fixture->places[number].record);
        was_hit = fake_disk_was_hit();
        fake_disk_fail_at(0, 0);
        assert_int_equal(mark.status == STATUS_OK, !was_hit);
        /* what it was told stays, whatever the restart finds */
        fixture_close(&fixture->store);
        fake_disk_stop();
        fixture_open(&fixture->store);
        if (mark.status == STATUS_OK && mark.bad.is_new)
            assert_false(is_found(fixture, number));
        assert_true(count_records(fixture, JOURNAL_BAD, &is_void) <= MESSAGES);
    }
}

/* --- ranges --- */

static void ranges_touch_as_a_map_of_bytes_does(void **state)
{
    enum { BYTES = 300, ADDS = 40 };
    (void)state;

    for (unsigned seed = 1; seed < 300; seed++) {
        struct damage_ranges ranges = { 0 };
        bool map[BYTES] = { false };

        srand(seed);
        for (unsigned add = 0; add < ADDS; add++) {
            unsigned offset = (unsigned)rand() % (BYTES - 20), length = (unsigned)rand() % 20;

            assert_false(damage_ranges_add(&ranges, offset, length));
            memset(map + offset, true, length);
            for (unsigned from = 0; from < BYTES; from += 7) {
                unsigned size = (unsigned)rand() % (BYTES - from + 1);

                assert_int_equal(damage_ranges_touch(&ranges, from, size),
                                 memchr(map + from, true, size) != NULL);
            }
        }
        for (unsigned i = 0; i + 1 < ranges.count; i++)
            assert_true(ranges.ranges[i].end < ranges.ranges[i + 1].offset);
        damage_ranges_fini(&ranges);
    }
}

static void one_range_too_many_is_the_whole_file(void **state)
{
    struct damage_ranges ranges = { 0 };
    (void)state;

    for (uint64_t i = 0; i < DAMAGE_RANGES_MAX; i++)
        assert_false(damage_ranges_add(&ranges, i * 10, 5));
    assert_false(damage_ranges_add(&ranges, 10, 5)); /* is there */
    assert_false(damage_ranges_touch(&ranges, 7, 3));
    assert_true(damage_ranges_add(&ranges, UINT64_C(10) * DAMAGE_RANGES_MAX, 5));
    assert_true(damage_ranges_touch(&ranges, 7, 3));
    assert_true(damage_ranges_touch(&ranges, INT64_MAX - 1, 1));
    assert_false(damage_ranges_touch(&ranges, 7, 0));
    assert_false(damage_ranges_add(&ranges, 3, 5));
    damage_ranges_fini(&ranges);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_bad_message_counts_for_nothing_here_and_after_a_restart),
        TEST(a_second_time_is_no_news),
        TEST(all_at_once_are_marked_once_each),
        TEST(what_is_no_message_is_not_marked),
        TEST(a_purged_run_has_nothing_to_mark),
        TEST(a_bad_digest_is_stored_anew_behind),
        TEST(appends_around_a_mark_are_known_then_new),
        TEST(who_repairs_is_told_once_and_finds_what_is_missing),
        TEST(without_a_journal_it_is_bad_until_the_restart),
        TEST(every_failing_call_leaves_a_message_bad_or_good),
        cmocka_unit_test(ranges_touch_as_a_map_of_bytes_does),
        cmocka_unit_test(one_range_too_many_is_the_whole_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
