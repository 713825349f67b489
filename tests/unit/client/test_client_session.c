/* test_client_session.c: put and get against nodes that fail, lie and come back. */
#include "client/gribstore.h"
#include "client/put_scan.h"
#include "client/session.h"
#include "fake_server.h"
#include "grib_bytes.h"
#include "proto/base/clock.h"
#include "proto/base/json_read.h"
#include "proto/base/json_write.h"
#include "proto/cluster_map_make.h"
#include "proto/transfer/transfer_secret.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { NODES = 2, MESSAGES = 5, MESSAGE_SIZE = 200, HELD_MAX = 64 };
enum {
    RETRY_MS = 60000,
    GIVES_UP_MS = 1000
}; /* where it comes to a good end however slow this machine is; where it does not */

/* What both nodes hold together, and how each misbehaves. A node's thread looks at its own switches only. */
struct fake_node {
    struct fake_server server;
    struct world *world;
    int fail_puts;            /* answer so many PUTs with 503 */
    bool dead;                /* close every connection without an answer */
    bool lies;                /* PUT: another digest; GET: other bytes */
    bool stopped;             /* from its first PUT on it takes requests and is silent, for good */
    unsigned waits;           /* PUTs are answered when it was asked for its health so often */
    unsigned puts, asks, met; /* met: requests of any kind */
    unsigned healths;
    bool is_silent;
};

struct world {
    struct fake_node nodes[NODES];
    struct fake_server indexer;
    pthread_mutex_t mutex;
    struct digest held[HELD_MAX];
    uint8_t bytes[HELD_MAX][MESSAGE_SIZE];
    unsigned held_count;
    struct gs_session *session;
    uint8_t file[MESSAGES * MESSAGE_SIZE];
    int fd;
    unsigned runs_seen, last_run; /* messages of the second run */
    struct gs_put_summary summary;
    struct gs_error error;
};

static int world_find(const struct world *world, const struct digest *digest)
{
    for (unsigned i = 0; i < world->held_count; i++) {
        if (digest_compare(&world->held[i], digest) == 0)
            return (int)i;
    }
    return -1;
}

/* ---- what a node answers ---- */

static void answer_map(struct world *world, struct fake_reply *reply)
{
    struct cluster_map *map = map_new(NODES, 1);

    assert_non_null(map);
    snprintf(map->cluster, sizeof map->cluster, "%s", "0123456789abcdef0123456789abcdef");
    map->epoch = 1;
    map->shards = 1;
    map->replicas = map->min_replicas = 2;
    map->nodes_count = NODES;
    for (unsigned i = 0; i < NODES; i++) {
        map->nodes[i] = (struct map_node){ .weight = 1 };
        snprintf(map->nodes[i].id, sizeof map->nodes[i].id, "n%u", i);
        snprintf(map->nodes[i].url, sizeof map->nodes[i].url, "%s", world->nodes[i].server.url);
        snprintf(map->nodes[i].host, sizeof map->nodes[i].host, "h%u", i);
        snprintf(map->nodes[i].colo, sizeof map->nodes[i].colo, "c");
    }
    map->eras[0].first = true;
    map->eras[0].owners = map_owners_new(map);
    map->eras_count = 1;
    map->eras[0].owners[0] = 0;
    map->eras[0].owners[1] = 1;
    map_print(map, &reply->body);
    map_unref(map);
}

static void answer_have(struct world *world, const struct fake_request *request, struct fake_reply *reply)
{
    json_t *json = NULL, *digests, *item;
    struct json_writer writer;
    size_t i;

    assert_int_equal(json_parse(request->body.data, request->body.size, &json, NULL), STATUS_OK);
    assert_int_equal(json_get_array(json, "digests", &digests, NULL), STATUS_OK);
    json_init(&writer, &reply->body);
    json_object_begin(&writer);
    json_key(&writer, "missing");
    json_array_begin(&writer);
    json_array_foreach (digests, i, item) {
        struct digest digest;

        assert_true(digest_parse(slice_text(json_string_value(item)), &digest));
        if (world_find(world, &digest) < 0)
            json_text(&writer, json_string_value(item));
    }
    json_array_end(&writer);
    json_object_end(&writer);
    json_decref(json);
}

