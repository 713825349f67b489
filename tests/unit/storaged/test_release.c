/* test_release.c: what storaged/peers/release.h promises of time: a whole node, an indexer played by the test, and a clock that is
 * set forward.
 *
 * The node runs in a thread of its own. The indexer is a socket: the test takes a question off it, and answers when it likes. */
#include "storaged/node.h"
#include "storaged/peers/release.h"
#include "storaged/peers/release_words.h"
#include "storaged/store/disk.h"

#include "proto/base/clock.h"
#include "proto/base/json_read.h"
#include "proto/node_api.h"

#include "tests/lib/store_fixture.h"

#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { MESSAGES = 12, SIZE = 300, TEXT_MAX = 256, QUESTION_MAX = 64 << 10, SHARDS = 4 };

/* --- the clock --- */

static _Atomic uint64_t clock_ahead_us;

static uint64_t read_clock(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t wall(void)
{
    return read_clock(CLOCK_REALTIME);
}

static uint64_t monotonic(void)
{
    return read_clock(CLOCK_MONOTONIC) + atomic_load(&clock_ahead_us);
}

static void pass_seconds(uint64_t seconds)
{
    atomic_fetch_add(&clock_ahead_us, seconds * 1000000);
}

/* A disk that takes a minute to read, when it is told to. */
static _Atomic bool disk_is_slow;

static ssize_t slow_preadv2(int fd, const struct iovec *vec, int count, off_t offset, int flags)
{
    if (atomic_load(&disk_is_slow))
        pass_seconds(61);
    return disk_posix.preadv2(fd, vec, count, offset, flags);
}

/* --- the node --- */

struct release_fixture {
    struct disk_ops disk;
    struct store_fixture store;
    char dir[FIXTURE_PATH_SIZE];
    struct settings settings;
    struct node *node;
    uv_thread_t thread;
    int listening;            /* of the indexer */
    char indexer[TEXT_MAX];   /* its URL */
    struct store_place place; /* of a message; its file is the only one */
    /* the question under way */
    int asked; /* -1: none */
    char question[QUESTION_MAX];
    char path[TEXT_MAX];
};

static void run_node(void *data)
{
    assert_int_equal(node_run(data), NODE_LEFT);
}

static void indexer_open(struct release_fixture *fixture)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;

    fixture->listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fixture->listening, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fixture->listening, 16), 0);
    assert_int_equal(getsockname(fixture->listening, (struct sockaddr *)&address, &size), 0);
    snprintf(fixture->indexer, sizeof fixture->indexer, "http://127.0.0.1:%u", ntohs(address.sin_port));
    fixture->asked = -1;
}

/* One message in one file. */
static void fill(struct release_fixture *fixture)
{
    struct run_key run = fixture_run(0);

    fixture_open(&fixture->store);
    assert_int_equal(fixture_put(&fixture->store, &run, 1, SIZE, &fixture->place), STATUS_OK);
    fixture_close(&fixture->store);
}

/* The map in which this node owns nothing; node.json and the map are there already when the node starts. */
static void write_map(struct release_fixture *fixture)
{
    char path[FIXTURE_PATH_SIZE + 32];

    snprintf(path, sizeof path, "%s/node.json", fixture->dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "{\"format\": 1, \"cluster\": \"0123456789abcdef0123456789abcdef\", \"id\": \"n1\","
                  " \"url\": \"http://127.0.0.1:1\", \"host\": \"h1\", \"colo\": \"a\"}");
    fclose(file);
    snprintf(path, sizeof path, "%s/cluster-map.json", fixture->dir);
    file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file,
            "{\"cluster\": \"0123456789abcdef0123456789abcdef\", \"epoch\": 1, \"shards\": 4, \"replicas\": 1,"
            " \"min_replicas\": 1, \"indexers\": [\"%s\"], \"nodes\": ["
            "{\"id\": \"n1\", \"url\": \"http://127.0.0.1:1\", \"host\": \"h1\", \"colo\": \"a\", \"weight\": 1, \"state\": \"in\"},"
            "{\"id\": \"n2\", \"url\": \"http://127.0.0.1:2\", \"host\": \"h2\", \"colo\": \"a\", \"weight\": 1, \"state\": \"in\"}],"
            " \"eras\": [{\"from\": null, \"owners\": [[\"n2\"], [\"n2\"], [\"n2\"], [\"n2\"]]}]}",
            fixture->indexer);
    fclose(file);
}

