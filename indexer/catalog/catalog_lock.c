/* catalog_lock.c: locks without a time to live, a record each among the settings. */
#include "indexer/catalog/catalog_ops.h"
#include "proto/base/json_read.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char lock_kind[] = "lock/";
enum { LOCK_LAST = '~' }; /* of what a name is made of */

static bool lock_name_holds(const char *name)
{
    for (const char *at = name; *at != '\0'; at++)
        if (*at <= ' ' || *at > LOCK_LAST)
            return false;
    return name[0] != '\0' && strlen(name) <= LOCK_NAME_SIZE_MAX;
}

static void lock_id(struct record_id *id, const char *name)
{
    char text[RECORD_ID_SIZE_MAX + 1];
    int size = snprintf(text, sizeof text, "%s%s", lock_kind, name);

    static_assert(sizeof lock_kind + LOCK_NAME_SIZE_MAX < RECORD_ID_SIZE_MAX, "room for one behind all");
    assert(size > 0 && (size_t)size < RECORD_ID_SIZE_MAX);
    record_id_set(id, text, (size_t)size);
}

static enum status lock_of(const struct record *record, struct catalog_lock *lock, struct error *err)
{
    const char *name, *holder;
    enum status status = json_get_string(record->doc, "name", &name, err);

    *lock = (struct catalog_lock){ .rev = record->rev };
    if (status == STATUS_OK)
        status = json_get_string(record->doc, "holder", &holder, err);
    if (status == STATUS_OK &&
        (strlen(name) > LOCK_NAME_SIZE_MAX || strlen(holder) > LOCK_HOLDER_SIZE_MAX))
        status = error_set(err, STATUS_CORRUPT, "a name that is too long");
    if (status != STATUS_OK)
        return error_wrap(err, "lock");
    memcpy(lock->name, name, strlen(name) + 1);
    memcpy(lock->holder, holder, strlen(holder) + 1);
    return STATUS_OK;
}

/* rev 0: there is none. */
static enum status lock_get(struct catalog *catalog, const char *name, struct catalog_lock *lock,
                            struct error *err)
{
    struct record_id id;
    struct record found;

    *lock = (struct catalog_lock){ .rev = 0 };
    lock_id(&id, name);
    enum status status = record_read(catalog, CATALOG_SETTINGS, &id, &found, err);
    if (status == STATUS_OK && found.doc != NULL)
        status = lock_of(&found, lock, err);
    json_decref(found.doc);
    return status;
}

/* The record in place of the one of revision rev_was; 0: of none. */
static enum status lock_write(struct catalog *catalog, struct catalog_lock *lock, uint64_t rev_was,
                              struct error *err)
{
    struct record_write write = { .rev_was = rev_was,
                                  .rev = rev_was == 0 ? record_rev_new() : rev_was + 1,
                                  .doc = json_pack("{s:s, s:s}", "name", lock->name, "holder",
                                                   lock->holder) };

    if (write.doc == NULL)
        return error_set(err, STATUS_BAD_VALUE, "lock: not UTF-8");
    lock_id(&write.id, lock->name);
    enum status status = catalog->ops->write(catalog, CATALOG_SETTINGS, &write, 1, err);
    json_decref(write.doc);
    if (status == STATUS_OK && write.lost)
        return error_set(err, STATUS_CONFLICT, "another was faster");
    lock->rev = write.rev;
    return status;
}

enum status catalog_lock_take(struct catalog *catalog, const char *name, const char *holder,
                              struct catalog_lock *lock, struct error *err)
{
    enum status status = STATUS_CONFLICT;

