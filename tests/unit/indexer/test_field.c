/* test_field.c: what events make of a document, in whatever order and however often they come. */
#include "field_make.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct run_key run;

static int set_run(void **state)
{
    (void)state;
    run = make_run("hres", "20130408T0000Z");
    return 0;
}

static struct field_document empty_document(unsigned field)
{
    struct field_document document;
    struct field_id id;

    make_field_id(&run, field, &id);
    field_document_init(&document, &id, &run);
    return document;
}

/* Merges and frees the event. */
static bool merge(struct field_document *document, struct field_event event)
{
    struct error err;
    bool changed;

    if (field_merge(document, &event, &changed, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    field_event_fini(&event);
    return changed;
}

static void assert_digest(const struct field_issue *issue, unsigned field, unsigned number)
{
    struct digest digest = make_digest(field, number);

    assert_memory_equal(issue->digest.bytes, digest.bytes, DIGEST_SIZE);
}

/* --- ids --- */

static void an_id_is_taken_apart_as_it_was_made(void **state)
{
    struct field_id id, again;
    struct run_key other;

    (void)state;
    make_field_id(&run, 7, &id);
    assert_int_equal(id.size, strlen("hres") + 1 + 8 + GRIB_IDENTITY_SIZE);
    assert_true(field_id_parse(id.bytes, id.size, &again, &other));
    assert_int_equal(run_key_compare(&run, &other), 0);
    assert_memory_equal(again.bytes, id.bytes, id.size);
    for (size_t size = 0; size < id.size; size++)
        assert_false(field_id_parse(id.bytes, size, &again, &other));
    uint8_t longer[FIELD_ID_SIZE_MAX + 1] = { 0 };
    memcpy(longer, id.bytes, id.size);
    assert_false(field_id_parse(longer, id.size + 1, &again, &other));
    assert_false(field_id_parse(longer, sizeof longer, &again, &other));
}

/* --- additions --- */

static void the_newest_issue_is_the_current_one(void **state)
{
    struct field_document document = empty_document(1);

    (void)state;
    assert_true(merge(&document, make_add(&run, 1, 1, 2000, "n1", 1)));
    assert_true(merge(&document, make_add(&run, 1, 2, 3000, "n1", 1)));
    assert_true(merge(&document, make_add(&run, 1, 3, 1000, "n1", 1)));
    assert_int_equal(document.issues_count, 3);
    assert_digest(&document.issues[0], 1, 2);
    assert_digest(&document.issues[1], 1, 1);
    assert_digest(&document.issues[2], 1, 3);
    field_document_fini(&document);
}

static void the_greater_digest_decides_between_equal_stamps(void **state)
{
    struct digest one = make_digest(1, 1), two = make_digest(1, 2);
    unsigned greater = digest_compare(&one, &two) > 0 ? 1 : 2;

    (void)state;
    for (unsigned first = 1; first <= 2; first++) {
        struct field_document document = empty_document(1);
        merge(&document, make_add(&run, 1, first, 2000, "n1", 1));
        merge(&document, make_add(&run, 1, 3 - first, 2000, "n1", 1));
        assert_digest(&document.issues[0], 1, greater);
        field_document_fini(&document);
    }
}

static void an_adopted_issue_yields_to_any_stamp(void **state)
{
    struct field_document document = empty_document(1);

    (void)state;
    merge(&document, make_add(&run, 1, 1, 0, "n1", 1));
    merge(&document, make_add(&run, 1, 2, 1, "n1", 1));
    assert_digest(&document.issues[0], 1, 2);
    /* And takes the stamp that another node knows, never a lower one. */
    assert_true(merge(&document, make_add(&run, 1, 1, 500, "n2", 1)));
    assert_digest(&document.issues[0], 1, 1);
    assert_false(merge(&document, make_add(&run, 1, 1, 0, "n1", 1)));
    assert_int_equal(document.issues[0].stored_at_us, 500);
    assert_int_equal(document.issues[0].locations_count, 2);
    field_document_fini(&document);
}

static void what_is_known_changes_nothing(void **state)
{
    struct field_document document = empty_document(1);

    (void)state;
    assert_true(merge(&document, make_add(&run, 1, 1, 1000, "n1", 1)));
    assert_false(merge(&document, make_add(&run, 1, 1, 1000, "n1", 1)));
    assert_true(merge(&document, make_add(&run, 1, 1, 1000, "n2", 1)));
    assert_false(merge(&document, make_add(&run, 1, 1, 1000, "n2", 1)));
    assert_false(merge(&document, make_add(&run, 1, 1, 1000, "n1", 1)));
    assert_int_equal(document.issues_count, 1);
    assert_int_equal(document.issues[0].locations_count, 2);
    field_document_fini(&document);
}

static void locations_stand_in_the_order_of_node_file_offset(void **state)
{
    static const struct {
        const char *node;
        unsigned file;
    } order[] = { { "n1", 1 }, { "n1", 2 }, { "n2", 1 }, { "n2", 3 }, { "n3", 2 } };
    struct field_document document = empty_document(1);

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(order); i++) {
        unsigned at = (i * 3 + 2) % ARRAY_COUNT(order);
        merge(&document, make_add(&run, 1, 1, 1000, order[at].node, order[at].file));
    }
    assert_int_equal(document.issues[0].locations_count, ARRAY_COUNT(order));
    for (unsigned i = 0; i < ARRAY_COUNT(order); i++) {
        struct field_location wanted = make_location(&run, order[i].node, order[i].file, 1);
        assert_string_equal(document.issues[0].locations[i].node, wanted.node);
        assert_string_equal(document.issues[0].locations[i].file, wanted.file);
    }
    field_document_fini(&document);
}

static void a_node_that_moved_gets_its_new_url(void **state)
{
    struct field_document document = empty_document(1);
    struct field_event moved = make_add(&run, 1, 1, 1000, "n1", 1);

    (void)state;
    merge(&document, make_add(&run, 1, 1, 1000, "n1", 1));
    snprintf(moved.issue.locations[0].url, sizeof moved.issue.locations[0].url, "http://elsewhere/data/x");
    assert_true(merge(&document, moved));
    assert_int_equal(document.issues[0].locations_count, 1);
    assert_string_equal(document.issues[0].locations[0].url, "http://elsewhere/data/x");
    field_document_fini(&document);
}

static void an_issue_without_a_location_is_none(void **state)
{
    struct field_document document = empty_document(1);
    struct field_event event = make_add(&run, 1, 1, 1000, "n1", 1);

    (void)state;
    event.issue.locations_count = 0;
    assert_false(merge(&document, event));
    assert_int_equal(document.issues_count, 0);
    field_document_fini(&document);
}

static void one_location_too_many_is_left_out_and_counted(void **state)
{
    struct field_document document = empty_document(1);
    struct error err;
    bool changed;

    (void)state;
    for (unsigned i = 0; i < FIELD_LOCATIONS_MAX; i++)
        assert_true(merge(&document, make_add(&run, 1, 1, 1000, "n1", i + 1)));
    assert_false(merge(&document, make_add(&run, 1, 1, 1000, "n1", 1)));
    struct field_event event = make_add(&run, 1, 1, 1000, "n2", 1);
    assert_int_equal(field_merge(&document, &event, &changed, &err), STATUS_OK);
    assert_false(changed);
    assert_int_equal(document.dropped, 1);
    assert_int_equal(document.issues[0].locations_count, FIELD_LOCATIONS_MAX);
    field_event_fini(&event);
    field_document_fini(&document);
}

static void the_oldest_issue_too_many_leaves(void **state)
{
    struct field_document document = empty_document(1);

    (void)state;
    for (unsigned i = 0; i <= FIELD_ISSUES_MAX; i++)
        merge(&document, make_add(&run, 1, i, 1000 + i, "n1", 1));
    assert_int_equal(document.issues_count, FIELD_ISSUES_MAX);
    assert_int_equal(document.issues[0].stored_at_us, 1000 + FIELD_ISSUES_MAX);
    assert_int_equal(document.issues[FIELD_ISSUES_MAX - 1].stored_at_us, 1001);
    field_document_fini(&document);
}

static void a_reopened_run_leaves_nothing_of_the_purged_one(void **state)
{
    struct field_document document = empty_document(1);
    struct field_event reopened = make_add(&run, 1, 1, 1000, "n2", 9);

    (void)state;
    merge(&document, make_add(&run, 1, 1, 5000, "n1", 1));
    merge(&document, make_add(&run, 1, 2, 9000, "n1", 1));
    reopened.issue.incarnation = 2;
    assert_true(merge(&document, reopened));
    assert_int_equal(document.issues_count, 1);
    assert_int_equal(document.issues[0].incarnation, 2);
    assert_int_equal(document.issues[0].stored_at_us, 1000);
    assert_int_equal(document.issues[0].locations_count, 1);
    assert_false(merge(&document, make_add(&run, 1, 2, 9000, "n1", 1))); /* a late word of the old one */
    field_document_fini(&document);
}

static void numbers_past_63_bits_are_refused(void **state)
{
    (void)state;
    for (int which = 0; which < 6; which++) {
        struct field_document document = empty_document(1);
        struct field_event event = make_add(&run, 1, 1, 1000, "n1", 1);
        uint64_t *numbers[] = { &event.issue.stored_at_us, &event.issue.length, &event.issue.incarnation,
                                &event.issue.locations[0].offset, &event.issue.locations[0].length };
        bool changed;
        if (which < 5)
            *numbers[which] = UINT64_C(1) << 63;
        else
            event.issue.sub = 0;
        assert_int_equal(field_merge(&document, &event, &changed, NULL), STATUS_BAD_VALUE);
        field_event_fini(&event);
        field_document_fini(&document);
    }
}

/* --- keys --- */

static void a_decoder_can_not_name_our_members_nor_operators(void **state)
{
    static const char *const bad[] = { "$where",    "a.b",       "",      "_id",      "rev",
                                       "locations", "digest",    "older", "1st",      "id",
                                       "source",    "base_time", "a b",   "stored_at" };
    struct field_document document = empty_document(1);
    struct field_event event = make_add(&run, 1, 1, 1000, "n1", 1);

    (void)state;
    json_t *json = field_keys_to_json(event.issue.keys);
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++)
        json_object_set_new(json, bad[i], json_string("x"));
    json_object_set_new(json, "nested", json_pack("{s:s}", "$gt", ""));
    json_object_set_new(json, "list", json_array());
    json_object_set_new(json, "none", json_null());
    char *text = json_dumps(json, JSON_COMPACT);
    field_keys_unref(event.issue.keys);
    assert_int_equal(field_keys_parse(text, strlen(text), &event.issue.keys, NULL), STATUS_OK);
    assert_true(merge(&document, event));
    struct field_keys *clean = make_keys(&run, 1);
    assert_true(field_keys_equal(document.issues[0].keys, clean));
    field_keys_unref(clean);
    free(text);
    json_decref(json);
    field_document_fini(&document);
}

