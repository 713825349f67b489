/* test_json_write.c: what the writer writes is JSON, whatever it is given. */
#include "proto/base/json_write.h"

#include "proto/base/json_read.h"

#include <math.h>
#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

enum { BUF_MAX = 1 << 20 };

static void values_nest_with_commas_where_they_belong(void **state)
{
    struct json_writer json;
    struct buf buf;

    (void)state;
    buf_init(&buf, BUF_MAX);
    json_init(&json, &buf);
    json_object_begin(&json);
    json_put_string(&json, "a", "text");
    json_put_string(&json, "none", NULL);
    json_put_u64(&json, "max", UINT64_MAX);
    json_put_i64(&json, "min", INT64_MIN);
    json_put_double(&json, "half", 0.5);
    json_put_bool(&json, "yes", true);
    json_put_hex(&json, "hex", (const uint8_t *)"\x01\xfe", 2);
    json_key(&json, "list");
    json_array_begin(&json);
    json_object_begin(&json);
    json_object_end(&json);
    json_array_begin(&json);
    json_array_end(&json);
    json_none(&json);
    json_bool(&json, false);
    json_format(&json, "%d \"quoted\"", 7);
    json_raw(&json, "[1,2]", 5);
    json_array_end(&json);
    json_put_u64(&json, "after", 0);
    json_object_end(&json);
    assert_string_equal(buf_string(&buf),
                        "{\"a\":\"text\",\"none\":null,\"max\":18446744073709551615,"
                        "\"min\":-9223372036854775808,\"half\":0.5,\"yes\":true,\"hex\":\"01fe\","
                        "\"list\":[{},[],null,false,\"7 \\\"quoted\\\"\",[1,2]],\"after\":0}");
    buf_fini(&buf);
}

static void what_is_not_finite_is_null(void **state)
{
    struct json_writer json;
    struct buf buf;

    (void)state;
    buf_init(&buf, BUF_MAX);
    json_init(&json, &buf);
    json_array_begin(&json);
    json_double(&json, (double)NAN);
    json_double(&json, (double)INFINITY);
    json_double(&json, (double)-INFINITY);
    json_double(&json, 12);
    json_double(&json, -273.15);
    json_array_end(&json);
    assert_string_equal(buf_string(&buf), "[null,null,null,12,-273.15]");
    buf_fini(&buf);
}

