/* release_request.c: bodies that ask for releases, and the names of their locks. */
#include "indexer/release_request.h"

#include "proto/base/json_read.h"
#include "proto/digest_json.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* --- what both bodies begin with --- */

static enum status parse_hex(const json_t *value, uint64_t *number)
{
    const char *text = json_string_value(value);
    uint8_t bytes[8];

    if (text == NULL || hex_parse(text, strlen(text), bytes, sizeof bytes) != 0)
        return STATUS_BAD_VALUE;
    *number = get_u64(bytes);
    return STATUS_OK;
}

/* Never 0: no file has that name. */
static enum status parse_birth(const json_t *value, uint64_t *birth)
{
    enum status status = parse_hex(value, birth);

    return status == STATUS_OK && *birth == 0 ? STATUS_BAD_VALUE : status;
}

static enum status parse_node(const json_t *object, char node[NODE_ID_SIZE_MAX + 1], struct error *err)
{
    const char *text;
    enum status status = json_get_string(object, "node", &text, err);

    if (status != STATUS_OK)
        return status;
    if (!node_id_valid(text))
        return error_set(err, STATUS_BAD_VALUE, "node: no node's id");
    snprintf(node, NODE_ID_SIZE_MAX + 1, "%s", text);
    return STATUS_OK;
}

static enum status parse_run(const json_t *object, struct run_key *run, struct error *err)
{
    const char *source, *base_time;
    enum status status = json_get_string(object, "source", &source, err);

    if (status == STATUS_OK)
        status = json_get_string(object, "base_time", &base_time, err);
    return status == STATUS_OK ? run_key_parse(slice_text(source), slice_text(base_time), run, err)
                               : status;
}

/* records: INT64_MAX, as a cursor keeps it. */
static enum status parse_journal(const json_t *object, uint64_t *incarnation, uint64_t *journal,
                                 uint64_t *records, struct error *err)
{
    enum status status = json_get_u64(object, "incarnation", INT64_MAX, incarnation, err);

    if (status == STATUS_OK && *incarnation == 0)
        status = error_set(err, STATUS_BAD_VALUE, "incarnation: from 1 on");
    if (status == STATUS_OK && parse_hex(json_object_get(object, "journal"), journal) != STATUS_OK)
        status = error_set(err, STATUS_BAD_VALUE, "journal: not 16 hex digits");
    return status == STATUS_OK ? json_get_u64(object, "records", INT64_MAX, records, err) : status;
}

/* --- releases --- */

static enum status request_count(const json_t *files, struct release_request *request, struct error *err)
{
    size_t count = json_array_size(files);

    if (count == 0 || count > RELEASE_FILES_MAX)
        return error_set(err, count == 0 ? STATUS_BAD_VALUE : STATUS_TOO_LARGE,
                         "files: %zu of them; 1 to %d", count, RELEASE_FILES_MAX);
    for (size_t i = 0; i < count; i++)
        request->members_count += json_array_size(json_object_get(json_array_get(files, i), "digests"));
    size_t max = count == 1 ? RELEASE_FILE_DIGESTS_MAX : RELEASE_DIGESTS_MAX;
    if (request->members_count > max)
        return error_set(err, STATUS_TOO_LARGE,
                         "digests: %zu of them; at most %d of several files, %d of one",
                         request->members_count, RELEASE_DIGESTS_MAX, RELEASE_FILE_DIGESTS_MAX);
    request->files_count = count;
    return STATUS_OK;
}

static enum status request_make(struct release_request *request, struct error *err)
{
    size_t count = request->members_count;

    for (request->slots_count = 64; request->slots_count < 2 * count; request->slots_count *= 2)
        ;
    request->files = calloc(request->files_count, sizeof *request->files);
    request->members = calloc(count + 1, sizeof *request->members);
    request->digests = calloc(count + 1, sizeof *request->digests);
    request->slots = malloc(request->slots_count * sizeof *request->slots);
    if (request->files == NULL || request->members == NULL || request->digests == NULL ||
        request->slots == NULL)
        return error_set(err, STATUS_NO_MEMORY, "%zu digests", count);
    random_bytes(&request->seed, sizeof request->seed);
    memset(request->slots, 0xff, request->slots_count * sizeof *request->slots);
    request->members_count = 0;
    return STATUS_OK;
}

