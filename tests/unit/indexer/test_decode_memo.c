/* test_decode_memo.c: what is remembered of a head against a full decode of it: every head of the real files (GRIBSTORE_TEST_GRIB) and of
 * ecCodes' samples, each with other dates and other values. Equal means byte for byte. */
#include "indexer/decode.h"
#include "indexer/decode_memo.h"
#include "indexer/decode_memo_key.h"
#include "indexer/decode_memo_text.h"
#include "indexer/grib_step.h"
#include "proto/base/log.h"
#include "proto/run.h"
#include "tests/lib/real_files.h"

#include <dirent.h>
#include <eccodes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { HEADS_SIZE_MAX = 64 << 20, HEAD_SIZE_MAX = 1 << 20, MEMO_SIZE = 64 << 20 };

/* ---- heads ---- */

static struct buf file_of(const char *path)
{
    FILE *from = fopen(path, "rb");
    struct buf data;

    assert_non_null(from);
    buf_init(&data, HEADS_SIZE_MAX);
    for (size_t got = 1; got > 0; data.size += got) {
        uint8_t *at = buf_reserve(&data, 1 << 16);
        assert_non_null(at);
        got = fread(at, 1, 1 << 16, from);
    }
    fclose(from);
    return data;
}

static size_t message_size(const uint8_t *at, size_t left)
{
    if (left < 16 || memcmp(at, "GRIB", 4) != 0)
        return 0;
    uint64_t size = at[7] == 2 ? get_u64(at + 8) : get_u24(at + 4);
    return size <= left && size >= 16 && memcmp(at + size - 4, "7777", 4) == 0 ? (size_t)size : 0;
}

/* Each head of a file: u32 length and bytes. */
static void heads_of(const char *path, struct buf *heads)
{
    struct buf data = file_of(path), answer;
    struct grib_memory memory;

    buf_init(&answer, HEADS_SIZE_MAX);
    for (size_t at = 0; at < data.size; at++) {
        size_t size = message_size(data.data + at, data.size - at);
        if (size == 0)
            continue;
        buf_clear(&answer);
        grib_memory_init(&memory, data.data + at, size);
        if (grib_heads(&memory.source, &answer, NULL) == STATUS_OK)
            buf_append(heads, answer.data + 2, answer.size - 2);
        at += size - 1;
    }
    buf_fini(&answer);
    buf_fini(&data);
}

static bool ends_with(const char *name, const char *const *endings)
{
    for (; *endings != NULL; endings++)
        if (strlen(name) >= strlen(*endings) &&
            strcmp(name + strlen(name) - strlen(*endings), *endings) == 0)
            return true;
    return false;
}

static void heads_of_folder(const char *folder, const char *const *endings, struct buf *heads)
{
    DIR *list = opendir(folder);
    char path[4096];

    assert_non_null(list);
    for (struct dirent *entry; (entry = readdir(list)) != NULL;)
        if (ends_with(entry->d_name, endings)) {
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
            heads_of(path, heads);
        }
    closedir(list);
    assert_int_equal(buf_status(heads), STATUS_OK);
}

/* ---- other dates, other values ---- */

static uint8_t *octets_of(const struct grib_head *head, unsigned section)
{
    return (uint8_t *)head->section[section].data; /* of our own copy */
}

static void put_calendar(uint8_t *at, int64_t time)
{
    int year, month, day, hour, minute, second;

    base_time_to_calendar(time, &year, &month, &day, &hour, &minute, &second);
    put_u16(at, (uint16_t)year);
    at[2] = (uint8_t)month, at[3] = (uint8_t)day, at[4] = (uint8_t)hour;
    at[5] = (uint8_t)minute, at[6] = (uint8_t)second;
}

static void set_date_1(const struct grib_head *head, int64_t base_time)
{
    int year, month, day, hour, minute, second;
    uint8_t *section = octets_of(head, 1);

    base_time_to_calendar(base_time, &year, &month, &day, &hour, &minute, &second);
    section[24] = (uint8_t)((year + 99) / 100); /* the year 2000 is the hundredth of the 20th */
    section[12] = (uint8_t)(year - (section[24] - 1) * 100);
    section[13] = (uint8_t)month, section[14] = (uint8_t)day;
    section[15] = (uint8_t)hour, section[16] = (uint8_t)minute;
    if (head->section[1].size > 60 && section[4] == 98 && section[40] == 30) { /* the leg begins with the forecast */
        put_u32(section + 55, (uint32_t)(year * 10000 + month * 100 + day));
        put_u16(section + 59, (uint16_t)(hour * 100 + minute));
    }
}