/* NULL: it lacks the key. Takes the reference. */
static void assert_value(const struct field_issue *issue, const char *name, json_t *wanted)
{
    json_t *value = make_value(issue, name);

    if (!(value == NULL && wanted == NULL) && !json_equal(value, wanted))
        fail_msg("%s is another", name);
    json_decref(value);
    json_decref(wanted);
}

static void keys_of_a_newer_decoder_hold(void **state)
{
    struct field_document document = empty_document(1);
    struct field_event event = make_add(&run, 1, 1, 1000, "n1", 1);

    (void)state;
    merge(&document, make_add(&run, 1, 1, 1000, "n1", 1));
    make_set(&event.issue, "eccodes", json_string("2.50.0"));
    make_set(&event.issue, "timespan", json_string("none"));
    assert_true(merge(&document, event));
    assert_value(&document.issues[0], "timespan", json_string("none"));
    field_document_fini(&document);
}

/* --- names --- */

static struct field_event make_rename(unsigned field, unsigned number, json_t *keys)
{
    struct field_event event = { .kind = FIELD_RENAME, .run = run };

    make_field_id(&run, field, &event.id);
    event.issue.digest = make_digest(field, number);
    event.issue.sub = 1;
    event.issue.keys = make_keys_of(keys);
    return event;
}

