/* grib2_product.c: families of templates, and where each has its keys. */
#include "indexer/grib2_product.h"

enum { SECTION_4_TEMPLATE = 7, TEMPLATES_MAX = 15, KEYS_MAX = 8 };

enum product_kind { WHOLE, SIGNED };

struct product_key {
    const char *name;
    uint8_t offset; /* octet - 1 */
    uint8_t size;   /* 0: the end of the list */
    enum product_kind kind;
};

/* Behind a list its keys move by count * item octets. */
struct product_family {
    uint16_t templates[TEMPLATES_MAX]; /* ended by 0, which has none of these */
    struct product_key keys[KEYS_MAX];
    uint8_t list, item; /* where the count stands; 0: no list */
};

static const struct product_family families[] = {
    /* of all members, and of clusters of them */
    { { 2, 3, 4, 12, 13, 14 }, { { "derivedForecast", 34, 1, WHOLE } }, 0, 0 },
    { { 3, 4, 13, 14 },
      { { "clusterIdentifier", 36, 1, WHOLE }, { "totalNumberOfClusters", 39, 1, WHOLE } },
      0,
      0 },
    { { 5, 9 },
      { { "forecastProbabilityNumber", 34, 1, WHOLE },
        { "totalNumberOfForecastProbabilities", 35, 1, WHOLE },
        { "probabilityType", 36, 1, WHOLE },
        { "scaleFactorOfLowerLimit", 37, 1, SIGNED },
        { "scaledValueOfLowerLimit", 38, 4, SIGNED },
        { "scaleFactorOfUpperLimit", 42, 1, SIGNED },
        { "scaledValueOfUpperLimit", 43, 4, SIGNED } },
      0,
      0 },
    { { 6, 10 }, { { "percentileValue", 34, 1, WHOLE } }, 0, 0 },
    { { 86, 87 }, { { "totalNumberOfQuantiles", 34, 2, WHOLE }, { "quantileValue", 36, 2, WHOLE } }, 0, 0 },
    { { 15 },
      { { "statisticalProcess", 34, 1, WHOLE },
        { "spatialProcessing", 35, 1, WHOLE },
        { "numberOfPointsUsed", 36, 1, WHOLE } },
      0,
      0 },
    /* hindcasts: of which model */
    { { 60, 61 },
      { { "YearOfModelVersion", 37, 2, WHOLE },
        { "MonthOfModelVersion", 39, 1, WHOLE },
        { "DayOfModelVersion", 40, 1, WHOLE },
        { "HourOfModelVersion", 41, 1, WHOLE } },
      0,
      0 },
    /* chemistry and aerosols */
    { { 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 57, 58, 67, 68, 85 },
      { { "constituentType", 11, 2, WHOLE } },
      0,
      0 },
    { { 76, 77, 78, 79, 80, 81, 82, 83, 84 },
      { { "constituentType", 11, 2, WHOLE }, { "sourceSinkChemicalPhysicalProcess", 13, 1, WHOLE } },
      0,
      0 },
    { { 44, 45, 46, 47, 48, 49, 85 },
      { { "typeOfSizeInterval", 13, 1, WHOLE },
        { "scaleFactorOfFirstSize", 14, 1, SIGNED },
        { "scaledValueOfFirstSize", 15, 4, SIGNED },
        { "scaleFactorOfSecondSize", 19, 1, SIGNED },
        { "scaledValueOfSecondSize", 20, 4, SIGNED } },
      0,
      0 },
    { { 80, 81, 82, 83, 84 },
      { { "typeOfSizeInterval", 14, 1, WHOLE },
        { "scaleFactorOfFirstSize", 15, 1, SIGNED },
        { "scaledValueOfFirstSize", 16, 4, SIGNED },
        { "scaleFactorOfSecondSize", 20, 1, SIGNED },
        { "scaledValueOfSecondSize", 21, 4, SIGNED } },
      0,
      0 },
    { { 48, 49 },
      { { "typeOfWavelengthInterval", 24, 1, WHOLE },
        { "scaleFactorOfFirstWavelength", 25, 1, SIGNED },
        { "scaledValueOfFirstWavelength", 26, 4, SIGNED },
        { "scaleFactorOfSecondWavelength", 30, 1, SIGNED },
        { "scaledValueOfSecondWavelength", 31, 4, SIGNED } },
      0,
      0 },
    { { 80, 81 },
      { { "typeOfWavelengthInterval", 25, 1, WHOLE },
        { "scaleFactorOfFirstWavelength", 26, 1, SIGNED },
        { "scaledValueOfFirstWavelength", 27, 4, SIGNED },
        { "scaleFactorOfSecondWavelength", 31, 1, SIGNED },
        { "scaledValueOfSecondWavelength", 32, 4, SIGNED } },
      0,
      0 },
    { { 57, 58, 67, 68 },
      { { "numberOfModeOfDistribution", 13, 2, WHOLE },
        { "modeNumber", 15, 2, WHOLE },
        { "typeOfDistributionFunction", 17, 2, WHOLE } },
      0,
      0 },
    /* parts of a cell: behind a list of partitions, two octets each */
    { { 53, 54 }, { { "partitionNumber", 13, 2, WHOLE } }, 12, 2 },
    { { 55, 56, 59 },
      { { "tileClassification", 11, 1, WHOLE },
        { "tileIndex", 14, 1, WHOLE },
        { "attributeOfTile", 16, 1, WHOLE } },
      0,
      0 },
    /* post-processed */
    { { 70, 71, 72, 73 },
      { { "inputProcessIdentifier", 11, 2, WHOLE }, { "typeOfPostProcessing", 15, 1, WHOLE } },
      0,
      0 },
    /* satellites: the first of the bands, of which a field has one */
    { { 32, 33, 34, 40033, 40034 },
      { { "satelliteSeries", 23, 2, WHOLE },
        { "satelliteNumber", 25, 2, WHOLE },
        { "instrumentType", 27, 2, WHOLE },
        { "scaleFactorOfCentralWaveNumber", 29, 1, WHOLE },
        { "scaledValueOfCentralWaveNumber", 30, 4, WHOLE } },
      22,
      0 },
    { { 31 },
      { { "satelliteSeries", 14, 2, WHOLE },
        { "satelliteNumber", 16, 2, WHOLE },
        { "instrumentType", 18, 2, WHOLE },
        { "scaleFactorOfCentralWaveNumber", 20, 1, WHOLE },
        { "scaledValueOfCentralWaveNumber", 21, 4, WHOLE } },
      13,
      0 },
};

