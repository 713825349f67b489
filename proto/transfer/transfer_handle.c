/* transfer_handle.c: one request on one libcurl easy handle: its options, its bytes, its result. */
#include "proto/base/clock.h"
#include "proto/base/secret_file.h"
#include "proto/transfer/transfer_engine.h"
#include "proto/transfer/transfer_secret.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum {
    HANDLE_RECEIVE_SIZE = 128 << 10,
    HANDLE_SEND_SIZE = 256 << 10,
    HANDLE_IDLE_MAX_S = 50,       /* nodes close idle connections after 60 s */
    HANDLE_CA_MAX_S = 60,         /* ca_file is read anew when a connection is made so long after: it may have been replaced */
    HANDLE_EXPECT_SIZE = 1 << 20, /* bodies up to this size are sent without asking first */
    HANDLE_URL_SHOWN = 200,
};

struct transfer_handle *transfer_handle_new(void)
{
    struct transfer_handle *handle = calloc(1, sizeof *handle);

    if (handle == NULL)
        return NULL;
    handle->easy = curl_easy_init();
    if (handle->easy == NULL) {
        free(handle);
        return NULL;
    }
    return handle;
}

void transfer_handle_free(struct transfer_handle *handle)
{
    if (handle == NULL)
        return;
    curl_easy_cleanup(handle->easy);
    free(handle);
}

uint64_t transfer_handle_deadline(const struct transfer_handle *handle)
{
    const struct transfer_request *request = handle->request;
    uint64_t deadline = UINT64_MAX;

    if (request->timeout_ms > 0)
        deadline = handle->started_ms + request->timeout_ms;
    if (request->stall_timeout_ms > 0 && handle->moved_ms > 0 &&
        handle->moved_ms + request->stall_timeout_ms < deadline)
        deadline = handle->moved_ms + request->stall_timeout_ms;
    return deadline;
}

/* ---- libcurl's callbacks: no call into the multi handle from here ---- */

static void handle_moved(struct transfer_handle *handle)
{
    handle->moved_ms = clock_monotonic_ms();
}

/* The connection stands; from here on silence counts. */
static int handle_on_connected(void *data, char *to, char *from, int to_port, int from_port)
{
    struct transfer_handle *handle = data;
    struct transfer *transfer = handle->request->transfer;

    (void)to, (void)from, (void)to_port, (void)from_port;
    handle_moved(handle);
    uint64_t deadline = transfer_handle_deadline(handle);
    if (deadline < transfer->check_ms)
        transfer->check_ms = deadline;
    return CURL_PREREQFUNC_OK;
}

static int handle_on_progress(void *data, curl_off_t get_size, curl_off_t got, curl_off_t put_size,
                              curl_off_t sent)
{
    struct transfer_handle *handle = data;
    uint64_t moved = (uint64_t)got + (uint64_t)sent;

    (void)get_size, (void)put_size;
    if (moved != handle->moved) {
        handle->moved = moved;
        handle_moved(handle);
    }
    return handle->finished;
}

static size_t handle_read_slice(struct transfer_request *request, uint8_t *data, size_t size)
{
    size_t left = request->body.size - request->body_sent;

    if (size > left)
        size = left;
    if (size > 0)
        memcpy(data, request->body.data + request->body_sent, size);
    request->body_sent += size;
    return size;
}

static size_t handle_on_read(char *data, size_t unit, size_t count, void *user)
{
    struct transfer_handle *handle = user;
    struct transfer_request *request = handle->request;

    if (handle->finished)
        return CURL_READFUNC_ABORT;
    if (request->body_read == NULL)
        return handle_read_slice(request, (uint8_t *)data, unit * count);
    int64_t size = request->body_read(request, (uint8_t *)data, unit * count);
    if (size >= 0 && (uint64_t)size <= unit * count)
        return (size_t)size;
    if (size == TRANSFER_BODY_LATER)
        return CURL_READFUNC_PAUSE;
    if (!handle->finished)
        error_set(&request->err, STATUS_IO, "the body can't be read");
    return CURL_READFUNC_ABORT;
}

/* A kept connection that the server closed meanwhile: libcurl sends again on a fresh one, from the first byte. */
static int handle_on_seek(void *user, curl_off_t offset, int origin)
{
    struct transfer_request *request = ((struct transfer_handle *)user)->request;

    if (origin != SEEK_SET || offset != 0)
        return CURL_SEEKFUNC_CANTSEEK;
    if (request->body_read == NULL) {
        request->body_sent = 0;
        return CURL_SEEKFUNC_OK;
    }
    if (request->body_rewind == NULL || request->body_rewind(request) != 0)
        return CURL_SEEKFUNC_CANTSEEK;
    return CURL_SEEKFUNC_OK;
}

