/* catalog_suite_faults.c: a batch that does not go through in one go: others write in between, a part of it fails, its process dies, its
 * documents are too large. Whatever happens, applying it (again) leaves each location there once. */
#include "catalog_suite.h"
#include "indexer/catalog/catalog_ops.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- the database's calls, with something in front of them --- */

static struct {
    struct catalog_ops own;
    const struct catalog_ops *ops;   /* the database's */
    unsigned reads, writes;          /* calls for fields so far */
    size_t read_size, read_size_max; /* bytes of documents: of this call, of the largest */
    record_each *each;
    void *data;
    void (*before_write)(unsigned number);
    size_t fail_behind; /* of the first write so many go through, and it fails; SIZE_MAX: all do */
} between;

static bool between_each(void *data, const struct record *record)
{
    (void)data;
    between.read_size += record->size;
    if (between.read_size > between.read_size_max)
        between.read_size_max = between.read_size;
    return between.each(between.data, record);
}

static enum status between_read(struct catalog *catalog, enum catalog_table table,
                                const struct record_id *ids, size_t count, record_each *each,
                                void *data, struct error *err)
{
    between.reads += table == CATALOG_FIELDS;
    between.read_size = 0;
    between.each = each;
    between.data = data;
    return between.ops->read(catalog, table, ids, count, between_each, NULL, err);
}

static enum status between_write(struct catalog *catalog, enum catalog_table table,
                                 struct record_write *writes, size_t count, struct error *err)
{
    if (table != CATALOG_FIELDS)
        return between.ops->write(catalog, table, writes, count, err);
    if (between.before_write != NULL)
        between.before_write(between.writes);
    if (between.writes++ > 0 || between.fail_behind == SIZE_MAX)
        return between.ops->write(catalog, table, writes, count, err);
    enum status status = between.ops->write(
        catalog, table, writes, count < between.fail_behind ? count : between.fail_behind, err);
    return status != STATUS_OK ? status : error_set(err, STATUS_TIMEOUT, "the answer was lost");
}

static void between_begin(struct catalog *catalog, void (*before_write)(unsigned number), size_t fail_behind)
{
    memset(&between, 0, sizeof between);
    between.ops = catalog->ops;
    between.own = *catalog->ops;
    between.own.read = between_read;
    between.own.write = between_write;
    between.before_write = before_write;
    between.fail_behind = fail_behind;
    catalog->ops = &between.own;
}

static void between_end(struct catalog *catalog)
{
    catalog->ops = between.ops;
}

/* --- others in between --- */

enum { OTHER_FIELDS = 40 };

static struct catalog *other_catalog; /* the same one: its calls below are not looked at */

/* Between the reading and the writing of a batch: one more location, a newer issue, a document that goes, one that comes. */
static void others_write(unsigned number)
{
    if (number > 0)
        return;
    between_end(other_catalog);
    suite_add_fields(other_catalog, &suite_run, 0, 10, "n3", 1);
    suite_apply_one(other_catalog, make_add(&suite_run, 10, 2, 2000, "n3", 1));
    suite_apply_one(other_catalog, make_remove(&suite_run, 11, "n1", 0));
    suite_apply_one(other_catalog, make_remove(&suite_run, 12, "n1", 0));
    suite_add_fields(other_catalog, &suite_run, 12, 1, "n1", 2); /* gone, and made again */
    suite_add_fields(other_catalog, &suite_run, OTHER_FIELDS, 5, "n3", 1);
    struct field_event renamed = make_add(&suite_run, 13, 1, 1000, "n1", 1);
    make_set(&renamed.issue, "name", json_string("Another name"));
    suite_apply_one(other_catalog, renamed);
    other_catalog->ops = &between.own;
}

static const char *name_of(struct catalog *catalog, unsigned field, char name[64])
{
    json_t *document = suite_document(catalog, &suite_run, field, NULL);

    snprintf(name, 64, "%s", json_string_value(json_object_get(document, "name")));
    json_decref(document);
    return name;
}

