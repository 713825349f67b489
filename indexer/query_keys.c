/* query_keys.c: the keys that a query may have. Names of MARS are those of metkit's language; the decoder (decode.h) writes the same. */
#include "indexer/query_keys.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define TEXT(name, kind, aliases)                                                                  \
    {                                                                                              \
        name, kind, QUERY_TEXT, 0, aliases                                                         \
    }
#define NUMBER(name, aliases)                                                                      \
    {                                                                                              \
        name, KIND_NUMBER, QUERY_NUMBER, 1, aliases                                                \
    }

const struct query_key query_keys[] = {
    /* what was stored */
    TEXT("source", KIND_SOURCE, NULL),
    { "base_time", KIND_MOMENT, QUERY_TIME, 1, NULL },
    { "valid_time", KIND_MOMENT, QUERY_TIME, 1, NULL },
    TEXT("digest", KIND_DIGEST, NULL),
    NUMBER("sub", NULL),
    NUMBER("length", NULL),
    NUMBER("incarnation", NULL),
    /* mars */
    { "param", KIND_PARAM, QUERY_TEXT, 0, "parameter parameters shortName" },
    NUMBER("paramId", NULL),
    TEXT("idTable", KIND_NAME, NULL),
    TEXT("idCategoryDiscipline", KIND_NAME, NULL),
    { "step", KIND_STEP, QUERY_NUMBER, 12, "endStep" },
    TEXT("levtype", KIND_WORD, "levtyp"),
    NUMBER("levelist", "leve levellist"),
    NUMBER("number", NULL),
    TEXT("class", KIND_WORD, NULL),
    TEXT("type", KIND_WORD, NULL),
    TEXT("stream", KIND_WORD, NULL),
    TEXT("expver", KIND_EXPVER, NULL),
    TEXT("domain", KIND_WORD, NULL),
    { "date", KIND_DATE, QUERY_NUMBER, 1, "dataDate" },
    { "time", KIND_DAYTIME, QUERY_TEXT, 6, "dataTime" },
    TEXT("model", KIND_NAME, NULL),
    TEXT("origin", KIND_NAME, NULL),
    NUMBER("hdate", NULL),
    NUMBER("fcmonth", NULL),
    NUMBER("fcperiod", NULL),
    TEXT("quantile", KIND_NAME, NULL),
    NUMBER("channel", NULL),
    NUMBER("ident", NULL),
    NUMBER("instrument", NULL),
    NUMBER("obstype", NULL),
    NUMBER("method", NULL),
    NUMBER("system", NULL),
    NUMBER("iteration", NULL),
    NUMBER("diagnostic", NULL),
    NUMBER("direction", NULL),
    NUMBER("frequency", NULL),
    TEXT("wavelength", KIND_NAME, NULL),
    NUMBER("chem", NULL),
    TEXT("timespan", KIND_NAME, NULL),
    TEXT("stattype", KIND_NAME, NULL),
    TEXT("dataset", KIND_NAME, NULL),
    TEXT("activity", KIND_NAME, NULL),
    TEXT("experiment", KIND_NAME, NULL),
    NUMBER("generation", NULL),
    NUMBER("realization", NULL),
    TEXT("resolution", KIND_NAME, NULL),
    TEXT("product", KIND_NAME, NULL),
    NUMBER("anoffset", NULL),
    NUMBER("leadtime", NULL),
    NUMBER("reference", NULL),
    /* beside mars */
    NUMBER("step_seconds", NULL),
    NUMBER("startStep", NULL),
    TEXT("stepUnits", KIND_NAME, NULL),
    TEXT("stepRange", KIND_NAME, NULL),
    TEXT("stepType", KIND_NAME, NULL),
    { "validityDate", KIND_DATE, QUERY_NUMBER, 1, NULL },
    { "validityTime", KIND_DAYTIME, QUERY_TEXT, 6, NULL },
    TEXT("name", KIND_NAME, NULL),
    TEXT("units", KIND_NAME, NULL),
    TEXT("typeOfLevel", KIND_NAME, NULL),
    NUMBER("level", NULL),
    NUMBER("topLevel", NULL),
    NUMBER("bottomLevel", NULL),
    NUMBER("perturbationNumber", NULL),
    NUMBER("numberOfForecastsInEnsemble", NULL),
    NUMBER("typeOfEnsembleForecast", NULL),
    NUMBER("edition", NULL),
    TEXT("centre", KIND_NAME, "center"),
    NUMBER("subCentre", NULL),
    TEXT("dataType", KIND_NAME, NULL),
    TEXT("gridType", KIND_NAME, NULL),
    NUMBER("Ni", NULL),
    NUMBER("Nj", NULL),
    NUMBER("N", NULL),
    NUMBER("numberOfDataPoints", NULL),
    NUMBER("gridDefinition", NULL),
    NUMBER("gridDefinitionTemplateNumber", NULL),
    TEXT("gridHash", KIND_NAME, NULL),
    NUMBER("latitudeOfFirstGridPointInDegrees", NULL),
    NUMBER("longitudeOfFirstGridPointInDegrees", NULL),
    NUMBER("latitudeOfLastGridPointInDegrees", NULL),
    NUMBER("longitudeOfLastGridPointInDegrees", NULL),
    NUMBER("iDirectionIncrementInDegrees", NULL),
    NUMBER("jDirectionIncrementInDegrees", NULL),
    NUMBER("DxInMetres", NULL),
    NUMBER("DyInMetres", NULL),
    TEXT("packingType", KIND_NAME, NULL),
    NUMBER("bitsPerValue", NULL),
    NUMBER("referenceValue", NULL),
    NUMBER("binaryScaleFactor", NULL),
    NUMBER("decimalScaleFactor", NULL),
    NUMBER("data_offset", NULL),
    NUMBER("data_length", NULL),
    NUMBER("discipline", NULL),
    NUMBER("parameterCategory", NULL),
    NUMBER("parameterNumber", NULL),
    NUMBER("tablesVersion", NULL),
    NUMBER("localTablesVersion", NULL),
    NUMBER("productDefinitionTemplateNumber", NULL),
    NUMBER("typeOfStatisticalProcessing", NULL),
    NUMBER("typeOfFirstFixedSurface", NULL),
    NUMBER("scaleFactorOfFirstFixedSurface", NULL),
    NUMBER("scaledValueOfFirstFixedSurface", NULL),
    NUMBER("typeOfSecondFixedSurface", NULL),
    NUMBER("scaleFactorOfSecondFixedSurface", NULL),
    NUMBER("scaledValueOfSecondFixedSurface", NULL),
    /* of products of edition 2 (grib2_product.c) */
    NUMBER("derivedForecast", NULL),
    NUMBER("clusterIdentifier", NULL),
    NUMBER("totalNumberOfClusters", NULL),
    NUMBER("forecastProbabilityNumber", NULL),
    NUMBER("totalNumberOfForecastProbabilities", NULL),
    NUMBER("probabilityType", NULL),
    NUMBER("scaleFactorOfLowerLimit", NULL),
    NUMBER("scaledValueOfLowerLimit", NULL),
    NUMBER("scaleFactorOfUpperLimit", NULL),
    NUMBER("scaledValueOfUpperLimit", NULL),
    NUMBER("percentileValue", NULL),
    NUMBER("totalNumberOfQuantiles", NULL),
    NUMBER("quantileValue", NULL),
    NUMBER("statisticalProcess", NULL),
    NUMBER("spatialProcessing", NULL),
    NUMBER("numberOfPointsUsed", NULL),
    NUMBER("YearOfModelVersion", NULL),
    NUMBER("MonthOfModelVersion", NULL),
    NUMBER("DayOfModelVersion", NULL),
    NUMBER("HourOfModelVersion", NULL),
    NUMBER("constituentType", NULL),
    NUMBER("sourceSinkChemicalPhysicalProcess", NULL),
    NUMBER("typeOfSizeInterval", NULL),
    NUMBER("scaleFactorOfFirstSize", NULL),
    NUMBER("scaledValueOfFirstSize", NULL),
    NUMBER("scaleFactorOfSecondSize", NULL),
    NUMBER("scaledValueOfSecondSize", NULL),
    NUMBER("typeOfWavelengthInterval", NULL),
    NUMBER("scaleFactorOfFirstWavelength", NULL),
    NUMBER("scaledValueOfFirstWavelength", NULL),
    NUMBER("scaleFactorOfSecondWavelength", NULL),
    NUMBER("scaledValueOfSecondWavelength", NULL),
    NUMBER("numberOfModeOfDistribution", NULL),
    NUMBER("modeNumber", NULL),
    NUMBER("typeOfDistributionFunction", NULL),
    NUMBER("partitionNumber", NULL),
    NUMBER("tileClassification", NULL),
    NUMBER("tileIndex", NULL),
    NUMBER("attributeOfTile", NULL),
    NUMBER("inputProcessIdentifier", NULL),
    NUMBER("typeOfPostProcessing", NULL),
    NUMBER("satelliteSeries", NULL),
    NUMBER("satelliteNumber", NULL),
    NUMBER("instrumentType", NULL),
    NUMBER("scaleFactorOfCentralWaveNumber", NULL),
    NUMBER("scaledValueOfCentralWaveNumber", NULL),
    /* edition 1 */
    NUMBER("table2Version", NULL),
    NUMBER("indicatorOfParameter", NULL),
    NUMBER("indicatorOfTypeOfLevel", NULL),
    NUMBER("timeRangeIndicator", NULL),
    TEXT("eccodes", KIND_NAME, NULL),
    { NULL, KIND_NAME, QUERY_TEXT, 0, NULL },
};