/* The slot of a digest, or the free one where it belongs. */
static size_t request_slot(const struct release_request *request, const struct digest *digest)
{
    size_t mask = request->slots_count - 1;
    size_t slot = (size_t)XXH3_64bits_withSeed(digest->bytes, DIGEST_SIZE, request->seed) & mask;

    while (request->slots[slot] != RELEASE_NONE &&
           digest_compare(&request->digests[request->slots[slot]], digest) != 0)
        slot = (slot + 1) & mask;
    return slot;
}

uint32_t release_request_find(const struct release_request *request, const struct digest *digest)
{
    return request->slots[request_slot(request, digest)];
}

static enum status request_digests(struct release_request *request, struct release_file *file,
                                   const json_t *array, struct error *err)
{
    file->first = request->members_count;
    file->count = json_array_size(array);
    for (size_t i = 0; i < file->count; i++) {
        struct digest digest;
        enum status status = digest_json_item(array, "digests", i, &digest, err);
        if (status != STATUS_OK)
            return status;
        size_t slot = request_slot(request, &digest);
        if (request->slots[slot] == RELEASE_NONE) {
            request->slots[slot] = (uint32_t)request->digests_count;
            request->digests[request->digests_count++] = digest;
        }
        request->members[request->members_count++] = request->slots[slot];
    }
    return STATUS_OK;
}

static enum status request_file(struct release_request *request, size_t number,
                                const json_t *object, struct error *err)
{
    struct release_file *file = &request->files[number];
    json_t *digests;
    uint64_t shard;
    enum status status = json_get_u64(object, "shard", MAP_SHARDS_MAX - 1, &shard, err);

    if (status == STATUS_OK && parse_birth(json_object_get(object, "birth"), &file->birth) != STATUS_OK)
        status = error_set(err, STATUS_BAD_VALUE, "birth: not 16 hex digits, or 0");
    if (status == STATUS_OK)
        status = json_get_array(object, "digests", &digests, err);
    if (status != STATUS_OK)
        return status;
    file->shard = (unsigned)shard;
    for (size_t i = 0; i < number; i++)
        if (request->files[i].birth == file->birth)
            return error_set(err, STATUS_BAD_VALUE, "birth: files[%zu] has it as well", i);
    return request_digests(request, file, digests, err);
}

static enum status request_files(struct release_request *request, const json_t *object, struct error *err)
{
    json_t *files;
    enum status status = json_get_array(object, "files", &files, err);

    if (status == STATUS_OK)
        status = request_count(files, request, err);
    if (status == STATUS_OK)
        status = request_make(request, err);
    for (size_t i = 0; status == STATUS_OK && i < request->files_count; i++) {
        status = request_file(request, i, json_array_get(files, i), err);
        if (status != STATUS_OK)
            error_wrap(err, "files[%zu]", i);
    }
    return status;
}

enum status release_request_parse(struct slice body, struct release_request *request, struct error *err)
{
    json_t *object;

    *request = (struct release_request){ .files_count = 0 };
    enum status status = json_parse(body.data, body.size, &object, err);
    if (status != STATUS_OK)
        return status;
    status = parse_node(object, request->node, err);
    if (status == STATUS_OK)
        status = parse_run(object, &request->run, err);
    if (status == STATUS_OK)
        status = parse_journal(object, &request->incarnation, &request->journal, &request->records, err);
    if (status == STATUS_OK)
        status = request_files(request, object, err);
    json_decref(object);
    return status;
}

void release_request_fini(struct release_request *request)
{
    free(request->files);
    free(request->members);
    free(request->digests);
    free(request->slots);
    *request = (struct release_request){ .files_count = 0 };
}

