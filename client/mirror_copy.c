/* mirror_copy.c: windows through their stages, one fetched while one is sent. */
#include "client/mirror_window.h"

#include <assert.h>
#include <stdlib.h>

enum {
    MIRROR_WAIT_MS = 5, /* on one of two sessions, in turn */
    MIRROR_STAMPS_MAX = 32 << 10,
};

void mirror_fail(struct mirroring *mirroring, enum status status, const struct error *err)
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
    mirror_fail(mirroring, STATUS_NO_MEMORY, &err);
}

static void window_free(struct mirror_window *window)
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
static void window_done(struct mirror_window *window)
{
    struct mirroring *mirroring = window->mirroring;
    struct mirror_copy *copy = mirroring->copy;
    struct error err;

    for (unsigned i = 0; i < window->count; i++) {
        const struct mirror_item *item = &window->items[i];
        bool unread = item->fetch != NULL && item->fetch->status != STATUS_OK;
        unsigned enough = copy->to->map->min_replicas < item->owners ? copy->to->map->min_replicas
                                                                     : item->owners;
        if (!unread && item->copies < enough) {
            error_set(&err, STATUS_TOO_FEW_COPIES, "%u owners of a message answer, it takes %u",
                      item->copies, enough);
            mirror_fail(mirroring, STATUS_TOO_FEW_COPIES, &err);
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

static void window_fill(struct mirror_window *window)
{
    struct mirroring *mirroring = window->mirroring;
    const struct mirror_copy *copy = mirroring->copy;
    uint64_t size = 0;

    while (mirroring->next < copy->picks_count && window->count < MIRROR_WINDOW_MESSAGES) {
        const struct mirror_message *message = &copy->list->messages[copy->picks[mirroring->next]];
        if (window->count > 0 && size + message->length > MIRROR_WINDOW_SIZE)
            break;
        size += message->length;
        window->items[window->count++] = (struct mirror_item){ .message = message };
        mirroring->next++;
    }
}

static void window_begin(struct mirror_window *window)
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
    enum status status = mirror_have(window, &err);
    if (status != STATUS_OK)
        mirror_fail(mirroring, status, &err);
    else if (!mirror_fetch_start(window))
        fail_memory(mirroring);
}

static void window_step(struct mirror_window *window)
{
    struct mirroring *mirroring = window->mirroring;

    if (window->stage == WINDOW_FREE && mirroring->next < mirroring->copy->picks_count)
        window_begin(window);
    if (mirroring->status == STATUS_OK && window->stage == WINDOW_FETCH && mirror_fetch_step(window))
        mirror_send_start(window);
    if (mirroring->status == STATUS_OK && window->stage == WINDOW_SEND && mirror_send_step(window))
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
        struct mirror_window *window = &mirroring->windows[i];
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
            mirror_fail(mirroring, status, &err);
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
