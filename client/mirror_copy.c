/* mirror_copy.c: windows through their three stages. */
#include "client/mirror_copy.h"

#include "client/batch.h"
#include "client/call.h"
#include "client/error.h"
#include "client/put_answer.h"
#include "proto/base/clock.h"
#include "proto/base/json_read.h"
#include "proto/base/json_write.h"
#include "proto/node_api.h"
#include "proto/placement.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    MIRROR_WAIT_MS = 5, /* on one of two sessions, in turn */
    MIRROR_RETRY_MS = 500,
    MIRROR_STALL_MS = 60000,
    MIRROR_HAVE_MAX = 1 << 20,
    MIRROR_STAMPS_MAX = 32 << 10,
    MIRROR_ANSWER_MAX = 4 << 20,
};

struct window;

/* What one owner is sent of a window. */
struct send {
    struct window *window;
    uint16_t node;
    unsigned *items; /* owned: indexes into the window's messages */
    unsigned count, at;
    uint64_t at_offset, size;
    uint64_t failed_since_ms, retry_at_ms; /* 0: did not fail */
    bool done;
    struct transfer_request request;
    struct buf stamps;
    char url[URL_SIZE_MAX + SOURCE_SIZE_MAX + 16];
};

struct item {
    const struct mirror_message *message;
    struct fetch *fetch;     /* owned; NULL: every owner has it */
    unsigned owners, copies; /* that there are; that have it */
    bool lacking;
};

enum window_stage { WINDOW_FREE, WINDOW_FETCH, WINDOW_SEND };

struct window {
    struct mirroring *mirroring;
    enum window_stage stage;
    struct item items[MIRROR_WINDOW_MESSAGES];
    unsigned count;
    struct list batches;
    struct send *sends; /* owned: one a node of the map */
};

struct mirroring {
    struct mirror_copy *copy;
    size_t next; /* of the picks */
    struct window windows[MIRROR_WINDOWS];
    uint64_t *down_until_ms; /* owned: of each node here */
    enum status status;      /* the first failure that ends it */
    struct error err;
};

static void fail(struct mirroring *mirroring, enum status status, const struct error *err)
{
    if (mirroring->status != STATUS_OK)
        return;
    mirroring->status = status;
    mirroring->err = *err;
    mirroring->err.status = status;
}

static void fail_memory(struct mirroring *mirroring)
{
    struct error err;

    error_set(&err, STATUS_NO_MEMORY, "no memory for messages");
    fail(mirroring, STATUS_NO_MEMORY, &err);
}

static const uint16_t *owners_of(const struct mirroring *mirroring, const struct digest *digest,
                                 unsigned *count)
{
    const struct cluster_map *map = mirroring->copy->to->map;

    return placement_owners(map, mirroring->copy->run.base_time, digest_shard(digest, map->shards), count);
}

static bool owns(const struct mirroring *mirroring, const struct digest *digest, unsigned node)
{
    unsigned count;
    const uint16_t *owners = owners_of(mirroring, digest, &count);

    for (unsigned i = 0; i < count; i++)
        if (owners[i] == node)
            return true;
    return false;
}

/* --- which owner lacks what --- */

static void have_print(const struct mirroring *mirroring, const struct put_message *asked,
                       unsigned count, struct buf *body)
{
    char base_time[BASE_TIME_TEXT_SIZE], text[DIGEST_TEXT_SIZE];
    struct json_writer json;

    base_time_print(mirroring->copy->run.base_time, base_time);
    json_init(&json, body);
    json_object_begin(&json);
    json_put_string(&json, "source", mirroring->copy->run.source);
    json_put_string(&json, "base_time", base_time);
    json_key(&json, "digests");
    json_array_begin(&json);
    for (unsigned i = 0; i < count; i++) {
        digest_print(&asked[i].digest, text);
        json_text(&json, text);
    }
    json_array_end(&json);
    json_object_end(&json);
}

