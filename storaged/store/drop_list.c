/* drop_list.c: what is asked of files that are to be given up, or were: their digests, their state. */
#include "storaged/store/drop.h"

#include "storaged/store/store_state.h"

#include <assert.h>
#include <stdlib.h>

/* --- the digests of files --- */

/* A listing under way: which of the files a record's message lies in. */
struct drop_listing {
    struct run *run;
    struct run_dir *dir;                      /* held */
    struct store_file *files[DROP_FILES_MAX]; /* as the drop names them; borrowed from dir */
    unsigned count;
};

/* NOT_FOUND: one of the files is not here, or counts for nothing. *first: the first record that may be theirs; *behind: behind the
 * records by which they began. */
static enum status listing_find(struct drop_listing *listing, const struct store_drop *drop,
                                uint64_t *first, uint64_t *behind, struct error *err)
{
    enum status status = STATUS_OK;

    *first = UINT64_MAX;
    *behind = 0;
    uv_rwlock_rdlock(&listing->run->lock);
    for (unsigned i = 0; i < drop->count && status == STATUS_OK; i++) {
        struct store_file *file = run_dir_file_by_birth(listing->dir, drop->files[i].shard,
                                                        drop->files[i].birth);

        if (file == NULL || file->is_void)
            status = error_set(err, STATUS_NOT_FOUND, "no such data file");
        if (status == STATUS_OK && file->record < *first)
            *first = file->record;
        if (status == STATUS_OK && file->record >= *behind)
            *behind = (uint64_t)file->record + 1;
        listing->files[listing->count++] = file;
    }
    uv_rwlock_rdunlock(&listing->run->lock);
    return status;
}

/* The place among the listing's files of each record of a piece; -1: none of theirs. */
static enum status listing_place(struct drop_listing *listing, uint64_t from, const uint8_t *bytes,
                                 unsigned count, struct journal_record *records, int *places,
                                 struct error *err)
{
    enum status status = STATUS_OK;

    uv_rwlock_rdlock(&listing->run->lock);
    for (unsigned i = 0; i < count && status == STATUS_OK; i++) {
        status = journal_record_decode(bytes + (size_t)i * JOURNAL_RECORD_SIZE,
                                       listing->dir->journal.header.journal_id, from + i,
                                       &records[i], err);
        places[i] = -1;
        if (status != STATUS_OK || records[i].kind != JOURNAL_STORED)
            continue;
        const struct store_file *file = run_dir_file_of(listing->dir, records[i].shard, from + i);
        for (unsigned at = 0; at < listing->count; at++)
            if (listing->files[at] == file)
                places[i] = (int)at;
    }
    uv_rwlock_rdunlock(&listing->run->lock);
    return status;
}

static enum status listing_walk(struct drop_listing *listing, uint64_t from, uint64_t end,
                                void (*each)(void *user, unsigned file, const struct digest *digest),
                                void *user, uint64_t *behind, struct error *err)
{
    enum { CHUNK = 512 };
    struct journal_record records[CHUNK];
    uint8_t bytes[CHUNK * JOURNAL_RECORD_SIZE];
    int places[CHUNK];
    enum status status = STATUS_OK;

    for (; from < end && status == STATUS_OK; from += CHUNK) {
        unsigned count = end - from < CHUNK ? (unsigned)(end - from) : CHUNK;

        status = journal_read(&listing->dir->journal, from, count, true, bytes, err);
        if (status == STATUS_OK)
            status = listing_place(listing, from, bytes, count, records, places, err);
        for (unsigned i = 0; i < count && status == STATUS_OK; i++)
            if (places[i] >= 0) {
                each(user, (unsigned)places[i], &records[i].digest);
                *behind = from + i + 1;
            }
    }
    return status;
}

enum status store_drop_digests(struct store *store, const struct store_drop *drop,
                               void (*each)(void *user, unsigned file, const struct digest *digest),
                               void *user, uint64_t *behind, struct error *err)
{
    struct run *run = run_table_find(&store->runs, &drop->run);
    struct drop_listing listing = { .run = run };
    uint64_t first;

    assert(drop->count > 0 && drop->count <= DROP_FILES_MAX);
    listing.dir = run != NULL ? run_take_dir(run) : NULL;
    if (listing.dir == NULL)
        return error_set(err, STATUS_NOT_FOUND, "no such run here");
    enum status status = STATUS_OK;
    if (listing.dir->journal.header.journal_id != drop->journal_id ||
        journal_flushed(&listing.dir->journal) < drop->records)
        status = error_set(err, STATUS_JOURNAL_CHANGED, "the journal is another");
    if (status == STATUS_OK)
        status = listing_find(&listing, drop, &first, behind, err);
    if (status == STATUS_OK)
        status = listing_walk(&listing, first, drop->records, each, user, behind, err);
    run_dir_unref(listing.dir);
    return status;
}

/* --- states --- */

enum store_file_state store_file_state(struct store *store, const struct run_key *key,
                                       unsigned shard, uint64_t birth)
{
    struct run *run = run_table_find(&store->runs, key);
    enum store_file_state state = STORE_FILE_UNKNOWN;

    if (run == NULL)
        return state;
    uv_rwlock_rdlock(&run->lock);
    const struct store_file *file = run->dir != NULL ? run_dir_file_by_birth(run->dir, shard, birth)
                                                     : NULL;
    if (file != NULL && !file->is_void)
        state = STORE_FILE_COUNTS;
    else if (file != NULL)
        state = file->in_grace ? STORE_FILE_DROPPED : STORE_FILE_GONE;
    uv_rwlock_rdunlock(&run->lock);
    return state;
}

struct dropped_list {
    struct store_dropped *files; /* owned */
    size_t count, capacity;
};

static void dropped_add(struct dropped_list *list, const struct run *run, const struct store_file *file)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 64 : 2 * list->capacity;
        list->files = realloc(list->files, list->capacity * sizeof *list->files);
        assert(list->files != NULL);
    }
    list->files[list->count++] = (struct store_dropped){
        .run = run->key,
        .incarnation = run->dir->journal.header.incarnation,
        .journal_id = run->dir->journal.header.journal_id,
        .records = journal_flushed(&run->dir->journal),
        .shard = file->shard,
        .birth = file->birth,
        .size = store_file_size(file),
    };
}

void store_list_dropped(struct store *store, struct store_dropped **files, size_t *count)
{
    struct dropped_list list = { 0 };
    size_t runs_count;
    struct run **runs = run_table_list(&store->runs, false, &runs_count);

    for (size_t i = 0; i < runs_count; i++) {
        uv_rwlock_rdlock(&runs[i]->lock);
        const struct run_dir *dir = runs[i]->dir;
        for (unsigned n = 0; dir != NULL && n < dir->files_count; n++)
            if (dir->files[n]->in_grace)
                dropped_add(&list, runs[i], dir->files[n]);
        uv_rwlock_rdunlock(&runs[i]->lock);
    }
    free(runs);
    *files = list.files;
    *count = list.count;
}
