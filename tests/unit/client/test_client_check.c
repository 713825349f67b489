/* test_client_check.c: what differs between index and nodes, and what must not be said. */
#include "client/check_findings.h"
#include "proto/cluster_map.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

enum { NODES = 4, COPIES_MAX = 32 };

/* Two shards, two copies: shard 0 is n0's and n1's, shard 1 n1's and n2's; n3 owns nothing. */
static const char map_text[] =
    "{\"cluster\":\"00000000000000000000000000000001\",\"epoch\":1,\"shards\":2,\"replicas\":2,\"min_replicas\":1,\"indexers\":[],"
    "\"nodes\":[{\"id\":\"n0\",\"url\":\"http://h0:1\",\"host\":\"h0\",\"colo\":\"a\",\"weight\":100,\"state\":\"in\"},"
    "{\"id\":\"n1\",\"url\":\"http://h1:1\",\"host\":\"h1\",\"colo\":\"a\",\"weight\":100,\"state\":\"in\"},"
    "{\"id\":\"n2\",\"url\":\"http://h2:1\",\"host\":\"h2\",\"colo\":\"a\",\"weight\":100,\"state\":\"in\"},"
    "{\"id\":\"n3\",\"url\":\"http://h3:1\",\"host\":\"h3\",\"colo\":\"a\",\"weight\":100,\"state\":\"in\"}],"
    "\"eras\":[{\"from\":null,\"owners\":[[\"n0\",\"n1\"],[\"n1\",\"n2\"]]}]}";

/* "a0" is message a on node 0, in its place; "a0*" in another one; "a0!" damaged there (of the index only); "aX" on no node. */
static void copies_of(const char *text, struct check_copies *copies)
{
    struct error err;

    *copies = (struct check_copies){ 0 };
    for (; *text != '\0'; text++) {
        struct check_copy copy = { .birth = 7, .offset = 100, .length = 10 };
        if (*text == ' ')
            continue;
        memset(copy.digest.bytes, *text++ - 'a', sizeof copy.digest.bytes);
        copy.node = *text == 'X' ? CHECK_NODE_NONE : (uint16_t)(*text - '0');
        if (text[1] == '*' || text[1] == '!') {
            text++;
            copy.offset += *text == '*';
            copy.bad = *text == '!';
        }
        assert_int_equal(check_copies_add(copies, &copy, &err), STATUS_OK);
    }
    check_copies_sort(copies);
}

static void items_print(const struct check_items *items, char *text, size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < items->count; i++) {
        const struct check_item *item = &items->items[i];
        used += (size_t)snprintf(text + used, size - used, "%s%c %s%s%.1s", i > 0 ? ", " : "",
                                 'a' + item->digest.bytes[0], check_kind_info(item->kind)->name,
                                 item->node == CHECK_NODE_NONE ? "" : " ",
                                 item->node == CHECK_NODE_NONE ? "" : &"0123"[item->node]);
        assert_true(used < size);
    }
}

static uint64_t superseded_before_us, held_stamp_us;

static struct check_items compare(const char *index, const char *held, const char *listed)
{
    struct check_copies named, there;
    struct check_items found = { 0 };
    bool is_listed[NODES];
    struct error err;
    struct cluster_map *map = map_parse(map_text, strlen(map_text), &err);

    assert_non_null(map);
    for (unsigned i = 0; i < NODES; i++)
        is_listed[i] = strchr(listed, (int)('0' + i)) != NULL;
    copies_of(index, &named);
    copies_of(held, &there);
    for (size_t i = 0; i < there.count; i++) /* a later copy of a message may have a later stamp */
        there.items[i].stored_at_us = held_stamp_us + there.items[i].node;
    const struct check_frame frame = { map, 0, is_listed, superseded_before_us };
    assert_int_equal(
        check_shard(&frame, 0, named.items, named.count, there.items, there.count, &found, &err),
        STATUS_OK);
    check_copies_fini(&named);
    check_copies_fini(&there);
    map_unref(map);
    return found;
}

