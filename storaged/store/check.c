/* check.c: the records of a run, then what they name. */
#include "storaged/store/check.h"

#include "proto/journal_record.h"
#include "storaged/store/data_file.h"
#include "storaged/store/disk.h"
#include "storaged/store/journal.h"
#include "storaged/store/medium.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

enum { CHECK_THREADS_MAX = 16, CHECK_CHUNK = 16384 };

const char *const check_names[CHECK_KINDS] = {
    [CHECK_DAMAGED] = "damaged", [CHECK_JOURNAL] = "journal", [CHECK_MISSING] = "missing",
    [CHECK_HEADER] = "header",   [CHECK_STRAY] = "stray",     [CHECK_TAIL] = "tail",
    [CHECK_BAD] = "bad",         [CHECK_DROPPED] = "dropped",
};

/* A data file, as its *file* record has it. */
struct check_file {
    char name[DATA_FILE_NAME_SIZE];
    uint64_t birth;
    unsigned shard;
    uint64_t record; /* of its *file* record */
    bool is_dropped, is_there;
    uint64_t size;      /* on disk */
    uint64_t end;       /* of its last message */
    uint32_t *messages; /* owned: numbers of *stored* records, ascending */
    size_t count, capacity;
};

/* A message that the journal says is bad. */
struct check_bad {
    struct digest digest;
    uint64_t stored; /* number of its *stored* record */
    unsigned shard;
    bool is_replaced; /* a good record of its digest follows */
};

/* A run that is looked at. */
struct check_dir {
    struct check *check;
    const struct run_key *run;
    int fd; /* owned */
    uint64_t journal_id;
    uint64_t size, count; /* of the journal */
    uint64_t end;         /* records that hold, up to the first that does not and may be torn */
    uint64_t last_batch;
    bool is_closed;
    struct check_file **files; /* owned */
    size_t files_count;
    struct check_file **newest; /* owned: by shard, 65,536; NULL: none yet */
    struct check_bad *bads;     /* owned; by digest after the first pass */
    size_t bads_count, bads_capacity;
    uint64_t *broken; /* owned: records that do not hold, from `end` on: torn, or damage when a batch follows */
    size_t broken_count;
    bool has_broken;     /* some are damage: what lies where in the data files is not all known */
    _Atomic size_t next; /* file to be read */
    _Atomic int status;
    uv_mutex_t mutex;
    struct error err; /* of the first thread that could not go on */
};

/* --- telling --- */

void check_init(struct check *check)
{
    uv_mutex_init(&check->mutex);
}

void check_fini(struct check *check)
{
    uv_mutex_destroy(&check->mutex);
}

void check_tell(struct check *check, const struct check_finding *finding)
{
    atomic_fetch_add(&check->found[finding->kind], 1);
    uv_mutex_lock(&check->mutex);
    check->on_finding(check->user, finding);
    uv_mutex_unlock(&check->mutex);
}

static void check_tell_file(struct check_dir *dir, enum check_kind kind, const char *file,
                            const char *detail)
{
    check_tell(dir->check, &(struct check_finding){
                               .kind = kind, .run = dir->run, .file = file, .detail = detail });
}

static void check_tell_record(struct check_dir *dir, enum check_kind kind, uint64_t record,
                              const char *detail)
{
    check_tell(dir->check, &(struct check_finding){ .kind = kind,
                                                    .run = dir->run,
                                                    .file = JOURNAL_NAME,
                                                    .has_record = true,
                                                    .record = record,
                                                    .detail = detail });
}

static void check_tell_message(struct check_dir *dir, enum check_kind kind, const char *file,
                               uint64_t number, const struct journal_record *record, const char *detail)
{
    check_tell(dir->check, &(struct check_finding){ .kind = kind,
                                                    .run = dir->run,
                                                    .file = file,
                                                    .has_record = true,
                                                    .has_message = true,
                                                    .record = number,
                                                    .digest = record->digest,
                                                    .offset = record->offset,
                                                    .length = record->length,
                                                    .detail = detail });
}

