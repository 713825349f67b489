/* tail_listing.c: one run of an answer of /cluster/runs, from its JSON. */
#include "indexer/tail_node.h"

#include "proto/base/json_read.h"

#include <assert.h>
#include <stdlib.h>

static enum status tail_parse_files(const json_t *list, struct tail_file **files, size_t *count,
                                    struct error *err)
{
    size_t size = json_array_size(list);
    uint64_t shard;
    const char *birth;
    uint8_t bytes[8];

    *files = calloc(size + 1, sizeof **files);
    *count = size;
    assert(*files != NULL);
    for (size_t i = 0; i < size; i++) {
        const json_t *file = json_array_get(list, i);
        enum status status = json_get_u64(file, "shard", MAP_SHARDS_MAX - 1, &shard, err);
        if (status == STATUS_OK)
            status = json_get_string(file, "birth", &birth, err);
        if (status != STATUS_OK)
            return status;
        if (hex_parse(birth, strlen(birth), bytes, sizeof bytes) != 0)
            return error_set(err, STATUS_BAD_VALUE, "files[%zu].birth: not 16 hex digits", i);
        (*files)[i] = (struct tail_file){ .shard = (unsigned)shard, .birth = get_u64(bytes) };
    }
    return STATUS_OK;
}

static enum status tail_parse_state(const json_t *item, struct tail_listing *listing, struct error *err)
{
    const char *state, *journal;
    uint8_t bytes[8];

    enum status status = json_get_u64(item, "incarnation", INT64_MAX, &listing->info.incarnation, err);
    if (status == STATUS_OK)
        status = json_get_u64(item, "version", INT64_MAX, &listing->info.version, err);
    if (status == STATUS_OK)
        status = json_get_string(item, "state", &state, err);
    if (status == STATUS_OK && !run_state_parse(state, &listing->info.state))
        status = error_set(err, STATUS_BAD_VALUE, "state: %.32s is none", state);
    if (status == STATUS_OK)
        status = json_opt_string(item, "journal", NULL, &journal, err);
    if (status == STATUS_OK)
        status = json_opt_u64(item, "records", UINT32_MAX, 0, &listing->records, err);
    if (status != STATUS_OK || journal == NULL || journal[0] == '\0')
        return status;
    if (hex_parse(journal, strlen(journal), bytes, sizeof bytes) != 0)
        return error_set(err, STATUS_BAD_VALUE, "journal: not 16 hex digits");
    listing->journal_id = get_u64(bytes);
    return STATUS_OK;
}

enum status tail_listing_parse(const json_t *item, struct tail_listing *listing, struct error *err)
{
    const char *source, *base_time;
    json_t *files = json_object_get(item, "files");

    *listing = (struct tail_listing){ 0 };
    enum status status = json_get_string(item, "source", &source, err);
    if (status == STATUS_OK)
        status = json_get_string(item, "base_time", &base_time, err);
    if (status == STATUS_OK)
        status = run_key_parse(slice_text(source), slice_text(base_time), &listing->run, err);
    if (status == STATUS_OK)
        status = tail_parse_state(item, listing, err);
    if (status == STATUS_OK)
        status = tail_parse_files(files, &listing->files, &listing->files_count, err);
    return status;
}
