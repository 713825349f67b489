/* catalog_sqlite_place.c: is the file at the path the one that is open, and the log beside it its own?
 *
 * Who restores a backup renames it over the file. Two things follow, and SQLite sees neither:
 *
 * 1. This process goes on with the file of before, which no path leads to any more: what is written is gone with the process. So each
 *    transaction looks at the path first and writes nothing once another file, or none, lies there.
 * 2. FILE-wal still holds pages of the file of before. Whoever opens the new one takes them for its own and ruins it. So FILE.lock says
 *    which file and which log were open together: a log that stayed where the file is another one is no log of that file, and goes
 *    before anything is opened. Both were replaced: they are taken as they are. For the same reason no connection is opened to a
 *    file that is not the one of the start. */
#include "indexer/catalog/catalog_health.h"
#include "indexer/catalog/catalog_sqlite.h"
#include "proto/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { PLACE_TEXT_SIZE = 512 };

/* With the time of its birth, where the file system has it: numbers of inodes are given again. */
static bool place_look(const char *path, struct sqlite_place *place)
{
    struct statx found;

    *place = (struct sqlite_place){ .inode = 0 };
    if (statx(AT_FDCWD, path, 0, STATX_INO | STATX_BTIME, &found) != 0)
        return false;
    place->device = makedev(found.stx_dev_major, found.stx_dev_minor);
    place->inode = found.stx_ino;
    if ((found.stx_mask & STATX_BTIME) != 0)
        place->born_ns = (uint64_t)found.stx_btime.tv_sec * 1000000000 + found.stx_btime.tv_nsec;
    return true;
}

static bool place_same(const struct sqlite_place *a, const struct sqlite_place *b)
{
    return a->inode == b->inode && a->device == b->device && a->born_ns == b->born_ns;
}

/* What lies beside the file. SQLite follows links before it adds its own to the name. */
static enum status place_beside(const struct catalog_sqlite *sqlite, const char *suffix,
                                char **path, struct error *err)
{
    char *real = realpath(sqlite->path, NULL);
    int size = asprintf(path, "%s%s", real != NULL ? real : sqlite->path, suffix);

    free(real);
    return size >= 0 ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "a path");
}

void sqlite_place_take(struct catalog_sqlite *sqlite)
{
    place_look(sqlite->path, &sqlite->place);
}

enum status sqlite_place_check(const struct catalog_sqlite *sqlite, struct error *err)
{
    struct sqlite_place now;
    char text[ERROR_TEXT_SIZE];

    if (place_look(sqlite->path, &now) && place_same(&now, &sqlite->place))
        return STATUS_OK;
    snprintf(text, sizeof text,
             now.inode == 0
                 ? "SQLite: nothing lies at %.300s any more: nothing is written"
                 : "SQLite: another file lies at %.300s than the one that is open: nothing is written",
             sqlite->path);
    catalog_health_failed(STATUS_READ_ONLY, text);
    return error_set(err, now.inode == 0 ? STATUS_NOT_FOUND : STATUS_EXISTS, "%s", text);
}

enum status sqlite_place_writable(const struct catalog_sqlite *sqlite, struct error *err)
{
    struct error why;

    error_init(&why);
    return sqlite_place_check(sqlite, &why) == STATUS_OK
               ? STATUS_OK
               : error_set(err, STATUS_READ_ONLY, "%s", why.text);
}

/* --- the note in FILE.lock --- */

enum status sqlite_place_settle(struct catalog *catalog, struct error *err)
{
    struct catalog_sqlite *sqlite = container_of(catalog, struct catalog_sqlite, catalog);
    const struct sqlite_place *file = &sqlite->place;
    struct sqlite_place log;
    char text[PLACE_TEXT_SIZE], *path;

    if (place_beside(sqlite, "-wal", &path, err) != STATUS_OK)
        return STATUS_NO_MEMORY;
    place_look(path, &log);
    free(path);
    int size = snprintf(text, sizeof text,
                        "file %" PRIu64 " %" PRIu64 " %" PRIu64 " log %" PRIu64 " %" PRIu64
                        " %" PRIu64 "\n",
                        file->device, file->inode, file->born_ns, log.device, log.inode, log.born_ns);
    if (pwrite(sqlite->lock, text, (size_t)size, 0) != size || ftruncate(sqlite->lock, size) != 0)
        return error_set_errno(err, errno, "%s.lock", sqlite->path);
    return STATUS_OK;
}

/* What is noted; false: nothing that could be read. */
static bool place_noted(int lock, struct sqlite_place *file, struct sqlite_place *log)
{
    char text[PLACE_TEXT_SIZE + 1];
    ssize_t size = pread(lock, text, PLACE_TEXT_SIZE, 0);

    if (size <= 0)
        return false;
    text[size] = '\0';
    return sscanf(text, "file %" SCNu64 " %" SCNu64 " %" SCNu64 " log %" SCNu64 " %" SCNu64 " %" SCNu64,
                  &file->device, &file->inode, &file->born_ns, &log->device, &log->inode,
                  &log->born_ns) == 6;
}

static enum status place_unlink(const struct catalog_sqlite *sqlite, const char *suffix, struct error *err)
{
    enum status status = STATUS_OK;
    char *path;

    if (place_beside(sqlite, suffix, &path, err) != STATUS_OK)
        return STATUS_NO_MEMORY;
    if (unlink(path) != 0 && errno != ENOENT)
        status = error_set_errno(err, errno, "%s, the log of another file", path);
    free(path);
    return status;
}

enum status sqlite_place_begin(struct catalog_sqlite *sqlite, struct error *err)
{
    struct sqlite_place file_was, log_was, file, log;
    char *path;

    if (!place_noted(sqlite->lock, &file_was, &log_was))
        return STATUS_OK;
    if (place_beside(sqlite, "-wal", &path, err) != STATUS_OK)
        return STATUS_NO_MEMORY;
    place_look(sqlite->path, &file);
    bool stayed = place_look(path, &log) && place_same(&log, &log_was) && !place_same(&file, &file_was);
    if (stayed)
        log_msg(LOG_WARN, "catalog.log",
                "%s belongs to the file that lay at %s before: it is removed", path, sqlite->path);
    free(path);
    if (!stayed)
        return STATUS_OK;
    enum status status = place_unlink(sqlite, "-shm", err);
    return status == STATUS_OK ? place_unlink(sqlite, "-wal", err) : status;
}
