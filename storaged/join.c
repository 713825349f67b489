/* join.c: the map from one of the configured URLs, unless one was told; then the runs' states from who is of that map's cluster.
 *
 *     MAP --epoch >= 1--> JUDGE --> RUNS --listing--> TELL each state --> RUNS of the next, or
 *      ^-- the next URL ----'                          '--> INSTALL the map, take the marker away --> END
 *      ^------------------- REST <-- any failure
 *
 * Whose map is it? Another cluster's node may stand at one of the URLs, and a node that has once taken its map belongs to it.
 * A map that names this node is ours. One that does not (the node is new, and is added later) is taken only when more than half
 * of the other URLs have given one of that cluster in a round, and none of another. A map that was told (cluster init, an
 * indexer) was judged when it was installed (cluster.c).
 *
 * Whose states are enough? Those of one member of the map that is not joining itself, or of one of its indexers. Where
 * nobody has those, all other members' together: a cluster that begins, or one all of whose disks are new. A member that is
 * down may be the one who knows, so it is waited for, until the map counts it out. A map that names neither another member
 * nor an indexer leaves nobody to ask.
 *
 * States come before a map that was fetched is installed: once the map is on disk, a restart would be ready with it. A map that is
 * told meanwhile is installed at once, and the marker keeps the node from being ready before it has the states too. */
#include "storaged/join.h"

#include "storaged/json_file.h"
#include "storaged/node.h"
#include "storaged/peers/run_fetch.h"
#include "storaged/work.h"

#include "proto/base/fsm.h"
#include "proto/base/json_read.h"
#include "proto/base/log.h"
#include "proto/node_api.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

const char join_marker[] = "joining";

enum join_step { JOIN_MAP, JOIN_JUDGE, JOIN_RUNS, JOIN_TELL, JOIN_INSTALL, JOIN_DONE, JOIN_REST };

enum { RUNS_ANSWER_MAX = 512 << 20, CONNECT_TIMEOUT_MS = 2000 };

struct join {
    struct fsm fsm;
    struct node_loop *loop;
    char *urls;       /* owned: comma-separated; "": none, the map is told */
    const char *next; /* in urls */
    char url[URL_SIZE_MAX + 32];
    size_t base_size; /* of url, without a path */
    struct transfer_request request;
    struct cluster_map *map; /* owned: to be installed, or in use */
    struct {                 /* maps that don't name this node, since the first URL was asked */
        char cluster[CLUSTER_ID_SIZE + 1]; /* "": none yet */
        unsigned count;
        bool mixed; /* they are of several clusters */
    } round;
    struct {              /* who is asked for states: the map's other members, then its indexers */
        unsigned next;    /* in the map's nodes, then its indexers */
        unsigned told;    /* members that have */
        bool enough;      /* the one asked last is not joining itself */
        struct error err; /* of the last that did not tell */
    } sources;
    char epoch_text[EPOCH_TEXT_SIZE];
    json_t *listing; /* owned; NULL: this source did not tell */
    size_t run;      /* in the listing */
    struct run_change change;
    struct work work;
    enum status status;
    struct error err;
    uv_timer_t timer;
    uint64_t delay_ms;
    bool resting, stopped;
    uv_mutex_t mutex; /* of text */
    char text[ERROR_TEXT_SIZE];
};

#define TO(step) (1u << JOIN_##step)

static enum fsm_next join_map(struct fsm *fsm);
static enum fsm_next join_judge(struct fsm *fsm);
static enum fsm_next join_runs(struct fsm *fsm);
static enum fsm_next join_tell(struct fsm *fsm);
static enum fsm_next join_install(struct fsm *fsm);
static enum fsm_next join_done(struct fsm *fsm);
static enum fsm_next join_rest(struct fsm *fsm);