static bool check_is_damage(enum status status)
{
    return status == STATUS_IO || status == STATUS_CORRUPT || status == STATUS_NOT_FOUND ||
           status == STATUS_UNSUPPORTED;
}

/* --- the journal --- */

typedef void check_each(struct check_dir *dir, uint64_t number, const struct journal_record *record,
                        bool holds);

/* Records [0, count) in order. What can't be read does not hold. */
static enum status check_walk(struct check_dir *dir, struct medium *journal, uint64_t count,
                              check_each *each, struct error *err)
{
    uint8_t *bytes = malloc((size_t)CHECK_CHUNK * JOURNAL_RECORD_SIZE);
    enum status status = STATUS_OK;

    assert(bytes != NULL);
    for (uint64_t from = 0; from < count && (status == STATUS_OK || check_is_damage(status));
         from += CHECK_CHUNK) {
        uint64_t some = count - from < CHECK_CHUNK ? count - from : CHECK_CHUNK;

        status = medium_read(journal, journal_offset(from), bytes,
                             (size_t)some * JOURNAL_RECORD_SIZE, err);
        for (uint64_t i = 0; i < some; i++) {
            uint8_t *at = bytes + i * JOURNAL_RECORD_SIZE;
            struct journal_record record;
            bool holds = true;

            if (status != STATUS_OK) /* some of them may be had */
                holds = medium_read(journal, journal_offset(from + i), at, JOURNAL_RECORD_SIZE,
                                    NULL) == STATUS_OK;
            holds = holds &&
                    journal_record_decode(at, dir->journal_id, from + i, &record, NULL) == STATUS_OK;
            each(dir, from + i, &record, holds);
        }
    }
    free(bytes);
    return check_is_damage(status) ? STATUS_OK : status;
}

static struct check_file *check_find_file(const struct check_dir *dir, unsigned shard, uint64_t birth)
{
    for (size_t i = 0; i < dir->files_count; i++)
        if (dir->files[i]->birth == birth && dir->files[i]->shard == shard)
            return dir->files[i];
    return NULL;
}

static void check_add_file(struct check_dir *dir, uint64_t number, const struct journal_record *record)
{
    if (check_find_file(dir, record->shard, record->birth) != NULL) {
        check_tell_record(dir, CHECK_JOURNAL, number, "names a data file a second time");
        return;
    }
    struct check_file *file = calloc(1, sizeof *file);
    dir->files = realloc(dir->files, (dir->files_count + 1) * sizeof *dir->files);
    assert(file != NULL && dir->files != NULL);
    file->shard = record->shard;
    file->birth = record->birth;
    file->record = number;
    data_file_name(file->shard, file->birth, file->name);
    dir->files[dir->files_count++] = file;
    dir->newest[record->shard] = file;
}

static void check_add_stored(struct check_dir *dir, uint64_t number, const struct journal_record *record)
{
    struct check_file *file = dir->newest[record->shard];
    unsigned shards = dir->check->shards;

    if (file == NULL || record->length == 0 || record->length > INT64_MAX ||
        record->offset > INT64_MAX - record->length || record->offset < file->end ||
        (shards != 0 && digest_shard(&record->digest, shards) != record->shard)) {
        check_tell_record(dir, CHECK_JOURNAL, number,
                          file == NULL ? "no *file* record of its shard stands before it"
                                       : "it lies where it can't");
        return;
    }
    if (file->count == file->capacity) {
        file->capacity = file->capacity == 0 ? 256 : 2 * file->capacity;
        file->messages = realloc(file->messages, file->capacity * sizeof *file->messages);
        assert(file->messages != NULL);
    }
    file->messages[file->count++] = (uint32_t)number;
    file->end = record->offset + record->length;
}

