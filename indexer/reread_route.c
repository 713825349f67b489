/* reread_route.c: takes a run's cursor on a node away, as a sweep does with what differs (sweep_heal.c), and tells the node the run's state again.
 *
 * What is there too much in a file that the node still has would stay, so who knows of such messages names them: their places on that node go
 * first, and come again if the journal says so. Whoever tails that node finds the cursor gone and reads the journal from its beginning to its end; then what it did not name leaves. Of a run
 * that is on its way out nothing is read: its records are being removed. */
#include "indexer/reread_route.h"

#include "indexer/map_authority.h"
#include "indexer/run_state.h"
#include "indexer/run_tell.h"
#include "proto/base/json_read.h"
#include "proto/base/json_write.h"
#include "proto/base/log.h"
#include "proto/digest_json.h"
#include "proto/node_api.h"

#include <assert.h>
#include <stdlib.h>

enum { REREAD_ANSWER_MAX = 4096, REREAD_BODY_MAX = HAVE_DIGESTS_MAX * 70 + 4096 };

struct reread {
    struct work work;
    struct http_exchange *ex;
    struct indexer *indexer;
    struct catalog_run run;
    char node[NODE_ID_SIZE_MAX + 1], url[URL_SIZE_MAX + 1];
    struct digest *digests; /* owned: whose places go first */
    size_t digests_count;
};

static void reread_free(struct reread *reread)
{
    free(reread->digests);
    free(reread);
}

static void reread_run(struct work *work)
{
    struct reread *reread = container_of(work, struct reread, work);
    struct catalog *catalog = reread->indexer->catalog;
    const struct run_key *run = &reread->run.run;
    enum run_state state = reread->run.info.state;

    work->status = STATUS_OK;
    if (state != RUN_FILLING && state != RUN_READY)
        return;
    if (reread->digests_count > 0)
        work->status = catalog_remove_messages(catalog, run, reread->node, reread->digests,
                                               reread->digests_count, &work->err);
    if (work->status == STATUS_OK)
        work->status = catalog_cursor_remove(catalog, reread->node, run, &work->err);
}

static void reread_reply(struct reread *reread)
{
    char base_time[BASE_TIME_TEXT_SIZE];
    struct json_writer json;
    struct buf body;

    base_time_print_rfc3339(reread->run.run.base_time, base_time);
    buf_init(&body, REREAD_ANSWER_MAX);
    json_init(&json, &body);
    json_object_begin(&json);
    json_put_string(&json, "source", reread->run.run.source);
    json_put_string(&json, "base_time", base_time);
    json_put_string(&json, "node", reread->node);
    json_object_end(&json);
    http_reply_header(reread->ex, "Cache-Control", "no-store");
    http_reply(reread->ex, 202, "application/json", &body);
}

static void reread_done(struct work *work)
{
    struct reread *reread = container_of(work, struct reread, work);
    char name[RUN_TEXT_SIZE];
    struct error shown;

    error_init(&shown);
    if (work->status != STATUS_OK) {
        enum status status = work_status_shown(work->status, &work->err, &shown);
        http_reply_error(reread->ex, status, &shown, NULL);
    } else {
        run_key_print(&reread->run.run, name);
        log_msg(LOG_INFO, "run.reread", "%s is read again from node %s: asked for", name, reread->node);
        reread_reply(reread);
    }
    reread_free(reread);
}

static const struct map_node *reread_node(const struct cluster_map *map, struct slice id)
{
    for (unsigned i = 0; map != NULL && i < map->nodes_count; i++)
        if (slice_equals(id, map->nodes[i].id))
            return &map->nodes[i];
    return NULL;
}

static enum status reread_check(struct http_exchange *ex, struct catalog_run *run,
                                const struct map_node **node, struct error *err)
{
    struct indexer *indexer = http_context(ex);
    struct slice id = http_query(ex, "node");
    struct run_key key;
    enum status status = run_key_parse(http_param(ex, "source"), http_param(ex, "base_time"), &key, err);

    if (status != STATUS_OK)
        return status;
    if (id.data == NULL)
        return error_set(err, STATUS_BAD_VALUE, "node: from which node? ?node=ID");
    *node = reread_node(map_authority_map(indexer), id);
    if (*node == NULL)
        return error_set(err, STATUS_NOT_FOUND, "node: the map has no such node");
    if (!run_state_get(indexer, &key, run))
        return error_set(err, STATUS_NOT_FOUND,
                         "there is no such run in the index; GET /v1/runs lists them");
    return STATUS_OK;
}

static enum status reread_parse(struct reread *reread, struct slice body, struct error *err)
{
    json_t *value = NULL, *list = NULL;
    enum status status = json_parse(body.data, body.size, &value, err);

    if (status == STATUS_OK)
        status = json_get_array(value, "digests", &list, err);
    if (status == STATUS_OK && json_array_size(list) > HAVE_DIGESTS_MAX)
        status = error_set(err, STATUS_TOO_LARGE, "digests: %zu, at most %d at once",
                           json_array_size(list), HAVE_DIGESTS_MAX);
    if (status == STATUS_OK) {
        reread->digests = calloc(json_array_size(list) + 1, sizeof *reread->digests);
        assert(reread->digests != NULL);
    }
    for (size_t i = 0; status == STATUS_OK && i < json_array_size(list); i++) {
        status = digest_json_item(list, "digests", i, &reread->digests[i], err);
        reread->digests_count++;
    }
    json_decref(value);
    return status;
}

static void reread_on_body(struct http_exchange *ex, enum status status, struct slice body)
{
    struct reread *reread = http_user(ex);
    struct error err;

    error_init(&err);
    if (status != STATUS_OK)
        error_set(&err, status, "the digests: %s", status_title(status));
    else if (body.size > 0)
        status = reread_parse(reread, body, &err);
    if (status != STATUS_OK) {
        http_reply_error(ex, status, &err, NULL);
        reread_free(reread);
        return;
    }
    if (reread->run.info.version > 0)
        run_tell_node(reread->indexer, reread->url, &reread->run.run, &reread->run.info);
    work_start(reread->indexer->loop, &reread->work, reread_run, reread_done);
}

void reread_route(struct http_exchange *ex)
{
    const struct map_node *node = NULL;
    struct reread *reread;
    struct catalog_run run;
    struct error err;

    error_init(&err);
    enum status status = reread_check(ex, &run, &node, &err);
    if (status != STATUS_OK) {
        http_reply_error(ex, status, &err, NULL);
        return;
    }
    reread = calloc(1, sizeof *reread);
    assert(reread != NULL);
    *reread = (struct reread){ .ex = ex, .indexer = http_context(ex), .run = run };
    snprintf(reread->node, sizeof reread->node, "%s", node->id);
    snprintf(reread->url, sizeof reread->url, "%s", node->url);
    http_set_user(ex, reread, NULL);
    http_body_gather(ex, REREAD_BODY_MAX, reread_on_body);
}
