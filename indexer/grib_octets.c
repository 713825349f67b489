/* grib_octets.c: keeping, then making a head again.
 *
 * Kept: the edition; edition 2: discipline, sections 1, 2 if there and 4, each with its length and number in front as in a
 * message; edition 1: section 1. */
#include "indexer/grib_octets.h"

#include "indexer/grib2_plain_grid.h"
#include "indexer/grib_step.h"
#include "proto/run.h"

#include <assert.h>

enum {
    SECTION_HEAD_SIZE = 5, /* edition 2 */

    /* Edition 2: */
    SECTION_0_SIZE_2 = 16,
    SECTION_0_DISCIPLINE = 6,
    SECTION_1_DATE_2 = 12,
    SECTION_1_DATE_2_SIZE = 7,
    SECTION_1_SIZE_MIN_2 = 21,
    SECTION_4_COORDINATES = 5, /* how many follow the template, four octets each */
    SECTION_4_SIZE_MIN = 9,
    SECTION_5_SIZE = 21, /* template 5.0 */
    SECTION_6_SIZE = 6,
    NO_BITMAP = 255,

    /* Edition 1: */
    SECTION_0_SIZE_1 = 8,
    SECTION_1_GRID = 6,
    SECTION_1_FLAGS = 7,
    SECTION_1_DATE_1 = 12,
    SECTION_1_DATE_1_SIZE = 5,
    SECTION_1_CENTURY = 24,
    SECTION_1_DECIMAL_SCALE = 26,
    SECTION_1_SIZE_MIN_1 = 28,
    SECTION_2_SIZE = 32,
    SECTION_4_HEAD_SIZE = 11,
    HAS_SECTION_2 = 0x80,
};

/* ---- keeping ---- */

struct keeping {
    uint8_t *octets;
    size_t size;
    bool full;
};

/* Where the section stands in what is kept. */
static uint8_t *keep(struct keeping *keeping, struct slice section, size_t size)
{
    uint8_t *at = keeping->octets + keeping->size;

    assert(size <= section.size);
    keeping->full = keeping->full || size > GRIB_OCTETS_SIZE_MAX - keeping->size;
    if (keeping->full)
        return NULL;
    memcpy(at, section.data, size);
    keeping->size += size;
    return at;
}

static void keep_product(struct keeping *keeping, const struct grib_head *head)
{
    struct grib_step_place places[GRIB_STEP_PLACES_MAX];
    struct slice section = head->section[4];
    size_t coordinates = (size_t)4 * get_u16(section.data + SECTION_4_COORDINATES);
    bool cut = coordinates <= section.size - SECTION_4_SIZE_MIN;
    size_t size = cut ? section.size - coordinates : section.size;
    uint8_t *at = keep(keeping, section, size);

    if (at == NULL)
        return;
    put_u32(at, (uint32_t)size);
    if (cut)
        put_u16(at + SECTION_4_COORDINATES, 0);
    /* The second place is the interval's end, a date. */
    if (grib_step_places(head, places) == 2 && places[1].offset + places[1].size <= size)
        memset(at + places[1].offset, 0, places[1].size);
}

static void keep_edition_2(struct keeping *keeping, const struct grib_head *head)
{
    keep(keeping, slice_of(head->section[0].data + SECTION_0_DISCIPLINE, 1), 1);
    uint8_t *section_1 = keep(keeping, head->section[1], head->section[1].size);
    if (section_1 != NULL)
        memset(section_1 + SECTION_1_DATE_2, 0, SECTION_1_DATE_2_SIZE);
    if (head->section[2].size > 0)
        keep(keeping, head->section[2], head->section[2].size);
    keep_product(keeping, head);
}

static void keep_edition_1(struct keeping *keeping, const struct grib_head *head)
{
    uint8_t *at = keep(keeping, head->section[1], head->section[1].size);

    if (at == NULL)
        return;
    at[SECTION_1_GRID] = at[SECTION_1_FLAGS] = at[SECTION_1_CENTURY] = 0;
    memset(at + SECTION_1_DATE_1, 0, SECTION_1_DATE_1_SIZE);
    put_u16(at + SECTION_1_DECIMAL_SCALE, 0);
}

size_t grib_octets_keep(const struct grib_head *head, uint8_t octets[GRIB_OCTETS_SIZE_MAX])
{
    struct keeping keeping = { .octets = octets };

    assert(head->edition == 1 || head->edition == 2);
    keep(&keeping, slice_of(&head->edition, 1), 1);
    if (head->edition == 2)
        keep_edition_2(&keeping, head);
    else
        keep_edition_1(&keeping, head);
    return keeping.full ? 0 : keeping.size;
}

/* ---- making a head again ---- */

static void put_date_2(uint8_t *at, int64_t when)
{
    int year, month, day, hour, minute, second;

    base_time_to_calendar(when, &year, &month, &day, &hour, &minute, &second);
    put_u16(at, (uint16_t)year);
    at[2] = (uint8_t)month;
    at[3] = (uint8_t)day;
    at[4] = (uint8_t)hour;
    at[5] = (uint8_t)minute;
    at[6] = (uint8_t)second;
}

