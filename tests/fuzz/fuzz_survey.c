/* fuzz_survey.c: what nodes say of what they hold and of themselves, and a plan that was kept.
 *
 * Input: lines. The first two are listings of two nodes (GET /cluster/runs), then what the first one says at /cluster/capacity,
 * /cluster/sync and /cluster/releases, then a plan. What was read is in order, in bounds, and adds up; what would move from there is
 * no more than what there is. A plan that is read is printed as one that is read again. */
#include "client/cli/cluster_plan_text.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

enum { FUZZ_SHARDS = 8 };

static struct slice next_line(struct slice *rest)
{
    const uint8_t *end = rest->size > 0 ? memchr(rest->data, '\n', rest->size) : NULL;
    struct slice line = slice_of(rest->data, end != NULL ? (size_t)(end - rest->data) : rest->size);

    *rest = end != NULL ? slice_of(end + 1, rest->size - line.size - 1) : slice_of(rest->data, 0);
    return line;
}

static struct cluster_map *map_of_two(void)
{
    static const char json[] =
        "{\"cluster\":\"0123456789abcdef0123456789abcdef\",\"epoch\":1,\"shards\":8,\"replicas\":1,\"min_replicas\":1,\"indexers\":[],"
        "\"nodes\":[{\"id\":\"a\",\"url\":\"http://a\",\"host\":\"\",\"colo\":\"\",\"weight\":1,\"state\":\"in\"},"
        "{\"id\":\"b\",\"url\":\"http://b\",\"host\":\"\",\"colo\":\"\",\"weight\":1,\"state\":\"in\"}],"
        "\"eras\":[{\"from\":null,\"owners\":[[\"a\"],[\"a\"],[\"a\"],[\"a\"],[\"b\"],[\"b\"],[\"b\"],[\"b\"]]}]}";
    struct cluster_map *map = map_parse(json, sizeof json - 1, NULL);

    MUST(map != NULL);
    return map;
}

static void check_node(const struct survey *survey, const struct survey_node *node)
{
    uint64_t messages = 0, bytes = 0;

    for (size_t i = 0; i < node->holdings_count; i++) {
        const struct survey_holding *at = &node->holdings[i];
        MUST(at->run < survey->runs_count && at->shard < FUZZ_SHARDS);
        MUST(i == 0 || at[-1].run < at->run || (at[-1].run == at->run && at[-1].shard < at->shard));
        messages += at->messages;
        bytes += at->bytes;
    }
    MUST(messages == node->messages && bytes == node->bytes);
    MUST(node->listed || node->holdings_count == 0);
    MUST(!node->disk.known ||
         (node->disk.used <= node->disk.total && node->disk.high_water <= node->disk.total));
}

static void check_moves(const struct survey *survey, const struct cluster_map *map)
{
    struct cluster_moves moves;

    MUST(cluster_moves_make(map, map, survey, &moves, NULL) == STATUS_OK);
    uint64_t held = survey->nodes[0].messages + survey->nodes[1].messages;
    MUST(moves.in.messages <= held && moves.out.messages <= held && moves.table_bytes == 0);
    cluster_moves_fini(&moves);
}

static void take_survey(struct slice *rest)
{
    struct survey survey = { .nodes = calloc(2, sizeof survey.nodes[0]), .nodes_count = 2 };
    struct cluster_map *map = map_of_two();
    struct error err;

    MUST(survey.nodes != NULL);
    for (size_t i = 0; i < 2; i++) {
        error_init(&err);
        survey.nodes[i].id[0] = (char)('a' + i);
        MUST(survey_read_listing(&survey, &survey.nodes[i], FUZZ_SHARDS, next_line(rest), &err) == STATUS_OK ||
             err.text[0] != '\0');
    }
    survey_read_capacity(&survey.nodes[0], next_line(rest));
    survey_read_sync(&survey.nodes[0], next_line(rest));
    survey_read_releases(&survey.nodes[0], next_line(rest));
    MUST(survey_order(&survey, NULL) == STATUS_OK);
    for (size_t i = 0; i < survey.runs_count; i++)
        MUST(source_valid(slice_text(survey.runs[i].key.source)) &&
             (i == 0 || run_key_compare(&survey.runs[i - 1].key, &survey.runs[i].key) < 0));
    for (size_t i = 0; i < 2; i++)
        check_node(&survey, &survey.nodes[i]);
    check_moves(&survey, map);
    survey_fini(&survey);
    map_unref(map);
}

static void take_plan(struct slice text)
{
    struct change_plan plan, again;
    struct error err;
    struct buf printed;

    error_init(&err);
    change_plan_init(&plan);
    change_plan_init(&again);
    buf_init(&printed, CLUSTER_PLAN_SIZE_MAX);
    if (change_plan_parse(&plan, text, &err) == STATUS_OK) {
        MUST(plan.after->epoch == plan.before->epoch + 1 && plan.after->shards == plan.before->shards);
        change_plan_print_json(&plan, &printed);
        MUST(change_plan_parse(&again, slice_of(printed.data, printed.size), &err) == STATUS_OK);
        MUST(again.action == plan.action && strcmp(again.subject, plan.subject) == 0);
    } else {
        MUST(err.text[0] != '\0');
    }
    buf_fini(&printed);
    change_plan_fini(&plan);
    change_plan_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of(data, size);

    take_survey(&rest);
    take_plan(rest);
    return 0;
}
