/* catalog_run.c: what state runs are in, by compare and set on (incarnation, version). */
#include "indexer/catalog/catalog_ops.h"
#include "proto/base/json_read.h"

#include <assert.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *run_to_doc(const struct catalog_run *run)
{
    char base_time[BASE_TIME_TEXT_SIZE];

    base_time_print_rfc3339(run->run.base_time, base_time);
    return json_pack("{s:s, s:s, s:I, s:I, s:s, s:I, s:I, s:I, s:I, s:i}", "source", run->run.source,
                     "base_time", base_time, "incarnation", (json_int_t)run->info.incarnation,
                     "version", (json_int_t)run->info.version, "state", run_state_name(run->info.state),
                     "ready_at", (json_int_t)run->ready_at_us, "retired_at",
                     (json_int_t)run->retired_at_us, "purged_at", (json_int_t)run->purged_at_us,
                     "grace_ms", (json_int_t)run->grace_ms, "step", (int)run->step);
}

static enum status catalog_run_from_doc(const json_t *doc, struct catalog_run *run, struct error *err)
{
    const char *state;
    uint64_t step = 0;
    enum status status = record_run(doc, &run->run, err);

    if (status == STATUS_OK)
        status = json_get_u64(doc, "incarnation", INT64_MAX, &run->info.incarnation, err);
    if (status == STATUS_OK)
        status = json_get_u64(doc, "version", INT64_MAX, &run->info.version, err);
    if (status == STATUS_OK)
        status = json_get_string(doc, "state", &state, err);
    if (status == STATUS_OK && !run_state_parse(state, &run->info.state))
        status = error_set(err, STATUS_CORRUPT, "state: none that is known");
    if (status == STATUS_OK)
        status = json_get_u64(doc, "ready_at", INT64_MAX, &run->ready_at_us, err);
    if (status == STATUS_OK)
        status = json_get_u64(doc, "retired_at", INT64_MAX, &run->retired_at_us, err);
    if (status == STATUS_OK)
        status = json_get_u64(doc, "purged_at", INT64_MAX, &run->purged_at_us, err);
    if (status == STATUS_OK)
        status = json_get_u64(doc, "grace_ms", INT64_MAX, &run->grace_ms, err);
    if (status == STATUS_OK)
        status = json_get_u64(doc, "step", INT32_MAX, &step, err);
    run->step = (unsigned)step;
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "run");
}

enum status catalog_run_get(struct catalog *catalog, const struct run_key *run,
                            struct catalog_run *found, struct error *err)
{
    struct record_id id;
    struct record record;

    *found = (struct catalog_run){ .run = *run };
    record_id_run(&id, run);
    enum status status = record_read(catalog, CATALOG_RUNS, &id, &record, err);
    if (status != STATUS_OK)
        return status;
    if (record.doc == NULL)
        return error_set(err, STATUS_NOT_FOUND, "the index does not know this run");
    status = catalog_run_from_doc(record.doc, found, err);
    json_decref(record.doc);
    return status;
}

struct run_reading {
    bool (*each)(void *data, const struct catalog_run *run);
    void *data;
    enum status status;
    struct error *err;
};

static bool run_on_record(void *data, const struct record *record)
{
    struct run_reading *reading = data;
    struct catalog_run run = { .step = 0 };

    reading->status = catalog_run_from_doc(record->doc, &run, reading->err);
    return reading->status == STATUS_OK && reading->each(reading->data, &run);
}

enum status catalog_run_scan(struct catalog *catalog,
                             bool (*each)(void *data, const struct catalog_run *run), void *data,
                             struct error *err)
{
    struct run_reading reading = { .each = each, .data = data, .err = err };
    struct record_range whole = { .whole = true };
    enum status status = catalog->ops->scan(catalog, CATALOG_RUNS, &whole, run_on_record, &reading, err);

    return status == STATUS_OK ? reading.status : status;
}

enum status catalog_run_scan_source(struct catalog *catalog, const char *source,
                                    bool (*each)(void *data, const struct catalog_run *run),
                                    void *data, struct error *err)
{
    struct run_reading reading = { .each = each, .data = data, .err = err };
    struct record_range range = { .whole = source == NULL };

    if (source != NULL) { /* source, 0x00, and all that may be behind it */
        size_t size = strlen(source);
        uint8_t bytes[SOURCE_SIZE_MAX + 1 + 8];
        assert(size <= SOURCE_SIZE_MAX);
        memcpy(bytes, source, size);
        memset(bytes + size, 0, 9);
        record_id_set(&range.from, bytes, size + 9);
        memset(bytes + size + 1, 0xff, 8);
        record_id_set(&range.to, bytes, size + 9);
    }
    enum status status = catalog->ops->scan(catalog, CATALOG_RUNS, &range, run_on_record, &reading, err);
    return status == STATUS_OK ? reading.status : status;
}

static bool info_equal(const struct run_info *a, const struct run_info *b)
{
    return a->incarnation == b->incarnation && a->version == b->version;
}

/* Whether what is stored is `was`. Already being what is to be written is as good: the answer to the first try was lost. */
static enum status run_compare(const struct record *stored, const json_t *wanted,
                               const struct run_info *was, unsigned step_max, bool *done,
                               struct error *err)
{
    struct catalog_run run = { .step = 0 };

    *done = false;
    if (stored->doc == NULL)
        return was->incarnation == 0
                   ? STATUS_OK
                   : error_set(err, STATUS_CONFLICT, "the index does not know this run");
    *done = json_equal(stored->doc, wanted);
    if (*done)
        return STATUS_OK;
    enum status status = catalog_run_from_doc(stored->doc, &run, err);
    if (status == STATUS_OK && !info_equal(&run.info, was))
        status = error_set(err, STATUS_CONFLICT,
                           "the run is %s at incarnation %" PRIu64 ", version %" PRIu64,
                           run_state_name(run.info.state), run.info.incarnation, run.info.version);
    if (status == STATUS_OK && run.step > step_max)
        status = error_set(err, STATUS_CONFLICT, "the run is at step %u of its retirement already",
                           run.step);
    return status;
}

enum status catalog_run_put(struct catalog *catalog, const struct catalog_run *run,
                            const struct run_info *was, struct error *err)
{
    return catalog_run_put_before(catalog, run, was,
                                  info_equal(&run->info, was) ? run->step : UINT_MAX, err);
}

enum status catalog_run_put_before(struct catalog *catalog, const struct catalog_run *run,
                                   const struct run_info *was, unsigned step_max, struct error *err)
{
    struct record_id id;
    struct record stored;
    bool done = false;

    if (run->info.incarnation == 0 || run->info.incarnation > INT64_MAX || run->info.version > INT64_MAX)
        return error_set(err, STATUS_BAD_VALUE, "run: incarnation or version out of bounds");
    json_t *doc = run_to_doc(run);
    if (doc == NULL)
        return error_set(err, STATUS_NO_MEMORY, "a run");
    record_id_run(&id, &run->run);
    enum status status = record_read(catalog, CATALOG_RUNS, &id, &stored, err);
    if (status == STATUS_OK)
        status = run_compare(&stored, doc, was, step_max, &done, err);
    if (status == STATUS_OK && !done)
        status = record_write_one(catalog, CATALOG_RUNS, &id, stored.rev, json_incref(doc), err);
    json_decref(stored.doc);
    json_decref(doc);
    return status;
}
