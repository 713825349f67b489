/* test_decode.c: keys of heads against what ecCodes says of the whole messages: its own samples, and the real files in
 * GRIBSTORE_TEST_GRIB where there are any. */
#include "indexer/decode.h"
#include "indexer/field.h"
#include "indexer/grib2_product.h"
#include "indexer/grib_octets.h"
#include "indexer/grib_packing.h"
#include "indexer/grib_step.h"
#include "proto/base/json_read.h"
#include "proto/grib_head.h"
#include "tests/lib/real_files.h"

#include <dirent.h>
#include <eccodes.h>
#include <malloc.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { HEADS_SIZE_MAX = 64 << 20, VALUE_SIZE = 512 };

/* ---- messages and their heads ---- */

struct file {
    uint8_t *data; /* owned */
    size_t size;
    struct buf heads; /* length and bytes of each head, in order */
    size_t at;
};

static size_t message_size(const uint8_t *at, size_t left)
{
    if (left < 16)
        return 0;
    uint64_t size = at[7] == 2 ? get_u64(at + 8) : get_u24(at + 4);
    return size <= left && size >= 16 && memcmp(at + size - 4, "7777", 4) == 0 ? (size_t)size : 0;
}

static void append_heads(struct buf *heads, const uint8_t *message, size_t size)
{
    struct grib_memory memory;
    struct buf answer;
    struct error err;

    buf_init(&answer, HEADS_SIZE_MAX);
    grib_memory_init(&memory, message, size);
    if (grib_heads(&memory.source, &answer, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    buf_append(heads, answer.data + 2, answer.size - 2); /* without their count */
    buf_fini(&answer);
}

static void file_open(struct file *file, const char *path)
{
    FILE *from = fopen(path, "rb");

    assert_non_null(from);
    fseek(from, 0, SEEK_END);
    *file = (struct file){ .size = (size_t)ftell(from) };
    rewind(from);
    file->data = malloc(file->size);
    assert_int_equal(fread(file->data, 1, file->size, from), file->size);
    fclose(from);
    buf_init(&file->heads, HEADS_SIZE_MAX);
    for (size_t at = 0; at + 4 < file->size; at++) {
        size_t size = memcmp(file->data + at, "GRIB", 4) == 0
                          ? message_size(file->data + at, file->size - at)
                          : 0;
        if (size == 0)
            continue;
        append_heads(&file->heads, file->data + at, size);
        at += size - 1;
    }
}

static void file_close(struct file *file)
{
    free(file->data);
    buf_fini(&file->heads);
}

static bool file_next(struct file *file, struct slice *head)
{
    *head = slice_of(NULL, 0);
    if (file->at == file->heads.size)
        return false;
    *head = slice_of(file->heads.data + file->at + 4, get_u32(file->heads.data + file->at));
    file->at += 4 + head->size;
    return true;
}

static json_t *decode(struct slice head, struct error *err)
{
    struct buf keys;
    json_t *json = NULL;

    buf_init(&keys, 1 << 20);
    error_init(err);
    if (decode_head(head.data, head.size, &keys, err) == STATUS_OK &&
        json_parse(keys.data, keys.size, &json, err) != STATUS_OK)
        fail_msg("%s", err->text);
    buf_fini(&keys);
    return json;
}

/* ---- one field against the whole message ---- */

/* Where ecCodes has it under another name, in the order tried. */
static const struct {
    const char *key, *eccodes[2];
} renamed[] = {
    { "param", { "shortName", NULL } },      { "date", { "mars.date", "dataDate" } },
    { "time", { "mars.time", "dataTime" } }, { "number", { "mars.number", "perturbationNumber" } },
    { "levtype", { "mars.levtype", NULL } }, { "levelist", { "mars.levelist", NULL } },
    { "type", { "mars.type", NULL } },       { "stream", { "mars.stream", NULL } },
};

static const char *eccodes_name(codes_handle *whole, const char *key)
{
    for (size_t i = 0; i < ARRAY_COUNT(renamed); i++)
        if (strcmp(key, renamed[i].key) == 0)
            return renamed[i].eccodes[1] == NULL || codes_is_defined(whole, renamed[i].eccodes[0])
                       ? renamed[i].eccodes[0]
                       : renamed[i].eccodes[1];
    return key;
}

/* The parameter as numbers: id and table of edition 1, id, category and discipline of edition 2. */
static void print_numbers(codes_handle *whole, long edition, char text[VALUE_SIZE])
{
    long id = -1, table = -1, discipline = -1;

    if (edition == 1) {
        codes_get_long(whole, "indicatorOfParameter", &id);
        codes_get_long(whole, "table2Version", &table);
        snprintf(text, VALUE_SIZE, "%ld.%ld", id, table);
        return;
    }
    codes_get_long(whole, "parameterNumber", &id);
    codes_get_long(whole, "parameterCategory", &table);
    codes_get_long(whole, "discipline", &discipline);
    snprintf(text, VALUE_SIZE, "%ld.%ld.%ld", id, table, discipline);
}

/* Of edition 1 where paramId does not say the same. */
static void assert_numbers(codes_handle *whole, const json_t *keys)
{
    long edition = (long)json_integer_value(json_object_get(keys, "edition"));
    json_int_t id = json_integer_value(json_object_get(keys, "paramId"));
    const json_t *of_1 = json_object_get(keys, "idTable"),
                 *of_2 = json_object_get(keys, "idCategoryDiscipline");
    char text[VALUE_SIZE], by_id[VALUE_SIZE];

    print_numbers(whole, edition, text);
    snprintf(by_id, sizeof by_id, "%lld.%lld", id % 1000, id < 1000 ? 128 : id / 1000);
    if (edition == 1 && strcmp(by_id, text) == 0) {
        assert_null(of_1);
    } else {
        assert_non_null(edition == 1 ? of_1 : of_2);
        assert_string_equal(json_string_value(edition == 1 ? of_1 : of_2), text);
    }
    assert_null(edition == 1 ? of_2 : of_1);
}

static void assert_same(codes_handle *whole, const char *key, const json_t *value)
{
    const char *name = eccodes_name(whole, key);
    char text[VALUE_SIZE];
    size_t size = sizeof text;
    double number = NAN;

    if (json_is_string(value)) {
        if (codes_get_string(whole, name, text, &size) != 0 || strcmp(text, json_string_value(value)) != 0)
            fail_msg("%s: %s, not %s", key, json_string_value(value), text);
        return;
    }
    /* Of a code without a line in its table the number is given, and an error. */
    (void)codes_get_double(whole, name, &number);
    if (number != json_number_value(value))
        fail_msg("%s: %g, not %g", key, json_number_value(value), number);
}

/* ecCodes' own step is in hours where hours do; what minutes become is test_grib_step's. */
static void assert_same_step(codes_handle *whole, const json_t *keys)
{
    json_t *seconds = json_object_get(keys, "step_seconds");
    char range[VALUE_SIZE], valid[64];
    size_t size = sizeof range;
    long end, date, time;

    if (seconds == NULL || codes_get_long(whole, "endStep", &end) != 0 ||
        json_integer_value(seconds) % 3600 != 0)
        return;
    assert_int_equal(json_integer_value(seconds), end * 3600);
    assert_true(json_number_value(json_object_get(keys, "step")) == (double)end);
    assert_int_equal(codes_get_string(whole, "stepRange", range, &size), 0);
    assert_string_equal(json_string_value(json_object_get(keys, "stepRange")), range);
    if (codes_get_long(whole, "validityDate", &date) != 0 ||
        codes_get_long(whole, "validityTime", &time) != 0)
        return;
    snprintf(valid, sizeof valid, "%04ld-%02ld-%02ldT%02ld:%02ld:00Z", date / 10000,
             date / 100 % 100, date % 100, time / 100, time % 100);
    assert_string_equal(json_string_value(json_object_get(keys, "valid_time")), valid);
    assert_same(whole, "startStep", json_object_get(keys, "startStep"));
    assert_same(whole, "endStep", json_object_get(keys, "endStep"));
    assert_same(whole, "validityDate", json_object_get(keys, "validityDate"));
    snprintf(valid, sizeof valid, "%04ld", time);
    assert_string_equal(json_string_value(json_object_get(keys, "validityTime")), valid);
    assert_string_equal(json_string_value(json_object_get(keys, "stepUnits")), "h");
}

/* Made from octets, and compared by assert_same_step() or by tests of what makes them. */
static bool is_ours(const char *key)
{
    static const char *const ours[] = {
        "step",    "step_seconds", "stepRange",    "stepUnits",           "startStep",
        "endStep", "valid_time",   "validityDate", "validityTime",        "gridHash",
        "octets",  "eccodes",      "idTable",      "idCategoryDiscipline"
    };

    for (size_t i = 0; i < ARRAY_COUNT(ours); i++)
        if (strcmp(key, ours[i]) == 0)
            return true;
    return false;
}

static void assert_keys_hold(codes_handle *whole, json_t *keys)
{
    const char *key;
    json_t *value;

    json_object_foreach (keys, key, value) {
        for (const char *const *own = field_own_keys; *own != NULL; own++)
            assert_string_not_equal(key, *own);
        if (!is_ours(key))
            assert_same(whole, key, value);
    }
    assert_string_equal(json_string_value(json_object_get(keys, "eccodes")), decode_release());
    assert_non_null(json_object_get(keys, "octets"));
    assert_numbers(whole, keys);
    assert_same_step(whole, keys);
}

static bool has_value(codes_handle *whole, const char *name)
{
    char text[VALUE_SIZE];
    size_t size = sizeof text;
    int failed = 0;

    return codes_get_string(whole, name, text, &size) == 0 && text[0] != '\0' &&
           codes_is_missing(whole, name, &failed) == 0 && failed == 0;
}

/* Second-order packing is told by octets that an edition 1 head has not got. */
static bool is_out_of_reach(codes_handle *whole, const char *key)
{
    char text[VALUE_SIZE];
    size_t size = sizeof text;
    long edition;

    if (strcmp(key, "packingType") != 0 && strcmp(key, "bitsPerValue") != 0)
        return false;
    return codes_get_long(whole, "edition", &edition) == 0 && edition == 1 &&
           codes_get_string(whole, "packingType", text, &size) == 0 &&
           strncmp(text, "grid_second_order", 17) == 0;
}

static const char *const expected[] = {
    "paramId",
    "name",
    "units",
    "typeOfLevel",
    "level",
    "edition",
    "centre",
    "subCentre",
    "dataType",
    "stepType",
    "gridType",
    "Ni",
    "Nj",
    "numberOfDataPoints",
    "packingType",
    "bitsPerValue",
    "discipline",
    "parameterCategory",
    "parameterNumber",
    "typeOfFirstFixedSurface",
    "scaleFactorOfFirstFixedSurface",
    "scaledValueOfFirstFixedSurface",
    "typeOfSecondFixedSurface",
    "scaleFactorOfSecondFixedSurface",
    "scaledValueOfSecondFixedSurface",
    "referenceValue",
    "binaryScaleFactor",
    "decimalScaleFactor",
    "latitudeOfFirstGridPointInDegrees",
    "longitudeOfFirstGridPointInDegrees",
    "latitudeOfLastGridPointInDegrees",
    "longitudeOfLastGridPointInDegrees",
    "jDirectionIncrementInDegrees",
};

/* ecCodes makes these up for the other edition. */
static const char *const expected_of_edition[2][4] = {
    { "table2Version", "indicatorOfParameter", "indicatorOfTypeOfLevel", "timeRangeIndicator" },
    { "tablesVersion", "localTablesVersion", "productDefinitionTemplateNumber",
      "typeOfStatisticalProcessing" },
};

static void assert_keys_are_complete(codes_handle *whole, const json_t *keys)
{
    json_int_t edition = json_integer_value(json_object_get(keys, "edition"));

    for (size_t i = 0; i < 4; i++)
        if (json_object_get(keys, expected_of_edition[edition - 1][i]) == NULL &&
            has_value(whole, expected_of_edition[edition - 1][i]))
            fail_msg("%s is absent", expected_of_edition[edition - 1][i]);
    codes_keys_iterator *mars = codes_keys_iterator_new(whole, 0, "mars");

    for (size_t i = 0; i < ARRAY_COUNT(expected); i++)
        if (json_object_get(keys, expected[i]) == NULL && has_value(whole, expected[i]) &&
            !is_out_of_reach(whole, expected[i]))
            fail_msg("%s is absent", expected[i]);
    while (codes_keys_iterator_next(mars)) {
        const char *name = codes_keys_iterator_get_name(mars);
        if (name[0] != '_' && json_object_get(keys, name) == NULL)
            fail_msg("%s of the mars namespace is absent", name);
    }
    codes_keys_iterator_delete(mars);
    assert_non_null(json_object_get(keys, "date"));
    assert_int_equal(strlen(json_string_value(json_object_get(keys, "time"))), 4);
}

/* A field whose grid this release has no definition of: the product is read all the same, and nothing is said of the grid but
 * its template's number. */
static void assert_keys_without_grid(const json_t *keys)
{
    const json_t *number = json_object_get(keys, "gridDefinitionTemplateNumber");

    assert_non_null(keys);
    assert_non_null(json_object_get(keys, "param"));
    assert_non_null(json_object_get(keys, "step_seconds"));
    assert_true(json_is_integer(number));
    assert_null(json_object_get(keys, "gridType"));
    assert_null(json_object_get(keys, "Ni"));
}

/* ---- kept octets ---- */

/* What a head that is made of kept octets says of its grid and its packing is made up. */
static void assert_same_but_made_up(const json_t *keys, const json_t *other)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)keys, key, value)
        if (!field_key_is_unnamed(key) && !json_equal(value, json_object_get(other, key)))
            fail_msg("%s differs", key);
}

