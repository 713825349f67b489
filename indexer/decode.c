/* decode.c: the door to ecCodes. One head in, one JSON object out.
 *
 * A head is a message without its values; ecCodes reads one of edition 2 as a "partial message", one of edition 1 only when it
 * is made whole again (grib1_whole.h). What it can't read it says on its log, kept here as the reason, and then stops quietly at
 * the section it did not understand: so a head counts as read only when the last of its sections was. A parameter that this release does not know has ecCodes' own names for that: param "unknown", paramId 0. */
#include "indexer/decode.h"

#include "indexer/decode_names.h"
#include "indexer/grib1_member.h"
#include "indexer/grib1_whole.h"
#include "indexer/grib2_plain_grid.h"
#include "indexer/grib2_product.h"
#include "indexer/grib_grid.h"
#include "indexer/grib_octets.h"
#include "indexer/grib_packing.h"
#include "indexer/grib_param.h"
#include "indexer/grib_step.h"
#include "proto/base/base64.h"
#include "proto/base/json_write.h"
#include "proto/grib_head.h"
#include "proto/run.h"

#include <eccodes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    VALUE_SIZE = DECODE_NAME_SIZE,
    MARS_KEYS_MAX = 64,
    NAME_SIZE = 64,
    SAMPLE_HEADS_SIZE_MAX = 2 << 20,
};

/* ---- ecCodes' log ---- */

/* The first error since decode_head() began: later ones are mostly its echoes. One thread decodes. */
static char first_error[VALUE_SIZE];

static void keep_first_error(const codes_context *context, int level, const char *text)
{
    (void)context;
    enum { LEVEL_ERROR = 2, LEVEL_FATAL = 3 };

    if ((level == LEVEL_ERROR || level == LEVEL_FATAL) && first_error[0] == '\0')
        snprintf(first_error, sizeof first_error, "%s", text);
}

static enum status decode_refuse(struct error *err, const char *otherwise)
{
    return error_set(err, STATUS_MALFORMED, "ecCodes %s: %s", decode_release(),
                     first_error[0] != '\0' ? first_error : otherwise);
}

/* ---- single keys ---- */

static const char *const text_keys[] = { "typeOfLevel", "centre", "dataType", "stepType" };

static const char *const whole_keys[] = { "edition", "subCentre" };

static const char *const whole_keys_edition_1[] = {
    "table2Version",
    "indicatorOfParameter",
    "indicatorOfTypeOfLevel",
    "timeRangeIndicator",
};

static const char *const whole_keys_edition_2[] = {
    "discipline",
    "parameterCategory",
    "parameterNumber",
    "tablesVersion",
    "localTablesVersion",
    "productDefinitionTemplateNumber",
    "typeOfStatisticalProcessing",
    "typeOfFirstFixedSurface",
    "scaleFactorOfFirstFixedSurface",
    "scaledValueOfFirstFixedSurface",
    "typeOfSecondFixedSurface",
    "scaleFactorOfSecondFixedSurface",
    "scaledValueOfSecondFixedSurface",
};

static bool is_missing(codes_handle *handle, const char *key)
{
    int failed = 0;

    return codes_is_missing(handle, key, &failed) != 0 || failed != 0;
}

/* Asking for every key whether it is missing would cost as much as the values. */
static bool get_whole(codes_handle *handle, const char *key, long *value)
{
    return codes_get_long(handle, key, value) == 0 &&
           (*value != CODES_MISSING_LONG || !is_missing(handle, key));
}

static bool get_text(codes_handle *handle, const char *key, char text[VALUE_SIZE])
{
    size_t size = VALUE_SIZE;

    if (codes_get_string(handle, key, text, &size) != 0)
        return false;
    text[VALUE_SIZE - 1] = '\0';
    return text[0] != '\0' && (strcmp(text, "MISSING") != 0 || !is_missing(handle, key));
}

static void put_texts(codes_handle *handle, const char *const *keys, size_t count,
                      struct json_writer *json)
{
    char text[VALUE_SIZE];

    for (size_t i = 0; i < count; i++)
        if (get_text(handle, keys[i], text))
            json_put_string(json, keys[i], text);
}

