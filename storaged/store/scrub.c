/* scrub.c: the thread that reads everything again. */
#include "storaged/store/scrub.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "storaged/store/scrub_place.h"
#include "storaged/store/store_metrics.h"
#include "storaged/store/store_state.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { IOPRIO_WHO_PROCESS = 1, IOPRIO_CLASS_IDLE = 3, IOPRIO_CLASS_SHIFT = 13, THREAD_NICE = 19 };
#define SCRUB_SAVE_US (UINT64_C(10) * 1000000)
#define SCRUB_WAIT_MAX_US (UINT64_C(3600) * 1000000) /* the wall clock may be set meanwhile */

/* --- pace --- */

uint64_t scrub_pace_wait(struct scrub_pace *pace, uint64_t now_us, size_t size)
{
    if (pace->rate == 0)
        return 0;
    if (pace->next_us + SCRUB_BURST_US < now_us)
        pace->next_us = now_us - SCRUB_BURST_US;
    pace->next_us += (uint64_t)((double)size * 1e6 / (double)pace->rate);
    return pace->next_us > now_us ? pace->next_us - now_us : 0;
}

/* Rests so long; false: stop. A suspect, or a pass that is asked for, ends the rest. */
static bool scrub_rest(struct scrub *scrub, uint64_t us)
{
    uint64_t until = clock_monotonic_us() + us;

    uv_mutex_lock(&scrub->mutex);
    for (uint64_t now; !scrub->stopping && !scrub->asked && scrub->suspects_count == 0 &&
                       (now = clock_monotonic_us()) < until;)
        uv_cond_timedwait(&scrub->cond, &scrub->mutex, (until - now) * 1000);
    bool goes_on = !scrub->stopping;
    uv_mutex_unlock(&scrub->mutex);
    return goes_on;
}

static bool scrub_on_read(void *user, size_t size)
{
    struct scrub *scrub = user;

    metric_add(&store_metric_scrub_bytes, (int64_t)size);
    return scrub_rest(scrub,
                      scrub->urgent ? 0 : scrub_pace_wait(&scrub->pace, clock_monotonic_us(), size));
}

/* --- findings --- */

static void scrub_note(struct scrub *scrub, const struct store_scrub_finding *finding)
{
    uv_mutex_lock(&scrub->mutex);
    struct store_scrub_info *info = &scrub->info;
    info->findings[scrub->findings_next] = *finding;
    scrub->findings_next = (scrub->findings_next + 1) % STORE_SCRUB_FINDINGS;
    if (info->findings_count < STORE_SCRUB_FINDINGS)
        info->findings_count++;
    info->findings_total++;
    if (info->is_running)
        info->pass.found++;
    uv_mutex_unlock(&scrub->mutex);
}

/* --- one message --- */

struct scrub_mark {
    struct store_bad bad;
    uv_sem_t done;
    enum status status;
};

static void scrub_on_marked(struct store_bad *bad, enum status status)
{
    struct scrub_mark *mark = container_of(bad, struct scrub_mark, bad);

    mark->status = status;
    uv_sem_post(&mark->done);
}

static void scrub_mark_bad(struct scrub *scrub, const struct run_key *run, uint64_t journal_id,
                           const struct scrub_item *item, const char *detail)
{
    struct scrub_mark mark = {
        .bad = { .run = *run, .journal_id = journal_id, .record = item->record, .why = detail, .on_done = scrub_on_marked },
    };
    struct store_scrub_finding finding = {
        .kind = STORE_FINDING_DAMAGED,
        .time_us = clock_wall_us(),
        .run = *run,
        .shard = item->shard,
        .birth = item->birth,
        .record = item->record,
        .digest = item->digest,
        .offset = item->offset,
        .length = item->length,
    };

    uv_sem_init(&mark.done, 0);
    store_mark_bad(scrub->store, &mark.bad);
    uv_sem_wait(&mark.done);
    uv_sem_destroy(&mark.done);
    if (!mark.bad.is_new) {
        if (mark.status != STATUS_OK && mark.status != STATUS_NOT_FOUND) /* not found: purged meanwhile */
            log_msg(LOG_WARN, "scrub.mark", "record %ju: %s", (uintmax_t)item->record, mark.bad.err.text);
        return;
    }
    snprintf(finding.detail, sizeof finding.detail, "%.*s", (int)sizeof finding.detail - 1, detail);
    scrub_note(scrub, &finding); /* the log has it from the store */
}

