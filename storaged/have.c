/* have.c: looks digests up here, and with scope=cluster on each owner of them.
 *
 *     body --pool--> looked up here --.--> answer
 *                                     '--scope=cluster--> POST /have to each other owner, at once --> answer
 *
 * A question that names the run's incarnation is about that one: a node that is behind has nothing of it. With places, as
 * a coordinator asks, a run that takes no more is said by its 410.
 *
 * An owner that does not answer can't confirm anything: its digests count as missing, and `unasked` names it. */
#include "storaged/have.h"

#include "storaged/have_request.h"
#include "storaged/node.h"
#include "storaged/peers/peer_request.h"
#include "storaged/request.h"
#include "storaged/work.h"

#include "proto/http/http_auth.h"
#include "proto/node_api.h"
#include "proto/placement.h"

#include <stdio.h>
#include <stdlib.h>

enum { INCARNATION_TEXT_SIZE = 24 };

struct have;

/* One other owner's part of the question. */
struct have_part {
    struct have *have;
    struct transfer_request request;
    struct peer *peer;
    bool *mask; /* owned: the digests it owns; after its answer those it lacks */
    struct buf body;
    bool unasked;
    char url[URL_SIZE_MAX + 16];
};

struct have {
    struct http_exchange *ex;
    struct node_loop *loop;
    struct work work;
    bool cluster;
    uint64_t incarnation; /* of the run that is meant; 0: whichever is here */
    char incarnation_text[INCARNATION_TEXT_SIZE]; /* for the owners */
    struct buf body;                              /* the question as sent */
    uint64_t body_size;                           /* as counted */
    struct have_request request;
    struct store_place *places; /* owned, with request.places */
    struct cluster_view *view;
    struct have_part *parts; /* owned: one a node of the map, where it has a part */
    unsigned parts_running;
    struct buf answer;
    enum status status;
    struct error err;
};

static void have_free(struct have *have)
{
    for (unsigned i = 0; have->parts != NULL && i < have->view->map->nodes_count; i++) {
        free(have->parts[i].mask);
        buf_fini(&have->parts[i].body);
    }
    free(have->parts);
    free(have->places);
    have_request_fini(&have->request);
    cluster_view_release(have->view);
    buf_fini(&have->body);
    buf_fini(&have->answer);
    request_whole_end(have->loop, have->body_size);
    free(have);
}

/* --- on the pool --- */

static void have_look_up(struct have *have)
{
    struct have_request *request = &have->request;
    struct store *store = have->loop->node->store;

    for (unsigned i = 0; i < request->count; i++) {
        struct store_place place;
        enum status status = store_find(store, &request->run, &request->digests[i], true, &place,
                                        &have->err);
        request->missing[i] = status != STATUS_OK;
        if (status == STATUS_OK && have->places != NULL)
            have->places[i] = place;
    }
}

/* Nobody may be told of a message that goes with an older incarnation, nor that a run takes which takes no more. Looked at
 * on both sides of the look-ups: a take-over may come in between. */
static enum status have_look_up_run(struct have *have)
{
    const struct run_key *run = &have->request.run;
    struct store *store = have->loop->node->store;
    struct run_info info;

    store_run_state(store, run, &info);
    if (have->incarnation > info.incarnation)
        return STATUS_OK; /* all missing */
    have_look_up(have);
    store_run_state(store, run, &info);
    if (have->incarnation != 0 && info.incarnation > have->incarnation)
        return error_set(&have->err, STATUS_STALE_RUN, "the run's incarnation is %llu",
                         (unsigned long long)info.incarnation);
    /* Who asks in order to store is told that this run takes nothing more: "known" would be taken for kept. */
    bool to_store = have->cluster || (have->incarnation != 0 && have->places != NULL);
    if (!to_store || info.state == RUN_FILLING || info.state == RUN_READY)
        return STATUS_OK;
    return error_set(&have->err, info.state == RUN_RETIRED ? STATUS_RUN_RETIRED : STATUS_PURGED,
                     "the run is %s", run_state_name(info.state));
}

