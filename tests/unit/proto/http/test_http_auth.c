/* test_http_auth.c: the order of answers, over real sockets; what a handler is told of its caller. */
#include "http_fixture.h"

#include "proto/http/http_auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define HOST "Host: a\r\n"

static struct fixture fixture;
static struct http_auth *auth;
static unsigned calls;

/* --- a service --- */

static void handle_who(struct http_exchange *ex)
{
    char text[256];
    const char *sources = http_bound_sources(ex);

    calls++;
    snprintf(text, sizeof text, "%s %s %d%d %d", http_caller(ex), sources != NULL ? sources : "-",
             http_allows_source(ex, slice_text("hres")), http_allows_source(ex, slice_text("gfs")),
             http_caller_has(ex, ROLE_NODE | ROLE_ADMIN));
    http_reply_text(ex, 200, "text/plain", text);
}

static void on_body(struct http_exchange *ex, enum status status, struct slice body)
{
    (void)body;
    if (status == STATUS_OK)
        http_reply(ex, 204, NULL, NULL);
    else
        http_reply_error(ex, status, NULL, NULL);
}

static void handle_put(struct http_exchange *ex)
{
    calls++;
    http_body_gather(ex, 1 << 20, on_body);
}

static void handle_stream_push(struct http_exchange *ex)
{
    struct buf data;

    buf_init(&data, 30000);
    buf_reserve(&data, 30000);
    memset(data.data, 'x', 30000);
    data.size = 30000;
    http_stream_push(ex, &data, true);
}

static void handle_stream(struct http_exchange *ex)
{
    calls++;
    http_stream_start(ex, 200, "text/plain", HTTP_LENGTH_UNKNOWN, handle_stream_push);
}

static const struct http_route routes[] = {
    { HTTP_GET_, "/open", ROLE_NONE, "open", handle_who },
    { HTTP_GET_, "/read", ROLE_READ | ROLE_BOUND, "read", handle_who },
    { HTTP_GET_, "/all", ROLE_READ, "all", handle_who },
    { HTTP_GET_, "/stream", ROLE_READ, "stream", handle_stream },
    { HTTP_PUT_, "/put/{source}", ROLE_INGEST, "put", handle_put },
    { HTTP_PUT_, "/copy/{source}", ROLE_INGEST | ROLE_NODE, "copy", handle_put },
    { HTTP_DELETE_, "/purge", ROLE_ADMIN, "purge", handle_put },
    { 0 },
};

/* --- its tokens --- */

static char path[64];

static void add_token(FILE *file, const char *secret, const char *rest)
{
    char hex[DIGEST_TEXT_SIZE];
    struct digest hash;

    token_hash(slice_text(secret), &hash);
    digest_print(&hash, hex);
    fprintf(file, "%s sha256:%s %s\n", secret, hex, rest);
}

static void write_tokens(bool all)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    add_token(file, "reader", "read");
    if (all) {
        add_token(file, "writer", "ingest");
        add_token(file, "master", "admin");
        add_token(file, "node", "node");
        add_token(file, "bound", "ingest,admin sources=hres,x");
        add_token(file, "gone", "read,ingest,admin,node expires=2020-01-01T00:00:00Z");
        add_token(file, "slow", "read requests=1");
        add_token(file, "thin", "ingest bytes=1KiB");
    }
    fclose(file);
    assert_int_equal(chmod(path, 0600), 0);
}

static void start(bool anonymous_read)
{
    struct http_server_options options = { .routes = routes };
    struct error err;

    error_init(&err);
    write_tokens(true);
    assert_int_equal(http_auth_open(path, anonymous_read, &auth, &err), STATUS_OK);
    options.auth = auth;
    fixture_start_with(&fixture, options);
    calls = 0;
}

static int setup_closed(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/test_http_auth_%d", (int)getpid());
    start(false);
    return 0;
}

static int setup_anonymous(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/test_http_auth_%d", (int)getpid());
    start(true);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_stop(&fixture);
    http_auth_close(auth);
    unlink(path);
    return 0;
}

/* --- asking --- */

/* status of METHOD TARGET with these further lines ("Name: value\r\n"...); body: what the answer holds. */
static int ask(const char *method, const char *target, const char *lines, char *body, size_t size)
{
    char text[1024];

    snprintf(text, sizeof text, "%s %s HTTP/1.1\r\n" HOST "%s\r\n", method, target, lines);
    struct answer answer = client_once(&fixture, text);
    int status = answer.status;
    char challenge[128];

    if (status == 401)
        assert_non_null(answer_header(&answer, "WWW-Authenticate", challenge, sizeof challenge));
    if (body != NULL)
        snprintf(body, size, "%.*s", (int)answer.size,
                 answer.body != NULL ? (const char *)answer.body : "");
    answer_free(&answer);
    return status;
}