static void set_date_2(const struct grib_head *head, int64_t was, int64_t base_time)
{
    struct grib_step_place places[GRIB_STEP_PLACES_MAX];
    int64_t end;

    put_calendar(octets_of(head, 1) + 12, base_time);
    if (grib_step_places(head, places) < 2)
        return;
    uint8_t *at = octets_of(head, 4) + places[1].offset;
    if (base_time_from_calendar(get_u16(at), at[2], at[3], at[4], at[5], at[6], &end) &&
        base_time_valid(end + base_time - was))
        put_calendar(at, end + base_time - was);
}

/* Reference value, scales, bits. */
static void set_values(const struct grib_head *head, unsigned salt)
{
    uint8_t *section = octets_of(head, head->edition == 2 ? 5 : 4);

    if (head->edition == 1) {
        section[5] = (uint8_t)(salt * 3);
        section[7] = (uint8_t)(salt * 7);
        section[10] = (uint8_t)(salt % 25);
        octets_of(head, 1)[27] = (uint8_t)salt;
    } else if (get_u16(section + 9) != 4) {
        section[12] = (uint8_t)(salt * 7);
        section[16] = (uint8_t)(salt * 3);
        section[18] = (uint8_t)salt;
        section[19] = (uint8_t)(salt % 25);
    }
}

/* A copy of the head with another reference time; false: it has no readable one. */
static bool redate(struct slice head, const char *date, unsigned salt, uint8_t *copy)
{
    struct grib_head sections;
    int64_t was, base_time;

    memcpy(copy, head.data, head.size);
    if (grib_head_parse(copy, head.size, &sections, NULL) != STATUS_OK ||
        grib_base_time(copy, head.size, &was, NULL) != STATUS_OK)
        return false;
    assert_int_equal(base_time_parse(slice_text(date), &base_time, NULL), STATUS_OK);
    if (sections.edition == 1)
        set_date_1(&sections, base_time);
    else
        set_date_2(&sections, was, base_time);
    set_values(&sections, salt);
    return true;
}

/* ---- remembered and decoded ---- */

struct tally {
    unsigned heads, unusual, hits, full;
};

/* ecCodes aborts on local sections whose dates don't fit the reference time: those are not remembered, nor redated here. */
static bool is_usual(struct slice data)
{
    struct digest_stream *stream = digest_stream_new();
    struct decode_memo_key key;
    struct grib_head head;
    int64_t base_time;

    assert_int_equal(grib_head_parse(data.data, data.size, &head, NULL), STATUS_OK);
    bool usual = grib_base_time(data.data, data.size, &base_time, NULL) == STATUS_OK &&
                 decode_memo_key(&head, base_time, stream, &key);
    digest_stream_free(stream);
    return usual;
}

/* Finds, decodes, compares, learns: as the pool does, but decodes always. */
static void check_one(struct decode_memo *memo, struct slice head, struct tally *tally)
{
    struct buf decoded, remembered;

    buf_init(&decoded, HEAD_SIZE_MAX);
    buf_init(&remembered, HEAD_SIZE_MAX);
    bool hit = decode_memo_find(memo, head.data, head.size, &remembered);
    bool good = decode_head(head.data, head.size, &decoded, NULL) == STATUS_OK;
    if (hit) {
        assert_true(good);
        if (decoded.size != remembered.size || memcmp(decoded.data, remembered.data, decoded.size) != 0)
            fail_msg("decoded:    %s\nremembered: %s", buf_string(&decoded), buf_string(&remembered));
    } else {
        decode_memo_learn(memo, head.data, head.size,
                          good ? slice_of(decoded.data, decoded.size) : slice_of(NULL, 0));
    }
    tally->hits += hit;
    tally->full += !hit;
    buf_fini(&decoded);
    buf_fini(&remembered);
}