/* OK: it has its digest; CORRUPT, IO, NOT_FOUND: it has not, or can't be read; others say nothing of the message. */
static enum status scrub_look(struct scrub *scrub, const struct run_dir *dir,
                              const struct scrub_item *item, struct error *err)
{
    char name[DATA_FILE_NAME_SIZE];
    struct digest digest;

    data_file_name(item->shard, item->birth, name);
    if (scrub->medium.fd < 0) {
        enum status status = medium_open(&scrub->medium, dir->fd, name, err);
        if (status != STATUS_OK)
            return status;
    }
    enum status status = medium_digest(&scrub->medium, item->offset, item->length, &digest, err);
    if (status == STATUS_OK && digest_compare(&digest, &item->digest) != 0)
        return error_set(err, STATUS_CORRUPT, "its bytes have another digest");
    return status;
}

static bool scrub_is_damage(enum status status)
{
    return status == STATUS_CORRUPT || status == STATUS_IO || status == STATUS_NOT_FOUND;
}

/* False: stop. */
static bool scrub_message(struct scrub *scrub, const struct run_key *run, const struct run_dir *dir,
                          const struct scrub_item *item)
{
    struct error err = { 0 };
    enum status status = scrub_look(scrub, dir, item, &err);

    if (scrub_is_damage(status)) { /* once more: from the disk, by a descriptor of its own */
        if (scrub->medium.fd >= 0)
            medium_forget(&scrub->medium, item->offset, item->length);
        medium_close(&scrub->medium);
        status = scrub_look(scrub, dir, item, &err);
        if (status == STATUS_OK)
            log_msg(LOG_WARN, "scrub.transient",
                    "record %ju did not hold when read first, and holds", (uintmax_t)item->record);
    }
    if (scrub_is_damage(status))
        scrub_mark_bad(scrub, run, dir->journal.header.journal_id, item, err.text);
    else if (status != STATUS_OK && status != STATUS_CANCELLED)
        log_msg(LOG_WARN, "scrub.skip", "record %ju: %s", (uintmax_t)item->record, err.text);
    if (status != STATUS_OK)
        medium_close(&scrub->medium);
    return status != STATUS_CANCELLED;
}

/* --- a piece of a journal --- */

static int scrub_item_order(const void *a, const void *b)
{
    const struct scrub_item *one = a, *two = b;

    if (one->birth != two->birth)
        return one->birth < two->birth ? -1 : 1;
    return one->offset < two->offset ? -1 : one->offset > two->offset;
}

/* The message of a *stored* record that counts, among items. [lock] */
static void scrub_take(struct scrub *scrub, const struct run_dir *dir, uint64_t number,
                       const struct journal_record *record)
{
    const struct store_file *file;

    if (record->kind != JOURNAL_STORED || run_dir_is_bad(dir, number))
        return;
    file = run_dir_file_of(dir, record->shard, number);
    if (file == NULL || file->is_void)
        return;
    scrub->items[scrub->items_count++] = (struct scrub_item){
        .record = number,
        .offset = record->offset,
        .length = record->length,
        .birth = file->birth,
        .shard = record->shard,
        .digest = record->digest,
    };
}

/* Is it still the run's directory, or was it purged meanwhile? */
static bool scrub_is_here(struct scrub *scrub, const struct run_key *key, const struct run_dir *dir)
{
    struct run *run = run_table_find(&scrub->store->runs, key);

    uv_rwlock_rdlock(&run->lock);
    bool is_here = run->dir == dir;
    uv_rwlock_rdunlock(&run->lock);
    return is_here;
}

