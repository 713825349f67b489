/* copies.c: channels of a loop, one a peer: gather, ask, send, hand out the results.
 *
 *     copies_add ---> ask ---POST /have---> known: done
 *                      |                    missing --.
 *                      '-----------------> send <-----'  ---PUT /replica---> done, each by its line in the answer
 *
 * A channel has three lanes, so that no message waits behind a large one, and no question behind bytes. What a peer that
 * does not answer leaves under way fails by the time limits; what has gathered behind it fails with it. */
#include "storaged/peers/copies.h"

#include "storaged/node.h"
#include "storaged/node_metrics.h"
#include "storaged/peers/copy_batch.h"

#include <stdlib.h>

enum lane_kind { LANE_ASK, LANE_SEND, LANE_LARGE, LANES };

/* What a request takes, and how many may be under way: while they are, copies gather. All lanes together leave connections to
 * that peer for others (transfer.h: 16). */
static const struct lane_rule {
    unsigned batch_count;
    uint64_t batch_size;
    unsigned requests_max;
} lane_rules[LANES] = {
    [LANE_ASK] = { COPIES_ASK_COUNT, UINT64_MAX, 2 },
    [LANE_SEND] = { COPIES_BATCH_COUNT, COPIES_BATCH_SIZE, 4 },
    [LANE_LARGE] = { 1, UINT64_MAX, 6 },
};

struct lane {
    struct list waiting; /* struct copy */
    unsigned requests;   /* under way */
};

struct channel {
    struct copies *copies;
    struct peer *peer;
    struct lane lanes[LANES];
    struct list list;
};

static void copies_on_turn_end(uv_timer_t *timer);

void copies_init(struct copies *copies, struct node_loop *loop)
{
    copies->loop = loop;
    uv_timer_init(&loop->uv, &copies->turn_end);
    list_init(&copies->channels);
}

void copies_close(struct copies *copies)
{
    if (!uv_is_closing((uv_handle_t *)&copies->turn_end))
        uv_close((uv_handle_t *)&copies->turn_end, NULL);
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
    for (unsigned kind = 0; kind < LANES; kind++)
        list_init(&channel->lanes[kind].waiting);
    list_append(&copies->channels, &channel->list);
    return channel;
}

/* --- gather --- */

static enum lane_kind lane_of(const struct copy *copy)
{
    return copy->message->in_file || copy->message->size >= COPIES_BATCH_SIZE ? LANE_LARGE : LANE_SEND;
}

/* It leaves when all that came in this turn has been added. */
static void channel_add(struct channel *channel, enum lane_kind kind, struct copy *copy)
{
    list_append(&channel->lanes[kind].waiting, &copy->list);
    uv_timer_start(&channel->copies->turn_end, copies_on_turn_end, 0, 0);
}

void copies_add(struct copies *copies, struct copy *copy)
{
    struct channel *channel = channel_get(copies, copy->peer);

    copy->done = copy->apart = false;
    channel_add(channel, copy->ask ? LANE_ASK : lane_of(copy), copy);
}

/* --- results --- */

static void copy_finish(struct copy *copy, enum status status, const struct error *err)
{
    metric_add(status == STATUS_OK ? &metric_copies_kept : &metric_copies_failed, 1);
    copy->done = true;
    copy->on_done(copy, status, err); /* copy may be gone */
}

static void copies_finish(struct list *copies, enum status status, const struct error *err)
{
    while (!list_empty(copies)) {
        struct copy *copy = list_first(copies, struct copy, list);
        list_remove(&copy->list);
        copy_finish(copy, status, err);
    }
}

/* Takes out those that the answer did not name. */
static void batch_take_open(struct copy_batch *batch, struct list *open)
{
    list_for_each_safe (item, after, &batch->members) {
        if (container_of(item, struct copy, list)->done)
            continue;
        list_remove(item);
        list_append(open, item);
    }
}

/* Is it for the sake of one message, or of one body? Then nothing is said of other bodies' messages. */
static bool batch_is_refused_in_part(const struct copy_batch *batch, enum status status)
{
    switch (status) {
    case STATUS_BAD_GRIB:
    case STATUS_NOT_GRIB:
    case STATUS_BAD_DATE:
    case STATUS_BAD_VALUE:
    case STATUS_BAD_REQUEST:
    case STATUS_CLOCK:
    case STATUS_DIGEST_MISMATCH:
    case STATUS_TOO_LARGE:
        return batch->mixed && batch->answered;
    default:
        return batch->mixed && batch->over_quota;
    }
}

/* Back to the lane, to be sent; apart: not with other bodies' again. */
static void channel_send_all(struct channel *channel, struct list *copies, bool apart)
{
    while (!list_empty(copies)) {
        struct copy *copy = list_first(copies, struct copy, list);
        list_remove(&copy->list);
        copy->apart = apart;
        channel_add(channel, lane_of(copy), copy);
    }
}

/* What has gathered for a peer that did not answer would wait as long again: its messages find other nodes now. */
static void channel_fail_waiting(struct channel *channel, enum status status, const struct error *err)
{
    struct list waiting;

    list_init(&waiting);
    for (unsigned kind = 0; kind < LANES; kind++)
        list_splice(&waiting, &channel->lanes[kind].waiting);
    copies_finish(&waiting, status, err);
}

static void batch_on_done(struct copy_batch *batch, enum status status, const struct error *err)
{
    struct channel *channel = batch->user;
    struct node_loop *loop = batch->loop;
    struct list open;

    list_init(&open);
    batch_take_open(batch, &open);
    channel->lanes[batch->lane].requests--;
    copies_finish(&batch->members, STATUS_OK, NULL);
    if (status == STATUS_OK || batch_is_refused_in_part(batch, status))
        channel_send_all(channel, &open, status != STATUS_OK);
    list_for_each (item, &open)
        container_of(item, struct copy, list)->over_quota = batch->over_quota;
    copies_finish(&open, status, err);
    if (status == STATUS_OK && !batch->asks)
        peer_kept(channel->peer);
    if (status == STATUS_TIMEOUT && !batch->answered)
        peer_stalled(channel->peer);
    if (!batch->answered && !peer_is_up(channel->peer))
        channel_fail_waiting(channel, status, err);
    if (!list_empty(&channel->lanes[batch->lane].waiting))
        uv_timer_start(&channel->copies->turn_end, copies_on_turn_end, 0, 0);
    copy_batch_free(batch);
    node_loop_end(loop);
}

/* --- leave --- */

static void channel_start(struct channel *channel, enum lane_kind kind)
{
    const struct lane_rule *rule = &lane_rules[kind];
    struct lane *lane = &channel->lanes[kind];
    struct node_loop *loop = channel->copies->loop;
    struct copy_batch *batch = copy_batch_new(loop, channel->peer, kind == LANE_ASK);

    copy_batch_fill(batch, &lane->waiting, rule->batch_count, rule->batch_size);
    lane->requests++;
    batch->on_done = batch_on_done;
    batch->user = channel;
    batch->lane = kind;
    node_loop_begin(loop);
    copy_batch_start(batch);
}

static void channel_pump(struct channel *channel)
{
    for (unsigned kind = 0; kind < LANES; kind++) {
        const struct lane *lane = &channel->lanes[kind];

        while (!list_empty(&lane->waiting) && lane->requests < lane_rules[kind].requests_max)
            channel_start(channel, kind);
    }
}

static void copies_on_turn_end(uv_timer_t *timer)
{
    struct copies *copies = container_of(timer, struct copies, turn_end);

    list_for_each (item, &copies->channels)
        channel_pump(container_of(item, struct channel, list));
}
