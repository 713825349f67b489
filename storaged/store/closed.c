/* closed.c: a sorted list in a file, with a checksum behind it. */
#include "storaged/store/closed.h"

#include "proto/base/bytes.h"
#include "proto/base/log.h"
#include "storaged/store/disk.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <xxhash.h>

#define CLOSED_NEW_NAME CLOSED_NAME ".new"

enum { CLOSED_FORMAT = 1, CLOSED_COUNT_MAX = 10000000 };

static const char closed_magic[8] = { 'G', 'R', 'S', 'T', 'O', 'C', 'L', 'S' };

void closed_fini(struct closed *closed)
{
    free(closed->entries);
    *closed = (struct closed){ 0 };
}

void closed_add(struct closed *closed, uint64_t journal_id, uint64_t records)
{
    struct closed_entry *entries = realloc(closed->entries, (closed->count + 1) * sizeof *entries);

    assert(entries != NULL);
    entries[closed->count++] = (struct closed_entry){ .journal_id = journal_id, .records = records };
    closed->entries = entries;
}

static int closed_order(const void *a, const void *b)
{
    const struct closed_entry *left = a, *right = b;

    return left->journal_id < right->journal_id ? -1 : left->journal_id > right->journal_id;
}

static size_t closed_size(size_t count)
{
    return CLOSED_HEADER_SIZE + count * CLOSED_ENTRY_SIZE + CLOSED_SUM_SIZE;
}

/* --- save --- */

static uint8_t *closed_encode(const struct closed *closed)
{
    size_t size = closed_size(closed->count);
    uint8_t *bytes = malloc(size);

    assert(bytes != NULL);
    memcpy(bytes, closed_magic, sizeof closed_magic);
    put_u64(bytes + 8, CLOSED_FORMAT);
    put_u64(bytes + 16, closed->count);
    for (size_t i = 0; i < closed->count; i++) {
        uint8_t *at = bytes + CLOSED_HEADER_SIZE + i * CLOSED_ENTRY_SIZE;

        put_u64(at, closed->entries[i].journal_id);
        put_u64(at + 8, closed->entries[i].records);
    }
    put_u64(bytes + size - CLOSED_SUM_SIZE, XXH3_64bits(bytes, size - CLOSED_SUM_SIZE));
    return bytes;
}

enum status closed_save(int dir_fd, struct closed *closed, struct error *err)
{
    int fd;
    enum status status = disk_open(dir_fd, CLOSED_NEW_NAME, O_WRONLY | O_CREAT | O_TRUNC, &fd, err);

    if (status != STATUS_OK)
        return status;
    if (closed->count > 0)
        qsort(closed->entries, closed->count, sizeof *closed->entries, closed_order);
    uint8_t *bytes = closed_encode(closed);
    status = disk_write(fd, 0, bytes, closed_size(closed->count), err);
    if (status == STATUS_OK)
        status = disk_flush(fd, err);
    disk_close(fd);
    free(bytes);
    if (status == STATUS_OK)
        status = disk_rename(dir_fd, CLOSED_NEW_NAME, dir_fd, CLOSED_NAME, err);
    if (status == STATUS_OK)
        status = disk_flush_dir(dir_fd, err);
    return status;
}

/* --- load --- */

static bool closed_decode(const uint8_t *bytes, size_t size, struct closed *closed)
{
    if (memcmp(bytes, closed_magic, sizeof closed_magic) != 0 || get_u64(bytes + 8) != CLOSED_FORMAT)
        return false;
    uint64_t count = get_u64(bytes + 16);
    if (count > CLOSED_COUNT_MAX || closed_size((size_t)count) != size ||
        get_u64(bytes + size - CLOSED_SUM_SIZE) != XXH3_64bits(bytes, size - CLOSED_SUM_SIZE))
        return false;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *at = bytes + CLOSED_HEADER_SIZE + i * CLOSED_ENTRY_SIZE;

        closed_add(closed, get_u64(at), get_u64(at + 8));
    }
    return true;
}

void closed_load(int dir_fd, struct closed *closed)
{
    uint64_t size = 0;
    uint8_t *bytes = NULL;
    int fd;

    *closed = (struct closed){ 0 };
    enum status status = disk_open(dir_fd, CLOSED_NAME, O_RDONLY, &fd, NULL);
    if (status == STATUS_NOT_FOUND)
        return;
    if (status == STATUS_OK)
        status = disk_size(fd, &size, NULL);
    if (status == STATUS_OK && (size < closed_size(0) || size > closed_size(CLOSED_COUNT_MAX)))
        status = STATUS_CORRUPT;
    if (status == STATUS_OK) {
        bytes = malloc((size_t)size);
        assert(bytes != NULL);
        status = disk_read(fd, 0, bytes, (size_t)size, true, NULL);
    }
    disk_close(fd);
    if (status != STATUS_OK || !closed_decode(bytes, (size_t)size, closed))
        log_msg(LOG_WARN, "store.closed", "the file '%s' does not hold: last batches are proven",
                CLOSED_NAME);
    free(bytes);
}

bool closed_has(const struct closed *closed, uint64_t journal_id, uint64_t records)
{
    const struct closed_entry wanted = { .journal_id = journal_id };

    if (closed->count == 0)
        return false;
    const struct closed_entry *found = bsearch(&wanted, closed->entries, closed->count,
                                               sizeof *closed->entries, closed_order);
    return found != NULL && found->records == records;
}