static void assert_kept_octets_say_the_same(struct slice head, const json_t *keys)
{
    uint8_t octets[GRIB_OCTETS_SIZE_MAX];
    struct grib_head sections;
    struct grib_step step = { .end = 0 };
    struct buf made;
    struct error err;
    int64_t base_time;

    assert_int_equal(grib_head_parse(head.data, head.size, &sections, &err), STATUS_OK);
    assert_int_equal(grib_base_time(head.data, head.size, &base_time, &err), STATUS_OK);
    grib_step_read(&sections, base_time, &step);
    size_t size = grib_octets_keep(&sections, octets);
    assert_true(size > 0);
    buf_init(&made, GRIB_FIELD_HEAD_SIZE_MAX);
    if (grib_octets_to_head(octets, size, base_time, base_time + step.end, &made, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    json_t *again = decode(slice_of(made.data, made.size), &err);
    if (again == NULL)
        fail_msg("%s", err.text);
    assert_same_but_made_up(keys, again);
    assert_same_but_made_up(again, keys);
    json_decref(again);
    buf_fini(&made);
}

/* Returns how many fields were compared. */
static unsigned compare_file(const char *path)
{
    struct file file;
    struct slice head = { .size = 0 };
    unsigned compared = 0;
    int failed = 0;
    FILE *from = fopen(path, "rb");

    assert_non_null(from);
    file_open(&file, path);
    codes_grib_multi_support_on(NULL);
    for (; file_next(&file, &head); compared++) {
        codes_handle *whole = codes_grib_handle_new_from_file(NULL, from, &failed);
        struct error err;
        json_t *keys = decode(head, &err);
        assert_non_null(whole);
        if (!has_value(whole, "gridType")) { /* it gave up at section 3 */
            assert_keys_without_grid(keys);
        } else if (keys == NULL) {
            fail_msg("%s: field %u: %s", path, compared + 1, err.text);
        } else {
            assert_keys_hold(whole, keys);
            assert_keys_are_complete(whole, keys);
            assert_kept_octets_say_the_same(head, keys);
        }
        json_decref(keys);
        codes_handle_delete(whole);
    }
    codes_grib_multi_support_off(NULL);
    codes_grib_multi_support_reset_file(NULL, from);
    fclose(from);
    file_close(&file);
    return compared;
}

/* Of all files in a folder whose names end so. */
static unsigned compare_folder(const char *folder, const char *const *endings, unsigned *files)
{
    DIR *list = opendir(folder);
    unsigned compared = 0;
    char path[4096];

    if (list == NULL) {
        fail_msg("%s can't be listed", folder);
        return 0;
    }
    for (struct dirent *entry; (entry = readdir(list)) != NULL;)
        for (const char *const *ending = endings; *ending != NULL; ending++) {
            size_t size = strlen(entry->d_name), tail = strlen(*ending);
            if (size < tail || strcmp(entry->d_name + size - tail, *ending) != 0)
                continue;
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
            compared += compare_file(path);
            (*files)++;
        }
    closedir(list);
    return compared;
}

static const char *samples_folder(void)
{
    return codes_samples_path(NULL);
}

static void heads_of_samples_have_the_keys_of_whole_messages(void **state)
{
    (void)state;
    static const char *const endings[] = { "grib1.tmpl", "grib2.tmpl", "GRIB1.tmpl", "GRIB2.tmpl", NULL };
    unsigned files = 0;

    assert_true(compare_folder(samples_folder(), endings, &files) >= 100);
    assert_true(files >= 100);
}

static void heads_of_real_files_have_the_keys_of_whole_messages(void **state)
{
    (void)state;
    static const char *const endings[] = { ".grib", ".grib1", ".grib2", ".grb", NULL };
    const char *folder = real_files_folder();
    unsigned files = 0;

    if (folder == NULL) {
        skip();
        return;
    }
    assert_true(compare_folder(folder, endings, &files) >= 900);
    assert_true(files >= 20);
}

/* ---- single properties ---- */

static json_t *decode_sample_with(const char *sample, void (*change)(codes_handle *handle),
                                  struct error *err)
{
    codes_handle *handle = codes_grib_handle_new_from_samples(NULL, sample);
    const void *message;
    size_t size;
    struct buf heads;

    assert_non_null(handle);
    change(handle);
    assert_int_equal(codes_get_message(handle, &message, &size), 0);
    buf_init(&heads, HEADS_SIZE_MAX);
    append_heads(&heads, message, size);
    json_t *keys = decode(slice_of(heads.data + 4, heads.size - 4), err);
    buf_fini(&heads);
    codes_handle_delete(handle);
    return keys;
}

static void set(codes_handle *handle, const char *key, long value)
{
    if (codes_set_long(handle, key, value) != 0)
        fail_msg("%s = %ld", key, value);
}

static void make_member_of_ncep(codes_handle *handle)
{
    set(handle, "centre", 7);
    set(handle, "productDefinitionTemplateNumber", 1);
    set(handle, "perturbationNumber", 7);
    set(handle, "numberOfForecastsInEnsemble", 30);
}

static void a_member_of_any_centre_has_its_number(void **state)
{
    (void)state;
    struct error err;
    json_t *keys = decode_sample_with("GRIB2", make_member_of_ncep, &err);

    assert_int_equal(json_integer_value(json_object_get(keys, "number")), 7);
    json_decref(keys);
}

static void change_nothing(codes_handle *handle)
{
    (void)handle;
}

static void what_a_field_lacks_is_absent(void **state)
{
    (void)state;
    static const char *const absent[] = { "number", "levelist", "indicatorOfParameter",
                                          "table2Version", "scaledValueOfSecondFixedSurface" };
    struct error err;
    json_t *keys = decode_sample_with("regular_ll_sfc_grib2", change_nothing, &err);

    for (size_t i = 0; i < ARRAY_COUNT(absent); i++)
        assert_null(json_object_get(keys, absent[i]));
    json_decref(keys);
    keys = decode_sample_with("reduced_gg_pl_32_grib2", change_nothing, &err);
    assert_null(json_object_get(keys, "Ni"));
    assert_int_equal(json_integer_value(json_object_get(keys, "Nj")), 64);
    assert_true(json_is_integer(json_object_get(keys, "levelist")));
    assert_true(json_is_integer(json_object_get(keys, "date")));
    json_decref(keys);
}

static void make_90_minutes(codes_handle *handle)
{
    set(handle, "indicatorOfUnitOfTimeRange", 0);
    set(handle, "forecastTime", 90);
}

static void ninety_minutes_are_an_hour_and_a_half(void **state)
{
    (void)state;
    struct error err;
    json_t *keys = decode_sample_with("GRIB2", make_90_minutes, &err);

    assert_true(json_number_value(json_object_get(keys, "step")) == 1.5);
    assert_int_equal(json_integer_value(json_object_get(keys, "step_seconds")), 5400);
    assert_string_equal(json_string_value(json_object_get(keys, "stepRange")), "90m");
    json_decref(keys);
}

/* ---- templates of products ---- */

/* All that ecCodes 2.28 has a forecast time for, with the list that some carry. */
static const struct {
    long number;
    const char *list;
} products[] = {
    { 0, NULL },
    { 1, NULL },
    { 2, NULL },
    { 3, NULL },
    { 4, NULL },
    { 5, NULL },
    { 6, NULL },
    { 7, NULL },
    { 8, NULL },
    { 9, NULL },
    { 10, NULL },
    { 11, NULL },
    { 12, NULL },
    { 13, NULL },
    { 14, NULL },
    { 15, NULL },
    { 32, "numberOfContributingSpectralBands" },
    { 33, "numberOfContributingSpectralBands" },
    { 34, "numberOfContributingSpectralBands" },
    { 40, NULL },
    { 41, NULL },
    { 42, NULL },
    { 43, NULL },
    { 44, NULL },
    { 45, NULL },
    { 46, NULL },
    { 47, NULL },
    { 48, NULL },
    { 49, NULL },
    { 51, "numberOfCategories" },
    { 53, "numberOfPartitions" },
    { 54, "numberOfPartitions" },
    { 55, NULL },
    { 56, NULL },
    { 57, "numberOfDistributionFunctionParameters" },
    { 58, "numberOfDistributionFunctionParameters" },
    { 60, NULL },
    { 61, NULL },
    { 67, "numberOfDistributionFunctionParameters" },
    { 68, "numberOfDistributionFunctionParameters" },
    { 70, NULL },
    { 71, NULL },
    { 72, NULL },
    { 73, NULL },
    { 76, NULL },
    { 77, NULL },
    { 78, NULL },
    { 79, NULL },
    { 80, NULL },
    { 81, NULL },
    { 82, NULL },
    { 83, NULL },
    { 84, NULL },
    { 85, NULL },
    { 86, NULL },
    { 87, NULL },
    { 91, "numberOfCategories" },
};

/* The message of a template: valid 6 hours after its reference time, or up to 24. */
static codes_handle *make_product(long number, const char *list, long entries)
{
    codes_handle *handle = codes_grib_handle_new_from_samples(NULL, "GRIB2");

    assert_non_null(handle);
    set(handle, "tablesVersion", 28);
    set(handle, "productDefinitionTemplateNumber", number);
    if (list != NULL)
        set(handle, list, entries);
    const char *key;
    for (size_t i = 0; (key = grib2_product_key(i)) != NULL; i++)
        if (entries == 1 && codes_is_defined(handle, key)) /* of a list it would be one of them */
            (void)codes_set_long(handle, key, strncmp(key, "scaledValue", 11) == 0 ? -5 : 3);
    set(handle, "forecastTime", 6);
    if (codes_is_defined(handle, "lengthOfTimeRange")) {
        set(handle, "typeOfTimeIncrement", 2);
        set(handle, "lengthOfTimeRange", 18);
        set(handle, "yearOfEndOfOverallTimeInterval", 2007); /* the sample is of 23 March 2007 at 12 */
        set(handle, "monthOfEndOfOverallTimeInterval", 3);
        set(handle, "dayOfEndOfOverallTimeInterval", 24);
        set(handle, "hourOfEndOfOverallTimeInterval", 12);
    }
    return handle;
}

/* What the template has is there: what is right, assert_keys_hold() has seen. */
static void assert_product_is_complete(codes_handle *whole, const json_t *keys, long number)
{
    const char *key;
    long value;

    for (size_t i = 0; (key = grib2_product_key(i)) != NULL; i++) {
        bool there = codes_is_defined(whole, key) && codes_get_long(whole, key, &value) == 0 &&
                     has_value(whole, key);
        if (there && value != 255 && value != 65535 && json_object_get(keys, key) == NULL)
            fail_msg("template %ld: %s is absent", number, key);
    }
}

static void assert_product_holds(codes_handle *made, long number)
{
    const void *message;
    size_t size;
    struct buf heads;
    struct error err;

    assert_int_equal(codes_get_message(made, &message, &size), 0);
    codes_handle *whole = codes_handle_new_from_message_copy(NULL, message, size);
    buf_init(&heads, HEADS_SIZE_MAX);
    append_heads(&heads, message, size);
    json_t *keys = decode(slice_of(heads.data + 4, heads.size - 4), &err);
    if (keys == NULL)
        fail_msg("template %ld: %s", number, err.text);
    assert_keys_hold(whole, keys);
    if (number != 51 && number != 91) /* limits of each of their categories, which are no field's own */
        assert_product_is_complete(whole, keys, number);
    json_int_t hours = codes_is_defined(whole, "lengthOfTimeRange") ? 24 : 6;
    if (json_integer_value(json_object_get(keys, "step_seconds")) != hours * 3600)
        fail_msg("template %ld: %lld seconds", number,
                 json_integer_value(json_object_get(keys, "step_seconds")));
    json_decref(keys);
    buf_fini(&heads);
    codes_handle_delete(whole);
}

static void every_template_of_a_product_is_read_as_ecCodes_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(products); i++) {
        for (long entries = 1; entries <= (products[i].list != NULL ? 3 : 1); entries++) {
            codes_handle *made = make_product(products[i].number, products[i].list, entries);
            assert_product_holds(made, products[i].number);
            codes_handle_delete(made);
        }
    }
}

