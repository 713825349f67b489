/* What decoders say: looked through as text, or by way of a tree; both come to the same. */
#include "indexer/field_keys.h"
#include "proto/base/json_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct field_keys *parse(const char *text)
{
    struct field_keys *keys;
    struct error err;

    error_init(&err);
    if (field_keys_parse(text, strlen(text), &keys, &err) != STATUS_OK)
        fail_msg("%s: %s", text, err.text);
    return keys;
}

static void assert_members(const char *text, const char *wanted)
{
    struct field_keys *keys = parse(text);
    struct slice members = field_keys_members(keys);

    if (!slice_equals(members, wanted))
        fail_msg("%s became %.*s", text, (int)members.size, (const char *)members.data);
    field_keys_unref(keys);
}

static const char *const as_written[] = {
    "",
    "\"a\":1",
    "\"param\":\"2t\",\"step\":6,\"scale\":-0.25,\"yes\":true,\"no\":false",
    "\"empty\":\"\",\"quote\":\"a \\\"b\\\" \\\\\",\"lines\":\"\\n\\t\\r\",\"low\":\"\\u0001\\u001f\"",
    "\"wide\":999999999999999999,\"least\":-999999999999999999,\"zero\":0,\"real\":1.0,\"small\":-1.5e-30",
    "\"high\":\"Temp\xc3\xa9rature \xe2\x82\xac \xf0\x9f\x8c\xa7\",\"a_b9\":\"}{][,:\"",
    "\"valid_time\":\"2013-04-08T06:00:00Z\"",
};

static void what_decoders_write_stays_byte_for_byte(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(as_written); i++) {
        char text[512];
        snprintf(text, sizeof text, "{%s}", as_written[i]);
        assert_members(text, as_written[i]);
    }
}

static void what_is_written_otherwise_is_written_anew(void **state)
{
    static const struct {
        const char *text, *members;
    } cases[] = {
        { " { \"a\" : 1 , \"b\" : \"x\" } ", "\"a\":1,\"b\":\"x\"" },
        { "{\"a\":\"\\u0041\\/\\u00e9\\b\"}", "\"a\":\"A/\xc3\xa9\\u0008\"" },
        { "{\"a\":\"\\u000A\"}", "\"a\":\"\\n\"" },
        { "{\"a\":-0,\"b\":1.5e+300,\"c\":9223372036854775807}",
          "\"a\":0,\"b\":1.5e+300,\"c\":9223372036854775807" },
        { "{\"a\":2e003}", "\"a\":2000.0" },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++)
        assert_members(cases[i].text, cases[i].members);
}

static void what_a_document_must_not_hold_is_left_out(void **state)
{
    static const char *const bad[] = {
        "\"$where\":1",  "\"a.b\":\"x\"",    "\"\":1",    "\"_id\":1",
        "\"1st\":true",  "\"digest\":\"x\"", "\"rev\":1", "\"list\":[1,2]",
        "\"none\":null", "\"deep\":{}",      "\"a b\":1", "\"older\":[]",
    };
    char text[512];

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
        snprintf(text, sizeof text, "{%s}", bad[i]);
        assert_members(text, "");
        snprintf(text, sizeof text, "{\"first\":1,%s,\"last\":\"x\"}", bad[i]);
        assert_members(text, "\"first\":1,\"last\":\"x\"");
    }
}

static void a_name_too_many_goes_by_way_of_a_tree(void **state)
{
    struct json_writer json;
    struct buf text;
    char name[16];

    (void)state;
    for (int count = 150; count < 300; count += 10) {
        buf_init(&text, 1 << 16);
        json_init(&json, &text);
        json_object_begin(&json);
        for (int i = 0; i < count; i++) {
            snprintf(name, sizeof name, "n%d", i);
            json_put_i64(&json, name, i);
        }
        json_object_end(&json);
        struct field_keys *keys = parse(buf_string(&text));
        assert_int_equal(field_keys_members(keys).size, text.size - 2);
        assert_memory_equal(field_keys_members(keys).data, text.data + 1, text.size - 2);
        field_keys_unref(keys);
        buf_fini(&text);
    }
}

static void what_is_no_object_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "{",
        "}",
        "{}}",
        "[]",
        "1",
        "\"a\"",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1,\"a\":2}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":1e}",
        "{\"a\":-}",
        "{\"a\":tru}",
        "{\"a\":\"\x01\"}",
        "{\"a\":\"\xc3\"}",
        "{\"a\":\"\xed\xa0\x80\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u00\"}",
        "{\"a\":\"\\u0000\"}",
        "{\"a\":\"x}",
        "{\"a\":1e999}",
        "{\"a\":99999999999999999999}",
        "{\"a\":nan}",
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
        struct field_keys *keys;
        if (field_keys_parse(bad[i], strlen(bad[i]), &keys, NULL) == STATUS_OK)
            fail_msg("%s was taken", bad[i]);
        assert_null(keys);
    }
}