/* Whatever this batch expects to meet: the first time it inserts, the second it reads first. */
static void what_changes_between_reading_and_writing_is_kept(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct catalog *catalog = other_catalog = fixture->catalog;
    struct field_event events[OTHER_FIELDS + 5];
    char name[64];

    suite_add_fields(catalog, &suite_run, 0, OTHER_FIELDS, "n1", 1);
    suite_add_fields(catalog, &suite_run, 0, OTHER_FIELDS, "n2", 1); /* from here on the batches of n2 read first */
    for (unsigned i = 0; i < ARRAY_COUNT(events); i++)
        events[i] = make_add(&suite_run, i, 1, 1000, "n2", 2);
    between_begin(catalog, others_write, SIZE_MAX);
    suite_apply(catalog, events, ARRAY_COUNT(events));
    between_end(catalog);
    assert_true(between.writes > 1 && between.reads > 1);

    struct suite_counts counts = suite_count(catalog, &suite_run);
    assert_int_equal(counts.documents, OTHER_FIELDS + 5);
    assert_int_equal(counts.issues, OTHER_FIELDS + 5 + 1);
    /* n1: without 11 and with 12 anew; n2 twice, but 41 to 44 once; n3: ten, a newer issue, five. */
    assert_int_equal(counts.locations, (OTHER_FIELDS - 1) + 2 * OTHER_FIELDS + 5 + 10 + 1 + 5);
    assert_string_equal(name_of(catalog, 13, name), "A parameter"); /* the last to name it was this batch */
}

static void a_copy_that_arrives_later_changes_nothing_else(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct catalog *catalog = fixture->catalog;
    static const char *const nodes[] = { "n5", "n1", "n9", "n3" }; /* not in their order */
    struct field_document merged;
    struct error err;

    for (unsigned i = 0; i < ARRAY_COUNT(nodes); i++) {
        struct field_event event = make_add(&suite_run, 3, 1, 1000 + i, nodes[i], i + 1);
        bool changed;
        if (i == 0)
            field_document_init(&merged, &event.id, &event.run);
        assert_int_equal(field_merge(&merged, &event, &changed, &err), STATUS_OK);
        suite_apply_one(catalog, event);
    }
    json_t *wanted = field_to_json(&merged), *found = suite_document(catalog, &suite_run, 3, NULL);
    assert_true(json_equal(wanted, found));
    json_decref(wanted);
    json_decref(found);
    field_document_fini(&merged);
    /* What an index is asked for is still there, too. */
    static char param[] = "u";
    static struct query_value value = { .text = param };
    struct catalog_query query = {
        .terms_count = 1,
        .terms = { { .key = "param", .type = QUERY_TEXT, .count = 1, .values = &value } },
    };
    uint64_t count;
    assert_ok(catalog_count(catalog, &query, &count, &suite_err));
    assert_int_equal(count, 1);
}

/* --- failures --- */

static void a_batch_that_failed_half_way_is_applied_again(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct catalog *catalog = fixture->catalog;
    static const size_t behind[] = { 0, 1, 20, 40, 60 };
    struct field_event events[60];
    struct error err;

    for (unsigned round = 0; round < ARRAY_COUNT(behind); round++) {
        unsigned first = round * 100;
        suite_add_fields(catalog, &suite_run, first, 30, "n1", 1);
        for (unsigned i = 0; i < ARRAY_COUNT(events); i++)
            events[i] = make_add(&suite_run, first + i, 1, 1000, "n2", 1);
        between_begin(catalog, NULL, behind[round]);
        assert_int_equal(catalog_apply(catalog, events, ARRAY_COUNT(events), &err), STATUS_TIMEOUT);
        between_end(catalog);
        assert_ok(catalog_apply(catalog, events, ARRAY_COUNT(events), &suite_err));
        suite_apply(catalog, events, ARRAY_COUNT(events));
        struct suite_counts counts = suite_count(catalog, &suite_run);
        assert_int_equal(counts.documents, 60 * (round + 1));
        assert_int_equal(counts.issues, 60 * (round + 1));
        assert_int_equal(counts.locations, 90 * (round + 1));
    }
}

/* --- kill -9 --- */

enum { KILLED_FIELDS = 60 };

static struct {
    unsigned call, at;
    const struct catalog_ops *ops;
    struct catalog_ops own;
} killed;

/* The database's call that it is killed in front of is never made. */
static void killed_counts(void)
{
    if (killed.call++ != killed.at)
        return;
    if (write(STDOUT_FILENO, "k", 1) == 1)
        for (;;)
            pause();
    _exit(1);
}

static enum status killed_read(struct catalog *catalog, enum catalog_table table,
                               const struct record_id *ids, size_t count, record_each *each,
                               void *data, struct error *err)
{
    killed_counts();
    return killed.ops->read(catalog, table, ids, count, each, data, err);
}

