/* share.c: leases of nodes, and a look at what others changed.
 *
 *     timer -> look (on the pool: leases, runs, cursors) -> take over (on the loop) -> timer
 *
 * A look is one piece of work at a time; it gets a copy of what it decides upon and brings back what it found. */
#include "indexer/share.h"

#include "indexer/census.h"
#include "indexer/map_authority.h"
#include "indexer/run_state.h"
#include "indexer/sweep.h"
#include "indexer/tail.h"
#include "proto/base/bytes.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHARE_RETRY_MS = 1000,
    SHARE_SOON_MS = 10,
    SHARE_READ_PART = 50, /* at most a fiftieth of the time goes into reading runs and cursors again */
    SHARE_BACK_MAX = 64, /* leases given back with one look */
};

struct share_node {
    char id[NODE_ID_SIZE_MAX + 1];
    bool held;
    bool leaving; /* held still, until its tail has ended */
    bool ended;   /* it has */
};

struct share_list {
    void *items;
    size_t count, size; /* size: room */
};

struct share {
    struct indexer *indexer;
    char name[SHARE_NAME_MAX + 1], owner[64];
    bool shared;
    uv_timer_t timer;
    struct work work;
    bool looking, again, leaving, given_up, refused;
    struct share_node *nodes; /* owned; as the map has them */
    size_t nodes_count;
    struct catalog_lease *leases; /* owned; as of the last look */
    size_t leases_count;
    unsigned alive;
    uint64_t read_after_ms; /* monotonic */
    bool read_now;
    char back[SHARE_BACK_MAX][LEASE_NAME_SIZE_MAX + 1];
    size_t back_count;
    char error[256];
    /* the look's own */
    struct share_look {
        struct share_node *nodes; /* owned */
        size_t nodes_count;
        struct share_list leases, runs, cursors; /* owned */
        char back[SHARE_BACK_MAX][LEASE_NAME_SIZE_MAX + 1];
        size_t back_count;
        unsigned alive, rank;
        bool reads, refused, took_over;
        uint64_t started_ns;
        int64_t next_ms; /* when another's lease runs out */
    } look;
    void (*on_stopped)(struct indexer *indexer);
};

static void share_start_look(struct share *share);

/* --- what others ask --- */

static const struct share_node *share_find(const struct share_node *nodes, size_t count, const char *id)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(nodes[i].id, id) == 0)
            return &nodes[i];
    return NULL;
}

bool share_holds(const struct indexer *indexer, const char *node)
{
    const struct share *share = indexer->share;

    if (share == NULL || share->leaving)
        return false;
    if (!share->shared)
        return true;
    const struct share_node *found = share_find(share->nodes, share->nodes_count, node);
    return found != NULL && found->held && !found->leaving;
}

const char *share_owner(const struct indexer *indexer)
{
    return indexer->share->owner;
}

unsigned share_alive(const struct indexer *indexer)
{
    return indexer->share == NULL || indexer->share->alive == 0 ? 1 : indexer->share->alive;
}

const struct catalog_lease *share_leases(const struct indexer *indexer, size_t *count)
{
    *count = indexer->share == NULL ? 0 : indexer->share->leases_count;
    return *count == 0 ? NULL : indexer->share->leases;
}

void share_give_back(struct indexer *indexer, const char *lease)
{
    struct share *share = indexer->share;

    if (share == NULL || share->back_count == SHARE_BACK_MAX)
        return; /* it runs out */
    snprintf(share->back[share->back_count++], sizeof share->back[0], "%s", lease);
}

/* --- the look, on the pool --- */

static void *share_add(struct share_list *list, size_t size)
{
    if (list->count == list->size) {
        list->size = list->size == 0 ? 64 : 2 * list->size;
        list->items = realloc(list->items, list->size * size);
        assert(list->items != NULL);
    }
    return (char *)list->items + list->count++ * size;
}

static bool look_on_lease(void *data, const struct catalog_lease *lease)
{
    *(struct catalog_lease *)share_add(data, sizeof *lease) = *lease;
    return true;
}

