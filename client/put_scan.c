/* put_scan.c: a file as a row of messages, read once. */
#include "client/put_scan.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files ---- */

static enum status spool_copy(int from, int to, uint64_t *size, struct error *err)
{
    enum { SPOOL_CHUNK_SIZE = 256 << 10 };
    uint8_t *chunk = malloc(SPOOL_CHUNK_SIZE);
    enum status status = STATUS_OK;

    if (chunk == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a copy");
    *size = 0;
    while (status == STATUS_OK) {
        ssize_t got = read(from, chunk, SPOOL_CHUNK_SIZE);

        if (got == 0)
            break;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            status = error_set_errno(err, errno, "read");
        for (ssize_t done = 0; done < got && status == STATUS_OK;) {
            ssize_t put = write(to, chunk + done, (size_t)(got - done));

            if (put < 0 && errno != EINTR)
                status = error_set_errno(err, errno, "write a copy in TMPDIR");
            done += put > 0 ? put : 0;
        }
        *size += got > 0 ? (uint64_t)got : 0;
    }
    free(chunk);
    return status;
}

/* A pipe can't be read again, which sending again needs: it goes to an unnamed file first. */
static enum status put_file_spool(struct put_file *file, struct error *err)
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
    enum status status = spool_copy(pipe, file->fd, &file->size, err);
    if (owned)
        close(pipe);
    return status;
}

enum status put_file_open(struct put_file *file, const struct gs_input *input, struct error *err)
{
    struct stat info;
    enum status status = STATUS_OK;

    *file = (struct put_file){ .name = input->name, .fd = input->fd };
    if (file->fd < 0) {
        file->fd = open(input->name, O_RDONLY | O_CLOEXEC);
        file->owned = file->fd >= 0;
    }
    if (file->fd < 0 || fstat(file->fd, &info) != 0)
        return error_set_errno(err, errno, "%s", input->name);
    if (S_ISDIR(info.st_mode))
        status = error_set(err, STATUS_IO, "it is a folder; name the files in it");
    else if (S_ISREG(info.st_mode))
        file->size = (uint64_t)info.st_size;
    else
        status = put_file_spool(file, err);
    if (status == STATUS_OK)
        return STATUS_OK;
    put_file_close(file);
    return error_wrap(err, "%s", input->name);
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
            return error_set_errno(err, errno, "%s", file->name);
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