static void answer_put(struct fake_node *node, const struct fake_request *request, struct fake_reply *reply)
{
    struct world *world = node->world;
    struct json_writer json;

    node->puts++;
    if (node->fail_puts > 0) {
        node->fail_puts--;
        reply->status = 503;
        return;
    }
    reply->status = 201;
    json_init(&json, &reply->body);
    json_object_begin(&json);
    json_key(&json, "messages");
    json_array_begin(&json);
    for (size_t at = 0; at + MESSAGE_SIZE <= request->body.size; at += MESSAGE_SIZE) {
        struct digest digest;
        char text[DIGEST_TEXT_SIZE];

        digest_of(request->body.data + at, MESSAGE_SIZE, &digest);
        bool is_new = world_find(world, &digest) < 0;
        if (is_new) {
            memcpy(world->bytes[world->held_count], request->body.data + at, MESSAGE_SIZE);
            world->held[world->held_count++] = digest;
        }
        digest.bytes[0] ^= node->lies;
        digest_print(&digest, text);
        json_object_begin(&json);
        json_put_string(&json, "digest", text);
        json_put_bool(&json, "new", is_new);
        json_put_u64(&json, "copies", 2);
        json_object_end(&json);
    }
    json_array_end(&json);
    json_object_end(&json);
}

static void answer_message(struct fake_node *node, const struct fake_request *request,
                           struct fake_reply *reply)
{
    struct digest digest;
    int found = -1;

    if (digest_parse(slice_text(request->target + strlen("/sha256/")), &digest))
        found = world_find(node->world, &digest);
    if (found < 0) {
        reply->status = 404;
        return;
    }
    buf_append(&reply->body, node->world->bytes[found], MESSAGE_SIZE);
    reply->body.data[MESSAGE_SIZE / 2] ^= node->lies;
}

/* The test's file, as if it were a data file. */
static void answer_range(struct fake_node *node, const struct fake_request *request,
                         struct fake_reply *reply)
{
    assert_true(request->has_range && request->range_last < sizeof node->world->file);
    reply->status = 206;
    buf_append(&reply->body, node->world->file + request->range_first,
               (size_t)(request->range_last - request->range_first + 1));
    reply->body.data[0] ^= node->lies;
}

static void node_answer(void *user, const struct fake_request *request, struct fake_reply *reply)
{
    struct fake_node *node = user;

    pthread_mutex_lock(&node->world->mutex);
    node->met++;
    bool is_put = strncmp(request->target, "/ingest/", 8) == 0 ||
                  strncmp(request->target, "/replica/", 9) == 0;
    node->is_silent |= node->stopped && is_put;
    if (node->dead)
        reply->status = 0;
    else if (node->is_silent || (is_put && node->healths < node->waits))
        reply->status = FAKE_LATER;
    else if (strcmp(request->target, "/healthz") == 0)
        node->healths++;
    else if (strcmp(request->target, "/cluster/map") == 0)
        answer_map(node->world, reply);
    else if (strncmp(request->target, "/have", 5) == 0) {
        node->asks++;
        answer_have(node->world, request, reply);
    } else if (strncmp(request->target, "/ingest/", 8) == 0)
        answer_put(node, request, reply);
    else if (strncmp(request->target, "/sha256/", 8) == 0)
        answer_message(node, request, reply);
    else if (strncmp(request->target, "/data/", 6) == 0)
        answer_range(node, request, reply);
    else
        reply->status = 404;
    pthread_mutex_unlock(&node->world->mutex);
}

/* ---- what the indexer answers: a page of two fields, then one of one; each field lies on both nodes ---- */

static void print_field(struct world *world, unsigned number, struct json_writer *json)
{
    struct digest digest;

    digest_of(world->file + number * MESSAGE_SIZE, MESSAGE_SIZE, &digest);
    json_object_begin(json);
    json_put_string(json, "param", "msl");
    json_put_hex(json, "digest", digest.bytes, DIGEST_SIZE);
    json_key(json, "locations");
    json_array_begin(json);
    for (unsigned i = 0; i < NODES; i++) {
        json_object_begin(json);
        json_key(json, "url");
        json_format(json, "%s/data/hres/20130408T0000Z/0000-0000000000000001.grib",
                    world->nodes[i].server.url);
        json_put_u64(json, "offset", number * MESSAGE_SIZE);
        json_put_u64(json, "length", MESSAGE_SIZE);
        json_object_end(json);
    }
    json_array_end(json);
    json_object_end(json);
}

