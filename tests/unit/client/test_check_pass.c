/* test_check_pass.c: what a check says of maps, states and runs, against servers that tell what a case wants. */
#include "client/check_pass.h"
#include "client/gribstore.h"
#include "fake_server.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#define CLUSTER "0123456789abcdef0123456789abcdef"
#define DIGEST "0707070707070707070707070707070707070707070707070707070707070707"
#define RUN(source, state, version, records)                                                             \
    "{\"source\":\"" source "\",\"base_time\":\"20130408T0000Z\",\"incarnation\":1,\"version\":" version \
    ",\"state\":\"" state "\",\"records\":" records "}"

enum { NODES = 2 };

/* One message on both nodes, named there by the index; and what of that is otherwise. */
struct sight {
    const char *index_runs, *node_runs[NODES]; /* NULL: "hres", filling, of version 1 */
    unsigned epoch[NODES];                     /* of the nodes' maps; the index has 1; 0: 1 */
    bool once;         /* the second node's map is another one at the first look only */
    bool empty;        /* no node holds anything of hres */
    bool silent;       /* the second node says nothing */
    const char *found; /* "kind run node: detail", one a line; details of messages are left out */
};

struct world {
    struct sight sight;
    struct fake_server nodes[NODES], indexer;
    unsigned maps_told; /* by the second node; its thread's */
};

/* ---- what they answer ---- */

static void print_map(const struct world *world, unsigned epoch, struct buf *body)
{
    buf_format(body,
               "{\"cluster\":\"" CLUSTER
               "\",\"epoch\":%u,\"shards\":1,\"replicas\":2,\"min_replicas\":1,\"indexers\":[],\"nodes\":[",
               epoch);
    for (unsigned i = 0; i < NODES; i++)
        buf_format(body, "%s{\"id\":\"n%u\",\"url\":\"%s\",\"host\":\"h%u\",\"colo\":\"a\",\"weight\":100,\"state\":\"in\"}",
                   i > 0 ? "," : "", i, world->nodes[i].url, i);
    buf_text(body, "],\"eras\":[{\"from\":null,\"owners\":[[\"n0\",\"n1\"]]}]}");
}

static const char *or_usual(const char *runs)
{
    return runs != NULL ? runs : RUN("hres", "filling", "1", "1");
}

static bool is_of(const char *target, const char *path)
{
    return strncmp(target, path, strlen(path)) == 0;
}

static unsigned node_epoch(struct world *world, unsigned node)
{
    unsigned epoch = world->sight.epoch[node] > 0 ? world->sight.epoch[node] : 1;

    return node == 1 && world->maps_told++ > 0 && world->sight.once ? 1 : epoch;
}

static void node_answer(struct world *world, unsigned node, const char *target, struct fake_reply *reply)
{
    if (world->sight.silent && node == 1)
        reply->status = 0;
    else if (is_of(target, "/cluster/map"))
        print_map(world, node_epoch(world, node), &reply->body);
    else if (is_of(target, "/cluster/runs"))
        buf_format(&reply->body, "{\"full\":true,\"runs\":[%s]}",
                   or_usual(world->sight.node_runs[node]));
    else if (is_of(target, "/cluster/scrub"))
        buf_text(&reply->body, "{\"findings\":[]}");
    else if (!is_of(target, "/cluster/shards/hres/20130408T0000Z") || world->sight.empty)
        reply->status = 404;
    else if (strchr(target, '?') == NULL)
        buf_text(&reply->body, "[{\"shard\":0,\"count\":1}]");
    else
        buf_text(&reply->body,
                 "[{\"digest\":\"" DIGEST
                 "\",\"birth\":\"00000000000000aa\",\"offset\":0,\"length\":10,\"stored_at\":1}]");
}

static void first_answer(void *user, const struct fake_request *request, struct fake_reply *reply)
{
    node_answer(user, 0, request->target, reply);
}

static void second_answer(void *user, const struct fake_request *request, struct fake_reply *reply)
{
    node_answer(user, 1, request->target, reply);
}

static void print_locations(struct buf *body)
{
    for (unsigned i = 0; i < NODES; i++)
        buf_format(body,
                   "{\"digest\":\"" DIGEST "\",\"length\":10,\"stored_at\":1,\"node\":\"n%u\","
                   "\"file\":\"0000-00000000000000aa.grib\",\"offset\":0,\"as\":\"field\"}\n",
                   i);
    buf_format(body, "{\"end\":true,\"locations\":%d}\n", NODES);
}

static void indexer_answer(void *user, const struct fake_request *request, struct fake_reply *reply)
{
    const struct world *world = user;
    const char *target = request->target;

    if (is_of(target, "/v1/cluster/map"))
        print_map(world, 1, &reply->body);
    else if (is_of(target, "/v1/runs/hres/20130408T0000Z/locations"))
        print_locations(&reply->body);
    else if (is_of(target, "/v1/runs/hres/20130408T0000Z"))
        buf_text(&reply->body, RUN("hres", "filling", "1", "1"));
    else if (is_of(target, "/v1/runs"))
        buf_format(&reply->body, "{\"runs\":[%s]}", or_usual(world->sight.index_runs));
    else if (is_of(target, "/v1/status"))
        buf_text(&reply->body, "{\"nodes\":[{\"id\":\"n0\",\"caught_up\":true,\"reachable\":true},"
                               "{\"id\":\"n1\",\"caught_up\":true,\"reachable\":true}]}");
    else
        reply->status = 404;
}

