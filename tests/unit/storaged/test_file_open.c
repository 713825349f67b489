/* test_file_open.c: a disk that is slow to open a file holds up who asked for it, and nobody else.
 *
 * A whole node with one loop runs in a thread of its own, over a disk whose opens of some data files wait at a gate. */
#include "storaged/body_message.h"
#include "storaged/file_open.h"
#include "storaged/node.h"
#include "storaged/store/disk.h"

#include "proto/node_api.h"

#include "tests/lib/store_fixture.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    SHARDS = 2048,
    MESSAGES = 400,
    MESSAGE_SIZE = 300,
    POOL_THREADS = 4, /* half of them open files */
    ANSWER_MAX = 64 << 10,
    FILES_MAX = MESSAGES,
    CROWD = 20,
    TEXT_MAX = 256,
};

/* --- the gate --- */

static struct {
    uv_mutex_t mutex;
    uv_cond_t cond;
    char held[TEXT_MAX]; /* files whose name holds this wait; "": none */
    int fails;           /* with this errno, instead; 0: they don't */
    unsigned waiting, opened;
} gate;

#define UNNAMED "." /* as O_TMPFILE has it */

static bool gate_holds(const char *path)
{
    if (strcmp(gate.held, UNNAMED) == 0)
        return strcmp(path, UNNAMED) == 0;
    return gate.held[0] != '\0' && strstr(path, gate.held) != NULL;
}

static int gate_openat(int dir_fd, const char *path, int flags, mode_t mode)
{
    int fails = 0;

    uv_mutex_lock(&gate.mutex);
    if (gate_holds(path)) {
        fails = gate.fails;
        gate.opened++;
        gate.waiting++;
        uv_cond_broadcast(&gate.cond);
        while (fails == 0 && gate.held[0] != '\0')
            uv_cond_wait(&gate.cond, &gate.mutex);
        gate.waiting--;
        uv_cond_broadcast(&gate.cond);
    }
    uv_mutex_unlock(&gate.mutex);
    errno = fails;
    return fails != 0 ? -1 : disk_posix.openat(dir_fd, path, flags, mode);
}

static void gate_set(const char *held, int fails)
{
    uv_mutex_lock(&gate.mutex);
    snprintf(gate.held, sizeof gate.held, "%s", held);
    gate.fails = fails;
    gate.opened = 0;
    uv_mutex_unlock(&gate.mutex);
}

static void gate_await(unsigned waiting)
{
    uv_mutex_lock(&gate.mutex);
    while (gate.waiting < waiting)
        uv_cond_wait(&gate.cond, &gate.mutex);
    unsigned now = gate.waiting;
    uv_mutex_unlock(&gate.mutex);
    assert_int_equal(now, waiting);
}

/* Lets go who waits, and returns when they have left; how many opens there were. */
static unsigned gate_open(void)
{
    uv_mutex_lock(&gate.mutex);
    unsigned opened = gate.opened;
    gate.held[0] = '\0';
    uv_cond_broadcast(&gate.cond);
    while (gate.waiting > 0)
        uv_cond_wait(&gate.cond, &gate.mutex);
    uv_mutex_unlock(&gate.mutex);
    return opened;
}

/* --- the node --- */

struct held_message {
    char path[TEXT_MAX], digest[TEXT_MAX]; /* of its data file; of itself */
    char file[DATA_FILE_NAME_SIZE];
    uint64_t number, offset;
};

struct node_fixture {
    struct store_fixture store;
    struct disk_ops ops;
    char dir[FIXTURE_PATH_SIZE];
    struct settings settings;
    struct node *node;
    uv_thread_t thread;
    struct held_message messages[FILES_MAX]; /* one a file */
    unsigned messages_count;
    uint8_t *answer;
};

static void run_node(void *data)
{
    assert_int_equal(node_run(data), NODE_LEFT);
}

static bool fixture_has_file(const struct node_fixture *fixture, const char *file)
{
    for (unsigned i = 0; i < fixture->messages_count; i++) {
        if (strcmp(fixture->messages[i].file, file) == 0)
            return true;
    }
    return false;
}

