/* decode_names.c: the key, and a table of buckets, in which a newer entry takes the oldest one's place. */
#include "indexer/decode_names.h"

#include "indexer/grib_step.h"

#include <assert.h>
#include <stdlib.h>

enum {
    BUCKETS = 1024,
    WAYS = 4, /* 3 MiB in all */

    /* Edition 2: */
    SECTION_0_DISCIPLINE = 6,
    SECTION_1_DATE_2 = 12,
    SECTION_1_DATE_2_SIZE = 7,
    SECTION_4_TEMPLATE = 7,
    TEMPLATE_MEMBER = 1,
    TEMPLATE_MEMBER_INTERVAL = 11,
    MEMBER_2 = 35,

    /* Edition 1: */
    SECTION_1_CENTRE = 4,
    SECTION_1_DATE_1 = 12,
    SECTION_1_DATE_1_SIZE = 5,
    SECTION_1_CENTURY = 24,
    SECTION_1_DECIMAL_SCALE = 26,
    SECTION_1_LOCAL = 40,
    ECMWF = 98,
    ECMWF_LOCAL_MEMBER = 1,
    MEMBER_1 = 49,

    MASKED_SIZE_MAX = 1024,
};

struct bucket {
    struct digest keys[WAYS];
    struct decode_names names[WAYS];
    unsigned kept; /* ever; the next one goes to kept % WAYS */
};

static struct bucket *buckets; /* made at the first keep, for the process's life */

/* A section with octets left out; longer ones than MASKED_SIZE_MAX are taken whole, which only costs hits. */
struct masked {
    uint8_t octets[MASKED_SIZE_MAX];
    struct slice section;
};

static void mask_begin(struct masked *masked, struct slice section)
{
    masked->section = section;
    if (section.size <= MASKED_SIZE_MAX && section.size > 0)
        memcpy(masked->octets, section.data, section.size);
}

static void mask(struct masked *masked, size_t offset, size_t size)
{
    if (masked->section.size <= MASKED_SIZE_MAX && offset + size <= masked->section.size)
        memset(masked->octets + offset, 0, size);
}

static void mask_add(struct masked *masked, struct digest_stream *stream)
{
    uint8_t size[4];
    bool whole = masked->section.size > MASKED_SIZE_MAX;

    /* With its size in front no two lists of sections look alike. */
    put_u32(size, (uint32_t)masked->section.size);
    digest_stream_update(stream, size, sizeof size);
    digest_stream_update(stream, whole ? masked->section.data : masked->octets, masked->section.size);
}

static void mask_steps(struct masked *masked, const struct grib_head *head)
{
    struct grib_step_place places[GRIB_STEP_PLACES_MAX];
    unsigned count = grib_step_places(head, places);

    for (unsigned i = 0; i < count; i++)
        mask(masked, places[i].offset, places[i].size);
}

static void add_edition_2(const struct grib_head *head, struct digest_stream *stream)
{
    struct masked masked;

    digest_stream_update(stream, head->section[0].data + SECTION_0_DISCIPLINE, 1);
    mask_begin(&masked, head->section[1]);
    mask(&masked, SECTION_1_DATE_2, SECTION_1_DATE_2_SIZE);
    mask_add(&masked, stream);
    for (unsigned i = 2; i <= 3; i++) {
        mask_begin(&masked, head->section[i]);
        mask_add(&masked, stream);
    }
    mask_begin(&masked, head->section[4]);
    mask_steps(&masked, head);
    if (head->section[4].size > MEMBER_2) {
        unsigned template = get_u16(head->section[4].data + SECTION_4_TEMPLATE);
        if (template == TEMPLATE_MEMBER || template == TEMPLATE_MEMBER_INTERVAL)
            mask(&masked, MEMBER_2, 1);
    }
    mask_add(&masked, stream);
}

static void add_edition_1(const struct grib_head *head, struct digest_stream *stream)
{
    struct slice section = head->section[1];
    struct masked masked;

    mask_begin(&masked, section);
    mask_steps(&masked, head);
    mask(&masked, SECTION_1_DATE_1, SECTION_1_DATE_1_SIZE);
    mask(&masked, SECTION_1_CENTURY, 1);
    mask(&masked, SECTION_1_DECIMAL_SCALE, 2);
    if (section.size > MEMBER_1 && section.data[SECTION_1_CENTRE] == ECMWF &&
        section.data[SECTION_1_LOCAL] == ECMWF_LOCAL_MEMBER)
        mask(&masked, MEMBER_1, 1);
    mask_add(&masked, stream);
    mask_begin(&masked, head->section[2]);
    mask_add(&masked, stream);
}

void decode_names_key(const struct grib_head *head, struct digest *key)
{
    static struct digest_stream *stream;

    if (stream == NULL)
        stream = digest_stream_new();
    digest_stream_update(stream, &head->edition, 1);
    if (head->edition == 2)
        add_edition_2(head, stream);
    else
        add_edition_1(head, stream);
    digest_stream_final(stream, key);
}

static struct bucket *bucket_of(const struct digest *key)
{
    return &buckets[get_u16(key->bytes) % BUCKETS];
}

const struct decode_names *decode_names_find(const struct digest *key)
{
    if (buckets == NULL)
        return NULL;
    struct bucket *bucket = bucket_of(key);
    for (unsigned i = 0; i < WAYS && i < bucket->kept; i++)
        if (digest_compare(&bucket->keys[i], key) == 0)
            return &bucket->names[i];
    return NULL;
}

void decode_names_keep(const struct digest *key, const struct decode_names *names)
{
    if (buckets == NULL)
        buckets = calloc(BUCKETS, sizeof *buckets);
    assert(buckets != NULL);
    struct bucket *bucket = bucket_of(key);
    unsigned way = bucket->kept++ % WAYS;
    bucket->keys[way] = *key;
    bucket->names[way] = *names;
}
