/* fuzz_journal_record.c: records and headers of journal and runs.log.
 *
 * Input: one byte, whose lowest bit asks for the checksum to be set right, as a hostile peer can; then the bytes. What decodes has to
 * encode to the same bytes. */
#include "proto/journal_record.h"
#include "proto/run_log_record.h"
#include "tests/fuzz/fuzz.h"

#include <xxhash.h>

static const uint64_t id = 0x0123456789abcdef;
enum { NUMBER = 1000 };

static void journal_record(uint8_t bytes[JOURNAL_RECORD_SIZE], bool checksum)
{
    struct journal_record record;
    uint8_t again[JOURNAL_RECORD_SIZE];

    if (checksum) {
        uint8_t is_void = bytes[58] & 0x80;
        bytes[58] &= 0x7f;
        put_u32(bytes + 60, (uint32_t)XXH3_64bits_withSeed(bytes, 60, id + NUMBER));
        bytes[58] |= is_void;
    }
    if (journal_record_decode(bytes, id, NUMBER, &record, NULL) != STATUS_OK)
        return;
    journal_record_encode(&record, id, NUMBER, again);
    MUST(memcmp(bytes, again, sizeof again) == 0);
}

static void journal_header(uint8_t bytes[JOURNAL_HEADER_SIZE], bool checksum)
{
    struct journal_header header;
    uint8_t again[JOURNAL_HEADER_SIZE];

    if (checksum)
        put_u64(bytes + 56, XXH3_64bits(bytes, 56));
    if (journal_header_decode(bytes, &header, NULL) != STATUS_OK)
        return;
    journal_header_encode(&header, again);
    MUST(memcmp(bytes, again, sizeof again) == 0);
}

static void run_log_record(uint8_t bytes[RUN_LOG_RECORD_SIZE], bool checksum)
{
    struct run_log_record record;
    uint8_t again[RUN_LOG_RECORD_SIZE];
    char text[RUN_TEXT_SIZE];

    if (checksum)
        put_u64(bytes + 120, XXH3_64bits_withSeed(bytes, 120, id));
    if (run_log_record_decode(bytes, id, &record, NULL) != STATUS_OK)
        return;
    run_key_print(&record.run, text);
    run_log_record_encode(&record, id, again);
    MUST(memcmp(bytes, again, sizeof again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t bytes[RUN_LOG_RECORD_SIZE] = { 0 };

    if (size < 1)
        return 0;
    bool checksum = (data[0] & 1) != 0;
    size_t given = size - 1 < sizeof bytes ? size - 1 : sizeof bytes;
    memcpy(bytes, data + 1, given);
    run_log_record(bytes, checksum);
    memcpy(bytes, data + 1, given);
    journal_record(bytes, checksum);
    memcpy(bytes, data + 1, given);
    journal_header(bytes, checksum);
    return 0;
}
