/* gribgen_grid.c: the global latitude-longitude grids that messages are made on. */
#include "gribgen_grid.h"

#include "gribgen_field.h"

#include <math.h>
#include <stdlib.h>

enum { MERIDIAN = 180000, HEADER_SIZE_ABOUT = 190, SPREAD_KEY = 0x73697a65 };

struct gen_grid gen_grid_make(int millidegrees)
{
    return (struct gen_grid){
        .millidegrees = millidegrees,
        .ni = 2 * MERIDIAN / millidegrees,
        .nj = MERIDIAN / millidegrees + 1,
    };
}

bool gen_grid_parse(struct gen_grid *grid, const char *text, struct gen_error *err)
{
    char *end;
    double degrees = strtod(text, &end);
    double thousand = degrees * 1000;

    if (end == text || *end != '\0' || !(thousand >= GEN_GRID_MIN_MILLIDEGREES) ||
        thousand > GEN_GRID_MAX_MILLIDEGREES)
        return gen_fail(err, "--grid %.40s: expected an increment in degrees from 0.05 to 90", text);
    int millidegrees = (int)lround(thousand);
    if (fabs(thousand - millidegrees) > 1e-6 || MERIDIAN % millidegrees != 0)
        return gen_fail(
            err, "--grid %.40s: 180 has to be a multiple of the increment, as of 0.25, 2 or 10", text);
    *grid = gen_grid_make(millidegrees);
    return true;
}

size_t gen_grid_points(const struct gen_grid *grid)
{
    return (size_t)grid->ni * (size_t)grid->nj;
}

struct gen_grid gen_grid_for_size(double size, int bits)
{
    struct gen_grid best = gen_grid_make(GEN_GRID_MAX_MILLIDEGREES);
    double best_off = INFINITY;

    for (int step = GEN_GRID_MIN_MILLIDEGREES; step <= GEN_GRID_MAX_MILLIDEGREES; step++) {
        if (MERIDIAN % step != 0)
            continue;
        struct gen_grid grid = gen_grid_make(step);
        double bytes = HEADER_SIZE_ABOUT + (double)gen_grid_points(&grid) * bits / 8;
        double off = fabs(log(bytes / size)); /* half and twice the size are equally wrong */
        if (off < best_off) {
            best_off = off;
            best = grid;
        }
    }
    return best;
}

const double gen_grid_spread_factor[GEN_SPREADS] = { 0.25, 0.5, 1, 2, 4 };

int gen_grid_spread(uint64_t seed, uint64_t n)
{
    static const double below[GEN_SPREADS] = { 0.1, 0.3, 0.7, 0.9, 1 };
    double share = gen_hash_unit(seed, SPREAD_KEY, n);
    int spread = 0;

    while (share >= below[spread])
        spread++;
    return spread;
}
