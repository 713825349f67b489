/* fuzz_release.c: what nodes say of files that are given up: the questions of POST /v1/releases and /v1/releases/dropped, an owner's answers.
 *
 * Input: the question, a line end, an owner's /have, a line end, its state of a file. A digest is found where it was listed and nowhere else; a
 * place that an owner is taken to have is of a file and a digest that it named; only `none` is no reason against it. */
#include "indexer/release_judge.h"
#include "proto/node_api.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

/* One owner of the only shard, n1. */
static const char map_text[] =
    "{\"cluster\":\"00112233445566778899aabbccddeeff\",\"epoch\":3,\"shards\":1,\"replicas\":1,\"min_replicas\":1,"
    "\"indexers\":[],\"nodes\":[{\"id\":\"n1\",\"url\":\"http://a:1\",\"host\":\"a\",\"colo\":\"a\",\"weight\":1,\"state\":\"in\"},"
    "{\"id\":\"n3\",\"url\":\"http://c:1\",\"host\":\"c\",\"colo\":\"a\",\"weight\":1,\"state\":\"in\"}],"
    "\"eras\":[{\"from\":null,\"owners\":[[\"n1\"]]}]}";

static struct slice next_line(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *from = *at, *stop = from < end ? memchr(from, '\n', (size_t)(end - from)) : NULL;

    *at = stop != NULL ? stop + 1 : end;
    return slice_of(from, (size_t)((stop != NULL ? stop : end) - from));
}

static void check_found(const struct release_request *request)
{
    for (size_t i = 0; i < request->digests_count; i++) {
        struct digest other = request->digests[i];
        MUST(release_request_find(request, &other) == i);
        other.bytes[0] ^= 1;
        uint32_t found = release_request_find(request, &other);
        MUST(found == RELEASE_NONE || (found < request->digests_count &&
                                       digest_compare(&request->digests[found], &other) == 0));
    }
    for (size_t i = 0; i < request->members_count; i++)
        MUST(request->members[i] < request->digests_count);
    for (size_t i = 0; i < request->files_count; i++)
        MUST(request->files[i].birth != 0 &&
             request->files[i].first + request->files[i].count <= request->members_count);
}

static void check_answers(const struct release_request *request, struct slice have, struct slice state)
{
    struct release_judge judge;
    struct error err;
    struct buf body;

    struct cluster_map *map = map_parse(map_text, sizeof map_text - 1, &err);
    MUST(map != NULL);
    release_judge_init(&judge, request);
    release_judge_map(&judge, map);
    map_unref(map);
    release_judge_share_out(&judge);
    for (size_t i = 0; i < judge.owners_count; i++) {
        struct release_owner *owner = &judge.owners[i];
        buf_init(&body, 16 << 20);
        size_t asked = release_owner_question(&judge, owner, &body);
        buf_fini(&body);
        enum status status = release_owner_answer(&judge, owner, asked, have, &err);
        MUST(status == STATUS_OK || err.text[0] != '\0');
        for (size_t k = 0; k < request->digests_count; k++)
            MUST(judge.places[k] <= owner->births_count);
        for (size_t k = 0; k < owner->births_count; k++)
            MUST(owner->births[k] != 0 && owner->shards[k] == 0);
        if (owner->births_count > 0 && release_owner_state(owner, 0, state, &err) == STATUS_OK)
            MUST(memmem(state.data, state.size, "none", 4) != NULL ||
                 memchr(state.data, '\\', state.size) != NULL);
    }
    release_judge_copies(&judge);
    release_judge_fini(&judge);
}

static void check_dropped(struct slice body)
{
    struct release_dropped dropped;
    struct error err;

    error_init(&err);
    enum status status = release_dropped_parse(body, &dropped, &err);
    MUST(status == STATUS_OK || err.text[0] != '\0');
    for (size_t i = 0; status == STATUS_OK && i < dropped.births_count; i++)
        MUST(dropped.births[i] != 0);
    release_dropped_fini(&dropped);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *at = data, *end = data + size;
    struct slice question = next_line(&at, end), have = next_line(&at, end), state = next_line(&at, end);
    struct release_request request;
    struct error err;

    error_init(&err);
    check_dropped(question);
    enum status status = release_request_parse(question, &request, &err);
    MUST(status == STATUS_OK || err.text[0] != '\0');
    if (status == STATUS_OK) {
        check_found(&request);
        if (release_request_fits(&request, 1, &err) == STATUS_OK)
            check_answers(&request, have, state);
    }
    release_request_fini(&request);
    return 0;
}
