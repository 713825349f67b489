/* journal_record.h: the 64 bytes of a journal's header and of its records: encode, decode, check. FORMATS.md section 5. Pure. */
#ifndef PROTO_JOURNAL_RECORD_H
#define PROTO_JOURNAL_RECORD_H

#include "proto/base/status.h"
#include "proto/digest.h"

enum { JOURNAL_HEADER_SIZE = 64, JOURNAL_RECORD_SIZE = 64, JOURNAL_FORMAT = 1 };

struct journal_header {
    uint64_t incarnation;
    uint64_t journal_id;
    uint64_t made_at_us;
};

enum journal_kind { JOURNAL_FILE = 1, JOURNAL_STORED = 2, JOURNAL_BAD = 3, JOURNAL_DROPPED = 4 };

struct journal_record {
    enum journal_kind kind;
    bool batch_first; /* first record of a batch */
    bool is_void;     /* in answers only */
    uint16_t shard;
    struct digest digest;   /* stored, bad */
    uint64_t birth;         /* file, dropped */
    uint64_t offset;        /* stored, bad */
    uint64_t length;        /* stored */
    uint64_t stored_record; /* bad: number of the stored record */
    uint64_t stored_at_us;
};

void journal_header_encode(const struct journal_header *header, uint8_t bytes[JOURNAL_HEADER_SIZE]);
enum status journal_header_decode(const uint8_t bytes[JOURNAL_HEADER_SIZE], struct journal_header *header,
                                  struct error *err); /* CORRUPT; UNSUPPORTED: a newer format */

void journal_record_encode(const struct journal_record *record, uint64_t journal_id,
                           uint64_t number, uint8_t bytes[JOURNAL_RECORD_SIZE]);
/* CORRUPT: the checksum, the kind or an unused bit is wrong. */
enum status journal_record_decode(const uint8_t bytes[JOURNAL_RECORD_SIZE], uint64_t journal_id,
                                  uint64_t number, struct journal_record *record, struct error *err);
uint32_t journal_record_check(const uint8_t bytes[JOURNAL_RECORD_SIZE]); /* the stored checksum: C of the feed */
void journal_record_set_void(uint8_t bytes[JOURNAL_RECORD_SIZE]);

#endif
