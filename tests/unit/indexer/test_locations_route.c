/* test_locations_route.c: every place of a run as lines, over a real socket, from a real catalog; more than a chunk of them. */
#include "../proto/http/http_fixture.h"
#include "catalog_file.h"
#include "field_make.h"
#include "indexer/locations_route.h"
#include "indexer/run_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { FIELDS = 5000, QUARANTINED = 700 }; /* some 200 bytes a line: three chunks */

static char folder[] = "/tmp/gribstore-locations-XXXXXX";
static struct fixture fixture;
static struct indexer indexer;
static struct run_key run, other;

static const struct http_route routes[] = {
    { HTTP_GET_, "/v1/runs/{source}/{base_time}/locations", ROLE_READ, "locations", locations_route },
    { 0, NULL, ROLE_NONE, NULL, NULL },
};

static void add_fields(const struct run_key *key, unsigned first, unsigned count, unsigned issue,
                       const char *node)
{
    struct field_event *events = calloc(count, sizeof *events);
    struct error err;

    assert_non_null(events);
    for (unsigned i = 0; i < count; i++)
        events[i] = make_add(key, first + i, issue, issue * 1000, node, 1);
    if (catalog_apply(indexer.catalog, events, count, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    for (unsigned i = 0; i < count; i++)
        field_event_fini(&events[i]);
    free(events);
}

static void add_quarantined(const struct run_key *key, unsigned first, unsigned count)
{
    struct quarantine_entry *entries = calloc(count, sizeof *entries);
    struct field_location *locations = calloc(count, sizeof *locations);

    assert_non_null(entries);
    assert_non_null(locations);
    for (unsigned i = 0; i < count; i++) {
        locations[i] = make_location(key, "n1", 2, first + i);
        entries[i] = (struct quarantine_entry){ .run = *key,
                                                .incarnation = 1,
                                                .digest = make_digest(first + i, 9),
                                                .length = 100,
                                                .stored_at_us = 5,
                                                .reason = "no",
                                                .eccodes = "2",
                                                .locations_count = 1,
                                                .locations = &locations[i] };
    }
    assert_int_equal(catalog_quarantine_put_all(indexer.catalog, entries, count, NULL), STATUS_OK);
    free(entries);
    free(locations);
}

static void add_run(const struct run_key *key)
{
    const struct catalog_run known = { .run = *key, .info = { 1, 1, RUN_READY } };
    const struct run_info none = { .incarnation = 0 };

    assert_int_equal(catalog_run_put(indexer.catalog, &known, &none, NULL), STATUS_OK);
}

static int start(void **state)
{
    struct http_server_options options = {
        .loop = &fixture.loop, .listen = "127.0.0.1:0", .routes = routes, .context = &indexer
    };
    struct error err;

    (void)state;
    run = make_run("hres", "20130408T0000Z");
    other = make_run("hres", "20130408T1200Z");
    indexer.catalog = catalog_file_open(folder);
    add_run(&run);
    add_run(&other);
    add_fields(&run, 0, FIELDS, 1, "n1");
    add_fields(&run, 0, 10, 2, "n1"); /* ten have an older issue */
    add_fields(&run, 0, 10, 2, "n2");
    add_quarantined(&run, FIELDS, QUARANTINED);
    add_fields(&other, 0, 7, 1, "n1");
    add_quarantined(&other, 0, 5);
    uv_loop_init(&fixture.loop);
    indexer.loop = &fixture.loop;
    indexer.draining = true; /* nothing follows from the runs */
    if (run_states_start(&indexer, &err) != STATUS_OK)
        return -1;
    return http_server_start(&options, &fixture.server, &err) == STATUS_OK ? 0 : -1;
}

static void on_stopped(struct indexer *stopped)
{
    (void)stopped;
}

static int stop(void **state)
{
    (void)state;
    run_states_stop(&indexer, on_stopped);
    work_stop(&fixture.loop);
    fixture_stop(&fixture);
    catalog_file_close(indexer.catalog, folder);
    return 0;
}

static struct answer ask(const char *run_name)
{
    char request[512];

    snprintf(request, sizeof request, "GET /v1/runs/%s/locations HTTP/1.1\r\nHost: a\r\n\r\n", run_name);
    return client_once(&fixture, request);
}

struct seen {
    size_t fields, older, quarantined, lines;
    long long said;
};

static void take_line(struct seen *seen, const char *line, size_t size)
{
    json_t *json = json_loadb(line, size, JSON_REJECT_DUPLICATES, NULL);
    const char *as = json_string_value(json_object_get(json, "as"));

    assert_non_null(json);
    assert_int_equal(seen->said, -1); /* nothing is behind the end */
    if (json_is_true(json_object_get(json, "end"))) {
        seen->said = json_integer_value(json_object_get(json, "locations"));
    } else {
        struct digest digest;
        assert_true(digest_parse(slice_text(json_string_value(json_object_get(json, "digest"))), &digest));
        seen->lines++;
        seen->fields += strcmp(as, "field") == 0;
        seen->older += strcmp(as, "older") == 0;
        seen->quarantined += strcmp(as, "quarantine") == 0;
    }
    json_decref(json);
}

static struct seen look(const char *run_name)
{
    struct answer answer = ask(run_name);
    struct seen seen = { .said = -1 };

    assert_int_equal(answer.status, 200);
    for (size_t at = 0; at < answer.size;) {
        const uint8_t *end = memchr(answer.body + at, '\n', answer.size - at);
        assert_non_null(end);
        take_line(&seen, (const char *)answer.body + at, (size_t)(end - answer.body) - at);
        at = (size_t)(end - answer.body) + 1;
    }
    answer_free(&answer);
    return seen;
}

static void every_place_of_a_run_comes_once_over_several_chunks(void **state)
{
    struct seen seen = look("hres/20130408T0000Z");

    (void)state;
    assert_int_equal(seen.fields, FIELDS + 10);
    assert_int_equal(seen.older, 10);
    assert_int_equal(seen.quarantined, QUARANTINED);
    assert_int_equal(seen.said, seen.lines);
}

static void what_is_of_another_run_does_not_come(void **state)
{
    struct seen seen = look("hres/20130408T1200Z");

    (void)state;
    assert_int_equal(seen.fields, 7);
    assert_int_equal(seen.quarantined, 5);
    assert_int_equal(seen.said, 12);
}

static void a_run_that_is_not_known_is_not_found(void **state)
{
    static const char *const runs[] = { "hres/20130409T0000Z", "gfs/20130408T0000Z", "hres/never" };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(runs); i++) {
        struct answer answer = ask(runs[i]);
        assert_int_equal(answer.status, i < 2 ? 404 : 400);
        answer_free(&answer);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_place_of_a_run_comes_once_over_several_chunks),
        cmocka_unit_test(what_is_of_another_run_does_not_come),
        cmocka_unit_test(a_run_that_is_not_known_is_not_found),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