/* "HTTP/1.1 206 Partial Content": a new answer begins (after 100 Continue, say); what came before is forgotten. */
static void handle_begin_answer(struct transfer_handle *handle, const char *line, size_t size)
{
    struct transfer_request *request = handle->request;
    const char *space = memchr(line, ' ', size);
    uint64_t code;

    handle->headers = 0;
    buf_clear(&request->answer_headers);
    buf_clear(&request->answer);
    request->http_status = 0;
    if (space == NULL || (size_t)(line + size - space) < 4 || decimal_parse(space + 1, 3, 999, &code) != 0)
        return;
    request->http_status = (int)code;
    request->answer.size_max = code / 100 == 2 ? request->answer_max : TRANSFER_ERROR_ANSWER_MAX;
}

static struct slice header_trim(const char *from, const char *end)
{
    while (from < end && (*from == ' ' || *from == '\t'))
        from++;
    while (end > from && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r' || end[-1] == '\n'))
        end--;
    return slice_of(from, (size_t)(end - from));
}

static size_t handle_on_header(char *line, size_t unit, size_t count, void *user)
{
    struct transfer_handle *handle = user;
    struct buf *headers = &handle->request->answer_headers;
    size_t size = unit * count;

    if (handle->finished)
        return 0;
    handle_moved(handle);
    if (!handle->in_head && size >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        handle->in_head = true;
        handle_begin_answer(handle, line, size);
        return size;
    }
    if (header_trim(line, line + size).size == 0)
        handle->in_head = false;
    const char *colon = memchr(line, ':', size);
    if (colon == NULL || handle->headers == TRANSFER_ANSWER_HEADERS_MAX)
        return size;
    handle->headers++;
    struct slice value = header_trim(colon + 1, line + size);
    buf_append(headers, line, (size_t)(colon - line));
    buf_append(headers, "", 1);
    buf_append(headers, value.data, value.size);
    buf_append(headers, "", 1);
    return size;
}

static size_t handle_on_write(char *data, size_t unit, size_t count, void *user)
{
    struct transfer_handle *handle = user;
    struct transfer_request *request = handle->request;
    size_t size = unit * count;

    if (handle->finished)
        return 0;
    handle_moved(handle);
    if (request->on_data != NULL && request->http_status / 100 == 2) {
        if (request->on_data(request, slice_of(data, size)) == 0)
            return size;
        if (!handle->finished)
            error_set(&request->err, STATUS_IO, "its receiver gave up");
        return 0;
    }
    buf_append(&request->answer, data, size);
    if (buf_status(&request->answer) == STATUS_OK)
        return size;
    error_set(&request->err, buf_status(&request->answer), "the answer is larger than %zu bytes",
              request->answer.size_max);
    return 0;
}

/* ---- options ---- */

static bool header_safe(const char *text)
{
    return strpbrk(text, "\r\n") == NULL;
}

static bool handle_add_header(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);

    if (longer != NULL)
        *list = longer;
    return longer != NULL;
}

static bool handle_has_body(const struct transfer_request *request)
{
    return request->body_read != NULL || request->body.size > 0 ||
           strcmp(request->method, "PUT") == 0 || strcmp(request->method, "POST") == 0;
}

static uint64_t handle_body_size(const struct transfer_request *request)
{
    return request->body_read != NULL ? request->body_size : request->body.size;
}

static enum status handle_set_headers(struct transfer_handle *handle, struct error *err)
{
    struct transfer_request *request = handle->request;
    struct curl_slist *list = NULL;
    bool added = true;
    struct buf line;

    buf_init(&line, TRANSFER_ANSWER_HEADERS_SIZE_MAX);
    for (unsigned i = 0; i < TRANSFER_HEADERS_MAX && request->headers[i].name != NULL; i++) {
        const struct transfer_header *header = &request->headers[i];

        added = added && header_safe(header->name) && header_safe(header->value);
        buf_clear(&line);
        /* libcurl drops "Name:"; "Name;" is its word for a header without a value. */
        buf_format(&line, header->value[0] == '\0' ? "%s;" : "%s: %s", header->name, header->value);
        added = added && buf_status(&line) == STATUS_OK && handle_add_header(&list, buf_string(&line));
    }
    buf_clear(&line);
    if (transfer_secret_header(request->transfer->options.secret, request->url, &line))
        added = added && handle_add_header(&list, buf_string(&line));
    secret_wipe(line.data, line.size);
    if (handle_body_size(request) <= HANDLE_EXPECT_SIZE)
        added = added && handle_add_header(&list, "Expect:");
    buf_fini(&line);
    if (!added) {
        curl_slist_free_all(list);
        return error_set(err, STATUS_BAD_VALUE, "a header of the request can't be sent");
    }
    request->sent_headers = list;
    curl_easy_setopt(handle->easy, CURLOPT_HTTPHEADER, list);
    return STATUS_OK;
}