static void indexer_answer(void *user, const struct fake_request *request, struct fake_reply *reply)
{
    struct world *world = user;
    struct json_writer json;
    bool second = strstr(request->target, "cursor=next%20page") != NULL;

    if (strncmp(request->target, "/v1/fields?param=msl&limit=", 27) != 0) {
        reply->status = 404;
        return;
    }
    json_init(&json, &reply->body);
    json_object_begin(&json);
    json_key(&json, "fields");
    json_array_begin(&json);
    for (unsigned i = second ? 2 : 0; i < (second ? 3 : 2); i++)
        print_field(world, i, &json);
    json_array_end(&json);
    json_put_string(&json, "next", second ? NULL : "next page");
    json_object_end(&json);
}

/* ---- a world a test ---- */

static int world_open(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    struct gs_options options;
    struct gs_error error;

    assert_non_null(world);
    pthread_mutex_init(&world->mutex, NULL);
    for (unsigned i = 0; i < NODES; i++) {
        world->nodes[i].world = world;
        fake_server_start(&world->nodes[i].server, node_answer, &world->nodes[i]);
    }
    fake_server_start(&world->indexer, indexer_answer, world);
    for (unsigned i = 0; i < MESSAGES; i++)
        grib_bytes(world->file + i * MESSAGE_SIZE, MESSAGE_SIZE, 2013, 4, 8, i < 3 ? 0 : 12, i);
    world->fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_int_equal(write(world->fd, world->file, sizeof world->file), sizeof world->file);
    gs_options_init(&options);
    options.nodes = world->nodes[0].server.url;
    options.indexers = world->indexer.url;
    options.retry_ms = RETRY_MS;
    world->last_run = 2;
    assert_int_equal(gs_open(&options, &world->session, &error), GS_OK);
    *state = world;
    return 0;
}

static int world_close(void **state)
{
    struct world *world = *state;

    gs_close(world->session);
    for (unsigned i = 0; i < NODES; i++)
        fake_server_stop(&world->nodes[i].server);
    fake_server_stop(&world->indexer);
    pthread_mutex_destroy(&world->mutex);
    close(world->fd);
    free(world);
    return 0;
}

static void on_run(void *user, const char *source, const char *base_time, uint64_t messages, uint64_t bytes)
{
    struct world *world = user;

    assert_string_equal(source, "hres");
    assert_string_equal(base_time, world->runs_seen == 0 ? "20130408T0000Z" : "20130408T1200Z");
    assert_int_equal(messages, world->runs_seen == 0 ? 3 : world->last_run);
    assert_int_equal(bytes, messages * MESSAGE_SIZE);
    world->runs_seen++;
}

static enum gs_status put(struct world *world, bool dry_run)
{
    struct gs_input input = { .name = "a.grib", .fd = world->fd };
    struct gs_put_options options;

    gs_put_options_init(&options);
    options.source = "hres";
    options.dry_run = dry_run;
    options.on_run = on_run;
    options.body_messages_max = 2;
    options.user = world;
    world->runs_seen = 0;
    return gs_put(world->session, &options, &input, 1, &world->summary, &world->error);
}

/* Everything that came out of a get. */
struct taken {
    uint8_t bytes[MESSAGES * MESSAGE_SIZE + 1];
    size_t size;
};

static int take(void *user, const void *data, size_t size)
{
    struct taken *taken = user;

    assert_true(taken->size + size <= sizeof taken->bytes);
    memcpy(taken->bytes + taken->size, data, size);
    taken->size += size;
    return 0;
}

static const char *digest_text(const struct world *world, unsigned number, char text[DIGEST_TEXT_SIZE])
{
    struct digest digest;

    digest_of(world->file + number * MESSAGE_SIZE, MESSAGE_SIZE, &digest);
    digest_print(&digest, text);
    return text;
}

/* ---- put ---- */

static void a_put_sends_what_is_missing_and_only_that(void **state)
{
    struct world *world = *state;

    assert_int_equal(put(world, true), GS_OK);
    assert_int_equal(world->held_count, 0);
    assert_int_equal(world->summary.bytes_missing, sizeof world->file);
    assert_int_equal(put(world, false), GS_OK);
    assert_int_equal(world->held_count, MESSAGES);
    assert_int_equal(world->summary.messages, MESSAGES);
    assert_int_equal(world->summary.stored, MESSAGES);
    assert_int_equal(world->summary.known, 0);
    assert_int_equal(world->summary.bytes_pushed, sizeof world->file);
    assert_int_equal(world->summary.copies, 2);
    assert_int_equal(world->runs_seen, 2);
    assert_int_equal(world->nodes[0].puts + world->nodes[1].puts,
                     3); /* two messages a body, over the border of runs */
    assert_int_equal(put(world, false), GS_OK);
    assert_int_equal(world->summary.stored, 0);
    assert_int_equal(world->summary.known, MESSAGES);
    assert_int_equal(world->summary.bytes_pushed, 0);
    assert_int_equal(world->nodes[0].puts + world->nodes[1].puts, 3);
}