static const char *const dates[] = {
    "20130408T0000Z", "20120229T0000Z", "20000229T1200Z", "19991231T1800Z",
    "20231231T2345Z", "20240228T0600Z", "21000228T1200Z", "19000101T0000Z",
    "20010101T0000Z", "18500731T0600Z", "20250131T1800Z", "20201130T0001Z",
};

static void check_heads(const struct buf *heads, struct tally *tally)
{
    struct decode_memo *memo = decode_memo_new(MEMO_SIZE, 0);
    uint8_t *copy = malloc(HEAD_SIZE_MAX);
    struct decode_memo_stats stats;

    for (size_t i = 0; i < ARRAY_COUNT(dates); i++)
        for (size_t at = 0; at < heads->size; at += 4 + get_u32(heads->data + at)) {
            struct slice head = slice_of(heads->data + at + 4, get_u32(heads->data + at));
            bool usual = is_usual(head);
            tally->heads += i == 0;
            tally->unusual += i == 0 && !usual;
            if (usual && redate(head, dates[i], (unsigned)i, copy))
                check_one(memo, slice_of(copy, head.size), tally);
        }
    decode_memo_stats(memo, &stats);
    assert_int_equal(stats.mismatches, 0);
    assert_int_equal(stats.hits, tally->hits);
    assert_true(stats.checks > 0);
    decode_memo_free(memo);
    free(copy);
}

static const char *const file_endings[] = { ".grib", ".grib1", ".grib2", ".grb", NULL };
static const char *const sample_endings[] = { "grib1.tmpl", "grib2.tmpl", "GRIB1.tmpl",
                                              "GRIB2.tmpl", NULL };

/* Of a run that comes again eleven times all but a handful are remembered. */
static void real_heads_with_other_dates_decode_as_remembered(void **state)
{
    (void)state;
    const char *folder = real_files_folder();
    struct tally tally = { .heads = 0 };
    struct buf heads;

    if (folder == NULL) {
        skip();
        return;
    }
    buf_init(&heads, HEADS_SIZE_MAX);
    heads_of_folder(folder, file_endings, &heads);
    check_heads(&heads, &tally);
    print_message("%u heads, %u unusual: %u remembered, %u in full\n", tally.heads, tally.unusual,
                  tally.hits, tally.full);
    assert_true(tally.heads >= 900);
    assert_true(tally.hits >= (unsigned)(ARRAY_COUNT(dates) - 1) * tally.heads / 100 * 90);
    buf_fini(&heads);
}

static void heads_of_samples_with_other_dates_decode_as_remembered(void **state)
{
    (void)state;
    struct tally tally = { .heads = 0 };
    struct buf heads;

    buf_init(&heads, HEADS_SIZE_MAX);
    heads_of_folder(codes_samples_path(NULL), sample_endings, &heads);
    check_heads(&heads, &tally);
    print_message("%u heads, %u unusual: %u remembered, %u in full\n", tally.heads, tally.unusual,
                  tally.hits, tally.full);
    assert_true(tally.heads >= 100);
    assert_true(tally.hits > tally.full);
    buf_fini(&heads);
}

static int warm_up(void **state)
{
    (void)state;
    return decode_warm_up(NULL) == STATUS_OK ? 0 : -1;
}

/* ---- the table ---- */

/* A head of edition 1: 2 metre temperature on a grid of 2 by 2 points; octet 19 (P1) at 26, month at 21. */
static const uint8_t small_head[] = {
    'G',  'R', 'I',  'B', 0, 0, 96, 1, 0, 0, 28, 128, 98, 255, 255, 0x80, 167, 105, 0,    2,
    13,   4,   8,    0,   0, 1, 6,  0, 0, 0, 0,  0,   21, 0,   0,   0,    0,   0,   32,   0,
    255,  0,   0,    2,   0, 2, 0,  0, 0, 0, 0,  0,   0,  0,   3,   0xe8, 0,   3,   0xe8, 3,
    0xe8, 3,   0xe8, 0,   0, 0, 0,  0, 0, 0, 20, 0,   0,  0,   0,   0,    0,   0,   16,
};
enum { AT_PARAMETER = 16, AT_MONTH = 21, AT_HOURS = 26 };