static void make_tenth_of_a_hectopascal(codes_handle *handle)
{
    set(handle, "typeOfFirstFixedSurface", 100);
    set(handle, "scaleFactorOfFirstFixedSurface", 0);
    set(handle, "scaledValueOfFirstFixedSurface", 10);
}

static void a_level_may_have_a_fraction(void **state)
{
    (void)state;
    struct error err;
    json_t *keys = decode_sample_with("GRIB2", make_tenth_of_a_hectopascal, &err);
    double level = json_number_value(json_object_get(keys, "level"));

    /* Pa where hectopascals do not do, or a fraction of one: either way the number and its type fit. */
    if (strcmp(json_string_value(json_object_get(keys, "typeOfLevel")), "isobaricInPa") == 0)
        assert_true(level == 10);
    else
        assert_true(level == 0.1);
    json_decref(keys);
}

/* A part of a reduced Gaussian grid with a row that has no point there. */
static const uint8_t head_with_an_empty_row[] = {
    'G', 'R', 'I', 'B', 0,   0, 0, 1, 0, 0,   28, 128, 98, 255, 255, 0x80, 167, 1, 0,  0, 13,  4,
    8,   0,   0,   1,   0,   0, 0, 0, 0, 0,   21, 0,   0,  0,   0,   0,    40,  0, 33, 4, 255, 255,
    0,   4,   1,   56,  128, 0, 0, 0, 0, 129, 56, 128, 4,  30,  176, 255,  255, 0, 2,  0, 0,   0,
    0,   0,   0,   0,   0,   8, 0, 8, 0, 4,   0,  0,   20, 0,   0,   0,    0,   0, 0,  0, 16,
};

