/* gribgen_field.c: what a generated field is, which octets name it, and the closed formula behind every value. */
#include "gribgen_field.h"

#include <math.h>
#include <string.h>

/* The kinds of level that edition 2 spells with two surfaces. */
#define AT_2M 103, 2, 255
#define AT_10M 103, 10, 255
#define SURFACE 1, 0, 255
#define SEA_LEVEL 101, 0, 255
#define COLUMN 1, 0, 8
#define LAYER 106, 0, 106
#define PRESSURE 100, 0, 255
#define NONE                                                                                       \
    {                                                                                              \
        0                                                                                          \
    }

/* The codes are raw octets and not short names: names depend on the ecCodes release, octets do not. Total
 * precipitation is there twice because its unit is: m at ECMWF, kg m-2 at NCEP. */
/* clang-format off */
const struct gen_param gen_params[] = {
    /* name, kind, layer, accumulated, in minutes, edition in both, base, slope, scale,
     *     edition 1: ecmf, kwbc; edition 2: ecmf, kwbc */
    { "2t", GEN_SURFACE, 0, false, true, 2, 240, 0, 70,
      { { 128, 167, 1, 0 }, { 2, 11, 105, 2 } }, { { 0, 0, 0, AT_2M, 0 }, { 0, 0, 0, AT_2M, 0 } } },
    { "2d", GEN_SURFACE, 0, false, false, 1, 235, 0, 65,
      { { 128, 168, 1, 0 }, { 2, 17, 105, 2 } }, { { 0, 0, 6, AT_2M, 0 }, { 0, 0, 6, AT_2M, 0 } } },
    { "10u", GEN_SURFACE, 0, false, true, 1, -20, 0, 40,
      { { 128, 165, 1, 0 }, { 2, 33, 105, 10 } }, { { 0, 2, 2, AT_10M, 0 }, { 0, 2, 2, AT_10M, 0 } } },
    { "10v", GEN_SURFACE, 0, false, true, 1, -20, 0, 40,
      { { 128, 166, 1, 0 }, { 2, 34, 105, 10 } }, { { 0, 2, 3, AT_10M, 0 }, { 0, 2, 3, AT_10M, 0 } } },
    { "msl", GEN_SURFACE, 0, false, false, 2, 97000, 0, 7000,
      { { 128, 151, 1, 0 }, { 2, 2, 102, 0 } }, { { 0, 3, 0, SEA_LEVEL, 0 }, { 0, 3, 0, SEA_LEVEL, 0 } } },
    { "sp", GEN_SURFACE, 0, false, false, 1, 60000, 0, 43000,
      { { 128, 134, 1, 0 }, { 2, 1, 1, 0 } }, { { 0, 3, 0, SURFACE, 0 }, { 0, 3, 0, SURFACE, 0 } } },
    { "skt", GEN_SURFACE, 0, false, false, 2, 235, 0, 80,
      { { 128, 235, 1, 0 }, { 2, 11, 1, 0 } }, { { 0, 0, 17, SURFACE, 0 }, { 0, 0, 17, SURFACE, 0 } } },
    { "tcc", GEN_SURFACE, 0, false, false, 2, 0, 0, 100,
      { { 228, 164, 1, 0 }, { 2, 71, 200, 0 } }, { { 0, 6, 1, COLUMN, 0 }, { 0, 6, 1, COLUMN, 0 } } },
    { "cape", GEN_SURFACE, 0, false, false, 2, 0, 0, 3000,
      { { 128, 59, 1, 0 }, NONE }, { { 0, 7, 6, COLUMN, 0 }, { 0, 7, 6, SURFACE, 0 } } },
    { "tp", GEN_SURFACE, 0, true, false, 2, 0, 0, 0.002,
      { { 128, 228, 1, 0 }, NONE }, { { 0, 1, 193, SURFACE, 1 }, NONE } },
    { "apcp", GEN_SURFACE, 0, true, false, 2, 0, 0, 2,
      { NONE, { 2, 61, 1, 0 } }, { NONE, { 0, 1, 8, SURFACE, 1 } } },
    { "st1", GEN_SOIL, 0, false, false, 1, 260, 0.05, 30,
      { { 128, 139, 112, 0 }, { 2, 85, 112, 0 } }, { { 2, 3, 18, LAYER, 0 }, { 2, 0, 2, LAYER, 0 } } },
    { "st2", GEN_SOIL, 1, false, false, 1, 260, 0.05, 30,
      { { 128, 170, 112, 0 }, { 2, 85, 112, 0 } }, { { 2, 3, 18, LAYER, 0 }, { 2, 0, 2, LAYER, 0 } } },
    { "st3", GEN_SOIL, 2, false, false, 1, 260, 0.05, 30,
      { { 128, 183, 112, 0 }, { 2, 85, 112, 0 } }, { { 2, 3, 18, LAYER, 0 }, { 2, 0, 2, LAYER, 0 } } },
    { "st4", GEN_SOIL, 3, false, false, 1, 260, 0.05, 30,
      { { 128, 236, 112, 0 }, { 2, 85, 112, 0 } }, { { 2, 3, 18, LAYER, 0 }, { 2, 0, 2, LAYER, 0 } } },
    { "sm1", GEN_SOIL, 0, false, false, 2, 0.1, 0.001, 0.4,
      { { 128, 39, 112, 0 }, { 2, 86, 112, 0 } }, { { 2, 0, 25, LAYER, 0 }, { 2, 0, 192, LAYER, 1 } } },
    { "sm2", GEN_SOIL, 1, false, false, 2, 0.1, 0.001, 0.4,
      { { 128, 40, 112, 0 }, { 2, 86, 112, 0 } }, { { 2, 0, 25, LAYER, 0 }, { 2, 0, 192, LAYER, 1 } } },
    { "sm3", GEN_SOIL, 2, false, false, 2, 0.1, 0.001, 0.4,
      { { 128, 41, 112, 0 }, { 2, 86, 112, 0 } }, { { 2, 0, 25, LAYER, 0 }, { 2, 0, 192, LAYER, 1 } } },
    { "sm4", GEN_SOIL, 3, false, false, 2, 0.1, 0.001, 0.4,
      { { 128, 42, 112, 0 }, { 2, 86, 112, 0 } }, { { 2, 0, 25, LAYER, 0 }, { 2, 0, 192, LAYER, 1 } } },
    { "t", GEN_PRESSURE, 0, false, false, 2, 205, 0.07, 30,
      { { 128, 130, 100, 0 }, { 2, 11, 100, 0 } }, { { 0, 0, 0, PRESSURE, 0 }, { 0, 0, 0, PRESSURE, 0 } } },
    { "u", GEN_PRESSURE, 0, false, false, 2, -30, 0, 75,
      { { 128, 131, 100, 0 }, { 2, 33, 100, 0 } }, { { 0, 2, 2, PRESSURE, 0 }, { 0, 2, 2, PRESSURE, 0 } } },
    { "v", GEN_PRESSURE, 0, false, false, 2, -40, 0, 80,
      { { 128, 132, 100, 0 }, { 2, 34, 100, 0 } }, { { 0, 2, 3, PRESSURE, 0 }, { 0, 2, 3, PRESSURE, 0 } } },
    { "gh", GEN_PRESSURE, 0, false, false, 1, 16000, -16, 900,
      { { 128, 156, 100, 0 }, { 2, 7, 100, 0 } }, { { 0, 3, 5, PRESSURE, 0 }, { 0, 3, 5, PRESSURE, 0 } } },
    { "r", GEN_PRESSURE, 0, false, false, 1, 2, 0, 97,
      { { 128, 157, 100, 0 }, { 2, 52, 100, 0 } }, { { 0, 1, 1, PRESSURE, 0 }, { 0, 1, 1, PRESSURE, 0 } } },
    { "q", GEN_PRESSURE, 0, false, false, 2, 1e-6, 1e-5, 5e-3,
      { { 128, 133, 100, 0 }, { 2, 51, 100, 0 } }, { { 0, 1, 0, PRESSURE, 0 }, { 0, 1, 0, PRESSURE, 0 } } },
    { "w", GEN_PRESSURE, 0, false, false, 1, -1, 0, 2,
      { { 128, 135, 100, 0 }, { 2, 39, 100, 0 } }, { { 0, 2, 8, PRESSURE, 0 }, { 0, 2, 8, PRESSURE, 0 } } },
};
/* clang-format on */