static void check_add_bad(struct check_dir *dir, const struct journal_record *record)
{
    if (dir->bads_count == dir->bads_capacity) {
        dir->bads_capacity = dir->bads_capacity == 0 ? 64 : 2 * dir->bads_capacity;
        dir->bads = realloc(dir->bads, dir->bads_capacity * sizeof *dir->bads);
        assert(dir->bads != NULL);
    }
    dir->bads[dir->bads_count++] = (struct check_bad){ .digest = record->digest,
                                                       .stored = record->stored_record,
                                                       .shard = record->shard };
}

static void check_add_dropped(struct check_dir *dir, uint64_t number, const struct journal_record *record)
{
    struct check_file *file = check_find_file(dir, record->shard, record->birth);

    if (file == NULL)
        check_tell_record(dir, CHECK_JOURNAL, number, "drops a data file that no record named");
    else
        file->is_dropped = true;
}

/* Those that seemed torn are damage: a batch was written behind them, and that after a flush. */
static void check_tell_broken(struct check_dir *dir)
{
    for (size_t i = 0; i < dir->broken_count; i++)
        check_tell_record(dir, CHECK_JOURNAL, dir->broken[i], "it does not hold");
    dir->has_broken |= dir->broken_count > 0;
    dir->broken_count = 0;
}

static void check_add_broken(struct check_dir *dir, uint64_t number)
{
    uint64_t *broken = realloc(dir->broken, (dir->broken_count + 1) * sizeof *broken);

    assert(broken != NULL);
    broken[dir->broken_count++] = number;
    dir->broken = broken;
}

/* First pass: what holds, and what it names. */
static void check_first(struct check_dir *dir, uint64_t number, const struct journal_record *record,
                        bool holds)
{
    if (!holds) {
        check_add_broken(dir, number);
        return;
    }
    if (record->batch_first) {
        check_tell_broken(dir);
        dir->last_batch = number;
    }
    if (dir->broken_count > 0) { /* behind a torn one it is torn, too, unless a batch follows */
        check_add_broken(dir, number);
        return;
    }
    dir->end = number + 1;
    switch (record->kind) {
    case JOURNAL_FILE:
        check_add_file(dir, number, record);
        break;
    case JOURNAL_STORED:
        check_add_stored(dir, number, record);
        break;
    case JOURNAL_BAD:
        check_add_bad(dir, record);
        break;
    case JOURNAL_DROPPED:
        check_add_dropped(dir, number, record);
        break;
    }
}

static int check_bad_order(const void *a, const void *b)
{
    const struct check_bad *left = a, *right = b;
    int order = digest_compare(&left->digest, &right->digest);

    if (order != 0)
        return order;
    return left->stored < right->stored ? -1 : left->stored > right->stored;
}

