/* gribgen_decode.c: from a handle of ecCodes back to the field it was made from. */
#include "gribgen_decode.h"

#include "gribgen_time.h"

enum { TYPE_CF = 10, TYPE_PF = 11, OCTET_MISSING = 255, STEP_MINUTES_MAX = 1 << 29 };

/* A handle being read. The first key that lacks is kept, and what comes after it is 0. */
struct decoding {
    codes_handle *handle; /* borrowed */
    const char *missing;
};

static long decode_long(struct decoding *decoding, const char *key)
{
    long value = 0;

    if (decoding->missing == NULL && codes_get_long(decoding->handle, key, &value) != CODES_SUCCESS)
        decoding->missing = key;
    return decoding->missing == NULL ? value : 0;
}

/* Edition 2 is read octet by octet: dataTime has no seconds, and says so on the standard error each time. */
static int64_t decode_base_time(struct decoding *decoding)
{
    if (decode_long(decoding, "edition") == 1) {
        long date = decode_long(decoding, "dataDate"), clock = decode_long(decoding, "dataTime");

        return gen_time_seconds(&(struct gen_time){
            .year = (int)(date / 10000),
            .month = (int)(date / 100 % 100),
            .day = (int)(date % 100),
            .hour = (int)(clock / 100),
            .minute = (int)(clock % 100),
        });
    }
    return gen_time_seconds(&(struct gen_time){
        .year = (int)decode_long(decoding, "year"),
        .month = (int)decode_long(decoding, "month"),
        .day = (int)decode_long(decoding, "day"),
        .hour = (int)decode_long(decoding, "hour"),
        .minute = (int)decode_long(decoding, "minute"),
        .second = (int)decode_long(decoding, "second"),
    });
}

/* ECMWF's lowest layer ends at 255 cm: the octet that ecCodes takes for a missing level. */
static long decode_bottom1(struct decoding *decoding)
{
    long bottom = decode_long(decoding, "bottomLevel");

    return bottom == CODES_MISSING_LONG ? OCTET_MISSING : bottom;
}

static bool decode_is1(struct decoding *decoding, const struct gen_param *param, enum gen_centre centre)
{
    const struct gen_grib1_code *code = &param->grib1[centre];

    if (code->table != decode_long(decoding, "table2Version") ||
        code->number != decode_long(decoding, "indicatorOfParameter") ||
        code->surface != decode_long(decoding, "indicatorOfTypeOfLevel"))
        return false;
    if (param->kind == GEN_SOIL)
        return decode_long(decoding, "topLevel") == gen_soil_top(centre, param->layer) &&
               decode_bottom1(decoding) == gen_soil_bottom(centre, param->layer);
    return param->kind == GEN_PRESSURE || decode_long(decoding, "level") == code->level;
}

/* The value of a surface in units of 10 to the -scale, as it stands in the octets. */
static bool decode_surface_is(struct decoding *decoding, const char *factor, const char *value,
                              long scale, long number)
{
    return decode_long(decoding, factor) == scale && decode_long(decoding, value) == number;
}

static bool decode_is2(struct decoding *decoding, const struct gen_param *param, enum gen_centre centre)
{
    const struct gen_grib2_code *code = &param->grib2[centre];
    static const char first_factor[] = "scaleFactorOfFirstFixedSurface";
    static const char first_value[] = "scaledValueOfFirstFixedSurface";

    if (code->discipline != decode_long(decoding, "discipline") ||
        code->category != decode_long(decoding, "parameterCategory") ||
        code->number != decode_long(decoding, "parameterNumber") ||
        code->local_tables != decode_long(decoding, "localTablesVersion") ||
        code->surface != decode_long(decoding, "typeOfFirstFixedSurface") ||
        code->surface2 != decode_long(decoding, "typeOfSecondFixedSurface"))
        return false;
    if (param->kind == GEN_SOIL)
        return decode_surface_is(decoding, first_factor, first_value, 2,
                                 gen_soil_top(centre, param->layer)) &&
               decode_surface_is(decoding, "scaleFactorOfSecondFixedSurface",
                                 "scaledValueOfSecondFixedSurface", 2,
                                 gen_soil_bottom(centre, param->layer));
    return code->level == 0 || decode_surface_is(decoding, first_factor, first_value, 0, code->level);
}

