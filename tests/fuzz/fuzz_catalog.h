/* fuzz_catalog.h: an empty catalog for targets that read queries, opened before the first input; what holds of each term of a query. */
#ifndef TESTS_FUZZ_FUZZ_CATALOG_H
#define TESTS_FUZZ_FUZZ_CATALOG_H

#include "indexer/catalog/catalog.h"
#include "tests/fuzz/fuzz.h"

struct catalog *fuzz_catalog(void);

/* Of a known name, within the limits, with values of its type. */
void fuzz_check_term(const struct query_term *term);

#endif