static enum status have_ask(struct mirroring *mirroring, unsigned node, struct put_message *asked,
                            unsigned count, struct error *err)
{
    struct gs_session *to = mirroring->copy->to;
    struct call call = { .to = CALL_URL,
                         .url = to->map->nodes[node].url,
                         .method = "POST",
                         .path = "/have",
                         .answer_max = MIRROR_HAVE_MAX };
    struct call_answer answer;
    struct buf body;

    buf_init(&body, MIRROR_HAVE_MAX);
    have_print(mirroring, asked, count, &body);
    call.body = slice_of(body.data, body.size);
    enum status status = buf_status(&body) == STATUS_OK
                             ? call_run(to, &call, &answer, err)
                             : error_set(err, STATUS_NO_MEMORY, "no memory for a question");
    if (status == STATUS_OK)
        status = put_answer_have(&answer.body, asked, count, err);
    if (buf_status(&body) == STATUS_OK)
        call_answer_fini(&answer);
    buf_fini(&body);
    return status;
}

static bool send_take(struct window *window, unsigned node, unsigned item)
{
    struct send *send = &window->sends[node];

    if (send->items == NULL)
        send->items = calloc(MIRROR_WINDOW_MESSAGES, sizeof *send->items);
    if (send->items == NULL)
        return false;
    send->items[send->count++] = item;
    send->size += window->items[item].message->length;
    window->items[item].lacking = true;
    return true;
}

/* An owner that does not answer now has nothing, as far as is known, and is sent nothing. */
static enum status have_node(struct window *window, unsigned node, struct put_message *asked,
                             unsigned *places, struct error *err)
{
    struct mirroring *mirroring = window->mirroring;
    unsigned count = 0;

    for (unsigned i = 0; i < window->count; i++)
        if (owns(mirroring, &window->items[i].message->digest, node)) {
            asked[count] = (struct put_message){ .digest = window->items[i].message->digest };
            places[count++] = i;
            window->items[i].owners++;
        }
    if (count == 0 || mirroring->copy->to->map->nodes[node].state == NODE_OUT ||
        mirroring->down_until_ms[node] > clock_monotonic_ms())
        return STATUS_OK;
    enum status status = have_ask(mirroring, node, asked, count, err);
    if (status_is_temporary(status)) {
        mirroring->down_until_ms[node] = clock_monotonic_ms() + 10 * MIRROR_RETRY_MS;
        return STATUS_OK;
    }
    for (unsigned i = 0; status == STATUS_OK && i < count; i++) {
        if (!asked[i].missing)
            window->items[places[i]].copies++;
        else if (!send_take(window, node, places[i]))
            status = error_set(err, STATUS_NO_MEMORY, "no memory for messages");
    }
    return status;
}

static enum status window_have(struct window *window, struct error *err)
{
    struct put_message *asked = calloc(MIRROR_WINDOW_MESSAGES, sizeof *asked);
    unsigned *places = calloc(MIRROR_WINDOW_MESSAGES, sizeof *places);
    enum status status = STATUS_OK;

    if (asked == NULL || places == NULL)
        status = error_set(err, STATUS_NO_MEMORY, "no memory for messages");
    for (unsigned node = 0;
         status == STATUS_OK && node < window->mirroring->copy->to->map->nodes_count; node++)
        status = have_node(window, node, asked, places, err);
    free(asked);
    free(places);
    return status;
}

/* --- fetching --- */

/* Its copies, beginning with another one for each message: all holders have the same to do. */
static void fetch_add_places(const struct mirroring *mirroring,
                             const struct mirror_message *message, struct fetch *fetch)
{
    const struct mirror_copy *copy = mirroring->copy;
    const struct cluster_map *map = copy->from->map;
    char path[DATA_PATH_SIZE], url[FETCH_URL_MAX];

    for (unsigned i = 0; i < message->places_count; i++) {
        size_t at = (message->digest.bytes[DIGEST_SIZE - 1] + i) % message->places_count;
        const struct mirror_place *place = &copy->list->places[message->first_place + at];
        data_path_print(&copy->run, digest_shard(&message->digest, map->shards), place->birth, path);
        snprintf(url, sizeof url, "%s%s", map->nodes[place->node].url, path);
        (void)fetch_add(fetch, url, place->offset, message->length); /* /sha256/ comes after them */
    }
}

