/* copies.c: channels of one body, one a peer: gather, ask, send, hand out the results.
 *
 *     copies_add ---> ask ---POST /have---> known: done
 *                      |                    missing --.
 *                      '-----------------> send <-----'  ---PUT /replica---> done, each by its line in the answer
 *
 * A request's batch is of one run, because the header names one incarnation, and in the order of adding. */
#include "storaged/peers/copies.h"

#include "storaged/node.h"
#include "storaged/node_metrics.h"
#include "storaged/peers/copy_body.h"
#include "storaged/peers/peer_request.h"
#include "storaged/peers/replica_answer.h"

#include "proto/base/json_write.h"
#include "proto/node_api.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    COPIES_ANSWER_MAX = 8 << 20,
    COPIES_URL_SIZE = URL_SIZE_MAX + SOURCE_SIZE_MAX + 16,
    COPIES_NUMBER_SIZE = 24,
};

struct channel {
    struct copies *copies;
    struct peer *peer;
    struct list ask, send; /* struct copy */
    uint64_t send_size;
    unsigned ask_count, send_count;
    unsigned requests; /* under way */
    struct list list;
};

struct batch {
    struct transfer_request request;
    struct channel *channel;
    struct cluster_view *view; /* owned */
    struct list members;       /* struct copy, in the order of the body */
    unsigned count;
    bool asks, over_quota;
    struct copy_body body;
    bool over; /* the transfer is, but not what the body reads: */
    enum status over_status;
    struct error over_err;
    struct buf text; /* of a question, or the stamps */
    char url[COPIES_URL_SIZE];
    char incarnation[COPIES_NUMBER_SIZE];
};

void copies_init(struct copies *copies, struct node_loop *loop, const char *request_id)
{
    copies->loop = loop;
    copies->request_id = request_id;
    list_init(&copies->channels);
}

void copies_fini(struct copies *copies)
{
    list_for_each_safe (item, after, &copies->channels) {
        list_remove(item);
        free(container_of(item, struct channel, list));
    }
}

static struct channel *channel_get(struct copies *copies, struct peer *peer)
{
    list_for_each (item, &copies->channels) {
        struct channel *channel = container_of(item, struct channel, list);
        if (channel->peer == peer)
            return channel;
    }
    struct channel *channel = calloc(1, sizeof *channel);
    if (channel == NULL)
        abort();
    channel->copies = copies;
    channel->peer = peer;
    list_init(&channel->ask);
    list_init(&channel->send);
    list_append(&copies->channels, &channel->list);
    return channel;
}

static void channel_ask(struct channel *channel, struct copy *copy)
{
    list_append(&channel->ask, &copy->list);
    channel->ask_count++;
}

static void channel_send(struct channel *channel, struct copy *copy)
{
    list_append(&channel->send, &copy->list);
    channel->send_count++;
    channel->send_size += copy->message->size;
}

void copies_add(struct copies *copies, struct copy *copy)
{
    struct channel *channel = channel_get(copies, copy->peer);

    copy->done = false;
    if (copy->ask)
        channel_ask(channel, copy);
    else
        channel_send(channel, copy);
}

static void copy_finish(struct copy *copy, enum status status, const struct error *err)
{
    metric_add(status == STATUS_OK ? &metric_copies_kept : &metric_copies_failed, 1);
    copy->done = true;
    copy->on_done(copy, status, err); /* copy may be gone */
}

/* --- a batch --- */

static struct copy *batch_next(struct batch *batch, struct copy *copy)
{
    struct list *next = copy == NULL ? batch->members.next : copy->list.next;

    return next == &batch->members ? NULL : container_of(next, struct copy, list);
}

static bool same_run(const struct copy *a, const struct copy *b)
{
    return a->incarnation == b->incarnation && run_key_compare(a->run, b->run) == 0;
}

/* Moves the first copies of from into the batch, as long as they are of one run and fit. */
static uint64_t batch_fill(struct batch *batch, struct list *from, unsigned count_max, uint64_t size_max)
{
    struct copy *first = list_first(from, struct copy, list);
    uint64_t size = 0;

    while (!list_empty(from) && batch->count < count_max) {
        struct copy *copy = list_first(from, struct copy, list);
        if (batch->count > 0 && (!same_run(first, copy) || size + copy->message->size > size_max))
            break;
        list_remove(&copy->list);
        list_append(&batch->members, &copy->list);
        batch->count++;
        size += copy->message->size;
    }
    return size;
}

