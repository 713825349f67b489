/* release_judge.c: the conditions of a release, one function each. */
#include "indexer/release_judge.h"

#include "proto/base/json_read.h"
#include "proto/have_question.h"
#include "proto/node_api.h"
#include "proto/placement.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum release_named { NAMED_SEEN = 1, NAMED_LACKING = 2 };

void release_judge_init(struct release_judge *judge, const struct release_request *request)
{
    *judge = (struct release_judge){ .request = request };
    judge->verdicts = calloc(request->files_count, sizeof *judge->verdicts);
    assert(judge->verdicts != NULL);
}

static void owners_free(struct release_judge *judge)
{
    for (size_t i = 0; i < judge->owners_count; i++) {
        free(judge->owners[i].asked);
        free(judge->owners[i].column);
        free(judge->owners[i].births);
        free(judge->owners[i].shards);
    }
    free(judge->owners);
    judge->owners = NULL;
    judge->owners_count = 0;
}

void release_judge_fini(struct release_judge *judge)
{
    owners_free(judge);
    map_unref(judge->map);
    free(judge->verdicts);
    free(judge->places);
    free(judge->named);
    *judge = (struct release_judge){ .map = NULL };
}

/* --- verdicts --- */

static bool file_stands(const struct release_judge *judge, size_t file)
{
    return judge->verdicts[file].code == RELEASE_GRANTED;
}

bool release_judge_any(const struct release_judge *judge)
{
    for (size_t i = 0; i < judge->request->files_count; i++)
        if (file_stands(judge, i))
            return true;
    return false;
}

static void __attribute__((format(printf, 4, 0)))
refuse_list(struct release_judge *judge, size_t file, enum release_code code, const char *format,
            va_list list)
{
    struct release_verdict *verdict = &judge->verdicts[file];

    if (verdict->code != RELEASE_GRANTED)
        return;
    verdict->code = code;
    vsnprintf(verdict->why, sizeof verdict->why, format, list);
}

void release_refuse(struct release_judge *judge, size_t file, enum release_code code,
                    const char *format, ...)
{
    va_list list;

    va_start(list, format);
    refuse_list(judge, file, code, format, list);
    va_end(list);
}

void release_refuse_all(struct release_judge *judge, enum release_code code, const char *format, ...)
{
    for (size_t i = 0; i < judge->request->files_count; i++) {
        va_list list;
        va_start(list, format);
        refuse_list(judge, i, code, format, list);
        va_end(list);
    }
}

/* --- run, cursor, map --- */

void release_judge_run(struct release_judge *judge, const struct catalog_run *run)
{
    const struct run_info *info = &run->info;

    if (info->incarnation == 0)
        release_refuse_all(judge, RELEASE_STALE_RUN, "the index has no such run");
    else if (info->incarnation != judge->request->incarnation)
        release_refuse_all(judge, RELEASE_STALE_RUN, "the run's incarnation is %" PRIu64,
                           info->incarnation);
    else if (info->state == RUN_RETIRED)
        release_refuse_all(judge, RELEASE_RUN_RETIRED, "the run is retired: it goes as a whole");
    else if (info->state == RUN_PURGED)
        release_refuse_all(judge, RELEASE_PURGED, "the run was purged");
}

void release_judge_cursor(struct release_judge *judge, const struct catalog_cursor *cursor)
{
    const struct release_request *request = judge->request;

    if (cursor->rev == 0)
        release_refuse_all(judge, RELEASE_BEHIND, "the index has read nothing of this run there yet");
    else if (cursor->journal_id != request->journal)
        release_refuse_all(judge, RELEASE_BEHIND,
                           "the index has read journal %016" PRIx64 ", not %016" PRIx64,
                           cursor->journal_id, request->journal);
    else if (cursor->record < request->records)
        release_refuse_all(judge, RELEASE_BEHIND,
                           "the index has read %" PRIu64 " of the %" PRIu64 " records",
                           cursor->record, request->records);
}

