/* gribgen_options.c: the command line, as one struct.
 *
 * Every option is a row of one table (gribgen_take.c), and a preset is a list of options with values: it goes through the same
 * doors as what the user wrote, before it. */
#include "gribgen_options.h"

#include "gribgen_take.h"
#include "gribgen_time.h"

#include <assert.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

enum { EDITION1_VALUES_MAX = 8000000, MINUTES_IN_HOUR = 60, PRESET_OPTIONS_MAX = 12 };

struct preset {
    const char *name;
    struct {
        const char *option, *value;
    } set[PRESET_OPTIONS_MAX];
};

#define LEVELS_13 "1000/925/850/700/600/500/400/300/250/200/150/100/50"
#define DEFAULTS                                                                                   \
    { "base-time", "20261120T0000Z" }, { "seed", "1" },                                            \
    {                                                                                              \
        "centre", "ecmf"                                                                           \
    }

static const struct preset presets[] = {
    { "small",
      { DEFAULTS,
        { "edition", "both" },
        { "steps", "0/to/12/by/6" },
        { "levels", "1000/850/500" },
        { "grid", "10" },
        { "bits", "12" },
        { "multi", "on" },
        { "minutes", "on" } } },
    { "run",
      { DEFAULTS,
        { "edition", "2" },
        { "steps", "0/to/240/by/6" },
        { "levels", LEVELS_13 },
        { "grid", "2" },
        { "bits", "12" },
        { "multi", "on" },
        { "minutes", "on" } } },
    { "tiny",
      { DEFAULTS,
        { "edition", "2" },
        { "steps", "6" },
        { "levels", "500" },
        { "grid", "30" },
        { "bits", "8" },
        { "multi", "off" },
        { "minutes", "off" },
        { "members", "1" },
        { "params", "t/u/v/gh/r/q" } } },
};

static size_t options_row(const char *name)
{
    size_t row = 0;

    while (row < TAKE_ROWS && strcmp(take_rows[row].name, name) != 0)
        row++;
    return row;
}

static bool options_take(struct take *take, size_t row, const char *value)
{
    snprintf(take->option, sizeof take->option, "--%s", take_rows[row].name);
    return take_rows[row].take(take, value);
}

/* The table as getopt_long wants it. */
static void options_long(struct option rows[TAKE_ROWS + 1])
{
    for (size_t i = 0; i < TAKE_ROWS; i++)
        rows[i] = (struct option){
            .name = take_rows[i].name,
            .has_arg = take_rows[i].has_value ? required_argument : no_argument,
        };
    rows[TAKE_ROWS] = (struct option){ 0 };
}

/* The preset asked for last, wherever on the command line. What is wrong elsewhere is found later. */
static const char *options_preset(int argc, char **argv)
{
    struct option rows[TAKE_ROWS + 1];
    const char *name = presets[0].name;
    int row = 0, got;

    options_long(rows);
    opterr = 0;
    optind = 0; /* glibc: begin anew */
    while ((got = getopt_long(argc, argv, ":", rows, &row)) != -1) {
        if (got == 0 && strcmp(rows[row].name, "preset") == 0)
            name = optarg;
        if (got == 0 && strcmp(rows[row].name, "small-template") == 0)
            name = "tiny";
    }
    return name;
}

static bool options_begin_with(struct take *take, const char *name)
{
    size_t i = 0;

    while (i < sizeof presets / sizeof presets[0] && strcmp(presets[i].name, name) != 0)
        i++;
    if (i == sizeof presets / sizeof presets[0])
        return gen_fail(take->err, "--preset %.40s: there are small, run and tiny", name);
    for (size_t p = 0; p < PRESET_OPTIONS_MAX && presets[i].set[p].option != NULL; p++) {
        bool ok = options_take(take, options_row(presets[i].set[p].option), presets[i].set[p].value);
        assert(ok); /* presets are ours */
    }
    return true;
}

static bool options_read(struct take *take, int argc, char **argv, bool given[TAKE_ROWS])
{
    struct option rows[TAKE_ROWS + 1];
    int row = 0, got;

    options_long(rows);
    optind = 0;
    while ((got = getopt_long(argc, argv, ":", rows, &row)) != -1) {
        if (got == ':')
            return gen_fail(take->err, "%.60s needs a value", argv[optind - 1]);
        if (got != 0)
            return gen_fail(take->err, "unknown option %.60s", argv[optind - 1]);
        given[row] = true;
        if (!options_take(take, (size_t)row, optarg))
            return false;
    }
    if (optind < argc)
        return gen_fail(take->err, "unexpected argument %.60s", argv[optind]);
    return true;
}

