/* test_cluster_map.c: for proto/cluster_map.c and cluster_map_json.c. */
#include "proto/cluster_map.h"

#include "tests/unit/proto/cmocka_all.h"

static const char cluster[] = "0123456789abcdef0123456789abcdef";

/* Three nodes, four shards, two eras; the tests change one place each. */
static const char whole[] =
    "{\"cluster\":\"0123456789abcdef0123456789abcdef\",\"epoch\":3,\"shards\":4,\"replicas\":2,\"min_replicas\":1,"
    "\"indexers\":[\"http://i1:8400\",\"https://[::1]:8400\"],"
    "\"nodes\":["
    "{\"id\":\"n1\",\"url\":\"http://127.0.0.1:8410\",\"host\":\"h1\",\"colo\":\"a\",\"weight\":100,\"state\":\"in\"},"
    "{\"id\":\"n2\",\"url\":\"http://127.0.0.1:8411\",\"host\":\"h2\",\"colo\":\"b\",\"weight\":1000000,\"state\":\"retiring\"},"
    "{\"id\":\"n3\",\"url\":\"http://127.0.0.1:8412\",\"host\":\"\",\"colo\":\"\",\"weight\":1,\"state\":\"out\"}],"
    "\"eras\":["
    "{\"from\":null,\"owners\":[[\"n1\"],[\"n1\"],[\"n1\"],[\"n1\"]]},"
    "{\"from\":\"2013-04-08T00:00:00Z\",\"owners\":[[\"n1\",\"n2\"],[\"n2\",\"n3\"],[\"n3\",\"n1\"],[\"n2\",\"n1\"]]},"
    "{\"from\":\"2013-04-08T00:00:30Z\",\"owners\":[[\"n3\",\"n2\"],[\"n2\",\"n3\"],[\"n3\",\"n1\"],[\"n2\"]]}]}";

static struct cluster_map *parse(const char *text)
{
    struct error err;
    struct cluster_map *map;

    error_init(&err);
    map = map_parse(text, strlen(text), &err);
    if (map == NULL)
        fail_msg("%s", err.text);
    return map;
}

static void assert_prints(const struct cluster_map *map, const char *text)
{
    struct buf buf;

    buf_init(&buf, 1 << 20);
    map_print(map, &buf);
    assert_string_equal(buf_string(&buf), text);
    buf_fini(&buf);
}

static void a_map_is_read_member_by_member(void **state)
{
    (void)state;
    struct cluster_map *map = parse(whole);

    assert_string_equal(map->cluster, cluster);
    assert_int_equal(map->epoch, 3);
    assert_int_equal(map->shards, 4);
    assert_int_equal(map->replicas, 2);
    assert_int_equal(map->min_replicas, 1);
    assert_int_equal(map->indexers_count, 2);
    assert_string_equal(map->indexers[1], "https://[::1]:8400");
    assert_int_equal(map->nodes_count, 3);
    assert_string_equal(map->nodes[1].url, "http://127.0.0.1:8411");
    assert_string_equal(map->nodes[1].host, "h2");
    assert_string_equal(map->nodes[1].colo, "b");
    assert_int_equal(map->nodes[1].weight, 1000000);
    assert_int_equal(map->nodes[1].state, NODE_RETIRING);
    assert_int_equal(map->eras_count, 3);
    assert_true(map->eras[0].first);
    assert_int_equal(map->eras[0].owners[0], 0);
    assert_int_equal(map->eras[0].owners[1], NODE_NONE);
    assert_false(map->eras[1].first);
    assert_int_equal(map->eras[1].from, 1365379200);
    assert_int_equal(map->eras[1].owners[3], 2);
    assert_int_equal(map->eras[2].owners[7], NODE_NONE);
    map_unref(map);
}

static void what_is_printed_reads_back_alike(void **state)
{
    (void)state;
    struct cluster_map *map = parse(whole);
    struct cluster_map *copy = map_copy(map);

    assert_prints(map, whole);
    map_unref(map);
    assert_non_null(copy);
    assert_int_equal(copy->references, 1);
    assert_prints(copy, whole);
    copy->eras[0].owners[0] = 2; /* its own table */
    map_unref(copy);
}

