/* test_client_health.c: what is wrong, and how bad that is. */
#include "client/health.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>

enum { NODES = 3, SERVERS = 4 };

static struct probe servers[SERVERS];
static struct probes probes;

/* Three nodes and an indexer, all well. */
static int all_well(void **state)
{
    (void)state;
    memset(servers, 0, sizeof servers);
    for (int i = 0; i < SERVERS; i++) {
        snprintf(servers[i].url, sizeof servers[i].url, "http://s%d", i);
        servers[i].is_node = i < NODES;
        servers[i].reachable = servers[i].ready = true;
        servers[i].disk = (struct probe_disk){ .known = i < NODES, .free = 500, .used = 500, .reserved = 50 };
    }
    probes = (struct probes){ .items = servers, .count = SERVERS };
    return 0;
}

static struct health_report judge(void)
{
    struct health_report report;

    health_judge(&probes, NULL, &report);
    return report;
}

static bool says(const struct health_report *report, const char *code)
{
    for (unsigned i = 0; i < report->count; i++) {
        if (strcmp(report->checks[i].code, code) == 0)
            return true;
    }
    return false;
}

static void a_cluster_that_is_well_is_ok_and_says_nothing(void **state)
{
    (void)state;
    struct health_report report = judge();
    assert_int_equal(report.health, HEALTH_OK);
    assert_int_equal(report.count, 0);
    assert_string_equal(health_name(report.health), "HEALTH_OK");
}

static void each_trouble_has_its_code(void **state)
{
    (void)state;
    servers[0].reachable = servers[0].ready = false;
    servers[1].ready = false;
    servers[2].disk.used = 9000;
    struct health_report report = judge();
    assert_int_equal(report.health, HEALTH_WARN);
    assert_true(says(&report, "NODE_DOWN"));
    assert_true(says(&report, "NODE_NOT_READY"));
    assert_true(says(&report, "NEARFULL"));
    assert_int_equal(report.count, 3);
}

static void a_full_disk_no_indexer_or_no_node_is_an_error(void **state)
{
    (void)state;
    servers[1].disk.free = 50;
    struct health_report report = judge();
    assert_int_equal(report.health, HEALTH_ERR);
    assert_true(says(&report, "FULL"));

    all_well(state);
    servers[3].reachable = false;
    report = judge();
    assert_int_equal(report.health, HEALTH_ERR);
    assert_true(says(&report, "INDEXER_DOWN"));

    all_well(state);
    for (int i = 0; i < NODES; i++)
        servers[i].reachable = false;
    report = judge();
    assert_int_equal(report.health, HEALTH_ERR);
    assert_true(says(&report, "DATA_UNREACHABLE"));
}

static struct health_report judge_disk(struct probe_disk disk)
{
    disk.known = true;
    servers[1].disk = disk;
    return judge();
}

