/* fuzz_replica_answer.c: what another node says of copies it was sent, of a run's state, and of a failure; and an indexer of
 * files that are to be given up.
 *
 * Input: a byte (bit 0: an answer to /have with places, not to a PUT), then the answer. Of the copies only those named may be
 * marked, with a place that a data file can have; of the files only those named may be granted, and none of them by half an answer. */
#include "proto/node_api.h"
#include "proto/transfer/transfer.h"
#include "storaged/peers/copies.h"
#include "storaged/peers/release_words.h"
#include "storaged/peers/replica_answer.h"
#include "storaged/peers/run_fetch.h"
#include "tests/fuzz/fuzz.h"

#include <inttypes.h>

enum { COPIES = 4 };

static void check_copies(struct slice answer, bool asked)
{
    struct copy copies[COPIES];
    struct digest digests[COPIES];
    struct list members;
    struct error err;

    error_init(&err);
    list_init(&members);
    for (unsigned i = 0; i < COPIES; i++) {
        memset(digests[i].bytes, 0x11 * (int)(i / 2 + 1), sizeof digests[i].bytes); /* two of each */
        copies[i] = (struct copy){ .digest = &digests[i], .stored_at_us = 1 };
        list_append(&members, &copies[i].list);
    }
    enum status status = replica_answer_match(answer, asked, &members, &err);
    MUST(status == STATUS_OK || err.text[0] != '\0');
    for (unsigned i = 0; i < COPIES; i++) {
        MUST(copies[i].done || (!copies[i].has_place && !copies[i].is_new));
        MUST(copies[i].stored_at_us != 0);
        if (copies[i].has_place)
            MUST(copies[i].shard < MAP_SHARDS_MAX && copies[i].birth != 0);
    }
}

static void check_run_info(struct slice answer)
{
    struct run_info info = { 0 };
    json_t *object;

    if (json_parse(answer.data, answer.size, &object, NULL) != STATUS_OK)
        return;
    if (run_info_read(object, &info, NULL) == STATUS_OK) {
        MUST(info.incarnation >= 1 && info.incarnation <= INT64_MAX && info.version <= INT64_MAX);
        MUST(info.state >= RUN_FILLING && info.state <= RUN_PURGED);
    }
    json_decref(object);
}

static void check_problem(struct slice answer)
{
    struct transfer_request request = { .method = "GET", .url = "http://a:1/", .http_status = 503 };
    struct error err;

    error_init(&request.err);
    buf_init(&request.answer, answer.size + 1);
    buf_append(&request.answer, answer.data, answer.size);
    enum status status = transfer_answer_status(&request, &err);
    MUST(status != STATUS_OK && status != STATUS_MORE && err.status == status && err.text[0] != '\0');
    buf_fini(&request.answer);
}

/* Is the file's birth id anywhere in the answer? */
static bool says_birth(struct slice answer, uint64_t birth)
{
    char text[17];

    snprintf(text, sizeof text, "%016" PRIx64, birth);
    return memmem(answer.data, answer.size, text, 16) != NULL ||
           memchr(answer.data, '\\', answer.size) != NULL;
}

static void check_release(struct slice answer)
{
    static const struct store_drop_file files[] = { { .birth = 0x6f3a92c1d0e4b7a5 }, { .birth = 2 } };
    struct release_verdict verdicts[ARRAY_COUNT(files)];
    bool removed[ARRAY_COUNT(files)];
    char why[32];

    enum status status = release_read_verdicts(answer, files, ARRAY_COUNT(files), verdicts, why,
                                               sizeof why, NULL);
    MUST(strlen(why) < sizeof why);
    for (unsigned i = 0; i < ARRAY_COUNT(files); i++)
        MUST(verdicts[i].code < RELEASE_CODES &&
             (!verdicts[i].granted || (status == STATUS_OK && says_birth(answer, files[i].birth))));
    status = release_read_removed(answer, files, ARRAY_COUNT(files), removed, NULL);
    for (unsigned i = 0; i < ARRAY_COUNT(files); i++)
        MUST(!removed[i] || (status == STATUS_OK && says_birth(answer, files[i].birth)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };
    bool asked = (fuzz_byte(&input) & 1) != 0;
    uint8_t *copy = fuzz_copy(input.data, input.size);
    struct slice answer = slice_of(copy, input.size);

    check_copies(answer, asked);
    check_run_info(answer);
    check_problem(answer);
    check_release(answer);
    free(copy);
    return 0;
}
