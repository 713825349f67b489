/* transfer.c: the life of a request: start, run, result, call back; and the driver that waits without a loop. */
#include "proto/base/clock.h"
#include "proto/transfer/transfer_engine.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <strings.h>

enum {
    TRANSFER_CONNECTIONS_MAX = 64,
    TRANSFER_HOST_CONNECTIONS_MAX = 16,
    TRANSFER_CONNECT_TIMEOUT_MS = 2000,
    TRANSFER_STALL_TIMEOUT_MS = 10000,
    TRANSFER_ANSWER_MAX = 1 << 20,
    TRANSFER_POLL_MAX_MS = 60000,
};

/* ---- the transfer ---- */

static pthread_once_t transfer_once = PTHREAD_ONCE_INIT;
static CURLcode transfer_global;

static void transfer_global_init(void)
{
    transfer_global = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static char *text_copy(const char *text, const char *missing, bool *copied)
{
    if (text == NULL)
        text = missing;
    if (text == NULL)
        return NULL;
    char *copy = strdup(text);
    *copied = *copied && copy != NULL;
    return copy;
}

static void transfer_free_options(struct transfer_options *options)
{
    free((char *)options->user_agent);
    free((char *)options->ca_file);
    free((char *)options->cert_file);
    free((char *)options->key_file);
}

static bool transfer_copy_options(struct transfer *transfer, const struct transfer_options *from)
{
    static const struct transfer_options none;
    struct transfer_options *to = &transfer->options;
    bool copied = true;

    if (from == NULL)
        from = &none;
    to->connections_max = from->connections_max > 0 ? from->connections_max : TRANSFER_CONNECTIONS_MAX;
    to->connections_per_host_max = from->connections_per_host_max > 0 ? from->connections_per_host_max
                                                                      : TRANSFER_HOST_CONNECTIONS_MAX;
    to->secret = from->secret;
    to->user_agent = text_copy(from->user_agent, "gribstore", &copied);
    to->ca_file = text_copy(from->ca_file, NULL, &copied);
    to->cert_file = text_copy(from->cert_file, NULL, &copied);
    to->key_file = text_copy(from->key_file, NULL, &copied);
    return copied;
}

enum status transfer_setup(struct transfer *transfer, const struct transfer_options *options,
                           struct error *err)
{
    *transfer = (struct transfer){ .check_ms = UINT64_MAX };
    list_init(&transfer->starting);
    list_init(&transfer->running);
    list_init(&transfer->finished);

    pthread_once(&transfer_once, transfer_global_init);
    if (transfer_global != CURLE_OK)
        return error_set(err, STATUS_INTERNAL, "libcurl: %s", curl_easy_strerror(transfer_global));
    transfer->multi = curl_multi_init();
    if (!transfer_copy_options(transfer, options) || transfer->multi == NULL) {
        transfer_teardown(transfer);
        return error_set(err, STATUS_NO_MEMORY, "no memory for requests");
    }
    curl_multi_setopt(transfer->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    curl_multi_setopt(transfer->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS,
                      (long)transfer->options.connections_max);
    curl_multi_setopt(transfer->multi, CURLMOPT_MAX_HOST_CONNECTIONS,
                      (long)transfer->options.connections_per_host_max);
    return STATUS_OK;
}

void transfer_teardown(struct transfer *transfer)
{
    assert(transfer->under_way == 0);
    for (unsigned i = 0; i < transfer->idle_count; i++)
        transfer_handle_free(transfer->idle[i]);
    transfer->idle_count = 0;
    curl_multi_cleanup(transfer->multi);
    transfer->multi = NULL;
    transfer_free_options(&transfer->options);
}

/* ---- requests ---- */

void transfer_request_init(struct transfer_request *request)
{
    *request = (struct transfer_request){
        .connect_timeout_ms = TRANSFER_CONNECT_TIMEOUT_MS,
        .stall_timeout_ms = TRANSFER_STALL_TIMEOUT_MS,
        .answer_max = TRANSFER_ANSWER_MAX,
    };
    list_init(&request->list);
    buf_init(&request->answer, TRANSFER_ANSWER_MAX);
    buf_init(&request->answer_headers, TRANSFER_ANSWER_HEADERS_SIZE_MAX);
    error_init(&request->err);
}

void transfer_request_fini(struct transfer_request *request)
{
    assert(request->transfer == NULL);
    buf_fini(&request->answer);
    buf_fini(&request->answer_headers);
}

static void transfer_finish(struct transfer *transfer, struct transfer_request *request)
{
    struct transfer_handle *handle = request->handle;

    assert(request->err.status != STATUS_OK || request->http_status != 0);
    if (handle != NULL)
        handle->finished = true;
    list_remove(&request->list);
    list_append(&transfer->finished, &request->list);
    if (transfer->wake != NULL)
        transfer->wake(transfer);
}

void transfer_start(struct transfer *transfer, struct transfer_request *request)
{
    assert(request->transfer == NULL && request->on_done != NULL);
    assert(request->method != NULL && request->url != NULL);
    request->transfer = transfer;
    request->http_status = 0;
    request->body_sent = 0;
    buf_clear(&request->answer);
    buf_clear(&request->answer_headers);
    error_init(&request->err);
    list_append(&transfer->starting, &request->list);
    transfer->under_way++;
    if (transfer->closing)
        transfer_cancel(request);
    else if (transfer->wake != NULL)
        transfer->wake(transfer);
}

void transfer_cancel(struct transfer_request *request)
{
    if (request->transfer == NULL)
        return;
    error_set(&request->err, STATUS_CANCELLED, "cancelled");
    transfer_finish(request->transfer, request);
}

void transfer_body_ready(struct transfer_request *request)
{
    struct transfer_handle *handle = request->handle;

    if (handle != NULL && !handle->finished)
        curl_easy_pause(handle->easy, CURLPAUSE_CONT); /* whatever goes wrong is told by the request's end */
}

uint64_t transfer_silent_ms(const struct transfer_request *request)
{
    const struct transfer_handle *handle = request->handle;

    return handle != NULL && handle->moved_ms > 0 ? clock_monotonic_ms() - handle->moved_ms : 0;
}

void transfer_cancel_all(struct transfer *transfer)
{
    list_for_each_safe (item, after, &transfer->starting)
        transfer_cancel(container_of(item, struct transfer_request, list));
    list_for_each_safe (item, after, &transfer->running)
        transfer_cancel(container_of(item, struct transfer_request, list));
}

const char *transfer_answer_header(const struct transfer_request *request, const char *name)
{
    const char *at = (const char *)request->answer_headers.data;
    const char *end = at + request->answer_headers.size;

    if (buf_status(&request->answer_headers) != STATUS_OK || request->answer_headers.size == 0)
        return NULL;
    while (at < end) {
        const char *value = at + strlen(at) + 1;

        if (strcasecmp(at, name) == 0)
            return value;
        at = value + strlen(value) + 1;
    }
    return NULL;
}

/* ---- a turn: outside of libcurl ---- */

static struct transfer_handle *transfer_take_handle(struct transfer *transfer)
{
    if (transfer->idle_count == 0)
        return transfer_handle_new();
    return transfer->idle[--transfer->idle_count];
}

static void transfer_detach(struct transfer *transfer, struct transfer_request *request)
{
    struct transfer_handle *handle = request->handle;

    if (handle == NULL)
        return;
    curl_multi_remove_handle(transfer->multi, handle->easy);
    handle->request = NULL;
    request->handle = NULL;
    if (transfer->idle_count < TRANSFER_IDLE_HANDLES_MAX)
        transfer->idle[transfer->idle_count++] = handle;
    else
        transfer_handle_free(handle);
    curl_slist_free_all(request->sent_headers);
    request->sent_headers = NULL;
}

static enum status transfer_admit_one(struct transfer *transfer, struct transfer_request *request)
{
    struct transfer_handle *handle = transfer_take_handle(transfer);

    if (handle == NULL)
        return error_set(&request->err, STATUS_NO_MEMORY, "no memory for a request");
    request->handle = handle;
    enum status status = transfer_handle_prepare(handle, request, &request->err);
    if (status != STATUS_OK)
        return status;
    uint64_t deadline = transfer_handle_deadline(handle);
    if (deadline < transfer->check_ms)
        transfer->check_ms = deadline;
    CURLMcode code = curl_multi_add_handle(transfer->multi, handle->easy);
    if (code != CURLM_OK)
        return error_set(&request->err, STATUS_INTERNAL, "libcurl: %s", curl_multi_strerror(code));
    return STATUS_OK;
}

static void transfer_admit(struct transfer *transfer)
{
    while (!list_empty(&transfer->starting)) {
        struct transfer_request *request = list_first(&transfer->starting, struct transfer_request, list);

        list_remove(&request->list);
        list_append(&transfer->running, &request->list);
        if (transfer_admit_one(transfer, request) != STATUS_OK)
            transfer_finish(transfer, request);
    }
}

/* Deadlines are kept here and not by libcurl: its own stall limit counts whole seconds, and does not run on a loop
 * where no socket has news. */
static void transfer_expire(struct transfer *transfer)
{
    uint64_t now = clock_monotonic_ms();

    if (now < transfer->check_ms)
        return;
    transfer->check_ms = UINT64_MAX;
    list_for_each_safe (item, after, &transfer->running) {
        struct transfer_request *request = container_of(item, struct transfer_request, list);
        struct transfer_handle *handle = request->handle;
        uint64_t deadline = transfer_handle_deadline(handle);

        if (deadline > now) {
            if (deadline < transfer->check_ms)
                transfer->check_ms = deadline;
            continue;
        }
        error_set(&request->err, STATUS_TIMEOUT, "no answer after %" PRIu64 " ms",
                  now - handle->started_ms);
        transfer_handle_result(handle, CURLE_OPERATION_TIMEDOUT);
        transfer_finish(transfer, request);
    }
}

static void transfer_reap(struct transfer *transfer)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(transfer->multi, &left)) != NULL) {
        struct transfer_handle *handle = NULL;

        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&handle);
        if (message->msg != CURLMSG_DONE || handle->finished)
            continue;
        transfer_handle_result(handle, message->data.result);
        transfer_finish(transfer, handle->request);
    }
}

