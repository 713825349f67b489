/* have_request.c: reads and prints lists of digests. */
#include "storaged/have_request.h"

#include "proto/base/json_read.h"
#include "proto/have_question.h"
#include "proto/node_api.h"

#include <stdlib.h>

static enum status read_run(const json_t *object, struct run_key *run, struct error *err)
{
    const char *source, *base_time;

    enum status status = json_get_string(object, "source", &source, err);
    if (status == STATUS_OK)
        status = json_get_string(object, "base_time", &base_time, err);
    if (status == STATUS_OK)
        status = run_key_parse(slice_text(source), slice_text(base_time), run, err);
    return status;
}

static enum status read_digests(const json_t *array, struct have_request *request, struct error *err)
{
    size_t count = json_array_size(array);

    if (count > HAVE_DIGESTS_MAX)
        return error_set(err, STATUS_BAD_VALUE, "digests: %zu of them, at most %d", count,
                         HAVE_DIGESTS_MAX);
    request->digests = calloc(count + 1, sizeof *request->digests);
    request->missing = calloc(count + 1, sizeof *request->missing);
    if (request->digests == NULL || request->missing == NULL)
        return error_set(err, STATUS_NO_MEMORY, "%zu digests", count);
    for (size_t i = 0; i < count; i++) {
        enum status status = digest_json_item(array, "digests", i, &request->digests[i], err);
        if (status != STATUS_OK)
            return status;
        request->missing[i] = true;
    }
    request->count = (unsigned)count;
    return STATUS_OK;
}

enum status have_request_parse(struct slice body, struct have_request *request, struct error *err)
{
    json_t *object, *array;

    *request = (struct have_request){ 0 };
    enum status status = json_parse(body.data, body.size, &object, err);
    if (status != STATUS_OK)
        return status;
    status = read_run(object, &request->run, err);
    request->places = json_is_true(json_object_get(object, "places"));
    if (status == STATUS_OK)
        status = json_get_array(object, "digests", &array, err);
    if (status == STATUS_OK)
        status = read_digests(array, request, err);
    json_decref(object);
    if (status != STATUS_OK)
        have_request_fini(request);
    return status;
}

void have_request_fini(struct have_request *request)
{
    free(request->digests);
    free(request->missing);
    request->digests = NULL;
    request->missing = NULL;
}

void have_request_print(const struct have_request *request, const bool *mask, struct buf *body)
{
    struct json_writer json;

    have_question_begin(&json, body, &request->run, false);
    for (unsigned i = 0; i < request->count; i++)
        if (mask[i])
            digest_json_put_one(&json, &request->digests[i]);
    have_question_end(&json);
}

/* The answer names the missing ones in the order of the question. */
static enum status match_missing(const json_t *array, const struct have_request *request,
                                 const bool *mask, bool *missing, struct error *err)
{
    size_t at = 0, count = json_array_size(array);

    for (unsigned i = 0; i < request->count && at < count; i++) {
        struct digest digest;
        enum status status = digest_json_item(array, "missing", at, &digest, err);
        if (status != STATUS_OK)
            return status;
        if (!mask[i] || digest_compare(&digest, &request->digests[i]) != 0)
            continue;
        missing[i] = true;
        at++;
    }
    if (at < count)
        return error_set(err, STATUS_BAD_VALUE, "missing[%zu]: was not asked for there", at);
    return STATUS_OK;
}

enum status have_answer_read(struct slice answer, const struct have_request *request, bool *mask,
                             struct error *err)
{
    bool *missing = calloc(request->count + 1, sizeof *missing);
    json_t *object, *array;

    if (missing == NULL)
        return error_set(err, STATUS_NO_MEMORY, "an answer about %u digests", request->count);
    enum status status = json_parse(answer.data, answer.size, &object, err);
    if (status == STATUS_OK) {
        status = json_get_array(object, "missing", &array, err);
        if (status == STATUS_OK)
            status = match_missing(array, request, mask, missing, err);
        json_decref(object);
    }
    if (status == STATUS_OK)
        memcpy(mask, missing, request->count * sizeof *mask);
    free(missing);
    return status;
}
