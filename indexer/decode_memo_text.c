/* decode_memo_text.c: groups from octets; a scanner of compact JSON; names that may stay. */
#include "indexer/decode_memo_text.h"

#include "indexer/grib2_product.h"
#include "indexer/grib_octets.h"
#include "indexer/grib_packing.h"
#include "indexer/grib_step.h"
#include "proto/base/base64.h"
#include "proto/base/json_write.h"
#include "proto/run.h"

#include <assert.h>

enum { GROUP_DATE, GROUP_TIME, GROUP_STEP, GROUP_OCTETS, GROUP_PACKING, GROUPS_SIZE_MAX = 4096 };

/* ---- groups ---- */

void memo_groups_init(struct memo_groups *groups)
{
    buf_init(&groups->buf, GROUPS_SIZE_MAX);
}

void memo_groups_fini(struct memo_groups *groups)
{
    buf_fini(&groups->buf);
}

static void put_date(const struct grib_head *head, int64_t base_time, struct json_writer *json)
{
    int year, month, day, hour, minute, second;
    (void)head;

    base_time_to_calendar(base_time, &year, &month, &day, &hour, &minute, &second);
    json_put_i64(json, "date", (int64_t)year * 10000 + month * 100 + day);
}

static void put_time(const struct grib_head *head, int64_t base_time, struct json_writer *json)
{
    int year, month, day, hour, minute, second;
    (void)head;

    base_time_to_calendar(base_time, &year, &month, &day, &hour, &minute, &second);
    json_key(json, "time");
    char text[] = { (char)('0' + hour / 10), (char)('0' + hour % 10), (char)('0' + minute / 10),
                    (char)('0' + minute % 10), '\0' };
    json_text(json, text);
}

static void put_octets(const struct grib_head *head, int64_t base_time, struct json_writer *json)
{
    uint8_t octets[GRIB_OCTETS_SIZE_MAX];
    char text[BASE64_TEXT_SIZE(GRIB_OCTETS_SIZE_MAX)];
    size_t size = grib_octets_keep(head, octets);
    (void)base_time;

    if (size == 0)
        return;
    base64_print(octets, size, text);
    json_put_string(json, "octets", text);
}

static void put_packing(const struct grib_head *head, int64_t base_time, struct json_writer *json)
{
    (void)base_time;
    grib_packing_put(head, json);
}

static void (*const put_group[])(const struct grib_head *head, int64_t base_time,
                                 struct json_writer *json) = {
    [GROUP_DATE] = put_date,     [GROUP_TIME] = put_time,       [GROUP_STEP] = grib_step_put,
    [GROUP_OCTETS] = put_octets, [GROUP_PACKING] = put_packing,
};

void memo_groups_make(struct memo_groups *groups, const struct grib_head *head, int64_t base_time)
{
    size_t ends[MEMO_GROUPS + 1] = { 0 };

    buf_clear(&groups->buf);
    for (unsigned i = 0; i < MEMO_GROUPS; i++) {
        struct json_writer json;
        json_init(&json, &groups->buf);
        json_object_begin(&json);
        put_group[i](head, base_time, &json);
        json_object_end(&json);
        ends[i + 1] = groups->buf.size;
    }
    assert(buf_status(&groups->buf) == STATUS_OK); /* numbers and short texts */
    for (unsigned i = 0; i < MEMO_GROUPS; i++)
        groups->group[i] = slice_of(groups->buf.data + ends[i] + 1, ends[i + 1] - ends[i] - 2);
}

/* ---- names that may stay ---- */

