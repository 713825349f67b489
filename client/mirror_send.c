/* mirror_send.c: to each owner what it lacks, in one body, with the stamps of the other cluster. */
#include "client/mirror_window.h"

#include "client/error.h"
#include "proto/base/clock.h"
#include "proto/base/json_read.h"
#include "proto/node_api.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    MIRROR_STALL_MS = 60000,
    MIRROR_ANSWER_MAX = 4 << 20,
};

static int64_t send_read(struct transfer_request *request, uint8_t *data, size_t size)
{
    struct mirror_send *send = container_of(request, struct mirror_send, request);
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
    struct mirror_send *send = container_of(request, struct mirror_send, request);

    send->at = 0;
    send->at_offset = 0;
    return 0;
}

/* The node names what it stored: exactly what was sent. */
static enum status send_check(struct mirror_send *send, struct error *err)
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
            const struct mirror_item *item = &send->window->items[send->items[i]];
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

static void send_stored(struct mirror_send *send)
{
    send->done = true;
    for (unsigned i = 0; i < send->count; i++)
        send->window->items[send->items[i]].copies++;
}

/* Again after a while, until that has gone on for too long: then the owner is left to sync. */
static void send_retry(struct mirror_send *send)
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
    struct mirror_send *send = container_of(request, struct mirror_send, request);
    struct mirroring *mirroring = send->window->mirroring;
    struct error err;

    (void)unused, (void)unused_err;
    error_init(&err);
    watch_end(&send->watch);
    enum status status = watch_result(&send->watch, transfer_answer_status(request, &err), &err);
    if (status == STATUS_OK)
        status = send_check(send, &err);
    if (status == STATUS_OK)
        send_stored(send);
    else if (status_is_temporary(status))
        send_retry(send);
    else
        mirror_fail(mirroring, status, &err);
    session_wake(mirroring->copy->to);
}

static void send_print_stamps(struct mirror_send *send)
{
    buf_clear(&send->stamps);
    for (unsigned i = 0; i < send->count; i++) {
        uint64_t stamp = send->window->items[send->items[i]].message->stored_at_us;
        buf_format(&send->stamps, "%s%" PRIu64, i > 0 ? "," : "",
                   stamp > 0 ? stamp : 1); /* 0: adopted; older than any */
    }
}

static void send_start(struct mirror_send *send)
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
    if (session_sign(copy->to, &send->request, &err) == STATUS_OK) {
        watch_begin(&send->watch, copy->to, &send->request, copy->to->map->nodes[send->node].url);
        transfer_start(copy->to->transfer, &send->request);
    } else {
        mirror_fail(send->window->mirroring, err.status, &err);
    }
}

/* What could not be read is sent to nobody. */
static void send_leave_out(struct mirror_send *send)
{
    unsigned kept = 0;

    send->size = 0;
    for (unsigned i = 0; i < send->count; i++) {
        const struct mirror_item *item = &send->window->items[send->items[i]];
        if (item->fetch->status != STATUS_OK)
            continue;
        send->size += item->fetch->data.size;
        send->items[kept++] = send->items[i];
    }
    send->count = kept;
    send->done = kept == 0;
}

void mirror_send_start(struct mirror_window *window)
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

bool mirror_send_step(struct mirror_window *window)
{
    uint64_t now_ms = clock_monotonic_ms();
    bool done = true;

    for (unsigned node = 0; node < window->mirroring->copy->to->map->nodes_count; node++) {
        struct mirror_send *send = &window->sends[node];
        if (!send->done && send->request.transfer == NULL && send->retry_at_ms <= now_ms)
            send_start(send);
        done = done && send->done;
    }
    return done;
}
