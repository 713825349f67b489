/* catalog.c: which database stands behind the catalog. */
#include "indexer/catalog/catalog_ops.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

enum status catalog_open(const char *uri, struct catalog **catalog, struct error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const struct catalog_ops *ops = NULL;

    pthread_once(&once, catalog_apply_metrics);
    *catalog = NULL;
    if (strncmp(uri, "sqlite:", strlen("sqlite:")) == 0)
        ops = &catalog_sqlite_ops;
    else if (strncmp(uri, "mongodb://", strlen("mongodb://")) == 0 ||
             strncmp(uri, "mongodb+srv://", strlen("mongodb+srv://")) == 0)
        ops = &catalog_mongo_ops;
    if (ops == NULL)
        return error_set(err, STATUS_BAD_VALUE, "catalog: neither sqlite:FILE nor mongodb://...");

    enum status status = ops->open(uri, catalog, err);
    if (status == STATUS_OK) {
        (*catalog)->ops = ops;
        status = catalog_format_settle(*catalog, err);
    }
    if (status != STATUS_OK) {
        catalog_close(*catalog);
        *catalog = NULL;
        return error_wrap(err, "catalog");
    }
    return STATUS_OK;
}

void catalog_close(struct catalog *catalog)
{
    if (catalog != NULL)
        catalog->ops->close(catalog);
}

enum status catalog_ping(struct catalog *catalog, struct error *err)
{
    return catalog->ops->ping(catalog, err);
}

const char *catalog_backend(const struct catalog *catalog)
{
    return catalog->ops->name;
}

enum status catalog_lease_take(struct catalog *catalog, const char *name, const char *owner,
                               uint64_t ttl_ms, char holder[64], struct error *err)
{
    if (name[0] == '\0' || strlen(name) > LEASE_NAME_SIZE_MAX || owner[0] == '\0' || strlen(owner) >= 64)
        return error_set(err, STATUS_BAD_VALUE,
                         "a lease's name has 1 to %d characters, its owner 1 to 63", LEASE_NAME_SIZE_MAX);
    if (ttl_ms == 0 || ttl_ms > LEASE_TTL_MS_MAX)
        return error_set(err, STATUS_BAD_VALUE, "a lease lasts 1 ms to a day");
    return catalog->ops->lease_take(catalog, name, owner, ttl_ms, holder, err);
}

enum status catalog_lease_release(struct catalog *catalog, const char *name, const char *owner,
                                  struct error *err)
{
    return catalog->ops->lease_release(catalog, name, owner, err);
}

enum status catalog_lease_renew(struct catalog *catalog, const char *owner, uint64_t ttl_ms, struct error *err)
{
    return catalog->ops->lease_renew(catalog, owner, ttl_ms, err);
}

enum status catalog_lease_release_all(struct catalog *catalog, const char *owner, struct error *err)
{
    return catalog->ops->lease_release_all(catalog, owner, err);
}

enum status catalog_lease_scan(struct catalog *catalog,
                               bool (*each)(void *data, const struct catalog_lease *lease),
                               void *data, struct error *err)
{
    return catalog->ops->lease_scan(catalog, each, data, err);
}

bool catalog_is_shared(const struct catalog *catalog)
{
    return catalog->ops->shared;
}