static void print_known(struct have *have, struct json_writer *json, unsigned i)
{
    const struct store_place *place = &have->places[i];
    char digest[DIGEST_TEXT_SIZE], path[DATA_PATH_SIZE];

    digest_print(&have->request.digests[i], digest);
    data_path_print(&have->request.run, place->shard, place->birth, path);
    json_object_begin(json);
    json_put_string(json, "digest", digest);
    json_put_u64(json, "stored_at", place->stored_at_us);
    json_key(json, "url");
    json_format(json, "%s%s", have->view->url, path);
    json_put_u64(json, "offset", place->offset);
    json_put_u64(json, "length", place->length);
    json_object_end(json);
}

static void print_unasked(struct have *have, struct json_writer *json)
{
    if (have->parts == NULL)
        return;
    json_key(json, "unasked");
    json_array_begin(json);
    for (unsigned i = 0; i < have->view->map->nodes_count; i++) {
        if (have->parts[i].unasked)
            json_text(json, have->view->map->nodes[i].id);
    }
    json_array_end(json);
}

static void have_print(struct have *have)
{
    struct json_writer json;

    buf_init(&have->answer, HAVE_ANSWER_MAX);
    json_init(&json, &have->answer);
    json_object_begin(&json);
    json_key(&json, "missing");
    json_array_begin(&json);
    for (unsigned i = 0; i < have->request.count; i++) {
        char digest[DIGEST_TEXT_SIZE];
        if (!have->request.missing[i])
            continue;
        digest_print(&have->request.digests[i], digest);
        json_text(&json, digest);
    }
    json_array_end(&json);
    if (have->places != NULL) {
        json_key(&json, "known");
        json_array_begin(&json);
        for (unsigned i = 0; i < have->request.count; i++) {
            if (!have->request.missing[i])
                print_known(have, &json, i);
        }
        json_array_end(&json);
    }
    print_unasked(have, &json);
    json_object_end(&json);
}

static void have_run(struct work *work)
{
    struct have *have = container_of(work, struct have, work);

    have->status = have_request_parse(slice_of(have->body.data, have->body.size), &have->request,
                                      &have->err);
    if (have->status != STATUS_OK)
        return;
    if (!http_allows_source(have->ex, slice_text(have->request.run.source))) {
        have->status = STATUS_FORBIDDEN;
        return;
    }
    if (have->request.places && !have->cluster) {
        have->places = calloc(have->request.count + 1, sizeof *have->places);
        if (have->places == NULL)
            abort();
    }
    have->status = have_look_up_run(have);
    if (have->status == STATUS_OK && !have->cluster)
        have_print(have);
}

static void have_reply(struct have *have)
{
    if (have->status == STATUS_FORBIDDEN)
        http_refuse_source(have->ex);
    else if (have->status != STATUS_OK)
        request_fail(have->ex, &have->err);
    else
        request_reply_json(have->ex, 200, &have->answer);
    have_free(have);
}

/* --- scope=cluster --- */

/* What is missing on any owner is missing; what this node does not own does not count here. */
static void have_merge(struct have *have)
{
    struct have_request *request = &have->request;
    const struct cluster_map *map = have->view->map;

    for (unsigned i = 0; i < request->count; i++) {
        unsigned shard = digest_shard(&request->digests[i], map->shards);
        if (!placement_owns(map, request->run.base_time, shard, have->view->self))
            request->missing[i] = false;
        for (unsigned node = 0; node < map->nodes_count; node++)
            request->missing[i] |= have->parts[node].mask != NULL && have->parts[node].mask[i];
    }
}

static void part_run_out(struct have *have)
{
    if (have->parts_running > 0)
        return;
    have_merge(have);
    have_print(have);
    have_reply(have);
}

static void part_on_done(struct transfer_request *request, enum status status, const struct error *failure)
{
    struct have_part *part = request->user;
    struct have *have = part->have;
    struct node_loop *loop = have->loop;
    struct error err;

    error_init(&err);
    status = peer_request_done(&loop->node->cluster, part->peer, request, status, failure, &err);
    if (status == STATUS_OK)
        status = have_answer_read(slice_of(request->answer.data, request->answer.size),
                                  &have->request, part->mask, &err);
    part->unasked = status != STATUS_OK; /* its mask is as asked: all missing there */
    transfer_request_fini(request);
    have->parts_running--;
    part_run_out(have);
    node_loop_end(loop);
}

