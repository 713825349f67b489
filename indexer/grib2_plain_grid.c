/* grib2_plain_grid.c: an edition 2 head with a plain grid in the place of its own. */
#include "indexer/grib2_plain_grid.h"

#include <assert.h>

enum {
    SECTION_3_SIZE_MIN = 14,
    PLAIN_SECTION_SIZE = 72, /* template 3.0: latitude/longitude */
};

/* Offsets in section 3, octet - 1. */
enum {
    AT_POINTS = 6,
    AT_TEMPLATE = 12,
    AT_SHAPE = 14,
    AT_NI = 30,
    AT_NJ = 34,
    AT_DI = 63,
    AT_DJ = 67
};

static const struct slice *section_3(const struct grib_head *head)
{
    const struct slice *section = &head->section[3];
    return head->edition == 2 && section->size >= SECTION_3_SIZE_MIN ? section : NULL;
}

bool grib2_grid_template(const struct grib_head *head, unsigned *number)
{
    const struct slice *section = section_3(head);

    if (section == NULL)
        return false;
    *number = get_u16(section->data + AT_TEMPLATE);
    return true;
}

bool grib2_grid_points(const struct grib_head *head, uint64_t *points)
{
    const struct slice *section = section_3(head);

    if (section == NULL)
        return false;
    *points = get_u32(section->data + AT_POINTS);
    return true;
}

void grib2_plain_grid(const struct grib_head *head, struct buf *plain)
{
    uint8_t grid[PLAIN_SECTION_SIZE] = { 0 };

    assert(head->edition == 2);
    put_u32(grid, sizeof grid);
    grid[4] = 3;
    put_u32(grid + AT_POINTS, 1);
    grid[AT_SHAPE] = 6; /* a sphere of 6,371,229 m */
    put_u32(grid + AT_NI, 1);
    put_u32(grid + AT_NJ, 1);
    put_u32(grid + AT_DI, 1000000);
    put_u32(grid + AT_DJ, 1000000);
    for (unsigned i = 0; i <= 6; i++) {
        if (i == 3)
            buf_append(plain, grid, sizeof grid);
        else if (head->section[i].size > 0)
            buf_append(plain, head->section[i].data, head->section[i].size);
    }
}
