/* replica_answer.c: walks the answer's list beside the batch's: both are in the order of the body. */
#include "storaged/peers/replica_answer.h"

#include "storaged/peers/copies.h"

#include "proto/base/json_read.h"
#include "proto/node_api.h"

/* The file and place in a location's URL; a URL of another form is left out, the copy counts all the same. */
static void copy_take_place(struct copy *copy, const char *url, uint64_t offset)
{
    const char *name = strrchr(url, '/');

    if (name == NULL)
        return;
    copy->has_place = data_file_name_parse(slice_text(name + 1), &copy->shard, &copy->birth);
    copy->offset = offset;
}

static enum status copy_take(struct copy *copy, const json_t *entry, const json_t *location,
                             bool is_new, struct error *err)
{
    const char *url = NULL;
    uint64_t offset = 0, stored_at = 0;

    enum status status = json_opt_u64(entry, "stored_at", UINT64_MAX, 0, &stored_at, err);
    if (status == STATUS_OK && location != NULL)
        status = json_get_string(location, "url", &url, err);
    if (status == STATUS_OK && location != NULL)
        status = json_get_u64(location, "offset", UINT64_MAX, &offset, err);
    if (status != STATUS_OK)
        return status;
    copy->done = true;
    copy->is_new = is_new;
    if (stored_at > 0)
        copy->stored_at_us = stored_at; /* it may have had it before, with another stamp */
    if (url != NULL)
        copy_take_place(copy, url, offset);
    return STATUS_OK;
}

static bool entry_digest(const json_t *entry, struct digest *digest, struct error *err)
{
    const char *text;

    if (json_get_string(entry, "digest", &text, err) != STATUS_OK)
        return false;
    if (digest_parse(slice_text(text), digest))
        return true;
    error_set(err, STATUS_BAD_VALUE, "digest: not 64 lower-case hex digits");
    return false;
}

/* The next member from `at` on with this digest; the list's head when there is none. */
static struct list *member_find(struct list *members, struct list *at, const struct digest *digest)
{
    while (at != members && digest_compare(container_of(at, struct copy, list)->digest, digest) != 0)
        at = at->next;
    return at;
}

static enum status entries_match(const json_t *entries, bool asked, struct list *members,
                                 struct error *err)
{
    struct list *at = members->next;
    size_t i;
    json_t *entry;

    json_array_foreach (entries, i, entry) {
        struct digest digest;

        if (!entry_digest(entry, &digest, err))
            return err->status;
        struct list *found = member_find(members, at, &digest);
        if (found == members)
            continue;
        at = found->next;
        const json_t *location = asked ? entry : json_array_get(json_object_get(entry, "locations"), 0);
        bool is_new = !asked && json_is_true(json_object_get(entry, "new"));
        enum status status = copy_take(container_of(found, struct copy, list), entry, location,
                                       is_new, err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

enum status replica_answer_match(struct slice answer, bool asked, struct list *members, struct error *err)
{
    json_t *object, *entries;
    struct error local; /* entry_digest() tells by it */

    if (err == NULL)
        err = &local;
    error_init(err);
    enum status status = json_parse(answer.data, answer.size, &object, err);
    if (status != STATUS_OK)
        return status;
    status = json_get_array(object, asked ? "known" : "messages", &entries, err);
    if (status == STATUS_OK)
        status = entries_match(entries, asked, members, err);
    json_decref(object);
    return status;
}
