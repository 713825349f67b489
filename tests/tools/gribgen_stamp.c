/* gribgen_stamp.c: many distinct messages out of a few ready ones, by writing octets, at memory speed. */
#include "gribgen_stamp.h"

#include "gribgen_field.h"
#include "gribgen_template.h"
#include "gribgen_time.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { TURNED_OCTETS_MAX = 8, STEP_MAX_HOURS = 1000000 };

struct stamp {
    struct stamp_options options;
    struct gen_time base;
    size_t count;
    struct stamp_template template[STAMP_TEMPLATES_MAX];
};

/* What message number n stands for in its template. */
struct stamp_place {
    uint32_t member; /* from 0 */
    uint32_t level;  /* index */
    int32_t step;    /* hours */
};

struct stamp_options stamp_defaults(void)
{
    static const int32_t levels[] = { 1000, 975, 950, 925, 900, 850, 800, 750, 700,
                                      650,  600, 550, 500, 450, 400, 350, 300, 250,
                                      200,  150, 100, 70,  50,  30,  10 };
    struct stamp_options options = {
        .count = 1,
        .members = 50,
        .levels_count = sizeof levels / sizeof levels[0],
        .step_by = 6,
    };

    memcpy(options.level, levels, sizeof levels);
    return options;
}

static struct stamp_place stamp_place(const struct stamp *stamp,
                                      const struct stamp_template *template, uint64_t n)
{
    uint64_t number = n / stamp->count * template->turns + template->turn;
    uint64_t rest = number / template->members;

    return (struct stamp_place){
        .member = (uint32_t)(number % template->members),
        .level = (uint32_t)(rest % template->levels),
        .step = stamp->options.step_first + stamp->options.step_by * (int32_t)(rest / template->levels),
    };
}

static void stamp_date(uint8_t *at, const struct gen_time *time)
{
    raw_put(at, 2, (uint64_t)time->year);
    at[2] = (uint8_t)time->month;
    at[3] = (uint8_t)time->day;
    at[4] = (uint8_t)time->hour;
    at[5] = (uint8_t)time->minute;
    at[6] = (uint8_t)time->second;
}

/* Edition 1 counts the centuries from 1, each ending with its year 100. */
static void stamp_date1(uint8_t *section, const struct gen_time *time)
{
    OCTET(section, 13) = (uint8_t)((time->year - 1) % 100 + 1);
    OCTET(section, 14) = (uint8_t)time->month;
    OCTET(section, 15) = (uint8_t)time->day;
    OCTET(section, 16) = (uint8_t)time->hour;
    OCTET(section, 17) = (uint8_t)time->minute;
    OCTET(section, 25) = (uint8_t)((time->year - 1) / 100 + 1);
}

static void stamp_member(uint8_t *octets, const struct stamp *stamp, uint32_t member)
{
    octets[0] = (uint8_t)(member + 1);
    if (octets[1] < stamp->options.members)
        octets[1] = (uint8_t)stamp->options.members;
}

static void stamp_field1(const struct stamp *stamp, const struct stamp_template *template,
                         const struct stamp_field *field, const struct stamp_place *place,
                         uint8_t *section)
{
    int32_t step = place->step;

    if (field->range) {
        OCTET(section, 19) = (uint8_t)step;
        OCTET(section, 20) = (uint8_t)(step + field->range_hours);
    } else {
        OCTET(section, 18) = STAMP_UNIT_HOUR;
        OCTET(section, 19) = (uint8_t)(step > UINT8_MAX ? step >> 8 : step);
        OCTET(section, 20) = (uint8_t)(step > UINT8_MAX ? step : 0);
        OCTET(section, 21) = step > UINT8_MAX ? 10 : 0;
    }
    if (template->has_levels)
        raw_put(OCTETS(section, 11), 2,
                field->level == LEVEL_PRESSURE ? (uint64_t)stamp->options.level[place->level]
                                               : place->level + 1);
    if (template->has_members)
        stamp_member(OCTETS(section, 50), stamp, place->member);
}

static void stamp_field2(const struct stamp *stamp, const struct stamp_template *template,
                         const struct stamp_field *field, const struct stamp_place *place,
                         uint8_t *section)
{
    OCTET(section, 18) = STAMP_UNIT_HOUR;
    raw_put(OCTETS(section, 19), 4, (uint64_t)place->step);
    if (template->has_levels) {
        OCTET(section, 24) = 0;
        raw_put(OCTETS(section, 25), 4,
                field->level == LEVEL_PRESSURE ? (uint64_t)stamp->options.level[place->level] * 100
                                               : place->level + 1);
    }
    if (template->has_members)
        stamp_member(OCTETS(section, 36), stamp, place->member);
    if (field->range) {
        int64_t hours = place->step + field->range_hours;
        struct gen_time end = gen_time_split(stamp->options.base_time + hours * 3600);
        stamp_date(OCTETS(section, field->range_end), &end);
    }
}

/* The first octet always changes: its lowest bit is turned whatever the hash says. */
static void stamp_turn(const struct stamp *stamp, const struct stamp_field *field, uint64_t n,
                       uint8_t *out)
{
    uint64_t turn = gen_hash_mix(gen_hash_mix(stamp->options.values_seed) ^ n) | 1;
    uint32_t size = field->data_size < TURNED_OCTETS_MAX ? field->data_size : TURNED_OCTETS_MAX;

    for (uint32_t i = 0; i < size; i++)
        out[field->data + i] ^= (uint8_t)(turn >> 8 * i);
}