static void new_names_change_names_alone(void **state)
{
    struct field_document document = empty_document(1);

    (void)state;
    merge(&document, make_add(&run, 1, 1, 2000, "n1", 1));
    merge(&document, make_add(&run, 1, 2, 3000, "n1", 1));
    json_t *grid = make_value(&document.issues[0], "Ni");
    assert_non_null(grid);
    assert_true(merge(&document, make_rename(1, 2,
                                             json_pack("{s:s,s:i,s:i,s:f}", "param", "new", "paramId",
                                                       7, "Ni", 1, "referenceValue", 0.5))));
    assert_int_equal(document.issues_count, 2);
    assert_int_equal(document.issues[0].locations_count, 1);
    assert_int_equal(document.issues[0].stored_at_us, 3000);
    assert_digest(&document.issues[0], 1, 2);
    assert_value(&document.issues[0], "param", json_string("new"));
    assert_value(&document.issues[0], "Ni", grid); /* made up: not taken */
    assert_value(&document.issues[0], "referenceValue", NULL);
    assert_value(&document.issues[0], "units", NULL); /* the decoder of now has none */
    assert_value(&document.issues[1], "param", json_string(make_params[1]));
    assert_false(
        merge(&document, make_rename(1, 2, json_pack("{s:s,s:i}", "param", "new", "paramId", 7))));
    field_document_fini(&document);
}

