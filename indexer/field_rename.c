/* field_rename.c: the keys of an issue, named anew. Pure.
 *
 * Names are made from kept octets (grib_octets.h), and a head made of those has a made-up grid and packing: what a document says of these
 * two stays as it is. All else is the decoder's. */
#include "indexer/field.h"
#include "indexer/grib_grid.h"
#include "indexer/grib_packing.h"

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

static bool take_keys(json_t *to, json_t *from, bool unnamed)
{
    const char *key;
    json_t *value;

    json_object_foreach (from, key, value)
        if (field_key_is_unnamed(key) == unnamed && json_object_set(to, key, value) != 0)
            return false;
    return true;
}

json_t *field_keys_renamed(json_t *keys, json_t *named)
{
    json_t *renamed = json_object();

    if (renamed != NULL && take_keys(renamed, named, false) && take_keys(renamed, keys, true))
        return renamed;
    json_decref(renamed);
    return NULL;
}
