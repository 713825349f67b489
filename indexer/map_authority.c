/* map_authority.c: the cluster map: kept in the catalog, compare and set on epoch, told to nodes.
 *
 *     reading ---> searching ---> known
 *
 * reading: the catalog is asked for its map, until it answers. searching: every seed, and every node of the catalog's map, is asked for its
 * own; the highest of one cluster is taken. known: a node that shows a lower epoch is told, one that shows a higher one is
 * asked. Only one conversation a node is under way at a time. And the catalog is looked at once a lease: a higher one there (another indexer's) is
 * taken, a lower one, or none (a database of an earlier day), is made what it was. */
#include "indexer/map_authority.h"

#include "indexer/node_request.h"
#include "indexer/share.h"
#include "indexer/sweep.h"
#include "proto/base/json_write.h"
#include "proto/base/log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    MAP_RETRY_MS = 1000,
    MAP_LOOK_PART = 50, /* at most a fiftieth of the time goes into looks at the catalog */
    MAP_PROBE_TIMEOUT_MS = 5000,
    MAP_TALKS_MAX = MAP_NODES_MAX + 64,
};
static const uint64_t map_none = UINT64_MAX; /* the catalog's epoch when it has no map */

enum map_talk_kind { MAP_PROBE, MAP_ASK, MAP_TELL };

/* One conversation with a node. */
struct map_talk {
    struct list list;
    enum map_talk_kind kind;
    char url[URL_SIZE_MAX + 1];
    uint64_t told_epoch;
    struct node_request request;
};

/* A write of a map to the catalog: what came from a node or from an admin. */
struct map_write {
    struct work work;
    struct indexer *indexer;
    struct cluster_map *map; /* owned */
    struct buf json;
    uint64_t was;
    struct http_exchange *exchange; /* NULL: from a node */
    struct buf newer;               /* when the catalog has another: that one */
    void (*on_done)(void *data, enum status status, const struct error *err); /* NULL: nobody waits */
    void *data;
};

struct map_authority {
    struct indexer *indexer;
    struct cluster_map *map;    /* owned reference; NULL: not known */
    uint64_t stored_epoch;      /* what the catalog has */
    struct cluster_map *stored; /* owned: the catalog's, while searching */
    struct cluster_map *best;   /* owned: the highest that a probe brought */
    struct list talks;
    unsigned talks_count;
    unsigned probes;   /* not back */
    unsigned answered; /* of this search */
    bool mixed;        /* probes brought maps of different clusters */
    bool searching, stopping;
    unsigned works; /* not back */
    char why[512];
    uv_timer_t retry;
    struct work read_work; /* the first reading, and every look */
    struct buf read_json;
    uint64_t look_at_ms, look_began_ms; /* of the loop's clock */
    void (*on_stopped)(struct indexer *indexer);
};

static void map_read(struct map_authority *authority);
static void map_search(struct map_authority *authority);
static void map_look(struct map_authority *authority);
static void map_write_start(struct map_authority *authority, struct cluster_map *map,
                            struct http_exchange *ex);
static void map_stop_if_idle(struct map_authority *authority);

struct cluster_map *map_authority_map(const struct indexer *indexer)
{
    return indexer->map_authority == NULL ? NULL : indexer->map_authority->map;
}

const char *map_authority_why(const struct indexer *indexer)
{
    return indexer->map_authority == NULL ? "starting" : indexer->map_authority->why;
}

/* --- talking with nodes --- */

static void map_talk_free(struct map_authority *authority, struct map_talk *talk)
{
    list_remove(&talk->list);
    authority->talks_count--;
    node_request_fini(&talk->request);
    free(talk);
}

static struct map_talk *map_talk_new(struct map_authority *authority, enum map_talk_kind kind,
                                     const char *url)
{
    if (authority->stopping || authority->talks_count >= MAP_TALKS_MAX || strlen(url) > URL_SIZE_MAX)
        return NULL;
    list_for_each (item, &authority->talks) {
        if (strcmp(container_of(item, struct map_talk, list)->url, url) == 0)
            return NULL; /* one at a time: what this one brings shows the next */
    }
    struct map_talk *talk = calloc(1, sizeof *talk);
    assert(talk != NULL);
    talk->kind = kind;
    snprintf(talk->url, sizeof talk->url, "%s", url);
    node_request_init(&talk->request, authority->indexer);
    talk->request.user = authority;
    talk->request.transfer.answer_max = MAP_JSON_SIZE_MAX;
    list_append(&authority->talks, &talk->list);
    authority->talks_count++;
    return talk;
}

