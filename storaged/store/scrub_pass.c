/* scrub_pass.c: a pass over everything: begun, taken piece by piece from where it was, its place kept, ended. */
#include "storaged/store/scrub_parts.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "storaged/store/scrub_place.h"
#include "storaged/store/store_metrics.h"
#include "storaged/store/store_state.h"

#include <stdlib.h>

#define SCRUB_SAVE_US (UINT64_C(10) * 1000000)

/* --- its place --- */

void scrub_pass_save(struct scrub *scrub)
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

/* Where an earlier process was. A pass that somebody asked for goes on at the usual rate, if there is one. */
void scrub_pass_restore(struct scrub *scrub)
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

/* --- begin, end --- */

void scrub_pass_leave(struct scrub *scrub)
{
    medium_close(&scrub->medium);
    if (scrub->dir != NULL)
        run_dir_unref(scrub->dir);
    scrub->dir = NULL;
    scrub->items_count = 0;
}

void scrub_pass_begin(struct scrub *scrub, uint64_t rate)
{
    struct store_stats stats;

    scrub_pass_leave(scrub);
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

static void scrub_pass_end(struct scrub *scrub)
{
    scrub_pass_leave(scrub);
    uv_mutex_lock(&scrub->mutex);
    scrub->info.pass.completed_us = clock_wall_us();
    scrub->info.last = scrub->info.pass;
    scrub->info.is_running = false;
    struct store_scrub_pass last = scrub->info.last;
    uv_mutex_unlock(&scrub->mutex);
    metric_set(&store_metric_scrub_completed, (int64_t)last.completed_us);
    log_msg(LOG_INFO, "scrub.end", "%ju messages, %ju bytes, %ju findings",
            (uintmax_t)last.messages, (uintmax_t)last.bytes, (uintmax_t)last.found);
    scrub_pass_save(scrub);
}

/* --- piece by piece --- */

/* The first run at or behind the place that has a directory, with a reference to that; NULL: none. */
static struct run *scrub_pass_next_run(struct scrub *scrub, bool same_too, struct run_dir **dir)
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
static struct run *scrub_pass_next(struct scrub *scrub)
{
    struct run_dir *dir;
    struct run *run = scrub_pass_next_run(scrub, true, &dir);
    struct scrub_place *place = &scrub->place;

    while (run != NULL) {
        if (run_key_compare(&run->key, &place->run) != 0 ||
            dir->journal.header.journal_id != place->journal_id)
            *place = (struct scrub_place){ .run = run->key, .journal_id = dir->journal.header.journal_id };
        if (place->record < journal_flushed(&dir->journal))
            break;
        run_dir_unref(dir);
        run = scrub_pass_next_run(scrub, false, &dir);
    }
    if (run != NULL)
        scrub->dir = dir;
    return run;
}

/* Was it read before the piece was interrupted? */
static bool scrub_pass_was_read(const struct scrub_place *place, const struct scrub_item *item)
{
    const struct scrub_item last = { .birth = place->birth, .offset = place->offset };

    return place->birth != 0 && scrub_item_order(item, &last) <= 0;
}

/* It has been read. False: something else is wanted now. */
static bool scrub_pass_count(struct scrub *scrub, const struct run_key *run, const struct scrub_item *item)
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
static bool scrub_pass_read(struct scrub *scrub, const struct run_key *run)
{
    uint64_t birth = 0;

    for (unsigned i = 0; i < scrub->items_count; i++) {
        const struct scrub_item *item = &scrub->items[i];

        if (scrub_pass_was_read(&scrub->place, item))
            continue;
        if (item->birth != birth)
            medium_close(&scrub->medium);
        birth = item->birth;
        if (!scrub_message(scrub, run, scrub->dir, item))
            return false;
        if (!scrub_pass_count(scrub, run, item) && i + 1 < scrub->items_count)
            return false;
    }
    return true;
}

/* One piece of the pass. Interrupted by a suspect, a stop, or the time to keep the place, it goes on where it was. */
void scrub_pass_step(struct scrub *scrub)
{
    struct run *run = scrub_pass_next(scrub);
    struct error err = { 0 };

    if (run == NULL) {
        scrub_pass_end(scrub);
        return;
    }
    uint64_t left = journal_flushed(&scrub->dir->journal) - scrub->place.record;
    unsigned count = left < SCRUB_CHUNK ? (unsigned)left : SCRUB_CHUNK;
    enum status status = scrub_piece_load(scrub, run, scrub->dir, scrub->place.record, count, &err);
    if (status != STATUS_OK && status != STATUS_CANCELLED && !scrub_is_damage(status))
        log_msg(LOG_WARN, "scrub.skip", "%u records: %s", count, err.text);
    if (status != STATUS_CANCELLED && scrub_pass_read(scrub, &run->key)) {
        scrub->place.record += count;
        scrub->place.birth = scrub->place.offset = 0;
    }
    scrub_pass_leave(scrub);
    if (clock_monotonic_us() - scrub->saved_us >= SCRUB_SAVE_US)
        scrub_pass_save(scrub);
}
