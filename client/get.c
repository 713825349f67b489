/* get.c: messages to a sink, in order, several fetched at a time; ranges of data files. */
#include "client/get.h"

#include "client/batch.h"
#include "client/fetch.h"
#include "client/query.h"
#include "proto/grib_frame.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    GET_PARALLEL = 16,             /* messages fetched alone at a time */
    GET_BATCHES_PARALLEL = 6,      /* requests of many ranges at a time */
    GET_ROUND_MAX = 2000,          /* messages of a round */
    GET_ROUND_SIZE_MAX = 64 << 20, /* their bytes, the last message excepted: so much is in memory */
    GET_SEEN_CAPACITY = 1024,
};

bool digest_parse_text(const char *text, struct digest *digest)
{
    char lower[DIGEST_TEXT_SIZE];

    if (strncmp(text, "sha256:", 7) == 0)
        text += 7;
    if (strlen(text) != DIGEST_TEXT_SIZE - 1)
        return false;
    for (size_t i = 0; i < DIGEST_TEXT_SIZE; i++)
        lower[i] = (char)tolower((unsigned char)text[i]);
    return digest_parse(slice_of(lower, DIGEST_TEXT_SIZE - 1), digest);
}

/* ---- messages that were asked for already: open addressing, never removed from ---- */

struct seen {
    struct digest *slots; /* owned */
    bool *used;           /* owned */
    size_t count, capacity;
};

static size_t seen_slot(const struct seen *seen, const struct digest *digest)
{
    size_t at = (size_t)get_u64(digest->bytes) & (seen->capacity - 1);

    while (seen->used[at] && digest_compare(&seen->slots[at], digest) != 0)
        at = (at + 1) & (seen->capacity - 1);
    return at;
}

static bool seen_grow(struct seen *seen)
{
    struct seen larger = { .capacity = seen->capacity > 0 ? seen->capacity * 2 : GET_SEEN_CAPACITY };

    larger.slots = malloc(larger.capacity * sizeof *larger.slots);
    larger.used = calloc(larger.capacity, sizeof *larger.used);
    if (larger.slots == NULL || larger.used == NULL) {
        free(larger.slots);
        free(larger.used);
        return false;
    }
    for (size_t i = 0; i < seen->capacity; i++) {
        if (seen->used[i]) {
            size_t at = seen_slot(&larger, &seen->slots[i]);

            larger.slots[at] = seen->slots[i];
            larger.used[at] = true;
            larger.count++;
        }
    }
    free(seen->slots);
    free(seen->used);
    *seen = larger;
    return true;
}

/* Was it new? Out of memory: *failed. */
static bool seen_add(struct seen *seen, const struct digest *digest, bool *failed)
{
    if (seen->count * 2 >= seen->capacity && !seen_grow(seen)) {
        *failed = true;
        return false;
    }
    size_t at = seen_slot(seen, digest);
    if (seen->used[at])
        return false;
    seen->slots[at] = *digest;
    seen->used[at] = true;
    seen->count++;
    return true;
}

/* ---- fetches in order ---- */

struct get {
    struct gs_session *session;
    gs_sink sink;
    void *user;
    struct list fetches; /* in the order of the sink */
    struct list batches; /* of the round */
    unsigned count;
    uint64_t round_size;
    struct seen seen;
    struct gs_get_summary summary;
    enum status status;
    struct error err;
};

static void get_init(struct get *get, struct gs_session *session, gs_sink sink, void *user)
{
    *get = (struct get){ .session = session, .sink = sink, .user = user };
    list_init(&get->fetches);
    list_init(&get->batches);
    error_init(&get->err);
}

static void get_drop(struct get *get, struct fetch *fetch)
{
    list_remove(&fetch->list);
    get->count--;
    fetch_fini(fetch);
    free(fetch);
}

static void get_drop_batches(struct get *get)
{
    while (!list_empty(&get->batches)) {
        struct batch *batch = list_first(&get->batches, struct batch, list);

        list_remove(&batch->list);
        batch_free(batch);
    }
}

static void get_fini(struct get *get)
{
    get_drop_batches(get);
    while (!list_empty(&get->fetches))
        get_drop(get, list_first(&get->fetches, struct fetch, list));
    free(get->seen.slots);
    free(get->seen.used);
}

static void get_fail(struct get *get, enum status status, const struct error *err)
{
    if (get->status != STATUS_OK)
        return;
    get->status = status;
    get->err = *err;
    get->err.status = status;
}

