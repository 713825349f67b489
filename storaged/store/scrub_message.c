/* scrub_message.c: one message, hashed as the disk has it, and marked bad when it does not hold twice. */
#include "storaged/store/scrub_parts.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

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
        if (status == STATUS_IO && errno != EIO) /* no right to it, say: nothing is wrong with the bytes */
            return error_set(err, STATUS_INTERNAL, "open %s: %s", name, strerror(errno));
        if (status != STATUS_OK)
            return status;
    }
    enum status status = medium_digest(&scrub->medium, item->offset, item->length, &digest, err);
    if (status == STATUS_OK && digest_compare(&digest, &item->digest) != 0)
        return error_set(err, STATUS_CORRUPT, "its bytes have another digest");
    return status;
}

bool scrub_is_damage(enum status status)
{
    return status == STATUS_CORRUPT || status == STATUS_IO || status == STATUS_NOT_FOUND;
}

/* False: stop. */
bool scrub_message(struct scrub *scrub, const struct run_key *run, const struct run_dir *dir,
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
