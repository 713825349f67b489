/* bench_fields.h: events as an upsert makes them of real fields: some forty keys, so that documents have their real size. */
#ifndef TESTS_BENCH_FIELDS_H
#define TESTS_BENCH_FIELDS_H

#include "indexer/field.h"

enum {
    BENCH_PARAMS = 50,
    BENCH_LEVELS = 25,
    BENCH_STEPS = 40, /* 0, 6, 12, ... hours */
    BENCH_NODES = 2,
};

extern const char bench_source[]; /* of the run */
/* How many steps of 5 levels a range asks for: 20, fewer where there are not so many fields. */
int bench_range_steps(size_t fields);
struct run_key bench_run(const char *base_time);

/* Where field i of a run stands among parameters, levels, steps and members. */
struct bench_place {
    char param[16];
    int level, step, number;
};
struct bench_place bench_place(size_t i);

/* Field i of the run, with its locations on nodes first to first + count - 1. To be given back with field_event_fini(). */
struct field_event bench_event(const struct run_key *run, size_t i, unsigned first, unsigned count);

#endif