/* A node's map came: kept if it is the best of this search, or, when one is known, if it is newer. */
static void map_offered(struct map_authority *authority, const char *url, struct cluster_map *map)
{
    const struct cluster_map *known = authority->map != NULL ? authority->map : authority->stored;

    if (known != NULL && known->epoch > 0 && strcmp(map->cluster, known->cluster) != 0) {
        log_msg(LOG_ERROR, "map.other-cluster", "%s is of cluster %s, this index of %s", url,
                map->cluster, known->cluster);
        map_unref(map);
        return;
    }
    if (authority->best != NULL && strcmp(authority->best->cluster, map->cluster) != 0) {
        authority->mixed = true;
        snprintf(authority->why, sizeof authority->why,
                 "the nodes belong to different clusters (%s, %s): make one of them with `gribstore cluster init`",
                 authority->best->cluster, map->cluster);
    }
    if (authority->best == NULL || map->epoch > authority->best->epoch) {
        map_unref(authority->best);
        authority->best = map;
    } else {
        map_unref(map);
    }
}

static void map_search_end(struct map_authority *authority)
{
    struct cluster_map *best = authority->best;

    authority->searching = false;
    authority->best = NULL;
    if (authority->map != NULL) { /* an admin was faster */
        map_unref(best);
    } else if (best != NULL && !authority->mixed &&
               (authority->stored == NULL || best->epoch > authority->stored->epoch)) {
        map_write_start(authority, best, NULL); /* takes it */
    } else if (authority->stored != NULL) {
        map_unref(best);
        authority->map = authority->stored;
        authority->stored = NULL;
        authority->why[0] = '\0';
        tails_on_map(authority->indexer, authority->map);
        share_look(authority->indexer);
    } else {
        map_unref(best);
        if (authority->answered == 0)
            snprintf(authority->why, sizeof authority->why, "no node answers: is storaged running at %s?",
                     authority->indexer->settings->nodes);
    }
}

static void map_on_talk(struct node_request *request, enum status status, const struct error *err)
{
    struct map_talk *talk = container_of(request, struct map_talk, request);
    struct map_authority *authority = request->user;
    enum map_talk_kind kind = talk->kind;
    struct cluster_map *map = NULL;
    struct error why;

    error_init(&why);
    if (status == STATUS_OK && kind != MAP_TELL) {
        map = map_parse(request->transfer.answer.data, request->transfer.answer.size, &why);
        if (map == NULL)
            err = &why;
    }
    if ((status != STATUS_OK && status != STATUS_CANCELLED) ||
        (kind != MAP_TELL && status == STATUS_OK && map == NULL))
        log_msg(kind == MAP_TELL ? LOG_WARN : LOG_INFO, "map.talk", "%s", err->text);

    if (kind == MAP_PROBE) {
        authority->probes--;
        if (map != NULL) {
            authority->answered++;
            map_offered(authority, talk->url, map);
        }
    } else if (map != NULL) {
        if (authority->map == NULL ||
            (map->epoch > authority->map->epoch && strcmp(map->cluster, authority->map->cluster) == 0))
            map_write_start(authority, map, NULL);
        else
            map_unref(map);
    }
    map_talk_free(authority, talk);
    if (authority->stopping)
        map_stop_if_idle(authority);
    else if (kind == MAP_PROBE && authority->probes == 0)
        map_search_end(authority);
}

static void map_probe(struct map_authority *authority, const char *url)
{
    struct map_talk *talk = map_talk_new(authority, MAP_PROBE, url);
    if (talk == NULL)
        return;
    authority->probes++;
    node_request_start(&talk->request, "GET", talk->url, MAP_PROBE_TIMEOUT_MS, map_on_talk,
                       "/cluster/map");
}

static void map_tell(struct map_authority *authority, const char *url)
{
    struct map_talk *talk = map_talk_new(authority, MAP_TELL, url);
    if (talk == NULL)
        return;
    map_print(authority->map, &talk->request.body);
    node_request_start(&talk->request, "PUT", talk->url, MAP_PROBE_TIMEOUT_MS, map_on_talk,
                       "/cluster/map");
}

