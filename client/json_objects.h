/* json_objects.h: a long answer as a row of JSON objects: lines of NDJSON, or one array, whichever comes; an object at a time is in memory. Pure.
 *
 * Only objects may stand there, with white space, or commas within the array, between them. What is within an object is json_parse()'s to
 * judge. */
#ifndef CLIENT_JSON_OBJECTS_H
#define CLIENT_JSON_OBJECTS_H

#include "proto/base/buf.h"

#include <jansson.h>
#include <stdbool.h>

enum { JSON_OBJECT_SIZE_MAX = 1 << 20 };

struct json_objects {
    /* One object, borrowed; other than OK ends the reading. */
    enum status (*each)(void *user, const json_t *object, struct error *err);
    void *user;
    struct buf text; /* of the object under way */
    unsigned depth;  /* of braces and brackets within it */
    bool in_string, escaped;
    bool array, closed; /* it began with [; and ended with ] */
    uint64_t count;
};

void json_objects_init(struct json_objects *objects,
                       enum status (*each)(void *user, const json_t *object, struct error *err),
                       void *user);
void json_objects_fini(struct json_objects *objects);
/* MALFORMED, TOO_LARGE, NO_MEMORY, or what each() said. After an error nothing more is taken. */
enum status json_objects_feed(struct json_objects *objects, struct slice bytes, struct error *err);
/* At the end: MALFORMED when it ends within an object, or within the array. */
enum status json_objects_end(const struct json_objects *objects, struct error *err);

#endif