/* ---- a check ---- */

static void findings_print(const struct check_report *report, struct buf *text)
{
    for (size_t i = 0; i < report->findings_count; i++) {
        const struct check_finding *finding = &report->findings[i];
        char run[RUN_TEXT_SIZE] = "-";

        if (finding->has_run)
            run_key_print(&finding->run, run);
        buf_format(text, "%s %s %s", check_kind_info(finding->kind)->name, run,
                   finding->node[0] != '\0' ? finding->node : "-");
        if (finding->detail[0] != '\0' && finding->kind != CHECK_NOT_LISTED)
            buf_format(text, ": %s", finding->detail);
        buf_text(text, "\n");
    }
}

static void look(const struct sight *sight)
{
    struct world *world = calloc(1, sizeof *world);
    const struct check_options options = { .settle_ms = 1, .wait_ms = 60000 };
    struct check_report report = { 0 };
    struct gs_session *session;
    struct gs_options access;
    struct error err;
    struct buf text;

    assert_non_null(world);
    world->sight = *sight;
    fake_server_start(&world->nodes[0], first_answer, world);
    fake_server_start(&world->nodes[1], second_answer, world);
    fake_server_start(&world->indexer, indexer_answer, world);
    gs_options_init(&access);
    access.nodes = world->nodes[0].url;
    access.indexers = world->indexer.url;
    assert_int_equal(gs_open(&access, &session, NULL), GS_OK);
    const struct check_pass pass = { session, &options, NULL };
    error_init(&err);
    if (check_pass(&pass, &report, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    buf_init(&text, 1 << 16);
    findings_print(&report, &text);
    assert_string_equal(buf_string(&text), sight->found);
    buf_fini(&text);
    check_report_fini(&report);
    gs_close(session);
    fake_server_stop(&world->nodes[0]);
    fake_server_stop(&world->nodes[1]);
    fake_server_stop(&world->indexer);
    free(world);
}

static void of_what_agrees_nothing_is_said(void **state)
{
    (void)state;
    look(&(struct sight){ .found = "" });
}

static void a_node_with_another_map_is_named_with_both_epochs(void **state)
{
    (void)state;
    look(&(struct sight){ .epoch = { 1, 4 }, .found = "map-differs - n1: epoch 4, the index has 1\n" });
    look(&(struct sight){ .epoch = { 1, 4 }, .once = true, .found = "" }); /* it came meanwhile */
}

static void a_run_in_another_state_on_a_node_is_named_with_both_states(void **state)
{
    (void)state;
    look(&(struct sight){ .node_runs = { NULL, RUN("hres", "ready", "7", "1") },
                          .found = "state-differs hres/20130408T0000Z n1: ready (incarnation 1, version 7) "
                                   "there, filling (1, 1) in the index\n" });
    look(&(struct sight){ .node_runs = { NULL, RUN("hres", "filling", "2", "1") },
                          .found = "state-differs hres/20130408T0000Z n1: filling (incarnation 1, version 2) "
                                   "there, filling (1, 1) in the index\n" });
    look(&(struct sight){ .node_runs = { NULL, "" }, .found = "" }); /* it has not heard of it */
}

static void a_run_that_only_nodes_know_is_named_unless_it_is_over_or_empty(void **state)
{
    static const char hres[] = RUN("hres", "filling", "1", "1");

    (void)state;
    look(&(struct sight){
        .node_runs = { NULL, RUN("hres", "filling", "1", "1") "," RUN("other", "ready", "2", "3") },
        .found = "run-not-indexed other/20130408T0000Z n1: 3 records in its journal\n" });
    look(&(struct sight){
        .node_runs = { hres, RUN("hres", "filling", "1", "1") "," RUN("other", "retired", "3", "3") },
        .found = "" });
    look(&(struct sight){
        .node_runs = { hres, RUN("hres", "filling", "1", "1") "," RUN("other", "purged", "3", "3") },
        .found = "" });
    look(&(struct sight){
        .node_runs = { hres, RUN("hres", "filling", "1", "1") "," RUN("other", "filling", "1", "0") },
        .found = "" });
}

static void a_run_that_no_node_holds_is_named_once_all_were_listed(void **state)
{
    (void)state;
    look(&(struct sight){ .empty = true,
                          .found = "lost hres/20130408T0000Z -\n"
                                   "dangling hres/20130408T0000Z n0\n"
                                   "dangling hres/20130408T0000Z n1\n"
                                   "run-not-held hres/20130408T0000Z -: 2 places in the index\n" });
    look(&(struct sight){ .empty = true, /* the other one may hold it */
                          .silent = true,
                          .found = "dangling hres/20130408T0000Z n0\nnot-listed - n1\n" });
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_what_agrees_nothing_is_said),
        cmocka_unit_test(a_node_with_another_map_is_named_with_both_epochs),
        cmocka_unit_test(a_run_in_another_state_on_a_node_is_named_with_both_states),
        cmocka_unit_test(a_run_that_only_nodes_know_is_named_unless_it_is_over_or_empty),
        cmocka_unit_test(a_run_that_no_node_holds_is_named_once_all_were_listed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