/* One message a file is remembered. */
static void fill(struct node_fixture *fixture)
{
    struct run_key run = fixture_run(0);
    char run_text[RUN_TEXT_SIZE], digest_text[DIGEST_TEXT_SIZE];

    run_key_print(&run, run_text);
    fixture_open(&fixture->store);
    for (uint64_t number = 1; number <= MESSAGES; number++) {
        struct held_message *message = &fixture->messages[fixture->messages_count];
        char file[DATA_FILE_NAME_SIZE];
        struct store_place place;
        struct digest digest;

        assert_int_equal(fixture_put(&fixture->store, &run, number, MESSAGE_SIZE, &place), STATUS_OK);
        data_file_name_print(place.shard, place.birth, file);
        if (fixture_has_file(fixture, file))
            continue;
        fixture_digest(number, MESSAGE_SIZE, &digest);
        digest_print(&digest, digest_text);
        snprintf(message->path, sizeof message->path, "/data/%s/%s", run_text, file);
        memcpy(message->file, file, sizeof file);
        snprintf(message->digest, sizeof message->digest, "/sha256/%s", digest_text);
        message->number = number;
        message->offset = place.offset;
        fixture->messages_count++;
    }
    fixture_close(&fixture->store);
}

static void raise_files(void)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static int setup(void **state)
{
    struct node_fixture *fixture = calloc(1, sizeof *fixture);
    char *arguments[] = { (char[]){ "storaged" },
                          (char[]){ "--data" },
                          fixture->dir,
                          (char[]){ "--listen" },
                          (char[]){ "127.0.0.1:0" },
                          (char[]){ "--loops" },
                          (char[]){ "1" },
                          (char[]){ "--shards" },
                          (char[]){ "2048" },
                          (char[]){ "--pool-threads" },
                          (char[]){ "4" },
                          (char[]){ "--reserve" },
                          (char[]){ "0" },
                          (char[]){ "--scrub-rate" }, /* it opens files too */
                          (char[]){ "0" },
                          NULL };
    enum config_asked asked;
    struct error err;

    raise_files();
    error_init(&err);
    fixture_init(&fixture->store);
    fixture->store.options.shards = SHARDS;
    fill(fixture);
    snprintf(fixture->dir, sizeof fixture->dir, "%s", fixture->store.dir);
    assert_int_equal(
        settings_load(&fixture->settings, ARRAY_COUNT(arguments) - 1, arguments, &asked, &err), STATUS_OK);
    fixture->ops = disk_posix;
    fixture->ops.openat = gate_openat;
    gate_set("", 0);
    disk_replace(&fixture->ops);
    assert_int_equal(node_open(&fixture->settings, &fixture->node, &err), STATUS_OK);
    assert_int_equal(uv_thread_create(&fixture->thread, run_node, fixture->node), 0);
    fixture->answer = malloc(ANSWER_MAX);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct node_fixture *fixture = *state;

    gate_open();
    node_drain(fixture->node);
    uv_thread_join(&fixture->thread);
    node_close(fixture->node);
    disk_replace(NULL);
    settings_free(&fixture->settings);
    fixture_fini(&fixture->store);
    free(fixture->answer);
    free(fixture);
    return 0;
}

/* --- a client --- */

static int client_open(struct node_fixture *fixture)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_port = htons((uint16_t)atoi(strrchr(fixture->node->listen, ':') + 1));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void client_send(int fd, const char *method, const char *path, const char *fields, const char *body)
{
    char text[2 * TEXT_MAX];

    int size = snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: n\r\n%sContent-Length: %zu\r\n\r\n%s",
                        method, path, fields, strlen(body), body);
    assert_true(size > 0 && size < (int)sizeof text);
    assert_int_equal(send(fd, text, (size_t)size, MSG_NOSIGNAL), size);
}

/* The status of one answer, which is in fixture->answer; its body, and *size of that. */
static int client_answer(struct node_fixture *fixture, int fd, const uint8_t **body, size_t *size)
{
    size_t got = 0, head = 0;

    *size = 0;
    while (head == 0 || got < head + *size) {
        ssize_t n = recv(fd, fixture->answer + got, ANSWER_MAX - 1 - got, 0);
        assert_true(n > 0);
        got += (size_t)n;
        fixture->answer[got] = '\0';
        char *text = (char *)fixture->answer, *end = head == 0 ? strstr(text, "\r\n\r\n") : NULL;
        if (end == NULL)
            continue;
        const char *length = strstr(text, "Content-Length: ");
        assert_non_null(length);
        head = (size_t)(end + 4 - text);
        *size = (size_t)atoll(length + strlen("Content-Length: "));
    }
    assert_int_equal(got, head + *size);
    *body = fixture->answer + head;
    return atoi((char *)fixture->answer + strlen("HTTP/1.1 "));
}

static void client_expect(struct node_fixture *fixture, int fd, int status)
{
    const uint8_t *body;
    size_t size;

    assert_int_equal(client_answer(fixture, fd, &body, &size), status);
}