    *lock = (struct catalog_lock){ .rev = 0 };
    if (!lock_name_holds(name) || holder[0] == '\0' || strlen(holder) > LOCK_HOLDER_SIZE_MAX)
        return error_set(err, STATUS_BAD_VALUE, "lock: its name or its holder's is empty or too long");
    for (int round = 0; status == STATUS_CONFLICT && round < CATALOG_ROUNDS_MAX; round++) {
        status = lock_get(catalog, name, lock, err);
        if (status == STATUS_OK && lock->rev != 0 && strcmp(lock->holder, holder) != 0)
            return error_set(err, STATUS_CONFLICT, "%s: held by %s", name, lock->holder);
        uint64_t rev_was = lock->rev;
        snprintf(lock->name, sizeof lock->name, "%s", name);
        snprintf(lock->holder, sizeof lock->holder, "%s", holder);
        if (status == STATUS_OK)
            status = lock_write(catalog, lock, rev_was, err);
    }
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "lock %s", name);
}

enum status catalog_lock_check(struct catalog *catalog, const struct catalog_lock *lock,
                               struct catalog_lock *now, struct error *err)
{
    enum status status = lock_get(catalog, lock->name, now, err);

    if (status == STATUS_OK && now->rev != lock->rev)
        status = error_set(err, STATUS_CONFLICT, "lock %s: %s%s", lock->name,
                           now->rev != 0 ? "held by " : "given back", now->holder);
    return status;
}

enum status catalog_lock_release(struct catalog *catalog, const struct catalog_lock *lock,
                                 struct error *err)
{
    struct catalog_lock found;
    struct record_id id;
    enum status status = STATUS_CONFLICT;

    lock_id(&id, lock->name);
    for (int round = 0; status == STATUS_CONFLICT && round < CATALOG_ROUNDS_MAX; round++) {
        status = lock_get(catalog, lock->name, &found, err);
        if (status != STATUS_OK || found.rev == 0)
            break;
        if (strcmp(found.holder, lock->holder) != 0 || (lock->rev != 0 && found.rev != lock->rev))
            return error_set(err, STATUS_CONFLICT, "lock %s: taken by %s since", lock->name, found.holder);
        status = record_write_one(catalog, CATALOG_SETTINGS, &id, found.rev, NULL, err);
    }
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "lock %s", lock->name);
}

/* --- all of a prefix --- */

struct lock_reading {
    bool (*each)(void *data, const struct catalog_lock *lock);
    void *data;
    enum status status;
    struct error *err;
};

static bool lock_on_record(void *data, const struct record *record)
{
    struct lock_reading *reading = data;
    struct catalog_lock lock;

    reading->status = lock_of(record, &lock, reading->err);
    return reading->status == STATUS_OK && reading->each(reading->data, &lock);
}

enum status catalog_lock_scan(struct catalog *catalog, const char *prefix,
                              bool (*each)(void *data, const struct catalog_lock *lock), void *data,
                              struct error *err)
{
    struct lock_reading reading = { .each = each, .data = data, .err = err };
    struct record_range range = { .whole = false };

    lock_id(&range.from, prefix);
    range.to = range.from;
    range.to.bytes[range.to.size++] = LOCK_LAST + 1;
    enum status status = catalog->ops->scan(catalog, CATALOG_SETTINGS, &range, lock_on_record,
                                            &reading, err);
    return status == STATUS_OK ? reading.status : status;
}

struct lock_list {
    struct catalog_lock *items; /* owned */
    size_t count, size;
};

static bool lock_gather(void *data, const struct catalog_lock *lock)
{
    struct lock_list *list = data;

    if (list->count == list->size) {
        list->size = list->size == 0 ? 64 : 2 * list->size;
        list->items = realloc(list->items, list->size * sizeof *list->items);
        assert(list->items != NULL);
    }
    list->items[list->count++] = *lock;
    return true;
}

enum status catalog_lock_remove(struct catalog *catalog, const char *prefix, struct error *err)
{
    struct lock_list list = { .count = 0 };
    enum status status = catalog_lock_scan(catalog, prefix, lock_gather, &list, err);

    for (size_t i = 0; status == STATUS_OK && i < list.count; i++) {
        status = catalog_lock_release(catalog, &list.items[i], err);
        if (status == STATUS_CONFLICT) /* taken anew since it was seen: whoever did is not of what ended */
            status = STATUS_OK;
    }
    free(list.items);
    return status;
}
