/* gribgen_grid.h: the global latitude-longitude grids that messages are made on.
 *
 * A grid runs from 90 N to 90 S and from 0 E eastwards, both poles in it, with the same increment both ways. Increments are
 * whole millidegrees, because edition 1 can write nothing finer. */
#ifndef GRIBGEN_GRID_H
#define GRIBGEN_GRID_H

#include "gribgen_error.h"

#include <stddef.h>
#include <stdint.h>

enum { GEN_GRID_MIN_MILLIDEGREES = 50, GEN_GRID_MAX_MILLIDEGREES = 90000, GEN_SPREADS = 5 };

struct gen_grid {
    int millidegrees;
    int ni, nj; /* points along a parallel, along a meridian */
};

/* The grid of that increment: 2.0, 0.25. Fails unless 180 degrees is a multiple of it. */
bool gen_grid_parse(struct gen_grid *grid, const char *text, struct gen_error *err);

/* The grid of that increment, which has to divide 180,000. */
struct gen_grid gen_grid_make(int millidegrees);

size_t gen_grid_points(const struct gen_grid *grid);

/* The grid whose field, packed with that many bits a value, comes nearest to size bytes. */
struct gen_grid gen_grid_for_size(double size, int bits);

/* The spread of sizes in a run with a median: which of the GEN_SPREADS factors message number n of seed gets. */
int gen_grid_spread(uint64_t seed, uint64_t n);

/* 1/4, 1/2, 1, 2 and 4 times the median, in the shares 10, 20, 40, 20 and 10 %. */
extern const double gen_grid_spread_factor[GEN_SPREADS];

#endif
