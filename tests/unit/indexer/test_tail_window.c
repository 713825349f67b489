/* test_tail_window.c: batches of a reader come back in any order, and the cursor follows what is done without a gap.
 *
 * The catalog is a real one (SQLite); upserts and the rest of a tail are stand-ins: a batch is under way until the test says how it ended. */
#include "indexer/tail_node.h"

#include "indexer/share.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* --- stand-ins --- */

static struct upsert_batch *started[64];
static size_t started_count;
static bool room_of_others = true;

void upsert_start(struct indexer *indexer, struct upsert_batch *batch)
{
    (void)indexer;
    started[started_count++] = batch;
}

bool upserts_have_room(const struct indexer *indexer)
{
    (void)indexer;
    return room_of_others;
}

void share_look(struct indexer *indexer)
{
    (void)indexer;
}

bool tail_cursor_holds(const struct tail_run *run)
{
    return run->has_cursor && run->cursor.journal_id == run->journal_id;
}

uint64_t tail_files_hash(const struct tail_run *run)
{
    (void)run;
    return 1;
}

bool tail_reader_overtaken(const struct tail_reader *reader)
{
    return reader->generation != reader->run->generation;
}

void tail_reader_lost(struct tail_reader *reader)
{
    reader->run->has_cursor = false;
    reader->run->generation++;
}

/* --- a reader that waits for its window --- */

enum { WAIT_STEP, ENDED_STEP };

struct fixture {
    uv_loop_t loop;
    char path[64];
    struct indexer indexer;
    struct tails tails;
    struct tail tail;
    struct tail_run run;
    enum tail_window_wait wait;
    bool ended;
    enum status status;
};

static struct fixture fixture;

static enum fsm_next wait_step(struct fsm *fsm)
{
    (void)fsm;
    return tail_window_wait(&fixture.tail.reader, fixture.wait, ENDED_STEP);
}

static enum fsm_next ended_step(struct fsm *fsm)
{
    fixture.ended = true;
    fixture.status = fsm->status;
    return FSM_END;
}

static const struct fsm_step steps[] = {
    [WAIT_STEP] = { "wait", wait_step, 1u << ENDED_STEP },
    [ENDED_STEP] = { "ended", ended_step, 0 },
};

static void begin_wait(enum tail_window_wait wait)
{
    fixture.wait = wait;
    fixture.ended = false;
    fsm_start(&fixture.tail.reader.fsm, "test", steps, ARRAY_COUNT(steps), WAIT_STEP, ENDED_STEP);
}

static int set_up(void **state)
{
    char uri[80];
    struct error err;
    struct tail_reader *reader = &fixture.tail.reader;

    (void)state;
    fixture = (struct fixture){ .path = "/tmp/gribstore-window-XXXXXX" };
    close(mkstemp(fixture.path));
    unlink(fixture.path);
    snprintf(uri, sizeof uri, "sqlite:%s", fixture.path);
    assert_int_equal(catalog_open(uri, &fixture.indexer.catalog, &err), STATUS_OK);
    uv_loop_init(&fixture.loop);
    fixture.indexer.loop = &fixture.loop;
    list_init(&fixture.tails.list);
    fixture.indexer.tails = &fixture.tails;
    fixture.tail.indexer = &fixture.indexer;
    fixture.tail.reading = true;
    list_append(&fixture.tails.list, &fixture.tail.list);
    snprintf(fixture.tail.id, sizeof fixture.tail.id, "n1");
    assert_int_equal(
        run_key_parse(slice_text("hres"), slice_text("20130408T0000Z"), &fixture.run.run, &err),
        STATUS_OK);
    fixture.run.journal_id = reader->journal_id = 7;
    reader->tail = &fixture.tail;
    reader->run = &fixture.run;
    tail_window_init(reader);
    started_count = 0;
    room_of_others = true;
    return 0;
}

static int tear_down(void **state)
{
    static const char *const suffixes[] = { "", "-wal", "-shm", ".lock" };
    char path[80];

    (void)state;
    work_stop(&fixture.loop);
    uv_run(&fixture.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fixture.loop), 0);
    catalog_close(fixture.indexer.catalog);
    for (unsigned i = 0; i < ARRAY_COUNT(suffixes); i++) {
        snprintf(path, sizeof path, "%s%s", fixture.path, suffixes[i]);
        unlink(path);
    }
    return 0;
}

/* So many more records are taken, the next batch of them under way. */
static void put(uint64_t records)
{
    struct tail_slot *slot = tail_window_free(&fixture.tail.reader);

    assert_non_null(slot);
    slot->batch.count = records < UPSERT_BATCH_MAX ? records : UPSERT_BATCH_MAX;
    fixture.run.scanned += records;
    fixture.run.check = (uint32_t)fixture.run.scanned;
    tail_window_put(&fixture.tail.reader);
}

