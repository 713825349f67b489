/* gribgen_keys.c: the ecCodes keys that write a field's header. */
#include "gribgen_keys.h"

#include "gribgen_time.h"

/* MARS' numbers for what a message is. */
enum {
    CLASS_OD = 1,
    TYPE_FC = 9,
    TYPE_CF = 10,
    TYPE_PF = 11,
    STREAM_OPER = 1025,
    STREAM_ENFO = 1035
};

/* WMO code table 4.4 and table 4 of edition 1, as far as the two agree. */
enum {
    UNIT_MINUTE = 0,
    UNIT_HOUR = 1,
    UNIT_DAY = 2,
    UNIT_3_HOURS = 10,
    UNIT_6_HOURS = 11,
    UNIT_12_HOURS = 12
};

/* Product definition templates (4.4) and time range indicators of edition 1 (table 5). */
enum { PDT_INSTANT = 0, PDT_MEMBER = 1, PDT_RANGE = 8, PDT_MEMBER_RANGE = 11 };
enum { RANGE_INSTANT = 0, RANGE_ACCUMULATED = 4, RANGE_LONG = 10, OCTET_MAX = 255 };

void gen_keys_long(struct gen_keys *keys, const char *key, long value)
{
    if (keys->code != CODES_SUCCESS)
        return;
    keys->key = key;
    keys->code = codes_set_long(keys->handle, key, value);
}

void gen_keys_double(struct gen_keys *keys, const char *key, double value)
{
    if (keys->code != CODES_SUCCESS)
        return;
    keys->key = key;
    keys->code = codes_set_double(keys->handle, key, value);
}

static void keys_missing(struct gen_keys *keys, const char *key)
{
    if (keys->code != CODES_SUCCESS)
        return;
    keys->key = key;
    keys->code = codes_set_missing(keys->handle, key);
}

static int keys_type(const struct gen_request *request, int member)
{
    if (request->members == 0)
        return TYPE_FC;
    return member == 0 ? TYPE_CF : TYPE_PF;
}

/* ECMWF's labels: local definition 1 of either edition. */
static void keys_labels(struct gen_keys *keys, const struct gen_request *request)
{
    gen_keys_long(keys, "localDefinitionNumber", 1);
    gen_keys_long(keys, "marsClass", CLASS_OD);
    gen_keys_long(keys, "marsStream", request->members == 0 ? STREAM_OPER : STREAM_ENFO);
}

static void keys_prepare1(struct gen_keys *keys, const struct gen_request *request,
                          const struct gen_param *param)
{
    const struct gen_grib1_code *code = &param->grib1[request->centre];
    struct gen_time time = gen_time_split(request->base_time);

    if (request->centre == GEN_KWBC)
        gen_keys_long(keys, "deleteLocalDefinition", 1);
    gen_keys_long(keys, "centre", request->centre == GEN_ECMF ? GEN_ECMF_NUMBER : GEN_KWBC_NUMBER);
    gen_keys_long(keys, "dataDate", time.year * 10000 + time.month * 100 + time.day);
    gen_keys_long(keys, "dataTime", time.hour * 100 + time.minute);
    gen_keys_long(keys, "table2Version", code->table);
    gen_keys_long(keys, "indicatorOfParameter", code->number);
    gen_keys_long(keys, "indicatorOfTypeOfLevel", code->surface);
    gen_keys_long(keys, "level", code->level);
    if (request->centre == GEN_ECMF)
        keys_labels(keys, request);
    gen_keys_long(keys, "bitsPerValue", request->bits);
}

static long keys_template(const struct gen_request *request, const struct gen_param *param)
{
    if (param->accumulated)
        return request->members == 0 ? PDT_RANGE : PDT_MEMBER_RANGE;
    return request->members == 0 ? PDT_INSTANT : PDT_MEMBER;
}

static void keys_base_time2(struct gen_keys *keys, const struct gen_request *request)
{
    struct gen_time time = gen_time_split(request->base_time);

    gen_keys_long(keys, "significanceOfReferenceTime", 1);
    gen_keys_long(keys, "year", time.year);
    gen_keys_long(keys, "month", time.month);
    gen_keys_long(keys, "day", time.day);
    gen_keys_long(keys, "hour", time.hour);
    gen_keys_long(keys, "minute", time.minute);
    gen_keys_long(keys, "second", time.second);
}

