/* batch.c: what a group commit plans, shows and answers. */
#include "storaged/store/batch_parts.h"

#include "proto/base/clock.h"
#include "storaged/store/run_change.h"
#include "storaged/store/store_metrics.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

enum { BATCH_NONE = 0 };

static void *batch_alloc(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    assert(memory != NULL);
    return memory;
}

struct batch *batch_new(struct store *store)
{
    struct batch *batch = batch_alloc(1, sizeof *batch);
    unsigned max = store->options.batch_count_max;

    batch->store = store;
    batch->count_max = max;
    batch->buckets_count = 2;
    while (batch->buckets_count < 2 * max)
        batch->buckets_count *= 2;
    batch->items = batch_alloc(max, sizeof *batch->items);
    batch->files = batch_alloc(max, sizeof *batch->files);
    batch->runs = batch_alloc(max, sizeof *batch->runs);
    batch->flushes = batch_alloc(3 * (size_t)max, sizeof *batch->flushes);
    batch->jobs = batch_alloc(3 * (size_t)max, sizeof *batch->jobs);
    batch->vec = batch_alloc(max, sizeof *batch->vec);
    batch->buckets = batch_alloc(batch->buckets_count, sizeof *batch->buckets);
    random_bytes(&batch->seed, sizeof batch->seed);
    /* A batch has at most one *file* record for each *stored* one. */
    for (unsigned i = 0; i < max; i++)
        buf_init(&batch->runs[i].records, 2 * (size_t)max * JOURNAL_RECORD_SIZE);
    return batch;
}

void batch_free(struct batch *batch)
{
    for (unsigned i = 0; i < batch->count_max; i++)
        buf_fini(&batch->runs[i].records);
    free(batch->items);
    free(batch->files);
    free(batch->runs);
    free(batch->flushes);
    free(batch->jobs);
    free(batch->vec);
    free(batch->buckets);
    free(batch);
}

/* --- plan --- */

/* May the run take it? A higher incarnation than ours is taken over. */
static enum status batch_check_run(struct batch *batch, struct append *append, struct run *run)
{
    if (append->incarnation > run->info.incarnation) {
        struct run_info info = { .incarnation = append->incarnation, .state = RUN_FILLING };
        enum status status = run_change_take(batch->store, run, &info, &append->err);

        if (status != STATUS_OK)
            return status;
    }
    append->run_incarnation = run->info.incarnation;
    if (append->incarnation != 0 && append->incarnation < run->info.incarnation)
        return error_set(&append->err, STATUS_STALE_RUN, "the run's incarnation is %ju",
                         (uintmax_t)run->info.incarnation);
    if (run->info.state == RUN_PURGED)
        return error_set(&append->err, STATUS_PURGED, "the run was purged");
    if (run->info.state == RUN_RETIRED)
        return error_set(&append->err, STATUS_RUN_RETIRED, "the run is retired");
    return STATUS_OK;
}

/* An item of this batch with the same digest in the same run; otherwise item is remembered, and NULL. */
static struct batch_item *batch_same(struct batch *batch, struct batch_item *item)
{
    const struct append *append = item->append;
    unsigned mask = batch->buckets_count - 1;
    unsigned at = (unsigned)XXH3_64bits_withSeed(append->digest.bytes, DIGEST_SIZE, batch->seed);

    for (at &= mask; batch->buckets[at] != BATCH_NONE; at = (at + 1) & mask) {
        struct batch_item *other = &batch->items[batch->buckets[at] - 1];

        if (digest_compare(&other->append->digest, &append->digest) == 0 &&
            run_key_compare(&other->append->run, &append->run) == 0)
            return other;
    }
    batch->buckets[at] = (unsigned)(item - batch->items) + 1;
    return NULL;
}

static enum status batch_check_room(struct batch *batch, struct append *append)
{
    if (!batch->has_room) {
        enum status status = store_room(batch->store, &batch->room, &append->err);

        if (status != STATUS_OK)
            return status;
        batch->has_room = true;
    }
    if (batch->room < batch->size || batch->room - batch->size < append->length)
        return error_set(&append->err, STATUS_FULL, "what is free is kept in reserve");
    return STATUS_OK;
}

