/* test_cluster_plan_text.c: a plan that is kept is the plan that is read again, or none. */
#include "client/cli/cluster_plan_text.h"

#include "tests/unit/client/survey_make.h"

static void plan_make(struct change_plan *plan)
{
    change_plan_init(plan);
    plan->action = CLUSTER_ADD;
    snprintf(plan->subject, sizeof plan->subject, "n3");
    plan->before = made_map(3, 3, 7);
    plan->after = made_map(4, 4, 8);
    made_survey(&plan->survey, plan->before, 1);
    made_run(&plan->survey, plan->before, 1000);
    plan->survey.nodes[3].disk.used = 6000;
    assert_int_equal(survey_order(&plan->survey, NULL), STATUS_OK);
    assert_int_equal(change_plan_judge(plan, NULL), STATUS_OK);
}

static void a_kept_plan_is_read_again(void **state)
{
    (void)state;
    struct change_plan plan, again;
    struct buf text, map, map_again;
    struct error err;

    error_init(&err);
    plan_make(&plan);
    change_plan_init(&again);
    buf_init(&text, CLUSTER_PLAN_SIZE_MAX);
    buf_init(&map, MAP_JSON_SIZE_MAX);
    buf_init(&map_again, MAP_JSON_SIZE_MAX);
    change_plan_print_json(&plan, &text);
    assert_non_null(strstr(buf_string(&text),
                           "\"refused\":[{\"reason\":\"high-water\",\"detail\":\"n3 would have 80.0 %"));
    assert_int_equal(change_plan_parse(&again, slice_of(text.data, text.size), &err), STATUS_OK);
    assert_int_equal(again.action, CLUSTER_ADD);
    assert_string_equal(again.subject, "n3");
    map_print(plan.after, &map);
    map_print(again.after, &map_again);
    assert_string_equal(buf_string(&map), buf_string(&map_again));
    assert_int_equal(again.before->epoch, 7);
    buf_fini(&text);
    buf_fini(&map);
    buf_fini(&map_again);
    change_plan_fini(&plan);
    change_plan_fini(&again);
}

/* Replaces the first `from` in the plan's text. */
static void parse_fails(const struct buf *text, const char *from, const char *to, const char *why)
{
    const char *at = strstr((const char *)text->data, from);
    struct change_plan plan;
    struct error err;
    struct buf bad;

    assert_non_null(at);
    error_init(&err);
    change_plan_init(&plan);
    buf_init(&bad, CLUSTER_PLAN_SIZE_MAX);
    buf_append(&bad, text->data, (size_t)(at - (const char *)text->data));
    buf_text(&bad, to);
    buf_text(&bad, at + strlen(from));
    assert_int_equal(change_plan_parse(&plan, slice_of(bad.data, bad.size), &err), STATUS_BAD_VALUE);
    if (strstr(err.text, why) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.text, why);
    change_plan_fini(&plan);
    buf_fini(&bad);
}

static void what_is_no_plan_is_refused(void **state)
{
    (void)state;
    struct change_plan plan;
    struct buf text;

    plan_make(&plan);
    buf_init(&text, CLUSTER_PLAN_SIZE_MAX);
    change_plan_print_json(&plan, &text);
    buf_string(&text);
    parse_fails(&text, "{\"plan\":1", "{\"plan\":2", "of another form");
    parse_fails(&text, "{\"plan\":1", "[", "JSON");
    parse_fails(&text, "\"add\"", "\"destroy\"", "'destroy' is none");
    parse_fails(&text, "\"subject\":\"n3\"", "\"subject\":\"A B\"", "no id");
    parse_fails(&text, "\"before\":", "\"was\":", "before");
    parse_fails(&text, "\"epoch\":8", "\"epoch\":9", "does not follow");
    buf_fini(&text);
    change_plan_fini(&plan);
}

static void a_table_has_a_row_for_each_node_and_says_why_not(void **state)
{
    (void)state;
    struct change_plan plan;
    struct buf text;

    plan_make(&plan);
    buf_init(&text, 1 << 16);
    change_plan_print(&plan, true, &text);
    const char *table = buf_string(&text);
    assert_non_null(strstr(table, "add n3: cluster 0123456789abcdef0123456789abcdef, epoch 7 -> 8\n"));
    assert_non_null(strstr(table, "comes"));
    assert_non_null(strstr(table, "3 -> 2"));
    assert_non_null(strstr(table, "moves 2.0 kB in 20 messages, 1.00 times the least"));
    assert_non_null(strstr(table, "20.0 s at the rate at which nodes may pull"));
    assert_non_null(strstr(
        table, "copies of each shard: at least 2, then 2; of what is held, at least 2 whole copies"));
    assert_non_null(strstr(table, "refused, unless --force names the reason:\nhigh-water: n3"));
    buf_fini(&text);
    change_plan_fini(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kept_plan_is_read_again),
        cmocka_unit_test(what_is_no_plan_is_refused),
        cmocka_unit_test(a_table_has_a_row_for_each_node_and_says_why_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