static bool decode_param(struct decoding *decoding, struct gen_field *field, struct gen_error *err)
{
    for (size_t i = 0; i < gen_params_count; i++) {
        const struct gen_param *param = &gen_params[i];

        if (!gen_param_in(param, field->centre, field->edition))
            continue;
        if ((field->edition == 1 ? decode_is1 : decode_is2)(decoding, param, field->centre)) {
            field->param = param;
            return true;
        }
    }
    return gen_fail(err, "no parameter that gribgen makes has these codes");
}

static int32_t decode_level(struct decoding *decoding, const struct gen_field *field)
{
    if (field->param->kind == GEN_SOIL)
        return gen_soil_bottom(field->centre, field->param->layer);
    if (field->param->kind == GEN_SURFACE)
        return 0;
    if (field->edition == 1)
        return (int32_t)decode_long(decoding, "level");
    return (int32_t)(decode_long(decoding, "scaledValueOfFirstFixedSurface") / 100);
}

/* Minutes in a unit of WMO code table 4.4, as both editions use it; 0 for what gribgen never writes. */
static int32_t decode_unit(long unit)
{
    switch (unit) {
    case 0:
        return 1;
    case 1:
        return 60;
    case 2:
        return 1440;
    case 10:
        return 180;
    case 11:
        return 360;
    case 12:
        return 720;
    default:
        return 0;
    }
}

/* So many units in minutes; what no step of gribgen reaches becomes one that no step is. */
static int32_t decode_minutes(long count, long unit)
{
    if (count < 0 || count > STEP_MINUTES_MAX)
        return -1;
    int64_t minutes = (int64_t)count * decode_unit(unit);
    return minutes <= STEP_MINUTES_MAX ? (int32_t)minutes : -1;
}

static void decode_steps1(struct decoding *decoding, struct gen_field *field)
{
    long unit = decode_long(decoding, "indicatorOfUnitOfTimeRange");
    long range = decode_long(decoding, "timeRangeIndicator");
    long p1 = decode_long(decoding, "P1"), p2 = decode_long(decoding, "P2");

    if (range == 10)
        p1 = p1 << 8 | p2;
    field->start_minutes = decode_minutes(p1, unit);
    field->end_minutes = range == 4 ? decode_minutes(p2, unit) : field->start_minutes;
}

static void decode_steps2(struct decoding *decoding, struct gen_field *field)
{
    field->start_minutes = decode_minutes(decode_long(decoding, "forecastTime"),
                                          decode_long(decoding, "indicatorOfUnitOfTimeRange"));
    field->end_minutes = field->start_minutes;
    if (field->param->accumulated)
        field->end_minutes += decode_minutes(decode_long(decoding, "lengthOfTimeRange"),
                                             decode_long(decoding, "indicatorOfUnitForTimeRange"));
}

static int32_t decode_member(struct decoding *decoding, const struct gen_field *field)
{
    if (field->edition == 2) {
        long template = decode_long(decoding, "productDefinitionTemplateNumber");
        return template == 1 || template == 11 ? (int32_t)decode_long(decoding, "perturbationNumber")
                                               : GEN_NO_MEMBER;
    }
    if (field->centre != GEN_ECMF)
        return GEN_NO_MEMBER;
    long type = decode_long(decoding, "marsType");
    return type == TYPE_CF || type == TYPE_PF ? (int32_t)decode_long(decoding, "perturbationNumber")
                                              : GEN_NO_MEMBER;
}

bool gen_decode_field(codes_handle *handle, struct gen_field *field, struct gen_error *err)
{
    struct decoding decoding = { .handle = handle };
    long centre = decode_long(&decoding, "centre");

    if (centre != GEN_ECMF_NUMBER && centre != GEN_KWBC_NUMBER)
        return gen_fail(err, "centre %ld is none that gribgen writes", centre);
    *field = (struct gen_field){
        .centre = centre == GEN_ECMF_NUMBER ? GEN_ECMF : GEN_KWBC,
        .edition = (int)decode_long(&decoding, "edition"),
        .base_time = decode_base_time(&decoding),
    };
    if (!decode_param(&decoding, field, err))
        return false;
    field->level = decode_level(&decoding, field);
    if (field->edition == 1)
        decode_steps1(&decoding, field);
    else
        decode_steps2(&decoding, field);
    if (field->start_minutes < 0 || field->end_minutes < field->start_minutes)
        return gen_fail(err, "a step that gribgen never writes");
    field->member = decode_member(&decoding, field);
    return decoding.missing == NULL || gen_fail(err, "ecCodes finds no %s", decoding.missing);
}
