/* file_header.h: the 64 bytes in front of a file of records: a journal's and runs.log's. FORMATS.md sections 5 and 6. Pure. */
#ifndef PROTO_FILE_HEADER_H
#define PROTO_FILE_HEADER_H

#include "proto/base/bytes.h"
#include "proto/base/status.h"

enum { FILE_HEADER_SIZE = 64, FILE_HEADER_FORMAT = 1 };

struct file_header {
    uint64_t incarnation;
    uint64_t id; /* never 0 */
    uint64_t made_at_us;
};

/* magic: 8 characters. */
void file_header_encode(const char *magic, const struct file_header *header,
                        uint8_t bytes[FILE_HEADER_SIZE]);

/* CORRUPT: magic, checksum, or a byte that should be 0. UNSUPPORTED: whole, but of a newer format. */
enum status file_header_decode(const char *magic, const uint8_t bytes[FILE_HEADER_SIZE],
                               struct file_header *header, struct error *err);

#endif
