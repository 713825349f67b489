/* gribgen_template.c: a message taken apart so that it can be stamped. */
#include "gribgen_template.h"

#include "gribgen_field.h"
#include "gribgen_stamp.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { STEP_MAX_HOURS = 1000000, TYPE_PF = 11 };

/* Where do the values lie that may be turned over? Only simple packing, and not the last octet, which may hold fill bits. */
static bool template_find_data(struct stamp_field *field, const struct raw_message *message,
                               const struct raw_field *raw, struct gen_error *err)
{
    bool edition1 = message->edition == 1;
    struct raw_section data = raw->section[edition1 ? 4 : 7];
    uint32_t head = edition1 ? 11 : 5;
    const uint8_t *packing = message->bytes + raw->section[edition1 ? 4 : 5].offset;

    if (edition1 ? (OCTET(packing, 4) & 0xf0) != 0 : raw_get(OCTETS(packing, 10), 2) != 0)
        return gen_fail(err, "values can be turned in simply packed fields only");
    if (data.size < head + 2)
        return gen_fail(err, "a constant field has no values to turn");
    field->data = data.offset + head;
    field->data_size = data.size - head - 1;
    return true;
}

static bool template_take_field1(struct stamp_field *field, const struct raw_message *message,
                                 const struct raw_field *raw, struct gen_error *err)
{
    const uint8_t *section = message->bytes + raw->section[1].offset;
    int indicator = OCTET(section, 21), surface = OCTET(section, 10);
    bool labelled = OCTET(section, 5) == GEN_ECMF_NUMBER && raw->section[1].size >= 51 &&
                    (OCTET(section, 41) == 1 || OCTET(section, 41) == 30);

    field->product = raw->section[1].offset;
    field->member = labelled && OCTET(section, 43) == TYPE_PF;
    field->level = surface == 100 ? LEVEL_PRESSURE : surface == 109 ? LEVEL_HYBRID : LEVEL_NONE;
    if (indicator == 0 || indicator == 1 || indicator == 10)
        return true;
    if (indicator < 2 || indicator > 5 || OCTET(section, 18) != STAMP_UNIT_HOUR ||
        OCTET(section, 20) < OCTET(section, 19))
        return gen_fail(err, "time range indicator %d in unit %d can't be stamped", indicator,
                        OCTET(section, 18));
    field->range = true;
    field->range_hours = OCTET(section, 20) - OCTET(section, 19);
    return true;
}

/* The length of the range, which stands behind the end of it. */
static bool template_take_range2(struct stamp_field *field, const uint8_t *section, struct gen_error *err)
{
    uint32_t end = field->range_end;

    field->range = true;
    field->range_hours = (int32_t)raw_get(OCTETS(section, end + 15), 4);
    if (OCTET(section, end + 7) != 1 || OCTET(section, end + 14) != STAMP_UNIT_HOUR ||
        OCTET(section, 18) != STAMP_UNIT_HOUR || field->range_hours < 0 ||
        field->range_hours > STEP_MAX_HOURS)
        return gen_fail(err, "only a single range of whole hours can be stamped");
    return true;
}

static bool template_take_field2(struct stamp_field *field, const struct raw_message *message,
                                 const struct raw_field *raw, struct gen_error *err)
{
    const uint8_t *section = message->bytes + raw->section[4].offset;
    uint32_t template = raw_get(OCTETS(section, 8), 2);
    uint32_t needs = template == 0 ? 34 : template == 1 ? 37 : template == 8 ? 58 : 61;

    if ((template != 0 && template != 1 && template != 8 && template != 11) || raw->section[4].size < needs)
        return gen_fail(err, "product definition template %u can't be stamped (0, 1, 8 and 11 can)",
                        template);
    field->product = raw->section[4].offset;
    field->member = template == 1 || template == 11;
    if (OCTET(section, 29) == GEN_NO_SURFACE)
        field->level = OCTET(section, 23) == 100   ? LEVEL_PRESSURE
                       : OCTET(section, 23) == 105 ? LEVEL_HYBRID
                                                   : LEVEL_NONE;
    field->range_end = template == 8 ? 35 : template == 11 ? 38 : 0;
    return field->range_end == 0 || template_take_range2(field, section, err);
}

