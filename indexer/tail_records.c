/* tail_records.c: records of a journal, in their order, into what is to be done with them. */
#include "indexer/tail_node.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

/* --- files: which one a stored record lies in --- */

static void records_add_named(struct tail_run *run, const struct journal_record *record, uint64_t number)
{
    if (run->named_count > 0 && number <= run->named[run->named_count - 1].record)
        return; /* a second reading */
    run->named = realloc(run->named, (run->named_count + 1) * sizeof *run->named);
    assert(run->named != NULL);
    run->named[run->named_count++] = (struct tail_named){ .file = { record->shard, record->birth },
                                                          .record = number };
}

static enum status records_set_birth(struct tail_run *run, const struct journal_record *record,
                                     uint64_t number, struct error *err)
{
    if (record->shard >= MAP_SHARDS_MAX)
        return error_set(err, STATUS_CORRUPT, "shard %u", record->shard);
    if (record->shard >= run->births_count) {
        size_t count = (size_t)record->shard + 1;
        run->births = realloc(run->births, count * sizeof *run->births);
        assert(run->births != NULL);
        memset(run->births + run->births_count, 0, (count - run->births_count) * sizeof *run->births);
        run->births_count = count;
    }
    run->births[record->shard] = (struct tail_birth){ .birth = record->birth, .is_void = record->is_void };
    records_add_named(run, record, number);
    return STATUS_OK;
}

/* --- records that are acted on --- */

static enum status records_add_stored(const struct tail_run *run, struct tail_slot *slot,
                                      const struct journal_record *record, uint64_t number,
                                      struct error *err)
{
    if (record->is_void)
        return STATUS_OK;
    if (record->shard >= run->births_count || run->births[record->shard].birth == 0)
        return error_set(err, STATUS_CORRUPT, "no file record of shard %u before it", record->shard);
    slot->records[slot->batch.count++] = (struct upsert_record){
        .digest = record->digest,
        .record = number,
        .shard = record->shard,
        .birth = run->births[record->shard].birth,
        .offset = record->offset,
        .length = record->length,
        .stored_at_us = record->stored_at_us,
    };
    return STATUS_OK;
}

/* Is what was taken before it to be acted on first? Records are, in their order; but a batch of one kind at once. */
static bool records_come_later(const struct tail_reader *reader, const struct tail_slot *slot,
                               enum journal_kind kind)
{
    return (slot->batch.count > 0 && kind != JOURNAL_STORED) ||
           (reader->bad_count > 0 && kind != JOURNAL_BAD);
}

static enum status records_act(struct tail_reader *reader, struct tail_slot *slot,
                               const struct journal_record *record, uint64_t number, struct error *err)
{
    if (record->kind == JOURNAL_STORED)
        return records_add_stored(reader->run, slot, record, number, err);
    if (record->kind == JOURNAL_BAD) {
        reader->bad[reader->bad_count++] = record->digest;
    } else {
        reader->removes = true;
        reader->removal = *record;
    }
    return STATUS_OK;
}

/* One record; *stop when what was taken has to be acted on before the next, and it was left where it is. */
static enum status records_take_one(struct tail_reader *reader, struct tail_slot *slot, bool *stop,
                                    struct error *err)
{
    struct tail_run *run = reader->run;
    const uint8_t *bytes = reader->records + reader->at * JOURNAL_RECORD_SIZE;
    uint64_t number = reader->first + reader->at;
    bool act = !tail_cursor_holds(run) || number >= run->cursor.record;
    struct journal_record record;

    enum status status = journal_record_decode(bytes, reader->journal_id, number, &record, err);
    if (status != STATUS_OK)
        return status;
    if (!act && number + 1 == run->cursor.record && journal_record_check(bytes) != run->cursor.check) {
        run->has_cursor = false;
        return error_set(err, STATUS_JOURNAL_CHANGED, "the cursor's record is another one now");
    }
    *stop = act && record.kind != JOURNAL_FILE && records_come_later(reader, slot, record.kind);
    if (*stop)
        return STATUS_OK;
    if (record.kind == JOURNAL_FILE)
        status = records_set_birth(run, &record, number, err);
    else if (act)
        status = records_act(reader, slot, &record, number, err);
    if (status != STATUS_OK)
        return status;
    run->check = journal_record_check(bytes);
    run->scanned = number + 1;
    reader->at++;
    reader->tail->records_read += act;
    return STATUS_OK;
}

enum status tail_records_take(struct tail_reader *reader, struct tail_slot *slot, struct error *err)
{
    bool stop = false;

    slot->batch.count = reader->bad_count = 0;
    reader->removes = false;
    while (reader->at < reader->records_count && !stop && !reader->removes &&
           slot->batch.count < UPSERT_BATCH_MAX && reader->bad_count < TAIL_BAD_MAX) {
        enum status status = records_take_one(reader, slot, &stop, err);
        if (status != STATUS_OK)
            return error_wrap(err, "journal of %s: record %" PRIu64, reader->run->name,
                              reader->first + reader->at);
    }
    return STATUS_OK;
}
