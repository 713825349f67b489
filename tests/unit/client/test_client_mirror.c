/* test_client_mirror.c: what another cluster's index says of a run, as messages; and lists that are not whole. */
#include "client/mirror_list.h"
#include "fake_server.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define LINE(digest, stamp, node, offset, as)                                                      \
    "{\"digest\":\"" digest "\",\"length\":10,\"stored_at\":" #stamp ",\"node\":\"" node           \
    "\",\"file\":\"0001-00000000000000b1.grib\",\"offset\":" #offset ",\"as\":\"" as "\"}\n"
#define END(count) "{\"end\":true,\"locations\":" #count "}\n"

static const char map_text[] =
    "{\"cluster\":\"00000000000000000000000000000001\",\"epoch\":1,\"shards\":2,\"replicas\":1,\"min_replicas\":1,\"indexers\":[],"
    "\"nodes\":[{\"id\":\"n0\",\"url\":\"http://h0:1\",\"host\":\"h0\",\"colo\":\"a\",\"weight\":100,\"state\":\"in\"},"
    "{\"id\":\"n1\",\"url\":\"http://h1:1\",\"host\":\"h1\",\"colo\":\"a\",\"weight\":100,\"state\":\"in\"}],"
    "\"eras\":[{\"from\":null,\"owners\":[[\"n0\"],[\"n1\"]]}]}";

struct told {
    struct fake_server server;
    const char *lines; /* NULL: 404 */
};

static void tell(void *user, const struct fake_request *request, struct fake_reply *reply)
{
    const struct told *told = user;

    if (strcmp(request->target, "/cluster/map") == 0)
        buf_text(&reply->body, map_text);
    else if (strcmp(request->target, "/v1/runs/hres/20130408T0000Z/locations") == 0 && told->lines != NULL)
        buf_text(&reply->body, told->lines);
    else
        reply->status = 404;
}

/* What is listed where the index says this. */
static enum status list_of(const char *lines, struct mirror_list *list)
{
    struct told told = { .lines = lines };
    struct gs_session *session;
    struct gs_options options;
    struct run_key run;
    struct error err;

    fake_server_start(&told.server, tell, &told);
    gs_options_init(&options);
    options.indexers = options.nodes = told.server.url;
    options.retry_ms = 0;
    assert_int_equal(gs_open(&options, &session, NULL), GS_OK);
    assert_int_equal(run_key_parse(slice_text("hres"), slice_text("20130408T0000Z"), &run, NULL),
                     STATUS_OK);
    error_init(&err);
    enum status status = mirror_list_get(session, &run, list, &err);
    assert_true(status == STATUS_OK || err.text[0] != '\0');
    gs_close(session);
    fake_server_stop(&told.server);
    return status;
}

static void a_message_is_listed_once_with_its_places(void **state)
{
    struct mirror_list list;
    struct digest digest;

    (void)state;
    /* b has two fields, of which one has an older issue, a; b was given two stamps. */
    assert_int_equal(list_of(LINE(B, 5, "n1", 0, "field") LINE(A, 3, "n0", 7, "older")
                                 LINE(B, 6, "n0", 20, "field") LINE(B, 5, "n1", 0, "field")
                                     LINE(A, 3, "gone", 7, "older") END(5),
                             &list),
                     STATUS_OK);
    assert_int_equal(list.count, 2);
    assert_int_equal(list.bytes, 20);
    assert_int_equal(list.all.count, 2);
    assert_int_equal(list.current.count, 1);
    assert_true(digest_parse(slice_text(B), &digest));
    const struct mirror_message *message = mirror_list_find(&list, &digest);
    assert_non_null(message);
    assert_int_equal(message->stored_at_us, 6);
    assert_true(message->current);
    assert_int_equal(message->places_count, 2);
    assert_int_equal(list.places[message->first_place].node, 0);
    assert_int_equal(list.places[message->first_place].offset, 20);
    assert_int_equal(list.places[message->first_place + 1].node, 1);
    assert_true(digest_parse(slice_text(A), &digest));
    message = mirror_list_find(&list, &digest);
    assert_non_null(message);
    assert_false(message->current);
    assert_int_equal(message->places_count, 1); /* the map has no node of the other name */
    memset(&digest, 0xcc, sizeof digest);
    assert_null(mirror_list_find(&list, &digest));
    mirror_list_fini(&list);
}

static void a_message_in_quarantine_is_a_current_one(void **state)
{
    struct mirror_list list;

    (void)state;
    assert_int_equal(list_of(LINE(A, 3, "n0", 7, "quarantine") END(1), &list), STATUS_OK);
    assert_int_equal(list.count, 1);
    assert_true(list.messages[0].current);
    mirror_list_fini(&list);
}

static void a_list_that_is_not_whole_is_none(void **state)
{
    static const char *const cases[] = {
        "",
        LINE(A, 3, "n0", 7, "field"),
        LINE(A, 3, "n0", 7, "field") END(2),
        END(0) LINE(A, 3, "n0", 7, "field"),
        END(0) END(0),
        LINE(A, 3, "n0", 7, "field") "{\"end\":tr",
        "{}\n" END(1),
        "<html>no</html>",
    };
    struct mirror_list list;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        assert_int_equal(list_of(cases[i], &list), STATUS_MALFORMED);
        assert_int_equal(list.count, 0);
        mirror_list_fini(&list);
    }
    assert_int_equal(list_of(NULL, &list), STATUS_NOT_FOUND);
    mirror_list_fini(&list);
    assert_int_equal(list_of(END(0), &list), STATUS_OK);
    assert_int_equal(list.count, 0);
    mirror_list_fini(&list);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_listed_once_with_its_places),
        cmocka_unit_test(a_message_in_quarantine_is_a_current_one),
        cmocka_unit_test(a_list_that_is_not_whole_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