static bool family_has(const struct product_family *family, unsigned template)
{
    for (unsigned i = 0; i < TEMPLATES_MAX && family->templates[i] != 0; i++)
        if (family->templates[i] == template)
            return true;
    return false;
}

/* Big endian; SIGNED: sign and magnitude (regulation 92.1.5). False: all ones. */
static bool value_read(const uint8_t *at, const struct product_key *key, int64_t *value)
{
    uint64_t raw = 0, sign = UINT64_C(1) << (8 * key->size - 1);

    for (unsigned i = 0; i < key->size; i++)
        raw = raw << 8 | at[i];
    *value = key->kind == SIGNED && (raw & sign) != 0 ? -(int64_t)(raw & (sign - 1)) : (int64_t)raw;
    return raw != 2 * sign - 1;
}

static void family_put(const struct product_family *family, struct slice section, struct json_writer *json)
{
    size_t moved = 0;
    int64_t value;

    if (family->list != 0) {
        if (section.size <= family->list || (family->item == 0 && section.data[family->list] == 0))
            return;
        moved = (size_t)section.data[family->list] * family->item;
    }
    for (unsigned i = 0; i < KEYS_MAX && family->keys[i].size != 0; i++) {
        const struct product_key *key = &family->keys[i];
        size_t at = key->offset + moved;
        if (section.size >= at + key->size && value_read(section.data + at, key, &value))
            json_put_i64(json, key->name, value);
    }
}

void grib2_product_put(const struct grib_head *head, struct json_writer *json)
{
    struct slice section = head->section[4];

    if (head->edition != 2 || section.size < SECTION_4_TEMPLATE + 2)
        return;
    unsigned template = get_u16(section.data + SECTION_4_TEMPLATE);
    for (size_t i = 0; i < ARRAY_COUNT(families); i++)
        if (family_has(&families[i], template))
            family_put(&families[i], section, json);
}

bool grib2_product_has_key(struct slice name)
{
    for (size_t at = 0; at < ARRAY_COUNT(families) * KEYS_MAX; at++) {
        const struct product_key *key = &families[at / KEYS_MAX].keys[at % KEYS_MAX];
        if (key->size != 0 && slice_equals(name, key->name))
            return true;
    }
    return false;
}

const char *grib2_product_key(size_t i)
{
    for (size_t at = 0; at < ARRAY_COUNT(families) * KEYS_MAX; at++) {
        const struct product_key *key = &families[at / KEYS_MAX].keys[at % KEYS_MAX];
        if (key->size != 0 && i-- == 0)
            return key->name;
    }
    return NULL;
}
