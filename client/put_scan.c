/* put_scan.c: a file as a row of messages, read once. */
#include "client/put_scan.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files ---- */

struct spool {
    int from, to;
    uint64_t size;
    bool ended;
    enum status (*on_copy)(void *user, struct error *err);
    void *user;
    uint8_t *chunk;
};

enum { SPOOL_CHUNK_SIZE = 256 << 10 };

static enum status spool_write(struct spool *spool, size_t size, struct error *err)
{
    for (size_t done = 0; done < size;) {
        ssize_t put = write(spool->to, spool->chunk + done, size - done);

        if (put < 0 && errno != EINTR)
            return error_set_errno(err, errno, "write a copy in TMPDIR");
        done += put > 0 ? (size_t)put : 0;
    }
    spool->size += size;
    return STATUS_OK;
}

/* What is there to be read now; nothing after a while is fine too. */
static enum status spool_step(struct spool *spool, struct error *err)
{
    struct pollfd pipe = { .fd = spool->from, .events = POLLIN };

    if (poll(&pipe, 1, PUT_FILE_COPY_WAIT_MS) <= 0)
        return STATUS_OK;
    ssize_t got = read(spool->from, spool->chunk, SPOOL_CHUNK_SIZE);
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return STATUS_OK;
    if (got < 0)
        return error_set_errno(err, errno, "read");
    spool->ended = got == 0;
    return spool_write(spool, (size_t)got, err);
}

static enum status spool_copy(struct spool *spool, struct error *err)
{
    enum status status = STATUS_OK;

    spool->chunk = malloc(SPOOL_CHUNK_SIZE);
    if (spool->chunk == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a copy");
    while (status == STATUS_OK && !spool->ended) {
        status = spool_step(spool, err);
        if (status == STATUS_OK && spool->on_copy != NULL)
            status = spool->on_copy(spool->user, err);
    }
    free(spool->chunk);
    return status;
}

/* A pipe can't be read again, which sending again needs: it goes to an unnamed file first. */
static enum status put_file_spool(struct put_file *file, struct spool *spool, struct error *err)
{
    const char *folder = getenv("TMPDIR");
    int pipe = file->fd;
    bool owned = file->owned;

    file->fd = open(folder != NULL && folder[0] != '\0' ? folder : "/var/tmp",
                    O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    file->owned = true;
    if (file->fd < 0) {
        file->fd = pipe;
        file->owned = owned;
        return error_set_errno(err, errno, "an unnamed file in TMPDIR");
    }
    spool->from = pipe;
    spool->to = file->fd;
    enum status status = spool_copy(spool, err);
    file->size = spool->size;
    if (owned)
        close(pipe);
    return status;
}

/* A failure of this machine's files is none of the store's: not a token's lack of rights, not a full node. */
static enum status put_file_fail(enum status status, const char *name, struct error *err)
{
    if (status != STATUS_NOT_FOUND && status != STATUS_NO_MEMORY && status != STATUS_CANCELLED)
        status = STATUS_IO;
    error_wrap(err, "%s", name);
    if (err != NULL)
        err->status = status;
    return status;
}

enum status put_file_open(struct put_file *file, const struct gs_input *input,
                          enum status (*on_copy)(void *user, struct error *err), void *user,
                          struct error *err)
{
    struct spool spool = { .on_copy = on_copy, .user = user };
    struct stat info;
    enum status status = STATUS_OK;

    *file = (struct put_file){ .name = input->name, .fd = input->fd };
    if (file->fd < 0) {
        file->fd = open(input->name, O_RDONLY | O_CLOEXEC);
        file->owned = file->fd >= 0;
    }
    if (file->fd < 0 || fstat(file->fd, &info) != 0) {
        status = error_set(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "%s", strerror(errno));
        put_file_close(file);
        return put_file_fail(status, input->name, err);
    }
    if (S_ISDIR(info.st_mode))
        status = error_set(err, STATUS_IO, "it is a folder; name the files in it");
    else if (S_ISREG(info.st_mode))
        file->size = (uint64_t)info.st_size;
    else
        status = put_file_spool(file, &spool, err);
    if (status == STATUS_OK)
        return STATUS_OK;
    put_file_close(file);
    return put_file_fail(status, input->name, err);
}

void put_file_close(struct put_file *file)
{
    if (file->owned && file->fd >= 0)
        close(file->fd);
    file->fd = -1;
    file->owned = false;
}

void put_file_settle(struct put_file *file)
{
    if (file->read_all && file->pending == 0)
        put_file_close(file);
}

enum status put_file_read(const struct put_file *file, uint64_t offset, void *data, size_t size,
                          struct error *err)
{
    size_t done = 0;

