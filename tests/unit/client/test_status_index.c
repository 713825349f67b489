/* test_status_index.c: what indexers say of the index, as a table and lines. */
#include "client/cli/status_index.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#define INDEXERS                                                                                   \
    "\"indexers\":[{\"name\":\"one\",\"self\":%s,\"nodes\":[\"n1\"]},{\"name\":\"two\",\"self\":%s,\"nodes\":[\"n2\",\"n3\"]}]"
#define TAIL                                                                                       \
    "{\"id\":\"%s\",\"reachable\":%s,\"caught_up\":%s,\"records_behind\":%d,\"seconds_behind\":%d}"

static char texts[2][4096];
static struct probe servers[2];
static struct probes probes = { .items = servers, .count = 2 };

static struct buf printed(void)
{
    struct buf buf;

    buf_init(&buf, 1 << 20);
    status_index_print(&probes, &buf);
    return buf;
}

static int two_indexers(void **state)
{
    (void)state;
    memset(servers, 0, sizeof servers);
    snprintf(texts[0], sizeof texts[0],
             "{" INDEXERS ",\"nodes\":[" TAIL
             "],\"catalog\":{\"backend\":\"mongodb\",\"ok\":true},\"sweep\":{\"running\":false,\"ended_at\":\"2026-11-01T00:00:00Z\",\"differing\":3,\"unhealed\":1,\"read_again\":2}}",
             "true", "false", "n1", "true", "true", 0, 0);
    snprintf(texts[1], sizeof texts[1],
             "{" INDEXERS ",\"nodes\":[" TAIL "," TAIL
             "],\"catalog\":{\"backend\":\"mongodb\",\"ok\":false,\"detail\":\"it is full\"},\"sweep\":{\"running\":true,\"runs_done\":4,\"runs\":9,\"run\":\"hres/20261101T0000Z\"}}",
             "false", "true", "n2", "true", "false", 1234, 56, "n3", "false", "false", 7, 8);
    for (int i = 0; i < 2; i++) {
        snprintf(servers[i].url, sizeof servers[i].url, "http://i%d", i);
        servers[i].status_json = texts[i];
    }
    return 0;
}

static int times(const struct buf *buf, const char *needle)
{
    int count = 0;

    for (const char *at = (const char *)buf->data; (at = strstr(at, needle)) != NULL; at++)
        count++;
    return count;
}

static void each_node_stands_once_by_who_tails_it(void **state)
{
    (void)state;
    struct buf buf = printed();

    buf_append(&buf, "", 1);
    assert_int_equal(times(&buf, "n1"), 1);
    assert_int_equal(times(&buf, "n2"), 1);
    assert_int_equal(times(&buf, "caught up"), 1);
    assert_int_equal(times(&buf, "cut off"), 1);
    assert_int_equal(times(&buf, "1234"), 1);
    assert_int_equal(times(&buf, "56 s"), 1);
    assert_int_equal(times(&buf, "is in trouble: it is full"), 1);
    assert_int_equal(times(&buf, "4 of 9 runs, at hres/20261101T0000Z"), 1);
    assert_int_equal(times(&buf, "differed: 3, not healed: 1, read again: 2"), 1);
    buf_fini(&buf);
}

static void nodes_of_an_indexer_that_was_not_asked_are_told_by_another(void **state)
{
    (void)state;
    servers[1].status_json = NULL;
    struct buf buf = printed();

    buf_append(&buf, "", 1);
    assert_int_equal(times(&buf, "n2"), 1);
    assert_int_equal(times(&buf, "n3"), 1);
    assert_int_equal(times(&buf, "two"), 2);
    assert_int_equal(times(&buf, "index at"), 1);
    buf_fini(&buf);
}

static void odd_answers_are_left_out(void **state)
{
    static char odd[][200] = {
        "",
        "[]",
        "3",
        "{}",
        "{\"indexers\":3,\"nodes\":{},\"sweep\":[],\"catalog\":7}",
        "{\"indexers\":[3,{\"name\":4,\"nodes\":[5,\"n1\",null]}],\"nodes\":[\"n1\",{\"id\":\"n1\",\"records_behind\":-1}]}",
    };
    (void)state;
    servers[1].status_json = NULL;
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        struct json_writer json;
        servers[0].status_json = odd[i];
        struct buf buf = printed();
        assert_int_equal(buf_status(&buf), STATUS_OK);
        buf_clear(&buf);
        json_init(&json, &buf);
        json_object_begin(&json);
        status_index_json(&servers[0], &json);
        json_object_end(&json);
        assert_int_equal(buf_status(&buf), STATUS_OK);
        assert_true(buf.data[0] == '{' && buf.data[buf.size - 1] == '}');
        buf_fini(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_node_stands_once_by_who_tails_it, two_indexers),
        cmocka_unit_test_setup(nodes_of_an_indexer_that_was_not_asked_are_told_by_another, two_indexers),
        cmocka_unit_test_setup(odd_answers_are_left_out, two_indexers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