static bool template_take_fields(struct stamp_template *template, const struct raw_message *message,
                                 const struct template_limits *limits, struct gen_error *err)
{
    for (size_t i = 0; i < message->fields_count; i++) {
        struct stamp_field *field = &template->field[i];
        const struct raw_field *raw = &message->field[i];

        if (!(message->edition == 1 ? template_take_field1 : template_take_field2)(field, message,
                                                                                   raw, err))
            return false;
        if (limits->turn_values && !template_find_data(field, message, raw, err))
            return false;
        if (field->member != template->field[0].member ||
            (field->level == LEVEL_NONE) != (template->field[0].level == LEVEL_NONE))
            return gen_fail(err, "only some of its fields have a level or a member that can be stamped");
    }
    template->has_members = template->field[0].member;
    template->has_levels = template->field[0].level != LEVEL_NONE;
    template->members = template->has_members ? (uint64_t)limits->members : 1;
    template->levels = template->has_levels ? (uint64_t)limits->levels : 1;
    return true;
}

bool template_open(struct stamp_template *template, const uint8_t *bytes, size_t size,
                   const struct template_limits *limits, struct gen_error *err)
{
    struct raw_message message;

    *template = (struct stamp_template){ .bytes = bytes };
    if (!raw_parse(&message, bytes, size, err))
        return false;
    template->size = message.size;
    template->edition = message.edition;
    template->section1 = message.field[0].section[1].offset;
    template->fields_count = message.fields_count;
    template->field = calloc(message.fields_count, sizeof *template->field);
    template->identity = calloc(message.fields_count, sizeof *template->identity);
    if (template->field == NULL || template->identity == NULL)
        return gen_fail(err, "out of memory");
    return template_take_fields(template, &message, limits, err);
}

void template_close(struct stamp_template *template)
{
    free(template->field);
    free(template->identity);
}

bool template_identify(struct stamp_template *template, const uint8_t *copy, struct gen_error *err)
{
    struct raw_message message;

    if (!raw_parse(&message, copy, template->size, err))
        return false;
    for (size_t i = 0; i < message.fields_count; i++) {
        if (!gen_identity(&message, i, template->identity[i]))
            return gen_fail(err, "SHA-256 failed");
    }
    return true;
}

static bool template_shares_identity(const struct stamp_template *a, const struct stamp_template *b)
{
    for (size_t i = 0; i < a->fields_count; i++) {
        for (size_t j = 0; j < b->fields_count; j++) {
            if (memcmp(a->identity[i], b->identity[j], GEN_IDENTITY_SIZE) == 0)
                return true;
        }
    }
    return false;
}

/* Two that share a field belong together, and so do those that are joined by a third: repeat until nothing joins any more.
 * Groups are named by their first member. */
static void template_group(const struct stamp_template *templates, size_t count, size_t *group)
{
    bool joined = true;

    for (size_t i = 0; i < count; i++)
        group[i] = i;
    while (joined) {
        joined = false;
        for (size_t i = 1; i < count; i++) {
            for (size_t j = 0; j < i; j++) {
                if (group[i] == group[j] || !template_shares_identity(&templates[i], &templates[j]))
                    continue;
                size_t first = group[i] < group[j] ? group[i] : group[j];
                group[i] = group[j] = first;
                joined = true;
            }
        }
    }
}

void template_take_turns(struct stamp_template *templates, size_t count)
{
    size_t group[STAMP_TEMPLATES_MAX];
    uint64_t turns[STAMP_TEMPLATES_MAX] = { 0 };

    assert(count <= STAMP_TEMPLATES_MAX);
    template_group(templates, count, group);
    for (size_t i = 0; i < count; i++)
        templates[i].turn = turns[group[i]]++;
    for (size_t i = 0; i < count; i++)
        templates[i].turns = turns[group[i]];
}
