/* catalog_mongo_lease.c: leases by the server's clock: whether one has run out is decided where it is taken. */
#include "indexer/catalog/catalog_mongo.h"

#include <stdio.h>
#include <string.h>

enum { LEASE_ROUNDS_MAX = 10 };

/* Free: nobody's, ours, or run out. Then it is ours from now on; otherwise it stays as it is. */
static bson_t *lease_command(const char *name, const char *owner, uint64_t ttl_ms)
{
    bson_t *ours = BCON_NEW("$literal", BCON_UTF8(owner));
    bson_t *free_now = BCON_NEW("$or", "[", "{", "$eq", "[", "{", "$ifNull", "[", BCON_UTF8("$owner"),
                                BCON_DOCUMENT(ours), "]", "}", BCON_DOCUMENT(ours), "]", "}", "{",
                                "$lte", "[", BCON_UTF8("$expires"), BCON_UTF8("$$NOW"), "]", "}", "]");
    bson_t *command = BCON_NEW("findAndModify", BCON_UTF8("leases"), "query", "{", "_id",
                               BCON_UTF8(name), "}", "update", "[", "{", "$set", "{", "owner", "{",
                               "$cond", "[", BCON_DOCUMENT(free_now), BCON_DOCUMENT(ours),
                               BCON_UTF8("$owner"), "]", "}", "expires", "{", "$cond", "[",
                               BCON_DOCUMENT(free_now), "{", "$add", "[", BCON_UTF8("$$NOW"),
                               BCON_INT64((int64_t)ttl_ms), "]", "}", BCON_UTF8("$expires"), "]",
                               "}", "}", "}", "]", "upsert", BCON_BOOL(true), "new", BCON_BOOL(true));

    bson_destroy(ours);
    bson_destroy(free_now);
    return command;
}

static bool reply_holder(const bson_t *reply, char holder[64])
{
    bson_iter_t at, owner;

    if (!bson_iter_init(&at, reply) || !bson_iter_find_descendant(&at, "value.owner", &owner) ||
        !BSON_ITER_HOLDS_UTF8(&owner))
        return false;
    snprintf(holder, 64, "%s", bson_iter_utf8(&owner, NULL));
    return true;
}

static enum status lease_try(struct mongo_call *call, const bson_t *command, char holder[64],
                             struct error *err)
{
    bson_error_t failure;
    bson_t reply;
    enum status status = STATUS_OK;

    if (!mongoc_client_write_command_with_opts(call->client, call->mongo->database, command, NULL,
                                               &reply, &failure))
        status = failure.code == MONGO_DUPLICATE /* two made it at once */
                     ? error_set(err, STATUS_MORE, "lease: another was made")
                     : mongo_failed(&failure, err, "lease");
    else if (bson_has_field(&reply, "writeConcernError"))
        status = mongo_unconfirmed(err);
    else if (!reply_holder(&reply, holder))
        status = error_set(err, STATUS_INTERNAL, "MongoDB: a lease without owner");
    bson_destroy(&reply);
    return status;
}

enum status mongo_lease_take(struct catalog *catalog, const char *name, const char *owner,
                             uint64_t ttl_ms, char holder[64], struct error *err)
{
    struct mongo_call call;
    bson_t *command = lease_command(name, owner, ttl_ms);
    enum status status = STATUS_MORE;

    holder[0] = '\0';
    mongo_begin(&call, catalog, "leases");
    for (int round = 0; status == STATUS_MORE && round < LEASE_ROUNDS_MAX; round++)
        status = lease_try(&call, command, holder, err);
    mongo_end(&call);
    bson_destroy(command);
    if (status == STATUS_MORE)
        status = error_set(err, STATUS_CONFLICT, "lease %s: others came first", name);
    if (status == STATUS_OK && strcmp(holder, owner) != 0)
        status = error_set(err, STATUS_CONFLICT, "lease %s: %s holds it", name, holder);
    return status;
}

enum status mongo_lease_release(struct catalog *catalog, const char *name, const char *owner,
                                struct error *err)
{
    struct mongo_call call;
    bson_t *selector = BCON_NEW("_id", BCON_UTF8(name), "owner", BCON_UTF8(owner));
    bson_error_t failure;
    enum status status = STATUS_OK;

    mongo_begin(&call, catalog, "leases");
    if (!mongoc_collection_delete_one(call.collection, selector, NULL, NULL, &failure))
        status = mongo_failed(&failure, err, "lease");
    mongo_end(&call);
    bson_destroy(selector);
    return status;
}