static void an_issue_that_has_gone_does_not_come_back_by_its_names(void **state)
{
    struct field_document document = empty_document(1);

    (void)state;
    assert_false(merge(&document, make_rename(1, 1, json_pack("{s:s}", "param", "new"))));
    assert_int_equal(document.issues_count, 0);
    merge(&document, make_add(&run, 1, 1, 2000, "n1", 1));
    assert_false(merge(&document, make_rename(1, 2, json_pack("{s:s}", "param", "new"))));
    assert_int_equal(document.issues_count, 1);
    field_document_fini(&document);
}

/* --- removals --- */

static void a_removal_takes_what_it_names(void **state)
{
    static const struct {
        const char *node;
        unsigned file;
        int issue; /* -1: any */
        unsigned left;
    } cases[] = {
        { "n1", 0, -1, 2 }, { "n1", 1, -1, 4 }, { "n1", 1, 1, 5 },  { "n1", 0, 2, 4 },
        { "n2", 2, -1, 6 }, { "n3", 0, -1, 6 }, { "n2", 1, -1, 4 },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct field_document document = empty_document(1);
        for (unsigned issue = 1; issue <= 2; issue++) {
            merge(&document, make_add(&run, 1, issue, issue * 1000, "n1", 1));
            merge(&document, make_add(&run, 1, issue, issue * 1000, "n1", 2));
            merge(&document, make_add(&run, 1, issue, issue * 1000, "n2", 1));
        }
        struct field_event event = make_remove(&run, 1, cases[i].node, cases[i].file);
        event.has_digest = cases[i].issue >= 0;
        if (event.has_digest)
            event.digest = make_digest(1, (unsigned)cases[i].issue);
        assert_int_equal(merge(&document, event), cases[i].left != 6);
        unsigned left = 0;
        for (unsigned j = 0; j < document.issues_count; j++)
            left += document.issues[j].locations_count;
        assert_int_equal(left, cases[i].left);
        field_document_fini(&document);
    }
}

static void an_issue_without_locations_leaves_and_an_older_one_is_current(void **state)
{
    struct field_document document = empty_document(1);

    (void)state;
    merge(&document, make_add(&run, 1, 1, 1000, "n1", 1));
    merge(&document, make_add(&run, 1, 2, 2000, "n2", 1));
    assert_true(merge(&document, make_remove(&run, 1, "n2", 0)));
    assert_int_equal(document.issues_count, 1);
    assert_digest(&document.issues[0], 1, 1);
    assert_true(merge(&document, make_remove(&run, 1, "n1", 0)));
    assert_int_equal(document.issues_count, 0);
    assert_false(merge(&document, make_remove(&run, 1, "n1", 0)));
    field_document_fini(&document);
}

/* --- any order --- */

enum { NODES = 4, JOURNAL_MAX = 12, ISSUES = 5 };

/* What one node said of the field, in its order. */
struct journal {
    unsigned count;
    struct field_event events[JOURNAL_MAX];
};

/* One node's files hold issues; later some files go and some messages turn out bad. Node 0 keeps all it has, so that
 * the stamp of a digest that others adopted does not leave with its only witness. */
static void journal_make(struct journal *journal, unsigned node)
{
    static const char *const names[NODES] = { "n0", "n1", "n2", "n3" };

    journal->count = 0;
    while (journal->count < JOURNAL_MAX) {
        unsigned issue = (unsigned)rand() % ISSUES, file = 1 + (unsigned)rand() % 3;
        uint64_t stamp = 1000 + issue % 2; /* equal stamps too */
        struct field_event *event = &journal->events[journal->count];
        if (node == 0 && journal->count < ISSUES) {
            *event = make_add(&run, 1, journal->count, 1000 + journal->count % 2, names[0], file);
        } else if (node == 0 || rand() % 3 != 0) {
            *event = make_add(&run, 1, issue, node != 0 && rand() % 4 == 0 ? 0 : stamp, names[node], file);
        } else {
            *event = make_remove(&run, 1, names[node], rand() % 5 == 0 ? 0 : file);
            event->has_digest = rand() % 2 == 0;
            event->digest = make_digest(1, issue);
        }
        journal->count++;
    }
}

