/* grib_head.c: the sections of a message, its base_time, and the header bytes of each field without the values. */
#include "proto/grib_head.h"

#include "proto/grib_frame.h"
#include "proto/run.h"

#include <assert.h>
#include <inttypes.h>

enum {
    TRAILER_SIZE = 4,
    SECTION_HEAD_SIZE = 5, /* edition 2: length and number */
    LENGTH_SIZE = 3,       /* edition 1 */
    EDITION1_SECTION0_SIZE = 8,
    EDITION1_SECTION1_MIN = 28,
    EDITION1_SECTION2_MIN = 6,
    EDITION1_VALUES_HEAD = 11, /* of section 4 */
    EDITION2_SECTION0_SIZE = 16,
    EDITION2_BITMAP_HEAD = 6, /* of section 6 */
    HAS_SECTION2 = 0x80,
    HAS_SECTION3 = 0x40,
};

/* Edition 2: the smallest that sections 1 to 7 can be. */
static const uint8_t section_size_min[8] = { 0, 21, 5, 14, 9, 11, EDITION2_BITMAP_HEAD, 5 };

/* ---- reference time ---- */

enum status grib_base_time(const uint8_t *data, size_t size, int64_t *base_time, struct error *err)
{
    enum {
        EDITION1_NEEDS = EDITION1_SECTION0_SIZE + 25,
        EDITION2_NEEDS = EDITION2_SECTION0_SIZE + 19
    };
    int year, month, day, hour, minute, second = 0;

    if (size < EDITION1_SECTION0_SIZE || memcmp(data, "GRIB", 4) != 0)
        return error_set(err, STATUS_BAD_GRIB, "it does not begin with GRIB");
    if (data[7] == 2 && size >= EDITION2_NEEDS && data[EDITION2_SECTION0_SIZE + 4] == 1) {
        const uint8_t *date = data + EDITION2_SECTION0_SIZE + 12;
        year = get_u16(date);
        month = date[2], day = date[3], hour = date[4], minute = date[5], second = date[6];
    } else if (data[7] == 1 && size >= EDITION1_NEEDS) {
        const uint8_t *date = data + EDITION1_SECTION0_SIZE + 12;
        year = (data[EDITION1_SECTION0_SIZE + 24] - 1) * 100 + date[0];
        month = date[1], day = date[2], hour = date[3], minute = date[4];
    } else {
        return error_set(err, STATUS_BAD_GRIB, "no section 1 with a reference date");
    }
    if (!base_time_from_calendar(year, month, day, hour, minute, second, base_time))
        return error_set(err, STATUS_BAD_DATE,
                         "reference date %04d-%02d-%02dT%02d:%02d:%02d does not exist", year, month,
                         day, hour, minute, second);
    return STATUS_OK;
}

/* ---- where bytes come from ---- */

static enum status grib_memory_read(struct grib_source *source, uint64_t offset, void *data,
                                    size_t size, struct error *err)
{
    struct grib_memory *memory = container_of(source, struct grib_memory, source);

    if (offset > source->size || size > source->size - offset)
        return error_set(err, STATUS_BAD_GRIB, "%zu bytes at %" PRIu64 " lie behind the message",
                         size, offset);
    if (size > 0)
        memcpy(data, memory->data + offset, size);
    return STATUS_OK;
}

void grib_memory_init(struct grib_memory *memory, const void *data, size_t size)
{
    *memory = (struct grib_memory){ .source = { .size = size, .read = grib_memory_read }, .data = data };
}

/* ---- heads of a message ---- */

/* A walk over the sections of one message, which appends a head for each field it meets. */
struct head_walk {
    struct grib_source *source; /* borrowed */
    struct buf *heads;          /* borrowed */
    struct error *err;
    size_t count_at; /* in heads: where the count of fields stands */
    size_t head_at;  /* in heads: where the head under way begins, behind its length */
    uint64_t offset; /* in the message: of the section under way */
    size_t ends[7];  /* in the head under way: where each of its sections ends */
    unsigned fields;
    unsigned last;                   /* edition 2: number of the section before */
    uint8_t next[SECTION_HEAD_SIZE]; /* edition 2: length and number of the section at offset */
};