void map_authority_seen(struct indexer *indexer, const char *node_url, const char *cluster, uint64_t epoch)
{
    struct map_authority *authority = indexer->map_authority;

    if (authority == NULL || authority->map == NULL || authority->stopping ||
        epoch == authority->map->epoch)
        return;
    if (epoch < authority->map->epoch) {
        for (unsigned i = 0; i < authority->map->nodes_count; i++)
            if (strcmp(authority->map->nodes[i].url, node_url) == 0)
                map_tell(authority, node_url);
        return;
    }
    if (strcmp(cluster, authority->map->cluster) != 0 && authority->map->epoch > 0)
        return;
    struct map_talk *talk = map_talk_new(authority, MAP_ASK, node_url);
    if (talk != NULL)
        node_request_start(&talk->request, "GET", talk->url, MAP_PROBE_TIMEOUT_MS, map_on_talk,
                           "/cluster/map");
}

/* --- searching --- */

static void map_on_retry(uv_timer_t *timer)
{
    struct map_authority *authority = timer->data;

    if (authority->stopping || authority->works > 0 || authority->searching)
        return;
    if (authority->map != NULL) {
        map_look(authority);
        return;
    }
    if (authority->stored_epoch == map_none && authority->stored == NULL)
        map_read(authority);
    else
        map_search(authority);
}

static void map_search(struct map_authority *authority)
{
    char url[URL_SIZE_MAX + 1];
    const char *at = authority->indexer->settings->nodes;

    authority->searching = true;
    authority->answered = 0;
    authority->mixed = false;
    while (at != NULL && *at != '\0') {
        size_t size = strcspn(at, ",");
        if (size > 0 && size < sizeof url) {
            memcpy(url, at, size);
            url[size] = '\0';
            map_probe(authority, url);
        }
        at += size + (at[size] == ',');
    }
    for (unsigned i = 0; authority->stored != NULL && i < authority->stored->nodes_count; i++)
        if (authority->stored->nodes[i].state != NODE_OUT)
            map_probe(authority, authority->stored->nodes[i].url);
    if (authority->probes == 0)
        map_search_end(authority);
}

static void map_read_run(struct work *work)
{
    struct map_authority *authority = container_of(work, struct map_authority, read_work);
    work->status = catalog_map_get(authority->indexer->catalog, &authority->read_json, &work->err);
}

static void map_on_read(struct work *work)
{
    struct map_authority *authority = container_of(work, struct map_authority, read_work);

    authority->works--;
    if (authority->stopping) {
        buf_fini(&authority->read_json);
        map_stop_if_idle(authority);
        return;
    }
    if (work->status == STATUS_OK) {
        authority->stored = map_parse(authority->read_json.data, authority->read_json.size, &work->err);
        if (authority->stored == NULL)
            work->status = error_wrap(&work->err, "the catalog's cluster map");
        else
            authority->stored_epoch = authority->stored->epoch;
    }
    buf_fini(&authority->read_json);
    if (work->status != STATUS_OK && work->status != STATUS_NOT_FOUND) {
        snprintf(authority->why, sizeof authority->why, "%.500s", work->err.text);
        log_msg(LOG_WARN, "map.read", "%s", work->err.text);
        return; /* the timer comes again */
    }
    if (authority->map == NULL && !authority->searching)
        map_search(authority);
}

static void map_read(struct map_authority *authority)
{
    buf_init(&authority->read_json, MAP_JSON_SIZE_MAX);
    error_init(&authority->read_work.err);
    authority->works++;
    work_start(authority->indexer->loop, &authority->read_work, map_read_run, map_on_read);
}

/* --- a map is taken --- */

/* Has a node left? What the index names on it goes by a sweep: no tail is there to do it. */
static void map_look_at_leavers(struct map_authority *authority, const struct cluster_map *map)
{
    for (unsigned i = 0; authority->map != NULL && i < authority->map->nodes_count; i++)
        if (map_find(map, authority->map->nodes[i].id) == NULL) {
            sweep_wanted(authority->indexer, "a node is in the map no more");
            return;
        }
}