static void members_of_later_releases_are_passed_over(void **state)
{
    (void)state;
    struct buf buf;

    buf_init(&buf, 1 << 16);
    buf_text(&buf, "{\"later\":[{}],");
    buf_text(&buf, whole + 1);
    char *node = strstr((char *)(uintptr_t)buf_string(&buf), "{\"id\":\"n2\"");
    assert_non_null(node);
    size_t at = (size_t)((uint8_t *)node - buf.data) + 1;
    struct buf more;
    buf_init(&more, 1 << 16);
    buf_append(&more, buf.data, at);
    buf_text(&more, "\"rack\":null,");
    buf_append(&more, buf.data + at, buf.size - at);
    struct cluster_map *map = parse(buf_string(&more));
    assert_prints(map, whole);
    map_unref(map);
    buf_fini(&buf);
    buf_fini(&more);
}

static void a_pause_is_kept(void **state)
{
    (void)state;
    struct cluster_map *map = parse(whole);

    assert_false(map->paused);
    map->paused = true;
    struct cluster_map *copy = map_copy(map);
    struct buf buf;
    buf_init(&buf, 1 << 16);
    map_print(copy, &buf);
    map_unref(copy);
    map_unref(map);
    map = parse(buf_string(&buf));
    assert_true(map->paused);
    map_unref(map);
    buf_fini(&buf);
}

