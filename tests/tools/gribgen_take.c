/* gribgen_take.c: what each option of the command line does with its value. */
#include "gribgen_take.h"

#include "gribgen_time.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LEVEL_MAX = 1100, BITS_MAX = 24, SIZE_MEDIAN_MIN = 200, SIZE_MEDIAN_MAX = 1 << 26 };

static bool take_bad(struct take *take, const char *value, const char *expected)
{
    return gen_fail(take->err, "%s %.80s: expected %s", take->option, value, expected);
}

static bool take_number(struct take *take, const char *value, uint64_t min, uint64_t max, uint64_t *number)
{
    char *end;

    errno = 0;
    *number = strtoull(value, &end, 10);
    if (value[0] >= '0' && value[0] <= '9' && *end == '\0' && errno == 0 && *number >= min &&
        *number <= max)
        return true;
    return gen_fail(take->err, "%s %.80s: expected a number from %llu to %llu", take->option, value,
                    (unsigned long long)min, (unsigned long long)max);
}

static bool take_switch(struct take *take, const char *value, bool *on)
{
    *on = strcmp(value, "on") == 0;
    return *on || strcmp(value, "off") == 0 || take_bad(take, value, "on or off");
}

static bool take_mode(struct take *take, const char *input, enum gen_mode mode)
{
    if (take->options->mode != GEN_MAKE && take->options->mode != mode)
        return gen_fail(take->err, "only one of --stamp, --verify and --identities at a time");
    take->options->mode = mode;
    take->options->input = input;
    return true;
}

static bool take_stamp(struct take *take, const char *value)
{
    return take_mode(take, value, GEN_STAMP);
}

static bool take_verify(struct take *take, const char *value)
{
    return take_mode(take, value, GEN_VERIFY);
}

static bool take_identities(struct take *take, const char *value)
{
    return take_mode(take, value, GEN_IDENTITIES);
}

static bool take_out(struct take *take, const char *value)
{
    take->options->out = value;
    return true;
}

static bool take_summary(struct take *take, const char *value)
{
    take->options->summary = value;
    return true;
}

static bool take_json(struct take *take, const char *value)
{
    (void)value;
    return take->options->json = true;
}

static bool take_base_time(struct take *take, const char *value)
{
    return gen_time_parse(value, &take->options->request.base_time) ||
           take_bad(take, value, "a time as 20261120T0000Z");
}

static bool take_seed(struct take *take, const char *value)
{
    return take_number(take, value, 0, UINT64_MAX, &take->options->request.seed);
}

static bool take_values_seed(struct take *take, const char *value)
{
    take->options->stamp.turn_values = true;
    return take_number(take, value, 0, UINT64_MAX, &take->options->stamp.values_seed);
}

static bool take_count(struct take *take, const char *value)
{
    return take_number(take, value, 1, UINT32_MAX, &take->options->request.count);
}

static bool take_edition(struct take *take, const char *value)
{
    int *edition = &take->options->request.edition;

    if (strcmp(value, "both") != 0 && strcmp(value, "1") != 0 && strcmp(value, "2") != 0)
        return take_bad(take, value, "1, 2 or both");
    *edition = value[0] == 'b' ? GEN_EDITION_BOTH : value[0] - '0';
    return true;
}

static bool take_centre(struct take *take, const char *value)
{
    if (strcmp(value, "ecmf") != 0 && strcmp(value, "kwbc") != 0)
        return take_bad(take, value, "ecmf or kwbc");
    take->options->request.centre = value[0] == 'e' ? GEN_ECMF : GEN_KWBC;
    return true;
}

static bool take_members(struct take *take, const char *value)
{
    uint64_t members;

    if (!take_number(take, value, 1, GEN_MEMBERS_MAX - 1, &members))
        return false;
    take->options->request.members = (int)members;
    return true;
}

static bool take_control(struct take *take, const char *value)
{
    (void)value;
    return take->options->request.control = true;
}

static bool take_steps(struct take *take, const char *value)
{
    return gen_list_parse_steps(&take->options->request.steps, take->option, value, take->err);
}

