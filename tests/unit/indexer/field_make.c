/* field_make.c: fields as an upsert would make them. */
#include "field_make.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

const char *const make_params[MAKE_PARAMS] = { "2t", "msl", "t", "u" };

struct run_key make_run(const char *source, const char *base_time)
{
    struct run_key run;
    enum status status = run_key_parse(slice_text(source), slice_text(base_time), &run, NULL);

    assert(status == STATUS_OK);
    (void)status;
    return run;
}

void make_field_id(const struct run_key *run, unsigned field, struct field_id *id)
{
    struct digest hash;
    uint8_t number[4];

    put_u32(number, field);
    digest_of(number, sizeof number, &hash);
    field_id_make(run, hash.bytes, id);
}

struct digest make_digest(unsigned field, unsigned issue)
{
    struct digest digest;
    uint8_t numbers[8];

    put_u32(numbers, field);
    put_u32(numbers + 4, issue);
    digest_of(numbers, sizeof numbers, &digest);
    return digest;
}

void make_file_name(unsigned file, char name[DATA_FILE_NAME_SIZE])
{
    data_file_name_print(file % 32, 0x6f3a92c1d0e40000 + file, name);
}

struct field_location make_location(const struct run_key *run, const char *node, unsigned file,
                                    unsigned field)
{
    struct field_location location = { .offset = 4158u * (uint64_t)field, .length = 4158 };
    char path[DATA_PATH_SIZE];

    data_path_print(run, file % 32, 0x6f3a92c1d0e40000 + file, path);
    snprintf(location.url, sizeof location.url, "http://%s:8410%s", node, path);
    snprintf(location.node, sizeof location.node, "%s", node);
    make_file_name(file, location.file);
    return location;
}

struct field_keys *make_keys(const struct run_key *run, unsigned field)
{
    static const int ids[MAKE_PARAMS] = { 167, 151, 130, 131 };
    char base[BASE_TIME_TEXT_SIZE], valid[BASE_TIME_TEXT_SIZE], range[16];
    unsigned param = field % MAKE_PARAMS, hours = field / MAKE_PARAMS % MAKE_STEPS * 6;
    bool upper = param >= 2;

    base_time_print(run->base_time, base);
    base_time_print_rfc3339(run->base_time + hours * 3600, valid);
    snprintf(range, sizeof range, "%u", hours);
    json_t *keys = json_pack(
        "{s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:i, s:i, s:s, s:s, s:s}",
        "param", make_params[param], "paramId", ids[param], "name", "A parameter", "units", "K",
        "class", "od", "type", "pf", "stream", "enfo", "expver", "0001", "domain", "g", "levtype",
        upper ? "pl" : "sfc", "date", atoi(base), "time", "0000", "step", (int)hours, "step_seconds",
        (int)hours * 3600, "stepRange", range, "valid_time", valid, "gridType", "regular_ll");
    json_t *more = json_pack("{s:i, s:i, s:s, s:i, s:i, s:i, s:s}", "number", (int)(field / 20),
                             "edition", 2, "centre", "ecmf", "Ni", 1440, "Nj", 721, "bitsPerValue",
                             16, "eccodes", "2.28.0");

    if (upper) {
        json_object_set_new(more, "levelist", json_integer(500));
        json_object_set_new(more, "level", json_integer(500));
    }
    assert(keys != NULL && more != NULL);
    json_object_update(keys, more);
    json_decref(more);
    return make_keys_of(keys);
}

struct field_keys *make_keys_of(json_t *json)
{
    struct field_keys *keys = field_keys_of_json(json);

    assert(keys != NULL);
    json_decref(json);
    return keys;
}

void make_set(struct field_issue *issue, const char *name, json_t *value)
{
    json_t *json = field_keys_to_json(issue->keys);

    if (value != NULL)
        json_object_set_new(json, name, value);
    else
        json_object_del(json, name);
    field_keys_unref(issue->keys);
    issue->keys = make_keys_of(json);
}

json_t *make_value(const struct field_issue *issue, const char *name)
{
    json_t *json = field_keys_to_json(issue->keys), *value = json_incref(json_object_get(json, name));

    json_decref(json);
    return value;
}

struct field_event make_add(const struct run_key *run, unsigned field, unsigned issue,
                            uint64_t stored_at_us, const char *node, unsigned file)
{
    struct field_event event = { .kind = FIELD_ADD, .run = *run };
    struct field_issue *added = &event.issue;

    make_field_id(run, field, &event.id);
    added->digest = make_digest(field, issue);
    added->sub = 1;
    added->stored_at_us = stored_at_us;
    added->length = 4158;
    added->incarnation = 1;
    added->keys = make_keys(run, field);
    added->locations = calloc(1, sizeof *added->locations);
    assert(added->locations != NULL);
    added->locations[0] = make_location(run, node, file, field);
    added->locations_count = 1;
    return event;
}

struct field_event make_remove(const struct run_key *run, unsigned field, const char *node, unsigned file)
{
    struct field_event event = { .kind = FIELD_REMOVE, .run = *run };

    make_field_id(run, field, &event.id);
    snprintf(event.node, sizeof event.node, "%s", node);
    if (file != 0)
        make_file_name(file, event.file);
    return event;
}