/* In `whole`, the first `from` becomes `to`; the error has to hold `text`. */
static const struct {
    const char *from, *to, *text;
} mistakes[] = {
    { "{\"cluster\"", "[\"cluster\"", "JSON" },
    { "\"cluster\":", "\"cluster\":\"\",\"cluster\":", "JSON" }, /* no member twice */
    { "\"cluster\":\"0123456789abcdef0123456789abcdef\",", "", "cluster: missing" },
    { "0123456789abcdef", "0123456789ABCDEF", "cluster: not 32" },
    { "0123456789abcdef", "0123456789abcde", "cluster: not 32" },
    { "0123456789abcdef", "0123456789abcdef0", "cluster: longer" },
    { "\"epoch\":3", "\"epoch\":-1", "epoch" },
    { "\"epoch\":3", "\"epoch\":\"3\"", "epoch" },
    { "\"epoch\":3", "\"epoch\":3.5", "epoch" },
    { "\"epoch\":3,", "", "epoch: missing" },
    { "\"shards\":4", "\"shards\":0", "shards" },
    { "\"shards\":4", "\"shards\":3", "shards: not a power of two" },
    { "\"shards\":4", "\"shards\":32768", "shards" },
    { "\"shards\":4", "\"shards\":8", "eras[0]: owners" },
    { "\"shards\":4", "\"shards\":2", "eras[0]: owners" },
    { "\"replicas\":2", "\"replicas\":0", "replicas" },
    { "\"replicas\":2", "\"replicas\":9", "replicas" },
    { "\"replicas\":2", "\"replicas\":1", "eras[1]: owners[0]: not a list of 1 to 1" },
    { "\"min_replicas\":1", "\"min_replicas\":0", "min_replicas" },
    { "\"min_replicas\":1", "\"min_replicas\":3", "min_replicas" },
    { "\"min_replicas\":1", "\"min_replicas\":1,\"paused\":1", "paused: neither" },
    { "\"http://i1:8400\"", "\"i1:8400\"", "indexers[0]" },
    { "\"http://i1:8400\"", "17", "indexers[0]" },
    { "\"http://i1:8400\"", "\"https://[::1]:8400\"", "indexers[1]: https://[::1]:8400 is there twice" },
    { "\"indexers\":[", "\"indexers\":null,\"x\":[", "indexers: missing" },
    { "\"nodes\":[", "\"nodes\":[],\"x\":[", "nodes" },
    { "\"nodes\":[", "\"nodes\":[1,", "nodes[0]: not an object" },
    { "\"id\":\"n2\"", "\"id\":\"n1\"", "n1 is there twice" },
    { "\"id\":\"n2\"", "\"id\":\"N2\"", "nodes[1]: id" },
    { "\"id\":\"n2\"", "\"id\":\"\"", "nodes[1]: id" },
    { "\"id\":\"n2\",", "", "nodes[1]: id: missing" },
    { "\"id\":\"n2\"", "\"id\":\"n4\"", "eras[1]: owners[0]: unknown node \"n2\"" },
    { "http://127.0.0.1:8411", "http://127.0.0.1:8410", "n1 and n2 have the same url" },
    { "http://127.0.0.1:8411", "127.0.0.1:8411", "nodes[1]: url" },
    { "http://127.0.0.1:8411", "http://127.0.0.1:8411/", "nodes[1]: url" },
    { "http://127.0.0.1:8411", "", "n2 has no url" },
    { "\"host\":\"h2\"", "\"host\":\"h\\n2\"", "nodes[1]: host: holds a control character" },
    { "\"host\":\"h2\"", "\"host\":7", "nodes[1]: host" },
    { "\"host\":\"h2\"", "\"host\":\"0123456789012345678901234567890123456789012345678901234567890123x\"",
      "nodes[1]: host: longer than 64" },
    { "\"colo\":\"b\",", "", "nodes[1]: colo: missing" },
    { "1000000", "1000001", "nodes[1]: weight" },
    { "1000000", "0", "nodes[1]: weight: less than 1" },
    { "retiring", "Retiring", "nodes[1]: state: none of" },
    { "\"state\":\"out\"", "\"state\":null", "nodes[2]: state" },
    { "\"eras\":[", "\"eras\":[],\"x\":[", "eras" },
    { "\"eras\":[", "\"eras\":[null,", "eras[0]: not an object" },
    { "\"from\":null", "\"from\":\"2013-04-08T00:00:00Z\"", "eras[0]: from: not null" },
    { "\"from\":null,", "", "eras[0]: from: missing" },
    { "\"2013-04-08T00:00:30Z\"", "null", "eras[2]: from: null" },
    { "\"2013-04-08T00:00:30Z\"", "1365379230", "eras[2]: from: not a string" },
    { "\"2013-04-08T00:00:30Z\"", "\"2013-04-31T00:00:30Z\"", "eras[2]: from: base_time" },
    { "\"2013-04-08T00:00:30Z\"", "\"2013-04-08T00:00:00Z\"", "eras[2]: from: not after" },
    { "[\"n2\",\"n3\"]", "[]", "eras[1]: owners[1]: not a list" },
    { "[\"n2\",\"n3\"]", "\"n2\"", "eras[1]: owners[1]: not a list" },
    { "[\"n2\",\"n3\"]", "[\"n2\",\"n3\",\"n1\"]", "eras[1]: owners[1]: not a list" },
    { "[\"n2\",\"n3\"]", "[\"n2\",\"n2\"]", "eras[1]: owners[1]: n2 is there twice" },
    { "[\"n2\",\"n3\"]", "[\"n2\",\"n0\"]", "eras[1]: owners[1]: unknown node \"n0\"" },
    { "[\"n2\",\"n3\"]", "[\"n2\",2]", "eras[1]: owners[1]: an owner is not a string" },
    { "[\"n2\",\"n3\"]", "[\"n2\",null]", "eras[1]: owners[1]: an owner is not a string" },
};

static void every_mistake_is_refused_and_its_place_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(mistakes); i++) {
        struct buf buf;
        struct error err;
        const char *at = strstr(whole, mistakes[i].from);
        assert_non_null(at);
        buf_init(&buf, 1 << 16);
        buf_append(&buf, whole, (size_t)(at - whole));
        buf_text(&buf, mistakes[i].to);
        buf_text(&buf, at + strlen(mistakes[i].from));
        error_init(&err);
        struct cluster_map *map = map_parse(buf.data, buf.size, &err);
        if (map != NULL || err.status != STATUS_BAD_VALUE || strstr(err.text, mistakes[i].text) == NULL)
            fail_msg("%s: %s", mistakes[i].to, map != NULL ? "taken" : err.text);
        buf_fini(&buf);
    }
    for (size_t size = 0; size < sizeof whole - 1; size++)
        assert_null(map_parse(whole, size, NULL));
}