static void scrub_note_record(struct scrub *scrub, const struct run_key *run, uint64_t number,
                              const char *detail)
{
    struct store_scrub_finding finding = {
        .kind = STORE_FINDING_JOURNAL,
        .time_us = clock_wall_us(),
        .run = *run,
        .record = number,
    };
    char text[RUN_TEXT_SIZE];

    snprintf(finding.detail, sizeof finding.detail, "%.*s", (int)sizeof finding.detail - 1, detail);
    metric_add(&store_metric_corrupt_records, 1);
    scrub_note(scrub, &finding);
    run_key_print(run, text);
    log_msg(LOG_ERROR, "store.bad-record", "run %s: record %ju: %s", text, (uintmax_t)number, detail);
}

static enum status scrub_read_once(struct scrub *scrub, const struct run_dir *dir, uint64_t from,
                                   unsigned count, uint8_t *bytes, struct error *err)
{
    enum status status = medium_open(&scrub->medium, dir->fd, JOURNAL_NAME, err);

    if (status == STATUS_OK)
        status = medium_read(&scrub->medium, journal_offset(from), bytes,
                             (size_t)count * JOURNAL_RECORD_SIZE, err);
    medium_close(&scrub->medium);
    return status;
}

/* Records [from, from + count) as the disk has them. What can't be read is told: no message of theirs can be proven. */
static enum status scrub_read_records(struct scrub *scrub, const struct run_key *run,
                                      const struct run_dir *dir, uint64_t from, unsigned count,
                                      uint8_t *bytes, struct error *err)
{
    enum status status = scrub_read_once(scrub, dir, from, count, bytes, err);

    if (scrub_is_damage(status))
        status = scrub_read_once(scrub, dir, from, count, bytes, err);
    if (scrub_is_damage(status) && scrub_is_here(scrub, run, dir))
        scrub_note_record(scrub, run, from, err->text);
    return status;
}

static bool scrub_record_holds(struct scrub *scrub, const struct run_key *run, struct run_dir *dir,
                               uint64_t number, const uint8_t *bytes, struct journal_record *record)
{
    uint64_t id = dir->journal.header.journal_id;
    uint8_t again[JOURNAL_RECORD_SIZE];
    struct error err = { 0 };

    if (journal_record_decode(bytes, id, number, record, &err) == STATUS_OK)
        return true;
    if (scrub_read_records(scrub, run, dir, number, 1, again, &err) != STATUS_OK)
        return false;
    if (journal_record_decode(again, id, number, record, &err) == STATUS_OK)
        return true;
    scrub_note_record(scrub, run, number, err.text);
    return false;
}

/* The messages of count records from `from` on, into items by file and offset. */
static enum status scrub_load(struct scrub *scrub, struct run *run, struct run_dir *dir,
                              uint64_t from, unsigned count, struct error *err)
{
    uint8_t *bytes = malloc((size_t)count * JOURNAL_RECORD_SIZE);
    struct journal_record record;

    assert(bytes != NULL && count <= SCRUB_CHUNK);
    scrub->items_count = 0;
    enum status status = scrub_read_records(scrub, &run->key, dir, from, count, bytes, err);
    for (unsigned i = 0; i < count && status == STATUS_OK; i++) {
        if (!scrub_record_holds(scrub, &run->key, dir, from + i,
                                bytes + (size_t)i * JOURNAL_RECORD_SIZE, &record))
            continue;
        uv_rwlock_rdlock(&run->lock);
        scrub_take(scrub, dir, from + i, &record);
        uv_rwlock_rdunlock(&run->lock);
    }
    free(bytes);
    if (scrub->items_count > 0)
        qsort(scrub->items, scrub->items_count, sizeof *scrub->items, scrub_item_order);
    return status;
}

/* --- suspects --- */

static bool scrub_touches(const struct scrub_item *item, const struct store_place *place)
{
    if (place->record != 0)
        return item->record == place->record;
    return item->birth == place->birth && item->offset < place->offset + place->length &&
           place->offset < item->offset + item->length;
}

/* Those of a piece of the journal that the suspect means; false: stop. */
static bool scrub_suspect_piece(struct scrub *scrub, struct run *run, struct run_dir *dir,
                                const struct scrub_suspect *suspect, uint64_t from, unsigned count)
{
    struct error err = { 0 };

    if (scrub_load(scrub, run, dir, from, count, &err) != STATUS_OK)
        return true;
    for (unsigned i = 0; i < scrub->items_count; i++) {
        if (!scrub_touches(&scrub->items[i], &suspect->place))
            continue;
        medium_close(&scrub->medium);
        if (!scrub_message(scrub, &run->key, dir, &scrub->items[i]))
            return false;
    }
    medium_close(&scrub->medium);
    return true;
}

