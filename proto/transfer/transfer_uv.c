/* transfer_uv.c: a transfer on a libuv loop: libcurl says which sockets and which time, the loop says when.
 *
 * Two timers: one is libcurl's, the other asks for a turn (at once after a start or a cancel, else when the next request
 * may run out of time). One poll handle a socket, freed in its close callback. */
#include "proto/transfer/transfer_uv.h"

#include "proto/base/clock.h"
#include "proto/transfer/transfer_engine.h"

#include <assert.h>
#include <stdlib.h>

struct transfer_uv {
    struct transfer transfer;
    uv_loop_t *loop;    /* borrowed until closed */
    uv_timer_t timeout; /* libcurl's */
    uv_timer_t turn;
    unsigned handles; /* that the loop knows: timers and polls */
    void (*on_closed)(void *data);
    void *data;
};

struct socket_poll {
    uv_poll_t poll;
    struct transfer_uv *uv;
    curl_socket_t socket;
    int events; /* that libcurl wants to hear of */
};

static struct transfer_uv *transfer_uv_of(struct transfer *transfer)
{
    return container_of(transfer, struct transfer_uv, transfer);
}

/* ---- closing ---- */

static void transfer_uv_gone(struct transfer_uv *uv)
{
    if (--uv->handles > 0)
        return;
    if (uv->on_closed != NULL)
        uv->on_closed(uv->data);
    free(uv);
}

static void uv_on_timer_closed(uv_handle_t *handle)
{
    transfer_uv_gone(handle->data);
}

static void uv_on_poll_closed(uv_handle_t *handle)
{
    struct socket_poll *poll = handle->data;
    struct transfer_uv *uv = poll->uv;

    free(poll);
    transfer_uv_gone(uv);
}

static void transfer_uv_end(struct transfer_uv *uv)
{
    if (uv_is_closing((uv_handle_t *)&uv->turn))
        return;
    transfer_teardown(&uv->transfer); /* closes the sockets: their polls go too */
    uv_close((uv_handle_t *)&uv->timeout, uv_on_timer_closed);
    uv_close((uv_handle_t *)&uv->turn, uv_on_timer_closed);
}

/* ---- turns ---- */

static void uv_on_turn(uv_timer_t *timer);

static void transfer_uv_turn(struct transfer_uv *uv)
{
    struct transfer *transfer = &uv->transfer;

    transfer_turn(transfer);
    if (transfer->closing && transfer->under_way == 0) {
        transfer_uv_end(uv);
    } else if (list_empty(&transfer->starting) && list_empty(&transfer->finished)) {
        uint64_t now = clock_monotonic_ms();

        if (transfer->check_ms == UINT64_MAX)
            uv_timer_stop(&uv->turn);
        else
            uv_timer_start(&uv->turn, uv_on_turn,
                           transfer->check_ms > now ? transfer->check_ms - now : 0, 0);
    }
}

static void uv_on_turn(uv_timer_t *timer)
{
    transfer_uv_turn(timer->data);
}

static void transfer_uv_wake(struct transfer *transfer)
{
    struct transfer_uv *uv = transfer_uv_of(transfer);

    if (!transfer->delivering || !list_empty(&transfer->starting))
        uv_timer_start(&uv->turn, uv_on_turn, 0, 0);
}

static void uv_on_timeout(uv_timer_t *timer)
{
    struct transfer_uv *uv = timer->data;
    int running;

    curl_multi_socket_action(uv->transfer.multi, CURL_SOCKET_TIMEOUT, 0, &running);
    transfer_uv_turn(uv);
}

/* An error of the socket (a reset) stands behind what the other side sent before it: libcurl reads that first, and then meets
 * the error itself. libuv stops a handle with an error, so it is started again until libcurl lets go of the socket. */
