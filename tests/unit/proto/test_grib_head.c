/* test_grib_head.c: for proto/grib_head.c, and with real files for grib_scan.c and digest.c too.
 *
 * Real files: GRIBSTORE_TEST_GRIB, by default ../shared/grib beside the project, with FIELDS.tsv, an oracle for every field
 * that was computed apart from this code. Skipped when they are not there. */
#include "proto/grib_head.h"

#include "proto/grib_scan.h"
#include "proto/run.h"
#include "tests/lib/real_files.h"
#include "tests/unit/proto/cmocka_all.h"
#include "tests/unit/proto/grib_bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { HEADS_MAX = 8 << 20 };

static enum status heads_of(const struct buf *message, struct buf *heads, struct error *err)
{
    struct grib_memory memory;

    grib_memory_init(&memory, message->data, message->size);
    error_init(err);
    return grib_heads(&memory.source, heads, err);
}

/* ---- reference times ---- */

static void base_times_of_both_editions_are_read(void **state)
{
    (void)state;
    static const struct {
        int edition;
        uint8_t date[8];  /* edition 1: century first */
        const char *text; /* NULL: does not exist */
    } cases[] = {
        { 2, { 2013 >> 8, 2013 & 255, 4, 8, 0, 0, 0 }, "20130408T0000Z" },
        { 2, { 2013 >> 8, 2013 & 255, 4, 8, 0, 0, 30 }, "20130408T000030Z" },
        { 2, { 9999 >> 8, 9999 & 255, 12, 31, 23, 59, 59 }, "99991231T235959Z" },
        { 2, { 2023 >> 8, 2023 & 255, 2, 30, 0, 0, 0 }, NULL },
        { 2, { 0, 0, 1, 1, 0, 0, 0 }, NULL },
        { 2, { 2013 >> 8, 2013 & 255, 4, 8, 24, 0, 0 }, NULL },
        { 2, { 2013 >> 8, 2013 & 255, 4, 8, 0, 60, 0 }, NULL },
        { 2, { 255, 255, 255, 255, 255, 255, 255 }, NULL },
        { 1, { 21, 13, 4, 8, 12, 30 }, "20130408T1230Z" },
        { 1, { 20, 100, 2, 29, 0, 0 }, "20000229T0000Z" }, /* the hundredth year of a century */
        { 1, { 21, 0, 2, 29, 0, 0 }, "20000229T0000Z" },   /* is this to some writers */
        { 1, { 20, 99, 12, 31, 23, 59 }, "19991231T2359Z" },
        { 1, { 19, 100, 2, 29, 0, 0 }, NULL }, /* 1900 was no leap year */
        { 1, { 21, 13, 13, 1, 0, 0 }, NULL },
        { 1, { 0, 13, 1, 1, 0, 0 }, NULL },
        { 1, { 255, 255, 255, 255, 255, 255 }, NULL },
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct buf message;
        struct error err;
        int64_t base_time;
        char text[BASE_TIME_TEXT_SIZE];
        buf_init(&message, HEADS_MAX);
        if (cases[i].edition == 2) {
            grib2_message(&message, 5);
            memcpy(message.data + 16 + 12, cases[i].date, 7);
        } else {
            grib1_small(&message);
            memcpy(message.data + 8 + 12, cases[i].date + 1, 5);
            message.data[8 + 24] = cases[i].date[0];
        }
        enum status status = grib_base_time(message.data, GRIB_BASE_TIME_PREFIX, &base_time, &err);
        assert_int_equal(status, cases[i].text != NULL ? STATUS_OK : STATUS_BAD_DATE);
        if (cases[i].text != NULL) {
            base_time_print(base_time, text);
            assert_string_equal(text, cases[i].text);
        }
        buf_fini(&message);
    }
}