/* Into the last batch of its file, or a new one; alone where there is no memory for one. */
static void fetch_batch(struct window *window, struct fetch *fetch)
{
    const struct fetch_location *location = fetch_first(fetch);

    if (location == NULL)
        return;
    for (struct list *at = window->batches.prev; at != &window->batches; at = at->prev) {
        struct batch *batch = container_of(at, struct batch, list);
        if (strcmp(batch->url, location->url) == 0 && batch_add(batch, fetch))
            return;
    }
    struct batch *batch = batch_new(window->mirroring->copy->from, location->url);
    if (batch == NULL)
        return;
    list_append(&window->batches, &batch->list);
    batch_add(batch, fetch);
}

static bool window_fetch(struct window *window)
{
    for (unsigned i = 0; i < window->count; i++) {
        struct item *item = &window->items[i];
        if (!item->lacking)
            continue;
        item->fetch = malloc(sizeof *item->fetch);
        if (item->fetch == NULL)
            return false;
        fetch_init(item->fetch, window->mirroring->copy->from, &item->message->digest);
        fetch_add_places(window->mirroring, item->message, item->fetch);
        fetch_batch(window, item->fetch);
    }
    window->stage = WINDOW_FETCH;
    return true;
}

static void batches_step(struct window *window)
{
    unsigned active = 0;

    for (struct list *at = window->batches.next, *next; at != &window->batches; at = next) {
        struct batch *batch = container_of(at, struct batch, list);
        next = at->next;
        if (!batch->done && batch->request.transfer == NULL && active < MIRROR_BATCHES)
            batch_start(batch);
        if (batch->done && batch->request.transfer == NULL) {
            list_remove(&batch->list);
            batch_free(batch);
        } else {
            active += batch->request.transfer != NULL;
        }
    }
}

static bool fetches_step(struct window *window)
{
    unsigned active = 0;
    bool done = true;

    batches_step(window);
    for (unsigned i = 0; i < window->count; i++) {
        struct fetch *fetch = window->items[i].fetch;
        if (fetch == NULL || fetch->done)
            continue;
        done = false;
        if (fetch->batched)
            continue;
        if (active++ == MIRROR_FETCHES)
            break;
        fetch_step(fetch);
    }
    return done;
}

/* --- sending --- */

static int64_t send_read(struct transfer_request *request, uint8_t *data, size_t size)
{
    struct send *send = container_of(request, struct send, request);
    size_t done = 0;

    while (done < size && send->at < send->count) {
        const struct buf *message = &send->window->items[send->items[send->at]].fetch->data;
        size_t left = message->size - (size_t)send->at_offset,
               part = left < size - done ? left : size - done;
        memcpy(data + done, message->data + send->at_offset, part);
        done += part;
        send->at_offset += part;
        if (send->at_offset == message->size) {
            send->at++;
            send->at_offset = 0;
        }
    }
    return (int64_t)done;
}

static int send_rewind(struct transfer_request *request)
{
    struct send *send = container_of(request, struct send, request);

    send->at = 0;
    send->at_offset = 0;
    return 0;
}

/* The node names what it stored: exactly what was sent. */
static enum status send_check(struct send *send, struct error *err)
{
    json_t *json = NULL, *list, *line;
    size_t i;
    enum status status = json_parse(send->request.answer.data, send->request.answer.size, &json, err);