/* T, or T1,T2,...: message i has the i-th, and behind the last they count up by 1. */
static void batch_print_stamps(struct batch *batch)
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
    struct batch *batch = request->user;

    return copy_body_read(&batch->body, data, size);
}

static int batch_rewind(struct transfer_request *request)
{
    struct batch *batch = request->user;

    copy_body_rewind(&batch->body);
    return 0;
}

static void channel_pump(struct channel *channel);

static void batch_free(struct batch *batch)
{
    transfer_request_fini(&batch->request);
    copy_body_fini(&batch->body);
    buf_fini(&batch->text);
    cluster_view_release(batch->view);
    free(batch);
}

/* Everybody left in the batch gets status; then the batch is gone and the channel goes on. Copies that finish may free
 * the body with its channels only after the last of them: the channel is kept alive by what it still has under way. */
static void batch_finish(struct batch *batch, enum status status, const struct error *err)
{
    struct channel *channel = batch->channel;
    struct node_loop *loop = channel->copies->loop;
    struct list members;

    list_init(&members);
    list_splice(&members, &batch->members);
    channel->requests--;
    channel_pump(channel); /* before the results: they may be all that keeps the channel */
    while (!list_empty(&members)) {
        struct copy *copy = list_first(&members, struct copy, list);
        list_remove(&copy->list);
        copy->over_quota = !copy->done && batch->over_quota;
        if (copy->done)
            copy_finish(copy, STATUS_OK, NULL);
        else
            copy_finish(copy, status, err);
    }
    batch_free(batch);
    node_loop_end(loop);
}

/* What the peer has is done; what it has not goes to be sent, behind what waits there. */
static void batch_sort_asked(struct batch *batch)
{
    struct list missing;
    unsigned left = 0;

    list_init(&missing);
    list_for_each_safe (item, after, &batch->members) {
        struct copy *copy = container_of(item, struct copy, list);
        if (copy->done)
            continue;
        list_remove(item);
        list_append(&missing, item);
        left++;
    }
    while (!list_empty(&missing)) {
        struct copy *copy = list_first(&missing, struct copy, list);
        list_remove(&copy->list);
        channel_send(batch->channel, copy);
    }
    batch->count -= left;
}

static void batch_over(struct batch *batch, enum status status, const struct error *failure)
{
    struct transfer_request *request = &batch->request;
    struct channel *channel = batch->channel;
    struct error err;

    error_init(&err);
    status = peer_request_done(&channel->copies->loop->node->cluster, channel->peer, request,
                               status, failure, &err);
    batch->over_quota = peer_over_quota(request);
    if (request->http_status != 0) {
        /* Even a failure lists what was stored before it. */
        struct error parse_err;
        error_init(&parse_err);
        enum status parsed = replica_answer_match(slice_of(request->answer.data, request->answer.size),
                                                  batch->asks, &batch->members, &parse_err);
        if (status == STATUS_OK && parsed != STATUS_OK) {
            status = error_set(&err, STATUS_INTERNAL, "node %s: its answer: %s", channel->peer->id,
                               parse_err.text);
            batch->asks = false;
        }
    }
    if (batch->asks && status == STATUS_OK)
        batch_sort_asked(batch);
    else if (status == STATUS_OK)
        error_set(&err, STATUS_INTERNAL, "node %s does not say what became of the message",
                  channel->peer->id);
    batch_finish(batch, status == STATUS_OK ? STATUS_INTERNAL : status, &err);
}

static void batch_on_ready(struct copy_body *body)
{
    struct batch *batch = container_of(body, struct batch, body);

    if (batch->over)
        batch_over(batch, batch->over_status, &batch->over_err);
    else
        transfer_body_ready(&batch->request);
}

