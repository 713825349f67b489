/* fuzz_catalog.c: the catalog lies in the target's directory. */
#include "tests/fuzz/fuzz_catalog.h"

#include "indexer/query_keys.h"
#include "proto/base/log.h"
#include "tests/fuzz/fuzz_dir.h"

#include <math.h>

static struct catalog *catalog;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char uri[FUZZ_PATH_SIZE + 32];
    struct error err;

    (void)argc;
    (void)argv;
    log_setup(FUZZ_LOG, LOG_LOGFMT);
    snprintf(uri, sizeof uri, "sqlite:%s/catalog", fuzz_dir());
    MUST(catalog_open(uri, &catalog, &err) == STATUS_OK);
    return 0;
}

struct catalog *fuzz_catalog(void)
{
    return catalog;
}

void fuzz_check_term(const struct query_term *term)
{
    bool known = false;

    for (const struct query_key *key = query_keys; key->name != NULL; key++)
        known = known || strcmp(key->name, term->key) == 0;
    MUST(known && term->count > 0 && term->count <= QUERY_VALUES_MAX);
    for (size_t i = 0; i < term->count; i++) {
        MUST(term->type != QUERY_TEXT || term->values[i].text != NULL);
        MUST(term->type != QUERY_NUMBER || isfinite(term->values[i].number));
    }
}