static void a_date_that_does_not_exist_is_shown(void **state)
{
    (void)state;
    struct buf message;
    struct error err;
    int64_t base_time;

    buf_init(&message, HEADS_MAX);
    grib2_message(&message, 5);
    memcpy(message.data + 16 + 12, (const uint8_t[]){ 2023 >> 8, 2023 & 255, 2, 30, 0, 0, 0 }, 7);
    assert_int_equal(grib_base_time(message.data, message.size, &base_time, &err), STATUS_BAD_DATE);
    assert_string_equal(err.text, "reference date 2023-02-30T00:00:00 does not exist");
    for (size_t size = 0; size < 16 + 19; size++)
        assert_int_equal(grib_base_time(message.data, size, &base_time, &err), STATUS_BAD_GRIB);
    message.data[16 + 4] = 3; /* not section 1 */
    assert_int_equal(grib_base_time(message.data, message.size, &base_time, &err), STATUS_BAD_GRIB);
    buf_clear(&message);
    grib1_small(&message);
    for (size_t size = 0; size < 8 + 25; size++)
        assert_int_equal(grib_base_time(message.data, size, &base_time, &err), STATUS_BAD_GRIB);
    assert_int_equal(grib_base_time(message.data, 8 + 25, &base_time, &err), STATUS_OK);
    buf_fini(&message);
}

/* ---- heads ---- */

/* What a head has to be: the sections with these numbers, taken from these places in the message. */
struct place {
    size_t offset, size;
};

/* Appends sections to a message and remembers where they are. */
static struct place add_section(struct buf *message, uint8_t number, uint32_t size)
{
    struct place place = { message->size, number == 6 ? 6 : size };

    grib2_section(message, number, size);
    message->data[place.offset + place.size - 1] ^= (uint8_t)message->size; /* no two alike */
    return place;
}

static void assert_next_head(const struct buf *heads, size_t *at, const struct buf *message,
                             const struct place *places, size_t count)
{
    uint32_t size = get_u32(heads->data + *at);
    size_t done = 0;

    *at += 4;
    assert_true(*at + size <= heads->size);
    for (size_t i = 0; i < count; i++) {
        if (places[i].size == 0)
            continue;
        assert_memory_equal(heads->data + *at + done, message->data + places[i].offset, places[i].size);
        done += places[i].size;
    }
    assert_int_equal(done, size);
    *at += size;
}

/* Repeats from sections 2, 3 and 4, with and without a section 2 in effect. */
static void each_field_has_the_sections_in_effect(void **state)
{
    (void)state;
    for (int local = 0; local <= 1; local++) {
        struct buf message, heads;
        struct error err;
        struct place in[7] = { { 0, 16 } }, first[7], second[7], third[7], fourth[7];
        size_t at = 2;

        buf_init(&message, HEADS_MAX);
        buf_init(&heads, HEADS_MAX);
        grib2_begin(&message, 10);
        in[1] = add_section(&message, 1, 21);
        if (local == 1)
            in[2] = add_section(&message, 2, 17);
        in[3] = add_section(&message, 3, 72);
        in[4] = add_section(&message, 4, 34);
        in[5] = add_section(&message, 5, 21);
        in[6] = add_section(&message, 6, 300);
        memcpy(first, in, sizeof in);
        grib2_section(&message, 7, 50);
        in[4] = add_section(&message, 4, 58);
        in[5] = add_section(&message, 5, 23);
        in[6] = add_section(&message, 6, 6);
        memcpy(second, in, sizeof in);
        grib2_section(&message, 7, 5);
        in[3] = add_section(&message, 3, 81);
        in[4] = add_section(&message, 4, 34);
        in[5] = add_section(&message, 5, 21);
        in[6] = add_section(&message, 6, 7);
        memcpy(third, in, sizeof in);
        grib2_section(&message, 7, 9);
        in[2] = add_section(&message, 2, 6);
        in[3] = add_section(&message, 3, 72);
        in[4] = add_section(&message, 4, 34);
        in[5] = add_section(&message, 5, 21);
        in[6] = add_section(&message, 6, 6);
        memcpy(fourth, in, sizeof in);
        grib2_section(&message, 7, 1000);
        grib2_end(&message, 0);

        assert_int_equal(heads_of(&message, &heads, &err), STATUS_OK);
        assert_int_equal(get_u16(heads.data), 4);
        assert_next_head(&heads, &at, &message, first, 7);
        assert_next_head(&heads, &at, &message, second, 7);
        assert_next_head(&heads, &at, &message, third, 7);
        assert_next_head(&heads, &at, &message, fourth, 7);
        assert_int_equal(at, heads.size);
        buf_fini(&message);
        buf_fini(&heads);
    }
}