static void put_wholes(codes_handle *handle, const char *const *keys, size_t count,
                       struct json_writer *json)
{
    long value;

    for (size_t i = 0; i < count; i++)
        if (get_whole(handle, keys[i], &value))
            json_put_i64(json, keys[i], value);
}

static bool get_real(codes_handle *handle, const char *key, double *value)
{
    return codes_get_double(handle, key, value) == 0 && isfinite(*value) &&
           *value != CODES_MISSING_LONG && *value != CODES_MISSING_DOUBLE;
}

static void put_real(codes_handle *handle, const char *key, struct json_writer *json)
{
    double value;

    if (get_real(handle, key, &value))
        json_put_double(json, key, value);
}

/* ---- names ---- */

static void get_name(codes_handle *handle, const char *key, char name[DECODE_NAME_SIZE])
{
    if (!get_text(handle, key, name))
        name[0] = '\0';
}

static void find_names(codes_handle *handle, struct decode_names *names)
{
    *names = (struct decode_names){ .param_id = 0 };
    names->has_param_id = get_whole(handle, "paramId", &names->param_id);
    get_name(handle, "shortName", names->param);
    get_name(handle, "name", names->name);
    get_name(handle, "units", names->units);
}

/* By numbers: in edition 1 only where paramId does not say them, as every document with it has a place in an index. */
static void put_param_numbers(const struct grib_head *head, long param_id, struct json_writer *json)
{
    char text[GRIB_PARAM_TEXT_SIZE];

    if (!grib_param_print(head, text))
        return;
    if (head->edition == 2)
        json_put_string(json, "idCategoryDiscipline", text);
    else if (!grib_param_id_tells(head, param_id))
        json_put_string(json, "idTable", text);
}

static void put_names(codes_handle *handle, const struct grib_head *head, struct json_writer *json)
{
    struct decode_names found;
    struct digest key;

    decode_names_key(head, &key);
    const struct decode_names *names = decode_names_find(&key);
    if (names == NULL) {
        find_names(handle, &found);
        decode_names_keep(&key, &found);
        names = &found;
    }
    if (names->param[0] != '\0')
        json_put_string(json, "param", names->param);
    if (names->has_param_id)
        json_put_i64(json, "paramId", names->param_id);
    put_param_numbers(head, names->has_param_id ? names->param_id : 0, json);
    if (names->name[0] != '\0')
        json_put_string(json, "name", names->name);
    if (names->units[0] != '\0')
        json_put_string(json, "units", names->units);
}

/* ---- levels and grids ---- */

/* Of edition 1 only the type of level says that there are two surfaces. */
static bool is_layer(codes_handle *handle, unsigned edition)
{
    char type[VALUE_SIZE];
    long second;

    if (edition == 2)
        return codes_get_long(handle, "typeOfSecondFixedSurface", &second) == 0 && second != 255;
    return get_text(handle, "typeOfLevel", type) && strstr(type, "Layer") != NULL;
}

static void put_level(codes_handle *handle, unsigned edition, struct json_writer *json)
{
    put_real(handle, "level", json);
    if (is_layer(handle, edition)) {
        put_real(handle, "topLevel", json);
        put_real(handle, "bottomLevel", json);
    }
}

/* Reduced Gaussian grids of a part of the globe may have rows without a point. ecCodes 2.28 aborts on them when it counts
 * points: then the count is left out, and the field is not lost. */
static bool rows_have_points(codes_handle *handle, const char *grid)
{
    size_t count = 0;
    bool have = true;

    if (strstr(grid, "gg") == NULL || codes_get_size(handle, "pl", &count) != 0 || count == 0)
        return true;
    long *rows = malloc(count * sizeof *rows);
    if (rows == NULL || codes_get_long_array(handle, "pl", rows, &count) != 0)
        count = 0;
    for (size_t i = 0; i < count && have; i++)
        have = rows[i] > 0;
    free(rows);
    return have && count > 0;
}

static void put_grid_hash(const struct grib_head *head, struct json_writer *json)
{
    uint8_t hash[GRIB_GRID_HASH_SIZE];

    if (grib_grid_hash(head, hash))
        json_put_hex(json, "gridHash", hash, sizeof hash);
}