static void an_empty_row_of_a_grid_costs_the_count_and_no_more(void **state)
{
    (void)state;
    struct error err;
    json_t *keys = decode(slice_of(head_with_an_empty_row, sizeof head_with_an_empty_row), &err);

    assert_string_equal(json_string_value(json_object_get(keys, "gridType")), "reduced_gg");
    assert_string_equal(json_string_value(json_object_get(keys, "param")), "2t");
    assert_null(json_object_get(keys, "numberOfDataPoints"));
    json_decref(keys);
}

static void keys_of_packing_are_not_named_anew(void **state)
{
    (void)state;
    for (size_t i = 0; grib_packing_keys[i] != NULL; i++)
        assert_true(field_key_is_unnamed(grib_packing_keys[i]));
    assert_false(field_key_is_unnamed("param"));
}

/* ---- members of NCEP in edition 1 ---- */

/* Section 1 of a head of edition 1, lengthened by NCEP's octets 41 to 45. */
static json_t *decode_ncep_1(uint8_t application, uint8_t type, uint8_t number, uint8_t product)
{
    uint8_t extension[17] = { [12] = application, type, number, product, 1 };
    struct file file;
    struct slice head = { .size = 0 };
    struct buf longer;
    struct error err;
    char path[4096];

    snprintf(path, sizeof path, "%s/regular_ll_sfc_grib1.tmpl", samples_folder());
    file_open(&file, path);
    assert_true(file_next(&file, &head));
    buf_init(&longer, 1 << 16);
    buf_append(&longer, head.data, 8 + 28);
    buf_append(&longer, extension, sizeof extension);
    buf_append(&longer, head.data + 8 + get_u24(head.data + 8), head.size - 8 - get_u24(head.data + 8));
    put_u16(longer.data + 8 + 1, 28 + sizeof extension);
    longer.data[8 + 4] = 7;
    json_t *keys = decode(slice_of(longer.data, longer.size), &err);
    if (keys == NULL)
        fail_msg("%s", err.text);
    buf_fini(&longer);
    file_close(&file);
    return keys;
}

