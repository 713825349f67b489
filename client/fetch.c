/* fetch.c: one message, from the first good copy. */
#include "client/fetch.h"

#include "proto/base/clock.h"
#include "proto/grib_frame.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    FETCH_RETRY_MS = 250,
    FETCH_RETRY_MAX_MS = 5000,
    FETCH_STALL_MS = 30000,
    FETCH_RANGE_STALL_MS = 10000
};

void fetch_init(struct fetch *fetch, struct gs_session *session, const struct digest *digest)
{
    *fetch = (struct fetch){ .session = session, .digest = *digest, .started_ms = clock_monotonic_ms() };
    list_init(&fetch->list);
    error_init(&fetch->err);
    buf_init(&fetch->data, GRIB_MESSAGE_SIZE_MAX);
    transfer_request_init(&fetch->request);
}

enum status fetch_add(struct fetch *fetch, const char *url, uint64_t offset, uint64_t length)
{
    if (strlen(url) >= FETCH_URL_MAX || length == 0 || length > GRIB_MESSAGE_SIZE_MAX ||
        offset > INT64_MAX - length)
        return STATUS_BAD_VALUE;
    if (fetch->locations_count == FETCH_LOCATIONS_MAX)
        return STATUS_OK;
    struct fetch_location *location = &fetch->locations[fetch->locations_count++];
    snprintf(location->url, sizeof location->url, "%s", url);
    location->offset = offset;
    location->length = length;
    return STATUS_OK;
}

void fetch_fini(struct fetch *fetch)
{
    fetch->done = true;
    while (fetch->request.transfer != NULL) {
        transfer_cancel(&fetch->request);
        transfer_run(fetch->session->transfer, 0);
    }
    transfer_request_fini(&fetch->request);
    buf_fini(&fetch->data);
}

static void fetch_end(struct fetch *fetch, enum status status)
{
    fetch->done = true;
    fetch->status = status;
    session_wake(fetch->session);
}

/* ---- what a candidate brought ---- */

static int fetch_on_data(struct transfer_request *request, struct slice data)
{
    struct fetch *fetch = container_of(request, struct fetch, request);

    if (fetch->want > 0 && fetch->data.size + data.size > fetch->want)
        return -1; /* not the range that was asked for */
    buf_append(&fetch->data, data.data, data.size);
    return buf_status(&fetch->data) == STATUS_OK ? 0 : -1;
}

static bool fetch_is_good(const struct fetch *fetch)
{
    struct digest digest;

    if (fetch->want > 0 && fetch->data.size != fetch->want)
        return false;
    digest_of(fetch->data.data, fetch->data.size, &digest);
    return digest_compare(&digest, &fetch->digest) == 0;
}

static void fetch_note(struct fetch *fetch, enum status status, const struct error *err)
{
    fetch->status = status;
    fetch->err = *err;
    fetch->err.status = status;
}

static void fetch_on_done(struct transfer_request *request, enum status done, const struct error *unused)
{
    struct fetch *fetch = container_of(request, struct fetch, request);
    struct error err;

    (void)unused;
    error_init(&err);
    session_wake(fetch->session);
    if (fetch->done)
        return;
    enum status status = transfer_answer_status(request, &err);
    if (fetch->node != NULL && done == STATUS_TIMEOUT)
        node_stalled(fetch->node, clock_monotonic_ms());
    else if (fetch->node != NULL && status_is_temporary(status))
        node_failed(fetch->node, clock_monotonic_ms());
    else if (fetch->node != NULL)
        node_answered(fetch->node);
    if (status == STATUS_OK && fetch_is_good(fetch)) {
        fetch_end(fetch, STATUS_OK);
        return;
    }
    if (status == STATUS_OK || (done == STATUS_IO && fetch->data.size > 0)) {
        status = error_set(&err, STATUS_CORRUPT, "%s: the bytes don't have the digest", fetch->url);
        fetch->bad_copies++;
    }
    fetch->corrupt = fetch->corrupt || status == STATUS_CORRUPT || status == STATUS_DAMAGED;
    fetch->absent = fetch->absent || status == STATUS_NOT_FOUND || status == STATUS_PURGED;
    if (status_is_temporary(status) || fetch->status == STATUS_OK)
        fetch_note(fetch, status, &err); /* what may still come right is what to tell */
}

/* ---- candidates ---- */

struct node *fetch_node_of(struct gs_session *session, const char *url)
{
    struct nodes *nodes = &session->nodes;

    for (unsigned i = 0; i < nodes->count; i++) {
        size_t size = strlen(nodes->items[i].url);

        if (strncmp(url, nodes->items[i].url, size) == 0 && (url[size] == '/' || url[size] == '\0'))
            return &nodes->items[i];
    }
    return NULL;
}

static void fetch_start(struct fetch *fetch)
{
    struct error err;

    fetch->node = fetch_node_of(fetch->session, fetch->url);
    buf_clear(&fetch->data);
    transfer_request_fini(&fetch->request);
    transfer_request_init(&fetch->request);
    fetch->request.method = "GET";
    fetch->request.url = fetch->url;
    /* A range comes from its node's disk; /sha256/ may be waiting for others. */
    fetch->request.stall_timeout_ms = fetch->range[0] != '\0' ? FETCH_RANGE_STALL_MS : FETCH_STALL_MS;
    fetch->request.on_data = fetch_on_data;
    fetch->request.on_done = fetch_on_done;
    if (fetch->range[0] != '\0')
        fetch->request.headers[0] = (struct transfer_header){ "Range", fetch->range };
    enum status status = session_sign(fetch->session, &fetch->request, &err);
    if (status == STATUS_OK)
        transfer_start(fetch->session->transfer, &fetch->request);
    else
        fetch_note(fetch, status, &err);
}