/* Each follows from octets that are in the key. hdate, refdate, fcmonth, offsetdate and the like do not. */
static const char *const constant_names[] = {
    "anoffset",
    "bottomLevel",
    "centre",
    "channel",
    "class",
    "dataType",
    "diagnostic",
    "direction",
    "discipline",
    "domain",
    "DxInMetres",
    "DyInMetres",
    "eccodes",
    "edition",
    "expver",
    "frequency",
    "gridDefinition",
    "gridDefinitionTemplateNumber",
    "gridHash",
    "gridType",
    "idCategoryDiscipline",
    "ident",
    "idTable",
    "iDirectionIncrementInDegrees",
    "indicatorOfParameter",
    "indicatorOfTypeOfLevel",
    "instrument",
    "iteration",
    "J",
    "jDirectionIncrementInDegrees",
    "latitudeOfFirstGridPointInDegrees",
    "latitudeOfLastGridPointInDegrees",
    "level",
    "levelist",
    "levtype",
    "localTablesVersion",
    "longitudeOfFirstGridPointInDegrees",
    "longitudeOfLastGridPointInDegrees",
    "method",
    "model",
    "N",
    "name",
    "Ni",
    "Nj",
    "number",
    "numberOfDataPoints",
    "numberOfForecastsInEnsemble",
    "origin",
    "packingType",
    "param",
    "parameterCategory",
    "parameterNumber",
    "paramId",
    "perturbationNumber",
    "productDefinitionTemplateNumber",
    "quantile",
    "scaledValueOfFirstFixedSurface",
    "scaledValueOfSecondFixedSurface",
    "scaleFactorOfFirstFixedSurface",
    "scaleFactorOfSecondFixedSurface",
    "stepType",
    "stream",
    "subCentre",
    "system",
    "table2Version",
    "tablesVersion",
    "timeRangeIndicator",
    "topLevel",
    "type",
    "typeOfEnsembleForecast",
    "typeOfFirstFixedSurface",
    "typeOfLevel",
    "typeOfSecondFixedSurface",
    "typeOfStatisticalProcessing",
    "units",
};

/* Streams whose date and time in MARS are the reference time (definitions/mars/grib.STREAM.TYPE.def); of others they may be those
 * of an analysis, of a model's version, of a month. */
static const char *const plain_streams[] = {
    "dcda", "dcwv", "eefo", "efov", "elda", "enda", "enfo", "ewda", "ewla", "lwda",
    "lwwv", "mmsf", "oper", "scda", "scwv", "seas", "waef", "wasf", "wave", "weef",
};

static bool is_one_of(struct slice name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(names[i]) == name.size && memcmp(names[i], name.data, name.size) == 0)
            return true;
    return false;
}

static bool may_stay(struct slice name, struct slice value)
{
    if (!is_one_of(name, constant_names, ARRAY_COUNT(constant_names)) && !grib2_product_has_key(name))
        return false;
    if (is_one_of(name, (const char *const[]){ "stream" }, 1)) /* value: with its quotes */
        return value.size > 2 && is_one_of(slice_of(value.data + 1, value.size - 2), plain_streams,
                                           ARRAY_COUNT(plain_streams));
    /* Of a first guess MARS has the time that it is valid at. */
    return !(is_one_of(name, (const char *const[]){ "type" }, 1) && value.size == 4 &&
             memcmp(value.data, "\"fg\"", 4) == 0);
}

/* ---- taking apart ---- */

/* Past a string that begins at `at`; 0: it is none. */
static size_t scan_string(struct slice text, size_t at)
{
    if (at >= text.size || text.data[at] != '"')
        return 0;
    for (at++; at < text.size && text.data[at] != '"'; at++)
        if (text.data[at] == '\\')
            at++;
    return at < text.size ? at + 1 : 0;
}

/* Past a string, a number, true, false or null; not past what has parts of its own. */
static size_t scan_value(struct slice text, size_t at)
{
    size_t begin = at;

    if (at < text.size && text.data[at] == '"')
        return scan_string(text, at);
    while (at < text.size && strchr(",{}[]\" \t\r\n", text.data[at]) == NULL)
        at++;
    return at > begin ? at : 0;
}