/* The members' messages have to stay while one of them is read. */
static void batch_on_done(struct transfer_request *request, enum status status, const struct error *failure)
{
    struct batch *batch = request->user;

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

static struct batch *batch_new(struct channel *channel, bool asks)
{
    struct batch *batch = calloc(1, sizeof *batch);
    struct node_loop *loop = channel->copies->loop;

    if (batch == NULL)
        abort();
    batch->channel = channel;
    batch->asks = asks;
    batch->view = cluster_view(&loop->node->cluster);
    list_init(&batch->members);
    copy_body_init(&batch->body, loop, &batch->members, batch_on_ready);
    buf_init(&batch->text, COPIES_ANSWER_MAX);
    return batch;
}

static void batch_start(struct batch *batch, unsigned headers)
{
    struct channel *channel = batch->channel;
    struct node_loop *loop = channel->copies->loop;
    struct transfer_request *request = &batch->request;

    request->headers[headers] = (struct transfer_header){ HEADER_REQUEST_ID, channel->copies->request_id };
    request->url = batch->url;
    request->answer_max = COPIES_ANSWER_MAX;
    request->on_done = batch_on_done;
    request->user = batch;
    channel->requests++;
    node_loop_begin(loop);
    transfer_start(loop->transfer, request);
}

static void channel_start_send(struct channel *channel)
{
    struct batch *batch = batch_new(channel, false);
    struct transfer_request *request = &batch->request;
    unsigned headers = peer_request_init(request, batch->view);
    uint64_t size = batch_fill(batch, &channel->send, COPIES_BATCH_COUNT, COPIES_BATCH_SIZE);

    channel->send_count -= batch->count;
    channel->send_size -= size;
    const struct copy *first = batch_next(batch, NULL);
    snprintf(batch->url, sizeof batch->url, "%s/replica/%s", channel->peer->url, first->run->source);
    snprintf(batch->incarnation, sizeof batch->incarnation, "%" PRIu64, first->incarnation);
    batch_print_stamps(batch);
    request->method = "PUT";
    request->headers[headers++] = (struct transfer_header){ HEADER_STORED_AT, buf_string(&batch->text) };
    request->headers[headers++] = (struct transfer_header){ HEADER_INCARNATION, batch->incarnation };
    request->body_read = batch_read;
    request->body_rewind = batch_rewind;
    request->body_size = size;
    request->user = batch;
    batch_rewind(request);
    batch_start(batch, headers);
}

static void batch_print_question(struct batch *batch)
{
    const struct copy *first = batch_next(batch, NULL);
    char text[BASE_TIME_TEXT_SIZE];
    struct json_writer json;

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
}

static void channel_start_ask(struct channel *channel)
{
    struct batch *batch = batch_new(channel, true);
    struct transfer_request *request = &batch->request;
    unsigned headers = peer_request_init(request, batch->view);

    batch_fill(batch, &channel->ask, COPIES_ASK_COUNT, UINT64_MAX);
    channel->ask_count -= batch->count;
    snprintf(batch->url, sizeof batch->url, "%s/have", channel->peer->url);
    batch_print_question(batch);
    snprintf(batch->incarnation, sizeof batch->incarnation, "%" PRIu64,
             batch_next(batch, NULL)->incarnation);
    request->headers[headers++] = (struct transfer_header){ HEADER_INCARNATION, batch->incarnation };
    request->method = "POST";
    request->body = slice_of(batch->text.data, batch->text.size);
    batch_start(batch, headers);
}

/* Starts what may leave now: anything while nothing is under way, else only what has gathered enough. */
static void channel_pump(struct channel *channel)
{
    while (channel->requests < COPIES_REQUESTS_MAX) {
        bool idle = channel->requests == 0;
        if (channel->ask_count > 0 && (idle || channel->ask_count >= COPIES_BATCH_COUNT))
            channel_start_ask(channel);
        else if (channel->send_count > 0 && (idle || channel->send_size >= COPIES_BATCH_SIZE ||
                                             channel->send_count >= COPIES_BATCH_COUNT))
            channel_start_send(channel);
        else
            return;
    }
}

void copies_flush(struct copies *copies)
{
    list_for_each (item, &copies->channels)
        channel_pump(container_of(item, struct channel, list));
}
