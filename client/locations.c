/* locations.c: reads lines of locations, and sees whether the last one came. */
#include "client/locations.h"

#include "client/error.h"
#include "client/indexer_api.h"
#include "client/json_stream.h"
#include "proto/base/clock.h"
#include "proto/base/json_read.h"
#include "proto/node_api.h"

#include <stdio.h>

static enum status read_place(const json_t *line, struct location *location, struct error *err)
{
    const char *file, *as;
    enum status status = json_get_string(line, "node", &location->node, err);

    if (status == STATUS_OK && !node_id_valid(location->node))
        status = error_set(err, STATUS_MALFORMED, "node: none can have that name");
    if (status == STATUS_OK)
        status = json_get_string(line, "file", &file, err);
    if (status == STATUS_OK && !data_file_name_parse(slice_text(file), &location->shard, &location->birth))
        status = error_set(err, STATUS_MALFORMED, "file: no data file has that name");
    if (status == STATUS_OK)
        status = json_get_u64(line, "offset", INT64_MAX, &location->offset, err);
    if (status == STATUS_OK)
        status = json_get_string(line, "as", &as, err);
    if (status != STATUS_OK)
        return status;
    location->as = strcmp(as, "quarantine") == 0 ? LOCATION_QUARANTINE
                   : strcmp(as, "older") == 0    ? LOCATION_OLDER
                                                 : LOCATION_FIELD;
    return STATUS_OK;
}

enum status location_read(const json_t *line, struct location *location, bool *end, uint64_t *count,
                          struct error *err)
{
    const char *digest;
    enum status status;

    *end = json_is_true(json_object_get(line, "end"));
    if (*end)
        return error_of_answer(json_get_u64(line, "locations", INT64_MAX, count, err), err,
                               "the last line");
    status = json_get_string(line, "digest", &digest, err);
    if (status == STATUS_OK && !digest_parse(slice_text(digest), &location->digest))
        status = error_set(err, STATUS_MALFORMED, "digest: not 64 hex digits");
    if (status == STATUS_OK)
        status = json_get_u64(line, "length", INT64_MAX, &location->length, err);
    if (status == STATUS_OK)
        status = json_get_u64(line, "stored_at", INT64_MAX, &location->stored_at_us, err);
    if (status == STATUS_OK)
        status = read_place(line, location, err);
    return error_of_answer(status, err, "a location");
}

struct reading {
    const struct locations_taker *taker;
    uint64_t count, said;
    bool ended;
};

static enum status on_line(void *user, const json_t *line, struct error *err)
{
    struct reading *reading = user;
    struct location location;

    if (reading->ended)
        return error_set(err, STATUS_MALFORMED, "there is a line behind the last");
    enum status status = location_read(line, &location, &reading->ended, &reading->said, err);
    if (status != STATUS_OK || reading->ended)
        return status;
    reading->count++;
    return reading->taker->each(reading->taker->user, &location, err);
}

static enum status read_from(struct gs_session *session, const char *base, const char *path,
                             const struct locations_taker *taker, struct error *err)
{
    struct reading reading = { .taker = taker };
    struct json_stream stream;

    taker->begin(taker->user);
    json_stream_start(&stream, session, on_line, &reading, base, path);
    enum status status = json_stream_wait(&stream, err);
    json_stream_fini(&stream);
    if (status == STATUS_OK && (!reading.ended || reading.said != reading.count))
        status = error_set(err, STATUS_MALFORMED, "%s%s: the list is not whole", base, path);
    return status;
}

enum status locations_get(struct gs_session *session, const struct run_key *run,
                          const struct locations_taker *taker, struct error *err)
{
    char name[RUN_TEXT_SIZE], path[sizeof INDEXER_RUNS_PATH + RUN_TEXT_SIZE + 16];
    enum status status = error_set(err, STATUS_UNREACHABLE, "no indexer answers");

    run_key_print(run, name);
    snprintf(path, sizeof path, INDEXER_RUNS_PATH "/%s/locations", name);
    for (unsigned i = 0; i < session->indexers.count; i++) {
        struct node *indexer = nodes_pick(&session->indexers, UINT64_MAX);
        if (indexer == NULL)
            break;
        status = read_from(session, indexer->url, path, taker, err);
        if (!status_is_temporary(status) && status != STATUS_MALFORMED)
            break;
        node_failed(indexer, clock_monotonic_ms());
    }
    return status;
}