static void keys_surfaces2(struct gen_keys *keys, const struct gen_grib2_code *code)
{
    gen_keys_long(keys, "typeOfFirstFixedSurface", code->surface);
    gen_keys_long(keys, "typeOfSecondFixedSurface", code->surface2);
    if (code->level != 0) {
        gen_keys_long(keys, "scaleFactorOfFirstFixedSurface", 0);
        gen_keys_long(keys, "scaledValueOfFirstFixedSurface", code->level);
    } else {
        keys_missing(keys, "scaleFactorOfFirstFixedSurface");
        keys_missing(keys, "scaledValueOfFirstFixedSurface");
    }
    keys_missing(keys, "scaleFactorOfSecondFixedSurface");
    keys_missing(keys, "scaledValueOfSecondFixedSurface");
}

static void keys_prepare2(struct gen_keys *keys, const struct gen_request *request,
                          const struct gen_param *param)
{
    const struct gen_grib2_code *code = &param->grib2[request->centre];

    gen_keys_long(keys, "centre", request->centre == GEN_ECMF ? GEN_ECMF_NUMBER : GEN_KWBC_NUMBER);
    gen_keys_long(keys, "localTablesVersion", code->local_tables);
    keys_base_time2(keys, request);
    gen_keys_long(keys, "discipline", code->discipline);
    if (request->centre == GEN_ECMF) {
        gen_keys_long(keys, "setLocalDefinition", 1);
        keys_labels(keys, request);
    }
    gen_keys_long(keys, "productDefinitionTemplateNumber", keys_template(request, param));
    gen_keys_long(keys, "typeOfGeneratingProcess", request->members == 0 ? 2 : 4);
    gen_keys_long(keys, "parameterCategory", code->category);
    gen_keys_long(keys, "parameterNumber", code->number);
    keys_surfaces2(keys, code);
    gen_keys_long(keys, "bitsPerValue", request->bits);
}

/* How many minutes are in a unit of time; the finest come first. */
static const struct {
    int unit, minutes;
} units[] = {
    { UNIT_HOUR, 60 },     { UNIT_MINUTE, 1 },     { UNIT_3_HOURS, 180 },
    { UNIT_6_HOURS, 360 }, { UNIT_12_HOURS, 720 }, { UNIT_DAY, 1440 },
};

/* Which unit writes both ends of the range as whole numbers up to max? Hours wherever they do. */
static bool keys_unit(const struct gen_field *field, int32_t max, int *unit, int32_t *minutes)
{
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        *unit = units[i].unit;
        *minutes = units[i].minutes;
        if (field->start_minutes % *minutes == 0 && field->end_minutes % *minutes == 0 &&
            field->end_minutes / *minutes <= max)
            return true;
    }
    return false;
}

/* Edition 1 has an octet for each end of a range, or two for an instant by time range indicator 10. */
static void keys_step1(struct gen_keys *keys, const struct gen_field *field)
{
    int unit;
    int32_t minutes;

    if (!keys_unit(field, field->param->accumulated ? OCTET_MAX : UINT16_MAX, &unit, &minutes)) {
        keys->key = "P2 (a step that edition 1 can't write)";
        keys->code = CODES_OUT_OF_RANGE;
        return;
    }
    int32_t start = field->start_minutes / minutes, end = field->end_minutes / minutes;
    int range = field->param->accumulated ? RANGE_ACCUMULATED
                : end > OCTET_MAX         ? RANGE_LONG
                                          : RANGE_INSTANT;
    gen_keys_long(keys, "indicatorOfUnitOfTimeRange", unit);
    gen_keys_long(keys, "timeRangeIndicator", range);
    gen_keys_long(keys, "P1", range == RANGE_LONG ? end >> 8 : start);
    gen_keys_long(keys, "P2",
                  range == RANGE_LONG      ? end & OCTET_MAX
                  : range == RANGE_INSTANT ? 0
                                           : end);
}

static void keys_end2(struct gen_keys *keys, const struct gen_field *field)
{
    struct gen_time end = gen_time_split(field->base_time + field->end_minutes * (int64_t)60);

    gen_keys_long(keys, "yearOfEndOfOverallTimeInterval", end.year);
    gen_keys_long(keys, "monthOfEndOfOverallTimeInterval", end.month);
    gen_keys_long(keys, "dayOfEndOfOverallTimeInterval", end.day);
    gen_keys_long(keys, "hourOfEndOfOverallTimeInterval", end.hour);
    gen_keys_long(keys, "minuteOfEndOfOverallTimeInterval", end.minute);
    gen_keys_long(keys, "secondOfEndOfOverallTimeInterval", end.second);
}

