/* file_header.c: the 64 bytes in front of a file of records. */
#include "proto/file_header.h"

#include <assert.h>
#include <inttypes.h>
#include <xxhash.h>

enum { MAGIC_SIZE = 8, CHECKED_SIZE = 56 };

void file_header_encode(const char *magic, const struct file_header *header,
                        uint8_t bytes[FILE_HEADER_SIZE])
{
    assert(strlen(magic) == MAGIC_SIZE && header->id != 0);
    memset(bytes, 0, FILE_HEADER_SIZE);
    memcpy(bytes, magic, MAGIC_SIZE);
    put_u64(bytes + 8, FILE_HEADER_FORMAT);
    put_u64(bytes + 16, header->incarnation);
    put_u64(bytes + 24, header->id);
    put_u64(bytes + 32, header->made_at_us);
    put_u64(bytes + CHECKED_SIZE, XXH3_64bits(bytes, CHECKED_SIZE));
}

/* The checksum comes before the format: a flipped bit is damage, not a newer format. A newer one keeps its place. */
enum status file_header_decode(const char *magic, const uint8_t bytes[FILE_HEADER_SIZE],
                               struct file_header *header, struct error *err)
{
    static const uint8_t zeros[16];
    uint64_t format = get_u64(bytes + 8);

    if (memcmp(bytes, magic, MAGIC_SIZE) != 0)
        return error_set(err, STATUS_CORRUPT, "bad magic: %s is expected", magic);
    if (get_u64(bytes + CHECKED_SIZE) != XXH3_64bits(bytes, CHECKED_SIZE))
        return error_set(err, STATUS_CORRUPT, "header: bad checksum");
    if (format > FILE_HEADER_FORMAT)
        return error_set(err, STATUS_UNSUPPORTED, "format %" PRIu64 " is newer than %d", format,
                         FILE_HEADER_FORMAT);
    *header = (struct file_header){
        .incarnation = get_u64(bytes + 16),
        .id = get_u64(bytes + 24),
        .made_at_us = get_u64(bytes + 32),
    };
    if (format != FILE_HEADER_FORMAT || header->id == 0 || memcmp(bytes + 40, zeros, sizeof zeros) != 0)
        return error_set(err, STATUS_CORRUPT, "header: impossible format, id or filling");
    return STATUS_OK;
}
