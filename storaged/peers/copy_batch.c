/* copy_batch.c: prints the request, lets it pull its body, reads what the peer says of each copy. */
#include "storaged/peers/copy_batch.h"

#include "storaged/node.h"
#include "storaged/node_metrics.h"
#include "storaged/peers/peer_request.h"
#include "storaged/peers/replica_answer.h"

#include "proto/base/json_write.h"
#include "proto/node_api.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    COPY_ANSWER_MAX = 8 << 20,
    COPY_TIMEOUT_MS = 30000, /* of a request, and besides a second for each 64 KiB: */
    COPY_RATE_MIN = 64, /* bytes a millisecond: who is slower for long holds a place that others wait for */
    COPY_LOOKED_AT_MAX = 4 * COPIES_ASK_COUNT, /* of a list, for copies that may travel together */
};

static void batch_on_ready(struct copy_body *body);

struct copy_batch *copy_batch_new(struct node_loop *loop, struct peer *peer, bool asks)
{
    struct copy_batch *batch = calloc(1, sizeof *batch);

    if (batch == NULL)
        abort();
    batch->loop = loop;
    batch->peer = peer;
    batch->asks = asks;
    batch->view = cluster_view(&loop->node->cluster);
    list_init(&batch->members);
    copy_body_init(&batch->body, loop, &batch->members, batch_on_ready);
    buf_init(&batch->text, COPY_ANSWER_MAX);
    return batch;
}

void copy_batch_free(struct copy_batch *batch)
{
    transfer_request_fini(&batch->request);
    copy_body_fini(&batch->body);
    buf_fini(&batch->text);
    cluster_view_release(batch->view);
    free(batch);
}

/* --- who is in it --- */

static struct copy *batch_next(struct copy_batch *batch, struct copy *copy)
{
    struct list *next = copy == NULL ? batch->members.next : copy->list.next;

    return next == &batch->members ? NULL : container_of(next, struct copy, list);
}

static bool same_body(const struct copy *a, const struct copy *b)
{
    return a->request_id == b->request_id;
}

static bool may_travel_together(const struct copy *a, const struct copy *b)
{
    return a->incarnation == b->incarnation && run_key_compare(a->run, b->run) == 0 &&
           a->apart == b->apart && (!a->apart || same_body(a, b));
}

void copy_batch_fill(struct copy_batch *batch, struct list *from, unsigned count_max, uint64_t size_max)
{
    const struct copy *first = list_first(from, struct copy, list);
    unsigned looked_at = 0;

    list_for_each_safe (item, after, from) {
        struct copy *copy = container_of(item, struct copy, list);

        if (batch->count == count_max || looked_at++ == COPY_LOOKED_AT_MAX)
            return;
        if (!may_travel_together(first, copy))
            continue;
        if (batch->count > 0 && batch->size + copy->message->size > size_max)
            return;
        list_remove(item);
        list_append(&batch->members, item);
        batch->mixed |= !same_body(first, copy);
        batch->count++;
        batch->size += copy->message->size;
    }
}

/* --- its end --- */

static void batch_over(struct copy_batch *batch, enum status status, const struct error *failure)
{
    struct transfer_request *request = &batch->request;
    struct error err;

    error_init(&err);
    batch->answered = status == STATUS_OK;
    status = peer_request_done(&batch->loop->node->cluster, batch->peer, request, status, failure, &err);
    batch->over_quota = peer_over_quota(request);
    if (request->http_status != 0) {
        /* Even a failure lists what was stored before it. */
        struct error parse_err;
        error_init(&parse_err);
        enum status parsed = replica_answer_match(slice_of(request->answer.data, request->answer.size),
                                                  batch->asks, &batch->members, &parse_err);
        if (status == STATUS_OK && parsed != STATUS_OK)
            status = error_set(&err, STATUS_INTERNAL, "node %s: its answer: %s", batch->peer->id,
                               parse_err.text);
    }
    if (status == STATUS_OK && !batch->asks)
        status = error_set(&err, STATUS_INTERNAL, "node %s does not say what became of the message",
                           batch->peer->id);
    batch->on_done(batch, status, &err); /* batch may be gone */
}

static void batch_on_ready(struct copy_body *body)
{
    struct copy_batch *batch = container_of(body, struct copy_batch, body);

    if (batch->over)
        batch_over(batch, batch->over_status, &batch->over_err);
    else
        transfer_body_ready(&batch->request);
}