struct small {
    uint8_t head[sizeof small_head];
    struct buf keys; /* of a full decode */
};

static void small_open(struct small *small, uint8_t hours, uint8_t month)
{
    memcpy(small->head, small_head, sizeof small_head);
    small->head[AT_HOURS] = hours;
    small->head[AT_MONTH] = month;
    buf_init(&small->keys, HEAD_SIZE_MAX);
    assert_int_equal(decode_head(small->head, sizeof small->head, &small->keys, NULL), STATUS_OK);
}

static bool small_find(struct decode_memo *memo, const struct small *small)
{
    struct buf keys;

    buf_init(&keys, HEAD_SIZE_MAX);
    bool found = decode_memo_find(memo, small->head, sizeof small->head, &keys);
    if (found) {
        assert_int_equal(keys.size, small->keys.size);
        assert_memory_equal(keys.data, small->keys.data, keys.size);
    }
    buf_fini(&keys);
    return found;
}

static void small_learn(struct decode_memo *memo, const struct small *small)
{
    decode_memo_learn(memo, small->head, sizeof small->head,
                      slice_of(small->keys.data, small->keys.size));
}

static struct decode_memo_stats stats_of(const struct decode_memo *memo)
{
    struct decode_memo_stats stats;

    decode_memo_stats(memo, &stats);
    return stats;
}

static void the_first_hit_of_a_kind_is_decoded_in_full(void **state)
{
    (void)state;
    struct decode_memo *memo = decode_memo_new(MEMO_SIZE, 0);
    struct small april, may, later;

    small_open(&april, 6, 4);
    small_open(&may, 6, 5);
    small_open(&later, 12, 5);
    assert_false(small_find(memo, &april));
    small_learn(memo, &april);
    small_learn(memo, &later);
    assert_int_equal(stats_of(memo).entries, 2);
    assert_int_equal(stats_of(memo).checks, 0);
    assert_false(small_find(memo, &may));
    small_learn(memo, &may);
    assert_int_equal(stats_of(memo).checks, 1);
    assert_true(small_find(memo, &may) && small_find(memo, &april) && small_find(memo, &later));
    assert_int_equal(stats_of(memo).hits, 3);
    buf_fini(&april.keys), buf_fini(&may.keys), buf_fini(&later.keys);
    decode_memo_free(memo);
}

static void one_hit_in_so_many_is_decoded_in_full(void **state)
{
    (void)state;
    struct decode_memo *memo = decode_memo_new(MEMO_SIZE, 10);
    struct small april;
    unsigned checks = 0;

    small_open(&april, 6, 4);
    small_learn(memo, &april);
    small_learn(memo, &april);
    for (unsigned i = 0; i < 100; i++)
        if (!small_find(memo, &april)) {
            small_learn(memo, &april);
            checks++;
        }
    assert_int_equal(checks, 10);
    assert_int_equal(stats_of(memo).checks, 1 + 10);
    buf_fini(&april.keys);
    decode_memo_free(memo);
}

/* What does not agree: its kind goes, with all entries, and is not learned again; another kind stays. */
static void a_mismatch_ends_a_kind_for_good(void **state)
{
    (void)state;
    struct decode_memo *memo = decode_memo_new(MEMO_SIZE, 0);
    struct small april, may, later, other;

    small_open(&april, 6, 4);
    small_open(&may, 6, 5);
    small_open(&later, 12, 4);
    small_open(&other, 6, 4);
    other.head[AT_PARAMETER] = 168;
    buf_clear(&other.keys);
    assert_int_equal(decode_head(other.head, sizeof other.head, &other.keys, NULL), STATUS_OK);
    char *name = memmem(april.keys.data, april.keys.size, "\"2t\"", 4);
    assert_non_null(name);
    name[1] = '3'; /* a decoder that was wrong once */
    small_learn(memo, &april);
    small_learn(memo, &later);
    small_learn(memo, &other);
    small_learn(memo, &other);
    assert_int_equal(stats_of(memo).entries, 3);
    assert_false(small_find(memo, &may));
    small_learn(memo, &may);
    assert_int_equal(stats_of(memo).mismatches, 1);
    assert_int_equal(stats_of(memo).entries, 1);
    small_learn(memo, &may);
    small_learn(memo, &later);
    assert_false(small_find(memo, &may) || small_find(memo, &later));
    assert_true(small_find(memo, &other));
    buf_fini(&april.keys), buf_fini(&may.keys), buf_fini(&later.keys), buf_fini(&other.keys);
    decode_memo_free(memo);
}

