/* decode_memo_key.c: edition 2, then edition 1: what is masked, and which heads are usual. */
#include "indexer/decode_memo_key.h"

#include "indexer/grib_step.h"
#include "proto/run.h"

#include <xxhash.h>

enum {
    ECMWF = 98,
    LEGS = 30, /* a definition of local use */
    KIND_SIZE_MAX = 96,

    /* Edition 2, octet - 1: */
    SECTION_0_DISCIPLINE = 6,
    SECTION_1_SIZE = 21, /* longer ones name a calendar */
    SECTION_1_CENTRE_2 = 5,
    SECTION_1_DATE = 12,
    SECTION_1_SECOND = 18,
    SECTION_1_STATUS = 19,
    SECTION_2_LOCAL = 5, /* number of ECMWF's definition */
    SECTION_2_KIND = 17, /* up to class, type, stream, expver */
    SECTION_2_LEG = 18,
    SECTION_3_TEMPLATE = 12,
    SECTION_4_TEMPLATE = 7,
    SECTION_4_KIND = 11, /* up to category and number */
    SECTION_5_COUNT = 5,
    SECTION_5_TEMPLATE = 9,
    SECTION_5_FIXED = 11, /* where the template begins */
    SECTION_6_SIZE = 6,
    SECTION_6_INDICATOR = 5,

    /* Edition 1: */
    SECTION_1_CENTRE_1 = 4,
    SECTION_1_LEVEL = 9,
    SECTION_1_YEAR = 12,
    SECTION_1_UNIT = 17,
    SECTION_1_P1 = 18,
    SECTION_1_INDICATOR = 20,
    SECTION_1_CENTURY = 24,
    SECTION_1_SUB_CENTRE = 25,
    SECTION_1_DECIMAL = 26,
    SECTION_1_REST = 28,
    SECTION_1_LOCAL = 40,
    SECTION_1_LOCAL_KIND = 45, /* number, class, type, stream */
    SECTION_1_LEG = 55,
    SECTION_4_FLAGS = 3,
    SECTION_4_SIZE_MIN = 11,
};

/* ---- gathering ---- */

struct gather {
    struct digest_stream *stream;
    uint8_t kind[KIND_SIZE_MAX];
    size_t kind_size;
};

static void gather(struct gather *gather, const uint8_t *octets, size_t size)
{
    digest_stream_update(gather->stream, octets, size);
}

/* With its size in front, so that no two lists of sections look alike. */
static void gather_section(struct gather *to, struct slice section)
{
    uint8_t size[4];

    put_u32(size, (uint32_t)section.size);
    gather(to, size, sizeof size);
    if (section.size > 0)
        gather(to, section.data, section.size);
}

static void gather_kind(struct gather *to, struct slice section, size_t from, size_t end)
{
    end = section.size < end ? section.size : end;
    for (size_t i = from; i < end && to->kind_size < KIND_SIZE_MAX; i++)
        to->kind[to->kind_size++] = section.data[i];
}

/* ---- local sections ---- */

/* ECMWF's definitions of local use without a date that a key might be made of (definitions/grib1, grib2/local.98.*.def); 30 is
 * seen to below. */
static const uint8_t dateless_edition_1[] = { 1,  2,  3,  5,  7,  9,  10, 14,
                                              15, 18, 20, 21, 24, 25, 30, 36 };
static const uint8_t dateless_edition_2[] = { 1, 5, 7, 9, 14, 15, 18, 20, 21, 24, 25, 30, 36, 42 };

static bool is_one_of(unsigned number, const uint8_t *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (numbers[i] == number)
            return true;
    return false;
}

/* Definition 30, variable resolution: the date and time at which a leg began, which no key is made of. Where they are the reference
 * time they are left out, as that is; else they stay. */
static void mask_leg(uint8_t *at, int64_t base_time)
{
    int year, month, day, hour, minute, second;

    base_time_to_calendar(base_time, &year, &month, &day, &hour, &minute, &second);
    if (get_u32(at) == (uint32_t)(year * 10000 + month * 100 + day) &&
        get_u16(at + 4) == (unsigned)(hour * 100 + minute))
        memset(at, 0xff, 6); /* no date: never taken for one that stayed */
}

static void gather_local(struct gather *to, struct slice section, size_t leg, int64_t base_time)
{
    enum { SIZE_MAX_LOCAL = 1024 };
    uint8_t masked[SIZE_MAX_LOCAL];

    if (section.size > sizeof masked || section.size < leg + 6) {
        gather_section(to, section);
        return;
    }
    memcpy(masked, section.data, section.size);
    mask_leg(masked + leg, base_time);
    gather_section(to, slice_of(masked, section.size));
}

