/* query_missing.h: what a request asked for by value and did not get: its lists are a grid, each field found ticks a place of it,
 * what is left is printed as few MARS requests. Pure. */
#ifndef INDEXER_QUERY_MISSING_H
#define INDEXER_QUERY_MISSING_H

#include "indexer/catalog/catalog.h"

enum {
    MISSING_PLACES_MAX = 200000, /* a larger grid is not looked at */
    MISSING_LINES_MAX = 100, /* requests printed; the list ends with "..." where there are more */
};

struct missing;

/* NULL: the grid is too large, or memory ran out; nothing is said then. The query is borrowed until the end. */
struct missing *missing_new(const struct catalog_query *query);
void missing_free(struct missing *missing); /* NULL is fine */

/* The members that missing_tick() has to be given the values of, in this order. */
size_t missing_keys(const struct missing *missing, const char *const **keys);
void missing_tick(struct missing *missing, const struct catalog_value *values);
uint64_t missing_count(const struct missing *missing); /* places without a field */

/* Each request that is missing, as "param=2t,step=0/to/24/by/6"; `more` (the last): there would be others. */
void missing_print(struct missing *missing,
                   void (*each)(void *data, const char *request, bool more), void *data);

/* Values of text that match nothing at all while others do (or all of them do not): for hints. */
void missing_names(struct missing *missing,
                   void (*each)(void *data, const char *key, const char *value), void *data);

#endif