/* A text that is cut or has another byte anywhere is refused, or is what a tree makes of it. */
static void every_other_byte_means_what_a_tree_says(void **state)
{
    static const uint8_t bytes[] = { '"', '\\', '{', '}', ',',  ':', '0', '-',
                                     'e', '.',  ' ', 'u', 0x80, 0,   '\n' };
    char text[512], other[512];

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(as_written); i++) {
        int size = snprintf(text, sizeof text, "{%s}", as_written[i]);
        for (int at = 0; at < size; at++)
            for (unsigned byte = 0; byte < sizeof bytes; byte++) {
                struct field_keys *keys, *made = NULL;
                json_t *json;
                memcpy(other, text, (size_t)size);
                other[at] = (char)bytes[byte];
                enum status status = json_parse(other, (size_t)size, &json, NULL);
                bool wanted = status == STATUS_OK && json_is_object(json);
                if (wanted)
                    made = field_keys_of_json(json);
                status = field_keys_parse(other, (size_t)size, &keys, NULL);
                if ((status == STATUS_OK) != wanted || (wanted && !field_keys_equal(keys, made)))
                    fail_msg("%.*s means something else", size, other);
                field_keys_unref(keys);
                field_keys_unref(made);
                json_decref(json);
            }
    }
}

static void members_say_their_values(void **state)
{
    struct field_keys *keys = parse("{\"text\":\"a \\\"b\\\"\\n\\u0002\",\"whole\":-17,\"real\":2.5,\"tiny\":1.5e-20,"
                                    "\"third\":0.3333333333333333,\"flag\":true}");
    struct field_key key;
    char text[32];

    (void)state;
    assert_true(field_keys_find(keys, slice_text("text"), &key) && key.escaped);
    assert_int_equal(field_key_text(&key, text), 7);
    assert_memory_equal(text, "a \"b\"\n\x02", 7);
    assert_true(field_keys_find(keys, slice_text("whole"), &key) && key.type == FIELD_KEY_INTEGER);
    assert_int_equal(field_key_integer(&key), -17);
    assert_true(field_keys_find(keys, slice_text("real"), &key) && key.type == FIELD_KEY_REAL);
    assert_true(field_key_number(&key) == 2.5);
    assert_true(field_keys_find(keys, slice_text("tiny"), &key) && field_key_number(&key) == 1.5e-20);
    assert_true(field_keys_find(keys, slice_text("third"), &key));
    assert_true(field_key_number(&key) == strtod("0.3333333333333333", NULL));
    assert_true(field_keys_find(keys, slice_text("flag"), &key) && field_key_is_true(&key));
    assert_false(field_keys_find(keys, slice_text("fla"), &key));
    field_keys_unref(keys);
}

static void numbers_are_read_as_by_the_library(void **state)
{
    static const char *const numbers[] = { "0.1",
                                           "-0.1",
                                           "123456789012.345",
                                           "0.000000000000001",
                                           "99999.99999",
                                           "-7.0",
                                           "1e22",
                                           "1.7976931348623157e+308",
                                           "360.0",
                                           "0.28125",
                                           "273.15",
                                           "1000000000000000.5",
                                           "5e-324" };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(numbers); i++) {
        char text[64];
        struct field_key key;
        snprintf(text, sizeof text, "{\"a\":%s}", numbers[i]);
        struct field_keys *keys = parse(text);
        assert_true(field_keys_find(keys, slice_text("a"), &key));
        if (field_key_number(&key) != strtod(numbers[i], NULL))
            fail_msg("%s is read as %.17g", numbers[i], field_key_number(&key));
        field_keys_unref(keys);
    }
}

static void equal_is_what_says_the_same(void **state)
{
    static const struct {
        const char *a, *b;
        bool equal;
    } cases[] = {
        { "{\"a\":1,\"b\":\"x\"}", "{\"b\":\"x\",\"a\":1}", true },
        { "{\"a\":0.10}", "{\"a\":1e-1}", true },
        { "{\"a\":1}", "{\"a\":1.0}", false },
        { "{\"a\":1}", "{\"a\":\"1\"}", false },
        { "{\"a\":1}", "{\"a\":1,\"b\":2}", false },
        { "{\"a\":1,\"b\":2}", "{\"a\":1}", false },
        { "{\"a\":1,\"b\":2}", "{\"a\":1,\"c\":2}", false },
        { "{\"a\":true}", "{\"a\":false}", false },
        { "{}", "{}", true },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct field_keys *a = parse(cases[i].a), *b = parse(cases[i].b);
        if (field_keys_equal(a, b) != cases[i].equal)
            fail_msg("%s and %s", cases[i].a, cases[i].b);
        field_keys_unref(a);
        field_keys_unref(b);
    }
}

static void a_tree_and_back_is_the_same_text(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(as_written); i++) {
        char text[512];
        snprintf(text, sizeof text, "{%s}", as_written[i]);
        struct field_keys *keys = parse(text);
        json_t *json = field_keys_to_json(keys);
        struct field_keys *again = field_keys_of_json(json);
        assert_true(slice_equals(field_keys_members(again), as_written[i]));
        json_decref(json);
        field_keys_unref(again);
        field_keys_unref(keys);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_decoders_write_stays_byte_for_byte),
        cmocka_unit_test(what_is_written_otherwise_is_written_anew),
        cmocka_unit_test(what_a_document_must_not_hold_is_left_out),
        cmocka_unit_test(a_name_too_many_goes_by_way_of_a_tree),
        cmocka_unit_test(what_is_no_object_is_refused),
        cmocka_unit_test(every_other_byte_means_what_a_tree_says),
        cmocka_unit_test(members_say_their_values),
        cmocka_unit_test(numbers_are_read_as_by_the_library),
        cmocka_unit_test(equal_is_what_says_the_same),
        cmocka_unit_test(a_tree_and_back_is_the_same_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
