/* catalog_mongo_put.h: BSON of our documents, byte after byte into memory that is used again. Private to catalog_mongo_field.c.
 *
 * libbson's functions look at every name, copy by lists of arguments and grow by powers of two: three quarters of what making a document
 * of sixty members took. Here a member is its type, its name and its value, as bsonspec.org has them, little endian. */
#ifndef INDEXER_CATALOG_MONGO_PUT_H
#define INDEXER_CATALOG_MONGO_PUT_H

#include "indexer/catalog/catalog_mongo.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { MONGO_DOCUMENT_BEGIN = 4096 }; /* bytes; nearly all are smaller */

/* Room for so many bytes more. */
static inline uint8_t *put_room(struct mongo_bytes *to, size_t size)
{
    if (to->capacity - to->size < size) {
        size_t capacity = to->capacity == 0 ? MONGO_DOCUMENT_BEGIN : to->capacity;
        while (capacity - to->size < size)
            capacity *= 2;
        to->data = realloc(to->data, capacity);
        assert(to->data != NULL);
        to->capacity = capacity;
    }
    uint8_t *at = to->data + to->size;
    to->size += size;
    return at;
}

static inline void put_le_32(uint8_t *at, uint32_t value)
{
    value = BSON_UINT32_TO_LE(value);
    memcpy(at, &value, sizeof value);
}

static inline void put_le_64(uint8_t *at, uint64_t value)
{
    value = BSON_UINT64_TO_LE(value);
    memcpy(at, &value, sizeof value);
}

/* Type, name and its zero, then room for a value of size bytes, which is returned. */
static inline uint8_t *put_head(struct mongo_bytes *to, uint8_t type, struct slice name, size_t size)
{
    uint8_t *at = put_room(to, 1 + name.size + 1 + size);

    *at = type;
    memcpy(at + 1, name.data, name.size);
    at[1 + name.size] = '\0';
    return at + 1 + name.size + 1;
}

static inline void put_int32(struct mongo_bytes *to, struct slice name, int32_t value)
{
    put_le_32(put_head(to, BSON_TYPE_INT32, name, 4), (uint32_t)value);
}

static inline void put_int64(struct mongo_bytes *to, struct slice name, int64_t value)
{
    put_le_64(put_head(to, BSON_TYPE_INT64, name, 8), (uint64_t)value);
}

static inline void put_date(struct mongo_bytes *to, struct slice name, int64_t seconds)
{
    put_le_64(put_head(to, BSON_TYPE_DATE_TIME, name, 8), (uint64_t)(seconds * 1000));
}

static inline void put_real(struct mongo_bytes *to, struct slice name, double value)
{
    uint64_t bits;

    static_assert(sizeof bits == sizeof value, "IEEE");
    memcpy(&bits, &value, sizeof bits);
    put_le_64(put_head(to, BSON_TYPE_DOUBLE, name, 8), bits);
}

static inline void put_bool(struct mongo_bytes *to, struct slice name, bool value)
{
    *put_head(to, BSON_TYPE_BOOL, name, 1) = value;
}

static inline void put_none(struct mongo_bytes *to, struct slice name)
{
    put_head(to, BSON_TYPE_NULL, name, 0);
}

static inline void put_text(struct mongo_bytes *to, struct slice name, struct slice text)
{
    uint8_t *at = put_head(to, BSON_TYPE_UTF8, name, 4 + text.size + 1);

    put_le_32(at, (uint32_t)text.size + 1);
    memcpy(at + 4, text.data, text.size);
    at[4 + text.size] = '\0';
}

static inline void put_binary(struct mongo_bytes *to, struct slice name, struct slice bytes)
{
    uint8_t *at = put_head(to, BSON_TYPE_BINARY, name, 4 + 1 + bytes.size);

    put_le_32(at, (uint32_t)bytes.size);
    at[4] = BSON_SUBTYPE_BINARY;
    memcpy(at + 5, bytes.data, bytes.size);
}

/* A document begins, by itself or (type BSON_TYPE_DOCUMENT, BSON_TYPE_ARRAY) as a member: where, for put_end(). */
static inline size_t put_begin(struct mongo_bytes *to)
{
    size_t begin = to->size;

    put_room(to, 4);
    return begin;
}

static inline size_t put_begin_member(struct mongo_bytes *to, uint8_t type, struct slice name)
{
    put_head(to, type, name, 0);
    return put_begin(to);
}

static inline void put_end(struct mongo_bytes *to, size_t begin)
{
    *put_room(to, 1) = '\0';
    assert(to->size - begin <= INT32_MAX);
    put_le_32(to->data + begin, (uint32_t)(to->size - begin));
}

#endif