static void merge_kept(struct field_document *document, const struct field_event *event)
{
    bool changed;

    assert_int_equal(field_merge(document, event, &changed, NULL), STATUS_OK);
}

static json_t *one_after_the_other(struct journal *journals)
{
    struct field_document document = empty_document(1);

    for (unsigned node = 0; node < NODES; node++)
        for (unsigned i = 0; i < journals[node].count; i++)
            merge_kept(&document, &journals[node].events[i]);
    json_t *json = field_to_json(&document);
    field_document_fini(&document);
    return json;
}

/* Nodes take turns at random; now and then one is read again from an earlier record, as after a crash before the cursor. */
static json_t *shuffled_with_repeats(struct journal *journals)
{
    struct field_document document = empty_document(1);
    unsigned at[NODES] = { 0 }, done = 0, repeats = 0;

    while (done < NODES) {
        unsigned node = (unsigned)rand() % NODES;
        if (at[node] == journals[node].count)
            continue;
        merge_kept(&document, &journals[node].events[at[node]++]);
        if (rand() % 8 == 0 && repeats++ < 20)
            at[node] = (unsigned)rand() % (at[node] + 1);
        done = 0;
        for (unsigned i = 0; i < NODES; i++)
            done += at[i] == journals[i].count;
    }
    json_t *json = field_to_json(&document);
    field_document_fini(&document);
    return json;
}

static void nodes_may_interleave_and_repeat_as_they_like(void **state)
{
    (void)state;
    srand(20130408);
    for (int round = 0; round < 200; round++) {
        struct journal journals[NODES];
        for (unsigned node = 0; node < NODES; node++)
            journal_make(&journals[node], node);
        json_t *wanted = one_after_the_other(journals);
        for (int order = 0; order < 5; order++) {
            json_t *got = shuffled_with_repeats(journals);
            if (!json_equal(wanted, got))
                fail_msg("round %d, order %d differ:\n%s\n%s", round, order,
                         json_dumps(wanted, JSON_INDENT(1)), json_dumps(got, JSON_INDENT(1)));
            json_decref(got);
        }
        json_decref(wanted);
        for (unsigned node = 0; node < NODES; node++)
            for (unsigned i = 0; i < journals[node].count; i++)
                field_event_fini(&journals[node].events[i]);
    }
}

/* --- JSON --- */

static struct field_document three_issues(void)
{
    struct field_document document = empty_document(6);
    struct field_event other = make_add(&run, 6, 2, 2000, "n2", 2);

    merge(&document, make_add(&run, 6, 1, 3000, "n1", 1));
    merge(&document, make_add(&run, 6, 1, 3000, "n2", 1));
    make_set(&other.issue, "bitsPerValue", json_integer(24));
    make_set(&other.issue, "packingType", json_string("grid_ccsds"));
    make_set(&other.issue, "scale", json_real(0.1));
    make_set(&other.issue, "units", NULL);
    merge(&document, other);
    merge(&document, make_add(&run, 6, 3, 1000, "n3", 3));
    return document;
}

