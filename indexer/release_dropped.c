/* release_dropped.c: one piece of work on the pool a request. */
#include "indexer/release_dropped.h"

#include "indexer/census.h"
#include "indexer/release_catalog.h"
#include "proto/base/json_write.h"
#include "proto/base/log.h"
#include "proto/http/http_auth.h"
#include "proto/node_api.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct dropped {
    struct work work;
    struct indexer *indexer;
    struct http_exchange *exchange;
    struct buf body;
    struct release_dropped request;
    bool behind, out; /* out: no cursor says how far it was read, so what is named goes by name */
    bool refused;     /* the token is of other sources */
    char (*files)[DATA_FILE_NAME_SIZE]; /* owned: what the index still names of them */
    size_t files_count, files_size;
};

static unsigned dropped_running; /* on the loop */

/* --- on the pool --- */

/* What ends a run ends this too: its files go with it. */
static enum status dropped_look_run(struct dropped *dropped, struct error *err)
{
    const struct release_dropped *request = &dropped->request;
    struct catalog_run run;
    enum status status = catalog_run_get(dropped->indexer->catalog, &request->run, &run, err);

    if (status == STATUS_NOT_FOUND)
        return error_set(err, STATUS_STALE_RUN, "the index has no such run");
    if (status != STATUS_OK)
        return status;
    if (run.info.incarnation != request->incarnation)
        return error_set(err, STATUS_STALE_RUN, "the run's incarnation is %" PRIu64, run.info.incarnation);
    if (run.info.state == RUN_RETIRED)
        return error_set(err, STATUS_RUN_RETIRED, "the run is retired: it goes as a whole");
    if (run.info.state == RUN_PURGED)
        return error_set(err, STATUS_PURGED, "the run was purged");
    return STATUS_OK;
}

static enum status dropped_look_cursor(struct dropped *dropped, struct error *err)
{
    const struct release_dropped *request = &dropped->request;
    struct catalog_cursor cursor;
    struct cluster_map *map;
    enum status status = release_map(dropped->indexer->catalog, &map, err);

    dropped->out = status == STATUS_OK && release_is_out(map, request->node);
    map_unref(map);
    if (status != STATUS_OK || dropped->out)
        return status;
    status = catalog_cursor_get(dropped->indexer->catalog, request->node, &request->run, &cursor, err);

    dropped->behind = status == STATUS_OK && (cursor.rev == 0 || cursor.journal_id != request->journal ||
                                              cursor.record < request->records);
    return status;
}

static bool dropped_is(const struct dropped *dropped, uint64_t birth)
{
    for (size_t i = 0; i < dropped->request.births_count; i++)
        if (dropped->request.births[i] == birth)
            return true;
    return false;
}

static bool dropped_has(const struct dropped *dropped, const char *file)
{
    for (size_t i = 0; i < dropped->files_count; i++)
        if (strcmp(dropped->files[i], file) == 0)
            return true;
    return false;
}

static bool dropped_on_file(void *data, const char *node, const char *file, const struct digest *digest)
{
    struct dropped *dropped = data;
    unsigned shard;
    uint64_t birth;

    (void)digest;
    if (strcmp(node, dropped->request.node) != 0 ||
        !data_file_name_parse(slice_text(file), &shard, &birth) || !dropped_is(dropped, birth) ||
        dropped_has(dropped, file))
        return true;
    if (dropped->files_count == dropped->files_size) {
        dropped->files_size = dropped->files_size == 0 ? 16 : 2 * dropped->files_size;
        dropped->files = realloc(dropped->files, dropped->files_size * sizeof *dropped->files);
        assert(dropped->files != NULL);
    }
    snprintf(dropped->files[dropped->files_count++], DATA_FILE_NAME_SIZE, "%s", file);
    return true;
}

static bool dropped_on_entry(void *data, const struct quarantine_entry *entry)
{
    for (unsigned i = 0; i < entry->locations_count; i++)
        dropped_on_file(data, entry->locations[i].node, entry->locations[i].file, &entry->digest);
    return true;
}

/* Nothing is named as a rule: the tail has removed it. */
static enum status dropped_remove(struct dropped *dropped, struct error *err)
{
    const struct release_dropped *request = &dropped->request;
    struct catalog *catalog = dropped->indexer->catalog;
    enum status status = catalog_scan_files(catalog, &request->run, dropped_on_file, dropped, err);

    if (status == STATUS_OK)
        status = catalog_quarantine_scan(catalog, &request->run, dropped_on_entry, dropped, err);
    for (size_t i = 0; status == STATUS_OK && i < dropped->files_count; i++)
        status = catalog_remove_locations(catalog, &request->run, request->node, dropped->files[i],
                                          NULL, err);
    return status;
}

struct dropped_locks {
    const struct dropped *dropped;
    struct catalog_lock *items; /* owned */
    size_t count;
};

