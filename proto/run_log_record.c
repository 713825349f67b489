/* run_log_record.c: the records of runs.log. */
#include "proto/run_log_record.h"

#include "proto/file_header.h"

#include <assert.h>
#include <xxhash.h>

/* Where things are in a record. */
enum {
    AT_SOURCE = 1,
    AT_BASE_TIME = 72,
    AT_INCARNATION = 80,
    AT_VERSION = 88,
    AT_TOLD_AT = 96,
    AT_STATE = 104,
    AT_FILLING = 106,
    AT_CHECK = 120
};

static const char run_log_magic[] = "GRSTORUN";

void run_log_header_encode(uint64_t id, uint64_t made_at_us, uint8_t bytes[RUN_LOG_HEADER_SIZE])
{
    file_header_encode(run_log_magic, &(struct file_header){ .id = id, .made_at_us = made_at_us }, bytes);
}

enum status run_log_header_decode(const uint8_t bytes[RUN_LOG_HEADER_SIZE], uint64_t *id,
                                  struct error *err)
{
    struct file_header file;

    enum status status = file_header_decode(run_log_magic, bytes, &file, err);
    if (status == STATUS_OK)
        *id = file.id;
    return status;
}

void run_log_record_encode(const struct run_log_record *record, uint64_t id,
                           uint8_t bytes[RUN_LOG_RECORD_SIZE])
{
    size_t size = strlen(record->run.source);

    assert(source_valid(slice_of(record->run.source, size)) && base_time_valid(record->run.base_time));
    assert(record->info.state >= RUN_FILLING && record->info.state <= RUN_PURGED);
    memset(bytes, 0, RUN_LOG_RECORD_SIZE);
    bytes[0] = (uint8_t)size;
    memcpy(bytes + AT_SOURCE, record->run.source, size);
    put_u64(bytes + AT_BASE_TIME, (uint64_t)record->run.base_time);
    put_u64(bytes + AT_INCARNATION, record->info.incarnation);
    put_u64(bytes + AT_VERSION, record->info.version);
    put_u64(bytes + AT_TOLD_AT, record->told_at_us);
    put_u16(bytes + AT_STATE, (uint16_t)record->info.state);
    put_u64(bytes + AT_CHECK, XXH3_64bits_withSeed(bytes, AT_CHECK, id));
}

static bool all_zero(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] != 0)
            return false;
    }
    return true;
}

enum status run_log_record_decode(const uint8_t bytes[RUN_LOG_RECORD_SIZE], uint64_t id,
                                  struct run_log_record *record, struct error *err)
{
    unsigned state = get_u16(bytes + AT_STATE);

    if (get_u64(bytes + AT_CHECK) != XXH3_64bits_withSeed(bytes, AT_CHECK, id))
        return error_set(err, STATUS_CORRUPT, "bad checksum");
    if (!source_valid(slice_of(bytes + AT_SOURCE, bytes[0])))
        return error_set(err, STATUS_CORRUPT, "impossible source");
    if (!all_zero(bytes + AT_SOURCE + bytes[0], (size_t)(AT_BASE_TIME - AT_SOURCE - bytes[0])) ||
        !all_zero(bytes + AT_FILLING, AT_CHECK - AT_FILLING))
        return error_set(err, STATUS_CORRUPT, "unknown bytes are not 0");
    if (state < RUN_FILLING || state > RUN_PURGED)
        return error_set(err, STATUS_CORRUPT, "unknown state %u", state);

    *record = (struct run_log_record){
        .run.base_time = (int64_t)get_u64(bytes + AT_BASE_TIME),
        .info = { .incarnation = get_u64(bytes + AT_INCARNATION),
                  .version = get_u64(bytes + AT_VERSION),
                  .state = (enum run_state)state },
        .told_at_us = get_u64(bytes + AT_TOLD_AT),
    };
    memcpy(record->run.source, bytes + AT_SOURCE, bytes[0]);
    if (!base_time_valid(record->run.base_time) || record->info.incarnation == 0)
        return error_set(err, STATUS_CORRUPT, "impossible base_time or incarnation");
    return STATUS_OK;
}
