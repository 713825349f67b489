/* fuzz_query_body.c: requests as bodies: MARS text, or JSON when it begins with { or [.
 *
 * What is taken is within its limits, made of known names and finite numbers. The catalog that it is asked of is empty: nothing is
 * found, all is missing, and that is said in so many lines at most. */
#include "indexer/query_body.h"
#include "indexer/query_missing.h"
#include "tests/fuzz/fuzz_catalog.h"

static bool found(void *data, const struct catalog_row *row)
{
    (void)data;
    MUST(row == NULL); /* there is none */
    return false;
}

static void count_line(void *data, const char *request, bool more)
{
    (void)more;
    MUST(request[0] != '\0');
    ++*(unsigned *)data;
}

static void check_request(const struct query_request *request)
{
    const struct catalog_query *query = &request->query;
    struct catalog_rows rows = { .text = true, .each = found };
    struct error err;
    unsigned lines = 0;

    MUST(query->terms_count <= QUERY_TERMS_MAX && query->limit > 0 && query->limit <= QUERY_LIMIT_MAX);
    MUST(query->sorts_count <= QUERY_SORTS_MAX);
    for (size_t i = 0; i < query->terms_count; i++)
        fuzz_check_term(&query->terms[i]);
    struct missing *missing = query->terms_count > 0 ? missing_new(query) : NULL;
    if (missing != NULL) {
        MUST(missing_count(missing) > 0);
        missing_print(missing, count_line, &lines);
        MUST(lines > 0 && lines <= MISSING_LINES_MAX + 1);
    }
    missing_free(missing);
    MUST(catalog_find_rows(fuzz_catalog(), query, &rows, &err) == STATUS_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool json = size > 0 && (data[0] == '{' || data[0] == '[');
    uint8_t *copy = fuzz_copy(size > 0 ? (const void *)data : "", size + (size == 0));
    struct query_body body;
    struct error err;

    error_init(&err);
    query_body_init(&body);
    enum status status = json ? query_body_json(&body, slice_of(copy, size), &err)
                              : query_body_text(&body, slice_of(copy, size), &err);
    if (status == STATUS_OK) {
        MUST(body.count > 0 && body.count <= QUERY_REQUESTS_MAX);
        for (size_t i = 0; i < body.count; i++)
            if (query_finish(&body.requests[i], &err) == STATUS_OK)
                check_request(&body.requests[i]);
    } else {
        MUST(status == STATUS_BAD_VALUE || status == STATUS_UNKNOWN_KEY);
        MUST(err.text[0] != '\0');
    }
    query_body_fini(&body);
    free(copy);
    return 0;
}