static enum status walk_bad(struct head_walk *walk, const char *what, uint64_t number)
{
    error_set(walk->err, STATUS_BAD_GRIB, "%s %" PRIu64 " at byte %" PRIu64, what, number, walk->offset);
    return STATUS_BAD_GRIB;
}

static enum status walk_read(struct head_walk *walk, uint64_t offset, void *data, size_t size)
{
    if (offset > walk->source->size || size > walk->source->size - offset)
        return walk_bad(walk, "the message ends too early for", size);
    return walk->source->read(walk->source, offset, data, size, walk->err);
}

static enum status walk_failed_buf(struct head_walk *walk)
{
    return error_set(walk->err, buf_status(walk->heads), "no room for the heads");
}

static size_t walk_head_size(const struct head_walk *walk)
{
    return walk->heads->size - walk->head_at;
}

static void walk_begin_head(struct head_walk *walk)
{
    buf_u32(walk->heads, 0);
    walk->head_at = walk->heads->size;
}

static enum status walk_end_head(struct head_walk *walk)
{
    if (buf_status(walk->heads) != STATUS_OK)
        return walk_failed_buf(walk);
    if (walk->fields == GRIB_FIELDS_MAX)
        return error_set(walk->err, STATUS_BAD_GRIB, "more than %d fields", GRIB_FIELDS_MAX);
    walk->fields++;
    put_u32(walk->heads->data + walk->head_at - 4, (uint32_t)walk_head_size(walk));
    return STATUS_OK;
}

/* Take a stretch of the message into the head, and with it `more` bytes that follow into next. */
static enum status walk_take(struct head_walk *walk, uint64_t offset, uint64_t size, size_t more)
{
    if (size + walk_head_size(walk) > GRIB_FIELD_HEAD_SIZE_MAX)
        return walk_bad(walk, "the head is too large with octets:", size);
    uint8_t *room = buf_reserve(walk->heads, (size_t)size + more);
    if (room == NULL)
        return walk_failed_buf(walk);
    enum status status = walk_read(walk, offset, room, (size_t)size + more);
    if (status != STATUS_OK)
        return status;
    memcpy(walk->next, room + size, more);
    walk->heads->size += (size_t)size;
    return STATUS_OK;
}

/* ---- edition 2 ---- */

/* What may come after section `last`: 1 to 7 in order, 2 optional; after a field again from 2, 3 or 4 on. */
static bool walk_may_follow(unsigned last, unsigned number)
{
    if (last == 7)
        return number >= 2 && number <= 4;
    return number == last + 1 || (last == 1 && number == 3);
}

/* The section whose length and number are in next: does it fit? */
static enum status walk_check2(struct head_walk *walk, uint64_t *size)
{
    unsigned number = walk->next[4];

    *size = get_u32(walk->next);
    if (number > 7 || !walk_may_follow(walk->last, number))
        return walk_bad(walk, "out of order: section", number);
    if (*size < section_size_min[number])
        return walk_bad(walk, "too short: section", number);
    if (*size > walk->source->size - TRAILER_SIZE - walk->offset)
        return walk_bad(walk, "longer than the message: section", number);
    return STATUS_OK;
}

/* A further field of the message: the sections before `number` are those of the field before. */
static enum status walk_repeat2(struct head_walk *walk, unsigned number)
{
    size_t old = walk->head_at;
    size_t size = walk->ends[number - 1];

    walk_begin_head(walk);
    uint8_t *room = buf_reserve(walk->heads, size);
    if (room == NULL)
        return walk_failed_buf(walk);
    memcpy(room, walk->heads->data + old, size);
    walk->heads->size += size;
    return STATUS_OK;
}

