/* grib_param.c: two numbers of edition 1, three of edition 2. */
#include "indexer/grib_param.h"

#include <assert.h>
#include <stdio.h>

enum {
    /* Edition 1, section 1: */
    SECTION_1_TABLE = 3,
    SECTION_1_PARAMETER = 8,
    TABLE_WITHOUT_NUMBER = 128,
    TABLE_FACTOR = 1000,

    /* Edition 2: */
    SECTION_0_DISCIPLINE = 6,
    SECTION_4_CATEGORY = 9,
    SECTION_4_NUMBER = 10,
};

bool grib_param_print(const struct grib_head *head, char text[GRIB_PARAM_TEXT_SIZE])
{
    struct slice section = head->section[head->edition == 2 ? 4 : 1];

    assert(head->edition == 1 || head->edition == 2);
    if (section.size <= SECTION_4_NUMBER || head->section[0].size <= SECTION_0_DISCIPLINE)
        return false;
    if (head->edition == 1)
        snprintf(text, GRIB_PARAM_TEXT_SIZE, "%u.%u", section.data[SECTION_1_PARAMETER],
                 section.data[SECTION_1_TABLE]);
    else
        snprintf(text, GRIB_PARAM_TEXT_SIZE, "%u.%u.%u", section.data[SECTION_4_NUMBER],
                 section.data[SECTION_4_CATEGORY], head->section[0].data[SECTION_0_DISCIPLINE]);
    return true;
}

long grib_param_id(unsigned id, unsigned table)
{
    return table == TABLE_WITHOUT_NUMBER ? (long)id : (long)table * TABLE_FACTOR + (long)id;
}

bool grib_param_id_tells(const struct grib_head *head, long param_id)
{
    struct slice section = head->section[1];

    assert(head->edition == 1);
    return section.size > SECTION_1_PARAMETER &&
           param_id == grib_param_id(section.data[SECTION_1_PARAMETER], section.data[SECTION_1_TABLE]);
}
