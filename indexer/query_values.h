/* query_values.h: what stands behind the = of a query: one value, a list a/b/c, ranges a/to/b[/by/n] anywhere in it, as metkit
 * expands them: never past the end, downwards where a > b, by 0 is an error. Pure, but for what "today" is. */
#ifndef INDEXER_QUERY_VALUES_H
#define INDEXER_QUERY_VALUES_H

#include "indexer/query_keys.h"

enum {
    QUERY_KEY_TERMS = 4,
    QUERY_SLASH = 0x1f, /* in such a text: a slash of the value itself, which ends no item; quotes of MARS make it */
};

/* Fills *count terms: 0 for the value "all" (any), several where some values ask for other members (param=2t/167/11.2): each is then
 * an alternative of the one before. A step is looked for as step_seconds, which is exact and in the indexes. The terms' values are the
 * caller's: query_term_fini(). BAD_VALUE says which value and why; nothing is to be freed then. */
enum status query_values_parse(const struct query_key *key, struct slice text,
                               struct query_term terms[QUERY_KEY_TERMS], size_t *count,
                               struct error *err);
void query_term_fini(struct query_term *term);

#endif