/* What the run holds, and what this batch adds to it; each new file has a record that is no message. */
static void batch_held(const struct batch *batch, const struct run *run, uint64_t *messages,
                       uint64_t *bytes)
{
    *messages = run->dir != NULL ? run->dir->messages : 0;
    *bytes = run->dir != NULL ? run->dir->bytes : 0;
    for (unsigned i = 0; i < batch->runs_count; i++) {
        const struct batch_run *batch_run = &batch->runs[i];

        if (batch_run->run != run)
            continue;
        *messages += batch_run->count;
        for (const struct batch_file *file = batch_run->first; file != NULL; file = file->next) {
            *messages -= file->is_new;
            *bytes += file->size;
        }
    }
}

static enum status batch_check_quota(const struct batch *batch, struct append *append,
                                     const struct run *run)
{
    uint64_t messages, bytes;

    if (append->run_messages_max == 0 && append->run_bytes_max == 0)
        return STATUS_OK;
    batch_held(batch, run, &messages, &bytes);
    append->over_quota = true;
    if (append->run_messages_max > 0 && messages >= append->run_messages_max)
        return error_set(
            &append->err, STATUS_FULL,
            "the source's quota run-messages is used up: the run holds %ju of %ju messages on this node",
            (uintmax_t)messages, (uintmax_t)append->run_messages_max);
    if (append->run_bytes_max > 0 &&
        (bytes > append->run_bytes_max || append->run_bytes_max - bytes < append->length))
        return error_set(
            &append->err, STATUS_FULL,
            "the source's quota run-bytes is used up: the run holds %ju of %ju bytes on this node, the message has %ju",
            (uintmax_t)bytes, (uintmax_t)append->run_bytes_max, (uintmax_t)append->length);
    append->over_quota = false;
    return STATUS_OK;
}

static enum status batch_make_dir(struct batch *batch, struct run *run, struct error *err)
{
    struct run_dir *dir;
    enum status status = run_dir_make(batch->store->runs_fd, &run->key, run->info.incarnation, &dir, err);

    /* No room, or no descriptors: nothing is half done, and it works again when there are. */
    if (status == STATUS_FULL || status == STATUS_OVERLOADED)
        return status;
    if (status != STATUS_OK) {
        store_fail(batch->store, err);
        return status;
    }
    uv_rwlock_wrlock(&run->lock);
    run->dir = dir;
    store_run_changed(batch->store, run);
    uv_rwlock_wrunlock(&run->lock);
    return STATUS_OK;
}

static struct batch_run *batch_run_of(struct batch *batch, struct run *run)
{
    for (unsigned i = batch->runs_count; i-- > 0;)
        if (batch->runs[i].run == run)
            return &batch->runs[i];
    struct batch_run *batch_run = &batch->runs[batch->runs_count++];
    struct buf records = batch_run->records;

    buf_clear(&records);
    *batch_run = (struct batch_run){ .run = run, .records = records };
    return batch_run;
}

static uint64_t batch_run_next_record(const struct batch_run *run)
{
    return run->run->dir->journal.written + run->count;
}

static void batch_run_add_record(struct batch_run *run, struct journal_record *record)
{
    uint8_t *room = buf_reserve(&run->records, JOURNAL_RECORD_SIZE);

    assert(room != NULL);
    record->batch_first = run->count == 0;
    journal_record_encode(record, run->run->dir->journal.header.journal_id,
                          batch_run_next_record(run), room);
    run->records.size += JOURNAL_RECORD_SIZE;
    run->count++;
}

/* A new data file for the shard, held, with its *file* record. */
static enum status batch_make_file(struct batch *batch, struct batch_run *run,
                                   struct run_shard *shard, struct error *err)
{
    struct run_dir *dir = run->run->dir;
    enum status status;
    struct store_file *file;
    uint64_t birth;

    do {
        random_bytes(&birth, sizeof birth);
        if (birth == 0)
            birth = 1;
        file = data_file_new(&batch->store->files, shard->shard, birth);
        status = data_file_make(file, dir->fd, err);
        if (status != STATUS_OK)
            data_file_unref(file);
    } while (status == STATUS_EXISTS);
    if (status != STATUS_OK)
        return status;
    struct journal_record record = {
        .kind = JOURNAL_FILE,
        .shard = (uint16_t)shard->shard,
        .birth = birth,
        .stored_at_us = clock_wall_us(),
    };
    file->record = (uint32_t)batch_run_next_record(run);
    batch_run_add_record(run, &record);
    run->has_new_files = true;
    shard->active = file;
    return STATUS_OK;
}

static struct batch_file *batch_run_find_file(const struct batch_run *run, const struct store_file *file)
{
    for (struct batch_file *at = run->first; at != NULL; at = at->next)
        if (at->file == file)
            return at;
    return NULL;
}