/* In a reduced grid the rows' increments differ, and ecCodes makes one up. */
static void put_grid_reals(codes_handle *handle, const char *grid, struct json_writer *json)
{
    bool reduced = strncmp(grid, "reduced", 7) == 0;

    for (const char *const *key = grib_grid_real_keys; *key != NULL; key++)
        if (!reduced || strcmp(*key, "iDirectionIncrementInDegrees") != 0)
            put_real(handle, *key, json);
}

static void put_grid(codes_handle *handle, struct json_writer *json)
{
    char grid[VALUE_SIZE];
    long count;

    if (get_text(handle, "gridType", grid))
        json_put_string(json, "gridType", grid);
    else
        grid[0] = '\0';
    for (const char *const *key = grib_grid_whole_keys; *key != NULL; key++)
        put_wholes(handle, key, 1, json);
    if (rows_have_points(handle, grid) && get_whole(handle, "numberOfDataPoints", &count))
        json_put_i64(json, "numberOfDataPoints", count);
    if (strstr(grid, "gg") != NULL && get_whole(handle, "N", &count)) /* elsewhere N is the values' number */
        json_put_i64(json, "N", count);
    put_grid_reals(handle, grid, json);
}

/* This release has no definition of it: its template's number is all that is said, and how many points it has. */
static void put_unknown_grid(const struct grib_head *head, struct json_writer *json)
{
    unsigned number;
    uint64_t points;

    if (head->edition == 1)
        json_put_u64(json, "gridDefinition", head->section[1].data[6]);
    if (grib2_grid_template(head, &number))
        json_put_u64(json, "gridDefinitionTemplateNumber", number);
    if (grib2_grid_points(head, &points))
        json_put_u64(json, "numberOfDataPoints", points);
}

/* ---- the mars namespace ---- */

/* Names that are not taken over: they are written from elsewhere (param, step), or are a document's own (indexer/field.h). */
static const char *const mars_others[] = {
    "param",  "step",      "digest", "sub", "length",      "stored_at",  "locations", "older",
    "source", "base_time", "id",     "rev", "incarnation", "valid_time", "octets",
};

struct mars_keys {
    char names[MARS_KEYS_MAX][NAME_SIZE];
    size_t count;
};

static bool mars_keys_have(const struct mars_keys *keys, const char *name)
{
    for (size_t i = 0; i < keys->count; i++)
        if (strcmp(keys->names[i], name) == 0)
            return true;
    return false;
}