static void a_put_goes_on_where_another_left_off(void **state)
{
    struct world *world = *state;

    for (unsigned i = 1; i < MESSAGES; i += 2) {
        digest_of(world->file + i * MESSAGE_SIZE, MESSAGE_SIZE, &world->held[world->held_count]);
        memcpy(world->bytes[world->held_count++], world->file + i * MESSAGE_SIZE, MESSAGE_SIZE);
    }
    assert_int_equal(put(world, false), GS_OK);
    assert_int_equal(world->summary.stored, 3);
    assert_int_equal(world->summary.known, 2);
    assert_int_equal(world->summary.bytes_pushed, 3 * MESSAGE_SIZE);
    assert_int_equal(world->held_count, MESSAGES);
}

static void busy_nodes_are_tried_again_and_dead_ones_left_behind(void **state)
{
    struct world *world = *state;

    world->nodes[0].fail_puts = world->nodes[1].fail_puts = 1;
    assert_int_equal(put(world, false), GS_OK);
    assert_int_equal(world->held_count, MESSAGES);
    assert_true(world->summary.retries >= 1);

    world->held_count = 0;
    pthread_mutex_lock(&world->mutex);
    world->nodes[1].dead = true;
    pthread_mutex_unlock(&world->mutex);
    assert_int_equal(put(world, false), GS_OK);
    assert_int_equal(world->held_count, MESSAGES);
}

/* As one that was stopped: its kernel takes all, and nothing comes back. */
static void a_put_leaves_a_node_that_is_silent_and_answers_no_probe(void **state)
{
    struct world *world = *state;

    world->session->silent_ms = 30;
    world->session->probe_ms = 200;
    pthread_mutex_lock(&world->mutex);
    world->nodes[0].stopped = true;
    pthread_mutex_unlock(&world->mutex);
    assert_int_equal(put(world, false), GS_OK);
    assert_true(world->session->given_up >= 1);
    /* The other one may have had no time for a probe, and be asked again. */
    assert_int_equal(world->summary.stored + world->summary.known, MESSAGES);
    assert_int_equal(world->held_count, MESSAGES);
}

/* It waits for copies, or for a disk: then nobody sends the same elsewhere. */
static void a_put_waits_for_a_node_that_is_silent_and_answers_probes(void **state)
{
    struct world *world = *state;

    world->session->silent_ms = 30;
    world->session->probe_ms = 60000;
    pthread_mutex_lock(&world->mutex);
    world->nodes[0].waits = world->nodes[1].waits = 3;
    pthread_mutex_unlock(&world->mutex);
    assert_int_equal(put(world, false), GS_OK);
    assert_int_equal(world->session->given_up, 0);
    assert_int_equal(world->summary.retries, 0);
    assert_int_equal(world->summary.stored, MESSAGES);
    assert_int_equal(world->held_count, MESSAGES);
}

static void a_put_that_nobody_takes_is_temporary(void **state)
{
    struct world *world = *state;

    world->session->retry_ms = GIVES_UP_MS;
    world->nodes[0].fail_puts = world->nodes[1].fail_puts = 1 << 30;
    assert_int_equal(put(world, false), GS_TEMPORARY);
    assert_int_equal(world->error.status, GS_TEMPORARY);
    assert_true(world->error.next[0] != '\0');
    assert_int_equal(world->held_count, 0);
}

static void a_node_that_read_other_bytes_is_not_believed(void **state)
{
    struct world *world = *state;

    world->nodes[0].lies = world->nodes[1].lies = true;
    assert_int_equal(put(world, false), GS_CORRUPT);
}

static void a_file_that_ends_early_is_partial(void **state)
{
    struct world *world = *state;

    world->last_run = 1;
    assert_int_equal(ftruncate(world->fd, sizeof world->file - 10), 0);
    assert_int_equal(put(world, false), GS_PARTIAL);
    assert_int_equal(world->summary.problems, 1);
    assert_int_equal(world->held_count, MESSAGES - 1);
    assert_non_null(strstr(world->error.text, "a.grib: at byte 800"));
    assert_int_equal(world->error.offset, 800);
}