/* The first of the digest's; NULL: none. */
static struct check_bad *check_find_bad(const struct check_dir *dir, const struct digest *digest)
{
    size_t low = 0, high = dir->bads_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (digest_compare(&dir->bads[middle].digest, digest) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < dir->bads_count && digest_compare(&dir->bads[low].digest, digest) == 0
               ? &dir->bads[low]
               : NULL;
}

/* Does the message of a *stored* record lie in a file that was dropped? It counts for nothing then, good or bad. */
static bool check_is_dropped(const struct check_dir *dir, unsigned shard, uint64_t number)
{
    const struct check_file *file = NULL;

    for (size_t i = 0; i < dir->files_count; i++)
        if (dir->files[i]->shard == shard && dir->files[i]->record < number)
            file = dir->files[i];
    return file != NULL && file->is_dropped;
}

static bool check_is_bad(const struct check_dir *dir, const struct digest *digest, uint64_t number)
{
    const struct check_bad *bad = check_find_bad(dir, digest);

    for (; bad != NULL && bad < dir->bads + dir->bads_count && digest_compare(&bad->digest, digest) == 0;
         bad++)
        if (bad->stored == number)
            return true;
    return false;
}

/* Second pass, where there are bad ones: a good record of the same digest has taken their place. */
static void check_second(struct check_dir *dir, uint64_t number,
                         const struct journal_record *record, bool holds)
{
    if (!holds || number >= dir->end || record->kind != JOURNAL_STORED ||
        check_is_bad(dir, &record->digest, number))
        return;
    struct check_bad *bad = check_find_bad(dir, &record->digest);
    if (bad == NULL || check_is_dropped(dir, record->shard, number))
        return;
    for (; bad != NULL && bad < dir->bads + dir->bads_count &&
           digest_compare(&bad->digest, &record->digest) == 0;
         bad++)
        bad->is_replaced = true;
}

static void check_tell_bads(struct check_dir *dir)
{
    for (size_t i = 0; i < dir->bads_count; i++) {
        const struct check_bad *bad = &dir->bads[i];
        struct journal_record record = { .digest = bad->digest };

        if (!bad->is_replaced && !check_is_dropped(dir, bad->shard, bad->stored))
            check_tell_message(dir, CHECK_BAD, NULL, bad->stored, &record,
                               "known to be bad; no good copy here");
    }
}

/* What seemed torn at the end, is it? */
static void check_tell_torn(struct check_dir *dir)
{
    char detail[96];
    uint64_t rest = dir->size - journal_offset(dir->count);

    if (dir->is_closed) {
        check_tell_broken(dir); /* the store was closed in order: all was flushed */
        return;
    }
    if (dir->broken_count == 0 && rest == 0)
        return;
    snprintf(detail, sizeof detail, "%zu records and %ju bytes behind the last that holds",
             dir->broken_count, (uintmax_t)rest);
    check_tell_file(dir, CHECK_TAIL, JOURNAL_NAME, detail);
}

/* CORRUPT and the like: a finding, and nothing below it can be told apart from anything. */
static enum status check_open_journal(struct check_dir *dir, struct medium *journal, struct error *err)
{
    uint8_t bytes[JOURNAL_HEADER_SIZE];
    struct journal_header header;

    enum status status = medium_open(journal, dir->fd, JOURNAL_NAME, err);
    if (status == STATUS_OK)
        status = disk_size(journal->fd, &dir->size, err);
    if (status == STATUS_OK)
        status = medium_read(journal, 0, bytes, sizeof bytes, err);
    if (status == STATUS_OK)
        status = journal_header_decode(bytes, &header, err);
    if (status != STATUS_OK)
        return status;
    dir->journal_id = header.journal_id;
    dir->count = (dir->size - JOURNAL_HEADER_SIZE) / JOURNAL_RECORD_SIZE;
    if (dir->count > JOURNAL_RECORDS_MAX)
        return error_set(err, STATUS_CORRUPT, "the journal is too long");
    dir->is_closed = dir->size == journal_offset(dir->count) &&
                     closed_has(dir->check->closed, dir->journal_id, dir->count);
    return STATUS_OK;
}

static enum status check_journal(struct check_dir *dir, struct medium *journal, struct error *err)
{
    enum status status = check_open_journal(dir, journal, err);