static void uv_on_socket(uv_poll_t *handle, int status, int events)
{
    struct socket_poll *poll = handle->data;
    struct transfer_uv *uv = poll->uv;
    int flags = 0, running;

    if (status < 0)
        flags = poll->events & UV_READABLE ? CURL_CSELECT_IN : CURL_CSELECT_ERR;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    curl_multi_socket_action(uv->transfer.multi, poll->socket, flags, &running);
    /* The handle outlives its close until the loop comes round. */
    if (status < 0 && !uv_is_closing((uv_handle_t *)handle) && !uv_is_active((uv_handle_t *)handle))
        uv_poll_start(handle, poll->events, uv_on_socket);
    transfer_uv_turn(uv);
}

/* ---- what libcurl asks of a loop ---- */

static int uv_set_timeout(CURLM *multi, long timeout_ms, void *user)
{
    struct transfer_uv *uv = user;

    (void)multi;
    if (uv_is_closing((uv_handle_t *)&uv->timeout))
        return 0;
    if (timeout_ms < 0)
        uv_timer_stop(&uv->timeout);
    else
        uv_timer_start(&uv->timeout, uv_on_timeout, (uint64_t)timeout_ms, 0);
    return 0;
}

static struct socket_poll *socket_poll_new(struct transfer_uv *uv, curl_socket_t socket)
{
    struct socket_poll *poll = calloc(1, sizeof *poll);

    if (poll == NULL)
        return NULL;
    poll->uv = uv;
    poll->socket = socket;
    if (uv_poll_init_socket(uv->loop, &poll->poll, socket) != 0) {
        free(poll);
        return NULL;
    }
    poll->poll.data = poll;
    uv->handles++;
    curl_multi_assign(uv->transfer.multi, socket, poll);
    return poll;
}

static int uv_watch_socket(CURL *easy, curl_socket_t socket, int what, void *user, void *assigned)
{
    struct transfer_uv *uv = user;
    struct socket_poll *poll = assigned;
    int events = 0;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (poll == NULL)
            return 0;
        curl_multi_assign(uv->transfer.multi, socket, NULL);
        uv_poll_stop(&poll->poll);
        uv_close((uv_handle_t *)&poll->poll, uv_on_poll_closed);
        return 0;
    }
    if (poll == NULL && (poll = socket_poll_new(uv, socket)) == NULL)
        return -1; /* libcurl fails its transfers */
    if (what & CURL_POLL_IN)
        events |= UV_READABLE;
    if (what & CURL_POLL_OUT)
        events |= UV_WRITABLE;
    poll->events = events;
    return uv_poll_start(&poll->poll, events, uv_on_socket) == 0 ? 0 : -1;
}

/* ---- open and close ---- */

enum status transfer_uv_new(const struct transfer_options *options, uv_loop_t *loop,
                            struct transfer **transfer, struct error *err)
{
    struct transfer_uv *uv = calloc(1, sizeof *uv);

    *transfer = NULL;
    if (uv == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for requests");
    enum status status = transfer_setup(&uv->transfer, options, err);
    if (status != STATUS_OK) {
        free(uv);
        return status;
    }
    uv->loop = loop;
    uv->transfer.wake = transfer_uv_wake;
    uv_timer_init(loop, &uv->timeout);
    uv_timer_init(loop, &uv->turn);
    uv->timeout.data = uv->turn.data = uv;
    uv->handles = 2;
    curl_multi_setopt(uv->transfer.multi, CURLMOPT_SOCKETFUNCTION, uv_watch_socket);
    curl_multi_setopt(uv->transfer.multi, CURLMOPT_SOCKETDATA, uv);
    curl_multi_setopt(uv->transfer.multi, CURLMOPT_TIMERFUNCTION, uv_set_timeout);
    curl_multi_setopt(uv->transfer.multi, CURLMOPT_TIMERDATA, uv);
    *transfer = &uv->transfer;
    return STATUS_OK;
}

void transfer_uv_close(struct transfer *transfer, void (*on_closed)(void *data), void *data)
{
    struct transfer_uv *uv = transfer_uv_of(transfer);

    assert(transfer->wake == transfer_uv_wake && !transfer->closing);
    uv->on_closed = on_closed;
    uv->data = data;
    transfer->closing = true;
    transfer_cancel_all(transfer);
    uv_timer_start(&uv->turn, uv_on_turn, 0, 0); /* owners hear of it from the loop, never from here */
}