static void keys_step2(struct gen_keys *keys, const struct gen_field *field)
{
    int32_t length = field->end_minutes - field->start_minutes;
    bool hours = field->start_minutes % 60 == 0 && length % 60 == 0;
    int32_t minutes = hours ? 60 : 1;

    gen_keys_long(keys, "indicatorOfUnitOfTimeRange", hours ? UNIT_HOUR : UNIT_MINUTE);
    gen_keys_long(keys, "forecastTime", field->start_minutes / minutes);
    if (!field->param->accumulated)
        return;
    keys_end2(keys, field);
    gen_keys_long(keys, "typeOfStatisticalProcessing", 1);
    gen_keys_long(keys, "typeOfTimeIncrement", 2);
    gen_keys_long(keys, "indicatorOfUnitForTimeRange", hours ? UNIT_HOUR : UNIT_MINUTE);
    gen_keys_long(keys, "lengthOfTimeRange", length / minutes);
}

static void keys_level1(struct gen_keys *keys, const struct gen_field *field)
{
    if (field->param->kind == GEN_PRESSURE)
        gen_keys_long(keys, "level", field->level);
    if (field->param->kind == GEN_SOIL) {
        gen_keys_long(keys, "topLevel", gen_soil_top(field->centre, field->param->layer));
        gen_keys_long(keys, "bottomLevel", field->level);
    }
}

static void keys_level2(struct gen_keys *keys, const struct gen_field *field)
{
    if (field->param->kind == GEN_SURFACE)
        return;
    bool soil = field->param->kind == GEN_SOIL;
    gen_keys_long(keys, "scaleFactorOfFirstFixedSurface", soil ? 2 : 0);
    gen_keys_long(keys, "scaledValueOfFirstFixedSurface",
                  soil ? gen_soil_top(field->centre, field->param->layer) : field->level * 100L);
    if (soil) {
        gen_keys_long(keys, "scaleFactorOfSecondFixedSurface", 2);
        gen_keys_long(keys, "scaledValueOfSecondFixedSurface", field->level);
    }
}

static void keys_member(struct gen_keys *keys, const struct gen_request *request,
                        const struct gen_field *field)
{
    if (request->centre == GEN_ECMF)
        gen_keys_long(keys, "marsType", keys_type(request, field->member));
    if (field->member == GEN_NO_MEMBER)
        return;
    gen_keys_long(keys, "perturbationNumber", field->member);
    gen_keys_long(keys, "numberOfForecastsInEnsemble", request->members + request->control);
    if (field->edition == 2) {
        gen_keys_long(keys, "typeOfProcessedData", field->member == 0 ? 3 : 4);
        gen_keys_long(keys, "typeOfEnsembleForecast", field->member == 0 ? 1 : 3);
    }
}

void gen_keys_prepare(struct gen_keys *keys, const struct gen_request *request,
                      const struct gen_param *param, int edition)
{
    if (edition == 1)
        keys_prepare1(keys, request, param);
    else
        keys_prepare2(keys, request, param);
}

void gen_keys_field(struct gen_keys *keys, const struct gen_request *request, const struct gen_field *field)
{
    keys_member(keys, request, field);
    if (field->edition == 1) {
        keys_step1(keys, field);
        keys_level1(keys, field);
    } else {
        keys_step2(keys, field);
        keys_level2(keys, field);
    }
}

void gen_keys_grid(struct gen_keys *keys, const struct gen_grid *grid)
{
    double increment = grid->millidegrees / 1000.0;

    gen_keys_long(keys, "Ni", grid->ni);
    gen_keys_long(keys, "Nj", grid->nj);
    gen_keys_double(keys, "latitudeOfFirstGridPointInDegrees", 90);
    gen_keys_double(keys, "longitudeOfFirstGridPointInDegrees", 0);
    gen_keys_double(keys, "latitudeOfLastGridPointInDegrees", -90);
    gen_keys_double(keys, "longitudeOfLastGridPointInDegrees", 360 - increment);
    gen_keys_double(keys, "iDirectionIncrementInDegrees", increment);
    gen_keys_double(keys, "jDirectionIncrementInDegrees", increment);
}
