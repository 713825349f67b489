/* digest_table.c: extendible hashing over segments of any size, each probed linearly. */
#include "storaged/store/digest_table.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

enum { DIGEST_SEGMENT_MIN = 8, DIGEST_DEPTH_MAX = 28 };

struct digest_slot {
    uint32_t record; /* 0: empty */
    uint32_t tag;
};

struct digest_segment {
    uint32_t capacity;
    uint32_t count;
    uint32_t depth; /* first bits that all its tags share */
    struct digest_slot slots[];
};

void digest_table_init(struct digest_table *table)
{
    *table = (struct digest_table){ 0 };
    random_bytes(&table->seed, sizeof table->seed);
}

void digest_table_fini(struct digest_table *table)
{
    size_t size = table->directory != NULL ? (size_t)1 << table->depth : 0;

    /* Entries that name one segment stand side by side. */
    for (size_t i = 0; i < size; i++)
        if (i + 1 == size || table->directory[i] != table->directory[i + 1])
            free(table->directory[i]);
    free(table->directory);
    table->directory = NULL;
    table->count = 0;
    table->depth = 0;
}

uint32_t digest_table_tag(const struct digest_table *table, const struct digest *digest)
{
    return (uint32_t)XXH3_64bits_withSeed(digest->bytes, sizeof digest->bytes, table->seed);
}

static size_t digest_table_index(const struct digest_table *table, uint32_t tag)
{
    return table->depth == 0 ? 0 : tag >> (32 - table->depth);
}

/* The first bits chose the segment and are alike in it: the multiplication brings the last ones forward. */
static uint32_t digest_segment_home(const struct digest_segment *segment, uint32_t tag)
{
    return (uint32_t)((uint64_t)(tag * UINT32_C(0x9e3779b1)) * segment->capacity >> 32);
}

static struct digest_segment *digest_segment_new(uint32_t capacity, uint32_t depth)
{
    struct digest_segment *segment = calloc(1, sizeof *segment + capacity * sizeof segment->slots[0]);

    assert(segment != NULL);
    segment->capacity = capacity;
    segment->depth = depth;
    return segment;
}

static void digest_segment_put(struct digest_segment *segment, struct digest_slot slot)
{
    uint32_t at = digest_segment_home(segment, slot.tag);

    assert(segment->count < segment->capacity);
    while (segment->slots[at].record != 0)
        at = at + 1 == segment->capacity ? 0 : at + 1;
    segment->slots[at] = slot;
    segment->count++;
}

static bool digest_segment_is_full(const struct digest_segment *segment)
{
    return (uint64_t)(segment->count + 1) * 3 > (uint64_t)segment->capacity * 2;
}

/* Slots for count digests at 4/7 full: 14 bytes a digest. */
static uint32_t digest_segment_room(uint32_t count)
{
    uint32_t capacity = count * 7 / 4 + 1;

    return capacity < DIGEST_SEGMENT_MIN ? DIGEST_SEGMENT_MIN : capacity;
}

/* Every entry of the directory that named old now names segment (stretch of entries around index). */
static void digest_table_name(struct digest_table *table, uint32_t tag, struct digest_segment *segment)
{
    size_t shared = (size_t)1 << (table->depth - segment->depth);
    size_t first = digest_table_index(table, tag) & ~(shared - 1);

    for (size_t i = 0; i < shared; i++)
        table->directory[first + i] = segment;
}

static void digest_table_grow_segment(struct digest_table *table, struct digest_segment *old, uint32_t tag)
{
    struct digest_segment *segment = digest_segment_new(digest_segment_room(old->count + 1), old->depth);

    for (uint32_t i = 0; i < old->capacity; i++)
        if (old->slots[i].record != 0)
            digest_segment_put(segment, old->slots[i]);
    digest_table_name(table, tag, segment);
    free(old);
}

static void digest_table_double_directory(struct digest_table *table)
{
    size_t size = (size_t)1 << table->depth;
    struct digest_segment **directory = malloc(2 * size * sizeof *directory);

    assert(directory != NULL);
    for (size_t i = 0; i < size; i++)
        directory[2 * i] = directory[2 * i + 1] = table->directory[i];
    free(table->directory);
    table->directory = directory;
    table->depth++;
}

/* By the next bit of the tags. */
static void digest_table_split_segment(struct digest_table *table, struct digest_segment *old, uint32_t tag)
{
    uint32_t bit = UINT32_C(1) << (31 - old->depth);
    uint32_t ones = 0;

    if (old->depth == table->depth)
        digest_table_double_directory(table);
    for (uint32_t i = 0; i < old->capacity; i++)
        ones += old->slots[i].record != 0 && (old->slots[i].tag & bit) != 0;
    struct digest_segment *half[2] = {
        digest_segment_new(digest_segment_room(old->count - ones + 1), old->depth + 1),
        digest_segment_new(digest_segment_room(ones + 1), old->depth + 1),
    };
    for (uint32_t i = 0; i < old->capacity; i++)
        if (old->slots[i].record != 0)
            digest_segment_put(half[(old->slots[i].tag & bit) != 0], old->slots[i]);
    digest_table_name(table, tag & ~bit, half[0]);
    digest_table_name(table, tag | bit, half[1]);
    free(old);
}