static void fetch_start_location(struct fetch *fetch, const struct fetch_location *location)
{
    snprintf(fetch->url, sizeof fetch->url, "%s", location->url);
    snprintf(fetch->range, sizeof fetch->range, "bytes=%" PRIu64 "-%" PRIu64, location->offset,
             location->offset + location->length - 1);
    fetch->want = location->length;
    fetch_start(fetch);
}

static void fetch_start_digest(struct fetch *fetch, const struct node *node)
{
    char text[DIGEST_TEXT_SIZE];

    digest_print(&fetch->digest, text);
    snprintf(fetch->url, sizeof fetch->url, "%s/sha256/%s", node->url, text);
    fetch->range[0] = '\0';
    fetch->want = 0;
    fetch_start(fetch);
}

/* All candidates are behind us. */
static void fetch_round_over(struct fetch *fetch)
{
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t wait_ms = (uint64_t)FETCH_RETRY_MS << (fetch->rounds < 5 ? fetch->rounds : 5);

    if (status_is_temporary(fetch->status) && now_ms - fetch->started_ms < fetch->session->retry_ms) {
        fetch->rounds++;
        fetch->next = 0;
        fetch->put_off = 0;
        fetch->asked = false;
        fetch->retry_at_ms = now_ms + (wait_ms < FETCH_RETRY_MAX_MS ? wait_ms : FETCH_RETRY_MAX_MS);
        fetch->status = STATUS_OK;
        return;
    }
    if (!status_is_temporary(fetch->status) && fetch->corrupt) {
        error_wrap(&fetch->err, "no good copy");
        fetch->err.status = STATUS_CORRUPT;
    } else if (fetch->status == STATUS_OK) {
        error_set(&fetch->err, STATUS_NOT_FOUND, "no node is known that may have it");
    }
    fetch_end(fetch, fetch->err.status);
}

static bool fetch_is_down(const struct node *node)
{
    return node != NULL && node_is_away(node, clock_monotonic_ms());
}

void fetch_offer(struct fetch *fetch, struct buf *bytes, const char *url)
{
    struct digest digest;
    struct error err;

    digest_of(bytes->data, bytes->size, &digest);
    if (digest_compare(&digest, &fetch->digest) == 0) {
        buf_fini(&fetch->data);
        fetch->data = *bytes;
        buf_init(bytes, GRIB_MESSAGE_SIZE_MAX);
        fetch_end(fetch, STATUS_OK);
        return;
    }
    /* Alone it asks that place once more, and then says the same. */
    fetch->corrupt = true;
    fetch_note(fetch, error_set(&err, STATUS_CORRUPT, "%s: the bytes don't have the digest", url), &err);
}

const struct fetch_location *fetch_first(const struct fetch *fetch)
{
    for (unsigned i = 0; i < fetch->locations_count; i++)
        if (!fetch_is_down(fetch_node_of(fetch->session, fetch->locations[i].url)))
            return &fetch->locations[i];
    return fetch->locations_count > 0 ? &fetch->locations[0] : NULL;
}

/* Locations, then /sha256/ of each node; those of nodes that are down once more at the end, for each of them may cost the
 * time that a connection may take. false: this step has nothing to ask. */
static bool fetch_try(struct fetch *fetch, unsigned step, unsigned candidates)
{
    bool late = step >= candidates;
    unsigned at = late ? step - candidates : step;

    if (at < fetch->locations_count) {
        const struct fetch_location *location = &fetch->locations[at];
        uint32_t bit = UINT32_C(1) << at;

        if (!late && fetch_is_down(fetch_node_of(fetch->session, location->url)))
            fetch->put_off |= bit;
        if (late != ((fetch->put_off & bit) != 0))
            return false;
        fetch_start_location(fetch, location);
        return true;
    }
    const struct node *node = &fetch->session->nodes.items[at - fetch->locations_count];
    if (late ? fetch->asked : fetch_is_down(node))
        return false;
    fetch->asked = fetch->asked || !late;
    fetch_start_digest(fetch, node);
    return true;
}

void fetch_step(struct fetch *fetch)
{
    unsigned candidates = fetch->locations_count + fetch->session->nodes.count;

    if (fetch->done || fetch->batched || fetch->request.transfer != NULL ||
        fetch->retry_at_ms > clock_monotonic_ms())
        return;
    while (fetch->next < 2 * candidates) {
        if (fetch_try(fetch, fetch->next++, candidates))
            return;
    }
    fetch_round_over(fetch);
}

uint64_t fetch_wait_ms(const struct fetch *fetch)
{
    uint64_t now_ms = clock_monotonic_ms();

    if (fetch->batched || fetch->request.transfer != NULL)
        return UINT32_MAX;
    return fetch->retry_at_ms > now_ms ? fetch->retry_at_ms - now_ms : 0;
}