static void a_member_of_ncep_in_edition_1_has_its_number(void **state)
{
    (void)state;
    static const struct {
        uint8_t application, type, number, product;
        int expected, ensemble_type; /* -1: no member */
    } cases[] = {
        { 1, 1, 1, 1, 0, 0 }, { 1, 1, 2, 1, 0, 1 },  { 1, 2, 5, 1, 5, 2 },
        { 1, 3, 5, 1, 5, 3 }, { 1, 5, 0, 2, -1, 0 }, { 1, 3, 5, 11, -1, 0 },
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        json_t *keys = decode_ncep_1(cases[i].application, cases[i].type, cases[i].number,
                                     cases[i].product);
        const json_t *number = json_object_get(keys, "number");
        assert_int_equal(number != NULL, cases[i].expected >= 0);
        assert_int_equal(json_object_get(keys, "perturbationNumber") != NULL, cases[i].expected >= 0);
        if (cases[i].expected >= 0) {
            assert_int_equal(json_integer_value(number), cases[i].expected);
            assert_int_equal(json_integer_value(json_object_get(keys, "typeOfEnsembleForecast")),
                             cases[i].ensemble_type);
        }
        json_decref(keys);
    }
}

/* ---- hostile ---- */

/* Text with quotes, markup and control characters where ecCodes takes text from octets: ECMWF's expver. */
static void text_of_octets_is_valid_json(void **state)
{
    (void)state;
    static const char *const texts[] = { "<b>\"", "\x01\x02\x03\x1f", "\xff\xfe\x80\xc3", "a\0bc",
                                         "\\u0\n" };
    struct file file;
    struct slice head = { .size = 0 };
    struct grib_head sections;
    struct error err;
    char path[4096];

    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        snprintf(path, sizeof path, "%s/reduced_gg_pl_32_grib1.tmpl", samples_folder());
        file_open(&file, path);
        assert_true(file_next(&file, &head));
        assert_int_equal(grib_head_parse(head.data, head.size, &sections, &err), STATUS_OK);
        assert_true(sections.section[1].size > 49);
        memcpy((uint8_t *)sections.section[1].data + 45, texts[i], 4); /* expver */
        json_t *keys = decode(head, &err); /* fails the test when it is no JSON */
        if (keys != NULL) {
            const char *key;
            json_t *value;
            json_object_foreach (keys, key, value)
                assert_true(!json_is_string(value) || json_string_length(value) < 2048);
        }
        json_decref(keys);
        file_close(&file);
    }
}