static void part_start(struct have_part *part)
{
    struct have *have = part->have;
    struct transfer_request *request = &part->request;

    unsigned headers = peer_request_init(request, have->view);
    request->headers[headers] = (struct transfer_header){ HEADER_INCARNATION, have->incarnation_text };
    buf_init(&part->body, HAVE_BODY_MAX);
    have_request_print(&have->request, part->mask, &part->body);
    snprintf(part->url, sizeof part->url, "%s/have", part->peer->url);
    request->method = "POST";
    request->url = part->url;
    request->body = slice_of(part->body.data, part->body.size);
    request->answer_max = HAVE_ANSWER_MAX;
    request->on_done = part_on_done;
    request->user = part;
    node_loop_begin(have->loop);
    transfer_start(have->loop->transfer, request);
}

/* Which digest is whose. */
static void have_split(struct have *have)
{
    const struct cluster_map *map = have->view->map;

    have->parts = calloc(map->nodes_count + 1, sizeof *have->parts);
    if (have->parts == NULL)
        abort();
    for (unsigned i = 0; i < have->request.count; i++) {
        unsigned count, shard = digest_shard(&have->request.digests[i], map->shards);
        const uint16_t *owners = placement_owners(map, have->request.run.base_time, shard, &count);
        for (unsigned k = 0; k < count; k++) {
            struct have_part *part = &have->parts[owners[k]];
            if (owners[k] == have->view->self)
                continue;
            if (part->mask == NULL)
                part->mask = calloc(have->request.count + 1, sizeof *part->mask);
            if (part->mask == NULL)
                abort();
            part->mask[i] = true;
        }
    }
}

static void have_ask_owners(struct have *have)
{
    struct run_info info = { .incarnation = have->incarnation };

    if (have->incarnation == 0)
        store_run_state(have->loop->node->store, &have->request.run, &info);
    snprintf(have->incarnation_text, sizeof have->incarnation_text, "%llu",
             (unsigned long long)info.incarnation);
    have_split(have);
    have->parts_running = 1; /* ours, until all are started */
    for (unsigned i = 0; i < have->view->map->nodes_count; i++) {
        struct have_part *part = &have->parts[i];
        if (part->mask == NULL)
            continue;
        part->have = have;
        part->peer = have->view->peers[i];
        part->unasked = !peer_is_up(part->peer);
        if (part->unasked)
            continue;
        have->parts_running++;
        part_start(part);
    }
    have->parts_running--;
    part_run_out(have);
}

static void have_done(struct work *work)
{
    struct have *have = container_of(work, struct have, work);

    if (have->status == STATUS_OK && have->cluster)
        have_ask_owners(have);
    else
        have_reply(have);
}

/* --- the exchange --- */

static void have_on_body(struct http_exchange *ex, enum status status, struct slice body)
{
    struct have *have = http_user(ex);
    struct error err;

    error_init(&err);
    if (status == STATUS_OK) {
        buf_init(&have->body, HAVE_BODY_MAX);
        buf_append(&have->body, body.data, body.size);
        status = buf_status(&have->body);
    }
    if (status != STATUS_OK)
        error_set(&err, status, "the question: %s", status_title(status));
    else
        status = work_start(&have->work, have->loop, have_run, have_done, &err);
    if (status == STATUS_OK)
        return;
    request_fail(ex, &err);
    have_free(have);
}

void have_handle(struct http_exchange *ex)
{
    static const char *const keys[] = { "scope", NULL };
    struct slice scope = http_query(ex, "scope");
    uint64_t incarnation, body_size;
    struct have *have;

    if (!request_keys_known(ex, keys) || !request_incarnation(ex, &incarnation))
        return;
    if (scope.data != NULL && !slice_equals(scope, "cluster") && !slice_equals(scope, "node")) {
        request_fail_with(ex, STATUS_BAD_VALUE, "scope: 'cluster', or 'node'");
        return;
    }
    if (!request_whole_begin(ex, HAVE_BODY_MAX, &body_size))
        return;
    have = calloc(1, sizeof *have);
    if (have == NULL)
        abort();
    have->ex = ex;
    have->body_size = body_size;
    have->loop = request_loop(ex);
    have->incarnation = incarnation;
    have->cluster = scope.data != NULL && slice_equals(scope, "cluster");
    have->view = cluster_view(&have->loop->node->cluster);
    error_init(&have->err);
    http_set_user(ex, have, NULL);
    http_body_gather(ex, HAVE_BODY_MAX, have_on_body);
}