static void a_disk_is_judged_by_its_own_marks_and_by_how_soon_it_is_full(void **state)
{
    static const struct {
        struct probe_disk disk;
        enum health health;
        const char *code; /* "": none */
        bool filling;
    } cases[] = {
        { { .free = 1100, .used = 8900, .reserved = 500 }, HEALTH_OK, "", false }, /* an older node: 90 % */
        { { .free = 1000, .used = 9000, .reserved = 500 }, HEALTH_WARN, "NEARFULL", false },
        { { .free = 4000, .used = 6000, .reserved = 500, .high_water = 6000 }, HEALTH_WARN, "NEARFULL", false },
        { { .free = 4001, .used = 5999, .reserved = 500, .high_water = 6000 }, HEALTH_OK, "", false },
        { { .free = 599, .used = 9401, .reserved = 500, .high_water = 9000 }, HEALTH_ERR, "NEARFULL", false },
        { { .free = 500, .used = 9500, .reserved = 500, .high_water = 9000 }, HEALTH_ERR, "FULL", false },
        { { .free = 1000, .used = 9000, .reserved = 500, .high_water = 9000, .has_full = true, .full_seconds = 21600 },
          HEALTH_WARN,
          "NEARFULL",
          false },
        { { .free = 1000, .used = 9000, .reserved = 500, .high_water = 9000, .has_full = true, .full_seconds = 21599 },
          HEALTH_ERR,
          "NEARFULL",
          true },
        { { .free = 5000, .used = 5000, .reserved = 500, .high_water = 9000, .has_full = true, .full_seconds = 60 },
          HEALTH_OK,
          "",
          false },
        { { .free = 5000, .used = 5000, .reserved = 500, .sync_left = 1 << 30 }, HEALTH_WARN, "CATCHING_UP", false },
        { { .free = 5000, .used = 5000, .reserved = 500, .sync_left = (1 << 30) - 1 }, HEALTH_OK, "", false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct health_report report = judge_disk(cases[i].disk);
        assert_int_equal(report.health, cases[i].health);
        assert_int_equal(report.count, (cases[i].code[0] != '\0') + cases[i].filling);
        assert_true(cases[i].code[0] == '\0' || says(&report, cases[i].code));
        assert_int_equal(says(&report, "FILLING"), cases[i].filling);
    }
}

static void a_map_that_is_paused_is_told(void **state)
{
    struct cluster_map map = { .paused = true };
    struct health_report report;

    (void)state;
    health_judge(&probes, &map, &report);
    assert_int_equal(report.health, HEALTH_WARN);
    assert_true(says(&report, "PAUSED"));
}

static void what_the_indexer_says_of_its_nodes_counts(void **state)
{
    char text[] = "{\"nodes\":[{\"id\":\"n1\",\"reachable\":true,\"records_behind\":0},"
                  "{\"id\":\"n2\",\"reachable\":false,\"error\":\"refused\"},"
                  "{\"id\":\"n3\",\"reachable\":true,\"records_behind\":20000}]}";

    (void)state;
    servers[3].nodes_json = text;
    struct health_report report = judge();
    assert_int_equal(report.health, HEALTH_WARN);
    assert_int_equal(report.count, 2);
    assert_true(says(&report, "INDEX_CUT_OFF"));
    assert_true(says(&report, "INDEX_LAG"));
}

static void runs_that_stay_different_from_a_node_are_told(void **state)
{
    char well[] = "{\"sweep\":{\"differing\":2,\"unhealed\":0}}", odd[] = "{\"sweep\":[1]}";
    char amiss[] = "{\"sweep\":{\"differing\":2,\"unhealed\":1}}";

    (void)state;
    servers[3].status_json = well;
    assert_int_equal(judge().count, 0);
    servers[3].status_json = odd;
    assert_int_equal(judge().count, 0);
    servers[3].status_json = amiss;
    struct health_report report = judge();
    assert_int_equal(report.health, HEALTH_WARN);
    assert_true(says(&report, "INDEX_DIFFERS"));
}

static void more_checks_than_there_is_room_for_are_counted(void **state)
{
    static struct probe many[HEALTH_CHECKS_MAX + 10];

    (void)state;
    memset(many, 0, sizeof many);
    for (size_t i = 0; i < ARRAY_COUNT(many); i++)
        many[i].is_node = true;
    probes = (struct probes){ .items = many, .count = ARRAY_COUNT(many) };
    struct health_report report = judge();
    assert_int_equal(report.count, HEALTH_CHECKS_MAX);
    assert_int_equal(report.more, 11); /* ten nodes, and that none is left */
}

static void disks_are_read_from_metrics(void **state)
{
    struct probe_disk disk;

    (void)state;
    probe_disk_read(slice_text("# HELP gribstore_disk_bytes Bytes.\n"
                               "gribstore_disk_bytes{state=\"free\"} 1.5e+10\n"
                               "gribstore_disk_bytes{state=\"used\"} 20\n"
                               "gribstore_disk_high_water_bytes 90\ngribstore_disk_low_water_bytes 85\n"
                               "gribstore_disk_growth_bytes_per_second -2.5\ngribstore_disk_full_seconds 7\n"
                               "gribstore_sync_bytes_left 12\ngribstore_sync_bytes_left_over 13\n"
                               "gribstore_release_bytes_left 14\n"
                               "gribstore_disk_bytes{state=\"reserved\"} 30"),
                    &disk);
    assert_int_equal(disk.high_water, 90);
    assert_true(disk.has_growth && disk.growth == -2.5);
    assert_true(disk.has_full && disk.full_seconds == 7);
    assert_int_equal(disk.sync_left, 12);
    assert_int_equal(disk.release_left, 14);
    assert_true(disk.known);
    assert_int_equal(disk.free, 15000000000);
    assert_int_equal(disk.used, 20);
    assert_int_equal(disk.reserved, 30);
    probe_disk_read(slice_text("gribstore_disk_bytes{state=\"used\"} 20\n"), &disk);
    assert_false(disk.known);
    probe_disk_read(slice_text("gribstore_disk_bytes{state=\"free\"} -5\n"), &disk);
    assert_false(disk.known);
    probe_disk_read(
        slice_text("gribstore_disk_full_seconds nan\ngribstore_disk_growth_bytes_per_second 1e400\n"),
        &disk);
    assert_false(disk.has_full || disk.has_growth);
    probe_disk_read(slice_of(NULL, 0), &disk);
    assert_false(disk.known);
}

static void what_is_amiss_is_read_from_readyz(void **state)
{
    struct error err;

    (void)state;
    error_set(&err, STATUS_OVERLOADED, "answered 503");
    probe_ready_read(slice_text("{\"ready\":false,\"checks\":[{\"name\":\"a\",\"ok\":true,\"detail\":\"fine\"},"
                                "{\"name\":\"b\",\"ok\":false,\"detail\":\"no map\"},{\"ok\":false},"
                                "{\"name\":\"c\",\"ok\":false,\"detail\":\"full\"}]}"),
                     &err);
    assert_string_equal(err.text, "no map; full");
    assert_int_equal(err.status, STATUS_OVERLOADED);
    probe_ready_read(slice_text("{\"checks\":3}"), &err);
    probe_ready_read(slice_text("not ready"), &err);
    assert_string_equal(err.text, "no map; full");
}

#define WELL(test) cmocka_unit_test_setup(test, all_well)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WELL(a_cluster_that_is_well_is_ok_and_says_nothing),
        WELL(each_trouble_has_its_code),
        WELL(a_full_disk_no_indexer_or_no_node_is_an_error),
        WELL(a_disk_is_judged_by_its_own_marks_and_by_how_soon_it_is_full),
        WELL(a_map_that_is_paused_is_told),
        WELL(what_the_indexer_says_of_its_nodes_counts),
        WELL(runs_that_stay_different_from_a_node_are_told),
        WELL(more_checks_than_there_is_room_for_are_counted),
        WELL(what_is_amiss_is_read_from_readyz),
        WELL(disks_are_read_from_metrics),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
