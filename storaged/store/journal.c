/* journal.c: the file behind a run's journal. */
#include "storaged/store/journal.h"

#include "storaged/store/disk.h"

#include <assert.h>
#include <fcntl.h>

enum status journal_make(struct journal *journal, int dir_fd, const char *name,
                         const struct journal_header *header, struct error *err)
{
    uint8_t bytes[JOURNAL_HEADER_SIZE];

    *journal = (struct journal){ .fd = -1, .header = *header };
    journal_header_encode(header, bytes);
    enum status status = disk_open(dir_fd, name, O_RDWR | O_CREAT | O_EXCL, &journal->fd, err);
    if (status != STATUS_OK)
        goto fail;
    status = disk_write(journal->fd, 0, bytes, sizeof bytes, err);
    if (status != STATUS_OK)
        goto fail;
    status = disk_flush(journal->fd, err);
    if (status != STATUS_OK)
        goto fail;
    return STATUS_OK;

fail:
    journal_close(journal);
    return error_wrap(err, "journal");
}

enum status journal_open(struct journal *journal, int dir_fd, const char *name, struct error *err)
{
    uint8_t bytes[JOURNAL_HEADER_SIZE];

    *journal = (struct journal){ .fd = -1 };
    enum status status = disk_open(dir_fd, name, O_RDWR, &journal->fd, err);
    if (status != STATUS_OK)
        goto fail;
    status = disk_read(journal->fd, 0, bytes, sizeof bytes, true, err);
    if (status == STATUS_IO)
        status = disk_read(journal->fd, 0, bytes, sizeof bytes, true, err);
    if (status == STATUS_IO) /* twice */
        status = error_set(err, STATUS_CORRUPT, "its header can't be read");
    if (status != STATUS_OK)
        goto fail;
    status = journal_header_decode(bytes, &journal->header, err);
    if (status != STATUS_OK)
        goto fail;
    return STATUS_OK;

fail:
    journal_close(journal);
    return error_wrap(err, "journal");
}

void journal_close(struct journal *journal)
{
    disk_close(journal->fd);
    journal->fd = -1;
}

enum status journal_write(struct journal *journal, const uint8_t *records, uint64_t count,
                          struct error *err)
{
    assert(journal->written + count <= JOURNAL_RECORDS_MAX);
    enum status status = disk_write(journal->fd, journal_offset(journal->written), records,
                                    count * JOURNAL_RECORD_SIZE, err);
    if (status != STATUS_OK)
        return error_wrap(err, "journal");
    return STATUS_OK;
}

void journal_wrote(struct journal *journal, uint64_t count)
{
    journal->written += count;
}

enum status journal_cut(struct journal *journal, struct error *err)
{
    enum status status = disk_truncate(journal->fd, journal_offset(journal->written), err);

    if (status != STATUS_OK)
        return error_wrap(err, "journal");
    return STATUS_OK;
}

void journal_show(struct journal *journal)
{
    atomic_store_explicit(&journal->flushed, journal->written, memory_order_release);
}

uint64_t journal_flushed(const struct journal *journal)
{
    return atomic_load_explicit(&journal->flushed, memory_order_acquire);
}

enum status journal_read(const struct journal *journal, uint64_t from, uint64_t count,
                         bool may_block, uint8_t *records, struct error *err)
{
    enum status status = disk_read(journal->fd, journal_offset(from), records,
                                   count * JOURNAL_RECORD_SIZE, may_block, err);

    if (status != STATUS_OK)
        return error_wrap(err, "journal");
    return STATUS_OK;
}

enum status journal_read_record(const struct journal *journal, uint64_t number, bool may_block,
                                struct journal_record *record, struct error *err)
{
    uint8_t bytes[JOURNAL_RECORD_SIZE];
    enum status status = journal_read(journal, number, 1, may_block, bytes, err);

    if (status != STATUS_OK)
        return status;
    status = journal_record_decode(bytes, journal->header.journal_id, number, record, err);
    if (status != STATUS_OK)
        return error_wrap(err, "journal record %ju", (uintmax_t)number);
    return STATUS_OK;
}