static bool look_on_run(void *data, const struct catalog_run *run)
{
    *(struct catalog_run *)share_add(data, sizeof *run) = *run;
    return true;
}

static bool look_on_cursor(void *data, const struct catalog_cursor *cursor)
{
    *(struct catalog_cursor *)share_add(data, sizeof *cursor) = *cursor;
    return true;
}

static const struct catalog_lease *look_lease(const struct share_look *look, const char *kind,
                                              const char *id)
{
    const struct catalog_lease *leases = look->leases.items;
    size_t size = strlen(kind);

    for (size_t i = 0; i < look->leases.count; i++)
        if (strncmp(leases[i].name, kind, size) == 0 && strcmp(leases[i].name + size, id) == 0)
            return &leases[i];
    return NULL;
}

/* How many indexers are alive, how many of them come before this one by name, and when the next lease of another runs out. */
static void look_count(struct share_look *look, const struct share *share)
{
    const struct catalog_lease *leases = look->leases.items;

    look->alive = look->rank = 0;
    look->next_ms = INT64_MAX;
    for (size_t i = 0; i < look->leases.count; i++) {
        bool indexer = strncmp(leases[i].name, "indexer/", 8) == 0;
        if (leases[i].left_ms <= 0 || (!indexer && strncmp(leases[i].name, "node/", 5) != 0))
            continue;
        look->alive += indexer;
        look->rank += indexer && strcmp(leases[i].name + 8, share->name) < 0;
        if (strcmp(leases[i].owner, share->owner) != 0 && leases[i].left_ms < look->next_ms)
            look->next_ms = leases[i].left_ms;
    }
}

/* Ours and not run out: by the database, whatever was thought. */
static size_t look_held(struct share_look *look, const char *owner)
{
    size_t held = 0;

    for (size_t i = 0; i < look->nodes_count; i++) {
        struct share_node *node = &look->nodes[i];
        const struct catalog_lease *lease = look_lease(look, "node/", node->id);
        node->held = lease != NULL && lease->left_ms > 0 && strcmp(lease->owner, owner) == 0;
        node->leaving = node->leaving && node->held;
        held += node->held && !node->leaving;
    }
    return held;
}

static enum status look_take(struct share *share, struct share_node *node,
                             const struct catalog_lease *lease, struct error *err)
{
    char name[LEASE_NAME_SIZE_MAX + 1], holder[64];

    snprintf(name, sizeof name, "node/%s", node->id);
    enum status status = catalog_lease_take(share->indexer->catalog, name, share->owner,
                                            share->indexer->settings->lease_ms, holder, err);
    if (status == STATUS_CONFLICT)
        return STATUS_OK; /* another was faster */
    node->held = status == STATUS_OK;
    share->look.took_over = share->look.took_over ||
                            (node->held && lease != NULL && strcmp(lease->owner, share->owner) != 0);
    return status;
}

static enum status look_share_out(struct share *share, struct error *err)
{
    struct share_look *look = &share->look;
    size_t held = look_held(look, share->owner);
    size_t alive = look->alive == 0 ? 1 : look->alive;
    size_t ours = look->nodes_count / alive + (look->rank < look->nodes_count % alive);
    enum status status = STATUS_OK;

    for (size_t i = look->nodes_count; i-- > 0 && held > ours;) {
        if (look->nodes[i].held && !look->nodes[i].leaving) {
            look->nodes[i].leaving = true;
            held--;
        }
    }
    for (size_t i = 0; i < look->nodes_count && held < ours && status == STATUS_OK; i++) {
        const struct catalog_lease *lease = look_lease(look, "node/", look->nodes[i].id);
        if (look->nodes[i].held || (lease != NULL && lease->left_ms > 0))
            continue;
        status = look_take(share, &look->nodes[i], lease, err);
        held += look->nodes[i].held;
    }
    return status;
}

static enum status look_release(struct share *share, struct error *err)
{
    struct catalog *catalog = share->indexer->catalog;
    struct share_look *look = &share->look;
    char name[LEASE_NAME_SIZE_MAX + 1];
    enum status status = STATUS_OK;