static void transfer_deliver(struct transfer *transfer)
{
    assert(!transfer->delivering);
    transfer->delivering = true;
    while (!list_empty(&transfer->finished)) {
        struct transfer_request *request = list_first(&transfer->finished, struct transfer_request, list);
        struct error err = request->err; /* the owner may free or start the request again */

        transfer_detach(transfer, request);
        list_remove(&request->list);
        request->transfer = NULL;
        transfer->under_way--;
        request->on_done(request, err.status, &err);
    }
    transfer->delivering = false;
    if (list_empty(&transfer->running))
        transfer->check_ms = UINT64_MAX; /* or a timer would keep a loop alive for nobody */
}

void transfer_turn(struct transfer *transfer)
{
    transfer_admit(transfer);
    transfer_reap(transfer);
    transfer_expire(transfer);
    transfer_deliver(transfer);
}

/* ---- without a loop ---- */

enum status transfer_new(const struct transfer_options *options, struct transfer **transfer,
                         struct error *err)
{
    *transfer = malloc(sizeof **transfer);
    if (*transfer == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for requests");
    enum status status = transfer_setup(*transfer, options, err);
    if (status != STATUS_OK) {
        free(*transfer);
        *transfer = NULL;
    }
    return status;
}

void transfer_free(struct transfer *transfer)
{
    if (transfer == NULL)
        return;
    assert(transfer->wake == NULL && !transfer->delivering);
    transfer->closing = true;
    transfer_cancel_all(transfer);
    transfer_deliver(transfer);
    transfer_teardown(transfer);
    free(transfer);
}

/* How long to wait for news: until the next request may run out of time, or the caller does. */
static int transfer_poll_ms(const struct transfer *transfer, uint64_t until_ms)
{
    uint64_t now = clock_monotonic_ms();
    uint64_t next = transfer->check_ms < until_ms ? transfer->check_ms : until_ms;

    if (!list_empty(&transfer->starting) || next <= now)
        return 0;
    return next - now > TRANSFER_POLL_MAX_MS ? TRANSFER_POLL_MAX_MS : (int)(next - now);
}

static void transfer_step(struct transfer *transfer, uint64_t until_ms)
{
    int running;

    transfer_admit(transfer);
    curl_multi_perform(transfer->multi, &running);
    transfer_turn(transfer);
    if (transfer->under_way > 0 && !transfer->broken)
        curl_multi_poll(transfer->multi, NULL, 0, transfer_poll_ms(transfer, until_ms), NULL);
}

unsigned transfer_run(struct transfer *transfer, uint64_t timeout_ms)
{
    uint64_t now = clock_monotonic_ms();
    uint64_t until_ms = timeout_ms > UINT64_MAX - now ? UINT64_MAX : now + timeout_ms;

    assert(transfer->wake == NULL && !transfer->delivering);
    transfer->broken = false;
    do {
        transfer_step(transfer, until_ms);
    } while (transfer->under_way > 0 && !transfer->broken && clock_monotonic_ms() < until_ms);
    return transfer->under_way;
}

void transfer_break(struct transfer *transfer)
{
    transfer->broken = true;
}

static void perform_on_done(struct transfer_request *request, enum status status, const struct error *err)
{
    request->err = *err;
    request->err.status = status;
}

enum status transfer_perform(struct transfer *transfer, struct transfer_request *request,
                             struct error *err)
{
    void (*on_done)(struct transfer_request *, enum status, const struct error *) = request->on_done;

    assert(transfer->wake == NULL && !transfer->delivering);
    request->on_done = perform_on_done;
    transfer_start(transfer, request);
    transfer->broken = false;
    while (request->transfer != NULL)
        transfer_step(transfer, UINT64_MAX);
    request->on_done = on_done;
    return transfer_answer_status(request, err);
}