static void a_document_comes_back_from_its_json(void **state)
{
    struct field_document document = three_issues(), again;
    struct error err;

    (void)state;
    json_t *json = field_to_json(&document);
    char *text = json_dumps(json, 0);
    json_t *parsed = json_loads(text, 0, NULL);
    if (field_from_json(parsed, &again, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(again.id.size, document.id.size);
    assert_memory_equal(again.id.bytes, document.id.bytes, document.id.size);
    assert_int_equal(again.issues_count, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(field_keys_equal(again.issues[i].keys, document.issues[i].keys));
        assert_int_equal(again.issues[i].locations_count, document.issues[i].locations_count);
        assert_int_equal(again.issues[i].stored_at_us, document.issues[i].stored_at_us);
        assert_int_equal(again.issues[i].length, document.issues[i].length);
        assert_int_equal(again.issues[i].incarnation, 1);
    }
    json_t *twice = field_to_json(&again);
    assert_true(json_equal(json, twice));
    json_decref(json);
    json_decref(parsed);
    json_decref(twice);
    free(text);
    field_document_fini(&document);
    field_document_fini(&again);
}

static void answers_have_the_shape_that_was_agreed(void **state)
{
    struct field_document document = three_issues();
    const char *url;
    json_int_t offset, stored_at;
    json_t *older, *json = field_to_json(&document);

    (void)state;
    assert_int_equal(json_unpack(json, "{s:[{s:s, s:I, s:i, s:s, s:s}, {}], s:I, s:o}", "locations",
                                 "url", &url, "offset", &offset, "length", &(int){ 0 }, "node",
                                 &(const char *){ 0 }, "file", &(const char *){ 0 }, "stored_at",
                                 &stored_at, "older", &older),
                     0);
    assert_string_equal(url, "http://n1:8410/data/hres/20130408T0000Z/0001-6f3a92c1d0e40001.grib");
    assert_int_equal(offset, 6 * 4158);
    assert_int_equal(stored_at, 3000);
    assert_string_equal(json_string_value(json_object_get(json, "base_time")), "2013-04-08T00:00:00Z");
    assert_string_equal(json_string_value(json_object_get(json, "valid_time")), "2013-04-08T06:00:00Z");
    assert_string_equal(json_string_value(json_object_get(json, "param")), "t");
    assert_int_equal(json_array_size(older), 2);
    /* The first says what differs, and that it has no units; the second is like the current one. */
    assert_int_equal(json_object_size(json_array_get(older, 0)), 5 + 4);
    assert_true(json_is_null(json_object_get(json_array_get(older, 0), "units")));
    assert_int_equal(json_object_size(json_array_get(older, 1)), 5);
    json_decref(json);
    field_document_fini(&document);
}

static void json_that_is_no_document_is_refused(void **state)
{
    static const struct {
        const char *key;
        const char *value; /* JSON; NULL: removed */
    } cases[] = {
        { "source", NULL },         { "source", "\"../x\"" }, { "base_time", "\"today\"" },
        { "digest", "\"abc\"" },    { "digest", NULL },       { "sub", "-1" },
        { "sub", "70000" },         { "length", "1.5" },      { "locations", "[]" },
        { "locations", "[1]" },     { "locations", NULL },    { "locations", "[{\"url\":\"x\"}]" },
        { "older", "[7]" },         { "id", "\"00\"" },       { "id", "\"zz\"" },
        { "incarnation", "\"1\"" }, { "stored_at", "-5" },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct field_document document = three_issues(), again;
        json_t *json = field_to_json(&document);
        if (cases[i].value == NULL)
            json_object_del(json, cases[i].key);
        else
            json_object_set_new(json, cases[i].key, json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
        struct error err = { .status = STATUS_OK };
        if (field_from_json(json, &again, &err) == STATUS_OK)
            fail_msg("%s: %s was taken", cases[i].key, cases[i].value);
        assert_int_not_equal(err.status, STATUS_OK);
        assert_int_equal(again.issues_count, 0);
        json_decref(json);
        field_document_fini(&document);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_is_taken_apart_as_it_was_made),
        cmocka_unit_test(the_newest_issue_is_the_current_one),
        cmocka_unit_test(the_greater_digest_decides_between_equal_stamps),
        cmocka_unit_test(an_adopted_issue_yields_to_any_stamp),
        cmocka_unit_test(what_is_known_changes_nothing),
        cmocka_unit_test(locations_stand_in_the_order_of_node_file_offset),
        cmocka_unit_test(a_node_that_moved_gets_its_new_url),
        cmocka_unit_test(an_issue_without_a_location_is_none),
        cmocka_unit_test(one_location_too_many_is_left_out_and_counted),
        cmocka_unit_test(the_oldest_issue_too_many_leaves),
        cmocka_unit_test(a_reopened_run_leaves_nothing_of_the_purged_one),
        cmocka_unit_test(numbers_past_63_bits_are_refused),
        cmocka_unit_test(a_decoder_can_not_name_our_members_nor_operators),
        cmocka_unit_test(keys_of_a_newer_decoder_hold),
        cmocka_unit_test(new_names_change_names_alone),
        cmocka_unit_test(an_issue_that_has_gone_does_not_come_back_by_its_names),
        cmocka_unit_test(a_removal_takes_what_it_names),
        cmocka_unit_test(an_issue_without_locations_leaves_and_an_older_one_is_current),
        cmocka_unit_test(nodes_may_interleave_and_repeat_as_they_like),
        cmocka_unit_test(a_document_comes_back_from_its_json),
        cmocka_unit_test(answers_have_the_shape_that_was_agreed),
        cmocka_unit_test(json_that_is_no_document_is_refused),
    };

    return cmocka_run_group_tests(tests, set_run, NULL);
}
