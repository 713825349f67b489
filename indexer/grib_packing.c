/* grib_packing.c: templates of section 5, section 4 of edition 1; then where the values lie. */
#include "indexer/grib_packing.h"

#include <math.h>

const char *const grib_packing_keys[] = {
    "bitsPerValue",
    "referenceValue",
    "binaryScaleFactor",
    "decimalScaleFactor",
    "data_offset",
    "data_length",
    NULL,
};

/* ---- numbers ---- */

/* Sign and magnitude. */
static int signed_u16(const uint8_t *at)
{
    unsigned raw = get_u16(at);

    return raw & 0x8000 ? -(int)(raw & 0x7fff) : (int)raw;
}

static double ieee_32(uint32_t raw)
{
    float value;

    memcpy(&value, &raw, sizeof value);
    return (double)value;
}

/* IBM's single precision: a sign, an exponent of 16 that begins at -64, 24 bits of fraction. */
static double ibm_32(uint32_t raw)
{
    double value = ldexp((double)(raw & 0xffffff), 4 * ((int)(raw >> 24 & 0x7f) - 64) - 24);

    return raw & UINT32_C(0x80000000) ? -value : value;
}

/* ---- edition 2 ---- */

enum {
    SECTION_5_TEMPLATE = 9,
    SECTION_5_REFERENCE = 11,
    SECTION_5_BINARY = 15,
    SECTION_5_DECIMAL = 17,
    SECTION_5_BITS = 19,
    SECTION_5_SCALED_SIZE = 20,
    RUN_LENGTH = 200,
    RUN_LENGTH_BITS = 11,
};

/* Templates that begin with reference value, binary and decimal scale, bits: every one of WMO's but 4 (IEEE) and 200 (run length). */
static bool template_is_scaled(unsigned number)
{
    switch (number) {
    case 0:  /* simple */
    case 1:  /* matrices */
    case 2:  /* complex */
    case 3:  /* complex, spatial differences */
    case 40: /* JPEG 2000 */
    case 41: /* PNG */
    case 42: /* CCSDS */
    case 50: /* spectral simple */
    case 51: /* spectral complex */
    case 53: /* bi-Fourier */
    case 61: /* simple, of logarithms */
    case 40000:
    case 40010:
        return true;
    default:
        return false;
    }
}

static void set_reference(struct grib_packing *packing, double value)
{
    packing->has_reference = isfinite(value);
    packing->reference_value = packing->has_reference ? value : 0;
}

static void read_edition_2(struct slice section, struct grib_packing *packing)
{
    if (section.size < SECTION_5_TEMPLATE + 2)
        return;
    unsigned number = get_u16(section.data + SECTION_5_TEMPLATE);
    if (number == RUN_LENGTH && section.size > RUN_LENGTH_BITS) {
        packing->has_bits = true;
        packing->bits_per_value = section.data[RUN_LENGTH_BITS];
    }
    if (!template_is_scaled(number) || section.size < SECTION_5_SCALED_SIZE)
        return;
    set_reference(packing, ieee_32(get_u32(section.data + SECTION_5_REFERENCE)));
    packing->has_scales = packing->has_bits = true;
    packing->binary_scale = signed_u16(section.data + SECTION_5_BINARY);
    packing->decimal_scale = signed_u16(section.data + SECTION_5_DECIMAL);
    packing->bits_per_value = section.data[SECTION_5_BITS];
}

/* ---- edition 1 ---- */

enum {
    SECTION_1_FLAGS = 7,
    HAS_BITMAP = 0x40,
    SECTION_1_DECIMAL = 26,
    SECTION_4_FLAGS = 3,
    SECTION_4_BINARY = 4,
    SECTION_4_REFERENCE = 6,
    SECTION_4_BITS = 10,
    SECTION_4_SIZE = 11,
    SPHERICAL = 0x80,
    COMPLEX = 0x40,
};

