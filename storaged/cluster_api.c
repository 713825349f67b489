/* cluster_api.c: hands out the map in use, and has a newer one installed on the thread pool. */
#include "storaged/cluster_api.h"

#include "storaged/node.h"
#include "storaged/request.h"
#include "storaged/work.h"

#include <stdlib.h>

struct map_put {
    struct work work;
    struct http_exchange *ex;
    struct node_loop *loop;
    struct buf body;
    uint64_t body_size; /* as counted */
    struct buf answer;  /* the map that holds afterwards */
    enum status status;
    struct error err;
};

static void print_map(struct cluster *cluster, struct buf *body)
{
    struct cluster_view *view = cluster_view(cluster);

    map_print(view->map, body);
    cluster_view_release(view);
}

void cluster_api_get(struct http_exchange *ex)
{
    static const char *const keys[] = { NULL };
    struct buf body;

    if (!request_keys_known(ex, keys))
        return;
    buf_init(&body, MAP_JSON_SIZE_MAX);
    print_map(&request_loop(ex)->node->cluster, &body);
    http_reply_header(ex, "Cache-Control", "no-store");
    request_reply_json(ex, 200, &body);
}

static void put_free(struct map_put *put)
{
    request_whole_end(put->loop, put->body_size);
    buf_fini(&put->body);
    buf_fini(&put->answer);
    free(put);
}

static void put_run(struct work *work)
{
    struct map_put *put = container_of(work, struct map_put, work);
    struct node *node = put->loop->node;
    struct cluster_map *map = map_parse(put->body.data, put->body.size, &put->err);

    if (map == NULL) {
        put->status = put->err.status == STATUS_OK ? STATUS_BAD_VALUE : put->err.status;
        return;
    }
    put->status = cluster_install(&node->cluster, map, &put->err);
    /* With other shards the node begins anew: the map that holds is the one that was sent. */
    buf_init(&put->answer, MAP_JSON_SIZE_MAX);
    if (put->status == STATUS_OK && atomic_load(&node->again))
        map_print(map, &put->answer);
    else
        print_map(&node->cluster, &put->answer);
    map_unref(map);
}

/* 412 hands back the newer map: its members stand beside those of the problem, so that either reader finds its own. */
static void reply_stale(struct map_put *put)
{
    struct buf members;

    buf_init(&members, MAP_JSON_SIZE_MAX);
    if (put->answer.size > 2)
        buf_append(&members, put->answer.data + 1, put->answer.size - 2);
    while (members.size > 0 && strchr("} \n", members.data[members.size - 1]) != NULL)
        members.size--;
    http_reply_error(put->ex, STATUS_STALE_EPOCH, &put->err, &members);
}

static void put_done(struct work *work)
{
    struct map_put *put = container_of(work, struct map_put, work);
    struct node *node = put->loop->node;

    if (put->status == STATUS_OK)
        request_reply_json(put->ex, 200, &put->answer);
    else if (put->status == STATUS_STALE_EPOCH)
        reply_stale(put);
    else
        request_fail(put->ex, &put->err);
    if (atomic_load(&node->again))
        node_drain(node); /* this answer is still sent */
    put_free(put);
}

static void put_on_body(struct http_exchange *ex, enum status status, struct slice body)
{
    struct map_put *put = http_user(ex);

    if (status == STATUS_OK) {
        buf_append(&put->body, body.data, body.size);
        status = buf_status(&put->body);
    }
    if (status != STATUS_OK)
        error_set(&put->err, status, "the map: %s", status_title(status));
    else
        status = work_start(&put->work, put->loop, put_run, put_done, &put->err);
    if (status == STATUS_OK)
        return;
    request_fail(ex, &put->err);
    put_free(put);
}

void cluster_api_put(struct http_exchange *ex)
{
    static const char *const keys[] = { NULL };
    uint64_t body_size;

    if (!request_keys_known(ex, keys) || !request_whole_begin(ex, MAP_JSON_SIZE_MAX, &body_size))
        return;
    struct map_put *put = calloc(1, sizeof *put);
    if (put == NULL)
        abort();
    put->ex = ex;
    put->loop = request_loop(ex);
    put->body_size = body_size;
    buf_init(&put->body, MAP_JSON_SIZE_MAX);
    error_init(&put->err);
    http_set_user(ex, put, NULL);
    http_body_gather(ex, MAP_JSON_SIZE_MAX, put_on_body);
}
