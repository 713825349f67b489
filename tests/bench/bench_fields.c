/* bench_fields.c: made-up fields of an ensemble on pressure levels, with the keys that the decoder gives for one. */
#include "bench_fields.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BENCH_FILE_MESSAGES = 4096, BENCH_LENGTH = 1225 };

const char bench_source[] = "bench";

/* What all fields have in common; what tells them apart is set by event_keys(). */
static const char keys_text[] =
    "{\"name\": \"Temperature\", \"units\": \"K\", \"typeOfLevel\": \"isobaricInhPa\", \"centre\": \"ecmf\", \"dataType\": \"pf\","
    " \"stepType\": \"instant\", \"edition\": 2, \"subCentre\": 0, \"discipline\": 0, \"parameterCategory\": 0,"
    " \"typeOfFirstFixedSurface\": 100, \"scaleFactorOfFirstFixedSurface\": 0, \"typeOfSecondFixedSurface\": 255,"
    " \"gridType\": \"regular_ll\", \"Ni\": 1440, \"Nj\": 721, \"numberOfDataPoints\": 1038240, \"packingType\": \"grid_simple\","
    " \"bitsPerValue\": 16, \"domain\": \"g\", \"date\": 20261120, \"time\": \"0000\", \"expver\": \"0001\", \"class\": \"od\","
    " \"type\": \"pf\", \"stream\": \"enfo\", \"levtype\": \"pl\", \"eccodes\": \"2.28.0\"}";

struct run_key bench_run(const char *base_time)
{
    struct run_key run;
    enum status status = run_key_parse(slice_text(bench_source), slice_text(base_time), &run, NULL);

    assert(status == STATUS_OK);
    (void)status;
    return run;
}

int bench_range_steps(size_t fields)
{
    size_t steps = fields / (BENCH_PARAMS * BENCH_LEVELS);

    assert(steps > 0);
    return steps < 20 ? (int)steps : 20;
}

struct bench_place bench_place(size_t i)
{
    struct bench_place place = {
        .level = (int)(i / BENCH_PARAMS % BENCH_LEVELS + 1) * 40,
        .step = (int)(i / BENCH_PARAMS / BENCH_LEVELS % BENCH_STEPS) * 6,
        .number = (int)(i / BENCH_PARAMS / BENCH_LEVELS / BENCH_STEPS) + 1,
    };

    snprintf(place.param, sizeof place.param, "par%02zu", i % BENCH_PARAMS);
    return place;
}

static struct field_keys *event_keys(const struct run_key *run, size_t i)
{
    struct bench_place place = bench_place(i);
    char valid[BASE_TIME_TEXT_SIZE], range[16];
    json_t *keys = json_loads(keys_text, 0, NULL);

    base_time_print_rfc3339(run->base_time + place.step * 3600, valid);
    snprintf(range, sizeof range, "%d", place.step);
    json_t *own = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:s}", "param",
                            place.param, "paramId", (int)(i % BENCH_PARAMS) + 130, "parameterNumber",
                            (int)(i % BENCH_PARAMS), "level", place.level, "levelist", place.level,
                            "scaledValueOfFirstFixedSurface", place.level * 100, "number",
                            place.number, "step", place.step, "step_seconds", place.step * 3600,
                            "stepRange", range, "valid_time", valid);

    assert(keys != NULL && own != NULL);
    json_object_update(keys, own);
    json_decref(own);
    struct field_keys *made = field_keys_of_json(keys);
    assert(made != NULL);
    json_decref(keys);
    return made;
}

static struct field_location event_location(const struct run_key *run, size_t i, unsigned node)
{
    uint32_t file = (uint32_t)(i / BENCH_FILE_MESSAGES);
    uint64_t birth = 0x6f3a92c1d0e40000 + file + ((uint64_t)node << 32);
    struct field_location location = {
        .offset = i % BENCH_FILE_MESSAGES * BENCH_LENGTH,
        .length = BENCH_LENGTH,
    };
    char path[DATA_PATH_SIZE];

    data_path_print(run, file % 32, birth, path);
    data_file_name_print(file % 32, birth, location.file);
    snprintf(location.url, sizeof location.url, "http://store%02u.example.int:8410%s", node, path);
    snprintf(location.node, sizeof location.node, "nb639887e0e%02u", node);
    return location;
}

struct field_event bench_event(const struct run_key *run, size_t i, unsigned first, unsigned count)
{
    struct field_event event = { .kind = FIELD_ADD, .run = *run };
    struct digest identity;
    uint64_t number = i;

    digest_of(&number, sizeof number, &identity);
    field_id_make(run, identity.bytes, &event.id);
    digest_of(&event.id, sizeof event.id, &event.issue.digest);
    event.issue.sub = 1;
    event.issue.stored_at_us = 1795242905000000 + i;
    event.issue.length = BENCH_LENGTH;
    event.issue.incarnation = 1;
    event.issue.keys = event_keys(run, i);
    event.issue.locations_count = count;
    event.issue.locations = calloc(count, sizeof *event.issue.locations);
    assert(event.issue.locations != NULL);
    for (unsigned node = 0; node < count; node++)
        event.issue.locations[node] = event_location(run, i, first + node);
    return event;
}