static int ask_as(const char *method, const char *target, const char *secret)
{
    char lines[128];

    snprintf(lines, sizeof lines, "Authorization: Bearer %s\r\n", secret);
    return ask(method, target, lines, NULL, 0);
}

static void refusals_come_in_their_order(void **state)
{
    static const struct {
        const char *what, *method, *target, *lines;
        int status;
    } cases[] = {
        { "a target too long before the token", "GET", "LONG", "", 414 },
        { "no token before 404", "GET", "/nothing", "", 401 },
        { "no token before 405", "DELETE", "/read", "", 401 },
        { "no token before 405 of a strange method", "PATCH", "/read", "", 401 },
        { "no token before 417", "GET", "/read", "Expect: tea\r\n", 401 },
        { "no token before 411", "PUT", "/put/a", "", 401 },
        { "no token before 413", "PUT", "/put/a", "Content-Length: 999999999999\r\n", 401 },
        { "no token before 415", "PUT", "/put/a", "Content-Length: 1\r\nContent-Encoding: gzip\r\n", 401 },
        { "no token before 100", "PUT", "/put/a", "Content-Length: 9\r\nExpect: 100-continue\r\n", 401 },
        { "the role before 411", "PUT", "/put/a", "Authorization: Bearer reader\r\n", 403 },
        { "the role before 413", "PUT", "/put/a",
          "Authorization: Bearer reader\r\nContent-Length: 999999999999\r\n", 403 },
        { "the source before 411", "PUT", "/put/b", "Authorization: Bearer bound\r\n", 403 },
        { "then 404", "GET", "/nothing", "Authorization: Bearer reader\r\n", 404 },
        { "then 405", "DELETE", "/read", "Authorization: Bearer reader\r\n", 405 },
        { "then 417", "GET", "/read", "Authorization: Bearer reader\r\nExpect: tea\r\n", 417 },
        { "then 411", "PUT", "/put/a", "Authorization: Bearer writer\r\n", 411 },
        { "two fields before whose they are", "GET", "/read",
          "Authorization: Bearer nobody\r\nAuthorization: Bearer reader\r\n", 400 },
        { "nobody needs one here", "GET", "/open", "Authorization: Bearer nobody\r\n", 200 },
        { "nor a good field", "GET", "/open", "Authorization: Bearer\r\nAuthorization: x\r\n", 200 },
        { "OPTIONS of what is there", "OPTIONS", "/read", "", 204 },
        { "OPTIONS of all", "OPTIONS", "*", "", 204 },
        { "OPTIONS of nothing", "OPTIONS", "/nothing", "", 401 },
    };
    char long_target[9001];

    (void)state;
    memset(long_target, 'a', sizeof long_target - 1);
    long_target[0] = '/';
    long_target[sizeof long_target - 1] = '\0';
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char text[10000];
        const char *target = strcmp(cases[i].target, "LONG") == 0 ? long_target : cases[i].target;

        snprintf(text, sizeof text, "%s %s HTTP/1.1\r\n" HOST "%s\r\n", cases[i].method, target,
                 cases[i].lines);
        struct answer answer = client_once(&fixture, text);
        if (answer.status != cases[i].status)
            fail_msg("%s: %d", cases[i].what, answer.status);
        answer_free(&answer);
    }
    assert_int_equal(calls, 2); /* of /open only */
}

static void each_role_may_what_its_routes_say(void **state)
{
    static const char *const secrets[] = { "reader", "writer", "master", "node" };
    static const struct {
        const char *method, *target;
        bool may[4];
    } cases[] = {
        { "GET", "/read", { true, true, true, true } },
        { "HEAD", "/read", { true, true, true, true } },
        { "PUT", "/put/a", { false, true, false, false } },
        { "PUT", "/copy/a", { false, true, false, true } },
        { "DELETE", "/purge", { false, false, true, false } },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        for (size_t k = 0; k < ARRAY_COUNT(secrets); k++) {
            char lines[128];

            snprintf(lines, sizeof lines, "Authorization: Bearer %s\r\nContent-Length: 0\r\n",
                     secrets[k]);
            int status = ask(cases[i].method, cases[i].target, lines, NULL, 0);
            if ((status != 403) != cases[i].may[k] || status == 401)
                fail_msg("%s %s as %s: %d", cases[i].method, cases[i].target, secrets[k], status);
        }
        assert_int_equal(ask_as(cases[i].method, cases[i].target, "gone"), 401);
        assert_int_equal(ask_as(cases[i].method, cases[i].target, "nobody"), 401);
    }
}

