/* test_get_steady.c: a range that a loop has been asked for before costs no allocation and no lock.
 *
 * A whole node runs in a thread of its own; what that thread allocates and locks while it answers is counted. */
#include "storaged/node.h"

#include "tests/lib/store_fixture.h"

#include <dlfcn.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    MESSAGE_SIZE = 300000,
    REQUESTS = 10000,
    WARM_UP = 100,
    ANSWER_MAX = 512 * 1024,
    SECTION_1_SIZE = 21,
    TIMERS_MAX = REQUESTS / 10, /* what the loop's timers do meanwhile; any kind of request of the seven would do it more often */
};

/* --- what is counted --- */

static pthread_t counted_thread;
static _Atomic bool counting;
static _Atomic unsigned allocations, locks;

static bool is_counted(void)
{
    return atomic_load_explicit(&counting, memory_order_relaxed) &&
           pthread_equal(pthread_self(), counted_thread);
}

static void count_allocation(void)
{
    if (is_counted())
        atomic_fetch_add(&allocations, 1);
}

#ifdef __SANITIZE_ADDRESS__

int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *memory, size_t size),
                                              void (*on_free)(const volatile void *memory));

static void on_malloc(const volatile void *memory, size_t size)
{
    (void)memory;
    (void)size;
    count_allocation();
}

static void on_free(const volatile void *memory)
{
    (void)memory;
}

static void install(void)
{
    __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
}

#elif defined(__SANITIZE_THREAD__)

static void install(void)
{
}

#else

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

void *malloc(size_t size)
{
    count_allocation();
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    count_allocation();
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    count_allocation();
    return __libc_realloc(memory, size);
}

static void install(void)
{
}

#endif

#ifndef __SANITIZE_THREAD__

/* These stand in front of the C library's, for libuv too. */
#define COUNTED_LOCK(name, type)                                                                   \
    int name(type *lock)                                                                           \
    {                                                                                              \
        static int (*real)(type *);                                                                \
                                                                                                   \
        if (real == NULL)                                                                          \
            real = (int (*)(type *))dlsym(RTLD_NEXT, #name);                                       \
        if (is_counted())                                                                          \
            atomic_fetch_add(&locks, 1);                                                           \
        return real(lock);                                                                         \
    }

COUNTED_LOCK(pthread_mutex_lock, pthread_mutex_t)
COUNTED_LOCK(pthread_rwlock_rdlock, pthread_rwlock_t)
COUNTED_LOCK(pthread_rwlock_wrlock, pthread_rwlock_t)

#endif

/* --- the node --- */

struct node_fixture {
    char dir[64], data[96];
    struct settings settings;
    struct node *node;
    uv_thread_t thread;
    int fd;         /* a connection */
    char path[256]; /* of the data file that holds the message */
    uint8_t *message;
    uint8_t *answer;
};

static void run_node(void *data)
{
    counted_thread = pthread_self();
    assert_int_equal(node_run(data), NODE_LEFT);
}

static void connect_to_node(struct node_fixture *fixture)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int on = 1;

    address.sin_port = htons((uint16_t)atoi(strrchr(fixture->node->listen, ':') + 1));
    fixture->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fixture->fd, (struct sockaddr *)&address, sizeof address), 0);
    setsockopt(fixture->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void send_all(int fd, const void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t sent = send(fd, (const uint8_t *)data + done, size - done, MSG_NOSIGNAL);
        assert_true(sent > 0);
        done += (size_t)sent;
    }
}

/* One answer to fixture->answer; where its body begins, and *size of that. */
static uint8_t *take_answer(struct node_fixture *fixture, bool without_body, size_t *size)
{
    size_t got = 0, head = 0;

    *size = 0;
    while (head == 0 || got < head + *size) {
        ssize_t n = recv(fixture->fd, fixture->answer + got, ANSWER_MAX - 1 - got, 0);
        assert_true(n > 0);
        got += (size_t)n;
        fixture->answer[got] = '\0';
        char *text = (char *)fixture->answer, *end = head == 0 ? strstr(text, "\r\n\r\n") : NULL;
        if (end == NULL)
            continue;
        const char *length = strstr(text, "Content-Length: ");
        assert_non_null(length);
        head = (size_t)(end + 4 - text);
        *size = without_body ? 0 : (size_t)atoll(length + strlen("Content-Length: "));
    }
    assert_int_equal(got, head + *size);
    return fixture->answer + head;
}

/* Of edition 2, at 2013-04-08T00:00:00Z, with one large section. */
static void make_message(uint8_t *bytes)
{
    static const uint8_t date[] = { 0x07, 0xdd, 4, 8, 0, 0, 0 };
    uint8_t *at = bytes + 16;

    fixture_message(1, MESSAGE_SIZE, bytes);
    put_u32(at, SECTION_1_SIZE);
    at[4] = 1;
    memcpy(at + 12, date, sizeof date);
    at += SECTION_1_SIZE;
    put_u32(at, (uint32_t)(bytes + MESSAGE_SIZE - 4 - at));
    at[4] = 2;
}