static void handle_set_method(struct transfer_handle *handle)
{
    const struct transfer_request *request = handle->request;
    uint64_t size = handle_body_size(request);
    CURL *easy = handle->easy;

    if (handle_has_body(request)) {
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE,
                         size > INT64_MAX ? (curl_off_t)-1 : (curl_off_t)size);
        curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)HANDLE_SEND_SIZE);
    } else if (strcmp(request->method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else {
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static void handle_set_callbacks(struct transfer_handle *handle)
{
    CURL *easy = handle->easy;

    curl_easy_setopt(easy, CURLOPT_PRIVATE, handle);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, handle->text);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, handle_on_connected);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, handle);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, handle_on_progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, handle);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, handle_on_read);
    curl_easy_setopt(easy, CURLOPT_READDATA, handle);
    curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, handle_on_seek);
    curl_easy_setopt(easy, CURLOPT_SEEKDATA, handle);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, handle_on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, handle);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, handle_on_write);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, handle);
}

/* Redirects stay off: a client that repeats its Range elsewhere would get another node's bytes. Proxies stay off too:
 * a variable of the environment must not come between the nodes of a cluster. */
static void handle_set_connection(struct transfer_handle *handle)
{
    const struct transfer_request *request = handle->request;
    const struct transfer_options *options = &request->transfer->options;
    CURL *easy = handle->easy;

    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)HANDLE_RECEIVE_SIZE);
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)HANDLE_IDLE_MAX_S);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)request->connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, (long)HANDLE_CA_MAX_S);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, options->user_agent);
    if (options->ca_file != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_file);
    if (options->cert_file != NULL)
        curl_easy_setopt(easy, CURLOPT_SSLCERT, options->cert_file);
    if (options->key_file != NULL)
        curl_easy_setopt(easy, CURLOPT_SSLKEY, options->key_file);
}

enum status transfer_handle_prepare(struct transfer_handle *handle,
                                    struct transfer_request *request, struct error *err)
{
    assert(request->transfer != NULL && request->sent_headers == NULL);
    curl_easy_reset(handle->easy); /* a header of the last request must never travel with this one */
    handle->request = request;
    handle->finished = false;
    handle->in_head = false;
    handle->headers = 0;
    handle->moved_ms = handle->moved = 0;
    handle->started_ms = clock_monotonic_ms();
    handle->text[0] = '\0';

    handle_set_callbacks(handle);
    handle_set_connection(handle);
    handle_set_method(handle);
    if (curl_easy_setopt(handle->easy, CURLOPT_URL, request->url) != CURLE_OK)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a request");
    return handle_set_headers(handle, err);
}

/* ---- result ---- */

/* The other side gave up TLS, and said so: it wants a certificate, or does not take ours. libcurl has no code for that. */
static bool handle_is_refused(const struct transfer_handle *handle, CURLcode code)
{
    return (code == CURLE_SSL_CONNECT_ERROR || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR) &&
           strstr(handle->text, "SSL routines:") != NULL && strstr(handle->text, " alert ") != NULL;
}

static enum status handle_status(const struct transfer_handle *handle, CURLcode code)
{
    if (handle_is_refused(handle, code))
        return STATUS_UNTRUSTED;
    switch (code) {
    case CURLE_OK:
        return STATUS_OK;
    case CURLE_OPERATION_TIMEDOUT: /* never connected: nobody is there; connected: it is there and silent */
        return handle->moved_ms == 0 ? STATUS_UNREACHABLE : STATUS_TIMEOUT;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SEND_FAIL_REWIND: /* the connection broke, and the body can't be sent again */
        return STATUS_UNREACHABLE;
    case CURLE_UNSUPPORTED_PROTOCOL: /* of the URL; or, once connected, an answer that is no HTTP/1.1 */
        return handle->moved_ms == 0 ? STATUS_BAD_VALUE : STATUS_MALFORMED;
    case CURLE_URL_MALFORMAT:
        return STATUS_BAD_VALUE;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
        return STATUS_UNTRUSTED;
    case CURLE_OUT_OF_MEMORY:
        return STATUS_NO_MEMORY;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
        return STATUS_MALFORMED;
    default:
        return STATUS_INTERNAL;
    }
}

void transfer_handle_result(struct transfer_handle *handle, CURLcode code)
{
    struct transfer_request *request = handle->request;
    const char *text = handle->text[0] != '\0' ? handle->text : curl_easy_strerror(code);

    if (request->err.status == STATUS_OK && code != CURLE_OK)
        error_set(&request->err, handle_status(handle, code), "%s", text);
    if (request->err.status == STATUS_OK && request->http_status == 0) /* libcurl takes more than the rules do */
        error_set(&request->err, STATUS_MALFORMED, "the answer has a malformed status line");
    if (request->err.status != STATUS_OK)
        error_wrap(&request->err, "%s %.*s", request->method, HANDLE_URL_SHOWN, request->url);
    handle->finished = true;
}