static void a_handler_knows_its_caller(void **state)
{
    char body[256];

    (void)state;
    assert_int_equal(ask("GET", "/read", "Authorization: bearer  reader\r\n", body, sizeof body), 200);
    assert_string_equal(body, "reader - 11 0");
    assert_int_equal(ask("GET", "/read", "Authorization: Bearer bound\r\n", body, sizeof body), 200);
    assert_string_equal(body, "bound hres,x 10 1");
    assert_int_equal(ask("GET", "/read", "Authorization: Bearer node\r\n", body, sizeof body), 200);
    assert_string_equal(body, "node - 11 1");
    /* A connection's next request is another caller's. */
    assert_int_equal(ask("GET", "/open", "Authorization: Bearer reader\r\n", body, sizeof body), 200);
    assert_string_equal(body, " - 11 0");
}

static void a_connection_carries_no_right_over(void **state)
{
    int fd = client_connect(&fixture);

    (void)state;
    for (int i = 0; i < 3; i++) {
        client_text(&fixture, fd, "GET /read HTTP/1.1\r\n" HOST "Authorization: Bearer reader\r\n\r\n");
        struct answer answer = client_answer(&fixture, fd, false);
        assert_int_equal(answer.status, 200);
        answer_free(&answer);
        client_text(&fixture, fd, "GET /read HTTP/1.1\r\n" HOST "\r\n");
        answer = client_answer(&fixture, fd, false);
        assert_int_equal(answer.status, 401);
        answer_free(&answer);
    }
    close(fd);
}