/* The answer holds the message at offset. */
static void client_expect_message(struct node_fixture *fixture, int fd,
                                  const struct held_message *message, uint64_t offset)
{
    uint8_t bytes[MESSAGE_SIZE];
    const uint8_t *body;
    size_t size;

    assert_int_equal(client_answer(fixture, fd, &body, &size), 200);
    assert_true(offset + MESSAGE_SIZE <= size);
    fixture_message(message->number, MESSAGE_SIZE, bytes);
    assert_memory_equal(body + offset, bytes, MESSAGE_SIZE);
}

static void client_get(int fd, const char *path)
{
    client_send(fd, "GET", path, "", "");
}

/* Behind this the loop has seen all that was sent before. */
static void loop_sync(struct node_fixture *fixture, int fd)
{
    for (int i = 0; i < 2; i++) {
        client_get(fd, "/healthz");
        client_expect(fixture, fd, 200);
    }
}

/* --- claims --- */

static void a_slow_open_holds_up_no_other_file(void **state)
{
    struct node_fixture *fixture = *state;
    const struct held_message *slow = &fixture->messages[0], *other = &fixture->messages[1];
    int waits = client_open(fixture), waits_too = client_open(fixture), goes_on = client_open(fixture);

    gate_set(slow->file, 0);
    client_get(waits, slow->path);
    client_get(waits_too, slow->digest);
    gate_await(1);
    for (int i = 0; i < 50; i++) {
        client_get(goes_on, i % 2 == 0 ? other->path : other->digest);
        client_expect_message(fixture, goes_on, other, i % 2 == 0 ? other->offset : 0);
    }
    gate_await(1); /* still */
    assert_int_equal(gate_open(), 1);
    client_expect_message(fixture, waits, slow, slow->offset);
    client_expect_message(fixture, waits_too, slow, 0);
    close(waits);
    close(waits_too);
    close(goes_on);
}

/* Some ask for the file, some for a message in it. */
static void a_crowd_opens_a_file_once(void **state)
{
    struct node_fixture *fixture = *state;
    const struct held_message *slow = &fixture->messages[2];
    int fds[CROWD], sync = client_open(fixture);

    gate_set(slow->file, 0);
    for (int i = 0; i < CROWD; i++) {
        fds[i] = client_open(fixture);
        loop_sync(fixture, fds[i]);
        client_get(fds[i], i % 4 == 0 ? slow->digest : slow->path);
    }
    loop_sync(fixture, sync);
    gate_await(1);
    assert_int_equal(gate_open(), 1);
    for (int i = 0; i < CROWD; i++) {
        client_expect_message(fixture, fds[i], slow, i % 4 == 0 ? 0 : slow->offset);
        close(fds[i]);
    }
    gate_set(slow->file, 0); /* it is open */
    client_get(sync, slow->path);
    client_expect_message(fixture, sync, slow, slow->offset);
    assert_int_equal(gate_open(), 0);
    close(sync);
}

static void a_client_that_leaves_meanwhile_harms_nobody(void **state)
{
    struct node_fixture *fixture = *state;
    const struct held_message *slow = &fixture->messages[3];
    int leaves = client_open(fixture), leaves_too = client_open(fixture), stays = client_open(fixture);

    gate_set(slow->file, 0);
    client_get(leaves, slow->path);
    client_get(leaves_too, slow->digest);
    gate_await(1);
    loop_sync(fixture, stays);
    close(leaves);
    close(leaves_too);
    loop_sync(fixture, stays); /* the loop knows */
    client_get(stays, slow->path);
    assert_int_equal(gate_open(), 1);
    client_expect_message(fixture, stays, slow, slow->offset);
    close(stays);
}

static void an_open_that_fails_is_told_as_such(void **state)
{
    static const struct {
        int error_number, status;
    } cases[] = { { EIO, 500 }, { EMFILE, 503 } };
    struct node_fixture *fixture = *state;
    const struct held_message *bad = &fixture->messages[4];
    int fd = client_open(fixture);

    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        gate_set(bad->file, cases[i].error_number);
        client_get(fd, bad->path);
        client_expect(fixture, fd, cases[i].status);
        client_get(fd, bad->digest); /* never 404: it may be here */
        client_expect(fixture, fd, cases[i].status);
        assert_int_equal(gate_open(), 2);
    }
    client_get(fd, bad->digest);
    client_expect_message(fixture, fd, bad, 0);
    close(fd);
}

