/* scrub_suspect.c: what somebody could not read, or read with other bytes: waiting in a ring, then read at once. */
#include "storaged/store/scrub_parts.h"

#include "storaged/store/store_state.h"

#include <stdlib.h>

/* --- waiting --- */

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

struct scrub_suspect scrub_suspect_take(struct scrub *scrub)
{
    struct scrub_suspect suspect = scrub->suspects[scrub->suspects_first];

    scrub->suspects_first = (scrub->suspects_first + 1) % SCRUB_SUSPECTS_MAX;
    scrub->suspects_count--;
    return suspect;
}

/* --- read --- */

static bool scrub_suspect_touches(const struct scrub_item *item, const struct store_place *place)
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

    if (scrub_piece_load(scrub, run, dir, from, count, &err) != STATUS_OK)
        return true;
    for (unsigned i = 0; i < scrub->items_count; i++) {
        if (!scrub_suspect_touches(&scrub->items[i], &suspect->place))
            continue;
        medium_close(&scrub->medium);
        if (!scrub_message(scrub, &run->key, dir, &scrub->items[i]))
            return false;
    }
    medium_close(&scrub->medium);
    return true;
}

static bool scrub_suspect_is_in(struct run *run, const struct store_place *place)
{
    uv_rwlock_rdlock(&run->lock);
    bool has = run->dir != NULL && run_dir_file_by_birth(run->dir, place->shard, place->birth) != NULL;
    uv_rwlock_rdunlock(&run->lock);
    return has;
}

/* The suspect's run; NULL: it is gone. */
static struct run *scrub_suspect_run(struct scrub *scrub, const struct scrub_suspect *suspect)
{
    struct run *found = NULL;
    size_t count;

    if (suspect->run.source[0] != '\0')
        return run_table_find(&scrub->store->runs, &suspect->run);
    struct run **runs = run_table_list(&scrub->store->runs, true, &count);
    for (size_t i = 0; i < count && found == NULL; i++)
        if (scrub_suspect_is_in(runs[i], &suspect->place))
            found = runs[i];
    free(runs);
    return found;
}

void scrub_suspect_read(struct scrub *scrub, const struct scrub_suspect *suspect)
{
    struct run *run = scrub_suspect_run(scrub, suspect);
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