    if (check_is_damage(status)) {
        bool is_gone = status == STATUS_NOT_FOUND;
        check_tell_file(dir, is_gone ? CHECK_MISSING : CHECK_HEADER, JOURNAL_NAME, err->text);
    }
    if (status != STATUS_OK)
        return status;
    status = check_walk(dir, journal, dir->count, check_first, err);
    check_tell_torn(dir);
    if (status != STATUS_OK || dir->bads_count == 0)
        return status;
    qsort(dir->bads, dir->bads_count, sizeof *dir->bads, check_bad_order);
    status = check_walk(dir, journal, dir->end, check_second, err);
    check_tell_bads(dir);
    return status;
}

/* --- names --- */

static void check_name(struct check_dir *dir, const char *name)
{
    unsigned shard;
    uint64_t birth;
    int64_t modified;
    struct check_file *file = NULL;

    if (strcmp(name, JOURNAL_NAME) == 0)
        return;
    if (data_file_parse_name(name, &shard, &birth))
        file = check_find_file(dir, shard, birth);
    if (file == NULL) {
        check_tell_file(dir, CHECK_STRAY, name, "no record names it");
        return;
    }
    if (file->is_dropped) {
        check_tell_file(dir, CHECK_DROPPED, name, "given up; served until it is unlinked");
        return;
    }
    file->is_there = disk_stat_at(dir->fd, name, &file->size, &modified, NULL) == STATUS_OK;
}

static enum status check_list(struct check_dir *dir, struct error *err)
{
    char **names;
    size_t count;
    enum status status = disk_list(dir->fd, ".", &names, &count, err);

    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < count; i++)
        check_name(dir, names[i]);
    disk_names_free(names, count);
    return STATUS_OK;
}

/* --- data files --- */

/* Of a thread. */
struct check_reader {
    struct check_dir *dir;
    struct medium journal, data;
};

/* Why the message does not hold; *status OK: it does. */
static enum status check_message(struct check_reader *reader, const struct check_file *file,
                                 const struct journal_record *record, struct error *err)
{
    struct digest digest;
    enum status status = STATUS_OK;

    if (!file->is_there)
        return error_set(err, STATUS_NOT_FOUND, "its data file is missing");
    if (reader->data.fd < 0)
        status = medium_open(&reader->data, reader->dir->fd, file->name, err);
    if (status == STATUS_OK)
        status = medium_digest(&reader->data, record->offset, record->length, &digest, err);
    if (status == STATUS_OK && digest_compare(&digest, &record->digest) != 0)
        status = error_set(err, STATUS_CORRUPT, "its bytes have another digest");
    return status;
}

/* A message of the last batch that is not there, or is other, may never have been acknowledged. */
static bool check_may_be_torn(const struct check_dir *dir, uint64_t number, enum status status)
{
    return !dir->is_closed && number >= dir->last_batch && status != STATUS_IO;
}

static enum status check_record(struct check_reader *reader, const struct check_file *file,
                                uint64_t number, struct error *err)
{
    struct check_dir *dir = reader->dir;
    uint8_t bytes[JOURNAL_RECORD_SIZE];
    struct journal_record record;

    enum status status = medium_read(&reader->journal, journal_offset(number), bytes, sizeof bytes, err);
    if (status == STATUS_OK)
        status = journal_record_decode(bytes, dir->journal_id, number, &record, err);
    if (check_is_damage(status)) {
        check_tell_record(dir, CHECK_JOURNAL, number, "it held a moment ago");
        return STATUS_OK;
    }
    if (status != STATUS_OK || check_is_bad(dir, &record.digest, number))
        return status;
    status = check_message(reader, file, &record, err);
    if (check_is_damage(status) && file->is_there) { /* once more, by another descriptor */
        medium_close(&reader->data);
        status = check_message(reader, file, &record, err);
    }
    atomic_fetch_add(&dir->check->messages, 1);
    atomic_fetch_add(&dir->check->bytes, record.length);
    if (!check_is_damage(status))
        return status;
    if (check_may_be_torn(dir, number, status))
        check_tell_message(dir, CHECK_TAIL, file->name, number, &record,
                           "of the last batch, which a crash may have torn");
    else
        check_tell_message(dir, CHECK_DAMAGED, file->name, number, &record, err->text);
    return STATUS_OK;
}

static void check_tell_sizes(struct check_dir *dir, const struct check_file *file)
{
    char detail[64];

    if (file->is_there && file->size > file->end && !dir->has_broken) {
        snprintf(detail, sizeof detail, "%ju bytes behind its last message",
                 (uintmax_t)(file->size - file->end));
        check_tell_file(dir, CHECK_TAIL, file->name, detail);
    }
    /* One without a message is not made before its first: a crash may have kept only its record. */
    if (!file->is_there && file->count > 0 && (dir->is_closed || file->messages[0] < dir->last_batch))
        check_tell_file(dir, CHECK_MISSING, file->name, "records name it");
}

