/* recover_run.c: prove a journal's tail, cut what does not hold, fill the tables, flush what is kept. */
#include "storaged/store/recover_run.h"

#include "proto/base/log.h"
#include "storaged/store/damage.h"
#include "storaged/store/disk.h"
#include "storaged/store/drop.h"
#include "storaged/store/store_state.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RECOVER_GATHER = 64,         /* messages counted at once */
    RECOVER_CHUNK = 16384,       /* records read at once: 1 MiB */
    RECOVER_HASH_SIZE = 1 << 20, /* bytes of a message hashed at once */
};

/* A record other than *stored*: few, and wanted before the messages are counted. */
struct recover_note {
    uint64_t number;
    struct journal_record record;
};

/* A good message, on its way into the tables. */
struct recover_message {
    uint64_t number;
    struct journal_record record;
    struct store_file *file;
};

struct recovery {
    struct store *store;
    const struct closed *closed;
    const struct run_key *run;
    struct run_dir *dir;
    struct recover_note *notes; /* owned */
    size_t notes_count, notes_capacity;
    uint64_t size;       /* of the journal */
    uint64_t end;        /* records that hold */
    uint64_t last_batch; /* its first record; `end` when there is nothing to prove in it */
    bool is_closed;      /* it was flushed to its end when the store was closed */
    uint64_t *found;     /* owned: numbers of *stored* records that are bad and not told as such */
    size_t found_count;
    uint64_t *ends;             /* owned: per file of dir, where its last record ends */
    uint64_t *sizes;            /* owned: per file, what the disk has */
    uint8_t *chunk;             /* owned: records read at once, */
    uint64_t chunk_count;       /* so many */
    struct digest_stream *hash; /* owned; NULL until needed */
    struct recover_message gathered[RECOVER_GATHER];
    uint32_t tags[RECOVER_GATHER]; /* theirs */
    unsigned gathered_count;
};

/* --- the records --- */

typedef enum status recover_each(struct recovery *recovery, uint64_t number,
                                 const struct journal_record *record, bool holds, struct error *err);

/* Records as bytes, into the chunk. What can't be read twice is damage like what does not hold. */
static enum status recover_read_chunk(struct recovery *recovery, uint64_t from, uint64_t count,
                                      struct error *err)
{
    const struct journal *journal = &recovery->dir->journal;
    enum status status = journal_read(journal, from, count, true, recovery->chunk, err);

    if (status == STATUS_IO)
        status = journal_read(journal, from, count, true, recovery->chunk, err);
    if (status == STATUS_IO)
        return error_set(err, STATUS_CORRUPT, "records %ju to %ju can't be read", (uintmax_t)from,
                         (uintmax_t)(from + count - 1));
    return status;
}

/* Records [from, to) in order; each() is told whether the record's checksum holds. */
static enum status recover_walk(struct recovery *recovery, uint64_t from, uint64_t to,
                                recover_each *each, struct error *err)
{
    const struct journal *journal = &recovery->dir->journal;
    struct journal_record record;

    for (uint64_t done = from; done < to;) {
        uint64_t count = to - done < recovery->chunk_count ? to - done : recovery->chunk_count;
        enum status status = recover_read_chunk(recovery, done, count, err);

        if (status != STATUS_OK)
            return status;
        for (uint64_t i = 0; i < count; i++) {
            bool holds = journal_record_decode(recovery->chunk + i * JOURNAL_RECORD_SIZE,
                                               journal->header.journal_id, done + i, &record,
                                               NULL) == STATUS_OK;
            status = each(recovery, done + i, &record, holds, err);
            if (status != STATUS_OK)
                return status;
        }
        done += count;
    }
    return STATUS_OK;
}

static void recover_add_note(struct recovery *recovery, uint64_t number,
                             const struct journal_record *record)
{
    if (recovery->notes_count == recovery->notes_capacity) {
        recovery->notes_capacity = recovery->notes_capacity == 0 ? 64 : recovery->notes_capacity * 2;
        recovery->notes = realloc(recovery->notes, recovery->notes_capacity * sizeof *recovery->notes);
        assert(recovery->notes != NULL);
    }
    recovery->notes[recovery->notes_count++] = (struct recover_note){ .number = number,
                                                                      .record = *record };
}