static const struct fsm_step join_steps[] = {
    [JOIN_MAP] = { "map", join_map, TO(JUDGE) | TO(RUNS) },
    [JOIN_JUDGE] = { "judge", join_judge, TO(RUNS) | TO(MAP) },
    [JOIN_RUNS] = { "runs", join_runs, TO(TELL) | TO(INSTALL) },
    [JOIN_TELL] = { "tell", join_tell, TO(TELL) | TO(RUNS) | TO(INSTALL) },
    [JOIN_INSTALL] = { "install", join_install, TO(DONE) },
    [JOIN_DONE] = { "done", join_done, 0 },
    [JOIN_REST] = { "rest", join_rest, TO(MAP) },
};

/* --- asking --- */

static void ask(struct join *join, const char *path, const struct cluster_map *map, size_t answer_max,
                void (*on_done)(struct transfer_request *request, enum status status,
                                const struct error *err))
{
    struct transfer_request *request = &join->request;

    snprintf(join->url + join->base_size, sizeof join->url - join->base_size, "%s", path);
    transfer_request_init(request);
    if (map != NULL) { /* whoever is of another cluster refuses */
        snprintf(join->epoch_text, sizeof join->epoch_text, "%llu", (unsigned long long)map->epoch);
        request->headers[0] = (struct transfer_header){ HEADER_CLUSTER, map->cluster };
        request->headers[1] = (struct transfer_header){ HEADER_EPOCH, join->epoch_text };
    }
    request->connect_timeout_ms = CONNECT_TIMEOUT_MS;
    request->method = "GET";
    request->url = join->url;
    request->answer_max = answer_max;
    request->on_done = on_done;
    request->user = join;
    node_loop_begin(join->loop);
    transfer_start(join->loop->transfer, request);
}

/* Ends a step that asked. The loop's count goes down last: the machine may start the next request before. */
static void answered(struct join *join, enum status status, struct error *err)
{
    struct node_loop *loop = join->loop;

    transfer_request_fini(&join->request);
    if (status != STATUS_OK)
        error_wrap(err, "%.*s", (int)join->base_size, join->url);
    fsm_resume(&join->fsm, status, err);
    node_loop_end(loop);
}

static bool next_url(struct join *join)
{
    if (*join->next == '\0' || join->next == join->urls) {
        join->next = join->urls;
        memset(&join->round, 0, sizeof join->round);
    }
    size_t size = strcspn(join->next, ",");
    assert(size <= URL_SIZE_MAX); /* settings.c looked */
    memcpy(join->url, join->next, size);
    join->url[size] = '\0';
    join->base_size = size;
    join->next += size + (join->next[size] == ',');
    return size > 0;
}

static bool is_own_url(struct join *join)
{
    struct cluster_view *view = cluster_view(&join->loop->node->cluster);
    bool own = strcmp(join->url, view->url) == 0;

    cluster_view_release(view);
    return own;
}

/* --- map --- */

static void on_map(struct transfer_request *request, enum status status, const struct error *failure)
{
    struct join *join = request->user;
    struct error err;

    error_init(&err);
    if (status != STATUS_OK)
        error_set(&err, status, "%s", failure->text);
    else
        status = transfer_answer_status(request, &err);
    map_unref(join->map);
    join->map = NULL;
    if (status == STATUS_OK) {
        join->map = map_parse(request->answer.data, request->answer.size, &err);
        status = join->map == NULL ? STATUS_BAD_VALUE : STATUS_OK;
    }
    if (status == STATUS_OK && join->map->epoch == 0)
        status = error_set(&err, STATUS_NOT_READY,
                           "has no map of the cluster yet (gribstore cluster init makes one)");
    answered(join, status, &err);
}

/* A map that was told is in use already. */
static bool take_told(struct join *join)
{
    struct cluster_view *view = cluster_view(&join->loop->node->cluster);
    bool told = view->map->epoch > 0;

    if (told) {
        map_unref(join->map);
        join->map = map_ref(view->map);
    }
    cluster_view_release(view);
    return told;
}

static enum fsm_next join_map(struct fsm *fsm)
{
    struct join *join = container_of(fsm, struct join, fsm);
    struct error err;