static void edition_1_gives_one_head_with_or_without_section_2(void **state)
{
    (void)state;
    static const uint32_t cases[][4] = {
        { 28, 0, 0, 60 }, { 52, 32, 0, 60 }, { 28, 0, 40, 60 }, { 52, 178, 40, 60 }
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct buf message, heads;
        struct error err;
        const uint32_t *section = cases[i];
        uint32_t size = 8 + section[0] + section[1] + section[2] + section[3] + 4;
        size_t at = 2;
        struct place places[] = { { 0, 8 + section[0] + section[1] },
                                  { 8 + section[0] + section[1] + section[2], 11 } };
        buf_init(&message, HEADS_MAX);
        buf_init(&heads, HEADS_MAX);
        grib1_message(&message, section, size, section[3], size);
        assert_int_equal(heads_of(&message, &heads, &err), STATUS_OK);
        assert_int_equal(get_u16(heads.data), 1);
        assert_next_head(&heads, &at, &message, places, 2);
        assert_int_equal(at, heads.size);
        buf_fini(&message);
        buf_fini(&heads);
    }
}

/* The extended length: section 4 says 64 and is nearly all of the message. */
static void edition_1_may_be_longer_than_24_bits_say(void **state)
{
    (void)state;
    const uint32_t sections[4] = { 52, 32, 0, 0 };
    struct buf message, heads;
    struct error err;

    buf_init(&message, 32 << 20);
    buf_init(&heads, HEADS_MAX);
    grib1_message(&message, sections, 0x800000 + 80000, 64, 80000 * 120 - 64 + 4);
    assert_int_equal(heads_of(&message, &heads, &err), STATUS_OK);
    assert_int_equal(heads.size, 2 + 4 + 8 + 52 + 32 + 11);
    message.data[6]++; /* another length than there is */
    assert_int_equal(heads_of(&message, &heads, &err), STATUS_BAD_GRIB);
    buf_fini(&message);
    buf_fini(&heads);
}

/* A source that counts what is read, and fails the test when that are values. */
struct guarded {
    struct grib_source source;
    const struct buf *message;
    uint64_t from, to; /* the values */
    unsigned reads;
};

static enum status guarded_read(struct grib_source *source, uint64_t offset, void *data,
                                size_t size, struct error *err)
{
    struct guarded *guarded = container_of(source, struct guarded, source);

    (void)err;
    assert_true(offset + size <= guarded->from || offset >= guarded->to);
    assert_true(offset + size <= guarded->message->size);
    memcpy(data, guarded->message->data + offset, size);
    guarded->reads++;
    return STATUS_OK;
}

static void values_are_never_read(void **state)
{
    (void)state;
    for (int edition = 1; edition <= 2; edition++) {
        struct buf message, heads;
        buf_init(&message, HEADS_MAX);
        buf_init(&heads, HEADS_MAX);
        struct guarded guarded = { .source = { .read = guarded_read }, .message = &message };
        if (edition == 1) {
            grib1_small(&message);
            guarded.from = 8 + 52 + 32 + 11;
        } else {
            grib2_message(&message, 5000);
            guarded.from = message.size - 4 - 5000 + 5;
        }
        guarded.source.size = message.size;
        guarded.to = message.size - 4;
        assert_int_equal(grib_heads(&guarded.source, &heads, NULL), STATUS_OK);
        assert_true(guarded.reads <= 10);
        buf_fini(&message);
        buf_fini(&heads);
    }
}

/* A source whose n-th read fails. */
struct failing {
    struct grib_memory memory;
    enum status (*read)(struct grib_source *source, uint64_t offset, void *data, size_t size,
                        struct error *err);
    unsigned reads_left;
};

static enum status failing_read(struct grib_source *source, uint64_t offset, void *data,
                                size_t size, struct error *err)
{
    struct failing *failing = container_of(source, struct failing, memory.source);

    if (failing->reads_left == 0)
        return error_set(err, STATUS_IO, "the disk says no");
    failing->reads_left--;
    return failing->read(source, offset, data, size, err);
}

