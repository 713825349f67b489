/* batch_write.c: a batch's bytes on their way to the disk: written, flushed, or undone.
 *
 * A data file's small share of the batch is one pwritev from the messages' memory into the page cache. A large share goes
 * through a stage (stage.h), around the page cache, and such files are written side by side: each write waits for the disk.
 * ARCHITECTURE.md section 8 has the figures. */
#include "storaged/store/batch_parts.h"
#include "storaged/store/disk.h"

#include <sys/uio.h>

enum { BATCH_BEGIN_SIZE = 256 << 10 };

/* --- through a stage --- */

/* A message that lies in a file. */
static enum status batch_stage_spooled(struct batch_file *file, struct stage *stage,
                                       const struct append *append, struct error *err)
{
    for (uint64_t done = 0; done < append->length;) {
        size_t size;
        uint8_t *room = stage_room(stage, &size);

        if (append->length - done < size)
            size = (size_t)(append->length - done);
        enum status status = disk_read(append->fd, append->fd_offset + done, room, size, true, err);
        file->is_unread = status != STATUS_OK;
        if (file->is_unread)
            return error_wrap(err, "unnamed file");
        status = stage_filled(stage, size, err);
        if (status != STATUS_OK)
            return status;
        done += size;
    }
    return STATUS_OK;
}

static enum status batch_name_file(const struct batch_file *file, enum status status, struct error *err)
{
    char name[DATA_FILE_NAME_SIZE];

    if (status == STATUS_OK)
        return STATUS_OK;
    data_file_name(file->file->shard, file->file->birth, name);
    return error_wrap(err, "data file %s", name);
}

static enum status batch_stage_file(struct flush_job *job, struct stage *stage, struct error *err)
{
    struct batch_file *file = container_of(job, struct batch_file, job);
    uint64_t offset = file->file->written;
    enum status status = STATUS_OK;

    stage_begin(stage, file->file->fd, file->direct_fd, offset, offset + file->size);
    for (struct batch_item *item = file->first; item != NULL && status == STATUS_OK; item = item->next) {
        const struct append *append = item->append;

        if (append->fd >= 0)
            status = batch_stage_spooled(file, stage, append, err);
        else
            status = stage_put(stage, append->data.data, append->data.size, err);
    }
    if (stage->refused && file->direct_fd >= 0)
        file->file->direct_refused = true;
    return batch_name_file(file, status, err);
}

/* Which files go through a stage; how many. */
static unsigned batch_list_staged(struct batch *batch)
{
    uint64_t direct_size = batch->store->options.direct_size;
    unsigned count = 0;

    for (unsigned i = 0; i < batch->runs_count; i++)
        for (struct batch_file *file = batch->runs[i].first; file != NULL; file = file->next) {
            if (file->size >= direct_size)
                file->direct_fd = data_file_direct(file->file, batch->runs[i].run->dir->fd);
            if (file->direct_fd < 0 && !file->has_spooled)
                continue;
            file->job.run = batch_stage_file;
            batch->jobs[count++] = &file->job;
        }
    return count;
}

/* --- through the page cache --- */

static enum status batch_write_file(struct batch *batch, const struct batch_file *file, struct error *err)
{
    int count = 0;

    for (struct batch_item *item = file->first; item != NULL; item = item->next)
        batch->vec[count++] = (struct iovec){
            .iov_base = (void *)(uintptr_t)item->append->data.data,
            .iov_len = item->append->data.size,
        };
    enum status status = disk_writev(file->file->fd, file->file->written, batch->vec, count, err);
    if (status == STATUS_OK && file->size >= BATCH_BEGIN_SIZE)
        disk_begin_flush(file->file->fd); /* the disk works while the next file is copied */
    return batch_name_file(file, status, err);
}

static enum status batch_write_files(struct batch *batch, struct error *err)
{
    unsigned staged = batch_list_staged(batch);