    memset(&join->sources, 0, sizeof join->sources);
    if (take_told(join))
        return fsm_go(fsm, JOIN_RUNS);
    error_init(&err);
    if (join->urls[0] == '\0') {
        error_set(&err, STATUS_NOT_READY, "the map that took this node in is not kept yet");
        return fsm_fail(fsm, STATUS_NOT_READY, &err);
    }
    if (!next_url(join) || is_own_url(join)) {
        error_set(&err, STATUS_NOT_READY, "%s: is this node itself", join->url);
        return fsm_fail(fsm, STATUS_NOT_READY, &err);
    }
    ask(join, "/cluster/map", NULL, MAP_JSON_SIZE_MAX, on_map);
    return fsm_wait(fsm, 1, JOIN_JUDGE);
}

/* --- judge --- */

/* How many of the URLs are other nodes'. */
static unsigned others_count(struct join *join)
{
    struct cluster_view *view = cluster_view(&join->loop->node->cluster);
    size_t own_size = strlen(view->url);
    unsigned count = 0;

    for (const char *url = join->urls; *url != '\0';) {
        size_t size = strcspn(url, ",");
        count += size != own_size || memcmp(url, view->url, size) != 0;
        url += size + (url[size] == ',');
    }
    cluster_view_release(view);
    return count;
}

static void round_take(struct join *join)
{
    if (join->round.cluster[0] == '\0')
        snprintf(join->round.cluster, sizeof join->round.cluster, "%s", join->map->cluster);
    join->round.mixed |= strcmp(join->round.cluster, join->map->cluster) != 0;
    join->round.count++;
}

static enum fsm_next join_judge(struct fsm *fsm)
{
    struct join *join = container_of(fsm, struct join, fsm);
    unsigned others = others_count(join);
    struct error err;

    if (map_find(join->map, join->loop->node->cluster.self.id) != NULL)
        return fsm_go(fsm, JOIN_RUNS);
    round_take(join);
    if (!join->round.mixed && join->round.count * 2 > others)
        return fsm_go(fsm, JOIN_RUNS);
    if (*join->next != '\0')
        return fsm_go(fsm, JOIN_MAP);
    error_init(&err);
    error_set(&err, STATUS_NOT_READY,
              join->round.mixed
                  ? "the nodes of --join belong to several clusters, and no map names this node"
                  : "no map names this node, and only %u of %u nodes of --join gave one: more than half have to",
              join->round.count, others);
    return fsm_fail(fsm, STATUS_NOT_READY, &err);
}

/* --- runs --- */

/* Who else has a word in it: a node that is out has none. */
static bool is_member(struct join *join, const struct map_node *node)
{
    return node->state != NODE_OUT && strcmp(node->id, join->loop->node->cluster.self.id) != 0;
}

static unsigned members_count(struct join *join)
{
    unsigned count = 0;

    for (unsigned i = 0; i < join->map->nodes_count; i++)
        count += is_member(join, &join->map->nodes[i]);
    return count;
}

/* The URL of the next source, in join->url; false: there is none left. */
static bool next_source(struct join *join)
{
    const struct cluster_map *map = join->map;

    while (join->sources.next < map->nodes_count + map->indexers_count) {
        unsigned n = join->sources.next++;
        if (n < map->nodes_count && !is_member(join, &map->nodes[n]))
            continue;
        snprintf(join->url, URL_SIZE_MAX + 1, "%s",
                 n < map->nodes_count ? map->nodes[n].url : map->indexers[n - map->nodes_count]);
        join->base_size = strlen(join->url);
        return true;
    }
    return false;
}

static bool is_of_indexer(const struct join *join)
{
    return join->sources.next > join->map->nodes_count;
}

/* This one does not tell: the next is asked. */
static void source_failed(struct join *join, const struct error *err)
{
    json_decref(join->listing);
    join->listing = NULL;
    join->sources.err = *err;
    error_wrap(&join->sources.err, "%.*s", (int)join->base_size, join->url);
}