    if (status == STATUS_OK)
        status = json_get_array(json, "messages", &list, err);
    if (status == STATUS_OK && json_array_size(list) != send->count)
        status = error_set(err, STATUS_MALFORMED, "it names %zu messages, %u were sent",
                           json_array_size(list), send->count);
    if (status == STATUS_OK) {
        json_array_foreach (list, i, line) {
            const struct item *item = &send->window->items[send->items[i]];
            const char *text = "";
            struct digest digest;
            if (json_get_string(line, "digest", &text, NULL) != STATUS_OK ||
                !digest_parse(slice_text(text), &digest) ||
                digest_compare(&digest, &item->message->digest) != 0)
                status = error_set(err, STATUS_MALFORMED, "messages[%zu] is not what was sent", i);
        }
    }
    json_decref(json);
    return error_of_answer(status, err, "the answer to a PUT");
}

static void send_stored(struct send *send)
{
    send->done = true;
    for (unsigned i = 0; i < send->count; i++)
        send->window->items[send->items[i]].copies++;
}

/* Again after a while, until that has gone on for too long: then the owner is left to sync. */
static void send_retry(struct send *send)
{
    struct mirroring *mirroring = send->window->mirroring;
    uint64_t now_ms = clock_monotonic_ms();

    if (send->failed_since_ms == 0)
        send->failed_since_ms = now_ms;
    send->retry_at_ms = now_ms + MIRROR_RETRY_MS;
    if (now_ms - send->failed_since_ms < mirroring->copy->to->retry_ms)
        return;
    send->done = true;
    mirroring->down_until_ms[send->node] = now_ms + 10 * MIRROR_RETRY_MS;
}

static void send_on_done(struct transfer_request *request, enum status unused,
                         const struct error *unused_err)
{
    struct send *send = container_of(request, struct send, request);
    struct mirroring *mirroring = send->window->mirroring;
    struct error err;

    (void)unused, (void)unused_err;
    error_init(&err);
    enum status status = transfer_answer_status(request, &err);
    if (status == STATUS_OK)
        status = send_check(send, &err);
    if (status == STATUS_OK)
        send_stored(send);
    else if (status_is_temporary(status))
        send_retry(send);
    else
        fail(mirroring, status, &err);
    session_wake(mirroring->copy->to);
}

static void send_print_stamps(struct send *send)
{
    buf_clear(&send->stamps);
    for (unsigned i = 0; i < send->count; i++) {
        uint64_t stamp = send->window->items[send->items[i]].message->stored_at_us;
        buf_format(&send->stamps, "%s%" PRIu64, i > 0 ? "," : "",
                   stamp > 0 ? stamp : 1); /* 0: adopted; older than any */
    }
}

static void send_start(struct send *send)
{
    struct mirror_copy *copy = send->window->mirroring->copy;
    struct error err;

    transfer_request_fini(&send->request);
    transfer_request_init(&send->request);
    send_print_stamps(send);
    snprintf(send->url, sizeof send->url, "%s/replica/%s", copy->to->map->nodes[send->node].url,
             copy->run.source);
    send_rewind(&send->request);
    send->request.method = "PUT";
    send->request.url = send->url;
    send->request.body_read = send_read;
    send->request.body_rewind = send_rewind;
    send->request.body_size = send->size;
    send->request.stall_timeout_ms = MIRROR_STALL_MS;
    send->request.answer_max = MIRROR_ANSWER_MAX;
    send->request.headers[0] = (struct transfer_header){ HEADER_STORED_AT, buf_string(&send->stamps) };
    send->request.on_done = send_on_done;
    if (session_sign(copy->to, &send->request, &err) == STATUS_OK)
        transfer_start(copy->to->transfer, &send->request);
    else
        fail(send->window->mirroring, err.status, &err);
}

/* What could not be read is sent to nobody. */
static void send_leave_out(struct send *send)
{
    unsigned kept = 0;

    send->size = 0;
    for (unsigned i = 0; i < send->count; i++) {
        const struct item *item = &send->window->items[send->items[i]];
        if (item->fetch->status != STATUS_OK)
            continue;
        send->size += item->fetch->data.size;
        send->items[kept++] = send->items[i];
    }
    send->count = kept;
    send->done = kept == 0;
}

