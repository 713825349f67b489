/* field_rename.c: the keys of an issue, named anew. Pure.
 *
 * Names are made from kept octets (grib_octets.h), and a head made of those has a made-up grid and packing: what a document says of these
 * two stays as it is. All else is the decoder's. */
#include "indexer/field.h"

#include <string.h>

static const char *const unnamed_keys[] = {
    /* grid */
    "gridType",
    "gridDefinitionTemplateNumber",
    "gridHash",
    "Ni",
    "Nj",
    "N",
    "numberOfDataPoints",
    "latitudeOfFirstGridPointInDegrees",
    "longitudeOfFirstGridPointInDegrees",
    "latitudeOfLastGridPointInDegrees",
    "longitudeOfLastGridPointInDegrees",
    "iDirectionIncrementInDegrees",
    "jDirectionIncrementInDegrees",
    "DxInMetres",
    "DyInMetres",
    /* packing */
    "packingType",
    "bitsPerValue",
    "referenceValue",
    "binaryScaleFactor",
    "decimalScaleFactor",
    "data_offset",
    "data_length",
};

bool field_key_is_unnamed(const char *key)
{
    for (size_t i = 0; i < ARRAY_COUNT(unnamed_keys); i++)
        if (strcmp(key, unnamed_keys[i]) == 0)
            return true;
    return false;
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