static enum status check_file_run(struct check_reader *reader, const struct check_file *file,
                                  struct error *err)
{
    enum status status = STATUS_OK;

    medium_close(&reader->data);
    if (file->is_dropped)
        return STATUS_OK;
    check_tell_sizes(reader->dir, file);
    for (size_t i = 0; i < file->count && status == STATUS_OK; i++)
        status = check_record(reader, file, file->messages[i], err);
    atomic_fetch_add(&reader->dir->check->files, file->is_there);
    return status;
}

static void check_work(void *data)
{
    struct check_dir *dir = data;
    struct check_reader reader = { .dir = dir };
    struct error err = { 0 };
    size_t at;

    medium_init(&reader.journal);
    medium_init(&reader.data);
    enum status status = medium_open(&reader.journal, dir->fd, JOURNAL_NAME, &err);
    while (status == STATUS_OK && (at = atomic_fetch_add(&dir->next, 1)) < dir->files_count)
        status = check_file_run(&reader, dir->files[at], &err);
    medium_fini(&reader.journal);
    medium_fini(&reader.data);
    if (status == STATUS_OK)
        return;
    atomic_store(&dir->next, dir->files_count);
    uv_mutex_lock(&dir->mutex);
    if (atomic_load(&dir->status) == STATUS_OK)
        dir->err = err;
    atomic_store(&dir->status, (int)status);
    uv_mutex_unlock(&dir->mutex);
}

static enum status check_files(struct check_dir *dir, struct error *err)
{
    uv_thread_t threads[CHECK_THREADS_MAX];
    unsigned wanted = dir->check->threads < CHECK_THREADS_MAX ? dir->check->threads : CHECK_THREADS_MAX;
    unsigned count = 0;

    while (count + 1 < wanted && count + 1 < dir->files_count &&
           uv_thread_create(&threads[count], check_work, dir) == 0)
        count++;
    check_work(dir);
    for (unsigned i = 0; i < count; i++)
        uv_thread_join(&threads[i]);
    enum status status = (enum status)atomic_load(&dir->status);
    if (status != STATUS_OK)
        *err = dir->err;
    return status;
}

/* --- the run --- */

static void check_dir_fini(struct check_dir *dir)
{
    for (size_t i = 0; i < dir->files_count; i++) {
        free(dir->files[i]->messages);
        free(dir->files[i]);
    }
    free(dir->files);
    free(dir->newest);
    free(dir->bads);
    free(dir->broken);
    disk_close(dir->fd);
    uv_mutex_destroy(&dir->mutex);
}

enum status check_run(struct check *check, int source_fd, const char *name,
                      const struct run_key *run, struct error *err)
{
    struct check_dir dir = { .check = check, .run = run, .fd = -1 };
    struct medium journal;

    uv_mutex_init(&dir.mutex);
    dir.newest = calloc(UINT16_MAX + 1, sizeof *dir.newest);
    assert(dir.newest != NULL);
    medium_init(&journal);
    enum status status = disk_open(source_fd, name, O_RDONLY | O_DIRECTORY, &dir.fd, err);
    if (status == STATUS_OK) {
        status = check_journal(&dir, &journal, err);
        medium_close(&journal);
        if (status == STATUS_OK)
            status = check_list(&dir, err);
        if (status == STATUS_OK)
            status = check_files(&dir, err);
        if (check_is_damage(status)) /* of the journal: it was told */
            status = STATUS_OK;
    }
    medium_fini(&journal);
    check_dir_fini(&dir);
    atomic_fetch_add(&check->runs, 1);
    return status;
}
