/* fuzz_client_objects.c: what other processes answer to a check: lines of locations, members of shards, runs of a node.
 *
 * However the bytes are cut, the same objects come; and what is read of one is what may be used: names that are names, numbers in their range. */
#include "client/check_survey.h"
#include "client/json_objects.h"
#include "client/locations.h"
#include "proto/node_api.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

struct seen {
    uint64_t count, sum;
};

static void check_location(const json_t *object)
{
    struct location location;
    struct error err;
    uint64_t count;
    bool end;

    error_init(&err);
    enum status status = location_read(object, &location, &end, &count, &err);
    MUST(status == STATUS_OK || err.text[0] != '\0');
    if (status != STATUS_OK || end)
        return;
    MUST(node_id_valid(location.node) && location.offset <= INT64_MAX && location.length <= INT64_MAX);
    MUST(strpbrk(location.node, "/?# ") == NULL);
}

static void check_runs(const json_t *object)
{
    struct check_survey_node node = { .epoch = 0 };
    struct error err;

    error_init(&err);
    enum status status = check_survey_read_runs(object, &node.runs, &node.runs_count, &err);
    for (size_t i = 0; status == STATUS_OK && i < node.runs_count; i++) {
        MUST(source_valid(slice_text(node.runs[i].run.source)));
        MUST(check_survey_find(&node, &node.runs[i].run) != NULL);
    }
    free(node.runs);
}

static enum status take(void *user, const json_t *object, struct error *err)
{
    struct seen *seen = user;
    struct check_copy copy;
    struct error own;

    (void)err;
    error_init(&own);
    check_location(object);
    if (check_read_member(object, &copy, &own) == STATUS_OK)
        MUST(copy.offset <= INT64_MAX && copy.length <= INT64_MAX);
    check_runs(object);
    seen->count++;
    seen->sum = seen->sum * 31 + json_object_size(object);
    return STATUS_OK;
}

static enum status feed(const uint8_t *data, size_t size, size_t piece, struct seen *seen)
{
    struct json_objects objects;
    struct error err;
    enum status status = STATUS_OK;

    error_init(&err);
    *seen = (struct seen){ 0 };
    json_objects_init(&objects, take, seen);
    for (size_t at = 0; status == STATUS_OK && at < size; at += piece) {
        size_t count = size - at < piece ? size - at : piece;
        uint8_t *copy = fuzz_copy(data + at, count);
        status = json_objects_feed(&objects, slice_of(copy, count), &err);
        free(copy);
    }
    if (status == STATUS_OK)
        status = json_objects_end(&objects, &err);
    MUST(status == STATUS_OK || err.text[0] != '\0');
    json_objects_fini(&objects);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen whole, cut;
    enum status status = feed(data, size, size + 1, &whole);

    MUST(feed(data, size, 1 + size % 7, &cut) == status);
    MUST(whole.count == cut.count && whole.sum == cut.sum);
    return 0;
}