static bool scrub_run_has(struct run *run, const struct store_place *place)
{
    uv_rwlock_rdlock(&run->lock);
    bool has = run->dir != NULL && run_dir_file_by_birth(run->dir, place->shard, place->birth) != NULL;
    uv_rwlock_rdunlock(&run->lock);
    return has;
}

/* The suspect's run; NULL: it is gone. */
static struct run *scrub_run_of(struct scrub *scrub, const struct scrub_suspect *suspect)
{
    struct run *found = NULL;
    size_t count;

    if (suspect->run.source[0] != '\0')
        return run_table_find(&scrub->store->runs, &suspect->run);
    struct run **runs = run_table_list(&scrub->store->runs, true, &count);
    for (size_t i = 0; i < count && found == NULL; i++)
        if (scrub_run_has(runs[i], &suspect->place))
            found = runs[i];
    free(runs);
    return found;
}

static void scrub_do_suspect(struct scrub *scrub, const struct scrub_suspect *suspect)
{
    struct run *run = scrub_run_of(scrub, suspect);
    struct run_dir *dir = run != NULL ? run_take_dir(run) : NULL;

    if (dir == NULL)
        return;
    uint64_t end = journal_flushed(&dir->journal);
    uint64_t from = 0;
    if (suspect->place.record != 0) {
        from = suspect->place.record;
        end = from < end ? from + 1 : from;
    }
    scrub->urgent = true;
    for (bool goes_on = true; from < end && goes_on; from += SCRUB_CHUNK)
        goes_on = scrub_suspect_piece(scrub, run, dir, suspect, from,
                                      end - from < SCRUB_CHUNK ? (unsigned)(end - from) : SCRUB_CHUNK);
    scrub->urgent = false;
    run_dir_unref(dir);
    scrub->items_count = 0; /* the piece of a pass that was interrupted is read anew */
}

/* --- a pass --- */

static void scrub_save(struct scrub *scrub)
{
    uv_mutex_lock(&scrub->mutex);
    struct store_scrub_info info = scrub->info;
    uv_mutex_unlock(&scrub->mutex);
    struct scrub_kept kept = {
        .is_running = info.is_running, .pass = info.pass, .last = info.last, .place = scrub->place
    };
    struct error err = { 0 };

    scrub->saved_us = clock_monotonic_us();
    if (scrub_place_save(scrub->store->dir_fd, &kept, &err) != STATUS_OK)
        log_msg(LOG_WARN, "scrub.place", "%s", err.text);
}

static void scrub_leave_piece(struct scrub *scrub)
{
    medium_close(&scrub->medium);
    if (scrub->dir != NULL)
        run_dir_unref(scrub->dir);
    scrub->dir = NULL;
    scrub->items_count = 0;
}

static void scrub_begin(struct scrub *scrub, uint64_t rate)
{
    struct store_stats stats;

    scrub_leave_piece(scrub);
    scrub->place = (struct scrub_place){ .record = 0 };
    scrub->pace = (struct scrub_pace){ .rate = rate };
    store_stats(scrub->store, &stats);
    uv_mutex_lock(&scrub->mutex);
    scrub->asked = false; /* whoever asked until now is served by this one */
    scrub->info.is_running = true;
    scrub->info.rate = rate;
    scrub->info.run = scrub->place.run;
    scrub->info.bytes_total = stats.bytes;
    scrub->info.pass = (struct store_scrub_pass){ .begun_us = clock_wall_us() };
    uv_mutex_unlock(&scrub->mutex);
    log_msg(LOG_INFO, "scrub.begin", "%ju bytes to read, %ju a second at most (0: any)",
            (uintmax_t)stats.bytes, (uintmax_t)rate);
}

