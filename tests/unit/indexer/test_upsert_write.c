/* test_upsert_write.c: what is ready at once is written at once, and what fails together is tried alone. On SQLite. */
#include "catalog_file.h"
#include "indexer/upsert_write.h"

#include "indexer/census.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* --- stand-ins for what is not of interest --- */

static size_t touched;

void census_touch(struct indexer *indexer, const struct run_key *run)
{
    (void)indexer, (void)run;
    touched++; /* once a write */
}

/* --- a writer and batches of one message --- */

enum { BATCHES = 12 };

struct ready {
    struct upsert_write write;
    struct upsert_batch batch;
    struct upsert_record record;
    struct upsert_item item;
    struct decoded decoded;
    struct decoded_field field;
    unsigned told;
    size_t turn; /* which write it was in */
    enum status status;
};

static struct fixture {
    uv_loop_t loop;
    char path[64];
    struct indexer indexer;
    struct upsert_writer *writer;
    struct run_key run;
    struct ready ready[BATCHES];
} fixture;

static void add_run(void)
{
    struct catalog_run run = { .run = fixture.run, .info = { 1, 1, RUN_FILLING } };
    struct run_info none = { 0 };
    struct error err;

    assert_int_equal(catalog_run_put(fixture.indexer.catalog, &run, &none, &err), STATUS_OK);
}

static int set_up(void **state)
{
    char uri[80];
    struct error err;

    (void)state;
    fixture = (struct fixture){ .path = "/tmp/gribstore-write-XXXXXX" };
    close(mkstemp(fixture.path));
    unlink(fixture.path);
    snprintf(uri, sizeof uri, "sqlite:%s", fixture.path);
    assert_int_equal(catalog_open(uri, &fixture.indexer.catalog, &err), STATUS_OK);
    assert_int_equal(run_key_parse(slice_text("hres"), slice_text("20130408T0000Z"), &fixture.run, &err),
                     STATUS_OK);
    uv_loop_init(&fixture.loop);
    fixture.indexer.loop = &fixture.loop;
    fixture.writer = upsert_writer_new(&fixture.indexer);
    assert_non_null(fixture.writer);
    touched = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    upsert_writer_free(fixture.writer);
    work_stop(&fixture.loop);
    uv_run(&fixture.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fixture.loop), 0);
    catalog_close(fixture.indexer.catalog);
    catalog_file_remove(fixture.path);
    return 0;
}

static void on_done(struct upsert_write *write, enum status status, const struct error *err)
{
    struct ready *ready = container_of(write, struct ready, write);

    (void)err;
    ready->told++;
    ready->turn = touched;
    ready->status = status;
}

/* A message of a field, on a node; keys: what it decoded to. */
static struct ready *make(unsigned at, unsigned message, const char *node, const char *keys)
{
    struct ready *ready = &fixture.ready[at];

    *ready = (struct ready){ .record = { .offset = 100, .length = 50, .birth = 3, .stored_at_us = 7 } };
    ready->batch = (struct upsert_batch){
        .run = fixture.run, .incarnation = 1, .count = 1, .records = &ready->record
    };
    put_u32(ready->record.digest.bytes, message);
    put_u32(ready->field.identity, message);
    snprintf(ready->batch.node, sizeof ready->batch.node, "%s", node);
    snprintf(ready->batch.url, sizeof ready->batch.url, "http://%s", node);
    ready->field.keys = (char *)(uintptr_t)keys; /* read only */
    ready->field.keys_size = strlen(keys);
    ready->decoded = (struct decoded){ .fields_count = 1, .fields = &ready->field };
    ready->item.decoded = &ready->decoded;
    ready->write = (struct upsert_write){ .batch = &ready->batch, .items = &ready->item, .on_done = on_done };
    return ready;
}

static void run_all(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        upsert_writer_add(fixture.writer, &fixture.ready[i].write);
    uv_run(&fixture.loop, UV_RUN_DEFAULT);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(fixture.ready[i].told, 1);
}

static bool count_locations(void *data, const struct field_document *document)
{
    unsigned *seen = data;

    seen[0]++;
    seen[1] += document->issues[0].locations_count;
    return true;
}

static void assert_fields(unsigned documents, unsigned locations)
{
    unsigned seen[2] = { 0 };
    struct error err;

    assert_int_equal(catalog_scan_run(fixture.indexer.catalog, &fixture.run, count_locations, seen, &err),
                     STATUS_OK);
    assert_int_equal(seen[0], documents);
    assert_int_equal(seen[1], locations);
}

/* --- claims --- */