static enum status killed_write(struct catalog *catalog, enum catalog_table table,
                                struct record_write *writes, size_t count, struct error *err)
{
    killed_counts();
    return killed.ops->write(catalog, table, writes, count, err);
}

/* Half of them are there: some are inserted, what met a document is read and written. */
static void killed_events(struct field_event *events)
{
    for (unsigned i = 0; i < KILLED_FIELDS; i++)
        events[i] = make_add(&suite_run, i, 1, 1000, "n2", 1);
}

int suite_be_killed(const char *uri, const char *at)
{
    struct field_event events[KILLED_FIELDS];
    struct catalog *catalog;

    suite_run = make_run("hres", "20130408T0000Z");
    if (catalog_open(uri, &catalog, NULL) != STATUS_OK)
        return 1;
    killed.at = (unsigned)atoi(at);
    killed.ops = catalog->ops;
    killed.own = *catalog->ops;
    killed.own.read = killed_read;
    killed.own.write = killed_write;
    catalog->ops = &killed.own;
    killed_events(events);
    enum status status = catalog_apply(catalog, events, KILLED_FIELDS, NULL);
    for (unsigned i = 0; i < KILLED_FIELDS; i++)
        field_event_fini(&events[i]);
    catalog->ops = killed.ops;
    catalog_close(catalog);
    return status == STATUS_OK ? 0 : 1;
}

/* true: it was killed in front of that call; false: it made fewer, and ended well. */
static bool kill_at(const char *uri, unsigned at)
{
    int told[2], ended;
    char one, text[16];

    snprintf(text, sizeof text, "%u", at);
    assert_int_equal(pipe(told), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(told[1], STDOUT_FILENO);
        close(told[0]);
        close(told[1]);
        execl("/proc/self/exe", "suite", "--be-killed", uri, text, (char *)NULL);
        _exit(1);
    }
    close(told[1]);
    bool told_so = read(told[0], &one, 1) == 1;
    if (told_so)
        kill(child, SIGKILL);
    close(told[0]);
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_true(told_so ? WIFSIGNALED(ended) : WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
    return told_so;
}

static void an_indexer_killed_in_front_of_any_call_loses_and_doubles_nothing(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct field_event events[KILLED_FIELDS];
    bool was_killed = true;
    unsigned kills = 0;

    for (unsigned at = 0; was_killed; at++) {
        size_t removed;
        assert_ok(catalog_remove_run(fixture->catalog, &suite_run, UINT64_MAX, SIZE_MAX, &removed,
                                     &suite_err));
        suite_add_fields(fixture->catalog, &suite_run, 0, KILLED_FIELDS / 2, "n1", 1);
        catalog_close(fixture->catalog); /* SQLite's is one indexer's at a time */
        was_killed = kill_at(fixture->uri, at);
        kills += was_killed;
        assert_ok(catalog_open(fixture->uri, &fixture->catalog, &suite_err));
        struct suite_counts counts = suite_count(fixture->catalog, &suite_run);
        assert_int_equal(counts.documents, counts.issues);
        assert_in_range(counts.documents, KILLED_FIELDS / 2, KILLED_FIELDS);
        killed_events(events); /* its cursor was not written: who comes next applies the batch again */
        suite_apply(fixture->catalog, events, KILLED_FIELDS);
        counts = suite_count(fixture->catalog, &suite_run);
        assert_int_equal(counts.documents, KILLED_FIELDS);
        assert_int_equal(counts.issues, KILLED_FIELDS);
        assert_int_equal(counts.locations, KILLED_FIELDS + KILLED_FIELDS / 2);
    }
    assert_true(kills >= 3); /* inserting, reading what is there, writing it */
}

/* --- sizes --- */

enum { MEGABYTE = 1000000 };

/* A text of `size` bytes that is no other issue's. */
static json_t *large_text(size_t size, unsigned number)
{
    char *text = malloc(size + 1);

    assert_non_null(text);
    memset(text, 'a' + (int)(number % 26), size);
    text[size] = '\0';
    json_t *value = json_string(text);
    free(text);
    return value;
}

static struct field_event make_large(unsigned field, unsigned issue, const char *node, size_t size)
{
    struct field_event event = make_add(&suite_run, field, issue, 1000 * issue, node, 1);

    make_set(&event.issue, "large", large_text(size, issue));
    return event;
}

static void a_batch_of_large_documents_goes_in_pieces(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct catalog *catalog = fixture->catalog;
    struct field_event events[36];

    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < ARRAY_COUNT(events); i++)
            events[i] = make_large(i, 1, round == 0 ? "n1" : "n2", MEGABYTE);
        between_begin(catalog, NULL, SIZE_MAX);
        suite_apply(catalog, events, ARRAY_COUNT(events));
        between_end(catalog);
        assert_true(between.read_size_max < CATALOG_BATCH_SIZE_MAX + 2 * MEGABYTE);
        assert_int_equal(between.reads, 2 * round);
    }
    struct suite_counts counts = suite_count(catalog, &suite_run);
    assert_int_equal(counts.documents, ARRAY_COUNT(events));
    assert_int_equal(counts.locations, 2 * ARRAY_COUNT(events));
}