    for (size_t i = 0; i < look->back_count && status == STATUS_OK; i++)
        status = catalog_lease_release(catalog, look->back[i], share->owner, err);
    for (size_t i = 0; i < look->nodes_count && status == STATUS_OK; i++) {
        struct share_node *node = &look->nodes[i];
        if (!node->leaving || !node->ended)
            continue;
        snprintf(name, sizeof name, "node/%s", node->id);
        status = catalog_lease_release(catalog, name, share->owner, err);
        node->held = node->leaving = false;
    }
    return status;
}

static enum status look_leases(struct share *share, struct error *err)
{
    struct catalog *catalog = share->indexer->catalog;
    uint64_t lease_ms = share->indexer->settings->lease_ms;
    struct share_look *look = &share->look;
    char name[LEASE_NAME_SIZE_MAX + 1], holder[64];

    snprintf(name, sizeof name, "indexer/%s", share->name);
    enum status status = catalog_lease_take(catalog, name, share->owner, lease_ms, holder, err);
    look->refused = status == STATUS_CONFLICT; /* one of this name is alive, or died a moment ago */
    if (status == STATUS_OK || look->refused)
        status = catalog_lease_renew(catalog, share->owner, lease_ms, err);
    if (status == STATUS_OK)
        status = look_release(share, err);
    if (status == STATUS_OK)
        status = catalog_lease_scan(catalog, look_on_lease, &look->leases, err);
    if (status != STATUS_OK)
        return status;
    look_count(look, share);
    if (look->refused) {
        for (size_t i = 0; i < look->nodes_count; i++)
            look->nodes[i].held = false;
        return STATUS_OK;
    }
    return look_share_out(share, err);
}

static void share_look_run(struct work *work)
{
    struct share *share = container_of(work, struct share, work);
    struct catalog *catalog = share->indexer->catalog;
    struct share_look *look = &share->look;

    work->status = share->shared ? look_leases(share, &work->err) : STATUS_OK;
    if (work->status != STATUS_OK || !look->reads)
        return;
    look->started_ns = uv_hrtime();
    work->status = catalog_run_scan(catalog, look_on_run, &look->runs, &work->err);
    if (work->status == STATUS_OK)
        work->status = catalog_cursor_scan(catalog, NULL, look_on_cursor, &look->cursors, &work->err);
}

/* --- what it found, on the loop --- */

static void share_take_nodes(struct share *share)
{
    struct share_look *look = &share->look;

    for (size_t i = 0; i < share->nodes_count; i++) {
        struct share_node *node = &share->nodes[i];
        const struct share_node *now = share_find(look->nodes, look->nodes_count, node->id);
        if (now == NULL)
            continue; /* new in the map: the next look has it */
        if (node->held != now->held || node->leaving != now->leaving)
            log_msg(LOG_INFO, "share.node", "%s: %s", node->id,
                    now->leaving ? "given up"
                    : now->held  ? "ours"
                                 : "not ours");
        node->held = now->held;
        node->leaving = now->leaving;
    }
    if (look->refused && !share->refused)
        log_msg(LOG_WARN, "share.name",
                "another indexer goes by the name %s, or did until a moment ago: nothing is tailed here meanwhile",
                share->name);
    share->refused = look->refused;
    if (look->alive != share->alive)
        log_msg(LOG_INFO, "share.indexers", "%u alive", look->alive);
    share->alive = look->alive;
    free(share->leases);
    share->leases = look->leases.items;
    share->leases_count = look->leases.count;
    look->leases.items = NULL;
    struct cluster_map *map = map_authority_map(share->indexer);
    if (map != NULL)
        tails_on_map(share->indexer, map);
    if (look->took_over)
        sweep_wanted(share->indexer, "a lease was taken over");
}

