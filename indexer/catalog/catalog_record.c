/* catalog_record.c: ids, ranges and single records, for the files of this folder. */
#include "indexer/catalog/catalog_ops.h"
#include "proto/base/json_read.h"

#include <assert.h>
#include <string.h>

void record_id_set(struct record_id *id, const void *bytes, size_t size)
{
    assert(size > 0 && size <= RECORD_ID_SIZE_MAX);
    *id = (struct record_id){ .size = size };
    memcpy(id->bytes, bytes, size);
}

int record_id_compare(const struct record_id *a, const struct record_id *b)
{
    size_t common = a->size < b->size ? a->size : b->size;
    int order = memcmp(a->bytes, b->bytes, common);

    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

void record_id_run(struct record_id *id, const struct run_key *run)
{
    *id = (struct record_id){ .size = 0 };
    id->size = run_id_print(run, id->bytes);
}

static void record_id_extend(struct record_id *id, const void *bytes, size_t size)
{
    assert(id->size + size <= RECORD_ID_SIZE_MAX);
    memcpy(id->bytes + id->size, bytes, size);
    id->size += size;
}

void record_id_quarantine(struct record_id *id, const struct run_key *run, const struct digest *digest)
{
    record_id_run(id, run);
    record_id_extend(id, digest->bytes, DIGEST_SIZE);
}

void record_range_run(struct record_range *range, const struct run_key *run, size_t tail_size)
{
    uint8_t tail[DIGEST_SIZE];

    assert(tail_size <= sizeof tail);
    *range = (struct record_range){ .whole = false };
    record_id_run(&range->from, run);
    range->to = range->from;
    memset(tail, 0x00, sizeof tail);
    record_id_extend(&range->from, tail, tail_size);
    memset(tail, 0xff, sizeof tail);
    record_id_extend(&range->to, tail, tail_size);
}

void record_range_source(struct record_range *range, struct slice source, size_t tail_size)
{
    uint8_t tail[1 + RECORD_TIME_SIZE + DIGEST_SIZE] = { 0 }; /* a zero byte ends the name, then the base_time */

    assert(source.size <= SOURCE_SIZE_MAX && tail_size <= DIGEST_SIZE);
    *range = (struct record_range){ .whole = false };
    record_id_set(&range->from, source.data, source.size);
    range->to = range->from;
    record_id_extend(&range->from, tail, 1 + RECORD_TIME_SIZE + tail_size);
    memset(tail + 1, 0xff, sizeof tail - 1);
    record_id_extend(&range->to, tail, 1 + RECORD_TIME_SIZE + tail_size);
}

uint64_t record_rev_new(void)
{
    uint64_t random;

    /* Room above for more changes than there will ever be; never 0. */
    random_bytes(&random, sizeof random);
    return (random >> 16) + 1;
}

static bool record_keep(void *data, const struct record *record)
{
    struct record *found = data;

    *found = *record;
    json_incref(found->doc);
    return false;
}

enum status record_read(struct catalog *catalog, enum catalog_table table,
                        const struct record_id *id, struct record *found, struct error *err)
{
    *found = (struct record){ .id = *id };
    return catalog->ops->read(catalog, table, id, 1, record_keep, found, err);
}

enum status record_write_one(struct catalog *catalog, enum catalog_table table,
                             const struct record_id *id, uint64_t rev_was, json_t *doc, struct error *err)
{
    struct record_write write = {
        .id = *id,
        .rev_was = rev_was,
        .rev = rev_was == 0 ? record_rev_new() : rev_was + 1,
        .doc = doc,
    };
    enum status status = catalog->ops->write(catalog, table, &write, 1, err);

    json_decref(doc);
    if (status == STATUS_OK && write.lost)
        return error_set(err, STATUS_CONFLICT, "another change came first");
    return status;
}

enum status record_run(const json_t *doc, struct run_key *run, struct error *err)
{
    const char *source, *base_time;
    enum status status = json_get_string(doc, "source", &source, err);

    if (status == STATUS_OK)
        status = json_get_string(doc, "base_time", &base_time, err);
    if (status == STATUS_OK)
        status = run_key_parse(slice_text(source), slice_text(base_time), run, err);
    return status;
}
