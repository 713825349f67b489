/* fuzz_http_condition.c: entity tags, dates, and their order of precedence (RFC 9110 section 13.2.2).
 *
 * Input: eight bytes of time stamp, one that says which headers there are, then their values, a line each. */
#include "proto/http/http_condition.h"
#include "tests/fuzz/fuzz.h"

static const char etag[] = "\"6f3a92c1d0e4b7a5-4096\"";

static enum http_condition check(const struct http_conditions *conditions, int64_t modified)
{
    enum http_condition result = http_condition_check(conditions, etag, modified);

    MUST(result == http_condition_check(conditions, etag, modified));
    return result;
}

/* A header that another takes the place of changes nothing. */
static void check_precedence(const struct http_conditions *conditions, int64_t modified,
                             enum http_condition result)
{
    struct http_conditions fewer = *conditions;

    if (fewer.if_match.data != NULL)
        fewer.if_unmodified_since = slice_of(NULL, 0);
    if (fewer.if_none_match.data != NULL)
        fewer.if_modified_since = slice_of(NULL, 0);
    MUST(check(&fewer, modified) == result);
    if (fewer.if_match.data == NULL && fewer.if_unmodified_since.data == NULL)
        MUST(result != HTTP_CONDITION_FAILED);
    if (fewer.if_none_match.data == NULL && fewer.if_modified_since.data == NULL)
        MUST(result != HTTP_CONDITION_NOT_CHANGED);
    if (fewer.if_range.data == NULL)
        MUST(result != HTTP_CONDITION_WHOLE);
    fewer.if_range = slice_of(NULL, 0);
    MUST(check(&fewer, modified) == (result == HTTP_CONDITION_WHOLE ? HTTP_CONDITION_GO : result));
}

/* Whatever the client has besides, our own tag in front of If-None-Match is a match. */
static void check_own_tag(const struct http_conditions *conditions, int64_t modified)
{
    struct http_conditions more = *conditions;
    size_t size = sizeof etag - 1 + 1 + more.if_none_match.size;
    char *text = malloc(size);

    MUST(text != NULL);
    memcpy(text, etag, sizeof etag - 1);
    text[sizeof etag - 1] = ',';
    if (more.if_none_match.size > 0)
        memcpy(text + sizeof etag, more.if_none_match.data, more.if_none_match.size);
    more.if_none_match = slice_of(text, size);
    enum http_condition result = check(&more, modified);
    MUST(result == HTTP_CONDITION_NOT_CHANGED || result == HTTP_CONDITION_FAILED);
    free(text);
}

/* A date that is one is the same after it was printed. */
static void check_date(struct slice text)
{
    char printed[HTTP_DATE_SIZE];
    int64_t time, again;

    if (!http_date_parse(text, &time))
        return;
    http_date_print(time, printed);
    MUST(strlen(printed) == 29);
    MUST(http_date_parse(slice_text(printed), &again) && again == time);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };
    struct http_conditions conditions = { .if_match = { NULL, 0 } };
    struct slice *const values[] = { &conditions.if_match, &conditions.if_none_match,
                                     &conditions.if_modified_since, &conditions.if_unmodified_since,
                                     &conditions.if_range };
    uint8_t *copies[ARRAY_COUNT(values)] = { NULL };

    int64_t modified = (int64_t)(fuzz_number(&input, 8) >> 28); /* up to the year 4147 */
    unsigned which = fuzz_byte(&input);
    for (unsigned i = 0; i < ARRAY_COUNT(values); i++) {
        const uint8_t *end = input.size > 0 ? memchr(input.data, '\n', input.size) : NULL;
        size_t length = end != NULL ? (size_t)(end - input.data) : input.size;

        if ((which >> i & 1) == 0)
            continue;
        copies[i] = fuzz_copy(length > 0 ? (const void *)input.data : "", length + (length == 0));
        *values[i] = slice_of(copies[i], length);
        check_date(*values[i]);
        length += end != NULL;
        input = (struct fuzz_input){ input.data + length, input.size - length };
    }
    enum http_condition result = check(&conditions, modified);
    check_precedence(&conditions, modified, result);
    check_own_tag(&conditions, modified);
    for (unsigned i = 0; i < ARRAY_COUNT(values); i++)
        free(copies[i]);
    return 0;
}