/* Is there a *file* record of this file already? Two would be two files of one name, and the end of one cuts the other. */
static bool recover_names_file(const struct recovery *recovery, const struct journal_record *file)
{
    for (size_t i = 0; i < recovery->notes_count; i++) {
        const struct journal_record *record = &recovery->notes[i].record;

        if (record->kind == JOURNAL_FILE && record->birth == file->birth && record->shard == file->shard)
            return true;
    }
    return false;
}

/* Finds where the journal stops to hold. A batch that begins behind that was written after a flush of everything before,
 * so what does not hold is not torn but damaged. */
static enum status recover_look(struct recovery *recovery, uint64_t number,
                                const struct journal_record *record, bool holds, struct error *err)
{
    bool is_behind = recovery->end < number;

    if (holds && is_behind && record->batch_first)
        return error_set(err, STATUS_CORRUPT, "record %ju is damaged", (uintmax_t)recovery->end);
    if (!holds || is_behind)
        return STATUS_OK;
    if (number == 0 && !record->batch_first)
        return error_set(err, STATUS_CORRUPT, "record 0 begins no batch");
    if (record->kind == JOURNAL_FILE && recover_names_file(recovery, record))
        return error_set(err, STATUS_CORRUPT, "record %ju names a file again", (uintmax_t)number);
    recovery->end = number + 1;
    if (record->batch_first)
        recovery->last_batch = number;
    if (record->kind != JOURNAL_STORED)
        recover_add_note(recovery, number, record);
    return STATUS_OK;
}

/* --- the last batch --- */

/* Which file the record lies in, by the notes: the tables are not made yet. */
static const struct recover_note *recover_note_of_file(const struct recovery *recovery,
                                                       uint64_t number, unsigned shard)
{
    for (size_t i = recovery->notes_count; i-- > 0;) {
        const struct recover_note *note = &recovery->notes[i];

        if (note->number < number && note->record.kind == JOURNAL_FILE && note->record.shard == shard)
            return note;
    }
    return NULL;
}

/* CORRUPT: the bytes are others, or not there. */
static enum status recover_hash(struct recovery *recovery, int fd,
                                const struct journal_record *record, struct error *err)
{
    static const size_t size_max = RECOVER_HASH_SIZE;
    struct digest digest;

    if (recovery->hash == NULL)
        recovery->hash = digest_stream_new();
    uint8_t *bytes = malloc(size_max);
    assert(bytes != NULL);
    enum status status = STATUS_OK;
    for (uint64_t done = 0; done < record->length && status == STATUS_OK;) {
        uint64_t left = record->length - done;
        size_t size = left < size_max ? (size_t)left : size_max;

        status = disk_read(fd, record->offset + done, bytes, size, true, err);
        if (status == STATUS_OK)
            digest_stream_update(recovery->hash, bytes, size);
        done += size;
    }
    free(bytes);
    digest_stream_final(recovery->hash, &digest); /* after an error, too: it is ready again */
    if (status == STATUS_OK && digest_compare(&digest, &record->digest) != 0)
        status = error_set(err, STATUS_CORRUPT, "the message has another digest");
    return status;
}

/* Does the message of a *stored* record lie where it should? NOT_FOUND: no. */
static enum status recover_prove_message(struct recovery *recovery, uint64_t number,
                                         const struct journal_record *record, struct error *err)
{
    const struct recover_note *note = recover_note_of_file(recovery, number, record->shard);
    char name[DATA_FILE_NAME_SIZE];
    uint64_t size;
    int64_t modified;
    int fd;

    if (note == NULL || record->length == 0)
        return error_set(err, STATUS_NOT_FOUND, "no file");
    data_file_name(record->shard, note->record.birth, name);
    enum status status = disk_stat_at(recovery->dir->fd, name, &size, &modified, err);
    if (status != STATUS_OK)
        return status;
    if (record->length > size || record->offset > size - record->length)
        return error_set(err, STATUS_NOT_FOUND, "the file ends before");
    status = disk_open(recovery->dir->fd, name, O_RDONLY, &fd, err);
    if (status == STATUS_IO && errno != EIO) /* no right to it, say: nothing is wrong with the bytes */
        return error_set(err, STATUS_INTERNAL, "open %s: %s", name, strerror(errno));
    if (status != STATUS_OK)
        return status;
    status = recover_hash(recovery, fd, record, err);
    disk_close(fd);
    return status == STATUS_CORRUPT ? error_set(err, STATUS_NOT_FOUND, "other bytes") : status;
}