static void scrub_end(struct scrub *scrub)
{
    scrub_leave_piece(scrub);
    uv_mutex_lock(&scrub->mutex);
    scrub->info.pass.completed_us = clock_wall_us();
    scrub->info.last = scrub->info.pass;
    scrub->info.is_running = false;
    struct store_scrub_pass last = scrub->info.last;
    uv_mutex_unlock(&scrub->mutex);
    metric_set(&store_metric_scrub_completed, (int64_t)last.completed_us);
    log_msg(LOG_INFO, "scrub.end", "%ju messages, %ju bytes, %ju findings",
            (uintmax_t)last.messages, (uintmax_t)last.bytes, (uintmax_t)last.found);
    scrub_save(scrub);
}

/* The first run at or behind the place that has a directory, with a reference to that; NULL: none. */
static struct run *scrub_next_run(struct scrub *scrub, bool same_too, struct run_dir **dir)
{
    size_t count;
    struct run **runs = run_table_list(&scrub->store->runs, false, &count);
    struct run *found = NULL;

    for (size_t i = 0; i < count && found == NULL; i++) {
        int order = run_key_compare(&runs[i]->key, &scrub->place.run);

        if (order < 0 || (order == 0 && !same_too) || (*dir = run_take_dir(runs[i])) == NULL)
            continue;
        found = runs[i];
    }
    free(runs);
    return found;
}

/* The run of the next piece, its directory in scrub->dir; NULL: the pass is over. */
static struct run *scrub_next_piece(struct scrub *scrub)
{
    struct run_dir *dir;
    struct run *run = scrub_next_run(scrub, true, &dir);
    struct scrub_place *place = &scrub->place;

    while (run != NULL) {
        if (run_key_compare(&run->key, &place->run) != 0 ||
            dir->journal.header.journal_id != place->journal_id)
            *place = (struct scrub_place){ .run = run->key, .journal_id = dir->journal.header.journal_id };
        if (place->record < journal_flushed(&dir->journal))
            break;
        run_dir_unref(dir);
        run = scrub_next_run(scrub, false, &dir);
    }
    if (run != NULL)
        scrub->dir = dir;
    return run;
}

/* Was it read before the piece was interrupted? */
static bool scrub_was_read(const struct scrub_place *place, const struct scrub_item *item)
{
    const struct scrub_item last = { .birth = place->birth, .offset = place->offset };

    return place->birth != 0 && scrub_item_order(item, &last) <= 0;
}

/* It has been read. False: something else is wanted now. */
static bool scrub_count(struct scrub *scrub, const struct run_key *run, const struct scrub_item *item)
{
    scrub->place.birth = item->birth;
    scrub->place.offset = item->offset;
    uv_mutex_lock(&scrub->mutex);
    scrub->info.pass.messages++;
    scrub->info.pass.bytes += item->length;
    scrub->info.run = *run;
    bool goes_on = !scrub->stopping && !scrub->asked && scrub->suspects_count == 0;
    uv_mutex_unlock(&scrub->mutex);
    return goes_on && clock_monotonic_us() - scrub->saved_us < SCRUB_SAVE_US;
}

/* The messages of the piece that were not read yet; false: it was interrupted. */
static bool scrub_do_items(struct scrub *scrub, const struct run_key *run)
{
    uint64_t birth = 0;

    for (unsigned i = 0; i < scrub->items_count; i++) {
        const struct scrub_item *item = &scrub->items[i];

        if (scrub_was_read(&scrub->place, item))
            continue;
        if (item->birth != birth)
            medium_close(&scrub->medium);
        birth = item->birth;
        if (!scrub_message(scrub, run, scrub->dir, item))
            return false;
        if (!scrub_count(scrub, run, item) && i + 1 < scrub->items_count)
            return false;
    }
    return true;
}