/* The shard's file that takes messages, held, made where there is none. */
static enum status batch_file_of(struct batch *batch, struct batch_run *run, unsigned number,
                                 struct batch_file **result, struct error *err)
{
    struct run_dir *dir = run->run->dir;
    struct run_shard *shard = run_dir_find_shard(dir, number);
    bool is_new = false;
    enum status status;

    if (shard == NULL) {
        uv_rwlock_wrlock(&run->run->lock);
        shard = run_dir_shard(dir, number);
        uv_rwlock_wrunlock(&run->run->lock);
    }
    if (shard->active != NULL && (*result = batch_run_find_file(run, shard->active)) != NULL)
        return STATUS_OK;
    if (shard->active != NULL) {
        status = data_file_hold(shard->active, dir->fd, err);
    } else {
        status = batch_make_file(batch, run, shard, err);
        is_new = true;
    }
    if (status != STATUS_OK)
        return status;
    struct batch_file *file = &batch->files[batch->files_count++];
    *file = (struct batch_file){
        .file = shard->active,
        .shard = shard,
        .direct_fd = -1,
        .is_new = is_new,
    };
    if (run->last != NULL)
        run->last->next = file;
    else
        run->first = file;
    run->last = file;
    *result = file;
    return STATUS_OK;
}

static void batch_file_add_item(struct batch_file *file, struct batch_item *item)
{
    item->file = file;
    if (file->last != NULL)
        file->last->next = item;
    else
        file->first = item;
    file->last = item;
    file->size += item->append->length;
    file->has_spooled |= item->append->fd >= 0;
}

/* Gives a new message its file, offset and record. */
static enum status batch_place(struct batch *batch, struct batch_item *item, struct run *run)
{
    struct append *append = item->append;
    unsigned shard = digest_shard(&append->digest, batch->store->options.shards);
    struct batch_file *file;

    if (run->dir == NULL) {
        enum status status = batch_make_dir(batch, run, &append->err);
        if (status != STATUS_OK)
            return status;
    }
    struct batch_run *batch_run = batch_run_of(batch, run);
    if (batch_run_next_record(batch_run) + 2 > JOURNAL_RECORDS_MAX)
        return error_set(&append->err, STATUS_FULL, "the run's journal is full");
    enum status status = batch_file_of(batch, batch_run, shard, &file, &append->err);
    if (status != STATUS_OK)
        return status;
    if (append->stored_at_us == 0)
        append->stored_at_us = store_stamp(batch->store, 1);
    store_stamp_seen(batch->store, append->stored_at_us);
    append->place = (struct store_place){
        .shard = shard,
        .birth = file->file->birth,
        .offset = file->file->written + file->size,
        .length = append->length,
        .stored_at_us = append->stored_at_us,
        .record = batch_run_next_record(batch_run),
    };
    struct journal_record record = {
        .kind = JOURNAL_STORED,
        .shard = (uint16_t)shard,
        .digest = append->digest,
        .offset = append->place.offset,
        .length = append->length,
        .stored_at_us = append->stored_at_us,
    };
    batch_run_add_record(batch_run, &record);
    batch_file_add_item(file, item);
    batch->size += append->length;
    append->is_new = true;
    return STATUS_OK;
}

static enum status batch_plan(struct batch *batch, struct batch_item *item, struct run *run)
{
    struct append *append = item->append;
    enum status status = batch_check_run(batch, append, run);

    if (status != STATUS_OK)
        return status;
    item->same = batch_same(batch, item);
    if (item->same != NULL)
        return STATUS_OK;
    status = store_run_find(run, &append->digest, true, &append->place, &append->err);
    if (status != STATUS_NOT_FOUND)
        return status;
    if (store_is_read_only(batch->store))
        return error_set(&append->err, STATUS_READ_ONLY, "a write failed before");
    status = batch_check_room(batch, append);
    if (status == STATUS_OK)
        status = batch_check_quota(batch, append, run);
    if (status != STATUS_OK)
        return status;
    return batch_place(batch, item, run);
}

bool batch_take(struct batch *batch, struct append *append)
{
    struct run *run = run_table_add(&batch->store->runs, &append->run);

    assert(append->length > 0 && (append->fd >= 0 || append->length == append->data.size));
    /* A new incarnation throws the run's directory away: not under a batch that writes to it. */
    if (batch->count == batch->count_max ||
        (batch->count > 0 && append->incarnation > run->info.incarnation))
        return false;
    struct batch_item *item = &batch->items[batch->count++];
    *item = (struct batch_item){ .append = append };
    list_remove(&append->request.list);
    append->is_new = append->over_quota = false;
    error_init(&append->err);
    item->status = batch_plan(batch, item, run);
    return true;
}