static void a_failed_read_leaves_the_buffer_as_it_was(void **state)
{
    (void)state;
    for (int edition = 1; edition <= 2; edition++) {
        struct buf message, heads;
        enum status status = STATUS_IO;
        unsigned n = 0;
        buf_init(&message, HEADS_MAX);
        buf_init(&heads, HEADS_MAX);
        buf_text(&heads, "before");
        if (edition == 1)
            grib1_small(&message);
        else
            grib2_message(&message, 5000);
        for (; status != STATUS_OK; n++) {
            struct failing failing = { .reads_left = n };
            grib_memory_init(&failing.memory, message.data, message.size);
            failing.read = failing.memory.source.read;
            failing.memory.source.read = failing_read;
            status = grib_heads(&failing.memory.source, &heads, NULL);
            assert_int_equal(buf_status(&heads), STATUS_OK);
            assert_int_equal(heads.size > 6, status == STATUS_OK);
            assert_memory_equal(heads.data, "before", 6);
            assert_true(status == STATUS_OK || status == STATUS_IO);
        }
        assert_in_range(n, 5, 11);
        buf_fini(&message);
        buf_fini(&heads);
    }
}

static void heads_that_find_no_room_leave_the_buffer_as_it_was(void **state)
{
    (void)state;
    struct buf message, heads;
    struct error err;

    buf_init(&message, HEADS_MAX);
    grib2_message(&message, 50);
    size_t whole = 2 + 4 + 16 + 21 + 72 + 34 + 21 + 6;
    for (size_t size_max = 3; size_max < 3 + whole + 6; size_max++) {
        buf_init(&heads, size_max);
        buf_text(&heads, "abc");
        enum status status = heads_of(&message, &heads, &err);
        assert_true(status == STATUS_OK || status == STATUS_TOO_LARGE);
        if (size_max < 3 + whole)
            assert_int_equal(status, STATUS_TOO_LARGE);
        assert_int_equal(heads.size, status == STATUS_OK ? 3 + whole : 3);
        assert_int_equal(buf_status(&heads), STATUS_OK);
        assert_memory_equal(heads.data, "abc", 3);
        buf_fini(&heads);
    }
    buf_fini(&message);
}

static void a_head_is_at_most_a_mebibyte(void **state)
{
    (void)state;
    const uint32_t most = GRIB_FIELD_HEAD_SIZE_MAX - 16 - 21 - 34 - 21 - 6;

    for (uint32_t more = 0; more <= 6; more++) {
        struct buf message, heads;
        struct error err;
        buf_init(&message, HEADS_MAX);
        buf_init(&heads, HEADS_MAX);
        grib2_begin(&message, 0);
        grib2_section(&message, 1, 21);
        grib2_section(&message, 3, most + more);
        grib2_section(&message, 4, 34);
        grib2_section(&message, 5, 21);
        grib2_section(&message, 6, 6);
        grib2_section(&message, 7, 5);
        grib2_end(&message, 0);
        assert_int_equal(heads_of(&message, &heads, &err), more == 0 ? STATUS_OK : STATUS_BAD_GRIB);
        buf_fini(&message);
        buf_fini(&heads);
    }
}

static void the_number_of_fields_is_limited(void **state)
{
    (void)state;
    for (unsigned more = 0; more <= 1; more++) {
        struct buf message, heads;
        struct error err;
        buf_init(&message, 32 << 20);
        buf_init(&heads, 32 << 20);
        grib2_begin(&message, 0);
        grib2_section(&message, 1, 21);
        grib2_section(&message, 3, 14);
        for (unsigned field = 0; field < GRIB_FIELDS_MAX + more; field++) {
            grib2_section(&message, 4, 9);
            grib2_section(&message, 5, 11);
            grib2_section(&message, 6, 6);
            grib2_section(&message, 7, 5);
        }
        grib2_end(&message, 0);
        assert_int_equal(heads_of(&message, &heads, &err), more == 0 ? STATUS_OK : STATUS_BAD_GRIB);
        if (more == 0)
            assert_int_equal(get_u16(heads.data), GRIB_FIELDS_MAX);
        buf_fini(&message);
        buf_fini(&heads);
    }
}