const size_t gen_params_count = sizeof gen_params / sizeof gen_params[0];

/* Sides of the layers in cm: those of ECMWF's and of NCEP's land models. */
static const int soil_sides[GEN_CENTRES][GEN_SOIL_LAYERS + 1] = {
    [GEN_ECMF] = { 0, 7, 28, 100, 255 },
    [GEN_KWBC] = { 0, 10, 40, 100, 200 },
};

static const double pi = 3.14159265358979323846;

/* The hours after which both waves are where they were: a multiple of 120 and 48. */
enum { WAVE_PERIOD_HOURS = 240 };

int gen_soil_top(enum gen_centre centre, int layer)
{
    return soil_sides[centre][layer];
}

int gen_soil_bottom(enum gen_centre centre, int layer)
{
    return soil_sides[centre][layer + 1];
}

bool gen_param_in(const struct gen_param *param, enum gen_centre centre, int edition)
{
    return edition == 1 ? param->grib1[centre].table != 0 : param->grib2[centre].surface != 0;
}

bool gen_param_leads_pair(const struct gen_param *param)
{
    return strcmp(param->name, "u") == 0;
}

uint64_t gen_hash_mix(uint64_t number)
{
    number += 0x9e3779b97f4a7c15u;
    number = (number ^ number >> 30) * 0xbf58476d1ce4e5b9u;
    number = (number ^ number >> 27) * 0x94d049bb133111ebu;
    return number ^ number >> 31;
}