    for (unsigned i = 0; i < batch->files_count; i++) {
        const struct batch_file *file = &batch->files[i];
        enum status status = STATUS_OK;

        if (file->direct_fd < 0 && !file->has_spooled)
            status = batch_write_file(batch, file, err);
        if (status != STATUS_OK)
            return status;
    }
    if (staged == 0)
        return STATUS_OK;
    return flusher_run(&batch->store->flusher, batch->jobs, staged, err);
}

enum status batch_write(struct batch *batch, struct error *err)
{
    enum status status = batch_write_files(batch, err);

    for (unsigned i = 0; i < batch->runs_count && status == STATUS_OK; i++) {
        struct batch_run *run = &batch->runs[i];

        status = journal_write(&run->run->dir->journal, run->records.data, run->count, err);
    }
    return status;
}

/* --- undo --- */

/* For want of room, or since a message could not be read where it came in. */
bool batch_may_undo(const struct batch *batch, enum status status)
{
    bool is_unread = false;

    for (unsigned i = 0; i < batch->files_count; i++) {
        const struct batch_file *file = &batch->files[i];

        is_unread |= file->is_unread;
        if (!file->is_unread && file->job.status != STATUS_OK && file->job.status != STATUS_FULL)
            return false;
    }
    return is_unread || status == STATUS_FULL;
}

enum status batch_undo(struct batch *batch, struct error *err)
{
    for (unsigned i = 0; i < batch->runs_count; i++) {
        enum status status = journal_cut(&batch->runs[i].run->dir->journal, err);
        if (status != STATUS_OK)
            return status;
    }
    for (unsigned i = 0; i < batch->runs_count; i++) {
        for (struct batch_file *at = batch->runs[i].first; at != NULL; at = at->next) {
            char name[DATA_FILE_NAME_SIZE];

            if (!at->is_new && disk_truncate(at->file->fd, at->file->written, NULL) == STATUS_OK)
                continue;
            at->shard->active = NULL; /* what lies behind its end is nobody's: the next message gets a new file */
            data_file_name(at->file->shard, at->file->birth, name);
            if (at->is_new)
                disk_unlink(batch->runs[i].run->dir->fd, name, NULL);
        }
    }
    return STATUS_OK;
}

/* --- flush --- */

static void batch_add_flush(struct batch *batch, unsigned *count, int fd, bool is_dir)
{
    flush_init(&batch->flushes[*count], fd, is_dir);
    batch->jobs[*count] = &batch->flushes[*count].job;
    ++*count;
}

/* What is begun together is flushed with fewer commits of the file system. */
static void batch_begin_flushes(const struct batch *batch, unsigned count)
{
    for (unsigned i = 0; i < count && count > 1; i++)
        if (!batch->flushes[i].is_dir)
            disk_begin_flush(batch->flushes[i].fd);
}

/* The page in which a direct write began is full now, and flushed. Alone in the page cache it would make the kernel read
 * what lies around it ahead page by page, where it takes large folios else. */
static void batch_forget_seams(const struct batch *batch)
{
    uint64_t unit = disk_direct_unit();

    for (unsigned i = 0; i < batch->files_count; i++) {
        const struct batch_file *file = &batch->files[i];
        uint64_t begin = file->file->written;

        if (file->direct_fd >= 0 && begin % unit != 0)
            disk_forget(file->file->fd, begin / unit * unit, unit);
    }
}

enum status batch_flush(struct batch *batch, struct error *err)
{
    unsigned count = 0;

    for (unsigned i = 0; i < batch->files_count; i++)
        batch_add_flush(batch, &count, batch->files[i].file->fd, false);
    for (unsigned i = 0; i < batch->runs_count; i++) {
        const struct batch_run *run = &batch->runs[i];

        batch_add_flush(batch, &count, run->run->dir->journal.fd, false);
        if (run->has_new_files)
            batch_add_flush(batch, &count, run->run->dir->fd, true);
    }
    batch_begin_flushes(batch, count);
    enum status status = flusher_run(&batch->store->flusher, batch->jobs, count, err);
    if (status == STATUS_OK)
        batch_forget_seams(batch);
    return status;
}
