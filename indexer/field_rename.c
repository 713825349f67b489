/* field_rename.c: the keys of an issue, named anew. Pure.
 *
 * Names are made from kept octets (grib_octets.h), and a head made of those has a made-up grid and packing: what a document says of these
 * two stays as it is. All else is the decoder's. */
#include "indexer/field.h"
#include "indexer/grib_grid.h"
#include "indexer/grib_packing.h"

#include <assert.h>
#include <string.h>

static bool is_one_of(const char *key, const char *const *keys)
{
    for (; *keys != NULL; keys++)
        if (strcmp(key, *keys) == 0)
            return true;
    return false;
}

bool field_key_is_unnamed(const char *key)
{
    return is_one_of(key, grib_grid_whole_keys) || is_one_of(key, grib_grid_real_keys) ||
           is_one_of(key, grib_grid_other_keys) || is_one_of(key, grib_packing_keys) ||
           strcmp(key, "packingType") == 0; /* ecCodes' */
}

static bool is_unnamed(const struct field_key *key)
{
    char name[64];

    if (key->name.size >= sizeof name)
        return false;
    memcpy(name, key->name.data, key->name.size);
    name[key->name.size] = '\0';
    return field_key_is_unnamed(name);
}

static void take_keys(struct json_writer *to, const struct field_keys *from, bool unnamed)
{
    struct field_key key;

    for (size_t at = 0; field_keys_next(from, &at, &key);)
        if (is_unnamed(&key) == unnamed)
            field_key_put(to, &key);
}

struct field_keys *field_keys_renamed(const struct field_keys *keys, const struct field_keys *named)
{
    struct json_writer json;
    struct buf text;

    buf_init(&text, (size_t)2 * FIELD_KEYS_SIZE_MAX + 2);
    json_init(&json, &text);
    json_object_begin(&json);
    take_keys(&json, named, false);
    take_keys(&json, keys, true);
    json_object_end(&json);
    assert(buf_status(&text) == STATUS_OK); /* no more than both */
    struct field_keys *renamed = field_keys_of_members(slice_of(text.data + 1, text.size - 2));
    buf_fini(&text);
    return renamed;
}