/* Bad from now on, and the journal is to say so. */
static void recover_add_found(struct recovery *recovery, uint64_t number)
{
    uint64_t *found = realloc(recovery->found, (recovery->found_count + 1) * sizeof *found);

    assert(found != NULL);
    found[recovery->found_count++] = number;
    recovery->found = found;
    run_dir_add_bad(recovery->dir, number);
}

/* One record of the last batch; NOT_FOUND ends the journal before it. A message that can't be read may well have been
 * acknowledged: its record stays, and it is bad. */
static enum status recover_prove(struct recovery *recovery, uint64_t number,
                                 const struct journal_record *record, bool holds, struct error *err)
{
    if (!holds)
        return error_set(err, STATUS_IO, "record %ju can't be read twice", (uintmax_t)number);
    if (record->kind != JOURNAL_STORED)
        return STATUS_OK;
    enum status status = recover_prove_message(recovery, number, record, err);
    if (status == STATUS_NOT_FOUND)
        recovery->end = number;
    if (status != STATUS_IO)
        return status;
    log_msg(LOG_WARN, "store.unreadable", "record %ju: %s", (uintmax_t)number, err->text);
    recover_add_found(recovery, number);
    return STATUS_OK;
}

static enum status recover_prove_tail(struct recovery *recovery, struct error *err)
{
    enum status status = recover_walk(recovery, recovery->last_batch, recovery->end, recover_prove, err);

    if (status != STATUS_OK && status != STATUS_NOT_FOUND)
        return status;
    while (recovery->notes_count > 0 &&
           recovery->notes[recovery->notes_count - 1].number >= recovery->end)
        recovery->notes_count--;
    return STATUS_OK;
}

/* The last batch was flushed: nothing in it can be torn. */
static enum status recover_skip_tail(struct recovery *recovery, uint64_t count, struct error *err)
{
    if (recovery->end < count)
        return error_set(err, STATUS_CORRUPT, "record %ju is damaged", (uintmax_t)recovery->end);
    recovery->last_batch = recovery->end;
    return STATUS_OK;
}

/* The journal ends at recovery->end from here on, on disk too. */
static enum status recover_cut_journal(struct recovery *recovery, struct error *err)
{
    struct journal *journal = &recovery->dir->journal;

    journal_wrote(journal, recovery->end);
    if (recovery->size == journal_offset(recovery->end))
        return STATUS_OK;
    log_msg(LOG_INFO, "store.torn-tail", "%s: %ju bytes of the journal cut", recovery->run->source,
            (uintmax_t)(recovery->size - journal_offset(recovery->end)));
    enum status status = journal_cut(journal, err);
    if (status != STATUS_OK)
        return status;
    return disk_flush(journal->fd, err);
}

/* --- the tables --- */

static bool recover_is_dropped(const struct recovery *recovery, const struct journal_record *file)
{
    for (size_t i = 0; i < recovery->notes_count; i++) {
        const struct journal_record *record = &recovery->notes[i].record;

        if (record->kind == JOURNAL_DROPPED && record->birth == file->birth && record->shard == file->shard)
            return true;
    }
    return false;
}