static void a_source_that_is_none_is_usage(void **state)
{
    struct world *world = *state;
    struct gs_input input = { .name = "a.grib", .fd = world->fd };
    struct gs_put_options options;

    gs_put_options_init(&options);
    options.source = "HRES";
    assert_int_equal(gs_put(world->session, &options, &input, 1, NULL, &world->error), GS_USAGE);
}

static void a_cancelled_session_does_nothing_more(void **state)
{
    struct world *world = *state;

    gs_cancel(world->session);
    assert_int_equal(put(world, false), GS_CANCELLED);
    assert_int_equal(world->held_count, 0);
}

/* ---- get ---- */

static void wrong_bytes_are_passed_over_and_never_handed_out(void **state)
{
    struct world *world = *state;
    struct taken taken = { .size = 0 };
    char text[DIGEST_TEXT_SIZE];

    assert_int_equal(put(world, false), GS_OK);
    world->nodes[0].lies = true;
    assert_int_equal(
        gs_get_digest(world->session, digest_text(world, 2, text), take, &taken, &world->error), GS_OK);
    assert_int_equal(taken.size, MESSAGE_SIZE);
    assert_memory_equal(taken.bytes, world->file + 2 * MESSAGE_SIZE, MESSAGE_SIZE);

    world->nodes[1].lies = true;
    taken.size = 0;
    assert_int_equal(gs_get_digest(world->session, text, take, &taken, &world->error), GS_CORRUPT);
    assert_int_equal(taken.size, 0);
}

static void what_nobody_has_is_not_found(void **state)
{
    struct world *world = *state;
    struct taken taken = { .size = 0 };
    char text[DIGEST_TEXT_SIZE];

    assert_int_equal(
        gs_get_digest(world->session, digest_text(world, 0, text), take, &taken, &world->error),
        GS_NOT_FOUND);
    assert_int_equal(taken.size, 0);
}

static void a_query_is_fetched_page_by_page_in_its_order(void **state)
{
    static const char *const keys[] = { "param=msl" };
    struct world *world = *state;
    struct gs_get_summary summary;
    struct taken taken = { .size = 0 };

    assert_int_equal(
        gs_get_query(world->session, keys, 1, NULL, take, &taken, &summary, &world->error), GS_OK);
    assert_int_equal(summary.fields, 3);
    assert_int_equal(summary.messages, 3);
    assert_int_equal(taken.size, 3 * MESSAGE_SIZE);
    assert_memory_equal(taken.bytes, world->file, taken.size);
    assert_int_equal(summary.bad_copies, 0);
}

static void a_bad_first_location_gives_way_to_the_next(void **state)
{
    static const char *const keys[] = { "param=msl" };
    struct world *world = *state;
    struct gs_get_summary summary;
    struct taken taken = { .size = 0 };

    world->nodes[0].lies = true;
    assert_int_equal(
        gs_get_query(world->session, keys, 1, NULL, take, &taken, &summary, &world->error), GS_OK);
    assert_memory_equal(taken.bytes, world->file, 3 * MESSAGE_SIZE);
    assert_int_equal(summary.bad_copies, 3);
}

static void nobody_waits_for_a_node_that_is_known_to_be_down(void **state)
{
    static const char *const keys[] = { "param=msl" };
    struct world *world = *state;
    struct gs_get_summary summary;
    struct taken taken = { .size = 0 };
    struct error err;

    assert_int_equal(session_map_once(world->session, &err), STATUS_OK);
    struct node *first = &world->session->nodes.items[0];
    assert_string_equal(first->url, world->nodes[0].server.url);
    for (unsigned i = 0; i < 20; i++)
        node_failed(first, clock_monotonic_ms() + 3600000); /* longer than this test can take */
    unsigned met = world->nodes[0].met;
    assert_int_equal(
        gs_get_query(world->session, keys, 1, NULL, take, &taken, &summary, &world->error), GS_OK);
    assert_memory_equal(taken.bytes, world->file, 3 * MESSAGE_SIZE);
    assert_int_equal(world->nodes[0].met, met);

    /* But when no other one has it, it is asked all the same. */
    world->nodes[1].lies = true;
    taken.size = 0;
    assert_int_equal(
        gs_get_query(world->session, keys, 1, NULL, take, &taken, &summary, &world->error), GS_OK);
    assert_memory_equal(taken.bytes, world->file, 3 * MESSAGE_SIZE);
    assert_true(world->nodes[0].met > met);
}

