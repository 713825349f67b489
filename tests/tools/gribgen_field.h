/* gribgen_field.h: what a generated field is, which octets name it, and the closed formula behind every value.
 *
 * With latitude and longitude in radians (phi, lambda), t = hours from 1970 to the field's valid time (base time + end step),
 * and H(seed, x, y) the hash below, a number in [0, 1):
 *
 *     a     = 2 pi H(seed, name, level)              the pattern of a parameter and level
 *     p     = H(seed, member + 1, base_time)         how far this member of this run is from the others, in radians
 *     c     = cos(phi)
 *     u     = 0.5 + 0.2 (2 c^2 - 1) + 0.2 c sin(2 lambda + a + p - 2 pi t / 120)
 *                 + 0.1 c^2 sin(5 lambda + 3 phi + 2 a - p + 2 pi t / 48)             always in [0, 1]
 *     value = (base + slope level + scale u) h
 *
 * base, slope and scale are the parameter's (the table in gribgen_field.c); level is in hPa for pressure levels, the depth of the
 * lower side in cm for soil layers, else 0; member is -1 where there is none; base_time is in seconds; h is the length of
 * the accumulation in hours, 1 where nothing is accumulated. It is smooth, so a map of it looks like weather, and two runs
 * forecast much the same for the same moment, yet no two fields have the same values: a value tells which field it is of.
 *
 *     mix(z): z += 0x9e3779b97f4a7c15, z = (z ^ z >> 30) 0xbf58476d1ce4e5b9, z = (z ^ z >> 27) 0x94d049bb133111eb, z ^ z >> 31
 *     H(seed, x, y) = (mix(mix(mix(seed) ^ x) ^ y) >> 11) / 2^53;  name is hashed to 64 bits with FNV-1a */
#ifndef GRIBGEN_FIELD_H
#define GRIBGEN_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gen_centre { GEN_ECMF, GEN_KWBC, GEN_CENTRES };
enum gen_kind { GEN_SURFACE, GEN_PRESSURE, GEN_SOIL };

/* WMO common table C-1, as both editions write it. */
enum { GEN_ECMF_NUMBER = 98, GEN_KWBC_NUMBER = 7 };

enum { GEN_NO_SURFACE = 255, GEN_NO_MEMBER = -1, GEN_SOIL_LAYERS = 4 };

/* Edition 1: section 1 octets 4 (table), 9 (number), 10 (type of level) and 11-12 (level). Table 0: the centre has none. */
struct gen_grib1_code {
    uint8_t table, number, surface, level;
};

/* Edition 2: octet 7 of section 0, octets 10 and 11 of section 4, its fixed surfaces, octet 11 of section 1. Surface 0: none. */
struct gen_grib2_code {
    uint8_t discipline, category, number, surface, level, surface2, local_tables;
};

struct gen_param {
    const char *name; /* ecCodes' short name of most of its codes; in the formula in any case */
    enum gen_kind kind;
    int layer;           /* soil: which layer, from 0; else 0 */
    bool accumulated;    /* over a range of steps */
    bool in_minutes;     /* one of the few that edition 2 has at 90 minutes too by default */
    int edition_in_both; /* which edition carries it in a run of both */
    double base, slope, scale;
    struct gen_grib1_code grib1[GEN_CENTRES];
    struct gen_grib2_code grib2[GEN_CENTRES];
};

/* One field: all that tells it apart, and all that its values depend on. */
struct gen_field {
    const struct gen_param *param; /* borrowed: static */
    enum gen_centre centre;
    int edition;
    int32_t level;         /* hPa, cm of the lower side, or 0 */
    int32_t start_minutes; /* of an accumulation, else the same as the end */
    int32_t end_minutes;
    int32_t member;    /* GEN_NO_MEMBER, 0 the control, 1.. the perturbed ones */
    int64_t base_time; /* seconds since 1970 */
};

/* The formula with all that does not depend on the place worked out. */
struct gen_wave {
    double low, scale;     /* (base + slope level) h and scale h */
    double phase2, phase5; /* what stands behind 2 lambda and behind 5 lambda + 3 phi */
};

/* Every parameter, in the order in which a run has them; v follows u. */
extern const struct gen_param gen_params[];
extern const size_t gen_params_count;

/* Has the centre a code for it in that edition? */
bool gen_param_in(const struct gen_param *param, enum gen_centre centre, int edition);

/* Is it the u that a multi-field message keeps with the v behind it in the table? */
bool gen_param_leads_pair(const struct gen_param *param);

/* The upper and the lower side of a soil layer in cm. */
int gen_soil_top(enum gen_centre centre, int layer);
int gen_soil_bottom(enum gen_centre centre, int layer);

struct gen_wave gen_wave_make(const struct gen_field *field, uint64_t seed);

/* The formula, latitude and longitude in degrees. */
double gen_wave_value(const struct gen_wave *wave, double latitude, double longitude);

/* The hash H and the mix of the formula, for whoever else needs a number from a seed. */
double gen_hash_unit(uint64_t seed, uint64_t x, uint64_t y);
uint64_t gen_hash_mix(uint64_t number);

#endif