static enum status recover_add_file(struct recovery *recovery, const struct recover_note *note,
                                    uint64_t *size, struct error *err)
{
    struct run_dir *dir = recovery->dir;
    char name[DATA_FILE_NAME_SIZE];
    int64_t modified = 0;

    *size = 0;
    data_file_name(note->record.shard, note->record.birth, name);
    enum status status = disk_stat_at(dir->fd, name, size, &modified, err);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND)
        return status;
    struct store_file *file = data_file_new(&recovery->store->files, note->record.shard,
                                            note->record.birth);
    file->record = (uint32_t)note->number;
    file->is_dropped = recover_is_dropped(recovery, &note->record);
    file->is_void = *size == 0 || file->is_dropped;
    file->in_grace = *size > 0 && file->is_dropped; /* the indexer is asked once more before it is unlinked */
    atomic_store(&file->modified, modified);
    run_dir_add_file(dir, file);
    return STATUS_OK;
}

/* Files and bad messages, as the notes have them. */
static enum status recover_add_notes(struct recovery *recovery, struct error *err)
{
    recovery->sizes = calloc(recovery->notes_count + 1, sizeof *recovery->sizes);
    recovery->ends = calloc(recovery->notes_count + 1, sizeof *recovery->ends);
    assert(recovery->sizes != NULL && recovery->ends != NULL);
    for (size_t i = 0; i < recovery->notes_count; i++) {
        const struct recover_note *note = &recovery->notes[i];
        enum status status = STATUS_OK;

        if (note->record.kind == JOURNAL_FILE)
            status = recover_add_file(recovery, note, &recovery->sizes[recovery->dir->files_count], err);
        else if (note->record.kind == JOURNAL_BAD)
            run_dir_add_bad(recovery->dir, note->record.stored_record);
        if (status != STATUS_OK)
            return status;
    }
    for (unsigned i = 0; i < recovery->dir->files_count; i++)
        recovery->dir->files[i]->written = i; /* until recover_end_files(): its place in ends */
    return STATUS_OK;
}

/* Is the same digest counted already? Then the record with the greater stamp stays. Only after a repair that was done twice. */
static enum status recover_replace(struct recovery *recovery, uint32_t tag,
                                   const struct journal_record *record, bool *skip, struct error *err)
{
    struct run_dir *dir = recovery->dir;
    uint32_t same[2];
    struct journal_record other;
    unsigned count = digest_table_find(&dir->table, tag, same, ARRAY_COUNT(same));

    *skip = false;
    for (unsigned i = 0; i < count; i++) {
        enum status status = journal_read_record(&dir->journal, same[i], true, &other, err);
        if (status != STATUS_OK)
            return status;
        if (digest_compare(&other.digest, &record->digest) != 0)
            continue;
        *skip = other.stored_at_us >= record->stored_at_us;
        if (!*skip)
            run_dir_remove_message(dir, run_dir_file_of(dir, other.shard, same[i]), &other.digest,
                                   tag, same[i], other.length);
    }
    return STATUS_OK;
}

/* Counts the messages that were gathered. */
static enum status recover_add_gathered(struct recovery *recovery, struct error *err)
{
    struct run_dir *dir = recovery->dir;
    enum status status = STATUS_OK;

    digest_table_warm(&dir->table, recovery->tags, recovery->gathered_count);
    for (unsigned i = 0; i < recovery->gathered_count && status == STATUS_OK; i++) {
        const struct recover_message *message = &recovery->gathered[i];
        uint32_t tag = recovery->tags[i];
        bool skip;

        status = recover_replace(recovery, tag, &message->record, &skip, err);
        if (status == STATUS_OK && !skip)
            run_dir_add_message(dir, message->file, &message->record.digest, tag,
                                (uint32_t)message->number, message->record.length);
    }
    recovery->gathered_count = 0;
    return status;
}

static enum status recover_gather(struct recovery *recovery, uint64_t number,
                                  const struct journal_record *record, struct store_file *file,
                                  struct error *err)
{
    unsigned at = recovery->gathered_count++;

    recovery->gathered[at] = (struct recover_message){ .number = number, .record = *record, .file = file };
    recovery->tags[at] = digest_table_tag(&recovery->dir->table, &record->digest);
    if (recovery->gathered_count < RECOVER_GATHER)
        return STATUS_OK;
    return recover_add_gathered(recovery, err);
}