static void a_document_that_is_full_loses_its_oldest_issues(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct catalog *catalog = fixture->catalog;
    struct field_event events[20];
    uint64_t dropped[2];

    for (int again = 0; again < 2; again++) {
        for (unsigned i = 0; i < ARRAY_COUNT(events); i++)
            events[i] = make_large(0, i + 1, "n1", MEGABYTE);
        suite_apply(catalog, events, ARRAY_COUNT(events));
        json_t *document = suite_document(catalog, &suite_run, 0, NULL);
        const json_t *older = json_object_get(document, "older");
        size_t count = json_array_size(older);
        assert_in_range(count, 4, 7); /* of 8 MiB in all */
        assert_int_equal(json_integer_value(json_object_get(document, "stored_at")), 20000);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(json_integer_value(json_object_get(json_array_get(older, i), "stored_at")),
                             1000 * (19 - i));
        dropped[again] = count;
        json_decref(document);
        suite_add_fields(catalog, &suite_run, 1, 10, "n1", 1); /* others are taken beside it */
    }
    assert_int_equal(dropped[0], dropped[1]);
    assert_int_equal(suite_count(catalog, &suite_run).documents, 11);
}

static void a_current_issue_that_no_document_holds_is_refused(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct field_event event = make_large(0, 1, "n1", CATALOG_DOCUMENT_SIZE_MAX);
    struct error err;

    assert_int_equal(catalog_apply(fixture->catalog, &event, 1, &err), STATUS_TOO_LARGE);
    field_event_fini(&event);
    assert_int_equal(suite_count(fixture->catalog, &suite_run).documents, 0);
}

/* In one batch and in many; what was there first stays, and what goes makes room. */
static void of_a_thousand_locations_a_document_holds_as_many_as_it_may(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct catalog *catalog = fixture->catalog;
    struct field_event *events = calloc(1000, sizeof *events);

    assert_non_null(events);
    for (unsigned i = 0; i < 1000; i++) {
        char node[16];
        snprintf(node, sizeof node, "n%u", i);
        events[i] = make_add(&suite_run, 0, 1, 1000, node, 1);
    }
    for (unsigned at = 0; at < 1000; at += 100)
        assert_ok(catalog_apply(catalog, events + at, 100, &suite_err));
    assert_int_equal(suite_count(catalog, &suite_run).locations, FIELD_LOCATIONS_MAX);
    suite_apply_one(catalog, make_remove(&suite_run, 0, "n0", 0));
    assert_int_equal(suite_count(catalog, &suite_run).locations, FIELD_LOCATIONS_MAX - 1);
    suite_apply(catalog, events, 1000);
    struct suite_counts counts = suite_count(catalog, &suite_run);
    assert_int_equal(counts.issues, 1);
    assert_int_equal(counts.locations, FIELD_LOCATIONS_MAX);
    free(events);
}

int suite_run_faults(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, suite_setup, suite_teardown)
    static const struct CMUnitTest faults[] = {
        CASE(what_changes_between_reading_and_writing_is_kept),
        CASE(a_copy_that_arrives_later_changes_nothing_else),
        CASE(a_batch_that_failed_half_way_is_applied_again),
        CASE(an_indexer_killed_in_front_of_any_call_loses_and_doubles_nothing),
        CASE(a_batch_of_large_documents_goes_in_pieces),
        CASE(a_document_that_is_full_loses_its_oldest_issues),
        CASE(a_current_issue_that_no_document_holds_is_refused),
        CASE(of_a_thousand_locations_a_document_holds_as_many_as_it_may),
    };
#undef CASE

    return cmocka_run_group_tests(faults, NULL, NULL);
}