/* The first fetch is done: its bytes go to the sink. */
static void get_hand_over(struct get *get, struct fetch *fetch)
{
    char text[DIGEST_TEXT_SIZE];

    get->summary.bad_copies += fetch->bad_copies;
    if (fetch->status != STATUS_OK) {
        digest_print(&fetch->digest, text);
        error_wrap(&fetch->err, "message %.12s...", text);
        get_fail(get, fetch->status, &fetch->err);
    } else if (get->sink(get->user, fetch->data.data, fetch->data.size) != 0) {
        get_fail(get, error_set(&fetch->err, STATUS_IO, "the output takes nothing more"), &fetch->err);
    } else {
        get->summary.messages++;
        get->summary.bytes += fetch->data.size;
    }
    get_drop(get, fetch);
}

/* Moves everything on; returns how long to wait. */
static uint64_t get_step(struct get *get)
{
    uint64_t wait_ms = UINT32_MAX;
    unsigned active = 0;

    while (get->status == STATUS_OK && !list_empty(&get->fetches)) {
        struct fetch *first = list_first(&get->fetches, struct fetch, list);

        if (!first->done)
            break;
        get_hand_over(get, first);
        wait_ms = 0;
    }
    batches_step(&get->batches, GET_BATCHES_PARALLEL);
    list_for_each (item, &get->fetches) {
        struct fetch *fetch = container_of(item, struct fetch, list);

        if (fetch->done || fetch->batched)
            continue;
        if (active++ == GET_PARALLEL)
            break;
        fetch_step(fetch);
        uint64_t ms = fetch->done ? 0 : fetch_wait_ms(fetch);
        wait_ms = ms < wait_ms ? ms : wait_ms;
    }
    return !list_empty(&get->fetches) && list_first(&get->fetches, struct fetch, list)->done ? 0 : wait_ms;
}

/* Until every fetch is handed over, or one failed. */
static void get_run(struct get *get)
{
    while (get->status == STATUS_OK && get->count > 0) {
        struct error err;
        uint64_t wait_ms = get_step(get);

        if (get->count == 0)
            break;
        enum status status = session_wait(get->session, wait_ms, &err);
        if (status != STATUS_OK)
            get_fail(get, status, &err);
    }
}

/* Into the last batch of its file, or a new one; alone where there is no memory for one. */
static void get_batch(struct get *get, struct fetch *fetch)
{
    const struct fetch_location *location = fetch_first(fetch);

    if (location == NULL)
        return;
    for (struct list *item = get->batches.prev; item != &get->batches; item = item->prev) {
        struct batch *batch = container_of(item, struct batch, list);

        if (strcmp(batch->url, location->url) == 0 && batch_add(batch, fetch))
            return;
    }
    struct batch *batch = batch_new(get->session, location->url);
    if (batch == NULL)
        return;
    list_append(&get->batches, &batch->list);
    batch_add(batch, fetch);
}

/* What was gathered: many messages of a file at once, then handed over in order. */
static void get_round(struct get *get)
{
    if (get->count > 1)
        list_for_each (item, &get->fetches)
            get_batch(get, container_of(item, struct fetch, list));
    get_run(get);
    get_drop_batches(get);
    get->round_size = 0;
}

static struct fetch *get_add(struct get *get, const struct digest *digest)
{
    struct fetch *fetch = malloc(sizeof *fetch);

    if (fetch == NULL) {
        struct error err;

        get_fail(get, error_set(&err, STATUS_NO_MEMORY, "no memory for a request"), &err);
        return NULL;
    }
    fetch_init(fetch, get->session, digest);
    list_append(&get->fetches, &fetch->list);
    get->count++;
    return fetch;
}

static enum status get_end(struct get *get, struct gs_get_summary *summary, struct error *err)
{
    enum status status = get->status;

    if (summary != NULL)
        *summary = get->summary;
    *err = get->err;
    get_fini(get);
    return status;
}

/* ---- by digest ---- */

/* /sha256/ is asked of all nodes of the map; where nobody gives one now, those that were named have to do. */
static enum status get_nodes(struct gs_session *session, struct error *err)
{
    enum status status = session_map_once(session, err);

    return status == STATUS_CANCELLED ? status : STATUS_OK;
}

enum gs_status gs_get_digest(struct gs_session *session, const char *digest_text, gs_sink sink,
                             void *user, struct gs_error *error)
{
    struct digest digest;
    struct error err;
    struct get get;

    error_init(&err);
    if (!digest_parse_text(digest_text, &digest)) {
        error_set(&err, STATUS_BAD_VALUE,
                  "'%s' is no digest; write 64 hex digits, sha256: in front or not", digest_text);
        return gs_error_fill(error, STATUS_BAD_VALUE, &err);
    }
    enum status status = get_nodes(session, &err);
    if (status != STATUS_OK)
        return gs_error_fill(error, status, &err);
    get_init(&get, session, sink, user);
    get_add(&get, &digest);
    get_run(&get);
    status = get_end(&get, NULL, &err);
    return gs_error_fill(error, status, &err);
}

/* ---- by query ---- */

