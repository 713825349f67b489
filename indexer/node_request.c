/* node_request.c: requests to storage nodes, with what every request inside a cluster carries. */
#include "indexer/node_request.h"

#include "indexer/map_authority.h"
#include "proto/node_api.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

void node_request_init(struct node_request *request, struct indexer *indexer)
{
    transfer_request_init(&request->transfer);
    request->indexer = indexer;
    request->url[0] = '\0';
    buf_init(&request->body, MAP_JSON_SIZE_MAX);
    request->on_done = NULL;
    request->user = NULL;
    request->more = (struct transfer_header){ NULL, NULL };
    request->until_stop = false;
}

void node_request_fini(struct node_request *request)
{
    transfer_request_fini(&request->transfer);
    buf_fini(&request->body);
}

/* The node's base URL is the front of the request's: up to the third slash. */
static void node_request_show_epoch(struct node_request *request)
{
    const char *cluster = transfer_answer_header(&request->transfer, HEADER_CLUSTER);
    const char *epoch_text = transfer_answer_header(&request->transfer, HEADER_EPOCH);
    uint64_t epoch;
    char url[URL_SIZE_MAX + 1];

    if (cluster == NULL || epoch_text == NULL ||
        decimal_parse(epoch_text, strlen(epoch_text), UINT64_MAX, &epoch) != 0)
        return;
    const char *host = strstr(request->url, "://");
    size_t size = strlen(request->url);
    if (host != NULL && strchr(host + 3, '/') != NULL)
        size = (size_t)(strchr(host + 3, '/') - request->url);
    if (size >= sizeof url)
        return;
    memcpy(url, request->url, size);
    url[size] = '\0';
    map_authority_seen(request->indexer, url, cluster, epoch);
}

static void node_request_on_transfer(struct transfer_request *transfer, enum status status,
                                     const struct error *err)
{
    struct node_request *request = container_of(transfer, struct node_request, transfer);
    struct error story;

    if (request->until_stop)
        list_remove(&request->list);
    error_init(&story);
    if (status == STATUS_OK) {
        node_request_show_epoch(request);
        status = transfer_answer_status(transfer, &story);
    } else if (err != NULL) {
        story = *err;
    }
    request->on_done(request, status, &story);
}

void node_request_start(struct node_request *request, const char *method, const char *node_url,
                        uint64_t timeout_ms,
                        void (*on_done)(struct node_request *request, enum status status,
                                        const struct error *err),
                        const char *path_format, ...)
{
    struct transfer_request *transfer = &request->transfer;
    const struct cluster_map *map = map_authority_map(request->indexer);
    unsigned headers = 0;
    va_list list;

    int used = snprintf(request->url, sizeof request->url, "%s", node_url);
    assert(used > 0 && (size_t)used < sizeof request->url);
    va_start(list, path_format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start is two lines up */
    int path = vsnprintf(request->url + used, sizeof request->url - (size_t)used, path_format, list);
    va_end(list);
    assert(path > 0 && (size_t)(used + path) < sizeof request->url);

    transfer->method = method;
    transfer->url = request->url;
    transfer->timeout_ms = timeout_ms;
    if (map != NULL) {
        snprintf(request->cluster, sizeof request->cluster, "%s", map->cluster);
        snprintf(request->epoch, sizeof request->epoch, "%" PRIu64, map->epoch);
        transfer->headers[headers++] = (struct transfer_header){ HEADER_CLUSTER, request->cluster };
        transfer->headers[headers++] = (struct transfer_header){ HEADER_EPOCH, request->epoch };
    }
    if (request->more.name != NULL)
        transfer->headers[headers++] = request->more;
    transfer->headers[headers] = (struct transfer_header){ NULL, NULL };
    transfer->body = slice_of(request->body.data, request->body.size);
    transfer->on_done = node_request_on_transfer;
    request->on_done = on_done;
    transfer_start(request->indexer->transfer, transfer);
    if (request->until_stop)
        list_append(&request->indexer->until_stop, &request->list);
    if (request->until_stop && request->indexer->draining)
        node_request_cancel(request);
}

void node_request_cancel(struct node_request *request)
{
    transfer_cancel(&request->transfer);
}

void node_requests_give_up(struct indexer *indexer)
{
    list_for_each (at, &indexer->until_stop)
        node_request_cancel(container_of(at, struct node_request, list));
}