/* What other centres write there is for them to know. */
static bool local_is_usual_2(const struct grib_head *head)
{
    struct slice section = head->section[2];

    if (section.size <= SECTION_2_LOCAL)
        return true;
    return section.size >= SECTION_2_LOCAL + 2 &&
           get_u16(head->section[1].data + SECTION_1_CENTRE_2) == ECMWF &&
           section.data[SECTION_2_LOCAL] == 0 &&
           is_one_of(section.data[SECTION_2_LOCAL + 1], dateless_edition_2, sizeof dateless_edition_2);
}

static bool local_is_usual_1(struct slice section)
{
    return section.size <= SECTION_1_REST ||
           (section.size <= SECTION_1_LOCAL && section.data[SECTION_1_CENTRE_1] != ECMWF) ||
           (section.size > SECTION_1_LOCAL && section.data[SECTION_1_CENTRE_1] == ECMWF &&
            is_one_of(section.data[SECTION_1_LOCAL], dateless_edition_1, sizeof dateless_edition_1));
}

/* ---- packings of edition 2 ---- */

struct packing_mask {
    uint16_t template;
    uint8_t from, end; /* what changes with the values, in section 5; and: */
    uint8_t also_from, also_end;
};

/* From octet 12 on: reference value, scales, bits. Behind them, complex: how many groups there are, their widths and lengths;
 * spectral: the first coefficient, the power of the Laplacian. */
static const struct packing_mask packing_masks[] = {
    { 0, 11, 20, 0, 0 },  { 2, 11, 20, 31, 47 },  { 3, 11, 20, 31, 47 },
    { 4, 11, 11, 0, 0 },  { 40, 11, 20, 0, 0 },   { 41, 11, 20, 0, 0 },
    { 42, 11, 20, 0, 0 }, { 50, 11, 20, 20, 24 }, { 51, 11, 20, 20, 24 },
};

static const struct packing_mask *find_packing(struct slice section)
{
    if (section.size <= SECTION_5_FIXED)
        return NULL;
    for (size_t i = 0; i < ARRAY_COUNT(packing_masks); i++)
        if (packing_masks[i].template == get_u16(section.data + SECTION_5_TEMPLATE))
            return &packing_masks[i];
    return NULL;
}

static bool gather_packing(struct gather *to, struct slice section)
{
    enum { SIZE_MAX_PACKING = 256 };
    const struct packing_mask *mask = find_packing(section);
    uint8_t masked[SIZE_MAX_PACKING];

    if (mask == NULL || section.size > sizeof masked || section.size < mask->end ||
        section.size < mask->also_end)
        return false;
    memcpy(masked, section.data, section.size);
    memset(masked + SECTION_5_COUNT, 0, 4);
    memset(masked + mask->from, 0, (size_t)(mask->end - mask->from));
    memset(masked + mask->also_from, 0, (size_t)(mask->also_end - mask->also_from));
    gather_section(to, slice_of(masked, section.size));
    gather_kind(to, section, SECTION_5_TEMPLATE, SECTION_5_TEMPLATE + 2);
    return true;
}

/* ---- the product of edition 2 ---- */

/* The end of the overall interval as its distance from the reference time; an end that is no date stays as it is. */
static void mask_end(struct gather *to, uint8_t *at, int64_t base_time)
{
    int64_t end;
    bool is_date = base_time_from_calendar(get_u16(at), at[2], at[3], at[4], at[5], at[6], &end);
    uint64_t distance = is_date ? (uint64_t)(end - base_time) : 0;

    gather(to, (const uint8_t *)(is_date ? "d" : "r"), 1);
    for (unsigned i = 0; is_date && i < 7; i++)
        at[i] = (uint8_t)(distance >> (8 * i)); /* years 1 to 9999 are less than 2^40 seconds */
}

static bool gather_product(struct gather *to, struct slice section, const struct grib_head *head,
                           int64_t base_time)
{
    enum { SIZE_MAX_PRODUCT = 4096 };
    struct grib_step_place places[GRIB_STEP_PLACES_MAX];
    unsigned count = grib_step_places(head, places);
    uint8_t masked[SIZE_MAX_PRODUCT];

    if (count == 0 || section.size > sizeof masked)
        return false;
    memcpy(masked, section.data, section.size);
    if (count == 2)
        mask_end(to, masked + places[1].offset, base_time);
    gather_section(to, slice_of(masked, section.size));
    gather_kind(to, section, SECTION_4_TEMPLATE, SECTION_4_KIND);
    return true;
}