static bool word_is_among(struct slice word, const char *words)
{
    while (words != NULL && *words != '\0') {
        size_t size = strcspn(words, " ");
        if (size == word.size && memcmp(words, word.data, size) == 0)
            return true;
        words += size + strspn(words + size, " ");
    }
    return false;
}

const struct query_key *query_key_find(struct slice name)
{
    if (name.size == 0)
        return NULL;
    for (const struct query_key *key = query_keys; key->name != NULL; key++)
        if (slice_equals(name, key->name) || word_is_among(name, key->aliases))
            return key;
    return NULL;
}

bool query_key_is_post_processing(struct slice name)
{
    return name.size > 0 &&
           word_is_among(name, "grid area accuracy rotation resol packing interpolation padding "
                               "gaussian intgrid bitmap frame truncation specification style");
}

/* --- did you mean --- */

enum { NEAREST_SIZE_MAX = QUERY_WORD_MAX, NEAREST_DISTANCE_MAX = 3 };

static size_t least(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;

    return ab < c ? ab : c;
}

size_t query_word_distance(struct slice a, const char *b)
{
    size_t row[NEAREST_SIZE_MAX + 1], b_size = strlen(b);

    for (size_t j = 0; j <= b_size; j++)
        row[j] = j;
    for (size_t i = 0; i < a.size; i++) {
        size_t corner = row[0]; /* of the row above */
        row[0] = i + 1;
        for (size_t j = 0; j < b_size; j++) {
            size_t above = row[j + 1];
            bool same = tolower(a.data[i]) == tolower((unsigned char)b[j]);
            row[j + 1] = least(above + 1, row[j] + 1, corner + !same);
            corner = above;
        }
    }
    return row[b_size];
}

