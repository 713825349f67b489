/* json_objects.c: finds where objects begin and end: braces outside of strings. */
#include "client/json_objects.h"

#include "proto/base/json_read.h"

void json_objects_init(struct json_objects *objects,
                       enum status (*each)(void *user, const json_t *object, struct error *err),
                       void *user)
{
    *objects = (struct json_objects){ .each = each, .user = user };
    buf_init(&objects->text, JSON_OBJECT_SIZE_MAX);
}

void json_objects_fini(struct json_objects *objects)
{
    buf_fini(&objects->text);
}

static enum status objects_give(struct json_objects *objects, struct error *err)
{
    json_t *object = NULL;
    enum status status = json_parse(objects->text.data, objects->text.size, &object, err);

    if (status == STATUS_BAD_VALUE)
        status = error_set(err, STATUS_MALFORMED, "object %llu is no JSON",
                           (unsigned long long)objects->count);
    if (status == STATUS_OK)
        status = objects->each(objects->user, object, err);
    json_decref(object);
    objects->count++;
    buf_clear(&objects->text);
    return status;
}

/* What stands between objects. */
static bool objects_between(struct json_objects *objects, uint8_t c)
{
    switch (c) {
    case ' ':
    case '\t':
    case '\r':
    case '\n':
        return true;
    case '[':
        if (objects->array || objects->count > 0)
            return false;
        objects->array = true;
        return true;
    case ',':
        return objects->array && !objects->closed && objects->count > 0;
    case ']':
        if (!objects->array || objects->closed)
            return false;
        objects->closed = true;
        return true;
    default:
        return false;
    }
}

/* One byte of an object. */
static void objects_within(struct json_objects *objects, uint8_t c)
{
    if (objects->escaped)
        objects->escaped = false;
    else if (objects->in_string && c == '\\')
        objects->escaped = true;
    else if (c == '"')
        objects->in_string = !objects->in_string;
    else if (!objects->in_string && (c == '{' || c == '['))
        objects->depth++;
    else if (!objects->in_string && (c == '}' || c == ']'))
        objects->depth--;
}

enum status json_objects_feed(struct json_objects *objects, struct slice bytes, struct error *err)
{
    size_t begin = 0;

    for (size_t i = 0; i < bytes.size; i++) {
        uint8_t c = bytes.data[i];
        if (objects->depth == 0 && (c != '{' || objects->closed)) {
            if (!objects_between(objects, c))
                return error_set(err, STATUS_MALFORMED, "behind object %llu: no object begins there",
                                 (unsigned long long)objects->count);
            continue;
        }
        if (objects->depth == 0)
            begin = i;
        objects_within(objects, c);
        if (objects->depth > 0)
            continue;
        buf_append(&objects->text, bytes.data + begin, i + 1 - begin);
        enum status status = buf_status(&objects->text);
        if (status != STATUS_OK)
            return error_set(err, status, "object %llu", (unsigned long long)objects->count);
        status = objects_give(objects, err);
        if (status != STATUS_OK)
            return status;
    }
    if (objects->depth > 0)
        buf_append(&objects->text, bytes.data + begin, bytes.size - begin);
    if (buf_status(&objects->text) != STATUS_OK)
        return error_set(err, buf_status(&objects->text), "object %llu",
                         (unsigned long long)objects->count);
    return STATUS_OK;
}

enum status json_objects_end(const struct json_objects *objects, struct error *err)
{
    if (objects->depth > 0 || (objects->array && !objects->closed))
        return error_set(err, STATUS_MALFORMED, "the answer ends behind object %llu, in the middle",
                         (unsigned long long)objects->count);
    return STATUS_OK;
}