/* As many owners as the map wants, none of them lost. */
static void judge_owners(struct release_judge *judge, size_t file, unsigned self)
{
    const struct release_request *request = judge->request;
    const struct cluster_map *map = judge->map;
    unsigned count;
    const uint16_t *owners = placement_owners(map, request->run.base_time,
                                              request->files[file].shard, &count);

    for (unsigned i = 0; i < count; i++)
        if (owners[i] == self)
            release_refuse(judge, file, RELEASE_OWNER, "%s owns the shard, by the map of epoch %" PRIu64,
                           request->node, map->epoch);
    if (count < map->replicas)
        release_refuse(judge, file, RELEASE_TOO_FEW_COPIES,
                       "the shard has %u owners, the map wants %u copies", count, map->replicas);
    for (unsigned i = 0; i < count; i++)
        if (map->nodes[owners[i]].state == NODE_OUT)
            release_refuse(judge, file, RELEASE_TOO_FEW_COPIES, "%s, an owner, is out",
                           map->nodes[owners[i]].id);
}

void release_judge_map(struct release_judge *judge, struct cluster_map *map)
{
    unsigned self = map_index(map, judge->request->node);

    map_unref(judge->map);
    judge->map = map_ref(map);
    if (map->paused)
        release_refuse_all(judge, RELEASE_PAUSED, "the cluster is paused");
    if (self == NODE_NONE)
        release_refuse_all(judge, RELEASE_NOT_FOUND, "the map of epoch %" PRIu64 " has no node %s",
                           map->epoch, judge->request->node);
    for (size_t i = 0; i < judge->request->files_count; i++)
        judge_owners(judge, i, self);
}

/* --- whom to ask --- */

static struct release_owner *owner_of(struct release_judge *judge, uint16_t node)
{
    for (size_t i = 0; i < judge->owners_count; i++)
        if (judge->owners[i].node == node)
            return &judge->owners[i];
    judge->owners = realloc(judge->owners, (judge->owners_count + 1) * sizeof *judge->owners);
    assert(judge->owners != NULL);
    judge->owners[judge->owners_count] = (struct release_owner){ .node = node };
    return &judge->owners[judge->owners_count++];
}

static void owner_ask(struct release_owner *owner, uint32_t digest, unsigned column)
{
    if (owner->asked_count == owner->asked_size) {
        owner->asked_size = owner->asked_size == 0 ? 1024 : 2 * owner->asked_size;
        owner->asked = realloc(owner->asked, owner->asked_size * sizeof *owner->asked);
        owner->column = realloc(owner->column, owner->asked_size * sizeof *owner->column);
        assert(owner->asked != NULL && owner->column != NULL);
    }
    owner->asked[owner->asked_count] = digest;
    owner->column[owner->asked_count++] = (uint8_t)column;
}

void release_judge_share_out(struct release_judge *judge)
{
    const struct release_request *request = judge->request;
    bool *shared = calloc(request->digests_count + 1, sizeof *shared);

    owners_free(judge);
    free(judge->places);
    free(judge->named);
    judge->places = calloc(request->digests_count * judge->map->replicas + 1, sizeof *judge->places);
    judge->named = calloc(request->digests_count + 1, sizeof *judge->named);
    assert(shared != NULL && judge->places != NULL && judge->named != NULL);
    for (size_t i = 0; i < request->files_count; i++) {
        const struct release_file *file = &request->files[i];
        unsigned count;
        const uint16_t *owners = placement_owners(judge->map, request->run.base_time, file->shard, &count);
        for (unsigned k = 0; file_stands(judge, i) && k < count; k++)
            (void)owner_of(judge, owners[k]);
        for (size_t at = 0; file_stands(judge, i) && at < file->count; at++) {
            uint32_t digest = request->members[file->first + at];
            for (unsigned k = 0; !shared[digest] && k < count; k++)
                owner_ask(owner_of(judge, owners[k]), digest, k);
            shared[digest] = true;
        }
    }
    free(shared);
}

size_t release_owner_question(const struct release_judge *judge, const struct release_owner *owner,
                              struct buf *body)
{
    const struct release_request *request = judge->request;
    size_t left = owner->asked_count - owner->told_count;
    size_t count = left < RELEASE_ASK_MAX ? left : RELEASE_ASK_MAX;
    struct json_writer json;

    have_question_begin(&json, body, &request->run, true);
    for (size_t i = 0; i < count; i++)
        digest_json_put_one(&json, &request->digests[owner->asked[owner->told_count + i]]);
    have_question_end(&json);
    return count;
}

/* --- what an owner has --- */

