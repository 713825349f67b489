/* test_node_api.c: for proto/node_api.c. */
#include "proto/node_api.h"

#include "tests/unit/proto/cmocka_all.h"

static void a_data_file_is_named_by_shard_and_birth(void **state)
{
    (void)state;
    char name[DATA_FILE_NAME_SIZE], path[DATA_PATH_SIZE];
    struct run_key run = { "hres", 1365379200 };

    data_file_name_print(17, 0x6f3a92c1d0e4b7a5, name);
    assert_string_equal(name, "0017-6f3a92c1d0e4b7a5.grib");
    data_file_name_print(16383, 1, name);
    assert_string_equal(name, "16383-0000000000000001.grib");
    data_path_print(&run, 17, 0x6f3a92c1d0e4b7a5, path);
    assert_string_equal(path, "/data/hres/20130408T0000Z/0017-6f3a92c1d0e4b7a5.grib");
}

static void the_longest_path_has_room(void **state)
{
    (void)state;
    char path[DATA_PATH_SIZE];
    struct run_key run = { .base_time = 1365379230 };

    memset(run.source, 's', SOURCE_SIZE_MAX);
    data_path_print(&run, 16383, UINT64_MAX, path);
    assert_non_null(strstr(path, "/20130408T000030Z/16383-ffffffffffffffff.grib"));
}

static void names_are_taken_only_as_they_are_printed(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "17-6f3a92c1d0e4b7a5.grib",
        "00017-6f3a92c1d0e4b7a5.grib",
        "16384-6f3a92c1d0e4b7a5.grib",
        "0017-6F3A92C1D0E4B7A5.grib",
        "0017-0000000000000000.grib",
        "0017-6f3a92c1d0e4b7a.grib",
        "0017-6f3a92c1d0e4b7a50.grib",
        "0017_6f3a92c1d0e4b7a5.grib",
        "0017-6f3a92c1d0e4b7a5.grib2",
        "0017-6f3a92c1d0e4b7a5.grob",
        "+017-6f3a92c1d0e4b7a5.grib",
        "../17-6f3a92c1d0e4b7a5.grib",
    };
    unsigned shard;
    uint64_t birth;

    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_false(data_file_name_parse(slice_text(bad[i]), &shard, &birth));
    for (unsigned i = 0; i < 16384; i += 341) {
        char name[DATA_FILE_NAME_SIZE];
        data_file_name_print(i, UINT64_MAX - i, name);
        assert_true(data_file_name_parse(slice_text(name), &shard, &birth));
        assert_int_equal(shard, i);
        assert_true(birth == UINT64_MAX - i);
        for (size_t cut = 0; cut < strlen(name); cut++)
            assert_false(data_file_name_parse(slice_of(name, cut), &shard, &birth));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_data_file_is_named_by_shard_and_birth),
        cmocka_unit_test(the_longest_path_has_room),
        cmocka_unit_test(names_are_taken_only_as_they_are_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