static void share_take_read(struct share *share)
{
    struct share_look *look = &share->look;
    struct indexer *indexer = share->indexer;

    run_states_refresh(indexer, look->runs.items, look->runs.count, look->started_ns);
    tails_refresh(indexer, look->cursors.items, look->cursors.count, look->started_ns);
    if (share->shared)
        censuses_refresh(indexer, look->cursors.items, look->cursors.count);
    uint64_t took_ms = (uv_hrtime() - look->started_ns) / 1000000;
    share->read_after_ms = clock_monotonic_ms() + took_ms * SHARE_READ_PART;
}

static void share_trouble(struct share *share, const struct error *err)
{
    if (err != NULL && strcmp(share->error, err->text) != 0)
        log_msg(LOG_WARN, "share.look", "%s", err->text);
    snprintf(share->error, sizeof share->error, "%.250s", err != NULL ? err->text : "");
}

static void share_on_timer(uv_timer_t *timer)
{
    share_start_look(timer->data);
}

static void share_next(struct share *share, bool failed)
{
    uint64_t third_ms = share->indexer->settings->lease_ms / 3;
    uint64_t wait_ms = failed && third_ms > SHARE_RETRY_MS ? SHARE_RETRY_MS : third_ms;

    if (!failed && share->shared && share->look.next_ms < (int64_t)wait_ms)
        wait_ms = (uint64_t)share->look.next_ms + SHARE_SOON_MS;
    if (share->again && !failed)
        wait_ms = SHARE_SOON_MS;
    share->again = share->again && failed;
    uv_timer_start(&share->timer, share_on_timer, wait_ms, 0);
}

/* --- giving up --- */

static void share_on_closed(uv_handle_t *handle)
{
    struct share *share = handle->data;
    struct indexer *indexer = share->indexer;
    void (*on_stopped)(struct indexer *) = share->on_stopped;

    free(share->nodes);
    free(share->leases);
    free(share);
    indexer->share = NULL;
    on_stopped(indexer);
}

static void share_give_up_run(struct work *work)
{
    struct share *share = container_of(work, struct share, work);
    work->status = catalog_lease_release_all(share->indexer->catalog, share->owner, &work->err);
}

static void share_go_on_leaving(struct share *share);

static void share_on_given_up(struct work *work)
{
    struct share *share = container_of(work, struct share, work);

    share->looking = false;
    share->given_up = true;
    if (work->status != STATUS_OK)
        log_msg(LOG_WARN, "share.leave", "%s: the leases run out by themselves", work->err.text);
    share_go_on_leaving(share);
}

static void share_go_on_leaving(struct share *share)
{
    if (!share->leaving || share->looking || !tails_ended(share->indexer))
        return;
    if (share->shared && !share->given_up) {
        share->looking = true;
        work_start(share->indexer->loop, &share->work, share_give_up_run, share_on_given_up);
        return;
    }
    if (share->on_stopped != NULL && !uv_is_closing((uv_handle_t *)&share->timer))
        uv_close((uv_handle_t *)&share->timer, share_on_closed);
}

void share_leave(struct indexer *indexer)
{
    struct share *share = indexer->share;
    struct cluster_map *map = map_authority_map(indexer);

    share->leaving = true;
    uv_timer_stop(&share->timer);
    if (map != NULL)
        tails_on_map(indexer, map); /* none is ours any more */
    share_go_on_leaving(share);
}

void share_stop(struct indexer *indexer, void (*on_stopped)(struct indexer *indexer))
{
    indexer->share->on_stopped = on_stopped;
    share_go_on_leaving(indexer->share);
}

/* --- the next look --- */

static void look_fini(struct share_look *look)
{
    free(look->nodes);
    free(look->leases.items);
    free(look->runs.items);
    free(look->cursors.items);
    *look = (struct share_look){ .next_ms = look->next_ms };
}

static void share_on_looked(struct work *work)
{
    struct share *share = container_of(work, struct share, work);
    bool failed = work->status != STATUS_OK, read = share->look.reads;

    share->looking = false;
    if (!share->leaving) {
        if (failed) {
            share_trouble(share, &work->err);
            share->read_now = share->read_now || read;
        } else {
            share_trouble(share, NULL);
            if (read)
                share_take_read(share);
            if (share->shared)
                share_take_nodes(share);
        }
    }
    look_fini(&share->look);
    if (share->leaving)
        share_go_on_leaving(share);
    else if (!share->looking)
        share_next(share, failed);
}