static enum status recover_add_message(struct recovery *recovery, uint64_t number,
                                       const struct journal_record *record, bool holds, struct error *err)
{
    struct run_dir *dir = recovery->dir;

    if (!holds) /* it did a moment ago */
        return error_set(err, STATUS_IO, "record %ju can't be read twice", (uintmax_t)number);
    if (record->kind != JOURNAL_STORED)
        return STATUS_OK;
    store_stamp_seen(recovery->store, record->stored_at_us);
    struct store_file *file = run_dir_file_of(dir, record->shard, number);
    if (file == NULL || record->length == 0 || record->length > INT64_MAX ||
        record->offset > INT64_MAX - record->length)
        return error_set(err, STATUS_CORRUPT, "record %ju has no place", (uintmax_t)number);
    uint64_t begin = recovery->ends[file->written];
    uint64_t end = record->offset + record->length;
    if (end > begin)
        recovery->ends[file->written] = end;
    bool is_bad = run_dir_is_bad(dir, number);
    if (file->is_dropped)
        run_dir_remove_bad(dir, number); /* nobody misses it here */
    if (file->is_dropped && !file->in_grace)
        return STATUS_OK;
    /* Messages lie side by side: what no record names any more was one that a rebuild could make nothing of, and whoever has
     * its place from before gets no other bytes for it. */
    if (record->offset > begin)
        data_file_add_damage(file, begin, record->offset - begin);
    if (end > recovery->sizes[file->written] && !is_bad && !file->is_dropped)
        recover_add_found(recovery, number);
    is_bad |= run_dir_is_bad(dir, number);
    if (is_bad)
        data_file_add_damage(file, record->offset, record->length);
    if (is_bad || file->is_dropped)
        return STATUS_OK;
    if (record->stored_at_us == 0) /* adopted: it counts once another confirms it */
        return STATUS_OK;
    return recover_gather(recovery, number, record, file, err);
}

/* --- the data files --- */

static enum status recover_cut_file(const struct recovery *recovery, const char *name,
                                    uint64_t size, struct error *err)
{
    int fd;
    enum status status = disk_open(recovery->dir->fd, name, O_RDWR, &fd, err);

    if (status != STATUS_OK)
        return status;
    status = disk_truncate(fd, size, err);
    if (status == STATUS_OK)
        status = disk_flush(fd, err);
    disk_close(fd);
    return status;
}

/* Cut behind its last record; one that is left empty is void, and its name goes. */
static enum status recover_end_file(struct recovery *recovery, struct store_file *file,
                                    uint64_t end, uint64_t size, struct error *err)
{
    char name[DATA_FILE_NAME_SIZE];
    enum status status = STATUS_OK;

    data_file_name(file->shard, file->birth, name);
    if (end == 0) {
        file->is_void = true;
        file->in_grace = false;
        status = disk_unlink(recovery->dir->fd, name, err);
        return status == STATUS_NOT_FOUND ? STATUS_OK : status;
    }
    if (size > end)
        status = recover_cut_file(recovery, name, end, err);
    file->written = size < end ? size : end;
    atomic_store(&file->size, file->written);
    return status;
}

static enum status recover_end_files(struct recovery *recovery, struct error *err)
{
    struct run_dir *dir = recovery->dir;