static void a_bound_token_comes_to_its_sources_only(void **state)
{
    static const struct {
        const char *target;
        int status;
    } cases[] = {
        { "/put/hres", 204 }, { "/put/x", 204 },      { "/put/gfs", 403 }, { "/put/hres%2cx", 403 },
        { "/put/HRES", 403 }, { "/put/%68res", 204 }, { "/put/hre", 403 }, { "/put/hresx", 403 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int status = ask("PUT", cases[i].target,
                         "Authorization: Bearer bound\r\nContent-Length: 0\r\n", NULL, 0);
        if (status != cases[i].status)
            fail_msg("%s: %d", cases[i].target, status);
    }
    /* What names none is for those who are bound to none, unless the route's handler looks itself. */
    assert_int_equal(ask_as("GET", "/read", "bound"), 200);
    assert_int_equal(ask_as("GET", "/all", "bound"), 403);
    assert_int_equal(ask_as("DELETE", "/purge", "bound"), 403);
}

static void only_one_bearer_token_counts(void **state)
{
    static const struct {
        const char *lines;
        int status;
    } cases[] = {
        { "Authorization: BEARER reader\r\n", 200 },
        { "AUTHORIZATION: bearer    reader\r\n", 200 },
        { "Authorization: Bearer reader\r\nAuthorization: Bearer reader\r\n", 400 },
        { "Authorization: \r\nAuthorization: Bearer reader\r\n", 400 },
        { "Authorization: Bearer\r\n", 400 },
        { "Authorization: Bearer reader,reader\r\n", 400 },
        { "Authorization: Bearer reader reader\r\n", 400 },
        { "Authorization: Bearer\treader\r\n", 401 },
        { "Authorization: Bearerreader\r\n", 401 },
        { "Authorization: Basic reader\r\n", 401 },
        { "Authorization:\r\n", 401 },
        { "Cookie: Bearer reader\r\n", 401 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int status = ask("GET", "/read", cases[i].lines, NULL, 0);
        if (status != cases[i].status)
            fail_msg("%s: %d", cases[i].lines, status);
    }
}

static void a_rate_of_requests_ends_in_429(void **state)
{
    char value[32];

    (void)state;
    for (int i = 0; i < 10; i++)
        assert_int_equal(ask_as("GET", "/read", "slow"), 200);
    int status = 200;
    for (int i = 0; i < 20 && status == 200; i++) /* a slow machine may earn some more */
        status = ask_as("GET", "/read", "slow");
    assert_int_equal(status, 429);
    struct answer answer = client_once(&fixture, "GET /nothing HTTP/1.1\r\n" HOST
                                                 "Authorization: Bearer slow\r\n\r\n");
    assert_true(answer.status == 429 || answer.status == 404);
    if (answer.status == 429)
        assert_in_range(strtoul(answer_header(&answer, "Retry-After", value, sizeof value), NULL, 10),
                        1, 2);
    answer_free(&answer);
    assert_int_equal(ask_as("GET", "/read", "reader"), 200);
    /* Reading the file again fills no bucket. */
    assert_int_equal(http_auth_reload(auth, NULL), STATUS_OK);
    for (int i = 0, refused = 0; i < 20 && refused == 0; i++) {
        refused = ask_as("GET", "/read", "slow") == 429;
        assert_true(refused || i < 9);
    }
}

static void bytes_count_both_ways_and_the_next_request_pays(void **state)
{
    (void)state;
    /* A stream without a length: 30,000 bytes are 29 s at 1 KiB/s. */
    assert_int_equal(ask_as("GET", "/stream", "thin"), 200);
    assert_int_equal(ask_as("GET", "/read", "thin"), 429);
    assert_int_equal(ask_as("GET", "/read", "writer"), 200);
}

static void a_body_that_was_promised_counts(void **state)
{
    int fd = client_connect(&fixture);

    (void)state;
    client_text(&fixture, fd,
                "PUT /put/a HTTP/1.1\r\n" HOST
                "Authorization: Bearer thin\r\nContent-Length: 20000\r\n\r\n");
    while (calls == 0)
        fixture_turn(&fixture, fd, POLLIN);
    assert_int_equal(ask_as("GET", "/read", "thin"), 429);
    close(fd);
}

static void tokens_come_and_go_while_requests_run(void **state)
{
    int fd = client_connect(&fixture);

    (void)state;
    client_text(&fixture, fd,
                "PUT /put/a HTTP/1.1\r\n" HOST
                "Authorization: Bearer writer\r\nContent-Length: 2\r\n\r\n");
    while (calls == 0)
        fixture_turn(&fixture, fd, POLLIN);
    write_tokens(false);
    assert_int_equal(http_auth_reload(auth, NULL), STATUS_OK);
    assert_int_equal(http_auth_count(auth), 1);
    assert_int_equal(ask_as("PUT", "/put/a", "writer"), 401);
    /* What had begun ends. */
    client_text(&fixture, fd, "ok");
    struct answer answer = client_answer(&fixture, fd, false);
    assert_int_equal(answer.status, 204);
    answer_free(&answer);
    close(fd);
}

static void a_wrong_file_leaves_the_old_one_in_force(void **state)
{
    struct error err;

    (void)state;
    error_init(&err);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(http_auth_reload(auth, &err), STATUS_BAD_VALUE);
    assert_int_equal(ask_as("GET", "/read", "reader"), 200);
    FILE *file = fopen(path, "w");
    fputs("nonsense\n", file);
    fclose(file);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(http_auth_reload(auth, &err), STATUS_BAD_VALUE);
    assert_non_null(strstr(err.text, "line 1"));
    unlink(path);
    assert_int_equal(http_auth_reload(auth, &err), STATUS_NOT_FOUND);
    assert_int_equal(ask_as("GET", "/read", "reader"), 200);
}

static void nobody_reads_where_that_is_allowed(void **state)
{
    char body[256];

    (void)state;
    assert_int_equal(ask("GET", "/read", "", body, sizeof body), 200);
    assert_string_equal(body, " - 11 0");
    assert_int_equal(ask("GET", "/nothing", "", NULL, 0), 404);
    assert_int_equal(ask("POST", "/read", "", NULL, 0), 405);
    assert_int_equal(ask("PUT", "/put/a", "Content-Length: 0\r\n", NULL, 0), 401);
    assert_int_equal(ask("PUT", "/copy/a", "Content-Length: 0\r\n", NULL, 0), 401);
    assert_int_equal(ask("DELETE", "/purge", "", NULL, 0), 401);
    /* A token that is wrong is said to be. */
    assert_int_equal(ask_as("GET", "/read", "nobody"), 401);
    assert_int_equal(ask_as("GET", "/read", "gone"), 401);
    assert_int_equal(ask_as("GET", "/read", "reader"), 200);
}

int main(void)
{
#define CLOSED(test) cmocka_unit_test_setup_teardown(test, setup_closed, teardown)
    const struct CMUnitTest tests[] = {
        CLOSED(refusals_come_in_their_order),
        CLOSED(each_role_may_what_its_routes_say),
        CLOSED(a_handler_knows_its_caller),
        CLOSED(a_connection_carries_no_right_over),
        CLOSED(a_bound_token_comes_to_its_sources_only),
        CLOSED(only_one_bearer_token_counts),
        CLOSED(a_rate_of_requests_ends_in_429),
        CLOSED(bytes_count_both_ways_and_the_next_request_pays),
        CLOSED(a_body_that_was_promised_counts),
        CLOSED(tokens_come_and_go_while_requests_run),
        CLOSED(a_wrong_file_leaves_the_old_one_in_force),
        cmocka_unit_test_setup_teardown(nobody_reads_where_that_is_allowed, setup_anonymous, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