static void put_message(struct node_fixture *fixture)
{
    char head[256];
    size_t size;

    int head_size = snprintf(head, sizeof head,
                             "PUT /ingest/hres/ HTTP/1.1\r\nHost: n\r\nContent-Length: %d\r\n\r\n",
                             MESSAGE_SIZE);
    send_all(fixture->fd, head, (size_t)head_size);
    send_all(fixture->fd, fixture->message, MESSAGE_SIZE);
    char *text = (char *)take_answer(fixture, false, &size);
    assert_memory_equal(fixture->answer, "HTTP/1.1 20", 11); /* 200: it was there */
    char *path = strstr(text, "/data/hres/");
    assert_non_null(path);
    size_t path_size = strcspn(path, "\"");
    assert_true(path_size < sizeof fixture->path);
    memcpy(fixture->path, path, path_size);
}

static int setup(void **state)
{
    struct node_fixture *fixture = calloc(1, sizeof *fixture);
    char *arguments[] = { (char[]){ "storaged" },
                          (char[]){ "--data" },
                          fixture->data,
                          (char[]){ "--listen" },
                          (char[]){ "127.0.0.1:0" },
                          (char[]){ "--loops" },
                          (char[]){ "1" },
                          (char[]){ "--reserve" },
                          (char[]){ "0" },
                          NULL };
    enum config_asked asked;
    struct error err;

    install();
    error_init(&err);
    strcpy(fixture->dir, "/tmp/gribstore-test-XXXXXX");
    assert_non_null(mkdtemp(fixture->dir));
    snprintf(fixture->data, sizeof fixture->data, "%s/data", fixture->dir);
    assert_int_equal(settings_load(&fixture->settings, 9, arguments, &asked, &err), STATUS_OK);
    assert_int_equal(node_open(&fixture->settings, &fixture->node, &err), STATUS_OK);
    assert_int_equal(uv_thread_create(&fixture->thread, run_node, fixture->node), 0);
    fixture->message = malloc(MESSAGE_SIZE);
    fixture->answer = malloc(ANSWER_MAX);
    make_message(fixture->message);
    connect_to_node(fixture);
    put_message(fixture);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct node_fixture *fixture = *state;

    close(fixture->fd);
    node_drain(fixture->node);
    uv_thread_join(&fixture->thread);
    node_close(fixture->node);
    settings_free(&fixture->settings);
    fixture_remove_tree(fixture->dir);
    free(fixture->message);
    free(fixture->answer);
    free(fixture);
    return 0;
}

/* --- the claim --- */

struct ask {
    const char *method, *fields, *status;
    unsigned offset, size; /* of the message in the answer's body; size 0: not looked at */
};

static void ask(struct node_fixture *fixture, const struct ask *what)
{
    char text[512];
    size_t size;

    int text_size = snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: n\r\n%s\r\n", what->method,
                             fixture->path, what->fields);
    send_all(fixture->fd, text, (size_t)text_size);
    const uint8_t *body = take_answer(fixture, what->method[0] == 'H', &size);
    assert_memory_equal(fixture->answer, what->status, strlen(what->status));
    if (what->size > 0) {
        assert_int_equal(size, what->size);
        assert_memory_equal(body, fixture->message + what->offset, size);
    }
}

static void a_range_asked_for_again_allocates_nothing_and_locks_nothing(void **state)
{
    static const struct ask asks[] = {
        { "GET", "Range: bytes=1000-5095\r\n", "HTTP/1.1 206", 1000, 4096 },
        { "GET", "Range: bytes=7-7\r\n", "HTTP/1.1 206", 7, 1 },
        { "GET", "Range: bytes=5000-70535\r\n", "HTTP/1.1 206", 5000, 65536 },
        { "GET", "Range: bytes=0-9,100-199,4096-8191,-20\r\n", "HTTP/1.1 206", 0, 0 },
        { "GET", "", "HTTP/1.1 200", 0, MESSAGE_SIZE },
        { "HEAD", "", "HTTP/1.1 200", 0, 0 },
        { "GET", "If-None-Match: \"other\"\r\nRange: bytes=-100\r\n", "HTTP/1.1 206",
          MESSAGE_SIZE - 100, 100 },
    };
    struct node_fixture *fixture = *state;

    for (unsigned i = 0; i < WARM_UP; i++)
        ask(fixture, &asks[i % ARRAY_COUNT(asks)]);
    atomic_store(&counting, true);
    for (unsigned i = 0; i < REQUESTS; i++)
        ask(fixture, &asks[i % ARRAY_COUNT(asks)]);
    atomic_store(&counting, false);
    assert_true(atomic_load(&allocations) < TIMERS_MAX);
    assert_true(atomic_load(&locks) < TIMERS_MAX);
}

/* Else the claim above would hold for whatever is not counted. */
static void what_another_request_allocates_and_locks_is_counted(void **state)
{
    const struct ask refused = { "GET", "If-Match: \"other\"\r\n", "HTTP/1.1 412", 0, 0 };

    atomic_store(&counting, true);
    ask(*state, &refused);
    put_message(*state);
    atomic_store(&counting, false);
#ifndef __SANITIZE_THREAD__
    assert_true(atomic_load(&allocations) > 0);
    assert_true(atomic_load(&locks) > 0);
#endif
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_asked_for_again_allocates_nothing_and_locks_nothing),
        cmocka_unit_test(what_another_request_allocates_and_locks_is_counted),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