/* The place of a birth in the owner's list. */
static uint32_t owner_birth(struct release_owner *owner, unsigned shard, uint64_t birth)
{
    for (size_t i = 0; i < owner->births_count; i++)
        if (owner->births[i] == birth && owner->shards[i] == shard)
            return (uint32_t)i;
    if (owner->births_count == owner->births_size) {
        owner->births_size = owner->births_size == 0 ? 16 : 2 * owner->births_size;
        owner->births = realloc(owner->births, owner->births_size * sizeof *owner->births);
        owner->shards = realloc(owner->shards, owner->births_size * sizeof *owner->shards);
        assert(owner->births != NULL && owner->shards != NULL);
    }
    owner->births[owner->births_count] = birth;
    owner->shards[owner->births_count] = shard;
    return (uint32_t)owner->births_count++;
}

/* "http://.../data/{run}/{file}" -> the file. */
static bool file_of_url(const struct run_key *run, const char *url, unsigned *shard, uint64_t *birth)
{
    const char *name = strrchr(url, '/');
    char path[DATA_PATH_SIZE];

    if (name == NULL || !data_file_name_parse(slice_text(name + 1), shard, birth))
        return false;
    data_path_print(run, *shard, *birth, path);
    size_t size = strlen(url), tail = strlen(path);
    return size > tail && strcmp(url + size - tail, path) == 0;
}

/* One line of "known"; *at: the place among those asked where it was found, known come in the order of the question. */
static enum status owner_known(struct release_judge *judge, struct release_owner *owner, size_t end,
                               size_t *at, const json_t *line, struct error *err)
{
    const char *text, *url;
    struct digest digest;
    unsigned shard;
    uint64_t birth;
    enum status status = json_get_string(line, "digest", &text, err);

    if (status == STATUS_OK)
        status = json_get_string(line, "url", &url, err);
    if (status != STATUS_OK)
        return status;
    if (!digest_parse(slice_text(text), &digest))
        return error_set(err, STATUS_BAD_VALUE, "digest: not 64 lower-case hex digits");
    while (*at < end && digest_compare(&judge->request->digests[owner->asked[*at]], &digest) != 0)
        ++*at;
    if (*at == end)
        return error_set(err, STATUS_BAD_VALUE, "digest: was not asked for there");
    if (!file_of_url(&judge->request->run, url, &shard, &birth) ||
        shard != digest_shard(&digest, judge->map->shards))
        return error_set(err, STATUS_BAD_VALUE, "url: no data file of this run and shard");
    judge->places[owner->asked[*at] * judge->map->replicas + owner->column[*at]] = 1 + owner_birth(
                                                                                           owner, shard,
                                                                                           birth);
    ++*at;
    return STATUS_OK;
}

enum status release_owner_answer(struct release_judge *judge, struct release_owner *owner,
                                 size_t asked, struct slice answer, struct error *err)
{
    size_t at = owner->told_count, end = owner->told_count + asked;
    json_t *object, *known;

    assert(end <= owner->asked_count);
    enum status status = json_parse(answer.data, answer.size, &object, err);
    if (status != STATUS_OK)
        return status;
    status = json_get_array(object, "known", &known, err);
    for (size_t i = 0; status == STATUS_OK && i < json_array_size(known); i++) {
        status = owner_known(judge, owner, end, &at, json_array_get(known, i), err);
        if (status != STATUS_OK)
            error_wrap(err, "known[%zu]", i);
    }
    json_decref(object);
    owner->told_count = end;
    return status;
}

const char *release_state_parse(struct slice answer)
{
    static const char *const states[] = { "none", "asked", "dropped", "gone" };
    const char *text = NULL;
    const char *found = NULL;
    struct error err;
    json_t *object;

    if (json_parse(answer.data, answer.size, &object, &err) != STATUS_OK)
        return NULL;
    if (json_get_string(object, "state", &text, &err) == STATUS_OK)
        for (size_t i = 0; i < ARRAY_COUNT(states); i++)
            if (strcmp(states[i], text) == 0)
                found = states[i];
    json_decref(object);
    return found;
}

enum status release_owner_state(struct release_owner *owner, size_t birth, struct slice answer,
                                struct error *err)
{
    const char *state = release_state_parse(answer);
    char file[DATA_FILE_NAME_SIZE];

    assert(birth < owner->births_count);
    if (state == NULL)
        return error_set(err, STATUS_BAD_VALUE, "state: none, asked, dropped or gone");
    if (strcmp(state, "none") == 0)
        return STATUS_OK;
    data_file_name_print(owner->shards[birth], owner->births[birth], file);
    return error_set(err, STATUS_CONFLICT, "%s is given up there itself (%s)", file, state);
}