static void a_cluster_of_one_is_a_map_too(void **state)
{
    (void)state;
    struct cluster_map *map = map_single(cluster, 32, "n1", "", "h", "", 100);
    struct buf buf;

    assert_non_null(map);
    assert_int_equal(map->epoch, 0);
    assert_int_equal(map->replicas, 1);
    buf_init(&buf, 1 << 16);
    map_print(map, &buf);
    struct cluster_map *again = parse(buf_string(&buf));
    assert_prints(again, buf_string(&buf));
    assert_string_equal(again->nodes[0].url, "");
    assert_int_equal(again->shards, 32);
    for (unsigned shard = 0; shard < 32; shard++)
        assert_int_equal(again->eras[0].owners[shard], 0);
    map_unref(again);
    map_unref(map);
    buf_fini(&buf);
}

static void a_map_lives_as_long_as_it_is_referred_to(void **state)
{
    (void)state;
    struct cluster_map *map = parse(whole);

    assert_ptr_equal(map_ref(map), map);
    map_unref(map);
    assert_string_equal(map->nodes[0].id, "n1"); /* ASan would tell */
    map_unref(map);
    map_unref(NULL);
}

static void nodes_are_found_by_id(void **state)
{
    (void)state;
    struct cluster_map *map = parse(whole);

    assert_ptr_equal(map_find(map, "n2"), &map->nodes[1]);
    assert_int_equal(map_index(map, "n3"), 2);
    assert_null(map_find(map, "n"));
    assert_int_equal(map_index(map, "n22"), NODE_NONE);
    map_unref(map);
}

static void urls_have_a_scheme_and_a_host_and_no_path(void **state)
{
    (void)state;
    static const char *const good[] = {
        "http://a",          "https://a.b-c:1",  "http://127.0.0.1:65535",
        "http://[::1]:8410", "http://[fe80::1]", "http://under_score:80"
    };
    static const char *const bad[] = { "",
                                       "a",
                                       "http://",
                                       "http:///",
                                       "ftp://a",
                                       "HTTP://a",
                                       "http://a/",
                                       "http://a:",
                                       "http://a:0",
                                       "http://a:65536",
                                       "http://a:80/x",
                                       "http://a:-1",
                                       "http://:80",
                                       "http://a b",
                                       "http://u@a",
                                       "http://[]",
                                       "http://[::1",
                                       "http://[::1]x",
                                       "http://a?b",
                                       "http://a#b" };
    char longest[URL_SIZE_MAX + 2];

    for (size_t i = 0; i < ARRAY_COUNT(good); i++)
        assert_true(node_url_valid(good[i]));
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_false(node_url_valid(bad[i]));
    memset(longest, 'a', sizeof longest);
    memcpy(longest, "http://", 7);
    longest[URL_SIZE_MAX + 1] = '\0';
    assert_false(node_url_valid(longest));
    longest[URL_SIZE_MAX] = '\0';
    assert_true(node_url_valid(longest));
}

static void cluster_ids_are_random(void **state)
{
    (void)state;
    char a[CLUSTER_ID_SIZE + 1], b[CLUSTER_ID_SIZE + 1];

    cluster_id_make(a);
    cluster_id_make(b);
    assert_int_equal(strlen(a), CLUSTER_ID_SIZE);
    assert_int_equal(strspn(a, "0123456789abcdef"), CLUSTER_ID_SIZE);
    assert_string_not_equal(a, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_is_read_member_by_member),
        cmocka_unit_test(a_pause_is_kept),
        cmocka_unit_test(what_is_printed_reads_back_alike),
        cmocka_unit_test(members_of_later_releases_are_passed_over),
        cmocka_unit_test(every_mistake_is_refused_and_its_place_named),
        cmocka_unit_test(a_cluster_of_one_is_a_map_too),
        cmocka_unit_test(a_map_lives_as_long_as_it_is_referred_to),
        cmocka_unit_test(nodes_are_found_by_id),
        cmocka_unit_test(urls_have_a_scheme_and_a_host_and_no_path),
        cmocka_unit_test(cluster_ids_are_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