/* The next kept section, with its place in the parsed head. False: it does not fit. */
static bool cut_section(struct slice *rest, struct grib_head *head)
{
    if (rest->size < SECTION_HEAD_SIZE)
        return false;
    uint32_t size = get_u32(rest->data);
    unsigned number = rest->data[4];
    if ((number != 1 && number != 2 && number != 4) || head->section[number].size != 0 ||
        size < SECTION_HEAD_SIZE || size > rest->size)
        return false;
    head->section[number] = slice_of(rest->data, size);
    *rest = slice_of(rest->data + size, rest->size - size);
    return true;
}

static bool cut_edition_2(struct slice kept, struct grib_head *head)
{
    *head = (struct grib_head){ .edition = 2 };
    while (kept.size > 0)
        if (!cut_section(&kept, head))
            return false;
    return head->section[1].size >= SECTION_1_SIZE_MIN_2 && head->section[4].size >= SECTION_4_SIZE_MIN;
}

static enum status head_edition_2(const uint8_t *octets, size_t size, int64_t base_time,
                                  int64_t end, struct buf *to, struct error *err)
{
    uint8_t section_0[SECTION_0_SIZE_2] = { 'G', 'R', 'I', 'B', 0, 0, 0, 2 };
    uint8_t section_5[SECTION_5_SIZE] = { 0, 0, 0, SECTION_5_SIZE, 5, 0, 0, 0, 1 };
    uint8_t section_6[SECTION_6_SIZE] = { 0, 0, 0, SECTION_6_SIZE, 6, NO_BITMAP };
    struct grib_step_place places[GRIB_STEP_PLACES_MAX];
    struct grib_head head;
    size_t begin = to->size;

    if (size < 2 || !cut_edition_2(slice_of(octets + 2, size - 2), &head))
        return error_set(err, STATUS_MALFORMED, "kept octets of edition 2: their sections don't fit");
    section_0[SECTION_0_DISCIPLINE] = octets[1];
    head.section[0] = slice_of(section_0, sizeof section_0);
    head.section[5] = slice_of(section_5, sizeof section_5);
    head.section[6] = slice_of(section_6, sizeof section_6);
    grib2_plain_grid(&head, to);
    if (buf_status(to) != STATUS_OK)
        return error_set(err, buf_status(to), "a head of kept octets");

    uint8_t *at = to->data + begin;
    put_u64(at + 8, to->size - begin);
    put_date_2(at + SECTION_0_SIZE_2 + SECTION_1_DATE_2, base_time);
    if (grib_step_places(&head, places) == 2)
        put_date_2(to->data + to->size - SECTION_6_SIZE - SECTION_5_SIZE - head.section[4].size +
                       places[1].offset,
                   end);
    return STATUS_OK;
}

static void put_date_1(uint8_t *section_1, int64_t when)
{
    int year, month, day, hour, minute, second;

    base_time_to_calendar(when, &year, &month, &day, &hour, &minute, &second);
    section_1[SECTION_1_DATE_1] = (uint8_t)((year - 1) % 100 + 1);
    section_1[SECTION_1_DATE_1 + 1] = (uint8_t)month;
    section_1[SECTION_1_DATE_1 + 2] = (uint8_t)day;
    section_1[SECTION_1_DATE_1 + 3] = (uint8_t)hour;
    section_1[SECTION_1_DATE_1 + 4] = (uint8_t)minute;
    section_1[SECTION_1_CENTURY] = (uint8_t)((year - 1) / 100 + 1);
}

static enum status head_edition_1(const uint8_t *octets, size_t size, int64_t base_time,
                                  struct buf *to, struct error *err)
{
    uint8_t section_0[SECTION_0_SIZE_1] = { 'G', 'R', 'I', 'B', 0, 0, 0, 1 };
    /* Latitude/longitude, one point. */
    uint8_t section_2[SECTION_2_SIZE] = { 0, 0, SECTION_2_SIZE, 0, 255, 0, 0, 1, 0, 1 };
    uint8_t section_4[SECTION_4_HEAD_SIZE] = { 0, 0, SECTION_4_HEAD_SIZE };
    size_t begin = to->size;

    if (size < 1 + SECTION_1_SIZE_MIN_1 || get_u24(octets + 1) != size - 1)
        return error_set(err, STATUS_MALFORMED, "kept octets of edition 1: no section 1");
    buf_append(to, section_0, sizeof section_0);
    buf_append(to, octets + 1, size - 1);
    buf_append(to, section_2, sizeof section_2);
    buf_append(to, section_4, sizeof section_4);
    if (buf_status(to) != STATUS_OK)
        return error_set(err, buf_status(to), "a head of kept octets");
    uint8_t *section_1 = to->data + begin + SECTION_0_SIZE_1;
    section_1[SECTION_1_GRID] = 255;
    section_1[SECTION_1_FLAGS] = HAS_SECTION_2;
    put_date_1(section_1, base_time);
    return STATUS_OK;
}

enum status grib_octets_to_head(const uint8_t *octets, size_t size, int64_t base_time, int64_t end,
                                struct buf *head, struct error *err)
{
    if (!base_time_valid(base_time) || !base_time_valid(end))
        return error_set(err, STATUS_MALFORMED, "kept octets: no calendar has their time");
    if (size > 0 && size <= GRIB_OCTETS_SIZE_MAX && octets[0] == 2)
        return head_edition_2(octets, size, base_time, end, head, err);
    if (size > 0 && size <= GRIB_OCTETS_SIZE_MAX && octets[0] == 1)
        return head_edition_1(octets, size, base_time, head, err);
    return error_set(err, STATUS_MALFORMED, "%zu octets were not kept", size);
}
