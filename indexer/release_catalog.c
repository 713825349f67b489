/* release_catalog.c: run, cursor, map, locks and places of a release, from the catalog. */
#include "indexer/release_catalog.h"

#include <inttypes.h>

/* --- the conditions that it decides alone --- */

static enum status look_run(struct catalog *catalog, struct release_judge *judge, struct error *err)
{
    struct catalog_run run = { .step = 0 };
    enum status status = catalog_run_get(catalog, &judge->request->run, &run, err);

    if (status == STATUS_NOT_FOUND)
        run.info.incarnation = 0;
    else if (status != STATUS_OK)
        return status;
    release_judge_run(judge, &run);
    return STATUS_OK;
}

static enum status look_cursor(struct catalog *catalog, struct release_judge *judge, struct error *err)
{
    struct catalog_cursor cursor;
    enum status status = catalog_cursor_get(catalog, judge->request->node, &judge->request->run,
                                            &cursor, err);

    if (status == STATUS_OK)
        release_judge_cursor(judge, &cursor);
    return status;
}

enum status release_map(struct catalog *catalog, struct cluster_map **map, struct error *err)
{
    struct buf json;

    *map = NULL;
    buf_init(&json, MAP_JSON_SIZE_MAX);
    enum status status = catalog_map_get(catalog, &json, err);
    if (status == STATUS_NOT_FOUND)
        status = error_set(err, STATUS_NOT_READY, "the index has no cluster map yet");
    else if (status == STATUS_OK && (*map = map_parse(json.data, json.size, err)) == NULL)
        status = error_wrap(err, "the catalog's cluster map");
    buf_fini(&json);
    return status;
}

bool release_is_out(const struct cluster_map *map, const char *node)
{
    const struct map_node *found = map_find(map, node);

    return found != NULL && found->state == NODE_OUT;
}

static enum status look_map(struct catalog *catalog, struct release_judge *judge,
                            uint64_t epoch_known, struct error *err)
{
    struct cluster_map *map;
    enum status status = release_map(catalog, &map, err);

    if (status == STATUS_OK && map->epoch < epoch_known)
        status = error_set(err, STATUS_NOT_READY,
                           "the index has the map of epoch %" PRIu64 ", there is one of %" PRIu64,
                           map->epoch, epoch_known);
    if (status == STATUS_OK)
        status = release_request_fits(judge->request, map->shards, err);
    if (status == STATUS_OK)
        release_judge_map(judge, map);
    map_unref(map);
    return status;
}

enum status release_look(struct catalog *catalog, struct release_judge *judge, uint64_t epoch_known,
                         struct error *err)
{
    enum status status = look_run(catalog, judge, err);

    if (status == STATUS_OK)
        status = look_map(catalog, judge, epoch_known, err);
    if (status != STATUS_OK || release_is_out(judge->map, judge->request->node))
        return status; /* nothing of it is read, nor named */
    return look_cursor(catalog, judge, err);
}

/* --- locks --- */

/* A file of the same shard before this one in the request, that stands; or RELEASE_NONE. */
static size_t take_before(const struct release_judge *judge, size_t file)
{
    const struct release_file *files = judge->request->files;

    for (size_t i = 0; i < file; i++)
        if (files[i].shard == files[file].shard && judge->verdicts[i].code == RELEASE_GRANTED)
            return i;
    return RELEASE_NONE;
}

static enum status take_one(struct catalog *catalog, const struct release_judge *judge, size_t file,
                            struct release_hold *hold, struct error *err)
{
    const struct release_request *request = judge->request;
    char name[RELEASE_LOCK_SIZE], holder[RELEASE_HOLDER_SIZE];
    struct error met;

    if (hold->freed) {
        enum status status = catalog_lock_release(catalog, &hold->lock, err);
        if (status != STATUS_OK && status != STATUS_CONFLICT)
            return status;
    }
    release_lock_name(&request->run, request->files[file].shard, name);
    release_holder_print(request->node, request->files[file].birth, holder);
    error_init(&met);
    enum status status = catalog_lock_take(catalog, name, holder, &hold->lock, &met);
    hold->taken = status == STATUS_OK;
    hold->met = status == STATUS_CONFLICT;
    hold->freed = false;
    if (hold->taken || hold->met)
        return STATUS_OK;
    return error_set(err, status, "%s", met.text);
}