static void strings_are_escaped(void **state)
{
    static const struct {
        const char *text;
        const char *json;
    } cases[] = {
        { "", "\"\"" },
        { "plain", "\"plain\"" },
        { "a\"b\\c/", "\"a\\\"b\\\\c/\"" },
        { "\n\t\r\b\x1f\x7f", "\"\\n\\t\\r\\u0008\\u001f\x7f\"" },
        { "Gr\xc3\xbc\xc3\x9f", "\"Gr\xc3\xbc\xc3\x9f\"" },
        { "\xf0\x9f\x8c\x8d", "\"\xf0\x9f\x8c\x8d\"" },
        { "a\xff"
          "b",
          "\"a\xef\xbf\xbd"
          "b\"" },
        { "\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
        { "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
        { "cut\xe2\x82", "\"cut\xef\xbf\xbd\xef\xbf\xbd\"" },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct json_writer json;
        struct buf buf;

        buf_init(&buf, BUF_MAX);
        json_init(&json, &buf);
        json_text(&json, cases[i].text);
        assert_string_equal(buf_string(&buf), cases[i].json);
        buf_fini(&buf);
    }
}

static void values_at_the_top_stand_side_by_side(void **state)
{
    struct json_writer json;
    struct buf buf;

    (void)state;
    buf_init(&buf, BUF_MAX);
    json_init(&json, &buf);
    for (uint64_t i = 0; i < 2; i++) {
        json_object_begin(&json);
        json_put_u64(&json, "n", i);
        json_object_end(&json);
        buf_text(&buf, "\n");
    }
    assert_string_equal(buf_string(&buf), "{\"n\":0}\n{\"n\":1}\n");
    buf_fini(&buf);
}

/* Whatever the limit, the writer either finishes or says so, and never writes past it. */
static void every_limit_is_kept(void **state)
{
    static const char whole[] = "{\"k\":\"v\",\"h\":\"00ff\",\"f\":\"x=1\"}";

    (void)state;
    for (size_t limit = 0; limit <= sizeof whole; limit++) {
        struct json_writer json;
        struct buf buf;

        buf_init(&buf, limit);
        json_init(&json, &buf);
        json_object_begin(&json);
        json_put_string(&json, "k", "v");
        json_put_hex(&json, "h", (const uint8_t *)"\x00\xff", 2);
        json_key(&json, "f");
        json_format(&json, "x=%d", 1);
        json_object_end(&json);
        assert_true(buf.size <= limit);
        bool fits = limit >= sizeof whole - 1;
        assert_int_equal(buf_status(&buf), fits ? STATUS_OK : STATUS_TOO_LARGE);
        assert_string_equal(buf_string(&buf), fits ? whole : "");
        buf_fini(&buf);
    }
}

/* --- random bytes --- */

/* A second opinion on UTF-8, from what a decoded character must be. */
static size_t decode(const uint8_t *at, size_t left)
{
    size_t length = at[0] < 0x80 ? 1 : at[0] >> 5 == 6 ? 2 : at[0] >> 4 == 14 ? 3 : 4;
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    uint32_t code = length == 1 ? at[0] : at[0] & (0x7fu >> length);

    if (length > left || (length == 4 && at[0] >> 3 != 30))
        return 0;
    for (size_t i = 1; i < length; i++) {
        if (at[i] >> 6 != 2)
            return 0;
        code = code << 6 | (at[i] & 0x3f);
    }
    if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    return length;
}

static void replaced(const uint8_t *data, size_t size, struct buf *expected)
{
    for (size_t i = 0; i < size;) {
        size_t length = decode(data + i, size - i);

        if (length == 0)
            buf_text(expected, "\xef\xbf\xbd");
        else
            buf_append(expected, data + i, length);
        i += length > 0 ? length : 1;
    }
}

/* Bytes near what matters: quotes, controls, leads, continuations; no zero, which jansson's texts can't hold. */
static void random_text(uint8_t *data, size_t size)
{
    static const uint8_t likely[] = { '"',  '\\', '\n', 0x01, 0x1f, 0x20, 0x7f, 0x80,
                                      0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xdf,
                                      0xe0, 0xe2, 0xed, 0xef, 0xf0, 0xf4, 0xf5, 0xff };

    random_bytes(data, size);
    for (size_t i = 0; i < size; i++) {
        if (data[i] & 1)
            data[i] = likely[data[i] / 2 % ARRAY_COUNT(likely)];
        if (data[i] == 0)
            data[i] = 'z';
    }
}

static void check_text(const uint8_t *data, size_t size)
{
    struct json_writer json;
    struct buf buf, expected;
    const char *text = NULL;
    char key[100];
    struct error err;
    json_t *value;

    buf_init(&buf, BUF_MAX);
    buf_init(&expected, BUF_MAX);
    replaced(data, size, &expected);
    memcpy(key, data, size);
    key[size] = '\0';
    json_init(&json, &buf);
    json_object_begin(&json);
    json_key(&json, key);
    json_slice(&json, slice_of(data, size));
    json_object_end(&json);
    assert_int_equal(buf_status(&buf), STATUS_OK);
    if (json_parse(buf.data, buf.size, &value, &err) != STATUS_OK)
        fail_msg("%s: %s", err.text, buf_string(&buf));
    assert_int_equal(json_get_string(value, buf_string(&expected), &text, &err), STATUS_OK);
    assert_string_equal(text, buf_string(&expected));
    json_decref(value);
    buf_fini(&buf);
    buf_fini(&expected);
}

static void random_bytes_come_back_as_the_text_they_hold(void **state)
{
    uint8_t data[64];

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        size_t size = i % sizeof data;

        random_text(data, size);
        check_text(data, size);
    }
}

/* --- random trees --- */

static uint8_t random_byte(void)
{
    uint8_t byte;

    random_bytes(&byte, 1);
    return byte;
}

static void write_random(struct json_writer *json, unsigned depth)
{
    unsigned count = random_byte() % 4;
    double number;

    switch (random_byte() % (depth < 8 ? 8 : 6)) {
    case 0:
        json_none(json);
        break;
    case 1:
        json_bool(json, count & 1);
        break;
    case 2:
        json_u64(json, (uint64_t)random_byte() << 40);
        break;
    case 3:
        json_i64(json, -(int64_t)random_byte() * (INT64_C(1) << 40));
        break;
    case 4:
        random_bytes(&number, sizeof number);
        json_double(json, number);
        break;
    case 5:
        json_text(json, "s");
        break;
    case 6:
        json_array_begin(json);
        while (count-- > 0)
            write_random(json, depth + 1);
        json_array_end(json);
        break;
    default:
        json_object_begin(json);
        while (count-- > 0) {
            char key[2] = { (char)('a' + count), '\0' };

            json_key(json, key);
            write_random(json, depth + 1);
        }
        json_object_end(json);
    }
}

static void random_trees_are_json(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3000; i++) {
        struct json_writer json;
        struct error err;
        struct buf buf;
        json_t *value;

        buf_init(&buf, BUF_MAX);
        json_init(&json, &buf);
        json_array_begin(&json);
        for (unsigned k = 0; k < 4; k++)
            write_random(&json, 0);
        json_array_end(&json);
        if (json_parse(buf.data, buf.size, &value, &err) != STATUS_OK)
            fail_msg("%s: %s", err.text, buf_string(&buf));
        assert_int_equal(json_array_size(value), 4);
        json_decref(value);
        buf_fini(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_nest_with_commas_where_they_belong),
        cmocka_unit_test(what_is_not_finite_is_null),
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(values_at_the_top_stand_side_by_side),
        cmocka_unit_test(every_limit_is_kept),
        cmocka_unit_test(random_bytes_come_back_as_the_text_they_hold),
        cmocka_unit_test(random_trees_are_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