/* The first of them; all are of one command. */
static enum status lease_write_error(const bson_t *reply, struct error *err)
{
    bson_error_t failure = { .domain = MONGOC_ERROR_SERVER };
    bson_iter_t at, code;

    if (bson_iter_init(&at, reply) && bson_iter_find_descendant(&at, "writeErrors.0.code", &code))
        failure.code = (uint32_t)bson_iter_as_int64(&code);
    bson_strncpy(failure.message, "a write was refused", sizeof failure.message);
    return mongo_failed(&failure, err, "leases");
}

/* One command on the collection of leases, whose answer may hold errors of writes. */
static enum status lease_command_run(struct catalog *catalog, const bson_t *command, struct error *err)
{
    struct mongo_call call;
    bson_error_t failure;
    bson_t reply;
    enum status status = STATUS_OK;

    mongo_begin(&call, catalog, "leases");
    if (!mongoc_client_write_command_with_opts(call.client, call.mongo->database, command, NULL,
                                               &reply, &failure))
        status = mongo_failed(&failure, err, "leases");
    else if (bson_has_field(&reply, "writeConcernError"))
        status = mongo_unconfirmed(err);
    else if (bson_has_field(&reply, "writeErrors"))
        status = lease_write_error(&reply, err);
    bson_destroy(&reply);
    mongo_end(&call);
    return status;
}

enum status mongo_lease_renew(struct catalog *catalog, const char *owner, uint64_t ttl_ms,
                              struct error *err)
{
    bson_t *command = BCON_NEW("update", BCON_UTF8("leases"), "updates", "[", "{", "q", "{", "owner",
                               BCON_UTF8(owner), "$expr", "{", "$gt", "[", BCON_UTF8("$expires"),
                               BCON_UTF8("$$NOW"), "]", "}", "}", "u", "[", "{", "$set", "{", "expires",
                               "{", "$add", "[", BCON_UTF8("$$NOW"), BCON_INT64((int64_t)ttl_ms),
                               "]", "}", "}", "}", "]", "multi", BCON_BOOL(true), "}", "]");
    enum status status = lease_command_run(catalog, command, err);

    bson_destroy(command);
    return status;
}

enum status mongo_lease_release_all(struct catalog *catalog, const char *owner, struct error *err)
{
    bson_t *command = BCON_NEW("delete", BCON_UTF8("leases"), "deletes", "[", "{", "q", "{",
                               "owner", BCON_UTF8(owner), "}", "limit", BCON_INT32(0), "}", "]");
    enum status status = lease_command_run(catalog, command, err);

    bson_destroy(command);
    return status;
}

static bool lease_of_bson(const bson_t *bson, struct catalog_lease *lease)
{
    bson_iter_t name, owner, left;

    if (!bson_iter_init_find(&name, bson, "_id") || !BSON_ITER_HOLDS_UTF8(&name) ||
        !bson_iter_init_find(&owner, bson, "owner") || !BSON_ITER_HOLDS_UTF8(&owner) ||
        !bson_iter_init_find(&left, bson, "left") || !BSON_ITER_HOLDS_NUMBER(&left))
        return false;
    snprintf(lease->name, sizeof lease->name, "%s", bson_iter_utf8(&name, NULL));
    snprintf(lease->owner, sizeof lease->owner, "%s", bson_iter_utf8(&owner, NULL));
    lease->left_ms = bson_iter_as_int64(&left);
    return true;
}

enum status mongo_lease_scan(struct catalog *catalog,
                             bool (*each)(void *data, const struct catalog_lease *lease),
                             void *data, struct error *err)
{
    struct mongo_call call;
    bson_t *pipeline = BCON_NEW("pipeline", "[", "{", "$project", "{", "owner", BCON_INT32(1),
                                "left", "{", "$subtract", "[", BCON_UTF8("$expires"),
                                BCON_UTF8("$$NOW"), "]", "}", "}", "}", "]");
    enum status status = STATUS_OK;
    bson_error_t failure;
    const bson_t *bson;
    bool more = true;

    mongo_begin(&call, catalog, "leases");
    mongoc_cursor_t *cursor = mongoc_collection_aggregate(call.collection, MONGOC_QUERY_NONE,
                                                          pipeline, NULL, NULL);
    while (more && mongoc_cursor_next(cursor, &bson)) {
        struct catalog_lease lease;
        if (lease_of_bson(bson, &lease)) /* what is none of ours is nobody's */
            more = each(data, &lease);
    }
    if (more && mongoc_cursor_error(cursor, &failure))
        status = mongo_failed(&failure, err, "leases");
    mongoc_cursor_destroy(cursor);
    mongo_end(&call);
    bson_destroy(pipeline);
    return status;
}