enum status release_take(struct catalog *catalog, struct release_judge *judge,
                         struct release_hold *holds, struct error *err)
{
    enum status status = STATUS_OK;

    for (size_t i = 0; status == STATUS_OK && i < judge->request->files_count; i++) {
        if (judge->verdicts[i].code != RELEASE_GRANTED || holds[i].taken)
            continue;
        size_t before = take_before(judge, i);
        if (before != RELEASE_NONE)
            release_refuse(judge, i, RELEASE_LOCKED,
                           "files[%zu] of this request is of the same shard", before);
        else
            status = take_one(catalog, judge, i, &holds[i], err);
    }
    return status;
}

enum status release_confirm(struct catalog *catalog, struct release_judge *judge,
                            const struct release_hold *holds, struct error *err)
{
    enum status status = STATUS_OK;
    struct catalog_lock now;

    for (size_t i = 0; status == STATUS_OK && i < judge->request->files_count; i++) {
        if (judge->verdicts[i].code != RELEASE_GRANTED)
            continue;
        status = catalog_lock_check(catalog, &holds[i].lock, &now, err);
        if (status == STATUS_CONFLICT) {
            release_refuse(judge, i, RELEASE_LOCKED, "it took so long that the lock went to %s",
                           now.rev != 0 ? now.holder : "nobody");
            status = STATUS_OK;
        }
    }
    return status;
}

enum status release_give_back(struct catalog *catalog, const struct release_judge *judge,
                              struct release_hold *holds, bool all, struct error *err)
{
    enum status first = STATUS_OK;

    for (size_t i = 0; i < judge->request->files_count; i++) {
        if (!holds[i].taken || (!all && judge->verdicts[i].code == RELEASE_GRANTED))
            continue;
        enum status status = catalog_lock_release(catalog, &holds[i].lock, err);
        holds[i].taken = false;
        if (first == STATUS_OK && status != STATUS_CONFLICT)
            first = status;
    }
    return first;
}

enum status release_locks_remove(struct catalog *catalog, const struct run_key *run, struct error *err)
{
    char prefix[RELEASE_LOCK_SIZE];

    release_lock_prefix(run, prefix);
    return catalog_lock_remove(catalog, prefix, err);
}

/* --- what the index names --- */

static bool scan_on_document(void *data, const struct field_id *id,
                             const struct catalog_location *locations, size_t count)
{
    struct release_judge *judge = data;
    struct release_named_place places[256];
    size_t used = 0;

    (void)id;
    for (size_t i = 0; i < count; i++) {
        /* Those of one digest lie side by side, and never more than an issue may have: they come in one piece. */
        bool begins = i == 0 || digest_compare(&locations[i].digest, &locations[i - 1].digest) != 0;
        if (begins && used + FIELD_LOCATIONS_MAX > ARRAY_COUNT(places)) {
            release_judge_document(judge, places, used);
            used = 0;
        }
        if (used == ARRAY_COUNT(places))
            break;
        places[used++] = (struct release_named_place){ &locations[i].digest, locations[i].node,
                                                       locations[i].file };
    }
    release_judge_document(judge, places, used);
    return true;
}

static bool scan_on_entry(void *data, const struct quarantine_entry *entry)
{
    struct release_named_place places[FIELD_LOCATIONS_MAX];
    size_t count = 0;

    for (unsigned i = 0; i < entry->locations_count && count < ARRAY_COUNT(places); i++)
        places[count++] = (struct release_named_place){ &entry->digest, entry->locations[i].node,
                                                        entry->locations[i].file };
    release_judge_document(data, places, count);
    return true;
}

enum status release_scan(struct catalog *catalog, struct release_judge *judge, struct error *err)
{
    const struct field_id none = { .size = 0 };
    enum status status = catalog_scan_locations(catalog, &judge->request->run, &none,
                                                scan_on_document, judge, err);

    if (status == STATUS_OK)
        status = catalog_quarantine_scan(catalog, &judge->request->run, scan_on_entry, judge, err);
    if (status == STATUS_OK)
        release_judge_index(judge);
    return status;
}
