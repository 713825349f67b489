/* probe.c: asks every server the same few things at once. */
#include "client/probe.h"

#include "client/indexer_api.h"
#include "proto/base/json_read.h"

#include <stdio.h>
#include <stdlib.h>

enum probe_kind { PROBE_READY, PROBE_MAP, PROBE_METRICS, PROBE_NODES, PROBE_STATUS, PROBE_KINDS };
enum { PROBE_ANSWER_MAX = 64 << 20 };

struct probe_ask {
    enum probe_kind kind;
    struct probe *probe;
    struct gs_session *session;
    struct transfer_request request;
    char url[PROBE_URL_MAX];
};

/* ---- metrics ---- */

/* `gribstore_disk_bytes{state="free"} 1.5e+10` -> the value, when the line is of that name. */
static bool metric_number(const char *line, const char *name, double *value)
{
    size_t size = strlen(name);

    if (strncmp(line, name, size) != 0 || line[size] != ' ')
        return false;
    *value = strtod(line + size, NULL);
    return *value > -1e19 && *value < 1e19;
}

static bool metric_value(const char *line, const char *name, uint64_t *value)
{
    double number;

    if (!metric_number(line, name, &number) || !(number >= 0))
        return false;
    *value = (uint64_t)number;
    return true;
}

static void disk_read_line(const char *line, struct probe_disk *disk)
{
    disk->known |= metric_value(line, "gribstore_disk_bytes{state=\"free\"}", &disk->free);
    (void)metric_value(line, "gribstore_disk_bytes{state=\"used\"}", &disk->used);
    (void)metric_value(line, "gribstore_disk_bytes{state=\"reserved\"}", &disk->reserved);
    (void)metric_value(line, "gribstore_disk_high_water_bytes", &disk->high_water);
    (void)metric_value(line, "gribstore_sync_bytes_left", &disk->sync_left);
    (void)metric_value(line, "gribstore_release_bytes_left", &disk->release_left);
    disk->has_growth |= metric_number(line, "gribstore_disk_growth_bytes_per_second", &disk->growth);
    disk->has_full |= metric_number(line, "gribstore_disk_full_seconds", &disk->full_seconds) &&
                      disk->full_seconds >= 0;
}

void probe_disk_read(struct slice metrics, struct probe_disk *disk)
{
    const char *at = (const char *)metrics.data, *end = at + metrics.size;
    char line[256];

    *disk = (struct probe_disk){ 0 };
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t size = (size_t)((newline != NULL ? newline : end) - at);

        if (size < sizeof line) {
            memcpy(line, at, size);
            line[size] = '\0';
            disk_read_line(line, disk);
        }
        at += size + 1;
    }
}

/* ---- readiness ---- */

static void ready_add(struct buf *text, const json_t *check)
{
    const char *detail;

    if (!json_is_false(json_object_get(check, "ok")) ||
        json_opt_string(check, "detail", "", &detail, NULL) != STATUS_OK || detail[0] == '\0')
        return;
    buf_format(text, "%s%s", text->size > 0 ? "; " : "", detail);
}

void probe_ready_read(struct slice body, struct error *err)
{
    json_t *json = NULL, *checks, *check;
    struct buf text;
    size_t i;

    if (json_parse(body.data, body.size, &json, NULL) != STATUS_OK)
        return;
    buf_init(&text, sizeof err->text);
    if (json_get_array(json, "checks", &checks, NULL) == STATUS_OK) {
        json_array_foreach (checks, i, check)
            ready_add(&text, check);
    }
    if (text.size > 0)
        error_set(err, err->status, "%s", buf_string(&text));
    buf_fini(&text);
    json_decref(json);
}

/* ---- asking ---- */

static void probe_take_ready(struct probe *probe, const struct transfer_request *request, enum status status)
{
    probe->reachable = status == STATUS_OK;
    probe->ready_status = request->http_status;
    probe->ready = transfer_answer_status(request, &probe->err) == STATUS_OK;
    if (probe->reachable && !probe->ready)
        probe_ready_read(slice_of(request->answer.data, request->answer.size), &probe->err);
}

static void probe_take(struct probe_ask *ask, enum status status)
{
    struct transfer_request *request = &ask->request;
    struct slice answer = slice_of(request->answer.data, request->answer.size);
    bool good = transfer_answer_status(request, ask->kind == PROBE_MAP ? &ask->probe->map_err
                                                                       : NULL) == STATUS_OK;

    switch (ask->kind) {
    case PROBE_READY:
        probe_take_ready(ask->probe, request, status);
        break;
    case PROBE_MAP:
        if (good)
            ask->probe->map = map_parse(answer.data, answer.size, &ask->probe->map_err);
        break;
    case PROBE_METRICS:
        if (good)
            probe_disk_read(answer, &ask->probe->disk);
        break;
    case PROBE_NODES:
        if (good)
            ask->probe->nodes_json = strndup(buf_string(&request->answer), request->answer.size);
        break;
    case PROBE_STATUS:
        if (good)
            ask->probe->status_json = strndup(buf_string(&request->answer), request->answer.size);
        break;
    case PROBE_KINDS:
        break;
    }
}