/* Sections 1 to 5 go into the head whole. There is always one behind them. */
static enum status walk_header2(struct head_walk *walk, unsigned number, uint64_t size)
{
    if (walk->last == 7) {
        enum status status = walk_repeat2(walk, number);
        if (status != STATUS_OK)
            return status;
    }
    buf_append(walk->heads, walk->next, SECTION_HEAD_SIZE);
    enum status status = walk_take(walk, walk->offset + SECTION_HEAD_SIZE, size - SECTION_HEAD_SIZE,
                                   SECTION_HEAD_SIZE);
    if (number == 1)
        walk->ends[2] = walk_head_size(walk);
    walk->ends[number] = walk_head_size(walk);
    return status;
}

static enum status walk_bitmap2(struct head_walk *walk, uint64_t size)
{
    buf_append(walk->heads, walk->next, SECTION_HEAD_SIZE);
    enum status status = walk_take(walk, walk->offset + SECTION_HEAD_SIZE, 1, 0);
    if (status == STATUS_OK)
        status = walk_end_head(walk);
    if (status == STATUS_OK)
        status = walk_read(walk, walk->offset + size, walk->next, SECTION_HEAD_SIZE);
    return status;
}

/* Behind section 7: the trailer, or a section more. *over says which. */
static enum status walk_values2(struct head_walk *walk, uint64_t size, bool *over)
{
    uint64_t end = walk->offset + size;

    *over = end == walk->source->size - TRAILER_SIZE;
    enum status status = walk_read(walk, end, walk->next, *over ? TRAILER_SIZE : SECTION_HEAD_SIZE);
    if (status == STATUS_OK && *over && memcmp(walk->next, "7777", TRAILER_SIZE) != 0)
        return error_set(walk->err, STATUS_BAD_GRIB, "no 7777 at its end");
    return status;
}

static enum status walk_edition2(struct head_walk *walk)
{
    bool over = false;

    walk_begin_head(walk);
    enum status status = walk_take(walk, 0, EDITION2_SECTION0_SIZE, SECTION_HEAD_SIZE);
    if (status != STATUS_OK)
        return status;
    uint64_t total = get_u64(walk->heads->data + walk->head_at + 8);
    if (total != walk->source->size)
        return error_set(walk->err, STATUS_BAD_GRIB, "section 0 says %" PRIu64 " bytes and not %" PRIu64,
                         total, walk->source->size);
    walk->ends[0] = EDITION2_SECTION0_SIZE;
    walk->offset = EDITION2_SECTION0_SIZE;
    while (status == STATUS_OK && !over) {
        uint64_t size;
        unsigned number = walk->next[4];

        status = walk_check2(walk, &size);
        if (status == STATUS_OK && number <= 5)
            status = walk_header2(walk, number, size);
        else if (status == STATUS_OK && number == 6)
            status = walk_bitmap2(walk, size);
        else if (status == STATUS_OK)
            status = walk_values2(walk, size, &over);
        walk->offset += size;
        walk->last = number;
    }
    return status;
}

/* ---- edition 1 ---- */

/* The length of the section at offset, which has to have at least size_min octets and leave room for the trailer. */
static enum status walk_length1(struct head_walk *walk, unsigned number, uint32_t size_min, uint32_t *size)
{
    uint8_t length[LENGTH_SIZE];

    enum status status = walk_read(walk, walk->offset, length, sizeof length);
    if (status != STATUS_OK)
        return status;
    *size = get_u24(length);
    if (*size < size_min)
        return walk_bad(walk, "too short: section", number);
    if (*size > walk->source->size - TRAILER_SIZE - walk->offset)
        return walk_bad(walk, "longer than the message: section", number);
    return STATUS_OK;
}

/* Section 0, 24 bits, has to agree with the size by the rule of FORMATS.md section 1. */
static bool walk_agrees1(uint32_t length, uint32_t section4, uint64_t size)
{
    if ((length & 0x800000) != 0 && section4 < 120)
        return (uint64_t)(length & 0x7fffff) * 120 + TRAILER_SIZE == size + section4;
    return length == size;
}

