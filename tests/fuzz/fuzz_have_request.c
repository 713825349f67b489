/* fuzz_have_request.c: POST /have: the question, and another node's answer to it.
 *
 * Input: the question, a line end, the answer. A question is printed and read again alike; an answer may only name what was
 * asked for, and one that can't be read changes nothing. */
#include "storaged/have_request.h"
#include "tests/fuzz/fuzz.h"

enum { PRINTED_MAX = 16 << 20 };

static void check_printed(const struct have_request *request)
{
    struct have_request again;
    struct buf text;

    buf_init(&text, PRINTED_MAX);
    have_request_print(request, request->missing, &text);
    MUST(have_request_parse(slice_of(text.data, text.size), &again, NULL) == STATUS_OK);
    MUST(run_key_compare(&again.run, &request->run) == 0 && again.count == request->count);
    for (unsigned i = 0; i < again.count; i++)
        MUST(digest_compare(&again.digests[i], &request->digests[i]) == 0);
    have_request_fini(&again);
    buf_fini(&text);
}

/* asked: every second one, or all. */
static void check_answer(const struct have_request *request, struct slice answer, unsigned step)
{
    bool *mask = calloc(request->count + 1, sizeof *mask),
         *before = calloc(request->count + 1, sizeof *mask);
    struct error err;

    MUST(mask != NULL && before != NULL);
    error_init(&err);
    for (unsigned i = 0; i < request->count; i += step)
        mask[i] = before[i] = true;
    enum status status = have_answer_read(answer, request, mask, &err);
    MUST(status == STATUS_OK || err.text[0] != '\0');
    for (unsigned i = 0; i < request->count; i++)
        MUST(status == STATUS_OK ? !mask[i] || before[i] : mask[i] == before[i]);
    free(mask);
    free(before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t question = end != NULL ? (size_t)(end - data) : size;
    struct have_request request;
    struct error err;

    error_init(&err);
    if (have_request_parse(slice_of(data, question), &request, &err) != STATUS_OK) {
        MUST(err.status == STATUS_BAD_VALUE && err.text[0] != '\0');
        MUST(request.digests == NULL && request.missing == NULL);
        return 0;
    }
    check_printed(&request);
    if (end != NULL) {
        check_answer(&request, slice_of(end + 1, size - question - 1), 1);
        check_answer(&request, slice_of(end + 1, size - question - 1), 2);
    }
    have_request_fini(&request);
    return 0;
}