static bool is_one_of(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* Not a name that is no key of a document, nor one there already: a name twice would make the object malformed. */
static bool mars_keys_want(const struct mars_keys *keys, const char *name)
{
    return name[0] != '_' && strlen(name) < NAME_SIZE && keys->count < MARS_KEYS_MAX &&
           !mars_keys_have(keys, name) && !is_one_of(name, mars_others, ARRAY_COUNT(mars_others)) &&
           !is_one_of(name, text_keys, ARRAY_COUNT(text_keys));
}

static void put_time(struct json_writer *json, long hhmm)
{
    json_key(json, "time");
    json_format(json, "%04ld", hhmm);
}

/* As a number where it is one, else as text. */
static void put_number_or_text(struct json_writer *json, const char *name, const char *text)
{
    char *end;
    double value = strtod(text, &end);

    /* Of letters strtod() would read "inf", "nan" and hexadecimal. */
    if (end != text && *end == '\0' && text[strspn(text, "+-.0123456789eE")] == '\0' && isfinite(value))
        json_put_double(json, name, value);
    else
        json_put_string(json, name, text);
}

/* Texts in whatever release, though some look like numbers ("0001"). */
static const char *const mars_texts[] = { "class", "type", "stream", "expver", "domain", "levtype" };

static bool is_mars_text(codes_handle *handle, const char *name)
{
    char key[NAME_SIZE + 8];
    int type = CODES_TYPE_STRING;

    if (is_one_of(name, mars_texts, ARRAY_COUNT(mars_texts)))
        return true;
    snprintf(key, sizeof key, "mars.%s", name);
    return codes_get_native_type(handle, key, &type) != 0 || type == CODES_TYPE_STRING;
}

/* Where the iterator stands. False: it has no value. */
static bool put_mars_key(codes_handle *handle, codes_keys_iterator *at, const char *name,
                         struct json_writer *json)
{
    char text[VALUE_SIZE];
    size_t size = sizeof text, one = 1;
    double number;
    long whole;

    if (codes_keys_iterator_get_string(at, text, &size) != 0 || text[0] == '\0' ||
        strcmp(text, "MISSING") == 0)
        return false;
    text[VALUE_SIZE - 1] = '\0';
    if (strcmp(name, "time") == 0 && codes_keys_iterator_get_long(at, &whole, &one) == 0)
        put_time(json, whole);
    else if (strcmp(name, "levelist") == 0 &&
             codes_keys_iterator_get_double(at, &number, &one) == 0 && isfinite(number))
        json_put_double(json, name, number); /* its text is cut: "0" for a sigma level of 0.33 */
    else if (is_mars_text(handle, name))
        json_put_string(json, name, text);
    else
        put_number_or_text(json, name, text);
    return true;
}

static void put_mars_keys(codes_handle *handle, struct mars_keys *keys, struct json_writer *json)
{
    codes_keys_iterator *iterator = codes_keys_iterator_new(handle, 0, "mars");

    keys->count = 0;
    if (iterator == NULL)
        return;
    while (codes_keys_iterator_next(iterator)) {
        const char *name = codes_keys_iterator_get_name(iterator);
        if (mars_keys_want(keys, name) && put_mars_key(handle, iterator, name, json))
            memcpy(keys->names[keys->count++], name, strlen(name) + 1);
    }
    codes_keys_iterator_delete(iterator);
}

/* ---- members ---- */

static const char *const whole_keys_member[] = { "perturbationNumber", "numberOfForecastsInEnsemble",
                                                 "typeOfEnsembleForecast" };

/* Edition 2's templates for members have these. Local sections of edition 1 carry the octets for every field; they mean a
 * member only where the ensemble has a size. NCEP's are read without ecCodes. *number: the member; false: it is none. */
static bool put_member(codes_handle *handle, const struct grib_head *head, struct json_writer *json,
                       long *number)
{
    struct grib1_member member;
    long size;

    if (grib1_member_read(head, &member)) {
        json_put_u64(json, "perturbationNumber", member.number);
        json_put_u64(json, "typeOfEnsembleForecast", member.type);
        *number = member.number;
        return true;
    }
    if (!get_whole(handle, "perturbationNumber", number) ||
        (head->edition == 1 && (!get_whole(handle, "numberOfForecastsInEnsemble", &size) || size == 0)))
        return false;
    put_wholes(handle, whole_keys_member, ARRAY_COUNT(whole_keys_member), json);
    return true;
}

/* What MARS does not say where others can. */
static void put_missing_mars_keys(codes_handle *handle, const struct grib_head *head,
                                  const struct mars_keys *keys, struct json_writer *json)
{
    long value;

    if (put_member(handle, head, json, &value) && !mars_keys_have(keys, "number"))
        json_put_i64(json, "number", value);
    if (!mars_keys_have(keys, "date") && get_whole(handle, "dataDate", &value))
        json_put_i64(json, "date", value);
    if (!mars_keys_have(keys, "time") && get_whole(handle, "dataTime", &value))
        put_time(json, value);
}

/* ---- kept octets ---- */

static void put_octets(const struct grib_head *head, struct json_writer *json)
{
    uint8_t octets[GRIB_OCTETS_SIZE_MAX];
    char text[BASE64_TEXT_SIZE(GRIB_OCTETS_SIZE_MAX)];
    size_t size = grib_octets_keep(head, octets);

    if (size == 0)
        return;
    base64_print(octets, size, text);
    json_put_string(json, "octets", text);
}

/* ---- a head ---- */

struct decode {
    struct grib_head head;
    int64_t base_time;
    codes_handle *handle; /* owned */
    struct buf whole; /* the bytes that the handle reads, where they are not the head's: edition 1, a plain grid */
    bool grid_known;    /* indexer/grib2_plain_grid.h */
    bool packing_known; /* indexer/grib1_whole.h */
    char packing[VALUE_SIZE];
};

static void decode_close(struct decode *decode)
{
    if (decode->handle != NULL)
        codes_handle_delete(decode->handle);
    buf_fini(&decode->whole);
}

/* The packing is the last thing that ecCodes learns of the last section: it understood them all. */
static bool decode_was_read(struct decode *decode)
{
    return decode->handle != NULL && get_text(decode->handle, "packingType", decode->packing);
}

/* ecCodes said that it has no definition of the grid's template. */
static bool stopped_at_grid(const struct grib_head *head)
{
    char template[48];
    unsigned number;

    if (!grib2_grid_template(head, &number))
        return false;
    snprintf(template, sizeof template, "template.3.%u.def", number);
    return strstr(first_error, template) != NULL;
}

static void decode_open_plain(struct decode *decode)
{
    if (decode->handle != NULL)
        codes_handle_delete(decode->handle);
    decode->grid_known = false;
    grib2_plain_grid(&decode->head, &decode->whole);
    decode->handle = buf_status(&decode->whole) != STATUS_OK
                         ? NULL
                         : codes_handle_new_from_partial_message(NULL, decode->whole.data,
                                                                 decode->whole.size);
}

/* A grid of edition 1 that is known by its number in a catalog alone, which ecCodes has few of. */
static void decode_open_catalogued(struct decode *decode)
{
    enum { SECTION_1_GRID = 6, SECTION_1_FLAGS = 7, HAS_SECTION_2 = 0x80, NOT_CATALOGUED = 255 };
    /* Latitude/longitude, one point. */
    static const uint8_t plain[32] = { 0, 0, sizeof plain, 0, 255, 0, 0, 1, 0, 1 };
    struct grib_head head = decode->head;
    struct buf section_1;

    if (decode->handle != NULL)
        codes_handle_delete(decode->handle);
    decode->handle = NULL;
    decode->grid_known = false;
    buf_init(&section_1, GRIB_FIELD_HEAD_SIZE_MAX);
    buf_append(&section_1, head.section[1].data, head.section[1].size);
    buf_clear(&decode->whole);
    if (buf_status(&section_1) == STATUS_OK) {
        section_1.data[SECTION_1_GRID] = NOT_CATALOGUED;
        section_1.data[SECTION_1_FLAGS] |= HAS_SECTION_2;
        head.section[1] = slice_of(section_1.data, section_1.size);
        head.section[2] = slice_of(plain, sizeof plain);
        if (grib1_whole(&head, &decode->whole, &decode->packing_known, NULL) == STATUS_OK)
            decode->handle = codes_handle_new_from_message(NULL, decode->whole.data, decode->whole.size);
    }
    buf_fini(&section_1);
}

static enum status decode_open(struct decode *decode, const uint8_t *head, size_t size, struct error *err)
{
    *decode = (struct decode){ .handle = NULL, .packing_known = true, .grid_known = true };
    buf_init(&decode->whole, 2 * GRIB_FIELD_HEAD_SIZE_MAX);
    if (grib_head_parse(head, size, &decode->head, err) != STATUS_OK ||
        grib_base_time(head, size, &decode->base_time, err) != STATUS_OK)
        return error_set(err, STATUS_MALFORMED, "%s", err != NULL ? err->text : "no head");
    if (decode->head.edition == 1) {
        if (grib1_whole(&decode->head, &decode->whole, &decode->packing_known, err) != STATUS_OK)
            return error_wrap(err, "edition 1");
        decode->handle = codes_handle_new_from_message(NULL, decode->whole.data, decode->whole.size);
    } else {
        decode->handle = codes_handle_new_from_partial_message(NULL, head, size);
    }
    if (!decode_was_read(decode) && stopped_at_grid(&decode->head))
        decode_open_plain(decode);
    else if (!decode_was_read(decode) && decode->head.edition == 1 && decode->head.section[2].size == 0)
        decode_open_catalogued(decode);
    return decode_was_read(decode) ? STATUS_OK : decode_refuse(err, "a section could not be read");
}

static void put_packing(const struct decode *decode, struct json_writer *json)
{
    if (decode->packing_known)
        json_put_string(json, "packingType", decode->packing);
    grib_packing_put(&decode->head, json);
}

static void put_keys(const struct decode *decode, struct json_writer *json)
{
    codes_handle *handle = decode->handle;
    struct mars_keys mars;

    json_object_begin(json);
    put_names(handle, &decode->head, json);
    put_texts(handle, text_keys, ARRAY_COUNT(text_keys), json);
    put_wholes(handle, whole_keys, ARRAY_COUNT(whole_keys), json);
    if (decode->head.edition == 2)
        put_wholes(handle, whole_keys_edition_2, ARRAY_COUNT(whole_keys_edition_2), json);
    else
        put_wholes(handle, whole_keys_edition_1, ARRAY_COUNT(whole_keys_edition_1), json);
    if (decode->grid_known)
        put_grid(handle, json);
    else
        put_unknown_grid(&decode->head, json);
    put_grid_hash(&decode->head, json);
    put_packing(decode, json);
    put_level(handle, decode->head.edition, json);
    grib2_product_put(&decode->head, json);
    put_mars_keys(handle, &mars, json);
    put_missing_mars_keys(handle, &decode->head, &mars, json);
    grib_step_put(&decode->head, decode->base_time, json);
    put_octets(&decode->head, json);
    json_put_string(json, "eccodes", decode_release());
    json_object_end(json);
}

enum status decode_head(const uint8_t *head, size_t size, struct buf *keys, struct error *err)
{
    struct decode decode;
    struct json_writer json;

    first_error[0] = '\0';
    enum status status = decode_open(&decode, head, size, err);
    if (status == STATUS_OK) {
        json_init(&json, keys);
        put_keys(&decode, &json);
        if (buf_status(keys) != STATUS_OK)
            status = error_set(err, buf_status(keys), "keys of a field");
    }
    decode_close(&decode);
    return status;
}

/* ---- warming up ---- */

/* Samples that between them load what most fields need: both editions, surface, pressure and model levels, with
 * ECMWF's local section and without. */
static const char *const samples[] = { "GRIB1",
                                       "GRIB2",
                                       "regular_ll_pl_grib1",
                                       "regular_ll_pl_grib2",
                                       "reduced_gg_sfc_grib1",
                                       "reduced_gg_sfc_grib2",
                                       "sh_ml_grib1",
                                       "sh_ml_grib2" };

static enum status decode_heads_of(const void *message, size_t size, struct error *err)
{
    struct grib_memory memory;
    struct buf heads, keys;

    grib_memory_init(&memory, message, size);
    buf_init(&heads, SAMPLE_HEADS_SIZE_MAX);
    buf_init(&keys, SAMPLE_HEADS_SIZE_MAX);
    enum status status = grib_heads(&memory.source, &heads, err);
    if (status == STATUS_OK) /* a sample has one field: count, length, head */
        status = decode_head(heads.data + 6, get_u32(heads.data + 2), &keys, err);
    buf_fini(&heads);
    buf_fini(&keys);
    return status;
}

static enum status decode_sample(const char *name, struct error *err)
{
    const void *message;
    size_t size;
    codes_handle *handle = codes_grib_handle_new_from_samples(NULL, name);

    if (handle == NULL)
        return decode_refuse(err, "the sample is not there");
    enum status status = codes_get_message(handle, &message, &size) == 0
                             ? decode_heads_of(message, size, err)
                             : decode_refuse(err, "no message");
    codes_handle_delete(handle);
    return status;
}

enum status decode_warm_up(struct error *err)
{
    codes_context_set_logging_proc(codes_context_get_default(), keep_first_error);
    for (size_t i = 0; i < ARRAY_COUNT(samples); i++) {
        first_error[0] = '\0';
        if (decode_sample(samples[i], err) != STATUS_OK)
            return error_wrap(err, "sample %s", samples[i]);
    }
    return STATUS_OK;
}

const char *decode_release(void)
{
    static char text[32];
    long version = codes_get_api_version();

    if (text[0] == '\0')
        snprintf(text, sizeof text, "%ld.%ld.%ld", version / 10000, version / 100 % 100, version % 100);
    return text;
}