static void read_edition_1(const struct grib_head *head, struct grib_packing *packing)
{
    struct slice section_1 = head->section[1], section_4 = head->section[4];

    if (section_1.size < SECTION_1_DECIMAL + 2 || section_4.size < SECTION_4_SIZE)
        return;
    set_reference(packing, ibm_32(get_u32(section_4.data + SECTION_4_REFERENCE)));
    packing->has_scales = true;
    packing->binary_scale = signed_u16(section_4.data + SECTION_4_BINARY);
    packing->decimal_scale = signed_u16(section_1.data + SECTION_1_DECIMAL);
    /* Of second-order packing it is the width of first-order values, and no value's. */
    packing->has_bits = (section_4.data[SECTION_4_FLAGS] & (SPHERICAL | COMPLEX)) != COMPLEX;
    if (packing->has_bits)
        packing->bits_per_value = section_4.data[SECTION_4_BITS];
}

/* ---- both ---- */

void grib_packing_read(const struct grib_head *head, struct grib_packing *packing)
{
    *packing = (struct grib_packing){ .has_bits = false };
    if (head->edition == 2)
        read_edition_2(head->section[5], packing);
    else
        read_edition_1(head, packing);
}

void grib_packing_put(const struct grib_head *head, struct json_writer *json)
{
    struct grib_packing packing;

    grib_packing_read(head, &packing);
    if (packing.has_bits)
        json_put_u64(json, "bitsPerValue", packing.bits_per_value);
    if (packing.has_reference)
        json_put_double(json, "referenceValue", packing.reference_value);
    if (packing.has_scales) {
        json_put_i64(json, "binaryScaleFactor", packing.binary_scale);
        json_put_i64(json, "decimalScaleFactor", packing.decimal_scale);
    }
}

/* ---- where ---- */

enum {
    TRAILER_SIZE = 4,
    SECTION_0_TOTAL_2 = 8,
    SECTION_0_TOTAL_1 = 4,
    SECTION_6_HEAD_SIZE = 6,
    SECTION_7_SIZE_MIN = 5,
};

/* Sections 0 to 5 lie in front as in the head; how long section 6 is, its first octets say. */
static bool place_edition_2(const struct grib_head *head, uint64_t *offset, uint64_t *length)
{
    uint64_t front = 0;

    if (head->section[0].size < SECTION_0_TOTAL_2 + 8 || head->section[6].size < SECTION_6_HEAD_SIZE)
        return false;
    for (unsigned i = 0; i <= 5; i++)
        front += head->section[i].size;
    uint64_t total = get_u64(head->section[0].data + SECTION_0_TOTAL_2);
    uint64_t bitmap = get_u32(head->section[6].data);
    if (bitmap < SECTION_6_HEAD_SIZE || total > INT64_MAX ||
        total < front + bitmap + SECTION_7_SIZE_MIN + TRAILER_SIZE)
        return false;
    *offset = front + bitmap;
    *length = total - TRAILER_SIZE - *offset;
    return true;
}

/* Section 4 ends where the trailer begins, and says its own length; where that stands for an extended length of the message
 * (FORMATS.md section 1), only what lies in front says where it begins: not a bitmap, as a head has not got one. */
static bool place_edition_1(const struct grib_head *head, uint64_t *offset, uint64_t *length)
{
    uint64_t front = head->section[0].size + head->section[1].size + head->section[2].size;

    if (head->section[0].size < SECTION_0_TOTAL_1 + 3 || head->section[1].size <= SECTION_1_FLAGS ||
        head->section[4].size < SECTION_4_SIZE)
        return false;
    bool bitmap = (head->section[1].data[SECTION_1_FLAGS] & HAS_BITMAP) != 0;
    uint64_t total = get_u24(head->section[0].data + SECTION_0_TOTAL_1);
    uint64_t section_4 = get_u24(head->section[4].data);
    if ((total & 0x800000) != 0 && section_4 < 120) {
        if (bitmap || (total & 0x7fffff) == 0)
            return false;
        total = (total & 0x7fffff) * 120 - section_4 + TRAILER_SIZE;
        section_4 = total < front + TRAILER_SIZE ? 0 : total - TRAILER_SIZE - front;
    }
    if (section_4 < SECTION_4_SIZE || total < front + section_4 + TRAILER_SIZE)
        return false;
    *offset = total - TRAILER_SIZE - section_4;
    *length = section_4;
    /* Without a bitmap nothing lies between; a message that says otherwise is not to be trusted in this. */
    return bitmap ? *offset > front : *offset == front;
}

bool grib_packing_place(const struct grib_head *head, uint64_t *offset, uint64_t *length)
{
    return head->edition == 2 ? place_edition_2(head, offset, length)
                              : place_edition_1(head, offset, length);
}