static int get_on_field(void *user, const struct gs_field *field)
{
    struct get *get = user;
    const char *text = gs_field_text(field, "digest");
    struct digest digest;
    struct gs_location location;
    bool failed = false;
    struct error err;

    get->summary.fields++;
    if (text == NULL || !digest_parse(slice_text(text), &digest)) {
        get_fail(get,
                 error_set(&err, STATUS_MALFORMED, "the indexer's answer: a field without a digest"),
                 &err);
        return 1;
    }
    if (!seen_add(&get->seen, &digest, &failed)) {
        if (failed)
            get_fail(get, error_set(&err, STATUS_NO_MEMORY, "no memory for the list of messages"), &err);
        return failed;
    }
    struct fetch *fetch = get_add(get, &digest);
    for (size_t i = 0; fetch != NULL && i < gs_field_locations(field); i++) {
        if (gs_field_location(field, i, &location) == 0)
            (void)fetch_add(fetch, location.url, location.offset, location.length); /* /sha256/ comes after them */
    }
    get->round_size += fetch != NULL && fetch->locations_count > 0 ? fetch->locations[0].length : 0;
    if (get->count >= GET_ROUND_MAX || get->round_size >= GET_ROUND_SIZE_MAX)
        get_round(get);
    return get->status != STATUS_OK;
}

enum gs_status gs_get_query(struct gs_session *session, const char *const *keys, size_t count,
                            const struct gs_query_options *options, gs_sink sink, void *user,
                            struct gs_get_summary *summary, struct gs_error *error)
{
    struct error err, query_err;
    struct get get;

    error_init(&err);
    error_init(&query_err);
    if (summary != NULL)
        *summary = (struct gs_get_summary){ 0 };
    get_init(&get, session, sink, user);
    enum status status = get_nodes(session, &query_err);
    if (status == STATUS_OK)
        status = query_run(session, keys, count, options, get_on_field, &get, &query_err);
    if (status == STATUS_OK)
        get_round(&get);
    else
        get_fail(&get, status, &query_err);
    status = get_end(&get, summary, &err);
    return gs_error_fill(error, status, &err);
}

/* ---- by range ---- */

struct range {
    struct gs_session *session;
    struct transfer_request request;
    gs_sink sink;
    void *user;
    uint64_t left;
    bool refused;
};

static int range_on_data(struct transfer_request *request, struct slice data)
{
    struct range *range = container_of(request, struct range, request);

    if (request->http_status != 206 || data.size > range->left)
        return -1; /* a server that sends the whole file, or more than was asked for */
    range->left -= data.size;
    range->refused = range->sink(range->user, data.data, data.size) != 0;
    return range->refused ? -1 : 0;
}

static void range_on_done(struct transfer_request *request, enum status status, const struct error *err)
{
    (void)status, (void)err;
    session_wake(container_of(request, struct range, request)->session);
}

static enum status range_wait(struct range *range, const char *url, struct error *err)
{
    enum status status = STATUS_OK;

    while (range->request.transfer != NULL) {
        enum status waited = session_wait(range->session, UINT32_MAX, err);

        if (waited != STATUS_OK && status == STATUS_OK) {
            status = waited;
            transfer_cancel(&range->request);
            transfer_run(range->session->transfer, 0);
        }
    }
    if (status != STATUS_OK)
        return status;
    status = transfer_answer_status(&range->request, err);
    if (range->refused)
        return error_set(err, STATUS_IO, "the output takes nothing more");
    if (range->request.http_status == 200)
        return error_set(err, STATUS_UNSUPPORTED, "%.200s: the server does not serve ranges", url);
    if (status == STATUS_OK && range->left > 0)
        return error_set(err, STATUS_RANGE,
                         "%.200s: the file ends %" PRIu64 " bytes before the range does", url,
                         range->left);
    return status;
}

enum gs_status gs_get_range(struct gs_session *session, const char *url, uint64_t offset,
                            uint64_t length, gs_sink sink, void *user, struct gs_error *error)
{
    struct range range = { .session = session, .sink = sink, .user = user, .left = length };
    struct error err;
    char text[64];

    error_init(&err);
    if (length == 0 || offset > INT64_MAX - length)
        return gs_error_fill(error, error_set(&err, STATUS_BAD_VALUE, "there is no such range"), &err);
    snprintf(text, sizeof text, "bytes=%" PRIu64 "-%" PRIu64, offset, offset + length - 1);
    transfer_request_init(&range.request);
    range.request.method = "GET";
    range.request.url = url;
    range.request.headers[0] = (struct transfer_header){ "Range", text };
    range.request.on_data = range_on_data;
    range.request.on_done = range_on_done;
    enum status status = session_sign(session, &range.request, &err);
    if (status == STATUS_OK) {
        transfer_start(session->transfer, &range.request);
        status = range_wait(&range, url, &err);
    }
    transfer_request_fini(&range.request);
    return gs_error_fill(error, status, &err);
}
