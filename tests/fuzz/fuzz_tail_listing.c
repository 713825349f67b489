/* fuzz_tail_listing.c: a node's listings of its runs, one after another.
 *
 * Input: answers of GET /cluster/runs, a line each. What a listing names is known from then on with just that; a full one
 * leaves nothing else; one that can't be read says why. */
#include "indexer/tail_node.h"
#include "proto/base/json_read.h"
#include "tests/fuzz/fuzz.h"

/* What the answer's last word on a run is, against what the tail knows of it. */
static void check_run(struct tail *tail, const json_t *runs, size_t at)
{
    struct tail_listing listing, later;
    bool last = true;

    MUST(tail_listing_parse(json_array_get(runs, at), &listing, NULL) == STATUS_OK);
    for (size_t i = at + 1; i < json_array_size(runs); i++) {
        MUST(tail_listing_parse(json_array_get(runs, i), &later, NULL) == STATUS_OK);
        last = last && run_key_compare(&listing.run, &later.run) != 0;
        free(later.files);
    }
    const struct tail_run *run = tail_find(tail, &listing.run);
    MUST(run != NULL && run->listed && run_key_compare(&run->run, &listing.run) == 0);
    if (last) {
        MUST(run->journal_id == listing.journal_id && run->records == listing.records);
        MUST(run->files_count == listing.files_count);
        for (size_t i = 0; i < listing.files_count; i++)
            MUST(run->files[i].shard == listing.files[i].shard &&
                 run->files[i].birth == listing.files[i].birth);
    }
    free(listing.files);
}

static void check_answer(struct tail *tail, const json_t *answer)
{
    const json_t *runs = json_object_get(answer, "runs");
    size_t count = json_array_size(runs);

    for (size_t i = 0; i < count && count <= 64; i++)
        check_run(tail, runs, i);
    MUST(strlen(tail->seq) < sizeof tail->seq);
    for (const struct tail_run *run = tail->runs; run != NULL; run = run->hh.next) {
        MUST(source_valid(slice_text(run->run.source)) && base_time_valid(run->run.base_time));
        for (size_t i = 0; i < run->files_count; i++)
            MUST(run->files[i].shard < MAP_SHARDS_MAX);
        if (json_is_true(json_object_get(answer, "full")) && !run->listed)
            MUST(run->journal_id == 0 && run->records == 0 && run->files_count == 0);
    }
}

static void take_line(struct tail *tail, struct slice line)
{
    struct error err;
    json_t *answer;

    error_init(&err);
    if (json_parse(line.data, line.size, &answer, &err) != STATUS_OK)
        return;
    if (tail_take_answer(tail, answer, &err) == STATUS_OK)
        check_answer(tail, answer);
    else
        MUST(err.text[0] != '\0');
    json_decref(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tail tail = { .runs = NULL };
    struct tail_run *run, *after;

    while (size > 0) {
        const uint8_t *end = memchr(data, '\n', size);
        size_t line = end != NULL ? (size_t)(end - data) : size;
        take_line(&tail, slice_of(data, line));
        line += end != NULL;
        data += line;
        size -= line;
    }
    HASH_ITER(hh, tail.runs, run, after)
    {
        tail_run_free(&tail, run);
    }
    return 0;
}
