/* fuzz_query.c: MARS-like requests: pairs of key and value.
 *
 * Input: key=value&key=value... as it stands, nothing decoded. What is taken is within its limits, made of known names, and
 * the same the second time; a catalog without documents answers it with none, and without an error. */
#include "indexer/query.h"
#include "tests/fuzz/fuzz_catalog.h"

/* The text between here and the next of these; the rest is behind it. */
static struct slice take_until(struct slice *text, char end)
{
    const uint8_t *found = text->size > 0 ? memchr(text->data, end, text->size) : NULL;
    size_t size = found != NULL ? (size_t)(found - text->data) : text->size;
    struct slice front = slice_of(text->data, size);

    size += found != NULL;
    *text = slice_of(text->data + size, text->size - size);
    return front;
}

static enum status parse(struct slice text, struct query_request *request, struct error *err)
{
    enum status status = STATUS_OK;

    error_init(err);
    query_init(request);
    while (text.size > 0 && status == STATUS_OK) {
        struct slice pair = take_until(&text, '&');
        uint8_t *copy = fuzz_copy(pair.size > 0 ? (const void *)pair.data : "",
                                  pair.size + (pair.size == 0));
        struct slice value = slice_of(copy, pair.size), key = take_until(&value, '=');
        status = query_add(request, key, value, err);
        free(copy);
    }
    return status == STATUS_OK ? query_finish(request, err) : status;
}

static void compare(const struct query_term *a, const struct query_term *b)
{
    MUST(strcmp(a->key, b->key) == 0 && a->type == b->type && a->count == b->count);
    for (size_t i = 0; i < a->count; i++) {
        if (a->type == QUERY_TEXT)
            MUST(strcmp(a->values[i].text, b->values[i].text) == 0);
        else if (a->type == QUERY_NUMBER)
            MUST(a->values[i].number == b->values[i].number);
        else
            MUST(a->values[i].time == b->values[i].time);
    }
}

static bool found(void *data, const struct field_document *document)
{
    (void)data;
    MUST(document == NULL); /* there is none */
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct query_request first, second;
    struct error err;

    enum status status = parse(slice_of(data, size), &first, &err);
    if (status == STATUS_OK) {
        const struct catalog_query *query = &first.query;
        MUST(query->terms_count <= QUERY_TERMS_MAX && query->limit > 0 && query->limit <= QUERY_LIMIT_MAX);
        MUST(parse(slice_of(data, size), &second, &err) == STATUS_OK);
        MUST(second.query.terms_count == query->terms_count);
        for (size_t i = 0; i < query->terms_count; i++) {
            fuzz_check_term(&query->terms[i]);
            compare(&query->terms[i], &second.query.terms[i]);
        }
        query_fini(&second);
        MUST(catalog_find(fuzz_catalog(), query, found, NULL, &err) == STATUS_OK);
    } else {
        MUST(status == STATUS_BAD_VALUE || status == STATUS_UNKNOWN_KEY);
        MUST(err.text[0] != '\0');
    }
    query_fini(&first);
    return 0;
}