/* The member at *at, which moves past it. */
static bool scan_member(struct slice text, size_t *at, struct slice *name, struct slice *value)
{
    size_t colon = scan_string(text, *at);
    if (colon == 0 || colon >= text.size || text.data[colon] != ':')
        return false;
    size_t end = scan_value(text, colon + 1);
    if (end == 0)
        return false;
    *name = slice_of(text.data + *at + 1, colon - *at - 2);
    *value = slice_of(text.data + colon + 1, end - colon - 1);
    *at = end;
    return true;
}

/* Which group stands at `at`; MEMO_GROUPS: none does. */
static unsigned group_at(struct slice text, size_t at, const struct memo_groups *groups)
{
    for (unsigned i = 0; i < MEMO_GROUPS; i++) {
        size_t size = groups->group[i].size;
        if (size > 0 && size < text.size - at &&
            memcmp(text.data + at, groups->group[i].data, size) == 0 &&
            (text.data[at + size] == ',' || text.data[at + size] == '}'))
            return i;
    }
    return MEMO_GROUPS;
}

struct taking {
    struct memo_parts *parts;
    size_t from; /* where the segment under way begins */
    bool taken[MEMO_GROUPS];
};

/* The segment under way ends in front of `at`, and a comma. */
static void end_segment(struct taking *taking, struct slice text, size_t at)
{
    size_t size = at > taking->from ? at - taking->from - 1 : 0;

    taking->parts->segment[taking->parts->groups_count] = slice_of(text.data + taking->from, size);
}

static bool take_one(struct taking *taking, struct slice text, size_t *at, const struct memo_groups *groups)
{
    struct slice name, value;
    unsigned group = group_at(text, *at, groups);

    if (group == MEMO_GROUPS)
        return scan_member(text, at, &name, &value) && may_stay(name, value);
    if (taking->taken[group])
        return false;
    end_segment(taking, text, *at);
    taking->parts->group[taking->parts->groups_count++] = (uint8_t)group;
    taking->taken[group] = true;
    *at += groups->group[group].size;
    taking->from = *at + 1;
    return true;
}

bool memo_parts_take(struct slice text, const struct memo_groups *groups, struct memo_parts *parts)
{
    struct taking taking = { .parts = parts, .from = 1 };
    size_t at = 1;

    *parts = (struct memo_parts){ .groups_count = 0 };
    if (text.size < 2 || text.data[0] != '{' || text.data[text.size - 1] != '}')
        return false;
    for (;;) {
        if (!take_one(&taking, text, &at, groups))
            return false;
        if (at == text.size - 1)
            break;
        if (at >= text.size || text.data[at++] != ',')
            return false;
    }
    end_segment(&taking, text, at + 1); /* as if a comma followed */
    for (unsigned i = 0; i < MEMO_GROUPS; i++)
        if (taking.taken[i] != (groups->group[i].size > 0))
            return false;
    return true;
}

/* ---- putting together ---- */

static void join(struct buf *text, struct slice members)
{
    if (members.size == 0)
        return;
    if (text->size > 0 && text->data[text->size - 1] != '{')
        buf_append(text, ",", 1);
    buf_append(text, members.data, members.size);
}

bool memo_parts_join(const struct memo_parts *parts, const struct memo_groups *groups, struct buf *text)
{
    unsigned have = 0;

    for (unsigned i = 0; i < MEMO_GROUPS; i++)
        have += groups->group[i].size > 0;
    for (unsigned i = 0; i < parts->groups_count; i++)
        have -= groups->group[parts->group[i]].size > 0;
    /* None beside those that the text has, and all of those. */
    for (unsigned i = 0; i < parts->groups_count; i++)
        if (groups->group[parts->group[i]].size == 0)
            return false;
    if (have != 0)
        return false;
    buf_append(text, "{", 1);
    for (unsigned i = 0; i < parts->groups_count; i++) {
        join(text, parts->segment[i]);
        join(text, groups->group[parts->group[i]]);
    }
    join(text, parts->segment[parts->groups_count]);
    buf_append(text, "}", 1);
    return true;
}