static bool dropped_on_lock(void *data, const struct catalog_lock *lock)
{
    struct dropped_locks *locks = data;
    char node[NODE_ID_SIZE_MAX + 1];
    uint64_t birth;

    if (!release_holder_parse(lock->holder, node, &birth) ||
        strcmp(node, locks->dropped->request.node) != 0 || !dropped_is(locks->dropped, birth))
        return true;
    locks->items = realloc(locks->items, (locks->count + 1) * sizeof *locks->items);
    assert(locks->items != NULL);
    locks->items[locks->count++] = *lock;
    return true;
}

/* The node asks for a file no more once it is dropped, so no taking of its lock is newer than what is known here. And its messages are in no
 * answer of the node's any more: nobody can count on them, so nobody has to wait for its grace. */
static enum status dropped_unlock(struct dropped *dropped, struct error *err)
{
    struct dropped_locks locks = { .dropped = dropped };
    char prefix[RELEASE_LOCK_SIZE];

    release_lock_prefix(&dropped->request.run, prefix);
    enum status status = catalog_lock_scan(dropped->indexer->catalog, prefix, dropped_on_lock,
                                           &locks, err);
    for (size_t i = 0; status == STATUS_OK && i < locks.count; i++) {
        status = catalog_lock_release(dropped->indexer->catalog, &locks.items[i], err);
        if (status == STATUS_CONFLICT)
            status = STATUS_OK;
    }
    free(locks.items);
    return status;
}

static void dropped_run(struct work *work)
{
    struct dropped *dropped = container_of(work, struct dropped, work);

    work->status = release_dropped_parse(slice_of(dropped->body.data, dropped->body.size),
                                         &dropped->request, &work->err);
    dropped->refused = work->status == STATUS_OK &&
                       !http_allows_source(dropped->exchange, slice_text(dropped->request.run.source));
    if (dropped->refused)
        work->status = STATUS_FORBIDDEN;
    if (work->status == STATUS_OK)
        work->status = dropped_look_run(dropped, &work->err);
    if (work->status == STATUS_OK)
        work->status = dropped_look_cursor(dropped, &work->err);
    if (work->status == STATUS_OK && !dropped->behind && (dropped->request.final || dropped->out))
        work->status = dropped_remove(dropped, &work->err);
    if (work->status == STATUS_OK && !dropped->behind)
        work->status = dropped_unlock(dropped, &work->err);
}

/* --- on the loop --- */

static void dropped_answer(struct dropped *dropped)
{
    const struct release_dropped *request = &dropped->request;
    struct json_writer json;
    struct buf body;

    buf_init(&body, RELEASE_FILES_MAX * 32);
    json_init(&json, &body);
    json_object_begin(&json);
    json_key(&json, "removed");
    json_array_begin(&json);
    for (size_t i = 0; !dropped->behind && i < request->births_count; i++)
        json_format(&json, "%016" PRIx64, request->births[i]);
    json_array_end(&json);
    json_object_end(&json);
    http_reply_header(dropped->exchange, "Cache-Control", "no-store");
    http_reply(dropped->exchange, 200, "application/json", &body);
}

static void dropped_on_done(struct work *work)
{
    struct dropped *dropped = container_of(work, struct dropped, work);
    struct error shown;

    if (dropped->files_count > 0) {
        census_touch(dropped->indexer, &dropped->request.run);
        log_msg(LOG_INFO, "release.dropped", "%s %s: %zu files were named still",
                dropped->request.node, dropped->request.run.source, dropped->files_count);
    }
    if (work->status == STATUS_OK) {
        dropped_answer(dropped);
    } else if (dropped->refused) {
        http_refuse_source(dropped->exchange);
    } else {
        error_init(&shown);
        enum status status = work_status_shown(work->status, &work->err, &shown);
        http_reply_error(dropped->exchange, status, &shown, NULL);
    }
    release_dropped_fini(&dropped->request);
    buf_fini(&dropped->body);
    free(dropped->files);
    free(dropped);
    dropped_running--;
}

static void dropped_on_body(struct http_exchange *ex, enum status status, struct slice body)
{
    struct indexer *indexer = http_context(ex);
    struct error err;

    error_init(&err);
    if (status != STATUS_OK)
        error_set(&err, status, "the request: %s", status_title(status));
    else if (dropped_running >= RELEASE_DROPPED_MAX)
        status = error_set(&err, STATUS_OVERLOADED, "%u such requests are under way", dropped_running);
    if (status != STATUS_OK) {
        http_reply_error(ex, status, &err, NULL);
        return;
    }
    struct dropped *dropped = calloc(1, sizeof *dropped);
    assert(dropped != NULL);
    dropped->indexer = indexer;
    dropped->exchange = ex;
    buf_init(&dropped->body, RELEASE_DROPPED_BODY_MAX);
    buf_append(&dropped->body, body.data, body.size);
    dropped_running++;
    work_start(indexer->loop, &dropped->work, dropped_run, dropped_on_done);
}

void release_dropped_route(struct http_exchange *ex)
{
    http_body_gather(ex, RELEASE_DROPPED_BODY_MAX, dropped_on_body);
}