const char *query_key_nearest(struct slice name)
{
    size_t best = NEAREST_DISTANCE_MAX + 1;
    const char *nearest = "";

    if (name.size == 0 || name.size > NEAREST_SIZE_MAX)
        return nearest;
    for (const struct query_key *key = query_keys; key->name != NULL; key++) {
        if (strlen(key->name) > NEAREST_SIZE_MAX)
            continue;
        size_t far = query_word_distance(name, key->name);
        if (far < best && far < name.size) {
            best = far;
            nearest = key->name;
        }
    }
    return nearest;
}

/* --- other spellings of values --- */

static const struct {
    const char *key, *word, *value;
} word_aliases[] = {
    { "type", "analysis", "an" },
    { "type", "forecast", "fc" },
    { "type", "perturbed forecast", "pf" },
    { "type", "control forecast", "cf" },
    { "stream", "da", "oper" },
    { "stream", "daily archive", "oper" },
    { "levtype", "surf", "sfc" },
    { "levtype", "surface", "sfc" },
    { "levtype", "pressure levels", "pl" },
    { "levtype", "model levels", "ml" },
    { "class", "operations", "od" },
};

const char *query_word_alias(const struct query_key *key, const char *word)
{
    for (size_t i = 0; i < ARRAY_COUNT(word_aliases); i++)
        if (strcmp(word_aliases[i].key, key->name) == 0 && strcmp(word_aliases[i].word, word) == 0)
            return word_aliases[i].value;
    return NULL;
}