static void end(size_t batch, enum status status)
{
    struct error err;

    error_init(&err);
    if (status != STATUS_OK)
        error_set(&err, status, "batch %zu", batch);
    started[batch]->on_done(started[batch], status, &err);
}

static void run_loop(void)
{
    uv_run(&fixture.loop, UV_RUN_DEFAULT);
}

static bool keep_cursor(void *data, const struct catalog_cursor *cursor)
{
    *(struct catalog_cursor *)data = *cursor;
    return true;
}

/* The record that the stored cursor stands at; 0: there is none. */
static uint64_t stored(void)
{
    struct catalog_cursor cursor = { .record = 0 };
    struct error err;

    assert_int_equal(catalog_cursor_scan(fixture.indexer.catalog, "n1", keep_cursor, &cursor, &err),
                     STATUS_OK);
    return cursor.record;
}

/* --- claims --- */

static void the_cursor_follows_what_is_done_without_a_gap(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        put(10);
    end(2, STATUS_OK);
    end(1, STATUS_OK);
    run_loop();
    assert_int_equal(stored(), 0);
    end(0, STATUS_OK);
    run_loop();
    assert_int_equal(stored(), 30);
    assert_int_equal(fixture.run.cursor.record, 30);
    assert_true(tail_window_idle(&fixture.tail.reader));
    assert_false(fixture.tail.reader.wrote);
}

static void no_more_batches_begin_than_there_are_places(void **state)
{
    (void)state;
    for (int i = 0; i < TAIL_WINDOW_MAX; i++)
        put(10);
    assert_null(tail_window_free(&fixture.tail.reader));
    begin_wait(TAIL_WINDOW_ROOM);
    end(1, STATUS_OK); /* the first is still there: no place is free */
    assert_false(fixture.ended);
    end(0, STATUS_OK);
    assert_true(fixture.ended);
    assert_int_equal(fixture.status, STATUS_OK);
    for (size_t i = 2; i < TAIL_WINDOW_MAX; i++)
        end(i, STATUS_OK);
}

/* Another node's reader of the run, in the middle of its journal. */
static struct tail beside;
static struct tail_run other_run;

static void add_other(uint64_t front_us)
{
    beside = (struct tail){ .indexer = &fixture.indexer, .reading = true, .id = "n2" };
    other_run = (struct tail_run){ .run = fixture.run.run, .journal_id = 8, .records = 100, .scanned = 10 };
    beside.reader.tail = &beside;
    beside.reader.run = &other_run;
    beside.reader.journal_id = other_run.journal_id;
    tail_window_init(&beside.reader);
    beside.reader.front_us = front_us;
    list_append(&fixture.tails.list, &beside.list);
}

static void put_stamped(struct tail_reader *reader, uint64_t stored_at_us)
{
    struct tail_slot *slot = tail_window_free(reader);

    assert_non_null(slot);
    slot->batch.count = 1;
    slot->records[0].stored_at_us = stored_at_us;
    reader->run->scanned++;
    tail_window_put(reader);
}

static void who_is_ahead_of_a_replica_waits_with_one_batch_until_it_has_come_as_far(void **state)
{
    (void)state;
    add_other(1000);
    put_stamped(&fixture.tail.reader, 2000); /* a first one always begins */
    assert_null(tail_window_free(&fixture.tail.reader));
    begin_wait(TAIL_WINDOW_ROOM);
    put_stamped(&beside.reader, 1500);
    assert_false(fixture.ended);
    put_stamped(&beside.reader, 2000);
    assert_true(fixture.ended);
    assert_non_null(tail_window_free(&fixture.tail.reader));
    for (size_t i = 0; i < started_count; i++)
        end(i, STATUS_OK);
}

static void who_does_not_come_is_not_waited_for(void **state)
{
    (void)state;
    add_other(1000);
    put_stamped(&fixture.tail.reader, 2000);
    assert_null(tail_window_free(&fixture.tail.reader));
    beside.reader.front_ms -= TAIL_COMPANY_MS; /* it stands still */
    assert_non_null(tail_window_free(&fixture.tail.reader));
    beside.reader.front_ms += TAIL_COMPANY_MS;
    other_run.scanned = other_run.records; /* it is at its end */
    assert_non_null(tail_window_free(&fixture.tail.reader));
    other_run.scanned = 10;
    other_run.run.base_time += 3600; /* it reads another run */
    assert_non_null(tail_window_free(&fixture.tail.reader));
    other_run.run.base_time -= 3600;
    beside.reading = false;
    assert_non_null(tail_window_free(&fixture.tail.reader));
    end(0, STATUS_OK);
}

static void a_first_batch_begins_however_many_others_have(void **state)
{
    (void)state;
    room_of_others = false;
    put(10);
    assert_null(tail_window_free(&fixture.tail.reader));
    end(0, STATUS_OK);
    assert_non_null(tail_window_free(&fixture.tail.reader));
}

