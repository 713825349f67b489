/* test_client_query.c: keys as users write them, documents as they are shown. */
#include "client/get.h"
#include "client/query.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static enum status print(const char *const *keys, size_t count, char *text, size_t size, struct error *err)
{
    struct buf path;

    buf_init(&path, 1000);
    enum status status = query_print(keys, count, &path, err);
    snprintf(text, size, "%s", buf_string(&path));
    buf_fini(&path);
    return status;
}

static void keys_become_an_escaped_query(void **state)
{
    static const struct {
        const char *keys[3];
        const char *query;
    } cases[] = {
        { { NULL }, "" },
        { { "param=msl" }, "?param=msl" },
        { { "param=t/z", "step=0/to/24/by/6" }, "?param=t/z&step=0/to/24/by/6" },
        { { "param=msl,levtype=sfc,", "source=hres" }, "?param=msl&levtype=sfc&source=hres" },
        { { "base_time=2013-04-08T00:00:00Z" }, "?base_time=2013-04-08T00:00:00Z" },
        { { "name=a b&c=d%" }, "?name=a%20b%26c%3Dd%25" },
        { { "name=\xc3\xa4" }, "?name=%C3%A4" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        size_t count = 0;
        char text[300];
        struct error err;

        while (count < 3 && cases[i].keys[count] != NULL)
            count++;
        assert_int_equal(print(cases[i].keys, count, text, sizeof text, &err), STATUS_OK);
        assert_string_equal(text, cases[i].query);
    }
}

static void what_is_no_key_and_value_is_named(void **state)
{
    static const char *const cases[] = { "param", "=msl", "param=", "limit=3", "cursor=x", "all=1" };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char text[300];
        struct error err;

        assert_int_equal(print(&cases[i], 1, text, sizeof text, &err), STATUS_BAD_VALUE);
        assert_true(err.text[0] != '\0');
    }
}

static void documents_are_shown_as_they_came(void **state)
{
    const char *text = "{\"param\":\"2t\",\"step\":1.5,\"level\":0.995,\"stored_at\":1365379200000000,\"flag\":true,"
                       "\"none\":null,\"older\":[],\"locations\":[{\"url\":\"http://a/b\",\"offset\":0,\"length\":7}]}";
    json_t *document = json_loads(text, 0, NULL);
    struct gs_field field = { .document = document, .texts = json_object() };
    struct gs_location location;

    (void)state;
    assert_non_null(document);
    buf_init(&field.json, 10000);
    assert_string_equal(gs_field_json(&field), text);
    assert_string_equal(gs_field_text(&field, "param"), "2t");
    assert_string_equal(gs_field_text(&field, "level"), "0.995");
    assert_string_equal(gs_field_text(&field, "stored_at"), "1365379200000000");
    assert_null(gs_field_text(&field, "none"));
    assert_null(gs_field_text(&field, "number"));
    assert_int_equal(gs_field_locations(&field), 1);
    assert_int_equal(gs_field_location(&field, 0, &location), 0);
    assert_string_equal(location.url, "http://a/b");
    assert_int_equal(location.length, 7);
    assert_int_equal(gs_field_location(&field, 1, &location), -1);
    buf_fini(&field.json);
    json_decref(field.texts);
    json_decref(document);
}

static void digests_are_read_as_people_write_them(void **state)
{
    static const struct {
        const char *text;
        bool right;
    } cases[] = {
        { "b414b48c9cc9407ef864619fa6caab260b73921a6a268a1dbf26132435012196", true },
        { "sha256:b414b48c9cc9407ef864619fa6caab260b73921a6a268a1dbf26132435012196", true },
        { "B414B48C9CC9407EF864619FA6CAAB260B73921A6A268A1DBF26132435012196", true },
        { "b414b48c9cc9407ef864619fa6caab260b73921a6a268a1dbf2613243501219", false },
        { "b414b48c9cc9407ef864619fa6caab260b73921a6a268a1dbf261324350121966", false },
        { "g414b48c9cc9407ef864619fa6caab260b73921a6a268a1dbf26132435012196", false },
        { "param=msl", false },
        { "", false },
    };
    struct digest digest;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        assert_int_equal(digest_parse_text(cases[i].text, &digest), cases[i].right);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_become_an_escaped_query),
        cmocka_unit_test(what_is_no_key_and_value_is_named),
        cmocka_unit_test(documents_are_shown_as_they_came),
        cmocka_unit_test(digests_are_read_as_people_write_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