static void window_fetched(struct window *window)
{
    struct mirror_copy *copy = window->mirroring->copy;
    char text[DIGEST_TEXT_SIZE];

    for (unsigned i = 0; i < window->count; i++) {
        struct fetch *fetch = window->items[i].fetch;
        if (fetch == NULL)
            continue;
        copy->bad_copies += fetch->bad_copies;
        if (fetch->status == STATUS_OK)
            continue;
        copy->unread++;
        copy->unread_err = fetch->err;
        digest_print(&fetch->digest, text);
        error_wrap(&copy->unread_err, "message %s", text);
    }
    for (unsigned node = 0; node < copy->to->map->nodes_count; node++)
        send_leave_out(&window->sends[node]);
    window->stage = WINDOW_SEND;
}

static bool sends_step(struct window *window)
{
    uint64_t now_ms = clock_monotonic_ms();
    bool done = true;

    for (unsigned node = 0; node < window->mirroring->copy->to->map->nodes_count; node++) {
        struct send *send = &window->sends[node];
        if (!send->done && send->request.transfer == NULL && send->retry_at_ms <= now_ms)
            send_start(send);
        done = done && send->done;
    }
    return done;
}

/* --- windows --- */

static void window_free(struct window *window)
{
    struct mirror_copy *copy = window->mirroring->copy;

    while (!list_empty(&window->batches)) {
        struct batch *batch = list_first(&window->batches, struct batch, list);
        list_remove(&batch->list);
        batch_free(batch);
    }
    for (unsigned node = 0; window->sends != NULL && node < copy->to->map->nodes_count; node++) {
        transfer_request_fini(&window->sends[node].request);
        buf_fini(&window->sends[node].stamps);
        free(window->sends[node].items);
    }
    free(window->sends);
    window->sends = NULL;
    for (unsigned i = 0; i < window->count; i++) {
        if (window->items[i].fetch != NULL)
            fetch_fini(window->items[i].fetch);
        free(window->items[i].fetch);
    }
    window->count = 0;
    window->stage = WINDOW_FREE;
}

/* Every message has as many owners as it takes. */
static void window_done(struct window *window)
{
    struct mirroring *mirroring = window->mirroring;
    struct mirror_copy *copy = mirroring->copy;
    struct error err;

    for (unsigned i = 0; i < window->count; i++) {
        const struct item *item = &window->items[i];
        bool unread = item->fetch != NULL && item->fetch->status != STATUS_OK;
        unsigned enough = copy->to->map->min_replicas < item->owners ? copy->to->map->min_replicas
                                                                     : item->owners;
        if (!unread && item->copies < enough) {
            error_set(&err, STATUS_TOO_FEW_COPIES, "%u owners of a message answer, it takes %u",
                      item->copies, enough);
            fail(mirroring, STATUS_TOO_FEW_COPIES, &err);
        }
        copy->known += !item->lacking && item->copies == item->owners;
        copy->too_few += !unread && item->copies < item->owners;
        if (item->fetch == NULL || unread)
            continue;
        copy->messages++;
        copy->bytes += item->message->length;
    }
    window_free(window);
    if (copy->on_progress != NULL)
        copy->on_progress(copy);
}

static void window_fill(struct window *window)
{
    struct mirroring *mirroring = window->mirroring;
    const struct mirror_copy *copy = mirroring->copy;
    uint64_t size = 0;

    while (mirroring->next < copy->picks_count && window->count < MIRROR_WINDOW_MESSAGES) {
        const struct mirror_message *message = &copy->list->messages[copy->picks[mirroring->next]];
        if (window->count > 0 && size + message->length > MIRROR_WINDOW_SIZE)
            break;
        size += message->length;
        window->items[window->count++] = (struct item){ .message = message };
        mirroring->next++;
    }
}