/* ---- whole heads ---- */

static bool gather_edition_2(struct gather *to, const struct grib_head *head, int64_t base_time)
{
    struct slice section_1 = head->section[1];

    if (section_1.size != SECTION_1_SIZE || section_1.data[SECTION_1_SECOND] != 0 ||
        !local_is_usual_2(head) || head->section[6].size != SECTION_6_SIZE ||
        head->section[3].size < SECTION_3_TEMPLATE + 2)
        return false;
    gather(to, head->section[0].data + SECTION_0_DISCIPLINE, 1);
    gather(to, section_1.data, SECTION_1_DATE);
    gather(to, section_1.data + SECTION_1_STATUS, section_1.size - SECTION_1_STATUS);
    if (head->section[2].size > SECTION_2_LOCAL + 1 && head->section[2].data[SECTION_2_LOCAL + 1] == LEGS)
        gather_local(to, head->section[2], SECTION_2_LEG, base_time);
    else
        gather_section(to, head->section[2]);
    gather_section(to, head->section[3]);
    gather(to, head->section[6].data + SECTION_6_INDICATOR, 1);
    gather_kind(to, head->section[0], SECTION_0_DISCIPLINE, SECTION_0_DISCIPLINE + 1);
    gather_kind(to, section_1, SECTION_1_CENTRE_2, SECTION_1_DATE);
    gather_kind(to, section_1, SECTION_1_STATUS, SECTION_1_SIZE);
    gather_kind(to, head->section[2], SECTION_2_LOCAL, SECTION_2_KIND);
    gather_kind(to, head->section[3], SECTION_3_TEMPLATE, SECTION_3_TEMPLATE + 2);
    return gather_product(to, head->section[4], head, base_time) &&
           gather_packing(to, head->section[5]);
}

static bool gather_edition_1(struct gather *to, const struct grib_head *head, int64_t base_time)
{
    struct slice section_1 = head->section[1];

    if (section_1.size < SECTION_1_REST || !local_is_usual_1(section_1) ||
        head->section[4].size < SECTION_4_SIZE_MIN)
        return false;
    uint8_t packing = head->section[4].data[SECTION_4_FLAGS] & 0xf0; /* below: unused bits at the end */
    gather(to, section_1.data, SECTION_1_YEAR);
    gather(to, section_1.data + SECTION_1_UNIT, SECTION_1_CENTURY - SECTION_1_UNIT);
    gather(to, section_1.data + SECTION_1_SUB_CENTRE, 1);
    struct slice rest = slice_of(section_1.data + SECTION_1_REST, section_1.size - SECTION_1_REST);
    if (section_1.size > SECTION_1_LOCAL && section_1.data[SECTION_1_LOCAL] == LEGS)
        gather_local(to, rest, SECTION_1_LEG - SECTION_1_REST, base_time);
    else
        gather_section(to, rest);
    gather_section(to, head->section[2]);
    gather(to, &packing, 1);
    gather_kind(to, section_1, 3, SECTION_1_LEVEL + 1);
    gather_kind(to, section_1, SECTION_1_UNIT, SECTION_1_P1);
    gather_kind(to, section_1, SECTION_1_INDICATOR, SECTION_1_INDICATOR + 1);
    gather_kind(to, section_1, SECTION_1_SUB_CENTRE, SECTION_1_SUB_CENTRE + 1);
    gather_kind(to, section_1, SECTION_1_LOCAL, SECTION_1_LOCAL_KIND);
    gather_kind(to, slice_of(&packing, 1), 0, 1);
    return true;
}

bool decode_memo_key(const struct grib_head *head, int64_t base_time, struct digest_stream *stream,
                     struct decode_memo_key *key)
{
    struct gather to = { .stream = stream };

    gather(&to, &head->edition, 1);
    to.kind[to.kind_size++] = head->edition;
    bool usual = head->edition == 2 ? gather_edition_2(&to, head, base_time)
                                    : gather_edition_1(&to, head, base_time);
    digest_stream_final(stream, &key->key); /* also where it is not wanted: the stream begins anew */
    key->kind = XXH3_64bits(to.kind, to.kind_size);
    return usual;
}