static enum status take_listing(struct join *join, struct error *err)
{
    const struct transfer_request *request = &join->request;
    json_t *runs;

    enum status status = transfer_answer_status(request, err);
    if (status == STATUS_OK)
        status = json_parse(request->answer.data, request->answer.size, &join->listing, err);
    if (status == STATUS_OK)
        status = json_get_array(join->listing, "runs", &runs, err);
    if (status == STATUS_OK)
        join->sources.enough = !json_is_true(json_object_get(join->listing, "joining"));
    return status;
}

static void on_runs(struct transfer_request *request, enum status status, const struct error *failure)
{
    struct join *join = request->user;
    struct node_loop *loop = join->loop;
    struct error err;

    error_init(&err);
    join->run = 0;
    if (status != STATUS_OK)
        error_set(&err, status, "%s", failure->text);
    else
        status = take_listing(join, &err);
    if (status != STATUS_OK)
        source_failed(join, &err);
    transfer_request_fini(request);
    fsm_resume(&join->fsm, STATUS_OK, NULL);
    node_loop_end(loop);
}

/* Nobody is left to ask: is what was told all that there is? */
static enum fsm_next runs_end(struct join *join)
{
    unsigned members = members_count(join);
    struct error err;

    if (members > 0 ? join->sources.told == members : join->map->indexers_count == 0)
        return fsm_go(&join->fsm, JOIN_INSTALL);
    error_init(&err);
    error_set(&err, STATUS_NOT_READY,
              "catching up: the runs' states are needed, of one node or indexer of the cluster that knows them: %.300s",
              join->sources.err.text);
    return fsm_fail(&join->fsm, STATUS_NOT_READY, &err);
}

static enum fsm_next join_runs(struct fsm *fsm)
{
    struct join *join = container_of(fsm, struct join, fsm);

    json_decref(join->listing);
    join->listing = NULL;
    if (join->stopped || !next_source(join))
        return runs_end(join);
    ask(join, is_of_indexer(join) ? "/v1/runs" : "/cluster/runs", join->map, RUNS_ANSWER_MAX, on_runs);
    return fsm_wait(fsm, 1, JOIN_TELL);
}

/* --- tell --- */

static enum status read_run(const json_t *entry, struct run_change *change, struct error *err)
{
    const char *source, *base_time;

    enum status status = json_get_string(entry, "source", &source, err);
    if (status == STATUS_OK)
        status = json_get_string(entry, "base_time", &base_time, err);
    if (status == STATUS_OK)
        status = run_key_parse(slice_text(source), slice_text(base_time), &change->run, err);
    if (status == STATUS_OK)
        status = run_info_read(entry, &change->info, err);
    return status;
}

static void on_told(struct run_change *change, enum status status)
{
    struct join *join = container_of(change, struct join, change);
    struct node_loop *loop = join->loop;

    fsm_resume(&join->fsm, status == STATUS_STALE_RUN ? STATUS_OK : status, &change->err);
    node_loop_end(loop);
}

/* All of a source's states hold here. */
static enum fsm_next source_told(struct join *join)
{
    join->sources.told += !is_of_indexer(join);
    return fsm_go(&join->fsm, join->sources.enough ? JOIN_INSTALL : JOIN_RUNS);
}

static enum fsm_next join_tell(struct fsm *fsm)
{
    struct join *join = container_of(fsm, struct join, fsm);
    const json_t *runs = json_object_get(join->listing, "runs");
    struct error err;

    if (join->listing == NULL)
        return fsm_go(fsm, JOIN_RUNS);
    if (join->run == json_array_size(runs))
        return source_told(join);
    error_init(&err);
    join->change = (struct run_change){ .port = &join->loop->port, .on_done = on_told };
    error_init(&join->change.err);
    if (read_run(json_array_get(runs, join->run++), &join->change, &err) != STATUS_OK) {
        source_failed(join, &err);
        return fsm_go(fsm, JOIN_RUNS);
    }
    if (join->change.info.version == 0 && join->change.info.incarnation == 1)
        return fsm_go(fsm, JOIN_TELL); /* nobody spoke of it */
    node_loop_begin(join->loop);
    store_run_tell(join->loop->node->store, &join->change);
    return fsm_wait(fsm, 1, JOIN_TELL);
}