/* Orders of sections that are none. */
static void sections_out_of_order_are_refused(void **state)
{
    (void)state;
    static const char *const orders[] = {
        "134567",     "1234567",
        "1345674567", "12345672345673456745678", /* the first three are right */
        "34567",      "14567",
        "13567",      "13467",
        "13457",      "1345",
        "13456",      "1",
        "1134567",    "13456777",
        "1345675",    "134567134567",
        "1345676",    "0134567",
        "1345678",    "1334567",
        "12234567",   "1345672",
        "134567234",  "1345674566",
    };

    for (size_t i = 0; i < ARRAY_COUNT(orders); i++) {
        struct buf message, heads;
        struct error err;
        buf_init(&message, HEADS_MAX);
        buf_init(&heads, HEADS_MAX);
        grib2_begin(&message, 0);
        for (const char *at = orders[i]; *at != '\0'; at++)
            grib2_section(&message, (uint8_t)(*at - '0'), 34);
        grib2_end(&message, 0);
        assert_int_equal(heads_of(&message, &heads, &err), i < 3 ? STATUS_OK : STATUS_BAD_GRIB);
        assert_int_equal(heads.size > 0, i < 3);
        buf_fini(&message);
        buf_fini(&heads);
    }
}

/* A message that says of itself what its bytes are not, at every length. */
static void a_message_cut_short_is_refused(void **state)
{
    (void)state;
    for (int edition = 1; edition <= 2; edition++) {
        struct buf message, heads;
        struct error err;
        buf_init(&message, HEADS_MAX);
        buf_init(&heads, HEADS_MAX);
        if (edition == 1)
            grib1_small(&message);
        else
            grib2_message(&message, 50);
        for (size_t size = 0; size < message.size; size++) {
            struct buf cut;
            buf_init(&cut, HEADS_MAX);
            buf_append(&cut, message.data, size);
            assert_int_equal(heads_of(&cut, &heads, &err), STATUS_BAD_GRIB);
            if (edition == 2 && size >= 16) { /* and now it lies consistently */
                put_u64(cut.data + GRIB2_TOTAL_AT, size);
                assert_int_equal(heads_of(&cut, &heads, &err), STATUS_BAD_GRIB);
            } else if (edition == 1 && size >= 8) {
                cut.data[6] = (uint8_t)size;
                assert_int_equal(heads_of(&cut, &heads, &err), STATUS_BAD_GRIB);
            }
            buf_fini(&cut);
        }
        buf_fini(&message);
        buf_fini(&heads);
    }
}

/* ---- heads taken apart ---- */

static void assert_section(const struct grib_head *head, unsigned number, const uint8_t *at, size_t size)
{
    assert_int_equal(head->section[number].size, size);
    if (size > 0)
        assert_ptr_equal(head->section[number].data, at);
}

static void a_head_is_taken_apart_and_no_shorter_one(void **state)
{
    (void)state;
    struct buf message, heads;
    struct grib_head head;
    struct error err;

    buf_init(&message, HEADS_MAX);
    buf_init(&heads, HEADS_MAX);
    grib2_message(&message, 50);
    assert_int_equal(heads_of(&message, &heads, &err), STATUS_OK);
    const uint8_t *data = heads.data + 6;
    size_t size = heads.size - 6;
    assert_int_equal(grib_head_parse(data, size, &head, NULL), STATUS_OK);
    assert_int_equal(head.edition, 2);
    assert_section(&head, 0, data, 16);
    assert_section(&head, 1, data + 16, 21);
    assert_section(&head, 2, NULL, 0);
    assert_section(&head, 3, data + 37, 72);
    assert_section(&head, 4, data + 109, 34);
    assert_section(&head, 5, data + 143, 21);
    assert_section(&head, 6, data + 164, 6);
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(grib_head_parse(data, cut, &head, &err), STATUS_BAD_GRIB);

    buf_clear(&message);
    buf_clear(&heads);
    grib1_small(&message);
    assert_int_equal(heads_of(&message, &heads, &err), STATUS_OK);
    data = heads.data + 6;
    size = heads.size - 6;
    assert_int_equal(grib_head_parse(data, size, &head, NULL), STATUS_OK);
    assert_int_equal(head.edition, 1);
    assert_section(&head, 0, data, 8);
    assert_section(&head, 1, data + 8, 52);
    assert_section(&head, 2, data + 60, 32);
    assert_section(&head, 4, data + 92, 11);
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(grib_head_parse(data, cut, &head, &err), STATUS_BAD_GRIB);
    buf_fini(&message);
    buf_fini(&heads);
}