void digest_table_insert(struct digest_table *table, uint32_t tag, uint32_t record)
{
    assert(record != 0);
    if (table->directory == NULL) {
        table->directory = malloc(sizeof *table->directory);
        assert(table->directory != NULL);
        table->directory[0] = digest_segment_new(DIGEST_SEGMENT_MIN, 0);
    }
    struct digest_segment *segment = table->directory[digest_table_index(table, tag)];
    while (digest_segment_is_full(segment)) {
        if (digest_segment_room(segment->count + 1) <= DIGEST_SEGMENT_MAX ||
            segment->depth == DIGEST_DEPTH_MAX)
            digest_table_grow_segment(table, segment, tag);
        else
            digest_table_split_segment(table, segment, tag);
        segment = table->directory[digest_table_index(table, tag)];
    }
    digest_segment_put(segment, (struct digest_slot){ .record = record, .tag = tag });
    table->count++;
}

unsigned digest_table_find(const struct digest_table *table, uint32_t tag, uint32_t *records, unsigned max)
{
    unsigned found = 0;

    if (table->directory == NULL)
        return 0;
    const struct digest_segment *segment = table->directory[digest_table_index(table, tag)];
    uint32_t at = digest_segment_home(segment, tag);
    while (segment->slots[at].record != 0 && found < max) {
        if (segment->slots[at].tag == tag)
            records[found++] = segment->slots[at].record;
        at = at + 1 == segment->capacity ? 0 : at + 1;
    }
    return found;
}

void digest_table_warm(const struct digest_table *table, const uint32_t *tags, unsigned count)
{
    if (table->directory == NULL)
        return;
    for (unsigned i = 0; i < count; i++)
        __builtin_prefetch(table->directory[digest_table_index(table, tags[i])]);
    for (unsigned i = 0; i < count; i++) {
        const struct digest_segment *segment = table->directory[digest_table_index(table, tags[i])];

        __builtin_prefetch(&segment->slots[digest_segment_home(segment, tags[i])]);
    }
}

/* How far at lies behind from, going round. */
static uint32_t digest_segment_distance(const struct digest_segment *segment, uint32_t from, uint32_t at)
{
    return at >= from ? at - from : at + segment->capacity - from;
}

/* Moves later slots of the chain back over the hole, so that no search ends early. */
static void digest_segment_close_hole(struct digest_segment *segment, uint32_t hole)
{
    uint32_t at = hole;

    for (;;) {
        at = at + 1 == segment->capacity ? 0 : at + 1;
        if (segment->slots[at].record == 0)
            break;
        uint32_t home = digest_segment_home(segment, segment->slots[at].tag);
        if (digest_segment_distance(segment, home, at) >= digest_segment_distance(segment, hole, at)) {
            segment->slots[hole] = segment->slots[at];
            hole = at;
        }
    }
    segment->slots[hole] = (struct digest_slot){ 0 };
}

/* Where the record is, or the empty slot behind which it can't be. */
static uint32_t digest_segment_find(const struct digest_segment *segment, uint32_t tag, uint32_t record)
{
    uint32_t at = digest_segment_home(segment, tag);

    while (segment->slots[at].record != 0 && segment->slots[at].record != record)
        at = at + 1 == segment->capacity ? 0 : at + 1;
    return at;
}

bool digest_table_has(const struct digest_table *table, uint32_t tag, uint32_t record)
{
    if (table->directory == NULL)
        return false;
    const struct digest_segment *segment = table->directory[digest_table_index(table, tag)];
    return segment->slots[digest_segment_find(segment, tag, record)].record != 0;
}

bool digest_table_remove(struct digest_table *table, uint32_t tag, uint32_t record)
{
    if (table->directory == NULL)
        return false;
    struct digest_segment *segment = table->directory[digest_table_index(table, tag)];
    uint32_t at = digest_segment_find(segment, tag, record);
    if (segment->slots[at].record == 0)
        return false;
    digest_segment_close_hole(segment, at);
    segment->count--;
    table->count--;
    return true;
}

size_t digest_table_memory(const struct digest_table *table)
{
    size_t size = table->directory != NULL ? (size_t)1 << table->depth : 0;
    size_t bytes = size * sizeof *table->directory;

    for (size_t i = 0; i < size; i++)
        if (i + 1 == size || table->directory[i] != table->directory[i + 1])
            bytes += sizeof(struct digest_segment) +
                     table->directory[i]->capacity * sizeof(struct digest_slot);
    return bytes;
}