/* One piece of the pass. Interrupted by a suspect, a stop, or the time to keep the place, it goes on where it was. */
static void scrub_do_piece(struct scrub *scrub)
{
    struct run *run = scrub_next_piece(scrub);
    struct error err = { 0 };

    if (run == NULL) {
        scrub_end(scrub);
        return;
    }
    uint64_t left = journal_flushed(&scrub->dir->journal) - scrub->place.record;
    unsigned count = left < SCRUB_CHUNK ? (unsigned)left : SCRUB_CHUNK;
    enum status status = scrub_load(scrub, run, scrub->dir, scrub->place.record, count, &err);
    if (status != STATUS_OK && status != STATUS_CANCELLED && !scrub_is_damage(status))
        log_msg(LOG_WARN, "scrub.skip", "%u records: %s", count, err.text);
    if (status != STATUS_CANCELLED && scrub_do_items(scrub, &run->key)) {
        scrub->place.record += count;
        scrub->place.birth = scrub->place.offset = 0;
    }
    scrub_leave_piece(scrub);
    if (clock_monotonic_us() - scrub->saved_us >= SCRUB_SAVE_US)
        scrub_save(scrub);
}

/* --- the thread --- */

/* Microseconds until the next pass is due. With the mutex held. */
static uint64_t scrub_due_in(const struct scrub *scrub)
{
    uint64_t now = clock_wall_us();
    uint64_t begun = scrub->info.last.begun_us;

    if (scrub->store->options.scrub_rate == 0)
        return SCRUB_WAIT_MAX_US;
    if (begun == 0 || begun > now || now - begun >= SCRUB_PERIOD_US)
        return 0;
    uint64_t left = SCRUB_PERIOD_US - (now - begun);
    return left < SCRUB_WAIT_MAX_US ? left : SCRUB_WAIT_MAX_US;
}

/* One step of whatever is most wanted; with the mutex held, which is let go meanwhile. */
static void scrub_step(struct scrub *scrub)
{
    uint64_t due_in = scrub->info.is_running ? 0 : scrub_due_in(scrub);

    if (scrub->suspects_count > 0) {
        struct scrub_suspect suspect = scrub->suspects[scrub->suspects_first];

        scrub->suspects_first = (scrub->suspects_first + 1) % SCRUB_SUSPECTS_MAX;
        scrub->suspects_count--;
        uv_mutex_unlock(&scrub->mutex);
        scrub_do_suspect(scrub, &suspect);
    } else if (scrub->asked || (!scrub->info.is_running && due_in == 0)) {
        uint64_t rate = scrub->asked ? scrub->asked_rate : scrub->store->options.scrub_rate;

        uv_mutex_unlock(&scrub->mutex);
        scrub_begin(scrub, rate);
    } else if (scrub->info.is_running) {
        uv_mutex_unlock(&scrub->mutex);
        scrub_do_piece(scrub);
    } else {
        uv_cond_timedwait(&scrub->cond, &scrub->mutex, due_in * 1000);
        return;
    }
    uv_mutex_lock(&scrub->mutex);
}

/* Behind everybody else, for the processor and for the disk. */
static void scrub_yield(void)
{
    syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_CLASS_IDLE << IOPRIO_CLASS_SHIFT);
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), THREAD_NICE);
}

static void scrub_main(void *data)
{
    struct scrub *scrub = data;

    scrub_yield();
    uv_mutex_lock(&scrub->mutex);
    while (!scrub->stopping)
        scrub_step(scrub);
    bool is_running = scrub->info.is_running;
    uv_mutex_unlock(&scrub->mutex);
    if (is_running)
        scrub_save(scrub);
    scrub_leave_piece(scrub);
}

/* Where an earlier process was. A pass that somebody asked for goes on at the usual rate, if there is one. */
static void scrub_restore(struct scrub *scrub)
{
    struct scrub_kept kept;
    struct error err = { 0 };

    enum status status = scrub_place_load(scrub->store->dir_fd, &kept, &err);
    if (status != STATUS_OK) {
        if (status != STATUS_NOT_FOUND)
            log_msg(LOG_WARN, "scrub.place", "%s: the next pass begins anew", err.text);
        return;
    }
    scrub->info.last = kept.last;
    metric_set(&store_metric_scrub_completed, (int64_t)kept.last.completed_us);
    if (!kept.is_running || scrub->store->options.scrub_rate == 0)
        return;
    scrub->info.is_running = true;
    struct store_stats stats;
    store_stats(scrub->store, &stats);
    scrub->info.bytes_total = stats.bytes;
    scrub->info.rate = scrub->pace.rate = scrub->store->options.scrub_rate;
    scrub->info.pass = kept.pass;
    scrub->info.run = kept.place.run;
    scrub->place = kept.place;
}