static void identity_of(const struct buf *message, uint8_t identity[GRIB_IDENTITY_SIZE])
{
    struct buf heads;
    struct grib_head head;
    struct error err;

    buf_init(&heads, HEADS_MAX);
    assert_int_equal(heads_of(message, &heads, &err), STATUS_OK);
    assert_int_equal(grib_head_parse(heads.data + 6, get_u32(heads.data + 2), &head, &err), STATUS_OK);
    grib_head_identity(&head, identity);
    buf_fini(&heads);
}

/* Which octets of a message decide on the identity: exactly those of FORMATS.md section 3. */
static bool decides(int edition, size_t at)
{
    if (edition == 2)
        return at == 6 || (at >= 16 && at < 16 + 21 + 72 + 34);
    size_t octet = at - 8 + 1;
    if (at < 8 || at >= 8 + 52 + 32)
        return false;
    return at >= 8 + 52 || (octet >= 4 && octet <= 7) || (octet >= 9 && octet <= 26) || octet >= 29;
}

static void identity_rests_on_the_octets_that_formats_name(void **state)
{
    (void)state;
    for (int edition = 1; edition <= 2; edition++) {
        struct buf message, heads;
        struct error err;
        uint8_t before[GRIB_IDENTITY_SIZE], after[GRIB_IDENTITY_SIZE];
        buf_init(&message, HEADS_MAX);
        if (edition == 1)
            grib1_small(&message);
        else
            grib2_message(&message, 20);
        identity_of(&message, before);
        for (size_t at = 0; at < message.size; at++) {
            message.data[at] ^= 1;
            buf_init(&heads, HEADS_MAX);
            if (heads_of(&message, &heads, &err) == STATUS_OK) {
                identity_of(&message, after);
                assert_int_equal(memcmp(before, after, sizeof after) != 0, decides(edition, at));
            }
            buf_fini(&heads);
            message.data[at] ^= 1;
        }
        buf_fini(&message);
    }
}

/* For other implementations: the messages are those of grib_bytes.h, the digests were taken of their octets by hand. */
static void identities_are_those_written_out_here(void **state)
{
    (void)state;
    struct buf message;
    uint8_t identity[GRIB_IDENTITY_SIZE];
    char text[2 * GRIB_IDENTITY_SIZE + 1];

    buf_init(&message, HEADS_MAX);
    grib2_message(&message, 20);
    identity_of(&message, identity);
    hex_print(identity, sizeof identity, text);
    assert_string_equal(text, "8be339d461f36cba5f98452e70629487");
    buf_clear(&message);
    grib1_small(&message);
    identity_of(&message, identity);
    hex_print(identity, sizeof identity, text);
    assert_string_equal(text, "f3c25f34244786f11e9d7b4e949553a0");
    buf_fini(&message);
}

/* ---- real files ---- */

struct file {
    uint8_t *data;
    size_t size;
};

static struct file read_file(const char *name)
{
    char path[4096];
    struct file file = { NULL, 0 };

    snprintf(path, sizeof path, "%s/%s", real_files_folder(), name);
    FILE *stream = fopen(path, "rb");
    assert_non_null(stream);
    assert_int_equal(fseek(stream, 0, SEEK_END), 0);
    file.size = (size_t)ftell(stream);
    rewind(stream);
    file.data = malloc(file.size);
    assert_non_null(file.data);
    assert_int_equal(fread(file.data, 1, file.size, stream), file.size);
    fclose(stream);
    return file;
}