static void node_begin(struct release_fixture *fixture)
{
    struct error err;

    error_init(&err);
    if (node_open(&fixture->settings, &fixture->node, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(uv_thread_create(&fixture->thread, run_node, fixture->node), 0);
}

static void node_end(struct release_fixture *fixture)
{
    node_drain(fixture->node);
    uv_thread_join(&fixture->thread);
    node_close(fixture->node);
}

static int setup(void **state)
{
    struct release_fixture *fixture = calloc(1, sizeof *fixture);
    static const char *const words[] = {
        "storaged",
        "--listen",
        "127.0.0.1:0",
        "--url",
        "http://127.0.0.1:1",
        "--loops",
        "1",
        "--shards",
        "4",
        "--reserve",
        "0",
        "--scrub-rate",
        "0",
        "--sync-period",
        "0",
        "--release-period",
        "100ms",
        "--release-grace",
        "10min",
        "--data",
    };
    char *arguments[ARRAY_COUNT(words) + 1];
    enum config_asked asked;
    struct error err;

    error_init(&err);
    atomic_store(&clock_ahead_us, 0);
    clock_replace(wall, monotonic);
    atomic_store(&disk_is_slow, false);
    fixture->disk = disk_posix;
    fixture->disk.preadv2 = slow_preadv2;
    disk_replace(&fixture->disk);
    fixture_init(&fixture->store);
    fixture->store.options.shards = SHARDS;
    indexer_open(fixture);
    fill(fixture);
    snprintf(fixture->dir, sizeof fixture->dir, "%s", fixture->store.dir);
    write_map(fixture);
    for (unsigned i = 0; i < ARRAY_COUNT(words); i++)
        arguments[i] = (char *)(uintptr_t)words[i];
    arguments[ARRAY_COUNT(words)] = fixture->dir;
    if (settings_load(&fixture->settings, ARRAY_COUNT(arguments), arguments, &asked, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    node_begin(fixture);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct release_fixture *fixture = *state;

    if (fixture->asked >= 0)
        close(fixture->asked);
    close(fixture->listening);
    node_end(fixture);
    clock_replace(NULL, NULL);
    disk_replace(NULL);
    settings_free(&fixture->settings);
    fixture_fini(&fixture->store);
    free(fixture);
    return 0;
}

static enum store_file_state state_of(struct release_fixture *fixture)
{
    struct run_key run = fixture_run(0);

    return store_file_state(fixture->node->store, &run, fixture->place.shard, fixture->place.birth);
}

static bool counts(struct release_fixture *fixture)
{
    struct run_key run = fixture_run(0);
    struct store_place place;
    struct digest digest;

    fixture_digest(1, SIZE, &digest);
    return store_find(fixture->node->store, &run, &digest, true, &place, NULL) == STATUS_OK;
}

static void await_state(struct release_fixture *fixture, enum store_file_state wanted)
{
    while (state_of(fixture) != wanted)
        usleep(1000);
}

/* --- the indexer --- */

static bool is_asked(struct release_fixture *fixture, int timeout_ms)
{
    struct pollfd asked = { .fd = fixture->listening, .events = POLLIN };

    return poll(&asked, 1, timeout_ms) == 1;
}

/* A whole question, kept open. */
static void take_question(struct release_fixture *fixture)
{
    size_t size = 0;
    char *body = NULL;
    size_t length = 0;

    assert_true(is_asked(fixture, 60000));
    fixture->asked = accept(fixture->listening, NULL, NULL);
    assert_true(fixture->asked >= 0);
    while (body == NULL || (size_t)(fixture->question + size - body) < length) {
        ssize_t got = recv(fixture->asked, fixture->question + size, QUESTION_MAX - 1 - size, 0);

        assert_true(got > 0);
        size += (size_t)got;
        fixture->question[size] = '\0';
        if (body != NULL || (body = strstr(fixture->question, "\r\n\r\n")) == NULL)
            continue;
        body += 4;
        const char *field = strcasestr(fixture->question, "\r\nContent-Length:");
        assert_non_null(field);
        length = strtoul(field + 17, NULL, 10);
    }
    assert_int_equal(sscanf(fixture->question, "POST %255s", fixture->path), 1);
    memmove(fixture->question, body, length);
    fixture->question[length] = '\0';
}

static void await_question(struct release_fixture *fixture, const char *path)
{
    take_question(fixture);
    assert_string_equal(fixture->path, path);
}

static void __attribute__((format(printf, 2, 3)))
answer(struct release_fixture *fixture, const char *format, ...)
{
    char body[TEXT_MAX], text[2 * TEXT_MAX];
    va_list list;

    va_start(list, format);
    vsnprintf(body, sizeof body, format, list);
    va_end(list);
    int size = snprintf(text, sizeof text,
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                        "Content-Length: %zu\r\n\r\n%s",
                        strlen(body), body);
    send(fixture->asked, text, (size_t)size, MSG_NOSIGNAL); /* who asked may have left */
    close(fixture->asked);
    fixture->asked = -1;
}

static void answer_grant(struct release_fixture *fixture)
{
    answer(fixture, "{\"granted\": [\"%016lx\"], \"refused\": []}", (unsigned long)fixture->place.birth);
}

static void answer_refusal(struct release_fixture *fixture)
{
    answer(fixture,
           "{\"granted\": [], \"refused\": [{\"birth\": \"%016lx\", \"code\": \"behind\", \"why\": \"so\"}]}",
           (unsigned long)fixture->place.birth);
}

static void answer_removed(struct release_fixture *fixture)
{
    answer(fixture, "{\"removed\": [\"%016lx\"]}", (unsigned long)fixture->place.birth);
}

static bool question_is_final(const struct release_fixture *fixture)
{
    return strstr(fixture->question, "\"final\":true") != NULL;
}

/* The index has forgotten the file, and the grace passes. Time that passes before the node has that answer ends the request
 * instead, and the node asks once more. */
static void await_final_question(struct release_fixture *fixture)
{
    for (;;) {
        do
            pass_seconds(601);
        while (!is_asked(fixture, 100));
        await_question(fixture, "/v1/releases/dropped");
        if (question_is_final(fixture))
            return;
        answer_removed(fixture);
    }
}

/* --- the claims --- */

static void a_grant_within_a_minute_drops(void **state)
{
    struct release_fixture *fixture = *state;

    await_question(fixture, "/v1/releases");
    pass_seconds(45); /* a request lasts 50 s at most */
    answer_grant(fixture);
    await_state(fixture, STORE_FILE_DROPPED);
    assert_false(counts(fixture));
}

static void a_grant_after_a_minute_is_void(void **state)
{
    struct release_fixture *fixture = *state;

    for (unsigned i = 0; i < 3; i++) {
        await_question(fixture, "/v1/releases"); /* it is asked again, with another minute */
        assert_int_equal(state_of(fixture), STORE_FILE_COUNTS);
        pass_seconds(61);
        answer_grant(fixture);
    }
    await_question(fixture, "/v1/releases");
    assert_true(counts(fixture));
    answer_grant(fixture);
    await_state(fixture, STORE_FILE_DROPPED);
}

/* It came in time, and the node's own disk held it up: the writer looks at the clock last. */
static void a_grant_that_grows_old_on_its_way_to_the_disk_is_void(void **state)
{
    struct release_fixture *fixture = *state;

    await_question(fixture, "/v1/releases");
    atomic_store(&disk_is_slow, true);
    answer_grant(fixture);
    await_question(fixture, "/v1/releases");
    atomic_store(&disk_is_slow, false);
    assert_int_equal(state_of(fixture), STORE_FILE_COUNTS);
    assert_true(counts(fixture));
    answer_grant(fixture);
    await_state(fixture, STORE_FILE_DROPPED);
}

/* The indexer breaks off, the file is asked for again, and what the first connection says then is heard by nobody. */
static void a_grant_for_an_asking_that_was_given_up_is_void(void **state)
{
    struct release_fixture *fixture = *state;

    await_question(fixture, "/v1/releases");
    close(fixture->asked);
    await_question(fixture, "/v1/releases");
    answer_refusal(fixture);
    await_question(fixture, "/v1/releases");
    assert_true(counts(fixture));
    assert_int_equal(state_of(fixture), STORE_FILE_COUNTS);
}

static void the_grace_runs_from_the_first_removal_by_the_nodes_own_clock(void **state)
{
    struct release_fixture *fixture = *state;

    await_question(fixture, "/v1/releases");
    answer_grant(fixture);
    await_question(fixture, "/v1/releases/dropped");
    assert_false(question_is_final(fixture));
    pass_seconds(3600); /* not removed yet: nothing runs */
    answer(fixture, "{\"removed\": []}");
    await_question(fixture, "/v1/releases/dropped");
    assert_false(question_is_final(fixture));
    answer_removed(fixture);
    assert_false(is_asked(fixture, 300)); /* the grace */
    assert_int_equal(state_of(fixture), STORE_FILE_DROPPED);
    await_final_question(fixture);
    assert_int_equal(state_of(fixture), STORE_FILE_DROPPED);
    answer(fixture, "{\"removed\": []}"); /* the index names it yet: it stays */
    await_question(fixture, "/v1/releases/dropped");
    assert_true(question_is_final(fixture));
    assert_int_equal(state_of(fixture), STORE_FILE_DROPPED);
    answer_removed(fixture);
    await_state(fixture, STORE_FILE_GONE);
}

static void a_start_begins_the_grace_anew(void **state)
{
    struct release_fixture *fixture = *state;

    await_question(fixture, "/v1/releases");
    answer_grant(fixture);
    await_question(fixture, "/v1/releases/dropped");
    answer_removed(fixture);
    await_final_question(fixture);
    node_end(fixture); /* before an answer */
    node_begin(fixture);
    do { /* what the first process asked twice may be in line yet */
        close(fixture->asked);
        await_question(fixture, "/v1/releases/dropped");
    } while (question_is_final(fixture));
    assert_int_equal(state_of(fixture), STORE_FILE_DROPPED);
}

/* It leaves at once, with a question out or a grant on its way. */
static void a_stop_waits_for_no_answer(void **state)
{
    struct release_fixture *fixture = *state;

    for (unsigned i = 0; i < 3; i++) {
        await_question(fixture, "/v1/releases");
        node_end(fixture);
        answer_grant(fixture);
        node_begin(fixture);
        assert_true(counts(fixture));
    }
}

int main(void)
{
#define RELEASE_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        RELEASE_TEST(a_grant_within_a_minute_drops),
        RELEASE_TEST(a_grant_after_a_minute_is_void),
        RELEASE_TEST(a_grant_that_grows_old_on_its_way_to_the_disk_is_void),
        RELEASE_TEST(a_grant_for_an_asking_that_was_given_up_is_void),
        RELEASE_TEST(the_grace_runs_from_the_first_removal_by_the_nodes_own_clock),
        RELEASE_TEST(a_start_begins_the_grace_anew),
        RELEASE_TEST(a_stop_waits_for_no_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
