/* query_axes.h: which values there are of each key among what matches.
 *
 * A run's values are kept as a table of small numbers (some 40 bytes a field), made by one reading of the run and used while the run has as
 * many documents as then, for a minute at most. Conditions on other keys than the table's are left to the database. Pool threads only; a
 * cache may be used by several at once. */
#ifndef INDEXER_QUERY_AXES_H
#define INDEXER_QUERY_AXES_H

#include "indexer/query_parts.h"
#include "proto/base/json_write.h"

enum {
    AXES_ROWS_MAX = 5000000,         /* fields looked at for one answer */
    AXES_VALUES_MAX = 65000,         /* of one key */
    AXES_CACHE_SIZE_MAX = 256 << 20, /* bytes of all tables */
    AXES_FRESH_MS = 60000,
};

struct axes_cache;
struct axes_cache *axes_cache_new(void);        /* NULL: no memory */
void axes_cache_free(struct axes_cache *cache); /* nobody uses it any more; NULL is fine */

struct axes;
/* What matches all parts together. *axes is the caller's (axes_free). BAD_VALUE: more fields or values than are looked at. */
enum status axes_take(struct axes_cache *cache, struct catalog *catalog, struct query_part *const *parts,
                      size_t count, struct axes **axes, struct error *err);
void axes_free(struct axes *axes);            /* NULL is fine */
uint64_t axes_count(const struct axes *axes); /* fields */
/* {"param": ["2t", "msl"], "step": [0, 6], ...}: keys that some field has, values ascending. */
void axes_print(struct axes *axes, struct json_writer *json);
/* The value of this key that is spelled most like `value`; NULL: none is near, or the key is not looked at. Until axes_free(). */
const char *axes_nearest(const struct axes *axes, const char *key, const char *value);

#endif
