/* fuzz_journal_feed.c: records of a journal as a node sends them, taken one by one.
 *
 * Input: a byte of flags, then 64 bytes a record. With bit 0 set checksums are right, as those of a hostile node are; with bit
 * 1 the cursor stands at record 3. What is to be written names a file that the journal named before; records follow each
 * other; after a failure nothing is taken. */
#include "indexer/tail_node.h"
#include "proto/base/bytes.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { JOURNAL_ID = 77, RECORDS_MAX = 4000, AT_KIND = 58, AT_CHECK = 60 };

static void set_checksums(uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t *at = bytes + i * JOURNAL_RECORD_SIZE;
        uint8_t is_void = at[AT_KIND] & 0x80;
        at[AT_KIND] &= 0x7f;
        put_u32(at + AT_CHECK, (uint32_t)XXH3_64bits_withSeed(at, AT_CHECK, JOURNAL_ID + i));
        at[AT_KIND] |= is_void;
    }
}

static void check_slot(const struct tail_reader *reader, const struct tail_slot *slot)
{
    const struct tail_run *run = reader->run;

    MUST(slot->batch.count <= UPSERT_BATCH_MAX && reader->bad_count <= TAIL_BAD_MAX &&
         run->births_count <= MAP_SHARDS_MAX);
    for (size_t i = 0; i < slot->batch.count; i++) {
        const struct upsert_record *record = &slot->records[i];
        MUST(record->shard < run->births_count && record->birth != 0);
        MUST(i == 0 || record->record > slot->records[i - 1].record);
        MUST(record->record < run->scanned &&
             (!tail_cursor_holds(run) || record->record >= run->cursor.record));
    }
    for (size_t i = 1; i < run->named_count; i++)
        MUST(run->named[i].record > run->named[i - 1].record);
}

/* "journal of RUN: record N: what is wrong with it" */
static bool says_why(const struct error *err)
{
    const char *place = strstr(err->text, ": record ");

    if (place == NULL)
        return false;
    place += strlen(": record ");
    const char *why = strstr(place, ": ");
    return why != NULL && why[2] != '\0';
}

static void take_all(struct tail_reader *reader)
{
    static struct tail_slot slot; /* large */
    struct error err;
    enum status status = STATUS_OK;

    error_init(&err);
    while (reader->at < reader->records_count && status == STATUS_OK) {
        size_t at = reader->at;
        status = tail_records_take(reader, &slot, &err);
        MUST(reader->run->scanned == reader->at && (status != STATUS_OK || reader->at > at));
        check_slot(reader, &slot);
        MUST(status != STATUS_OK || slot.batch.count > 0 || reader->bad_count > 0 ||
             reader->removes || reader->at == reader->records_count);
        MUST(slot.batch.count == 0 || reader->bad_count == 0);
    }
    MUST(status == STATUS_OK || says_why(&err));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tail_reader reader; /* large */
    static struct tail_run run;
    static struct tail tail;
    struct fuzz_input input = { data, size };
    unsigned flags = fuzz_byte(&input);
    size_t count = input.size / JOURNAL_RECORD_SIZE;

    run = (struct tail_run){ .journal_id = JOURNAL_ID };
    if (count == 0 || count > RECORDS_MAX)
        return 0;
    uint8_t *records = fuzz_copy(input.data, count * JOURNAL_RECORD_SIZE);
    if ((flags & 1) != 0)
        set_checksums(records, count);
    run.records = count;
    if ((flags & 2) != 0 && count >= 3) {
        run.has_cursor = true;
        run.cursor = (struct catalog_cursor){ .journal_id = JOURNAL_ID, .record = 3 };
        run.cursor.check = journal_record_check(records + 2 * JOURNAL_RECORD_SIZE);
    }
    reader.tail = &tail;
    reader.run = &run;
    reader.journal_id = JOURNAL_ID;
    reader.records = records;
    reader.records_count = count;
    reader.at = 0;
    reader.first = 0;
    take_all(&reader);
    free(run.births);
    free(run.named);
    free(records);
    return 0;
}