/* Lines as in FIELDS.tsv, for all messages that a scan finds. */
static unsigned print_fields(const char *name, const struct file *file, struct buf *lines)
{
    struct grib_scan scan;
    struct grib_piece piece;
    struct error err;
    unsigned messages = 0;

    grib_scan_init(&scan);
    for (size_t used, at = 0; at < file->size; at += used) {
        size_t left = file->size - at < 3001 ? file->size - at : 3001;
        assert_int_equal(grib_scan_next(&scan, file->data + at, left, &used, &piece, &err), STATUS_OK);
        if (piece.kind != GRIB_PIECE_END)
            continue;
        struct grib_memory memory;
        struct buf heads;
        struct digest digest;
        char digest_text[DIGEST_TEXT_SIZE], identity_text[2 * GRIB_IDENTITY_SIZE + 1];
        int64_t base_time;
        messages++;
        buf_init(&heads, HEADS_MAX);
        grib_memory_init(&memory, file->data + piece.offset, piece.length);
        assert_int_equal(grib_base_time(memory.data, GRIB_BASE_TIME_PREFIX, &base_time, &err), STATUS_OK);
        assert_int_equal(grib_heads(&memory.source, &heads, &err), STATUS_OK);
        digest_of(memory.data, piece.length, &digest);
        digest_print(&digest, digest_text);
        size_t head_at = 2;
        for (unsigned sub = 1; sub <= get_u16(heads.data); sub++) {
            struct grib_head head;
            uint8_t identity[GRIB_IDENTITY_SIZE];
            uint32_t size = get_u32(heads.data + head_at);
            assert_int_equal(grib_head_parse(heads.data + head_at + 4, size, &head, &err), STATUS_OK);
            grib_head_identity(&head, identity);
            hex_print(identity, sizeof identity, identity_text);
            buf_format(lines, "%s\t%u\t%llu\t%llu\t%u\t%s\t%s\n", name, messages,
                       (unsigned long long)piece.offset, (unsigned long long)piece.length, sub,
                       digest_text, identity_text);
            head_at += 4 + size;
        }
        assert_int_equal(head_at, heads.size);
        buf_fini(&heads);
    }
    assert_int_equal(grib_scan_end(&scan, &piece, &err), STATUS_OK);
    return messages;
}

static unsigned count_lines(const char *text)
{
    unsigned count = 0;

    for (; *text != '\0'; text++)
        count += *text == '\n';
    return count;
}

static void real_files_agree_with_an_oracle_apart(void **state)
{
    (void)state;
    char name[256], first[128];
    unsigned messages, fields, files = 0;
    unsigned long long bytes;
    struct buf lines;

    if (real_files_folder() == NULL)
        skip();
    struct file expected = read_file("FIELDS.tsv"), manifest = read_file("MANIFEST.tsv");
    manifest.data = realloc(manifest.data, manifest.size + 1);
    assert_non_null(manifest.data);
    manifest.data[manifest.size] = '\0';
    buf_init(&lines, HEADS_MAX);
    buf_text(&lines, "file\tmessage\toffset\tlength\tsub\tdigest\tidentity\n");
    for (char *line = strchr((char *)manifest.data, '\n'); line != NULL && line[1] != '\0';
         line = strchr(line + 1, '\n')) {
        assert_int_equal(sscanf(line + 1, "%255[^\t]\t%llu\t%u\t%u\t%*[^\t]\t%*[^\t]\t%127s", name,
                                &bytes, &messages, &fields, first),
                         5);
        struct file file = read_file(name);
        size_t before = lines.size;
        assert_true(file.size == bytes);
        assert_int_equal(print_fields(name, &file, &lines), messages);
        assert_int_equal(count_lines(buf_string(&lines) + before), fields);
        assert_non_null(strstr(buf_string(&lines) + before, first));
        free(file.data);
        files++;
    }
    assert_true(files > 0);
    assert_int_equal(lines.size, expected.size);
    assert_memory_equal(lines.data, expected.data, expected.size);
    buf_fini(&lines);
    free(expected.data);
    free(manifest.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base_times_of_both_editions_are_read),
        cmocka_unit_test(a_date_that_does_not_exist_is_shown),
        cmocka_unit_test(each_field_has_the_sections_in_effect),
        cmocka_unit_test(edition_1_gives_one_head_with_or_without_section_2),
        cmocka_unit_test(edition_1_may_be_longer_than_24_bits_say),
        cmocka_unit_test(values_are_never_read),
        cmocka_unit_test(a_failed_read_leaves_the_buffer_as_it_was),
        cmocka_unit_test(heads_that_find_no_room_leave_the_buffer_as_it_was),
        cmocka_unit_test(a_head_is_at_most_a_mebibyte),
        cmocka_unit_test(the_number_of_fields_is_limited),
        cmocka_unit_test(sections_out_of_order_are_refused),
        cmocka_unit_test(a_message_cut_short_is_refused),
        cmocka_unit_test(a_head_is_taken_apart_and_no_shorter_one),
        cmocka_unit_test(identity_rests_on_the_octets_that_formats_name),
        cmocka_unit_test(identities_are_those_written_out_here),
        cmocka_unit_test(real_files_agree_with_an_oracle_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