/* --- show --- */

static void batch_show_file(struct batch_run *run, struct batch_file *batch_file)
{
    struct run_dir *dir = run->run->dir;
    struct store_file *file = batch_file->file;

    if (batch_file->is_new)
        run_dir_add_file(dir, file);
    for (struct batch_item *item = batch_file->first; item != NULL; item = item->next) {
        const struct append *append = item->append;

        run_dir_add_message(dir, file, &append->digest, digest_table_tag(&dir->table, &append->digest),
                            (uint32_t)append->place.record, append->length);
    }
    file->written += batch_file->size;
    atomic_store_explicit(&file->modified, (int64_t)(clock_wall_us() / 1000000), memory_order_relaxed);
    atomic_store_explicit(&file->size, file->written, memory_order_release);
}

static void batch_show(struct batch *batch)
{
    for (unsigned i = 0; i < batch->runs_count; i++) {
        struct batch_run *run = &batch->runs[i];
        struct run_dir *dir = run->run->dir;

        uv_rwlock_wrlock(&run->run->lock);
        journal_wrote(&dir->journal, run->count);
        journal_show(&dir->journal);
        for (struct batch_file *file = run->first; file != NULL; file = file->next)
            batch_show_file(run, file);
        store_run_changed(batch->store, run->run);
        uv_rwlock_wrunlock(&run->run->lock);
    }
    metric_add(&store_metric_put_bytes, (int64_t)batch->size);
}

/* --- answer --- */

static void batch_answer_item(struct batch_item *item, enum status status, const struct error *err)
{
    struct append *append = item->append;

    if (item->same != NULL) { /* it has its answer: items stand in order */
        const struct append *first = item->same->append;
        append->place = first->place;
        append->run_incarnation = first->run_incarnation;
        append->over_quota = first->over_quota;
        append->err = first->err;
        item->status = item->same->status;
    } else if (item->file != NULL && status != STATUS_OK) {
        append->is_new = false;
        append->err = *err;
        item->status = status;
    }
    if (item->status != STATUS_OK)
        metric_add(&store_metric_put_failed, 1);
    else
        metric_add(append->is_new ? &store_metric_put_messages : &store_metric_put_known, 1);
}

/* All items know their answers before the first is given: an append goes back to its owner by it. */
static void batch_answer(struct batch *batch, enum status status, const struct error *err)
{
    for (unsigned i = 0; i < batch->count; i++)
        batch_answer_item(&batch->items[i], status, err);
    for (unsigned i = 0; i < batch->count; i++)
        store_port_done(batch->items[i].append->port, &batch->items[i].append->request,
                        batch->items[i].status);
}

static enum status batch_write_and_flush(struct batch *batch, struct error *err)
{
    if (batch->size == 0)
        return STATUS_OK;
    if (store_is_read_only(batch->store)) /* since one of its runs could not be made */
        return error_set(err, STATUS_READ_ONLY, "a write failed before");
    enum status status = batch_write(batch, err);
    if (status != STATUS_OK && batch_may_undo(batch, status)) {
        struct error undo_err;

        if (batch_undo(batch, &undo_err) != STATUS_OK)
            store_fail(batch->store, &undo_err);
        return status;
    }
    if (status == STATUS_OK)
        status = batch_flush(batch, err);
    if (status != STATUS_OK)
        store_fail(batch->store, err);
    return status;
}

/* Lets go of files; those that were made for nothing go with their last reference. */
static void batch_clear(struct batch *batch, bool is_shown)
{
    for (unsigned i = 0; i < batch->files_count; i++) {
        struct batch_file *file = &batch->files[i];

        data_file_release(file->file);
        if (file->is_new && !is_shown) {
            file->shard->active = NULL;
            data_file_unref(file->file);
        }
    }
    memset(batch->buckets, 0, batch->buckets_count * sizeof *batch->buckets);
    batch->count = batch->files_count = batch->runs_count = 0;
    batch->size = 0;
    batch->has_room = false;
}

void batch_commit(struct batch *batch)
{
    struct error err = { 0 };
    enum status status = batch_write_and_flush(batch, &err);
    bool has_news = batch->size > 0 && status == STATUS_OK;

    if (has_news) {
        batch_show(batch);
        metric_observe(&store_metric_batch_messages, batch->count);
    }
    batch_answer(batch, status, &err);
    if (batch->runs_count > 0)
        store_notify(batch->store);
    batch_clear(batch, has_news);
}