static void idleness_is_told_when_the_cursor_is_written(void **state)
{
    (void)state;
    put(10);
    put(0); /* nothing to do in them, but the cursor goes on */
    begin_wait(TAIL_WINDOW_IDLE);
    end(0, STATUS_OK);
    assert_false(fixture.ended);
    run_loop();
    assert_true(fixture.ended);
    assert_int_equal(stored(), 10);
}

static void what_was_done_before_a_failure_is_covered_and_nothing_behind_it(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        put(10);
    begin_wait(TAIL_WINDOW_ROOM);
    end(0, STATUS_OK);
    assert_true(fixture.ended); /* a place is free */
    end(2, STATUS_MALFORMED);
    assert_null(tail_window_free(&fixture.tail.reader));
    begin_wait(TAIL_WINDOW_ROOM);
    end(1, STATUS_OK);
    assert_false(fixture.ended); /* the fourth is under way */
    end(3, STATUS_OK);
    run_loop();
    assert_true(fixture.ended);
    assert_int_equal(fixture.status, STATUS_MALFORMED);
    assert_int_equal(stored(), 20);
    assert_true(fixture.tail.reader.wrote);
}

static void no_cursor_is_written_when_the_database_is_what_failed(void **state)
{
    (void)state;
    put(10);
    put(10);
    end(1, STATUS_UNREACHABLE);
    end(0, STATUS_OK);
    begin_wait(TAIL_WINDOW_IDLE);
    assert_true(fixture.ended);
    assert_int_equal(fixture.status, STATUS_UNREACHABLE);
    run_loop();
    assert_int_equal(stored(), 0);
}

static void a_run_that_became_another_gets_no_cursor(void **state)
{
    (void)state;
    put(10);
    put(10);
    fixture.run.generation++;
    end(0, STATUS_OK);
    end(1, STATUS_OK);
    begin_wait(TAIL_WINDOW_IDLE);
    assert_true(fixture.ended);
    run_loop();
    assert_int_equal(stored(), 0);
    assert_true(fixture.tail.reader.wrote);
}

static void a_cursor_is_written_while_batches_go_on(void **state)
{
    size_t batch = 0;

    (void)state;
    for (; batch < 3; batch++)
        put(UPSERT_BATCH_MAX);
    for (size_t done = 0; fixture.run.cursor.record == 0; done++) {
        put(UPSERT_BATCH_MAX);
        end(done, STATUS_OK);
        uv_run(&fixture.loop, UV_RUN_NOWAIT);
        batch++;
        assert_true(done < 2 * TAIL_UNCOVERED_MAX / UPSERT_BATCH_MAX);
        if (done + 1 == TAIL_UNCOVERED_MAX / 2 / UPSERT_BATCH_MAX)
            run_loop();
    }
    assert_int_equal(stored(), TAIL_UNCOVERED_MAX / 2);
    assert_true(fixture.tail.reader.wrote);
    assert_false(tail_window_idle(&fixture.tail.reader));
    for (size_t i = batch - 3; i < batch; i++)
        end(i, STATUS_OK);
}

static void another_ones_cursor_ends_the_reading(void **state)
{
    struct catalog_cursor other = { .node = "n1", .journal_id = 7, .record = 5 }, none = { .rev = 0 };
    struct error err;

    (void)state;
    other.run = fixture.run.run;
    assert_int_equal(catalog_cursor_put(fixture.indexer.catalog, &other, &none, &err), STATUS_OK);
    put(10);
    begin_wait(TAIL_WINDOW_IDLE);
    end(0, STATUS_OK);
    run_loop();
    assert_true(fixture.ended);
    assert_int_equal(fixture.status, STATUS_CONFLICT);
    assert_false(fixture.run.has_cursor);
    assert_int_equal(stored(), 0); /* set back: whoever reads, reads from there */
}

int main(void)
{
#define CLAIM(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CLAIM(the_cursor_follows_what_is_done_without_a_gap),
        CLAIM(no_more_batches_begin_than_there_are_places),
        CLAIM(who_is_ahead_of_a_replica_waits_with_one_batch_until_it_has_come_as_far),
        CLAIM(who_does_not_come_is_not_waited_for),
        CLAIM(a_first_batch_begins_however_many_others_have),
        CLAIM(idleness_is_told_when_the_cursor_is_written),
        CLAIM(what_was_done_before_a_failure_is_covered_and_nothing_behind_it),
        CLAIM(no_cursor_is_written_when_the_database_is_what_failed),
        CLAIM(a_run_that_became_another_gets_no_cursor),
        CLAIM(a_cursor_is_written_while_batches_go_on),
        CLAIM(another_ones_cursor_ends_the_reading),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