enum status release_request_fits(const struct release_request *request, unsigned shards, struct error *err)
{
    for (size_t i = 0; i < request->files_count; i++) {
        const struct release_file *file = &request->files[i];
        if (file->shard >= shards)
            return error_set(err, STATUS_BAD_VALUE, "files[%zu]: shard: %u, the cluster has %u", i,
                             file->shard, shards);
        for (size_t k = 0; k < file->count; k++)
            if (digest_shard(&request->digests[request->members[file->first + k]], shards) != file->shard)
                return error_set(err, STATUS_BAD_VALUE, "files[%zu]: digests[%zu]: not of shard %u",
                                 i, k, file->shard);
    }
    return STATUS_OK;
}

/* --- dropped --- */

static enum status dropped_births(struct release_dropped *dropped, const json_t *object, struct error *err)
{
    json_t *files;
    enum status status = json_get_array(object, "files", &files, err);
    size_t count = status == STATUS_OK ? json_array_size(files) : 0;

    if (status == STATUS_OK && (count == 0 || count > RELEASE_FILES_MAX))
        status = error_set(err, count == 0 ? STATUS_BAD_VALUE : STATUS_TOO_LARGE,
                           "files: %zu of them; 1 to %d", count, RELEASE_FILES_MAX);
    if (status != STATUS_OK)
        return status;
    dropped->births = calloc(count, sizeof *dropped->births);
    if (dropped->births == NULL)
        return error_set(err, STATUS_NO_MEMORY, "%zu files", count);
    dropped->births_count = count;
    for (size_t i = 0; i < count; i++)
        if (parse_birth(json_array_get(files, i), &dropped->births[i]) != STATUS_OK)
            return error_set(err, STATUS_BAD_VALUE, "files[%zu]: not 16 hex digits, or 0", i);
    return STATUS_OK;
}

enum status release_dropped_parse(struct slice body, struct release_dropped *dropped, struct error *err)
{
    const json_t *final;
    json_t *object;

    *dropped = (struct release_dropped){ .births_count = 0 };
    enum status status = json_parse(body.data, body.size, &object, err);
    if (status != STATUS_OK)
        return status;
    final = json_object_get(object, "final");
    status = parse_node(object, dropped->node, err);
    if (status == STATUS_OK)
        status = parse_run(object, &dropped->run, err);
    if (status == STATUS_OK)
        status = parse_journal(object, &dropped->incarnation, &dropped->journal, &dropped->records, err);
    if (status == STATUS_OK && !json_is_boolean(final))
        status = error_set(err, STATUS_BAD_VALUE, "final: true or false");
    if (status == STATUS_OK)
        status = dropped_births(dropped, object, err);
    dropped->final = json_is_true(final);
    json_decref(object);
    return status;
}

void release_dropped_fini(struct release_dropped *dropped)
{
    free(dropped->births);
    *dropped = (struct release_dropped){ .births_count = 0 };
}

/* --- locks --- */

void release_lock_prefix(const struct run_key *run, char prefix[RELEASE_LOCK_SIZE])
{
    char text[RUN_TEXT_SIZE];

    run_key_print(run, text);
    snprintf(prefix, RELEASE_LOCK_SIZE, "release/%s/", text);
}

void release_lock_name(const struct run_key *run, unsigned shard, char name[RELEASE_LOCK_SIZE])
{
    char text[RUN_TEXT_SIZE];

    assert(shard < MAP_SHARDS_MAX);
    run_key_print(run, text);
    snprintf(name, RELEASE_LOCK_SIZE, "release/%s/%u", text, shard);
}

void release_holder_print(const char *node, uint64_t birth, char holder[RELEASE_HOLDER_SIZE])
{
    snprintf(holder, RELEASE_HOLDER_SIZE, "%s %016" PRIx64, node, birth);
}

bool release_holder_parse(const char *holder, char node[NODE_ID_SIZE_MAX + 1], uint64_t *birth)
{
    const char *blank = strrchr(holder, ' ');
    uint8_t bytes[8];

    if (blank == NULL || blank == holder || (size_t)(blank - holder) > NODE_ID_SIZE_MAX ||
        hex_parse(blank + 1, strlen(blank + 1), bytes, sizeof bytes) != 0)
        return false;
    memcpy(node, holder, (size_t)(blank - holder));
    node[blank - holder] = '\0';
    *birth = get_u64(bytes);
    return *birth != 0;
}