static void every_cut_of_a_head_is_refused(void **state)
{
    (void)state;
    struct file file;
    struct slice head = { .size = 0 };
    struct error err;
    char path[4096];

    for (int edition = 1; edition <= 2; edition++) {
        snprintf(path, sizeof path, "%s/regular_ll_sfc_grib%d.tmpl", samples_folder(), edition);
        file_open(&file, path);
        assert_true(file_next(&file, &head));
        for (size_t size = 0; size < head.size; size++) {
            uint8_t *cut = malloc(size + 1);
            memcpy(cut, head.data, size);
            json_t *keys = decode(slice_of(cut, size), &err);
            free(cut);
            if (keys != NULL)
                fail_msg("edition %d: %zu of %zu octets are decoded", edition, size, head.size);
            assert_int_equal(err.status, STATUS_MALFORMED);
            assert_true(strlen(err.text) > 0);
        }
        file_close(&file);
    }
}

/* Section number n of an edition 2 head, to be written to. */
static uint8_t *section_of(struct slice head, unsigned number)
{
    struct grib_head sections;

    assert_int_equal(grib_head_parse(head.data, head.size, &sections, NULL), STATUS_OK);
    return (uint8_t *)sections.section[number].data;
}

static void what_ecCodes_does_not_know_is_refused_with_its_words(void **state)
{
    (void)state;
    struct file file;
    struct slice head = { .size = 0 };
    struct error err;
    char path[4096];

    snprintf(path, sizeof path, "%s/regular_ll_sfc_grib2.tmpl", samples_folder());
    file_open(&file, path);
    assert_true(file_next(&file, &head));
    put_u16(section_of(head, 4) + 7, 999); /* number of the product's template */
    assert_null(decode(head, &err));
    assert_non_null(strstr(err.text, "template.4.999"));
    assert_non_null(strstr(err.text, decode_release()));
    file_close(&file);
}