/* --- install --- */

static void install_run(struct work *work)
{
    struct join *join = container_of(work, struct join, work);
    struct node *node = join->loop->node;

    error_init(&join->err);
    join->status = cluster_install(&node->cluster, join->map, &join->err);
    if (join->status == STATUS_STALE_EPOCH) /* a newer one was told meanwhile */
        join->status = STATUS_OK;
    if (join->status == STATUS_OK)
        join->status = json_file_remove(node->settings->data, join_marker, &join->err);
}

static void install_done(struct work *work)
{
    struct join *join = container_of(work, struct join, work);

    fsm_resume(&join->fsm, join->status, &join->err);
}

static enum fsm_next join_install(struct fsm *fsm)
{
    struct join *join = container_of(fsm, struct join, fsm);

    work_start_own(&join->work, join->loop, install_run, install_done);
    return fsm_wait(fsm, 1, JOIN_DONE);
}

static enum fsm_next join_done(struct fsm *fsm)
{
    struct join *join = container_of(fsm, struct join, fsm);
    struct node *node = join->loop->node;

    log_msg(LOG_INFO, "node.joined", "it has the map of epoch %llu; run states came from %s",
            (unsigned long long)join->map->epoch,
            join->sources.enough ? join->url : "all other nodes that there are");
    if (atomic_load(&node->again))
        node_drain(node);
    else
        node_set_serving(node);
    return FSM_END;
}

/* --- rest --- */

static void on_timer(uv_timer_t *timer)
{
    struct join *join = container_of(timer, struct join, timer);

    join->resting = false;
    join->fsm.status = STATUS_OK;
    fsm_resume(&join->fsm, STATUS_OK, NULL);
}

static enum fsm_next join_rest(struct fsm *fsm)
{
    struct join *join = container_of(fsm, struct join, fsm);

    uv_mutex_lock(&join->mutex);
    snprintf(join->text, sizeof join->text, "%s", fsm->err.text);
    uv_mutex_unlock(&join->mutex);
    if (join->stopped)
        return FSM_END;
    log_msg(LOG_INFO, "node.joining", "%s", fsm->err.text);
    uv_timer_start(&join->timer, on_timer, join->delay_ms, 0);
    join->delay_ms = join->delay_ms * 2 < JOIN_DELAY_MAX_MS ? join->delay_ms * 2 : JOIN_DELAY_MAX_MS;
    return fsm_wait(fsm, 1, JOIN_MAP);
}

struct join *join_start(struct node_loop *loop, const char *urls)
{
    struct join *join = calloc(1, sizeof *join);

    if (join == NULL || (join->urls = strdup(urls)) == NULL || uv_mutex_init(&join->mutex) != 0)
        abort();
    join->loop = loop;
    join->next = join->urls;
    join->delay_ms = JOIN_DELAY_MIN_MS;
    snprintf(join->text, sizeof join->text, "nobody was asked yet");
    uv_timer_init(&loop->uv, &join->timer);
    fsm_start(&join->fsm, "join", join_steps, ARRAY_COUNT(join_steps), JOIN_MAP, JOIN_REST);
    return join;
}

void join_stop(struct join *join)
{
    if (join == NULL || join->stopped)
        return;
    join->stopped = true;
    uv_close((uv_handle_t *)&join->timer, NULL);
}

void join_free(struct join *join)
{
    if (join == NULL)
        return;
    map_unref(join->map);
    json_decref(join->listing);
    uv_mutex_destroy(&join->mutex);
    free(join->urls);
    free(join);
}

void join_describe(struct join *join, char *text, size_t size)
{
    uv_mutex_lock(&join->mutex);
    snprintf(text, size, "%s", join->text);
    uv_mutex_unlock(&join->mutex);
}