static void judge_file_copies(struct release_judge *judge, size_t number)
{
    const struct release_request *request = judge->request;
    const struct release_file *file = &request->files[number];
    unsigned count;
    const uint16_t *owners = placement_owners(judge->map, request->run.base_time, file->shard, &count);

    for (unsigned k = 0; k < count; k++) {
        const struct release_owner *owner = owner_of(judge, owners[k]);
        const char *id = judge->map->nodes[owners[k]].id;
        size_t lacks = 0;
        if (owner->failed[0] != '\0')
            release_refuse(judge, number, RELEASE_TOO_FEW_COPIES, "%s: %s", id, owner->failed);
        for (size_t i = 0; i < file->count; i++)
            lacks += judge->places[request->members[file->first + i] * judge->map->replicas + k] == 0;
        if (lacks > 0)
            release_refuse(judge, number, RELEASE_TOO_FEW_COPIES, "%s lacks %zu of %zu messages",
                           id, lacks, file->count);
    }
}

void release_judge_copies(struct release_judge *judge)
{
    for (size_t i = 0; i < judge->request->files_count; i++)
        if (file_stands(judge, i))
            judge_file_copies(judge, i);
}

/* --- what the index names --- */

/* Which of the owners of the digest's shard the place is at, as bits; 0: at none, or in another file than the owner says. */
static unsigned place_column(struct release_judge *judge, uint32_t digest,
                             const struct release_named_place *place)
{
    const struct cluster_map *map = judge->map;
    unsigned count, shard, bits = 0;
    uint64_t birth;
    const uint16_t *owners = placement_owners(
        map, judge->request->run.base_time,
        digest_shard(&judge->request->digests[digest], map->shards), &count);

    for (unsigned k = 0; k < count; k++) {
        uint32_t at = judge->places[digest * map->replicas + k];
        if (at == 0 || strcmp(map->nodes[owners[k]].id, place->node) != 0 ||
            !data_file_name_parse(slice_text(place->file), &shard, &birth))
            continue;
        const struct release_owner *owner = owner_of(judge, owners[k]);
        if (owner->births[at - 1] == birth && owner->shards[at - 1] == shard)
            bits |= 1U << k;
    }
    return bits;
}

/* The index says that the node's file holds a message that the node did not list. */
static void judge_unlisted(struct release_judge *judge, const struct release_named_place *place)
{
    const struct release_request *request = judge->request;
    unsigned shard;
    uint64_t birth;

    if (strcmp(place->node, request->node) != 0 ||
        !data_file_name_parse(slice_text(place->file), &shard, &birth))
        return;
    for (size_t i = 0; i < request->files_count; i++)
        if (request->files[i].birth == birth)
            release_refuse(judge, i, RELEASE_INCOMPLETE,
                           "the index has a message in this file that was not listed");
}

void release_judge_document(struct release_judge *judge, const struct release_named_place *places,
                            size_t count)
{
    const unsigned all = (1U << judge->map->replicas) - 1;

    for (size_t i = 0; i < count;) {
        uint32_t digest = release_request_find(judge->request, places[i].digest);
        unsigned bits = 0;
        size_t end = i;
        for (; end < count && digest_compare(places[end].digest, places[i].digest) == 0; end++) {
            if (digest == RELEASE_NONE)
                judge_unlisted(judge, &places[end]);
            else
                bits |= place_column(judge, digest, &places[end]);
        }
        if (digest != RELEASE_NONE)
            judge->named[digest] |= (uint8_t)(NAMED_SEEN | (bits == all ? 0 : NAMED_LACKING));
        i = end;
    }
}

void release_judge_index(struct release_judge *judge)
{
    const struct release_request *request = judge->request;

    for (size_t i = 0; i < request->files_count; i++) {
        const struct release_file *file = &request->files[i];
        size_t lacking = 0;
        for (size_t k = 0; file_stands(judge, i) && k < file->count; k++)
            lacking += judge->named[request->members[file->first + k]] != NAMED_SEEN;
        if (lacking > 0)
            release_refuse(judge, i, RELEASE_NOT_INDEXED,
                           "the index does not name %zu of %zu messages at each of the owners",
                           lacking, file->count);
    }
}