static void a_refusal_of_what_is_remembered_is_a_mismatch(void **state)
{
    (void)state;
    struct decode_memo *memo = decode_memo_new(MEMO_SIZE, 0);
    struct small april;

    small_open(&april, 6, 4);
    small_learn(memo, &april);
    decode_memo_learn(memo, april.head, sizeof april.head, slice_of(NULL, 0));
    assert_int_equal(stats_of(memo).mismatches, 1);
    assert_int_equal(stats_of(memo).entries, 0);
    buf_fini(&april.keys);
    decode_memo_free(memo);
}

static void keys_that_nobody_knows_are_not_remembered(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "{\"param\":\"2t\",\"hdate\":20120408",
        "{\"param\":\"2t\",\"stream\":\"mnth\"",
        "{\"param\":{\"a\":1}",
        "{\"param\": \"2t\"",
        "{\"param\":\"2t",
        "{\"param\":\"2t\",\"date\":20130409",
        "{,",
        "{\"type\":\"fg\"",
    };
    struct decode_memo *memo = decode_memo_new(MEMO_SIZE, 0);
    struct small april;
    struct buf keys;

    small_open(&april, 6, 4);
    buf_init(&keys, HEAD_SIZE_MAX);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        buf_clear(&keys);
        buf_text(&keys, cases[i]);
        buf_text(&keys, ",");
        buf_append(&keys, april.keys.data + 1, april.keys.size - 1);
        decode_memo_learn(memo, april.head, sizeof april.head, slice_of(keys.data, keys.size));
        assert_int_equal(stats_of(memo).unusual, i + 1);
    }
    assert_int_equal(stats_of(memo).entries, 0);
    buf_fini(&keys);
    buf_fini(&april.keys);
    decode_memo_free(memo);
}

static void memory_is_bounded_and_what_is_used_stays(void **state)
{
    (void)state;
    enum { SIZE_MAX_HERE = 40 << 10 };
    struct decode_memo *memo = decode_memo_new(SIZE_MAX_HERE, 0);
    struct small used, other;

    small_open(&used, 0, 4);
    small_learn(memo, &used);
    small_learn(memo, &used);
    for (unsigned i = 1; i < 250; i++) {
        small_open(&other, (uint8_t)i, 4);
        small_learn(memo, &other);
        assert_true(stats_of(memo).bytes <= SIZE_MAX_HERE);
        assert_true(small_find(memo, &used));
        assert_true(small_find(memo, &other));
        buf_fini(&other.keys);
    }
    assert_true(stats_of(memo).entries > 20 && stats_of(memo).entries < 200);
    decode_memo_clear(memo);
    assert_false(small_find(memo, &used));
    buf_fini(&used.keys);
    decode_memo_free(memo);
}

/* ecCodes keeps memory of heads that it gives up on. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libeccodes\n";
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_heads_with_other_dates_decode_as_remembered),
        cmocka_unit_test(heads_of_samples_with_other_dates_decode_as_remembered),
        cmocka_unit_test(the_first_hit_of_a_kind_is_decoded_in_full),
        cmocka_unit_test(one_hit_in_so_many_is_decoded_in_full),
        cmocka_unit_test(a_mismatch_ends_a_kind_for_good),
        cmocka_unit_test(a_refusal_of_what_is_remembered_is_a_mismatch),
        cmocka_unit_test(keys_that_nobody_knows_are_not_remembered),
        cmocka_unit_test(memory_is_bounded_and_what_is_used_stays),
    };

    log_setup(LOG_ERROR, LOG_LOGFMT); /* mismatches are meant here */
    return cmocka_run_group_tests(tests, warm_up, NULL);
}
