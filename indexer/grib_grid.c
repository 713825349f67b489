/* grib_grid.c: section 3; of section 2, what is not about levels. */
#include "indexer/grib_grid.h"

const char *const grib_grid_whole_keys[] = { "Ni", "Nj", NULL };

const char *const grib_grid_real_keys[] = {
    "latitudeOfFirstGridPointInDegrees",
    "longitudeOfFirstGridPointInDegrees",
    "latitudeOfLastGridPointInDegrees",
    "longitudeOfLastGridPointInDegrees",
    "iDirectionIncrementInDegrees",
    "jDirectionIncrementInDegrees",
    "DxInMetres",
    "DyInMetres",
    NULL,
};

const char *const grib_grid_other_keys[] = {
    "gridType",
    "gridDefinition",
    "gridDefinitionTemplateNumber",
    "gridHash",
    "N",
    "numberOfDataPoints",
    NULL,
};

enum {
    SECTION_2_COORDINATES = 3, /* how many, of four octets each */
    SECTION_2_LISTS = 4, /* where they begin, in octets from 1; behind them points in rows; 255: neither */
    SECTION_2_GRID = 5, /* type of the grid, then its description */
    NO_LISTS = 255,
};

static struct digest_stream *grid_stream(void)
{
    static struct digest_stream *stream; /* one thread decodes */

    if (stream == NULL)
        stream = digest_stream_new();
    return stream;
}

/* Lists that don't fit are taken as part of the grid. */
static void hash_edition_1(struct slice section, struct digest_stream *stream)
{
    size_t lists = section.data[SECTION_2_LISTS], size = (size_t)4 * section.data[SECTION_2_COORDINATES];
    bool apart = lists != NO_LISTS && lists > SECTION_2_GRID && lists - 1 + size <= section.size;
    size_t front = apart ? lists - 1 : section.size;

    digest_stream_update(stream, section.data + SECTION_2_GRID, front - SECTION_2_GRID);
    if (apart)
        digest_stream_update(stream, section.data + front + size, section.size - front - size);
}

bool grib_grid_hash(const struct grib_head *head, uint8_t hash[GRIB_GRID_HASH_SIZE])
{
    struct slice section = head->section[head->edition == 2 ? 3 : 2];
    struct digest_stream *stream = grid_stream();
    struct digest digest;

    if (section.size <= SECTION_2_GRID)
        return false;
    if (head->edition == 2)
        digest_stream_update(stream, section.data, section.size);
    else
        hash_edition_1(section, stream);
    digest_stream_final(stream, &digest);
    memcpy(hash, digest.bytes, GRIB_GRID_HASH_SIZE);
    return true;
}