static enum status walk_section4(struct head_walk *walk, uint32_t length)
{
    uint8_t trailer[TRAILER_SIZE];
    uint32_t section4;
    uint64_t size = walk->source->size;

    enum status status = walk_length1(walk, 4, 0, &section4);
    if (status == STATUS_OK && walk->offset + EDITION1_VALUES_HEAD + TRAILER_SIZE > size)
        return walk_bad(walk, "too short: section", 4);
    if (status == STATUS_OK)
        status = walk_take(walk, walk->offset, EDITION1_VALUES_HEAD, 0);
    if (status == STATUS_OK && !walk_agrees1(length, section4, size))
        return error_set(walk->err, STATUS_BAD_GRIB, "section 0 does not say %" PRIu64 " bytes", size);
    if (status == STATUS_OK)
        status = walk_read(walk, size - TRAILER_SIZE, trailer, sizeof trailer);
    if (status == STATUS_OK && memcmp(trailer, "7777", sizeof trailer) != 0)
        return error_set(walk->err, STATUS_BAD_GRIB, "no 7777 at its end");
    return status;
}

static enum status walk_edition1(struct head_walk *walk)
{
    uint32_t size = 0;
    uint8_t start[EDITION1_SECTION0_SIZE + 8]; /* section 0, and section 1 up to its flags */

    walk_begin_head(walk);
    enum status status = walk_read(walk, 0, start, sizeof start);
    walk->offset = EDITION1_SECTION0_SIZE;
    if (status == STATUS_OK)
        status = walk_length1(walk, 1, EDITION1_SECTION1_MIN, &size);
    if (status == STATUS_OK)
        status = walk_take(walk, 0, EDITION1_SECTION0_SIZE + (uint64_t)size, 0);
    walk->offset += size;
    if (status == STATUS_OK && (start[15] & HAS_SECTION2) != 0) {
        status = walk_length1(walk, 2, EDITION1_SECTION2_MIN, &size);
        if (status == STATUS_OK)
            status = walk_take(walk, walk->offset, size, 0);
        walk->offset += size;
    }
    if (status == STATUS_OK && (start[15] & HAS_SECTION3) != 0) {
        status = walk_length1(walk, 3, LENGTH_SIZE, &size);
        walk->offset += size;
    }
    if (status == STATUS_OK)
        status = walk_section4(walk, get_u24(start + 4));
    return status == STATUS_OK ? walk_end_head(walk) : status;
}

enum status grib_heads(struct grib_source *source, struct buf *heads, struct error *err)
{
    struct head_walk walk = { .source = source, .heads = heads, .err = err, .count_at = heads->size };
    uint8_t start[8];

    if (buf_status(heads) != STATUS_OK)
        return walk_failed_buf(&walk);
    if (source->size < EDITION2_SECTION0_SIZE + SECTION_HEAD_SIZE + TRAILER_SIZE)
        return error_set(err, STATUS_BAD_GRIB, "a message of %" PRIu64 " bytes", source->size);
    enum status status = walk_read(&walk, 0, start, sizeof start);
    if (status == STATUS_OK && memcmp(start, "GRIB", 4) != 0)
        status = error_set(err, STATUS_BAD_GRIB, "it does not begin with GRIB");
    if (status == STATUS_OK) {
        buf_u16(heads, 0);
        if (start[7] == 1)
            status = walk_edition1(&walk);
        else if (start[7] == 2)
            status = walk_edition2(&walk);
        else
            status = error_set(err, STATUS_BAD_GRIB, "edition %u is not supported (1 and 2 are)",
                               start[7]);
    }
    if (status == STATUS_OK) {
        put_u16(heads->data + walk.count_at, (uint16_t)walk.fields);
        return STATUS_OK;
    }
    /* The buffer is as it was, and not failed: the caller has others to append to it. */
    heads->size = walk.count_at;
    heads->status = STATUS_OK;
    return status;
}

/* ---- a head ---- */