/* A message that is too large for memory goes to one. */
static void an_unnamed_file_that_is_slow_to_make_holds_up_nobody(void **state)
{
    static const uint8_t bytes[BODY_CHUNK_SIZE + 1] = "GRIB\0\0\0\2\0\0\0\0\4"; /* 64 MiB */
    static const char head[] = "PUT /ingest/hres/ HTTP/1.1\r\nHost: n\r\nContent-Length: 67108864\r\n\r\n";
    struct node_fixture *fixture = *state;
    const struct held_message *other = &fixture->messages[1];
    int sends = client_open(fixture), goes_on = client_open(fixture);

    gate_set(UNNAMED, 0);
    assert_int_equal(send(sends, head, sizeof head - 1, MSG_NOSIGNAL), sizeof head - 1);
    assert_int_equal(send(sends, bytes, sizeof bytes, MSG_NOSIGNAL), sizeof bytes);
    gate_await(1);
    for (int i = 0; i < 10; i++) {
        client_get(goes_on, other->path);
        client_expect_message(fixture, goes_on, other, other->offset);
    }
    close(sends); /* half way */
    loop_sync(fixture, goes_on);
    gate_await(1);
    assert_int_equal(gate_open(), 1);
    close(goes_on);
}

/* All that a loop has room for, half of the pool's threads at a time. */
static void one_open_too_many_is_overloaded(void **state)
{
    enum { FIRST = 10 };
    struct node_fixture *fixture = *state;
    int fds[FILE_OPENS_MAX], late = client_open(fixture);

    assert_true(fixture->messages_count > FIRST + FILE_OPENS_MAX);
    gate_set(".grib", 0);
    for (int i = 0; i < FILE_OPENS_MAX; i++) {
        fds[i] = client_open(fixture);
        client_get(fds[i], fixture->messages[FIRST + i].path);
    }
    gate_await(POOL_THREADS / 2);
    for (int i = 0; i < 2; i++) { /* all have come in */
        client_get(late, fixture->messages[0].path);
        client_expect(fixture, late, 200);
    }
    const struct held_message *more = &fixture->messages[FIRST + FILE_OPENS_MAX];
    client_get(late, more->path);
    client_expect(fixture, late, 503);
    assert_non_null(strstr((char *)fixture->answer, "Retry-After: "));
    client_get(late, more->digest);
    client_expect(fixture, late, 503);
    client_get(late, fixture->messages[FIRST].digest); /* of one that is being opened: waits */
    gate_await(POOL_THREADS / 2);
    gate_open();
    client_expect_message(fixture, late, &fixture->messages[FIRST], 0);
    for (int i = 0; i < FILE_OPENS_MAX; i++) {
        client_expect_message(fixture, fds[i], &fixture->messages[FIRST + i],
                              fixture->messages[FIRST + i].offset);
        close(fds[i]);
    }
    close(late);
}

/* The last one: nothing is left of the run. */
static void a_purge_meanwhile_is_410(void **state)
{
    struct node_fixture *fixture = *state;
    const struct held_message *slow = &fixture->messages[5];
    int waits = client_open(fixture), waits_too = client_open(fixture), purges = client_open(fixture);
    struct run_key run = fixture_run(0);
    char run_text[RUN_TEXT_SIZE], path[TEXT_MAX];

    run_key_print(&run, run_text);
    snprintf(path, sizeof path, "/cluster/runs/%s", run_text);
    gate_set(slow->file, 0);
    client_get(waits, slow->path);
    client_get(waits_too, slow->digest);
    gate_await(1);
    client_send(purges, "PUT", path, "", "{\"incarnation\":1,\"version\":9,\"state\":\"purged\"}");
    client_expect(fixture, purges, 200);
    gate_open();
    client_expect(fixture, waits, 410);
    client_expect(fixture, waits_too, 404);
    client_get(purges, slow->path);
    client_expect(fixture, purges, 410);
    close(waits);
    close(waits_too);
    close(purges);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_open_holds_up_no_other_file),
        cmocka_unit_test(a_crowd_opens_a_file_once),
        cmocka_unit_test(a_client_that_leaves_meanwhile_harms_nobody),
        cmocka_unit_test(an_open_that_fails_is_told_as_such),
        cmocka_unit_test(an_unnamed_file_that_is_slow_to_make_holds_up_nobody),
        cmocka_unit_test(one_open_too_many_is_overloaded),
        cmocka_unit_test(a_purge_meanwhile_is_410),
    };

    uv_mutex_init(&gate.mutex);
    uv_cond_init(&gate.cond);
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    uv_cond_destroy(&gate.cond);
    uv_mutex_destroy(&gate.mutex);
    return failed;
}
