/* journal_record.c: the 64 bytes of a journal's header and of its records. */
#include "proto/journal_record.h"

#include "proto/cluster_map.h"
#include "proto/file_header.h"

#include <assert.h>
#include <inttypes.h>
#include <xxhash.h>

/* Where things are in a record. */
enum {
    AT_OFFSET = 32,
    AT_LENGTH = 40,
    AT_STORED_AT = 48,
    AT_SHARD = 56,
    AT_KIND = 58,
    AT_CHECK = 60
};

enum { FLAG_BATCH = 1 << 8, FLAG_VOID = 1 << 15, KIND_MASK = 0xff };

static const char journal_magic[] = "GRSTOJNL";

void journal_header_encode(const struct journal_header *header, uint8_t bytes[JOURNAL_HEADER_SIZE])
{
    assert(header->incarnation >= 1);
    file_header_encode(journal_magic,
                       &(struct file_header){ .incarnation = header->incarnation,
                                              .id = header->journal_id,
                                              .made_at_us = header->made_at_us },
                       bytes);
}

enum status journal_header_decode(const uint8_t bytes[JOURNAL_HEADER_SIZE],
                                  struct journal_header *header, struct error *err)
{
    struct file_header file;

    enum status status = file_header_decode(journal_magic, bytes, &file, err);
    if (status != STATUS_OK)
        return status;
    if (file.incarnation == 0)
        return error_set(err, STATUS_CORRUPT, "header: incarnation 0");
    *header = (struct journal_header){
        .incarnation = file.incarnation,
        .journal_id = file.id,
        .made_at_us = file.made_at_us,
    };
    return STATUS_OK;
}

/* The flag void is not the writer's but the answer's: the checksum takes it as 0. */
static uint32_t journal_record_sum(const uint8_t bytes[JOURNAL_RECORD_SIZE], uint64_t journal_id,
                                   uint64_t number)
{
    uint8_t copy[AT_CHECK];

    memcpy(copy, bytes, sizeof copy);
    put_u16(copy + AT_KIND, get_u16(copy + AT_KIND) & (uint16_t)~FLAG_VOID);
    return (uint32_t)XXH3_64bits_withSeed(copy, sizeof copy, journal_id + number);
}

void journal_record_encode(const struct journal_record *record, uint64_t journal_id,
                           uint64_t number, uint8_t bytes[JOURNAL_RECORD_SIZE])
{
    unsigned kind = record->kind;

    assert(kind >= JOURNAL_FILE && kind <= JOURNAL_DROPPED && record->shard < MAP_SHARDS_MAX);
    memset(bytes, 0, JOURNAL_RECORD_SIZE);
    if (kind == JOURNAL_FILE || kind == JOURNAL_DROPPED) {
        assert(record->birth != 0);
        put_u64(bytes, record->birth);
    } else {
        memcpy(bytes, record->digest.bytes, DIGEST_SIZE);
        put_u64(bytes + AT_OFFSET, record->offset);
        put_u64(bytes + AT_LENGTH, kind == JOURNAL_STORED ? record->length : record->stored_record);
    }
    put_u64(bytes + AT_STORED_AT, record->stored_at_us);
    put_u16(bytes + AT_SHARD, record->shard);
    if (record->batch_first)
        kind |= FLAG_BATCH;
    if (record->is_void)
        kind |= FLAG_VOID;
    put_u16(bytes + AT_KIND, (uint16_t)kind);
    put_u32(bytes + AT_CHECK, journal_record_sum(bytes, journal_id, number));
}

/* What no writer of ours puts into a record whose checksum holds; a peer might. */
static const char *journal_record_fault(const struct journal_record *record, const uint8_t *bytes,
                                        uint64_t number)
{
    static const uint8_t zeros[AT_STORED_AT - 8];

    if (record->shard >= MAP_SHARDS_MAX)
        return "impossible shard";
    switch (record->kind) {
    case JOURNAL_FILE:
    case JOURNAL_DROPPED:
        if (record->birth == 0 || memcmp(bytes + 8, zeros, sizeof zeros) != 0)
            return "impossible birth id";
        return NULL;
    case JOURNAL_STORED:
        if (record->length == 0 || record->offset > INT64_MAX || record->length > INT64_MAX - record->offset)
            return "impossible offset or length";
        return NULL;
    case JOURNAL_BAD:
        return record->stored_record >= number ? "names a record that is not before it" : NULL;
    }
    return "unknown kind";
}

enum status journal_record_decode(const uint8_t bytes[JOURNAL_RECORD_SIZE], uint64_t journal_id,
                                  uint64_t number, struct journal_record *record, struct error *err)
{
    unsigned kind = get_u16(bytes + AT_KIND);

    if (journal_record_check(bytes) != journal_record_sum(bytes, journal_id, number))
        return error_set(err, STATUS_CORRUPT, "record %" PRIu64 ": bad checksum", number);
    if ((kind & ~(unsigned)(FLAG_BATCH | FLAG_VOID | KIND_MASK)) != 0)
        return error_set(err, STATUS_CORRUPT, "record %" PRIu64 ": unknown flags 0x%04x", number, kind);
    *record = (struct journal_record){
        .kind = (enum journal_kind)(kind & KIND_MASK),
        .batch_first = (kind & FLAG_BATCH) != 0,
        .is_void = (kind & FLAG_VOID) != 0,
        .shard = get_u16(bytes + AT_SHARD),
        .stored_at_us = get_u64(bytes + AT_STORED_AT),
    };
    if (record->kind == JOURNAL_FILE || record->kind == JOURNAL_DROPPED) {
        record->birth = get_u64(bytes);
    } else {
        memcpy(record->digest.bytes, bytes, DIGEST_SIZE);
        record->offset = get_u64(bytes + AT_OFFSET);
        if (record->kind == JOURNAL_STORED)
            record->length = get_u64(bytes + AT_LENGTH);
        else
            record->stored_record = get_u64(bytes + AT_LENGTH);
    }
    const char *fault = journal_record_fault(record, bytes, number);
    if (fault != NULL)
        return error_set(err, STATUS_CORRUPT, "record %" PRIu64 ": %s", number, fault);
    return STATUS_OK;
}

uint32_t journal_record_check(const uint8_t bytes[JOURNAL_RECORD_SIZE])
{
    return get_u32(bytes + AT_CHECK);
}

void journal_record_set_void(uint8_t bytes[JOURNAL_RECORD_SIZE])
{
    put_u16(bytes + AT_KIND, get_u16(bytes + AT_KIND) | FLAG_VOID);
}