static void stamp_write(const struct stamp *stamp, const struct stamp_template *template,
                        const struct stamp_place *place, uint8_t *out)
{
    memcpy(out, template->bytes, template->size);
    if (template->edition == 1)
        stamp_date1(out + template->section1, &stamp->base);
    else
        stamp_date(OCTETS(out + template->section1, 13), &stamp->base);
    for (size_t i = 0; i < template->fields_count; i++) {
        uint8_t *section = out + template->field[i].product;

        if (template->edition == 1)
            stamp_field1(stamp, template, &template->field[i], place, section);
        else
            stamp_field2(stamp, template, &template->field[i], place, section);
    }
}

size_t stamp_size(const struct stamp *stamp, uint64_t n)
{
    return stamp->template[n % stamp->count].size;
}

size_t stamp_fields(const struct stamp *stamp, uint64_t n)
{
    return stamp->template[n % stamp->count].fields_count;
}

void stamp_make(const struct stamp *stamp, uint64_t n, uint8_t *out)
{
    const struct stamp_template *template = &stamp->template[n % stamp->count];
    struct stamp_place place = stamp_place(stamp, template, n);

    assert(n < stamp->options.count);
    stamp_write(stamp, template, &place, out);
    if (!stamp->options.turn_values)
        return;
    for (size_t i = 0; i < template->fields_count; i++)
        stamp_turn(stamp, &template->field[i], n, out);
}

/* The last step that the octets of a field can say. */
static int64_t stamp_last_step(const struct stamp_template *template, const struct stamp_field *field)
{
    if (template->edition == 2)
        return STEP_MAX_HOURS;
    return field->range ? UINT8_MAX - field->range_hours : UINT16_MAX;
}

/* Is there a number for each message that the template will be asked for? */
static bool stamp_check_steps(const struct stamp *stamp, const struct stamp_template *template,
                              struct gen_error *err)
{
    const struct stamp_options *options = &stamp->options;
    uint64_t rounds = (options->count - 1) / stamp->count;
    uint64_t number = rounds * template->turns + template->turn;
    uint64_t step = number / template->members / template->levels;
    uint64_t last = (uint64_t)options->step_first + step * (uint64_t)options->step_by;

    if (options->steps_count != 0 && step >= options->steps_count)
        return gen_fail(err, "%llu messages need %llu steps: more steps, levels or members, or a smaller count",
                        (unsigned long long)options->count, (unsigned long long)step + 1);
    for (size_t i = 0; i < template->fields_count; i++) {
        int64_t most = stamp_last_step(template, &template->field[i]);

        if (number > UINT32_MAX || last > (uint64_t)most)
            return gen_fail(err, "%llu messages would need steps to %llu h, and this one can say %lld h",
                            (unsigned long long)options->count, (unsigned long long)last,
                            (long long)most);
    }
    return true;
}

static bool stamp_check(struct stamp *stamp, struct gen_error *err)
{
    bool edition1 = false;

    for (size_t i = 0; i < stamp->count; i++) {
        edition1 = edition1 || stamp->template[i].edition == 1;
        if (!stamp_check_steps(stamp, &stamp->template[i], err))
            return gen_fail_in(err, "template message", i + 1);
    }
    if (edition1 && stamp->base.second != 0)
        return gen_fail(err, "edition 1 has no seconds in its base time");
    return true;
}

/* What each template would say as message 0 of its own, seen as identities: those that say the same take turns. */
static bool stamp_take_turns(struct stamp *stamp, struct gen_error *err)
{
    static const struct stamp_place nowhere = { 0 };

    for (size_t i = 0; i < stamp->count; i++) {
        struct stamp_template *template = &stamp->template[i];
        uint8_t *copy = malloc(template->size);

        if (copy == NULL)
            return gen_fail(err, "out of memory");
        stamp_write(stamp, template, &nowhere, copy);
        bool ok = template_identify(template, copy, err);
        free(copy);
        if (!ok)
            return false;
    }
    template_take_turns(stamp->template, stamp->count);
    return true;
}

static bool stamp_open(struct stamp *stamp, const uint8_t *templates, size_t size, struct gen_error *err)
{
    const struct stamp_options *options = &stamp->options;
    struct template_limits limits = { options->members, options->levels_count, options->turn_values };

    for (size_t at = raw_find(templates, size, 0); at < size; at = raw_find(templates, size, at)) {
        struct stamp_template *template = &stamp->template[stamp->count];

        if (stamp->count == STAMP_TEMPLATES_MAX)
            return gen_fail(err, "more than %d template messages", STAMP_TEMPLATES_MAX);
        stamp->count++;
        if (!template_open(template, templates + at, size - at, &limits, err))
            return gen_fail_in(err, "template message", stamp->count);
        at += template->size;
    }
    if (stamp->count == 0)
        return gen_fail(err, "no GRIB message among the templates");
    return stamp_take_turns(stamp, err) && stamp_check(stamp, err);
}

struct stamp *stamp_new(const uint8_t *templates, size_t size, const struct stamp_options *options,
                        struct gen_error *err)
{
    struct stamp *stamp = calloc(1, sizeof *stamp);

    assert(options->count > 0 && options->members > 0 && options->members <= STAMP_MEMBERS_MAX);
    assert(options->levels_count > 0 && options->levels_count <= STAMP_LEVELS_MAX);
    assert(options->step_first >= 0 && options->step_by > 0);
    if (stamp == NULL) {
        gen_fail(err, "out of memory");
        return NULL;
    }
    stamp->options = *options;
    stamp->base = gen_time_split(options->base_time);
    if (stamp_open(stamp, templates, size, err))
        return stamp;
    stamp_free(stamp);
    return NULL;
}

void stamp_free(struct stamp *stamp)
{
    if (stamp == NULL)
        return;
    for (size_t i = 0; i < stamp->count; i++)
        template_close(&stamp->template[i]);
    free(stamp);
}