/* The members' messages have to stay while one of them is read. */
static void batch_on_done(struct transfer_request *request, enum status status, const struct error *failure)
{
    struct copy_batch *batch = request->user;

    if (!batch->body.reading) {
        batch_over(batch, status, failure);
        return;
    }
    batch->over = true;
    batch->over_status = status;
    error_init(&batch->over_err);
    if (failure != NULL)
        batch->over_err = *failure;
}

/* --- PUT /replica --- */

/* T, or T1,T2,...: message i has the i-th, and behind the last they count up by 1. */
static void batch_print_stamps(struct copy_batch *batch)
{
    unsigned tail = 1; /* how many of the last count up by themselves */
    unsigned number = 0;
    uint64_t previous = UINT64_MAX - 1; /* nobody is behind it */

    for (struct copy *copy = batch_next(batch, NULL); copy != NULL; copy = batch_next(batch, copy)) {
        tail = copy->stored_at_us == previous + 1 ? tail + 1 : 1;
        previous = copy->stored_at_us;
    }
    for (struct copy *copy = batch_next(batch, NULL); copy != NULL && number + tail <= batch->count;
         copy = batch_next(batch, copy), number++)
        buf_format(&batch->text, "%s%" PRIu64, number == 0 ? "" : ",", copy->stored_at_us);
}

static int64_t batch_read(struct transfer_request *request, uint8_t *data, size_t size)
{
    struct copy_batch *batch = request->user;

    return copy_body_read(&batch->body, data, size);
}

static int batch_rewind(struct transfer_request *request)
{
    struct copy_batch *batch = request->user;

    copy_body_rewind(&batch->body);
    return 0;
}

static void batch_print_replica(struct copy_batch *batch, struct transfer_header *header)
{
    struct transfer_request *request = &batch->request;

    snprintf(batch->url, sizeof batch->url, "%s/replica/%s", batch->peer->url,
             batch_next(batch, NULL)->run->source);
    batch_print_stamps(batch);
    *header = (struct transfer_header){ HEADER_STORED_AT, buf_string(&batch->text) };
    request->method = "PUT";
    request->body_read = batch_read;
    request->body_rewind = batch_rewind;
    request->body_size = batch->size;
    copy_body_rewind(&batch->body);
    metric_observe(&metric_copy_batches, batch->count);
}

/* --- POST /have --- */

static void batch_print_question(struct copy_batch *batch)
{
    const struct copy *first = batch_next(batch, NULL);
    char text[BASE_TIME_TEXT_SIZE];
    struct json_writer json;

    snprintf(batch->url, sizeof batch->url, "%s/have", batch->peer->url);
    base_time_print_rfc3339(first->run->base_time, text);
    json_init(&json, &batch->text);
    json_object_begin(&json);
    json_put_string(&json, "source", first->run->source);
    json_put_string(&json, "base_time", text);
    json_put_bool(&json, "places", true);
    json_key(&json, "digests");
    json_array_begin(&json);
    for (struct copy *copy = batch_next(batch, NULL); copy != NULL; copy = batch_next(batch, copy)) {
        char digest[DIGEST_TEXT_SIZE];
        digest_print(copy->digest, digest);
        json_text(&json, digest);
    }
    json_array_end(&json);
    json_object_end(&json);
    batch->request.method = "POST";
    batch->request.body = slice_of(batch->text.data, batch->text.size);
}

/* --- its start --- */

void copy_batch_start(struct copy_batch *batch)
{
    const struct copy *first = batch_next(batch, NULL);
    struct transfer_request *request = &batch->request;
    unsigned headers = peer_request_init(request, batch->view);

    snprintf(batch->incarnation, sizeof batch->incarnation, "%" PRIu64, first->incarnation);
    request->headers[headers++] = (struct transfer_header){ HEADER_INCARNATION, batch->incarnation };
    /* One has to do for all of them. */
    request->headers[headers++] = (struct transfer_header){ HEADER_REQUEST_ID, first->request_id };
    if (batch->asks)
        batch_print_question(batch);
    else
        batch_print_replica(batch, &request->headers[headers]);
    request->url = batch->url;
    request->answer_max = COPY_ANSWER_MAX;
    request->timeout_ms = COPY_TIMEOUT_MS + (batch->asks ? 0 : batch->size / COPY_RATE_MIN);
    request->on_done = batch_on_done;
    request->user = batch;
    transfer_start(batch->loop->transfer, request);
}
