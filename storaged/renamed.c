/* renamed.c: asks for the map that gives this node another URL. */
#include "storaged/renamed.h"

#include "proto/transfer/transfer.h"

#include <stdio.h>

enum { RENAMED_URL_SIZE = URL_SIZE_MAX + 32 };

bool renamed_fits(const struct cluster_map *ours, const struct cluster_map *theirs, const char *id,
                  const char *url)
{
    const struct map_node *node = map_find(theirs, id);

    return strcmp(ours->cluster, theirs->cluster) == 0 && ours->shards == theirs->shards &&
           theirs->epoch > ours->epoch && node != NULL && strcmp(node->url, url) == 0;
}

struct renamed {
    struct transfer *transfer;
    const struct cluster_map *map;
    const char *id, *url;
    struct cluster_map *newer;
    unsigned asked;
};

/* True: it has the map. */
static bool renamed_ask_one(struct renamed *renamed, const char *base, const char *path)
{
    char url[RENAMED_URL_SIZE];
    struct transfer_request request;

    if (renamed->asked++ >= RENAMED_ASKED_MAX)
        return false;
    snprintf(url, sizeof url, "%s%s", base, path);
    transfer_request_init(&request);
    request.method = "GET";
    request.url = url;
    request.timeout_ms = RENAMED_TIMEOUT_MS;
    request.answer_max = MAP_JSON_SIZE_MAX;
    struct cluster_map *theirs = NULL;
    if (transfer_perform(renamed->transfer, &request, NULL) == STATUS_OK)
        theirs = map_parse(request.answer.data, request.answer.size, NULL);
    transfer_request_fini(&request);
    if (theirs != NULL && renamed_fits(renamed->map, theirs, renamed->id, renamed->url)) {
        renamed->newer = theirs;
        return true;
    }
    map_unref(theirs);
    return false;
}

static bool renamed_ask_all(struct renamed *renamed)
{
    for (unsigned i = 0; i < renamed->map->indexers_count; i++) {
        if (renamed_ask_one(renamed, renamed->map->indexers[i], "/v1/cluster/map"))
            return true;
    }
    for (unsigned i = 0; i < renamed->map->nodes_count; i++) {
        const struct map_node *node = &renamed->map->nodes[i];
        if (strcmp(node->id, renamed->id) != 0 && node->state != NODE_OUT &&
            renamed_ask_one(renamed, node->url, "/cluster/map"))
            return true;
    }
    return false;
}

enum status renamed_ask(const struct security *security, const struct cluster_map *map,
                        const char *id, const char *url, struct cluster_map **newer, struct error *err)
{
    struct transfer_options options = { .user_agent = "gribstore-storaged" };
    struct renamed renamed = { .map = map, .id = id, .url = url };

    *newer = NULL;
    security_sign(security, &options);
    enum status status = transfer_new(&options, &renamed.transfer, err);
    if (status != STATUS_OK)
        return status;
    bool found = renamed_ask_all(&renamed);
    transfer_free(renamed.transfer);
    *newer = renamed.newer;
    return found ? STATUS_OK : error_set(err, STATUS_NOT_FOUND, "no other node's map calls it %s", url);
}
