/* release_indexers.c: which indexer of the map is asked, and what its answer says beside what it says. */
#include "storaged/node.h"
#include "storaged/peers/peer_request.h"
#include "storaged/peers/release_ask.h"

#include "proto/node_api.h"

#include <stdio.h>

bool release_indexers_post(struct release_indexers *indexers, struct node_loop *loop,
                           const struct cluster_view *view, const char *path,
                           char url[RELEASE_URL_SIZE], struct transfer_request *request)
{
    const struct cluster_map *map = view->map;

    if (indexers->tried >= map->indexers_count)
        return false;
    unsigned number = (indexers->next + indexers->tried++) % map->indexers_count;
    snprintf(url, RELEASE_URL_SIZE, "%s%s", map->indexers[number], path);
    request->url = url;
    request->method = "POST";
    node_loop_begin(loop);
    transfer_start(loop->transfer, request);
    return true;
}

enum status release_indexers_answer(struct release_indexers *indexers, struct node_loop *loop,
                                    const struct transfer_request *request, enum status status,
                                    const struct error *failure, struct error *err)
{
    const char *text = transfer_answer_header(request, HEADER_EPOCH);
    uint64_t epoch;

    if (status != STATUS_OK)
        return error_set(err, status, "%s: %s", request->url,
                         failure != NULL ? failure->text : status_title(status));
    status = transfer_answer_status(request, err);
    if (status != STATUS_OTHER_CLUSTER && text != NULL &&
        decimal_parse(text, strlen(text), UINT64_MAX, &epoch) == 0)
        cluster_heard(&loop->node->cluster, epoch);
    if (status != STATUS_OK)
        return error_wrap(err, "%s", request->url);
    indexers->next += indexers->tried - 1; /* it answers: it is asked first the next time */
    return STATUS_OK;
}