static void a_limit_ends_a_query(void **state)
{
    static const char *const keys[] = { "param=msl" };
    struct world *world = *state;
    struct gs_query_options options = { .limit = 1 };
    struct gs_get_summary summary;
    struct taken taken = { .size = 0 };

    assert_int_equal(
        gs_get_query(world->session, keys, 1, &options, take, &taken, &summary, &world->error), GS_OK);
    assert_int_equal(summary.messages, 1);
}

static void a_range_is_handed_out_as_it_is(void **state)
{
    struct world *world = *state;
    struct taken taken = { .size = 0 };
    char url[128];

    snprintf(url, sizeof url, "%s/data/hres/20130408T0000Z/0000-0000000000000001.grib",
             world->nodes[0].server.url);
    assert_int_equal(gs_get_range(world->session, url, 100, 300, take, &taken, &world->error), GS_OK);
    assert_int_equal(taken.size, 300);
    assert_memory_equal(taken.bytes, world->file + 100, 300);
}

#define WORLD(test) cmocka_unit_test_setup_teardown(test, world_open, world_close)

static void a_token_goes_over_https_or_stays_on_this_machine(void **state)
{
    static const char *const keep[] = { "https://storage.example:8410/x",
                                        "HTTPS://a/",
                                        "http://127.0.0.1:8410/x",
                                        "http://127.1.2.3",
                                        "http://localhost:8400",
                                        "http://localhost/",
                                        "http://[::1]:8400/x" };
    static const char *const tell[] = { "http://127.example:8400/",
                                        "http://127.0.0.1.example/",
                                        "http://localhost.example/",
                                        "http://localhost:x@example",
                                        "http://127.0.0.1@example/",
                                        "http://[::1].example/",
                                        "http://10.0.0.1:8410/",
                                        "http://[::2]/",
                                        "http://",
                                        "ftp://127.0.0.1/",
                                        "http://127.0.0.1\\@example/" };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(keep); i++)
        assert_true(url_keeps_secrets(keep[i]));
    for (size_t i = 0; i < ARRAY_COUNT(tell); i++)
        assert_false(url_keeps_secrets(tell[i]));
}

static void count_retry(void *data, const char *why, uint64_t retry_ms)
{
    assert_string_equal(why, "nobody there");
    assert_int_equal(retry_ms, 60000);
    ++*(unsigned *)data;
}

static void who_waits_for_somebody_is_told_so_once_and_not_at_once(void **state)
{
    unsigned told = 0;
    struct gs_session session = { .retry_ms = 60000, .on_retry = count_retry, .retry_data = &told };
    struct error why;
    uint64_t now_ms = clock_monotonic_ms();

    (void)state;
    error_init(&why);
    error_set(&why, STATUS_UNREACHABLE, "nobody there");
    session_say_retry(&session, now_ms + 1000000 + 60000, &why); /* begun later than now */
    assert_int_equal(told, 0);
    session_say_retry(&session, now_ms + 60000 - SESSION_SAY_RETRY_MS, &why);
    assert_int_equal(told, 1);
    session_say_retry(&session, 0, &why);
    assert_int_equal(told, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD(a_put_sends_what_is_missing_and_only_that),
        WORLD(a_put_goes_on_where_another_left_off),
        WORLD(busy_nodes_are_tried_again_and_dead_ones_left_behind),
        WORLD(a_put_leaves_a_node_that_is_silent_and_answers_no_probe),
        WORLD(a_put_waits_for_a_node_that_is_silent_and_answers_probes),
        WORLD(a_put_that_nobody_takes_is_temporary),
        WORLD(a_node_that_read_other_bytes_is_not_believed),
        WORLD(a_file_that_ends_early_is_partial),
        WORLD(a_source_that_is_none_is_usage),
        WORLD(a_cancelled_session_does_nothing_more),
        WORLD(wrong_bytes_are_passed_over_and_never_handed_out),
        WORLD(what_nobody_has_is_not_found),
        WORLD(a_query_is_fetched_page_by_page_in_its_order),
        WORLD(a_bad_first_location_gives_way_to_the_next),
        WORLD(nobody_waits_for_a_node_that_is_known_to_be_down),
        WORLD(a_limit_ends_a_query),
        WORLD(a_range_is_handed_out_as_it_is),
        cmocka_unit_test(a_token_goes_over_https_or_stays_on_this_machine),
        cmocka_unit_test(who_waits_for_somebody_is_told_so_once_and_not_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
