/* grib1_member.c: octets 41 to 43. */
#include "indexer/grib1_member.h"

enum {
    SECTION_1_CENTRE = 4,
    NCEP = 7,
    SECTION_1_APPLICATION = 40,
    ENSEMBLE = 1,
    SECTION_1_TYPE = 41,
    SECTION_1_NUMBER = 42,
    SECTION_1_PRODUCT = 43,
    FULL_FIELD = 1,
    /* Types: */
    CONTROL = 1,
    NEGATIVE = 2,
    POSITIVE = 3,
    LOW_RESOLUTION = 2, /* number of a control */
};

bool grib1_member_read(const struct grib_head *head, struct grib1_member *member)
{
    struct slice section = head->section[1];

    if (head->edition != 1 || section.size <= SECTION_1_PRODUCT ||
        section.data[SECTION_1_CENTRE] != NCEP || section.data[SECTION_1_APPLICATION] != ENSEMBLE ||
        section.data[SECTION_1_PRODUCT] != FULL_FIELD)
        return false;
    unsigned type = section.data[SECTION_1_TYPE], number = section.data[SECTION_1_NUMBER];
    if (type == CONTROL)
        *member = (struct grib1_member){ .type = number == LOW_RESOLUTION, .number = 0 };
    else if (type == NEGATIVE || type == POSITIVE)
        *member = (struct grib1_member){ .type = type, .number = number };
    else
        return false;
    return true;
}