    while (done < size) {
        ssize_t got = pread(file->fd, (uint8_t *)data + done, size - done, (off_t)(offset + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set(err, STATUS_IO, "%s: %s", file->name, strerror(errno));
        if (got == 0)
            return error_set(err, STATUS_IO, "%s: became shorter while it was read", file->name);
        done += (size_t)got;
    }
    return STATUS_OK;
}

/* ---- messages ---- */

enum status put_scan_init(struct put_scan *scan, struct error *err)
{
    *scan = (struct put_scan){ .ended = true };
    scan->stream = digest_stream_new();
    scan->chunk = malloc(PUT_SCAN_CHUNK_SIZE);
    return scan->chunk != NULL ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "no memory to read files");
}

void put_scan_fini(struct put_scan *scan)
{
    if (scan->stream != NULL)
        digest_stream_free(scan->stream);
    free(scan->chunk);
    *scan = (struct put_scan){ .ended = true };
}

void put_scan_begin(struct put_scan *scan, const struct put_file *file)
{
    struct digest unused;

    digest_stream_final(scan->stream, &unused); /* the last file may have ended inside a message */
    scan->file = file;
    scan->chunk_size = scan->chunk_used = 0;
    scan->read = 0;
    scan->prefix_size = 0;
    scan->ended = false;
    grib_scan_init(&scan->scan);
    posix_fadvise(file->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
}

static enum status put_scan_fail(struct put_scan *scan, struct error *err)
{
    scan->ended = true;
    if (err->has_offset)
        return error_wrap(err, "%s: at byte %" PRIu64, scan->file->name, err->offset);
    return error_wrap(err, "%s", scan->file->name);
}

/* The next bytes of the file; chunk_size 0 at its end. */
static enum status put_scan_fill(struct put_scan *scan, struct error *err)
{
    uint64_t left = scan->file->size - scan->read;
    size_t size = left < PUT_SCAN_CHUNK_SIZE ? (size_t)left : PUT_SCAN_CHUNK_SIZE;

    scan->chunk_used = 0;
    scan->chunk_size = size;
    enum status status = put_file_read(scan->file, scan->read, scan->chunk, size, err);
    if (status != STATUS_OK) {
        scan->ended = true;
        return status;
    }
    scan->read += size;
    return STATUS_OK;
}

static void put_scan_take(struct put_scan *scan, const struct grib_piece *piece)
{
    size_t room = sizeof scan->prefix - scan->prefix_size;
    size_t size = piece->data.size < room ? piece->data.size : room;

    if (size > 0)
        memcpy(scan->prefix + scan->prefix_size, piece->data.data, size);
    scan->prefix_size += size;
    digest_stream_update(scan->stream, piece->data.data, piece->data.size);
}

static enum status put_scan_whole(struct put_scan *scan, const struct grib_piece *piece,
                                  struct put_message *message, struct error *err)
{
    *message = (struct put_message){ .offset = piece->offset, .size = piece->length };
    digest_stream_final(scan->stream, &message->digest);
    enum status status = grib_base_time(scan->prefix, scan->prefix_size, &message->base_time, err);
    scan->prefix_size = 0;
    if (status == STATUS_OK)
        return STATUS_OK;
    error_at(err, piece->offset);
    return put_scan_fail(scan, err);
}

/* MORE: nothing whole yet. */
static enum status put_scan_piece(struct put_scan *scan, const struct grib_piece *piece,
                                  struct put_message *message, struct error *err)
{
    switch (piece->kind) {
    case GRIB_PIECE_DATA:
        put_scan_take(scan, piece);
        return STATUS_MORE;
    case GRIB_PIECE_END:
        return put_scan_whole(scan, piece, message, err);
    case GRIB_PIECE_SKIPPED:
        scan->skipped++;
        scan->bytes_skipped += piece->length;
        return STATUS_MORE;
    case GRIB_PIECE_BEGIN:
    case GRIB_PIECE_NONE:
        break;
    }
    return STATUS_MORE;
}

static enum status put_scan_finish(struct put_scan *scan, struct error *err)
{
    struct grib_piece piece = { 0 };
    struct put_message unused;

    enum status status = grib_scan_end(&scan->scan, &piece, err);
    if (status != STATUS_OK)
        return put_scan_fail(scan, err);
    put_scan_piece(scan, &piece, &unused, err);
    scan->ended = true;
    return STATUS_NOT_FOUND;
}

enum status put_scan_next(struct put_scan *scan, struct put_message *message, struct error *err)
{
    error_init(err);
    if (scan->ended)
        return STATUS_NOT_FOUND;
    if (scan->chunk_used == scan->chunk_size) {
        enum status status = put_scan_fill(scan, err);

        if (status != STATUS_OK)
            return status;
        if (scan->chunk_size == 0)
            return put_scan_finish(scan, err);
    }
    while (scan->chunk_used < scan->chunk_size) {
        struct grib_piece piece = { 0 };
        size_t used = 0;

        enum status status = grib_scan_next(&scan->scan, scan->chunk + scan->chunk_used,
                                            scan->chunk_size - scan->chunk_used, &used, &piece, err);
        if (status != STATUS_OK)
            return put_scan_fail(scan, err);
        scan->chunk_used += used;
        status = put_scan_piece(scan, &piece, message, err);
        if (status != STATUS_MORE)
            return status;
    }
    return STATUS_MORE;
}