    for (unsigned i = 0; i < dir->files_count; i++) {
        enum status status = recover_end_file(recovery, dir->files[i], recovery->ends[i],
                                              recovery->sizes[i], err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* A data file that no record names holds nothing that was acknowledged. */
static enum status recover_put_away(struct recovery *recovery, const char *name, struct error *err)
{
    char purged[DROP_PURGED_NAME_SIZE];

    drop_purged_name(recovery->run, name, purged);
    log_msg(LOG_INFO, "store.no-record", "data file %s has no record", purged);
    return disk_rename(recovery->dir->fd, name, recovery->store->purged_fd, purged, err);
}

static enum status recover_sweep_names(struct recovery *recovery, struct error *err)
{
    struct run_dir *dir = recovery->dir;
    char **names;
    size_t count;
    unsigned shard;
    uint64_t birth;
    enum status status = disk_list(dir->fd, ".", &names, &count, err);

    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        if (strcmp(names[i], JOURNAL_NEW_NAME) == 0)
            status = disk_unlink(dir->fd, names[i], err);
        else if (data_file_parse_name(names[i], &shard, &birth) &&
                 run_dir_file_by_birth(dir, shard, birth) == NULL)
            status = recover_put_away(recovery, names[i], err);
    }
    disk_names_free(names, count);
    return status;
}

/* --- flush --- */

static enum status recover_flush_file(struct recovery *recovery, const struct store_file *file,
                                      struct error *err)
{
    char name[DATA_FILE_NAME_SIZE];
    int fd;

    data_file_name(file->shard, file->birth, name);
    enum status status = disk_open(recovery->dir->fd, name, O_RDONLY, &fd, err);
    if (status != STATUS_OK)
        return status;
    status = disk_flush(fd, err);
    disk_close(fd);
    return status;
}

/* Writes bytes of an open file once more, as they are. What can't be read is left. */
static enum status recover_write_again(int fd, uint64_t offset, uint64_t length, struct error *err)
{
    uint8_t *bytes = malloc(RECOVER_HASH_SIZE);
    enum status status = STATUS_OK;

    assert(bytes != NULL);
    for (uint64_t done = 0; done < length && status == STATUS_OK;) {
        uint64_t left = length - done;
        size_t size = left < RECOVER_HASH_SIZE ? (size_t)left : RECOVER_HASH_SIZE;

        if (disk_read(fd, offset + done, bytes, size, true, err) == STATUS_OK)
            status = disk_write(fd, offset + done, bytes, size, err);
        done += size;
    }
    free(bytes);
    return status;
}

static enum status recover_write_message_again(struct recovery *recovery, const struct store_file *file,
                                               const struct journal_record *record, struct error *err)
{
    char name[DATA_FILE_NAME_SIZE];
    int fd;

    data_file_name(file->shard, file->birth, name);
    enum status status = disk_open(recovery->dir->fd, name, O_RDWR, &fd, err);
    if (status != STATUS_OK)
        return status;
    status = recover_write_again(fd, record->offset, record->length, err);
    disk_close(fd);
    return status;
}

/* A message of the last batch: its bytes are written again, and its file is to be flushed. */
static enum status recover_keep_tail(struct recovery *recovery, uint64_t number,
                                     const struct journal_record *record, bool holds, struct error *err)
{
    struct run_dir *dir = recovery->dir;
    enum status status = STATUS_OK;

    (void)holds;
    if (record->kind != JOURNAL_STORED)
        return STATUS_OK;
    struct store_file *file = run_dir_file_of(dir, record->shard, number);
    for (unsigned i = 0; i < dir->files_count; i++)
        if (dir->files[i] == file)
            recovery->ends[i] = UINT64_MAX; /* its old meaning is done with: to be flushed */
    if (!file->is_void && !run_dir_is_bad(dir, number))
        status = recover_write_message_again(recovery, file, record, err);
    return status;
}

/* What is kept of the last batch is written again before it is flushed: had its flush failed, the page cache still shows it,
 * but counts it as written, so that another flush alone would succeed and do nothing. */
/* A piece of *bad* records for what was found; they are one batch. */
static enum status recover_tell(struct recovery *recovery, size_t from, size_t count, struct error *err)
{
    struct journal *journal = &recovery->dir->journal;
    enum status status = STATUS_OK;

    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        uint64_t number = recovery->found[from + i];
        struct journal_record record;

        status = journal_read_record(journal, number, true, &record, err);
        if (status == STATUS_OK)
            damage_encode(&record, number, journal->header.journal_id, journal->written + i,
                          from + i == 0, recovery->chunk + i * JOURNAL_RECORD_SIZE);
    }
    if (status == STATUS_OK)
        status = journal_write(journal, recovery->chunk, count, err);
    if (status == STATUS_OK)
        journal_wrote(journal, count);
    return status;
}

/* The journal says what is bad, so that indexers hear of it. Without room it is bad all the same, and found again. */
static enum status recover_tell_found(struct recovery *recovery, struct error *err)
{
    struct journal *journal = &recovery->dir->journal;
    uint64_t before = journal->written;
    enum status status = STATUS_OK;