/* Does a node go by another URL? Its locations are given it by a sweep. */
static void map_look_at_urls(struct map_authority *authority, const struct cluster_map *map)
{
    for (unsigned i = 0; authority->map != NULL && i < map->nodes_count; i++) {
        const struct map_node *was = map_find(authority->map, map->nodes[i].id);
        if (was != NULL && strcmp(was->url, map->nodes[i].url) != 0) {
            sweep_wanted(authority->indexer, "a node goes by another URL");
            return;
        }
    }
}

static void map_adopt(struct map_authority *authority, struct cluster_map *map)
{
    map_look_at_leavers(authority, map);
    map_look_at_urls(authority, map);
    map_unref(authority->map);
    map_unref(authority->stored);
    authority->stored = NULL;
    authority->map = map_ref(map);
    authority->stored_epoch = map->epoch;
    authority->why[0] = '\0';
    log_msg(LOG_INFO, "map.known", "cluster %s epoch %" PRIu64 ", %u nodes", map->cluster,
            map->epoch, map->nodes_count);
    for (unsigned i = 0; map->epoch > 0 && i < map->nodes_count; i++)
        if (map->nodes[i].state != NODE_OUT)
            map_tell(authority, map->nodes[i].url);
    tails_on_map(authority->indexer, authority->map);
    share_look(authority->indexer);
}

static void map_write_run(struct work *work)
{
    struct map_write *write = container_of(work, struct map_write, work);
    struct error ignored;

    work->status = catalog_map_put(write->indexer->catalog, write->json.data, write->json.size,
                                   write->map->epoch, write->was, &work->err);
    if (work->status == STATUS_STALE_EPOCH)
        (void)catalog_map_get(write->indexer->catalog, &write->newer, &ignored); /* empty: none to show */
}

static void map_reply(struct http_exchange *ex, const struct cluster_map *map)
{
    struct buf body;

    buf_init(&body, MAP_JSON_SIZE_MAX);
    map_print(map, &body);
    http_reply_header(ex, "ETag", "\"%" PRIu64 "\"", map->epoch);
    http_reply_header(ex, "Cache-Control", "no-cache");
    http_reply(ex, 200, "application/json", &body);
}

/* 412 hands back the map that holds: its members stand beside those of the problem, as a node's do. Also the ETag is its epoch. */
static void map_reply_stale(struct http_exchange *ex, enum status status, const struct error *err,
                            const struct cluster_map *map)
{
    struct buf body, members;

    buf_init(&body, MAP_JSON_SIZE_MAX);
    buf_init(&members, MAP_JSON_SIZE_MAX);
    map_print(map, &body);
    while (body.size > 0 && strchr("} \n", body.data[body.size - 1]) != NULL)
        body.size--;
    if (body.size > 1)
        buf_append(&members, body.data + 1, body.size - 1);
    http_reply_header(ex, "ETag", "\"%" PRIu64 "\"", map->epoch);
    http_reply_error(ex, status, err, &members);
    buf_fini(&body);
    buf_fini(&members);
}

/* The catalog holds another map than was thought: take that one, and show it to who asked. */
static void map_write_lost(struct map_authority *authority, struct map_write *write)
{
    struct error err;

    error_init(&err);
    struct cluster_map *newer = map_parse(write->newer.data, write->newer.size, &err);
    if (newer != NULL && (authority->map == NULL || newer->epoch > authority->map->epoch))
        map_adopt(authority, newer);
    if (write->exchange != NULL && newer != NULL)
        map_reply_stale(write->exchange, STATUS_STALE_EPOCH, &write->work.err, newer);
    else if (write->exchange != NULL)
        http_reply_error(write->exchange, write->work.status, &write->work.err, NULL);
    map_unref(newer);
}

/* What the catalog has is not what rules here. */
static void map_look_differs(struct map_authority *authority, struct cluster_map *found)
{
    if (found != NULL && found->epoch > authority->map->epoch) {
        if (authority->map->epoch == 0 || strcmp(found->cluster, authority->map->cluster) == 0)
            map_adopt(authority, found);
        return;
    }
    log_msg(LOG_WARN, "map.went-back", "the index has %s, epoch %" PRIu64 " rules: it is written again",
            found != NULL ? "an older cluster map" : "no cluster map", authority->map->epoch);
    map_write_start(authority, map_ref(authority->map), NULL);
}