static void window_begin(struct window *window)
{
    struct mirroring *mirroring = window->mirroring;
    unsigned nodes = mirroring->copy->to->map->nodes_count;
    struct error err;

    list_init(&window->batches);
    window_fill(window);
    window->sends = calloc(nodes, sizeof *window->sends);
    if (window->sends == NULL) {
        fail_memory(mirroring);
        return;
    }
    for (unsigned node = 0; node < nodes; node++) {
        window->sends[node].window = window;
        window->sends[node].node = (uint16_t)node;
        transfer_request_init(&window->sends[node].request);
        buf_init(&window->sends[node].stamps, MIRROR_STAMPS_MAX);
    }
    enum status status = window_have(window, &err);
    if (status != STATUS_OK)
        fail(mirroring, status, &err);
    else if (!window_fetch(window))
        fail_memory(mirroring);
}

static void window_step(struct window *window)
{
    struct mirroring *mirroring = window->mirroring;

    if (window->stage == WINDOW_FREE && mirroring->next < mirroring->copy->picks_count)
        window_begin(window);
    if (mirroring->status == STATUS_OK && window->stage == WINDOW_FETCH && fetches_step(window))
        window_fetched(window);
    if (mirroring->status == STATUS_OK && window->stage == WINDOW_SEND && sends_step(window))
        window_done(window);
}

static bool mirroring_over(const struct mirroring *mirroring)
{
    for (unsigned i = 0; i < MIRROR_WINDOWS; i++)
        if (mirroring->windows[i].stage != WINDOW_FREE)
            return false;
    return mirroring->next == mirroring->copy->picks_count;
}

static void mirroring_cancel(struct mirroring *mirroring)
{
    for (unsigned i = 0; i < MIRROR_WINDOWS; i++) {
        struct window *window = &mirroring->windows[i];
        for (unsigned node = 0;
             window->sends != NULL && node < mirroring->copy->to->map->nodes_count; node++) {
            struct transfer_request *request = &window->sends[node].request;
            if (request->transfer != NULL)
                transfer_cancel(request);
            while (request->transfer != NULL)
                transfer_run(mirroring->copy->to->transfer, 10);
        }
        if (window->sends != NULL)
            window_free(window);
    }
}

static void mirroring_go(struct mirroring *mirroring)
{
    struct mirror_copy *copy = mirroring->copy;
    struct error err;

    while (mirroring->status == STATUS_OK && !mirroring_over(mirroring)) {
        for (unsigned i = 0; mirroring->status == STATUS_OK && i < MIRROR_WINDOWS; i++)
            window_step(&mirroring->windows[i]);
        if (mirroring->status != STATUS_OK || mirroring_over(mirroring))
            break;
        enum status status = session_wait(copy->from, MIRROR_WAIT_MS, &err);
        if (status == STATUS_OK)
            status = session_wait(copy->to, MIRROR_WAIT_MS, &err);
        if (status != STATUS_OK)
            fail(mirroring, status, &err);
    }
}

enum status mirror_copy_run(struct mirror_copy *copy, struct error *err)
{
    struct mirroring *mirroring = calloc(1, sizeof *mirroring);
    enum status status = STATUS_NO_MEMORY;

    assert(copy->to->map != NULL && copy->from->map != NULL);
    if (mirroring != NULL)
        mirroring->down_until_ms = calloc(copy->to->map->nodes_count + 1,
                                          sizeof *mirroring->down_until_ms);
    if (mirroring == NULL || mirroring->down_until_ms == NULL) {
        error_set(err, status, "no memory for messages");
    } else {
        mirroring->copy = copy;
        for (unsigned i = 0; i < MIRROR_WINDOWS; i++) {
            mirroring->windows[i].mirroring = mirroring;
            list_init(&mirroring->windows[i].batches);
        }
        mirroring_go(mirroring);
        mirroring_cancel(mirroring);
        status = mirroring->status;
        if (status != STATUS_OK)
            *err = mirroring->err;
    }
    if (mirroring != NULL)
        free(mirroring->down_until_ms);
    free(mirroring);
    return status;
}