static void a_grid_that_ecCodes_does_not_know_costs_only_the_keys_of_the_grid(void **state)
{
    (void)state;
    static const char *const same[] = { "param",        "paramId",     "levtype",
                                        "step_seconds", "date",        "time",
                                        "units",        "packingType", NULL };
    struct file file;
    struct slice head = { .size = 0 };
    struct error err;
    char path[4096];

    snprintf(path, sizeof path, "%s/regular_ll_sfc_grib2.tmpl", samples_folder());
    file_open(&file, path);
    assert_true(file_next(&file, &head));
    json_t *known = decode(head, &err);
    put_u16(section_of(head, 3) + 12, 999);
    json_t *unknown = decode(head, &err);
    assert_keys_without_grid(unknown);
    assert_int_equal(json_integer_value(json_object_get(unknown, "gridDefinitionTemplateNumber")), 999);
    for (size_t i = 0; same[i] != NULL; i++)
        assert_true(json_equal(json_object_get(known, same[i]), json_object_get(unknown, same[i])));
    assert_int_equal(json_integer_value(json_object_get(known, "numberOfDataPoints")),
                     json_integer_value(json_object_get(unknown, "numberOfDataPoints")));
    json_decref(known);
    json_decref(unknown);
    file_close(&file);
}

/* ---- remembered names ---- */

/* Another date, step and member in the octets of a head; edition 2 in the templates for members and the others that begin alike. */
static void change_when_and_who(uint8_t *head, size_t size)
{
    struct grib_head sections;

    assert_int_equal(grib_head_parse(head, size, &sections, NULL), STATUS_OK);
    uint8_t *section_1 = (uint8_t *)sections.section[1].data,
            *section_4 = (uint8_t *)sections.section[4].data;
    if (sections.edition == 1) {
        section_1[12] = 7; /* year, month, day, hour */
        section_1[13] = 11;
        section_1[14] = 23;
        section_1[15] = 18;
        section_1[18] = 42; /* P1 */
        if (section_1[4] == 98 && sections.section[1].size > 49 && section_1[40] == 1)
            section_1[49] = 9;
        return;
    }
    put_u16(section_1 + 12, 2007);
    section_1[14] = 11;
    section_1[15] = 23;
    section_1[16] = 18;
    if (get_u16(section_4 + 7) <= 11)
        put_u32(section_4 + 18, 42);
    if (get_u16(section_4 + 7) == 1 || get_u16(section_4 + 7) == 11)
        section_4[35] = 9;
}