static void map_on_look(struct work *work)
{
    struct map_authority *authority = container_of(work, struct map_authority, read_work);
    uint64_t now_ms = uv_now(authority->indexer->loop);
    uint64_t pause_ms = (now_ms - authority->look_began_ms) * MAP_LOOK_PART;
    struct cluster_map *found = NULL;
    struct error err;

    authority->works--;
    if (pause_ms < authority->indexer->settings->lease_ms)
        pause_ms = authority->indexer->settings->lease_ms;
    authority->look_at_ms = now_ms + pause_ms;
    if (work->status == STATUS_OK)
        found = map_parse(authority->read_json.data, authority->read_json.size, &err);
    bool told = found != NULL || work->status == STATUS_NOT_FOUND;
    if (!authority->stopping && told && (found == NULL || found->epoch != authority->map->epoch))
        map_look_differs(authority, found);
    map_unref(found);
    buf_fini(&authority->read_json);
    map_stop_if_idle(authority);
}

static void map_look(struct map_authority *authority)
{
    uint64_t now_ms = uv_now(authority->indexer->loop);

    if (now_ms < authority->look_at_ms)
        return;
    authority->look_began_ms = now_ms;
    buf_init(&authority->read_json, MAP_JSON_SIZE_MAX);
    error_init(&authority->read_work.err);
    authority->works++;
    work_start(authority->indexer->loop, &authority->read_work, map_read_run, map_on_look);
}

static void map_on_written(struct work *work)
{
    struct map_write *write = container_of(work, struct map_write, work);
    struct map_authority *authority = write->indexer->map_authority;

    authority->works--;
    if (work->status == STATUS_OK) {
        map_adopt(authority, write->map);
        if (write->exchange != NULL)
            map_reply(write->exchange, write->map);
    } else if (work->status == STATUS_STALE_EPOCH) {
        map_write_lost(authority, write);
    } else {
        log_msg(LOG_WARN, "map.write", "%s", work->err.text);
        if (write->exchange != NULL)
            http_reply_error(write->exchange, work->status, &work->err, NULL);
    }
    if (write->on_done != NULL)
        write->on_done(write->data, work->status, &work->err);
    map_unref(write->map);
    buf_fini(&write->json);
    buf_fini(&write->newer);
    free(write);
    map_stop_if_idle(authority);
}

static struct map_write *map_write_new(struct map_authority *authority, struct cluster_map *map,
                                       struct http_exchange *ex)
{
    struct map_write *write = calloc(1, sizeof *write);
    assert(write != NULL);
    write->indexer = authority->indexer;
    write->map = map;
    write->was = authority->stored_epoch;
    write->exchange = ex;
    error_init(&write->work.err);
    buf_init(&write->json, MAP_JSON_SIZE_MAX);
    buf_init(&write->newer, MAP_JSON_SIZE_MAX);
    map_print(map, &write->json);
    authority->works++;
    return write;
}

/* Takes the reference. */
static void map_write_start(struct map_authority *authority, struct cluster_map *map,
                            struct http_exchange *ex)
{
    struct map_write *write = map_write_new(authority, map, ex);

    work_start(authority->indexer->loop, &write->work, map_write_run, map_on_written);
}

void map_authority_put(struct indexer *indexer, struct cluster_map *map, uint64_t was,
                       void (*on_done)(void *data, enum status status, const struct error *err),
                       void *data)
{
    struct map_write *write = map_write_new(indexer->map_authority, map_ref(map), NULL);

    write->was = was;
    write->on_done = on_done;
    write->data = data;
    work_start(indexer->loop, &write->work, map_write_run, map_on_written);
}

/* --- start and stop --- */

enum status map_authority_start(struct indexer *indexer, struct error *err)
{
    struct map_authority *authority = calloc(1, sizeof *authority);
    if (authority == NULL)
        return error_set(err, STATUS_NO_MEMORY, "map authority");
    authority->indexer = indexer;
    authority->stored_epoch = map_none;
    list_init(&authority->talks);
    snprintf(authority->why, sizeof authority->why, "reading the cluster map");
    indexer->map_authority = authority;
    uv_timer_init(indexer->loop, &authority->retry);
    authority->retry.data = authority;
    uv_timer_start(&authority->retry, map_on_retry, MAP_RETRY_MS, MAP_RETRY_MS);
    map_read(authority);
    return STATUS_OK;
}