    if (before + recovery->found_count > JOURNAL_RECORDS_MAX)
        return STATUS_OK;
    for (size_t done = 0; done < recovery->found_count && status == STATUS_OK;) {
        size_t left = recovery->found_count - done;
        size_t count = left < recovery->chunk_count ? left : (size_t)recovery->chunk_count;

        status = recover_tell(recovery, done, count, err);
        done += count;
    }
    if (status == STATUS_OK && recovery->found_count > 0)
        status = disk_flush(journal->fd, err);
    if (status != STATUS_FULL)
        return status;
    journal->written = before;
    return journal_cut(journal, err);
}

static enum status recover_flush(struct recovery *recovery, struct error *err)
{
    struct run_dir *dir = recovery->dir;
    uint64_t records = recovery->end - recovery->last_batch;
    enum status status = recover_walk(recovery, recovery->last_batch, recovery->end,
                                      recover_keep_tail, err);

    for (unsigned i = 0; i < dir->files_count && status == STATUS_OK; i++)
        if (recovery->ends[i] == UINT64_MAX && !dir->files[i]->is_void)
            status = recover_flush_file(recovery, dir->files[i], err);
    if (status == STATUS_OK)
        status = recover_write_again(dir->journal.fd, journal_offset(recovery->last_batch),
                                     records * JOURNAL_RECORD_SIZE, err);
    if (status == STATUS_OK && !recovery->is_closed)
        status = disk_flush(dir->journal.fd, err);
    if (status == STATUS_OK && !recovery->is_closed)
        status = disk_flush_dir(dir->fd, err);
    if (status == STATUS_OK)
        status = recover_tell_found(recovery, err);
    return status;
}

static enum status recover_steps(struct recovery *recovery, struct error *err)
{
    struct journal *journal = &recovery->dir->journal;
    enum status status = disk_size(journal->fd, &recovery->size, err);

    if (status != STATUS_OK)
        return status;
    uint64_t count = (recovery->size - JOURNAL_HEADER_SIZE) / JOURNAL_RECORD_SIZE;
    if (count > JOURNAL_RECORDS_MAX)
        return error_set(err, STATUS_CORRUPT, "it is too long");
    recovery->chunk_count = count < RECOVER_CHUNK ? count : RECOVER_CHUNK;
    recovery->chunk = malloc(recovery->chunk_count * JOURNAL_RECORD_SIZE + 1);
    assert(recovery->chunk != NULL);
    recovery->is_closed = recovery->size == journal_offset(count) &&
                          closed_has(recovery->closed, journal->header.journal_id, count);
    status = recover_walk(recovery, 0, count, recover_look, err);
    if (status == STATUS_OK && recovery->is_closed)
        status = recover_skip_tail(recovery, count, err);
    else if (status == STATUS_OK)
        status = recover_prove_tail(recovery, err);
    if (status == STATUS_OK)
        status = recover_cut_journal(recovery, err);
    if (status == STATUS_OK)
        status = recover_add_notes(recovery, err);
    if (status == STATUS_OK)
        status = recover_walk(recovery, 0, recovery->end, recover_add_message, err);
    if (status == STATUS_OK)
        status = recover_add_gathered(recovery, err);
    if (status == STATUS_OK)
        status = recover_end_files(recovery, err);
    if (status == STATUS_OK)
        status = recover_sweep_names(recovery, err);
    if (status == STATUS_OK)
        status = recover_flush(recovery, err);
    return status;
}

enum status recover_run(struct store *store, const struct closed *closed, const struct run_key *run,
                        struct run_dir *dir, struct error *err)
{
    struct recovery recovery = { .store = store, .closed = closed, .run = run, .dir = dir };

    enum status status = recover_steps(&recovery, err);
    if (recovery.hash != NULL)
        digest_stream_free(recovery.hash);
    free(recovery.chunk);
    free(recovery.notes);
    free(recovery.ends);
    free(recovery.sizes);
    free(recovery.found);
    if (status != STATUS_OK)
        return error_wrap(err, "journal");
    journal_show(&dir->journal);
    return STATUS_OK;
}