double gen_hash_unit(uint64_t seed, uint64_t x, uint64_t y)
{
    uint64_t hash = gen_hash_mix(gen_hash_mix(gen_hash_mix(seed) ^ x) ^ y);

    return (double)(hash >> 11) / 9007199254740992.0;
}

static uint64_t field_name_hash(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (; *name != '\0'; name++)
        hash = (hash ^ (uint8_t)*name) * 0x100000001b3u;
    return hash;
}

struct gen_wave gen_wave_make(const struct gen_field *field, uint64_t seed)
{
    const struct gen_param *param = field->param;
    double a = 2 * pi * gen_hash_unit(seed, field_name_hash(param->name), (uint64_t)field->level);
    double p = gen_hash_unit(seed, (uint64_t)(field->member + 1), (uint64_t)field->base_time);
    double t = fmod((double)field->base_time / 3600 + field->end_minutes / 60.0, WAVE_PERIOD_HOURS);
    double hours = param->accumulated ? (field->end_minutes - field->start_minutes) / 60.0 : 1;

    return (struct gen_wave){
        .low = (param->base + param->slope * field->level) * hours,
        .scale = param->scale * hours,
        .phase2 = a + p - 2 * pi * t / 120,
        .phase5 = 2 * a - p + 2 * pi * t / 48,
    };
}

double gen_wave_value(const struct gen_wave *wave, double latitude, double longitude)
{
    double phi = latitude * pi / 180, lambda = longitude * pi / 180;
    double c = cos(phi);
    double u = 0.5 + 0.2 * (2 * c * c - 1) + 0.2 * c * sin(2 * lambda + wave->phase2) +
               0.1 * c * c * sin(5 * lambda + 3 * phi + wave->phase5);

    return wave->low + wave->scale * u;
}