/* The nodes as the map has them now; what is known of them stays. */
static void share_take_map(struct share *share)
{
    const struct cluster_map *map = map_authority_map(share->indexer);
    size_t count = map == NULL ? 0 : map->nodes_count;
    struct share_node *nodes = calloc(count + 1, sizeof *nodes);

    assert(nodes != NULL);
    for (size_t i = 0; i < count; i++) {
        const struct share_node *known = share_find(share->nodes, share->nodes_count, map->nodes[i].id);
        if (known != NULL)
            nodes[i] = *known;
        snprintf(nodes[i].id, sizeof nodes[i].id, "%s", map->nodes[i].id);
        nodes[i].ended = nodes[i].leaving && !tails_has(share->indexer, nodes[i].id);
    }
    free(share->nodes);
    share->nodes = nodes;
    share->nodes_count = count;
}

static void share_start_look(struct share *share)
{
    struct share_look *look = &share->look;

    if (share->looking || share->leaving) {
        share->again = true;
        return;
    }
    share_take_map(share);
    look->nodes = malloc((share->nodes_count + 1) * sizeof *look->nodes);
    assert(look->nodes != NULL);
    memcpy(look->nodes, share->nodes, share->nodes_count * sizeof *look->nodes);
    look->nodes_count = share->nodes_count;
    memcpy(look->back, share->back, sizeof look->back);
    look->back_count = share->back_count;
    share->back_count = 0;
    look->reads = share->read_now || clock_monotonic_ms() >= share->read_after_ms;
    share->read_now = false;
    share->looking = true;
    work_start(share->indexer->loop, &share->work, share_look_run, share_on_looked);
}

void share_look(struct indexer *indexer)
{
    struct share *share = indexer->share;

    if (share == NULL || share->leaving)
        return;
    share->read_now = share->again = true;
    if (!share->looking)
        uv_timer_start(&share->timer, share_on_timer, SHARE_SOON_MS, 0);
}

void share_on_tail_closed(struct indexer *indexer)
{
    struct share *share = indexer->share;

    if (share == NULL)
        return;
    if (share->leaving)
        share_go_on_leaving(share);
    else if (share->shared)
        share_look(indexer);
}

/* --- start --- */

/* Which indexer this is: by its setting, else by where it is reached. The second part is this process's alone. */
static void share_name(struct share *share)
{
    const struct settings *settings = share->indexer->settings;
    char host[HOST_NAME_MAX + 1] = "";
    uint32_t random;

    if (settings->name != NULL) {
        snprintf(share->name, sizeof share->name, "%s", settings->name);
    } else if (settings->url != NULL && strstr(settings->url, "://") != NULL) {
        snprintf(share->name, sizeof share->name, "%.*s", SHARE_NAME_MAX,
                 strstr(settings->url, "://") + 3);
    } else {
        const char *port = strrchr(settings->listen, ':');
        gethostname(host, sizeof host - 1);
        snprintf(share->name, sizeof share->name, "%.40s%s", host, port != NULL ? port : "");
    }
    random_bytes(&random, sizeof random);
    snprintf(share->owner, sizeof share->owner, "%s/%08" PRIx32, share->name, random);
}

enum status share_start(struct indexer *indexer, struct error *err)
{
    struct share *share = calloc(1, sizeof *share);

    if (share == NULL)
        return error_set(err, STATUS_NO_MEMORY, "share");
    share->indexer = indexer;
    share->shared = catalog_is_shared(indexer->catalog);
    share_name(share);
    uv_timer_init(indexer->loop, &share->timer);
    share->timer.data = share;
    indexer->share = share;
    /* What was read at the start is new enough. */
    share->read_after_ms = clock_monotonic_ms() + indexer->settings->lease_ms;
    uv_timer_start(&share->timer, share_on_timer, SHARE_SOON_MS, 0);
    return STATUS_OK;
}