static void probe_on_done(struct transfer_request *request, enum status status, const struct error *err)
{
    struct probe_ask *ask = container_of(request, struct probe_ask, request);

    (void)err;
    probe_take(ask, status);
    session_wake(ask->session);
}

static const char *probe_path(const struct probe *probe, enum probe_kind kind)
{
    switch (kind) {
    case PROBE_READY:
        return INDEXER_READY_PATH;
    case PROBE_MAP:
        return probe->is_node ? "/cluster/map" : INDEXER_MAP_PATH;
    case PROBE_METRICS:
        return probe->is_node ? "/metrics" : NULL;
    case PROBE_NODES:
        return probe->is_node ? NULL : INDEXER_NODES_PATH;
    case PROBE_STATUS:
        return probe->is_node ? NULL : INDEXER_STATUS_PATH;
    case PROBE_KINDS:
        break;
    }
    return NULL;
}

static void probe_ask_start(struct probe_ask *ask, struct gs_session *session, struct probe *probe,
                            enum probe_kind kind)
{
    const char *path = probe_path(probe, kind);

    transfer_request_init(&ask->request);
    if (path == NULL)
        return;
    ask->kind = kind;
    ask->probe = probe;
    ask->session = session;
    snprintf(ask->url, sizeof ask->url, "%s%s", probe->url, path);
    ask->request.method = "GET";
    ask->request.url = ask->url;
    ask->request.timeout_ms = PROBE_TIMEOUT_MS;
    ask->request.answer_max = PROBE_ANSWER_MAX;
    ask->request.on_done = probe_on_done;
    if (session_sign(session, &ask->request, &probe->err) == STATUS_OK)
        transfer_start(session->transfer, &ask->request);
}

static enum status probes_wait(struct gs_session *session, struct probe_ask *asks, size_t count,
                               struct error *err)
{
    enum status status = STATUS_OK;

    for (size_t i = 0; i < count; i++) {
        while (asks[i].request.transfer != NULL) {
            if (status == STATUS_OK)
                status = session_wait(session, PROBE_TIMEOUT_MS, err);
            if (status != STATUS_OK) {
                transfer_cancel(&asks[i].request);
                transfer_run(session->transfer, 0);
            }
        }
        transfer_request_fini(&asks[i].request);
    }
    return status;
}

enum status probes_run(struct gs_session *session, const char *const *node_urls, size_t nodes,
                       const char *const *indexer_urls, size_t indexers, struct probes *probes,
                       struct error *err)
{
    size_t count = nodes + indexers;
    struct probe_ask *asks = calloc(count * PROBE_KINDS + 1, sizeof *asks);

    *probes = (struct probes){ .items = calloc(count + 1, sizeof *probes->items), .count = count };
    if (asks == NULL || probes->items == NULL) {
        free(asks);
        free(probes->items);
        *probes = (struct probes){ 0 };
        return error_set(err, STATUS_NO_MEMORY, "no memory to ask servers");
    }
    for (size_t i = 0; i < count; i++) {
        struct probe *probe = &probes->items[i];

        probe->is_node = i < nodes;
        error_init(&probe->err);
        error_init(&probe->map_err);
        snprintf(probe->url, sizeof probe->url, "%s", i < nodes ? node_urls[i] : indexer_urls[i - nodes]);
        for (int kind = 0; kind < PROBE_KINDS; kind++)
            probe_ask_start(&asks[i * PROBE_KINDS + (size_t)kind], session, probe, (enum probe_kind)kind);
    }
    enum status status = probes_wait(session, asks, count * PROBE_KINDS, err);
    free(asks);
    if (status != STATUS_OK)
        probes_fini(probes);
    return status;
}

enum status probes_session(struct gs_session *session, struct probes *probes, struct error *err)
{
    size_t nodes = session->nodes.count, indexers = session->indexers.count;
    const char **urls = calloc(nodes + indexers + 1, sizeof *urls);

    if (urls == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory to ask servers");
    for (size_t i = 0; i < nodes; i++)
        urls[i] = session->nodes.items[i].url;
    for (size_t i = 0; i < indexers; i++)
        urls[nodes + i] = session->indexers.items[i].url;
    enum status status = probes_run(session, urls, nodes, urls + nodes, indexers, probes, err);
    free(urls);
    return status;
}

void probes_fini(struct probes *probes)
{
    for (size_t i = 0; i < probes->count; i++) {
        map_unref(probes->items[i].map);
        free(probes->items[i].nodes_json);
        free(probes->items[i].status_json);
    }
    free(probes->items);
    *probes = (struct probes){ 0 };
}