/* What ecCodes says of the head itself: nothing remembered. Edition 1 it reads up to section 2, which is enough for names. */
static void assert_names_are_fresh(struct slice head, const json_t *keys)
{
    static const char *const names[][2] = { { "param", "shortName" },
                                            { "name", "name" },
                                            { "units", "units" } };
    codes_handle *handle = codes_handle_new_from_partial_message(NULL, head.data, head.size);
    long id;

    assert_non_null(handle);
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        char text[VALUE_SIZE];
        size_t size = sizeof text;
        assert_int_equal(codes_get_string(handle, names[i][1], text, &size), 0);
        assert_string_equal(json_string_value(json_object_get(keys, names[i][0])), text);
    }
    assert_int_equal(codes_get_long(handle, "paramId", &id), 0);
    assert_int_equal(json_integer_value(json_object_get(keys, "paramId")), id);
    codes_handle_delete(handle);
}

static unsigned check_names_of(const char *path)
{
    struct file file;
    struct slice head = { .size = 0 };
    struct error err;
    unsigned checked = 0;

    for (file_open(&file, path); file_next(&file, &head); checked++) {
        json_t *keys = decode(head, &err); /* now they are remembered */
        if (keys == NULL)
            continue;
        json_decref(keys);
        change_when_and_who((uint8_t *)head.data, head.size);
        keys = decode(head, &err);
        assert_string_equal(json_string_value(json_object_get(keys, "time")), "1800");
        assert_names_are_fresh(head, keys);
        json_decref(keys);
    }
    file_close(&file);
    return checked;
}

static void remembered_names_are_those_of_another_date_step_and_member(void **state)
{
    (void)state;
    static const char *const files[] = { "gfs-308-fields.grib2", "nam-multi-field.grib2",
                                         "ens_50.grib",          "era5-levels-members.grib",
                                         "gfs-flux.grib2",       "regular_gg_ml_g2.grib" };
    const char *folder = real_files_folder();
    char path[4096];

    for (int edition = 1; edition <= 2; edition++) {
        snprintf(path, sizeof path, "%s/reduced_gg_pl_32_grib%d.tmpl", samples_folder(), edition);
        assert_int_equal(check_names_of(path), 1);
    }
    for (size_t i = 0; folder != NULL && i < ARRAY_COUNT(files); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        assert_true(check_names_of(path) > 0);
    }
}

/* ---- memory ---- */

#if defined(__SANITIZE_ADDRESS__)
size_t __sanitizer_get_current_allocated_bytes(void);
static size_t allocated(void)
{
    return __sanitizer_get_current_allocated_bytes();
}

/* ecCodes keeps 720 bytes of each head that it gives up on. That this door gives back what it opens is the test below. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libeccodes\n";
}
#else
static size_t allocated(void)
{
    return mallinfo2().uordblks;
}
#endif

static void decoding_keeps_no_memory(void **state)
{
    (void)state;
    struct file file;
    struct slice head = { .size = 0 };
    struct error err;
    char path[4096];

    for (int edition = 1; edition <= 2; edition++) {
        size_t before = 0;
        snprintf(path, sizeof path, "%s/regular_ll_sfc_grib%d.tmpl", samples_folder(), edition);
        file_open(&file, path);
        assert_true(file_next(&file, &head));
        for (unsigned round = 0; round < 40; round++) {
            json_decref(decode(head, &err));
            if (round == 20)
                before = allocated();
        }
        assert_true(allocated() <= before + 1024);
        file_close(&file);
    }
}

static int warm_up(void **state)
{
    (void)state;
    struct error err;

    if (decode_warm_up(&err) == STATUS_OK)
        return 0;
    print_error("%s\n", err.text);
    return -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_of_samples_have_the_keys_of_whole_messages),
        cmocka_unit_test(heads_of_real_files_have_the_keys_of_whole_messages),
        cmocka_unit_test(a_member_of_any_centre_has_its_number),
        cmocka_unit_test(what_a_field_lacks_is_absent),
        cmocka_unit_test(ninety_minutes_are_an_hour_and_a_half),
        cmocka_unit_test(every_template_of_a_product_is_read_as_ecCodes_does),
        cmocka_unit_test(a_level_may_have_a_fraction),
        cmocka_unit_test(an_empty_row_of_a_grid_costs_the_count_and_no_more),
        cmocka_unit_test(a_member_of_ncep_in_edition_1_has_its_number),
        cmocka_unit_test(keys_of_packing_are_not_named_anew),
        cmocka_unit_test(text_of_octets_is_valid_json),
        cmocka_unit_test(every_cut_of_a_head_is_refused),
        cmocka_unit_test(remembered_names_are_those_of_another_date_step_and_member),
        cmocka_unit_test(decoding_keeps_no_memory),
        cmocka_unit_test(what_ecCodes_does_not_know_is_refused_with_its_words),
        cmocka_unit_test(a_grid_that_ecCodes_does_not_know_costs_only_the_keys_of_the_grid),
    };
    return cmocka_run_group_tests(tests, warm_up, NULL);
}