/* Cut the next section of `size` octets off the head. */
static bool head_cut(struct grib_head *head, unsigned number, struct slice *rest, uint64_t size)
{
    if (size > rest->size)
        return false;
    head->section[number] = slice_of(rest->data, (size_t)size);
    *rest = slice_of(rest->data + size, rest->size - (size_t)size);
    return true;
}

static bool head_parse1(struct grib_head *head, struct slice rest)
{
    if (!head_cut(head, 0, &rest, EDITION1_SECTION0_SIZE) || rest.size < EDITION1_SECTION1_MIN)
        return false;
    uint8_t flags = rest.data[7];
    if (get_u24(rest.data) < EDITION1_SECTION1_MIN || !head_cut(head, 1, &rest, get_u24(rest.data)))
        return false;
    if ((flags & HAS_SECTION2) != 0) {
        if (rest.size < LENGTH_SIZE || get_u24(rest.data) < EDITION1_SECTION2_MIN ||
            !head_cut(head, 2, &rest, get_u24(rest.data)))
            return false;
    }
    return rest.size == EDITION1_VALUES_HEAD && head_cut(head, 4, &rest, rest.size);
}

static bool head_parse2(struct grib_head *head, struct slice rest)
{
    unsigned last = 0;

    if (!head_cut(head, 0, &rest, EDITION2_SECTION0_SIZE))
        return false;
    while (last < 5) {
        if (rest.size < SECTION_HEAD_SIZE)
            return false;
        uint32_t size = get_u32(rest.data);
        unsigned number = rest.data[4];
        if (number > 5 || !walk_may_follow(last, number) || size < section_size_min[number] ||
            !head_cut(head, number, &rest, size))
            return false;
        last = number;
    }
    return rest.size == EDITION2_BITMAP_HEAD && rest.data[4] == 6 && head_cut(head, 6, &rest, rest.size);
}

enum status grib_head_parse(const uint8_t *data, size_t size, struct grib_head *head, struct error *err)
{
    bool fits = false;

    *head = (struct grib_head){ .edition = 0 };
    if (size < EDITION1_SECTION0_SIZE || size > GRIB_FIELD_HEAD_SIZE_MAX || memcmp(data, "GRIB", 4) != 0)
        return error_set(err, STATUS_BAD_GRIB, "these %zu bytes are no head", size);
    head->edition = data[7];
    if (head->edition == 1)
        fits = head_parse1(head, slice_of(data, size));
    else if (head->edition == 2)
        fits = head_parse2(head, slice_of(data, size));
    if (!fits)
        return error_set(err, STATUS_BAD_GRIB,
                         "the sections of a head of edition %u do not fit each other", data[7]);
    return STATUS_OK;
}

static void identity_take(struct digest_stream *stream, struct slice section, size_t from, size_t to)
{
    assert(from <= to && to <= section.size);
    digest_stream_update(stream, section.data + from, to - from);
}

void grib_head_identity(const struct grib_head *head, uint8_t identity[GRIB_IDENTITY_SIZE])
{
    struct digest_stream *stream = digest_stream_new();
    struct digest digest;
    const struct slice *section = head->section;

    assert(head->edition == 1 || head->edition == 2);
    if (head->edition == 2) {
        digest_stream_update(stream, "2", 1);
        identity_take(stream, section[0], 6, 7);
        for (unsigned number = 1; number <= 4; number++) {
            if (section[number].size > 0)
                identity_take(stream, section[number], 0, section[number].size);
        }
    } else {
        digest_stream_update(stream, "1", 1);
        identity_take(stream, section[1], 3, 7);
        identity_take(stream, section[1], 8, 26);
        identity_take(stream, section[1], 28, section[1].size);
        if (section[2].size > 0)
            identity_take(stream, section[2], 0, section[2].size);
    }
    digest_stream_final(stream, &digest);
    digest_stream_free(stream);
    memcpy(identity, digest.bytes, GRIB_IDENTITY_SIZE);
}