static void replicas_that_are_ready_together_are_one_write(void **state)
{
    (void)state;
    add_run();
    make(0, 1, "n1", "{\"param\":\"t\"}");
    make(1, 1, "n2", "{\"param\":\"t\"}");
    make(2, 2, "n2", "{\"param\":\"q\"}");
    run_all(3);
    assert_int_equal(touched, 1);
    assert_fields(2, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(fixture.ready[i].status, STATUS_OK);
}

static void batches_that_hold_the_same_messages_come_together(void **state)
{
    (void)state;
    static struct upsert_record records[4][UPSERT_BATCH_MAX];
    static struct upsert_item items[UPSERT_BATCH_MAX];
    static const char *const nodes[] = { "n1", "n1", "n2", "n2" };

    for (unsigned i = 0; i < UPSERT_BATCH_MAX; i++)
        items[i].headless = "none";
    for (unsigned at = 0; at < 4; at++) {
        struct ready *ready = make(at, at, nodes[at], "{}");
        for (unsigned i = 0; i < UPSERT_BATCH_MAX; i++)
            records[at][i].stored_at_us = at % 2 * UPSERT_BATCH_MAX + i;
        ready->batch.records = records[at];
        ready->batch.count = UPSERT_BATCH_MAX;
        ready->write.items = items;
        upsert_writer_add(fixture.writer, &ready->write);
    }
    uv_run(&fixture.loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture.ready[0].turn, fixture.ready[2].turn);
    assert_int_equal(fixture.ready[1].turn, fixture.ready[3].turn);
    assert_int_not_equal(fixture.ready[0].turn, fixture.ready[1].turn);
    assert_int_equal(touched, 2);
}

static void runs_are_not_mixed(void **state)
{
    (void)state;
    add_run();
    make(0, 1, "n1", "{\"param\":\"t\"}");
    make(1, 2, "n1", "{\"param\":\"t\"}")->batch.run.base_time += 3600; /* of which the catalog knows nothing */
    make(2, 3, "n1", "{\"param\":\"t\"}")->batch.incarnation = 2;
    run_all(3);
    assert_int_equal(touched, 3);
    assert_int_equal(fixture.ready[0].status, STATUS_OK);
    assert_int_equal(fixture.ready[1].status, STATUS_STALE_RUN);
    assert_int_equal(fixture.ready[2].status, STATUS_STALE_RUN);
    assert_fields(1, 1);
}

/* A write of which nobody knew whether it was done is tried again, and is too late by then. */
static void what_an_earlier_try_left_goes_with_a_run_that_was_purged(void **state)
{
    (void)state;
    struct run_info was = { 1, 1, RUN_FILLING };
    struct catalog_run purged = { .run = fixture.run, .info = { 1, 2, RUN_PURGED } };
    struct error err;

    add_run();
    make(0, 1, "n1", "{\"param\":\"t\"}");
    run_all(1);
    assert_fields(1, 1);
    assert_int_equal(catalog_run_put(fixture.indexer.catalog, &purged, &was, &err), STATUS_OK);
    make(0, 1, "n1", "{\"param\":\"t\"}");
    run_all(1);
    assert_int_equal(fixture.ready[0].status, STATUS_STALE_RUN);
    assert_fields(0, 0);
}

static void one_that_fails_takes_no_other_with_it(void **state)
{
    (void)state;
    add_run();
    make(0, 1, "n1", "{\"param\":\"t\"}");
    make(1, 2, "n2", "no object");
    make(2, 3, "n3", "{\"param\":\"t\"}");
    run_all(3);
    assert_int_equal(fixture.ready[0].status, STATUS_OK);
    assert_int_not_equal(fixture.ready[1].status, STATUS_OK);
    assert_int_equal(fixture.ready[2].status, STATUS_OK);
    assert_int_equal(touched, 1 + 3);
    assert_fields(2, 2);
}

static void a_write_takes_no_more_than_it_may(void **state)
{
    (void)state;
    static struct upsert_record records[UPSERT_BATCH_MAX];
    static struct upsert_item items[UPSERT_BATCH_MAX];

    for (unsigned i = 0; i < UPSERT_BATCH_MAX; i++)
        items[i].headless = "none";
    for (unsigned at = 0; at < 4; at++) {
        struct ready *ready = make(at, at, "n1", "{}");
        ready->batch.records = records;
        ready->batch.count = UPSERT_BATCH_MAX;
        ready->write.items = items;
    }
    run_all(4);
    assert_int_equal(touched, 2); /* three batches, one batch; that the catalog has no such run is the same to it */
}

int main(void)
{
#define CLAIM(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CLAIM(replicas_that_are_ready_together_are_one_write),
        CLAIM(batches_that_hold_the_same_messages_come_together),
        CLAIM(runs_are_not_mixed),
        CLAIM(what_an_earlier_try_left_goes_with_a_run_that_was_purged),
        CLAIM(one_that_fails_takes_no_other_with_it),
        CLAIM(a_write_takes_no_more_than_it_may),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