enum status scrub_start(struct scrub *scrub, struct store *store, struct error *err)
{
    *scrub = (struct scrub){ .store = store };
    uv_mutex_init(&scrub->mutex);
    uv_cond_init(&scrub->cond);
    medium_init(&scrub->medium);
    scrub->medium.on_read = scrub_on_read;
    scrub->medium.user = scrub;
    scrub->items = calloc(SCRUB_CHUNK, sizeof *scrub->items);
    assert(scrub->items != NULL);
    scrub->saved_us = clock_monotonic_us();
    scrub_restore(scrub);
    int failed = uv_thread_create(&scrub->thread, scrub_main, scrub);
    scrub->running = true; /* what there is, scrub_stop() takes down */
    if (failed == 0)
        return STATUS_OK;
    scrub->stopping = true;
    return error_set(err, STATUS_IO, "thread: %s", uv_strerror(failed));
}

void scrub_stop(struct scrub *scrub)
{
    if (!scrub->running)
        return;
    if (!scrub->stopping) {
        uv_mutex_lock(&scrub->mutex);
        scrub->stopping = true;
        uv_cond_broadcast(&scrub->cond);
        uv_mutex_unlock(&scrub->mutex);
        uv_thread_join(&scrub->thread);
    }
    medium_fini(&scrub->medium);
    free(scrub->items);
    uv_cond_destroy(&scrub->cond);
    uv_mutex_destroy(&scrub->mutex);
    scrub->running = false;
}

/* --- what others ask --- */

static bool scrub_suspect_same(const struct scrub_suspect *suspect, const struct run_key *run,
                               const struct store_place *place)
{
    return suspect->place.birth == place->birth && suspect->place.offset == place->offset &&
           suspect->place.record == place->record && run_key_compare(&suspect->run, run) == 0;
}

void store_suspect(struct store *store, const struct run_key *run, const struct store_place *place)
{
    struct scrub *scrub = &store->scrub;
    bool known = false;

    uv_mutex_lock(&scrub->mutex);
    for (unsigned i = 0; i < scrub->suspects_count && !known; i++)
        known = scrub_suspect_same(&scrub->suspects[(scrub->suspects_first + i) % SCRUB_SUSPECTS_MAX],
                                   run, place);
    if (!known && scrub->suspects_count < SCRUB_SUSPECTS_MAX) {
        unsigned at = (scrub->suspects_first + scrub->suspects_count++) % SCRUB_SUSPECTS_MAX;

        scrub->suspects[at] = (struct scrub_suspect){ .run = *run, .place = *place };
        uv_cond_signal(&scrub->cond);
    }
    uv_mutex_unlock(&scrub->mutex);
}

void store_file_suspect(struct store *store, const struct store_file *file, uint64_t offset, uint64_t length)
{
    const struct run_key unknown = { .source = "" };
    const struct store_place place = {
        .shard = file->shard,
        .birth = file->birth,
        .offset = offset,
        .length = length,
    };

    store_suspect(store, &unknown, &place);
}

void store_scrub(struct store *store, uint64_t rate)
{
    struct scrub *scrub = &store->scrub;

    uv_mutex_lock(&scrub->mutex);
    scrub->asked = true;
    scrub->asked_rate = rate;
    uv_cond_signal(&scrub->cond);
    uv_mutex_unlock(&scrub->mutex);
}

void store_scrub_status(struct store *store, struct store_scrub_info *info)
{
    struct scrub *scrub = &store->scrub;

    uv_mutex_lock(&scrub->mutex);
    *info = scrub->info;
    info->is_asked = scrub->asked;
    info->suspects = scrub->suspects_count;
    /* The newest first. */
    for (unsigned i = 0; i < info->findings_count; i++)
        info->findings[i] = scrub->info.findings[(scrub->findings_next + STORE_SCRUB_FINDINGS - 1 - i) % STORE_SCRUB_FINDINGS];
    uv_mutex_unlock(&scrub->mutex);
}