static bool options_check_modes(const struct gen_options *options, const bool given[TAKE_ROWS],
                                struct gen_error *err)
{
    const char *mode = options->mode == GEN_STAMP    ? "--stamp"
                       : options->mode == GEN_VERIFY ? "--verify"
                       : options->mode == GEN_MAKE   ? "making a run (it goes with --stamp)"
                                                     : "--identities";

    for (size_t i = 0; i < TAKE_ROWS; i++) {
        if (given[i] && !(take_rows[i].modes & (int)options->mode))
            return gen_fail(err, "--%s means nothing with %s", take_rows[i].name, mode);
    }
    if ((options->mode == GEN_MAKE || options->mode == GEN_STAMP) && options->out == NULL)
        return gen_fail(err, "where to? --out FILE, or --out - for the standard output");
    return true;
}

/* Edition 1 messages of 8 MiB and more would need lengths that mean something else. */
static bool options_fit_edition1(const struct gen_request *request)
{
    double size = request->size_median > 0
                      ? request->size_median * gen_grid_spread_factor[GEN_SPREADS - 1]
                      : (double)gen_grid_points(&request->grid) * request->bits / 8;

    return size <= EDITION1_VALUES_MAX;
}

static bool options_check_make(const struct gen_request *request, const bool given[TAKE_ROWS],
                               struct gen_error *err)
{
    if (given[options_row("grid")] && request->size_median > 0)
        return gen_fail(err, "--size-median chooses the grids: leave --grid out");
    if (request->control && request->members == 0)
        return gen_fail(err, "--control goes with --members");
    if (request->edition == 2)
        return true;
    if (request->centre == GEN_KWBC && request->members > 0)
        return gen_fail(err, "edition 1 has no members for kwbc here: --edition 2, or --centre ecmf");
    if (request->base_time % 60 != 0)
        return gen_fail(err, "--base-time: edition 1 has no seconds");
    if (!options_fit_edition1(request))
        return gen_fail(err, "messages of 8 MiB and more are made in edition 2 only");
    return true;
}

/* The steps of stamping: whole hours, evenly spaced. */
static bool options_stamp_steps(struct stamp_options *stamp, const struct gen_list *steps,
                                struct gen_error *err)
{
    int32_t by = steps->count > 1 ? steps->number[1] - steps->number[0] : MINUTES_IN_HOUR;

    for (size_t i = 0; i < steps->count; i++) {
        if (by <= 0 || steps->number[i] != steps->number[0] + (int32_t)i * by ||
            by % MINUTES_IN_HOUR != 0 || steps->number[0] % MINUTES_IN_HOUR != 0)
            return gen_fail(err, "--steps: stamping wants whole hours, evenly spaced, as in 0/to/240/by/6");
    }
    stamp->step_first = steps->number[0] / MINUTES_IN_HOUR;
    stamp->step_by = by / MINUTES_IN_HOUR;
    stamp->steps_count = steps->count;
    return true;
}

static bool options_finish_stamp(struct gen_options *options, const bool given[TAKE_ROWS],
                                 struct gen_error *err)
{
    struct stamp_options *stamp = &options->stamp;
    const struct gen_list *levels = &options->request.levels;

    if (!given[options_row("count")])
        return gen_fail(err, "--stamp: how many? --count N");
    stamp->count = options->request.count;
    stamp->base_time = options->request.base_time;
    if (given[options_row("members")])
        stamp->members = options->request.members;
    if (given[options_row("levels")]) {
        stamp->levels_count = (int)levels->count;
        memcpy(stamp->level, levels->number, levels->count * sizeof levels->number[0]);
    }
    return !given[options_row("steps")] || options_stamp_steps(stamp, &options->request.steps, err);
}

static bool options_finish(struct gen_options *options, const bool given[TAKE_ROWS], struct gen_error *err)
{
    struct gen_request *request = &options->request;

    if (!options_check_modes(options, given, err))
        return false;
    if (options->mode == GEN_STAMP)
        return options_finish_stamp(options, given, err);
    if (options->mode != GEN_MAKE)
        return true;
    if (given[options_row("steps")] && !given[options_row("minutes")])
        request->minutes = false;
    request->steps_open = given[options_row("count")] && !given[options_row("steps")];
    return options_check_make(request, given, err);
}

bool gen_options_parse(struct gen_options *options, int argc, char **argv, struct gen_error *err)
{
    struct take take = { .options = options, .err = err };
    bool given[TAKE_ROWS] = { false };

    *options = (struct gen_options){ .mode = GEN_MAKE, .stamp = stamp_defaults() };
    memset(options->request.param_wanted, true, sizeof options->request.param_wanted);
    if (!options_begin_with(&take, options_preset(argc, argv)) || !options_read(&take, argc, argv, given))
        return false;
    return options->mode == GEN_HELP || options_finish(options, given, err);
}