static bool take_levels(struct take *take, const char *value)
{
    struct gen_list *levels = &take->options->request.levels;

    if (!gen_list_parse(levels, take->option, value, LEVEL_MAX, take->err))
        return false;
    return levels->count <= STAMP_LEVELS_MAX || take_bad(take, value, "at most 256 levels");
}

/* One name out of a list; where it ends is the length. */
static bool take_param(struct take *take, const char *name, size_t length)
{
    for (size_t i = 0; i < gen_params_count; i++) {
        if (strlen(gen_params[i].name) == length && strncmp(gen_params[i].name, name, length) == 0)
            return take->options->request.param_wanted[i] = true;
    }
    return gen_fail(take->err, "--params: no parameter %.*s (gribgen --help lists them)",
                    length > 40 ? 40 : (int)length, name);
}

static bool take_params(struct take *take, const char *value)
{
    bool *wanted = take->options->request.param_wanted;

    memset(wanted, 0, GEN_PARAMS_MAX * sizeof *wanted);
    for (const char *at = value;; at++) {
        size_t length = strcspn(at, "/");

        if (!take_param(take, at, length))
            return false;
        at += length;
        if (*at == '\0')
            return true;
    }
}

static bool take_multi(struct take *take, const char *value)
{
    return take_switch(take, value, &take->options->request.multi);
}

static bool take_minutes(struct take *take, const char *value)
{
    return take_switch(take, value, &take->options->request.minutes);
}

static bool take_grid(struct take *take, const char *value)
{
    return gen_grid_parse(&take->options->request.grid, value, take->err);
}

static bool take_bits(struct take *take, const char *value)
{
    uint64_t bits;

    if (!take_number(take, value, 1, BITS_MAX, &bits))
        return false;
    take->options->request.bits = (int)bits;
    return true;
}

static bool take_size_median(struct take *take, const char *value)
{
    uint64_t size;

    if (!take_number(take, value, SIZE_MEDIAN_MIN, SIZE_MEDIAN_MAX, &size))
        return false;
    take->options->request.size_median = (double)size;
    return true;
}

static bool take_help(struct take *take, const char *value)
{
    (void)value;
    take->options->mode = GEN_HELP;
    return true;
}

/* A preset was read before everything else: nothing is left to do when its turn comes. */
static bool take_preset(struct take *take, const char *value)
{
    (void)take;
    (void)value;
    return true;
}

#define ALL (GEN_MAKE | GEN_STAMP | GEN_VERIFY | GEN_IDENTITIES)
#define WRITES (GEN_MAKE | GEN_STAMP)

const struct take_row take_rows[] = {
    { "help", false, ALL, take_help },
    { "out", true, WRITES, take_out },
    { "preset", true, GEN_MAKE, take_preset },
    { "small-template", false, GEN_MAKE, take_preset },
    { "base-time", true, WRITES, take_base_time },
    { "seed", true, GEN_MAKE | GEN_VERIFY, take_seed },
    { "count", true, WRITES, take_count },
    { "edition", true, GEN_MAKE, take_edition },
    { "centre", true, GEN_MAKE, take_centre },
    { "members", true, WRITES, take_members },
    { "control", false, GEN_MAKE, take_control },
    { "steps", true, WRITES, take_steps },
    { "levels", true, WRITES, take_levels },
    { "params", true, GEN_MAKE, take_params },
    { "multi", true, GEN_MAKE, take_multi },
    { "minutes", true, GEN_MAKE, take_minutes },
    { "grid", true, GEN_MAKE, take_grid },
    { "bits", true, GEN_MAKE, take_bits },
    { "size-median", true, GEN_MAKE, take_size_median },
    { "stamp", true, GEN_STAMP, take_stamp },
    { "values-seed", true, GEN_STAMP, take_values_seed },
    { "verify", true, GEN_VERIFY, take_verify },
    { "identities", true, GEN_IDENTITIES, take_identities },
    { "json", false, WRITES | GEN_VERIFY, take_json },
    { "summary", true, WRITES | GEN_VERIFY, take_summary },
};

_Static_assert(sizeof take_rows / sizeof take_rows[0] == TAKE_ROWS, "TAKE_ROWS counts the table");