static void each_difference_has_its_name_and_nothing_else_is_said(void **state)
{
    static const struct {
        const char *index, *held, *listed, *found;
    } cases[] = {
        { "", "", "0123", "" },
        { "a0 a1 b0 b1", "a0 a1 b0 b1", "0123", "" },
        { "a0 a0 a1", "a0 a1", "0123", "" }, /* of two fields in one message */
        /* the index */
        { "a0 a1 a2", "a0 a1", "0123", "a dangling 2" },
        { "a0 a1 aX", "a0 a1", "0123", "a dangling" },
        { "a0", "a0 a1", "0123", "a unindexed 1" },
        { "", "a0 a1", "0123", "a unindexed 0, a unindexed 1" },
        { "a0* a1", "a0 a1", "0123", "a misplaced 0" },
        { "a0 a0* a1", "a0 a1", "0123", "a misplaced 0" },
        { "a0 a1 b0 c1", "a0 a1 b0 b1 c0 c1", "0123", "b unindexed 1, c unindexed 0" },
        /* copies */
        { "a0", "a0", "0123", "a missing-copy 1, a under-replicated" },
        { "a0 a3", "a0 a3", "0123", "a missing-copy 1, a surplus 3" },
        { "a2 a3", "a2 a3", "0123", "a missing-copy 0, a missing-copy 1, a surplus 2, a surplus 3" },
        { "a0 a1 a3", "a0 a1 a3", "0123", "a surplus 3" },
        /* lost */
        { "a0 a1", "", "0123", "a lost, a dangling 0, a dangling 1" },
        { "a0!", "", "0123", "a lost" },
        { "a0! a1", "a1", "0123", "a missing-copy 0, a under-replicated" },
        { "a0! a0 a1", "a0 a1", "0123", "" }, /* it was stored anew since */
        /* nothing follows from a node that was not listed */
        { "a0 a1", "a0", "023", "" },
        { "a0 a1", "", "0", "a dangling 0" },
        { "a0 a1", "", "", "" },
        { "a0!", "", "012", "" },
        { "a0", "a0", "023", "" },
        { "a0", "a0", "01", "a missing-copy 1" }, /* 2 or 3 may stand in */
        { "a0 a1 a3", "a0 a1", "012", "" },
        { "", "a3", "3", "a unindexed 3, a surplus 3" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct check_items found = compare(cases[i].index, cases[i].held, cases[i].listed);
        char text[512];
        items_print(&found, text, sizeof text);
        if (strcmp(text, cases[i].found) != 0)
            fail_msg("index '%s', nodes '%s', of %s: '%s' in place of '%s'", cases[i].index,
                     cases[i].held, cases[i].listed, text, cases[i].found);
        check_items_fini(&found);
    }
}

static void found_is(const char *index, const char *held, const char *wanted)
{
    struct check_items found = compare(index, held, "0123");
    char text[512];

    items_print(&found, text, sizeof text);
    assert_string_equal(text, wanted);
    check_items_fini(&found);
}

static void an_older_issue_than_there_is_room_for_is_a_note_of_its_own(void **state)
{
    (void)state;
    held_stamp_us = 1000;
    superseded_before_us = 1002;
    found_is("", "a0 a1", "a superseded 0, a superseded 1");
    found_is("", "a0 a3", "a unindexed 0, a unindexed 3, a missing-copy 1, a surplus 3"); /* n3's stamp is as new */
    found_is("a0", "a0 a1", "a unindexed 1"); /* it has its place, so a node's is missing */
    found_is("", "a1", "a missing-copy 0, a under-replicated, a superseded 1");
    superseded_before_us = 1001;
    found_is("", "a0 a1", "a unindexed 0, a unindexed 1");
    superseded_before_us = held_stamp_us = 0;
    assert_int_equal(check_kind_info(CHECK_SUPERSEDED)->weight, CHECK_NOTE);
}

static void only_what_is_in_both_looks_stays(void **state)
{
    static const struct {
        const char *index[2], *held[2], *kept; /* at the first look, at the second */
    } cases[] = {
        { { "", "a0 a1" }, { "a0 a1", "a0 a1" }, "" },       /* the index has caught up */
        { { "", "a0 a1" }, { "a0 a1", "a0 a1 b0 b1" }, "" }, /* b came meanwhile: the next check's */
        { { "a0 a1", "" }, { "", "" }, "" },                 /* a was purged */
        { { "", "" }, { "a0", "a0 a1" }, "a unindexed 0" },  /* the second copy came */
        { { "", "a0" },
          { "a0 a1 c0", "a0 a1 b1 c0" },
          "a unindexed 1, c unindexed 0, c missing-copy 1, c under-replicated" },
        { { "a0*", "a0" }, { "a0 a1", "a0 a1" }, "a unindexed 1" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct check_items first = compare(cases[i].index[0], cases[i].held[0], "0123");
        struct check_items second = compare(cases[i].index[1], cases[i].held[1], "0123");
        char text[512];
        check_items_keep(&first, &second);
        items_print(&first, text, sizeof text);
        assert_string_equal(text, cases[i].kept);
        check_items_fini(&first);
        check_items_fini(&second);
    }
}

static void messages_of_one_kind_run_and_node_are_one_finding(void **state)
{
    struct check_items items = compare("a0* a2 b0*", "a0 a1 b0 b1", "0123");
    struct cluster_map *map = map_parse(map_text, strlen(map_text), NULL);
    struct run_key run = { .source = "hres" };
    struct check_report report = { 0 };
    struct error err;

    (void)state;
    assert_non_null(map);
    assert_int_equal(check_report_add_items(&report, map, &run, &items, &err), STATUS_OK);
    assert_non_null(check_report_add(&report, CHECK_SURPLUS, &run, "n3"));
    check_report_sort(&report);
    /* dangling n2; misplaced n0 of a and b; unindexed n1 of both; surplus, which is a note, is last */
    static const struct {
        enum check_kind kind;
        const char *node;
        unsigned count, digests;
    } expected[] = { { CHECK_DANGLING, "n2", 1, 1 },
                     { CHECK_MISPLACED, "n0", 2, 2 },
                     { CHECK_UNINDEXED, "n1", 2, 0 },
                     { CHECK_SURPLUS, "n3", 0, 0 } };
    assert_int_equal(report.findings_count, ARRAY_COUNT(expected));
    for (size_t i = 0; i < ARRAY_COUNT(expected); i++) {
        assert_int_equal(report.findings[i].kind, expected[i].kind);
        assert_string_equal(report.findings[i].node, expected[i].node);
        assert_int_equal(report.findings[i].count, expected[i].count);
        assert_int_equal(report.findings[i].digests_count, expected[i].digests);
    }
    assert_int_equal(check_report_weight(&report), CHECK_DIFFERENCE);
    check_report_fini(&report);
    check_items_fini(&items);
    map_unref(map);
}

static void a_report_is_as_heavy_as_its_heaviest_finding(void **state)
{
    static const struct {
        enum check_kind kind;
        enum check_weight weight;
    } cases[] = { { CHECK_SURPLUS, CHECK_NOTE },
                  { CHECK_NOT_LISTED, CHECK_UNSEEN },
                  { CHECK_MAP, CHECK_DIFFERENCE },
                  { CHECK_LOST, CHECK_LOSS },
                  { CHECK_RETIREMENT, CHECK_LOSS } };
    struct check_report report = { 0 };

    (void)state;
    assert_int_equal(check_report_weight(&report), CHECK_NOTE);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        assert_non_null(check_report_add(&report, cases[i].kind, NULL, "n1"));
        assert_int_equal(check_report_weight(&report), cases[i].weight);
    }
    check_report_fini(&report);
}

static void every_kind_has_a_name_and_says_what_it_means(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CHECK_KINDS; i++) {
        const struct check_kind_info *info = check_kind_info((enum check_kind)i);
        assert_non_null(info->name);
        assert_non_null(info->explanation);
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(info->name, check_kind_info((enum check_kind)j)->name);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_difference_has_its_name_and_nothing_else_is_said),
        cmocka_unit_test(an_older_issue_than_there_is_room_for_is_a_note_of_its_own),
        cmocka_unit_test(only_what_is_in_both_looks_stays),
        cmocka_unit_test(messages_of_one_kind_run_and_node_are_one_finding),
        cmocka_unit_test(a_report_is_as_heavy_as_its_heaviest_finding),
        cmocka_unit_test(every_kind_has_a_name_and_says_what_it_means),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