static void map_on_closed(uv_handle_t *handle)
{
    struct map_authority *authority = handle->data;
    struct indexer *indexer = authority->indexer;
    void (*on_stopped)(struct indexer *) = authority->on_stopped;

    map_unref(authority->map);
    map_unref(authority->stored);
    map_unref(authority->best);
    indexer->map_authority = NULL;
    free(authority);
    on_stopped(indexer);
}

static void map_stop_if_idle(struct map_authority *authority)
{
    if (authority->stopping && authority->works == 0 && list_empty(&authority->talks) &&
        !uv_is_closing((uv_handle_t *)&authority->retry))
        uv_close((uv_handle_t *)&authority->retry, map_on_closed);
}

void map_authority_stop(struct indexer *indexer, void (*on_stopped)(struct indexer *indexer))
{
    struct map_authority *authority = indexer->map_authority;

    authority->stopping = true;
    authority->on_stopped = on_stopped;
    list_for_each (item, &authority->talks)
        node_request_cancel(&container_of(item, struct map_talk, list)->request);
    map_stop_if_idle(authority);
}

/* --- routes --- */

void map_authority_get_route(struct http_exchange *ex)
{
    struct indexer *indexer = http_context(ex);
    struct cluster_map *map = map_authority_map(indexer);
    struct error err;

    if (map != NULL) {
        map_reply(ex, map);
        return;
    }
    error_init(&err);
    error_set(&err, STATUS_NOT_READY, "no cluster map yet: %s", map_authority_why(indexer));
    http_reply_error(ex, STATUS_NOT_READY, &err, NULL);
}

/* The epoch of If-Match, bare or quoted. */
static enum status map_if_match(const struct http_exchange *ex, uint64_t *epoch, struct error *err)
{
    struct slice text = http_header(ex, "If-Match");

    if (text.data == NULL)
        return error_set(err, STATUS_BAD_REQUEST,
                         "If-Match is missing: the epoch of the map that this one replaces (0: none yet)");
    if (text.size >= 2 && text.data[0] == '"' && text.data[text.size - 1] == '"')
        text = slice_of(text.data + 1, text.size - 2);
    if (decimal_parse((const char *)text.data, text.size, UINT64_MAX - 1, epoch) != 0)
        return error_set(err, STATUS_BAD_VALUE, "If-Match: %.*s is not an epoch",
                         (int)(text.size > 40 ? 40 : text.size), (const char *)text.data);
    return STATUS_OK;
}

static void map_on_put_body(struct http_exchange *ex, enum status status, struct slice body)
{
    struct indexer *indexer = http_context(ex);
    struct map_authority *authority = indexer->map_authority;
    struct cluster_map *map = NULL;
    uint64_t match = 0, now = authority->map != NULL ? authority->map->epoch : 0;
    struct error err;

    error_init(&err);
    if (status != STATUS_OK)
        error_set(&err, status, "the map: %s", status_title(status));
    else
        status = map_if_match(ex, &match, &err);
    if (status == STATUS_OK && match != now)
        status = error_set(&err, match < now ? STATUS_STALE_EPOCH : STATUS_PRECONDITION,
                           "If-Match: epoch %" PRIu64 ", the map has %" PRIu64, match, now);
    if (status == STATUS_OK) {
        map = map_parse(body.data, body.size, &err);
        if (map == NULL)
            status = err.status != STATUS_OK ? err.status : STATUS_BAD_VALUE;
    }
    if (status == STATUS_OK && map->epoch <= now)
        status = error_set(&err, STATUS_STALE_EPOCH, "epoch %" PRIu64 " is not above %" PRIu64,
                           map->epoch, now);
    if (status == STATUS_OK && authority->map != NULL && now > 0 &&
        strcmp(map->cluster, authority->map->cluster) != 0)
        status = error_set(&err, STATUS_OTHER_CLUSTER, "this is cluster %s, the map is of %s",
                           authority->map->cluster, map->cluster);
    if (status != STATUS_OK) {
        map_unref(map);
        if (authority->map != NULL && status_http(status) == 412)
            map_reply_stale(ex, status, &err, authority->map);
        else
            http_reply_error(ex, status, &err, NULL);
        return;
    }
    map_write_start(authority, map, ex);
}

void map_authority_put_route(struct http_exchange *ex)
{
    http_body_gather(ex, MAP_JSON_SIZE_MAX, map_on_put_body);
}
