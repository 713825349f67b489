/* catalog_format.c: in which form a database stands, and the steps from each form to the next.
 *
 * 1. The form is a number in the database; a database without one is new.
 * 2. A higher one than this program knows is refused before anything is changed.
 * 3. A step is made, then its number is written. Whoever is killed in between, or makes it at the same time as another, makes a
 *    step again that was made before: each bears that. */
#include "indexer/catalog/catalog_ops.h"
#include "proto/base/log.h"

static enum status format_advance(struct catalog *catalog, unsigned from, struct error *err)
{
    enum status status = STATUS_OK;

    for (unsigned format = from + 1; status == STATUS_OK && format <= CATALOG_FORMAT; format++) {
        log_msg(LOG_INFO, "catalog.format", "from form %u to %u", format - 1, format);
        status = catalog->ops->format_step(catalog, format, err);
        if (status != STATUS_OK)
            error_wrap(err, "form %u", format);
    }
    return status;
}

enum status catalog_format_settle(struct catalog *catalog, struct error *err)
{
    uint64_t format;
    enum status status = catalog->ops->format_read(catalog, &format, err);

    if (status != STATUS_OK)
        return status;
    if (format > CATALOG_FORMAT)
        return error_set(
            err, STATUS_UNSUPPORTED,
            "its records are of form %llu, this program knows up to %d: a newer indexer has been at it",
            (unsigned long long)format, CATALOG_FORMAT);
    status = format == 0 ? catalog->ops->format_make(catalog, err)
                         : format_advance(catalog, (unsigned)format, err);
    if (status == STATUS_OK && catalog->ops->settle != NULL)
        status = catalog->ops->settle(catalog, err);
    return status;
}
