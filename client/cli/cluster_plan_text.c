/* cluster_plan_text.c: plans as tables, documents and files. */
#include "client/cli/cluster_plan_text.h"

#include "client/cli/table.h"
#include "proto/base/json_read.h"

#include <inttypes.h>
#include <stdio.h>

void change_plan_init(struct change_plan *plan)
{
    *plan = (struct change_plan){ .before = NULL };
    buf_init(&plan->why, CLI_OUTPUT_MAX);
}

void change_plan_fini(struct change_plan *plan)
{
    map_unref(plan->before);
    map_unref(plan->after);
    cluster_moves_fini(&plan->moves);
    survey_fini(&plan->survey);
    buf_fini(&plan->why);
}

enum status change_plan_judge(struct change_plan *plan, struct error *err)
{
    enum status status = cluster_moves_make(plan->before, plan->after, &plan->survey, &plan->moves, err);

    if (status != STATUS_OK)
        return status;
    plan->reasons = cluster_reasons(plan->action, plan->subject, plan->before, plan->after,
                                    &plan->survey, &plan->moves, &plan->why);
    return STATUS_OK;
}

/* ---- for people ---- */

static const struct table_column plan_columns[] = {
    { "node", false }, { "state", false },       { "shards", true }, { "messages in", true },
    { "in", true },    { "messages out", true }, { "out", true },    { "held after", true },
    { "fill", true },  { "peak", true },         { "after", true },  { "time", true },
};

static const struct map_node *plan_node(const struct moves_node *node)
{
    return node->after != NULL ? node->after : node->before;
}

static void row_state(const struct moves_node *node, struct table *table)
{
    if (node->before == NULL)
        table_cellf(table, "comes");
    else if (node->after == NULL)
        table_cellf(table, "leaves");
    else if (node->before->state != node->after->state)
        table_cellf(table, "%s -> %s", node_state_name(node->before->state),
                    node_state_name(node->after->state));
    else
        table_cell(table, node_state_name(node->after->state));
}

static void row_shards(const struct moves_node *node, struct table *table)
{
    if (node->shards_before == node->shards_after)
        table_cellf(table, "%u", node->shards_after);
    else
        table_cellf(table, "%u -> %u", node->shards_before, node->shards_after);
}

static void row_part(const struct moves_part *part, struct table *table)
{
    char size[CLI_SIZE_TEXT];

    if (part->messages == 0) {
        table_cell(table, NULL);
        table_cell(table, NULL);
        return;
    }
    table_cellf(table, "%" PRIu64, part->messages);
    table_cell(table, text_of_size(part->bytes, size));
}

static void row_fill(const struct moves_node *node, uint64_t used, struct table *table)
{
    if (node->disk_known)
        table_cellf(table, "%.1f %%", 100.0 * (double)used / (double)node->seen->disk.total);
    else
        table_cell(table, NULL);
}

static void plan_row(const struct moves_node *node, struct table *table)
{
    char text[CLI_SIZE_TEXT];

    table_cell(table, plan_node(node)->id);
    row_state(node, table);
    row_shards(node, table);
    row_part(&node->in, table);
    row_part(&node->out, table);
    table_cell(table, node->seen != NULL && node->seen->listed ? text_of_size(node->left.bytes, text)
                                                               : NULL);
    row_fill(node, node->disk_known ? node->seen->disk.used : 0, table);
    row_fill(node, node->used_peak, table);
    row_fill(node, node->used_after, table);
    table_cell(table, node->seconds_known ? text_of_ms((uint64_t)(node->seconds * 1000), text) : NULL);
}

static void print_eras(const struct cluster_map *before, const struct cluster_map *after, struct buf *buf)
{
    char from[BASE_TIME_TEXT_SIZE];

    if (before->eras_count == after->eras_count)
        return;
    buf_format(buf, "eras: %u -> %u", before->eras_count, after->eras_count);
    if (after->eras_count > 1) {
        base_time_print(after->eras[after->eras_count - 1].from, from);
        buf_format(buf, ", the newest holds for base times from %s on", from);
    }
    buf_text(buf, "\n");
}

static void print_sums(const struct change_plan *plan, struct buf *buf)
{
    const struct cluster_moves *moves = &plan->moves;
    char in[CLI_SIZE_TEXT], out[CLI_SIZE_TEXT], time[CLI_SIZE_TEXT];

    buf_format(buf, "moves %s in %" PRIu64 " messages", text_of_size(moves->in.bytes, in),
               moves->in.messages);
    if (moves->ideal_bytes > 0)
        buf_format(buf, ", %.2f times the least that gives every node its share",
                   (double)moves->table_bytes / (double)moves->ideal_bytes);
    buf_format(buf, "; given up afterwards: %s\n", text_of_size(moves->out.bytes, out));
    if (moves->seconds_known)
        buf_format(buf, "%s at the rate at which nodes may pull (their sync-rate), which is a figure and no promise\n",
                   text_of_ms((uint64_t)(moves->seconds * 1000), time));
    buf_format(buf, "copies of each shard: at least %u, then %u", moves->copies_before,
               moves->copies_after);
    if (moves->has_data)
        buf_format(buf, "; of what is held, at least %u whole copies were seen on nodes that stay",
                   moves->copies_seen);
    if (moves->same_host_after > moves->same_host_before)
        buf_format(buf, "\nshards with two copies on one host: %u, then %u",
                   moves->same_host_before, moves->same_host_after);
    buf_text(buf, "\n");
}

void change_plan_print(const struct change_plan *plan, bool people, struct buf *buf)
{
    struct table table;

    buf_format(buf, "%s%s%s: cluster %s, epoch %" PRIu64 " -> %" PRIu64 "\n",
               cluster_action_name(plan->action), plan->subject[0] != '\0' ? " " : "",
               plan->subject, plan->before->cluster, plan->before->epoch, plan->after->epoch);
    print_eras(plan->before, plan->after, buf);
    table_init(&table, plan_columns, ARRAY_COUNT(plan_columns));
    for (size_t i = 0; i < plan->moves.count; i++)
        plan_row(&plan->moves.nodes[i], &table);
    table_print(&table, people, people, buf);
    table_fini(&table);
    print_sums(plan, buf);
    if (plan->why.size > 0)
        buf_format(buf, "refused, unless --force names the reason:\n%.*s", (int)plan->why.size,
                   (const char *)plan->why.data);
}

/* ---- for programs ---- */

static void json_part(struct json_writer *json, const char *key, const struct moves_part *part)
{
    json_key(json, key);
    json_object_begin(json);
    json_put_u64(json, "messages", part->messages);
    json_put_u64(json, "bytes", part->bytes);
    json_object_end(json);
}

static void json_disk(struct json_writer *json, const struct moves_node *node)
{
    json_put_u64(json, "disk_total", node->seen->disk.total);
    json_put_u64(json, "disk_used", node->seen->disk.used);
    json_put_u64(json, "disk_used_peak", node->used_peak);
    json_put_u64(json, "disk_used_after", node->used_after);
    if (node->seen->disk.high_water > 0)
        json_put_u64(json, "disk_high_water", node->seen->disk.high_water);
}

static void json_node(struct json_writer *json, const struct moves_node *node)
{
    json_object_begin(json);
    json_put_string(json, "id", plan_node(node)->id);
    json_put_string(json, "url", plan_node(node)->url);
    json_put_string(json, "state_before",
                    node->before != NULL ? node_state_name(node->before->state) : NULL);
    json_put_string(json, "state_after", node->after != NULL ? node_state_name(node->after->state) : NULL);
    json_put_u64(json, "shards_before", node->shards_before);
    json_put_u64(json, "shards_after", node->shards_after);
    json_put_bool(json, "listed", node->seen != NULL && node->seen->listed);
    json_part(json, "held", &node->held);
    json_part(json, "in", &node->in);
    json_part(json, "out", &node->out);
    json_part(json, "held_after", &node->left);
    if (node->disk_known)
        json_disk(json, node);
    if (node->seconds_known)
        json_put_double(json, "seconds", node->seconds);
    json_object_end(json);
}

static void json_sums(struct json_writer *json, const struct cluster_moves *moves)
{
    json_part(json, "in", &moves->in);
    json_part(json, "out", &moves->out);
    json_put_u64(json, "owned_newly_bytes", moves->table_bytes);
    json_put_u64(json, "least_bytes", moves->ideal_bytes);
    if (moves->seconds_known)
        json_put_double(json, "seconds", moves->seconds);
    json_put_u64(json, "copies_before", moves->copies_before);
    json_put_u64(json, "copies_after", moves->copies_after);
    json_put_u64(json, "shards_fewer", moves->shards_fewer);
    json_put_u64(json, "same_host_before", moves->same_host_before);
    json_put_u64(json, "same_host_after", moves->same_host_after);
    if (moves->has_data)
        json_put_u64(json, "copies_seen", moves->copies_seen);
}

static void json_reasons(struct json_writer *json, const struct change_plan *plan)
{
    struct slice rest = slice_of(plan->why.data, plan->why.size);

    json_key(json, "refused");
    json_array_begin(json);
    while (rest.size > 0) {
        const uint8_t *end = memchr(rest.data, '\n', rest.size);
        const uint8_t *colon = memchr(rest.data, ':', (size_t)(end - rest.data));
        json_object_begin(json);
        json_key(json, "reason");
        json_slice(json, slice_of(rest.data, (size_t)(colon - rest.data)));
        json_key(json, "detail");
        json_slice(json, slice_of(colon + 2, (size_t)(end - colon - 2)));
        json_object_end(json);
        rest = slice_of(end + 1, rest.size - (size_t)(end + 1 - rest.data));
    }
    json_array_end(json);
}

static void json_map(struct json_writer *json, const char *key, const struct cluster_map *map)
{
    struct buf text;

    buf_init(&text, MAP_JSON_SIZE_MAX);
    map_print(map, &text);
    json_key(json, key);
    json_raw(json, text.data, text.size);
    buf_fini(&text);
}

void change_plan_print_json(const struct change_plan *plan, struct buf *buf)
{
    struct json_writer json;

    json_init(&json, buf);
    json_object_begin(&json);
    json_put_u64(&json, "plan", CLUSTER_PLAN_FORMAT);
    json_put_string(&json, "action", cluster_action_name(plan->action));
    json_put_string(&json, "subject", plan->subject);
    json_put_string(&json, "cluster", plan->before->cluster);
    json_put_u64(&json, "epoch", plan->before->epoch);
    json_sums(&json, &plan->moves);
    json_key(&json, "nodes");
    json_array_begin(&json);
    for (size_t i = 0; i < plan->moves.count; i++)
        json_node(&json, &plan->moves.nodes[i]);
    json_array_end(&json);
    json_reasons(&json, plan);
    json_map(&json, "before", plan->before);
    json_map(&json, "after", plan->after);
    json_object_end(&json);
}

/* ---- read again ---- */

static enum status parse_map(const json_t *json, const char *key, struct cluster_map **map,
                             struct error *err)
{
    const json_t *object = json_object_get(json, key);
    struct json_writer writer;
    struct buf text;

    if (object == NULL)
        return error_set(err, STATUS_BAD_VALUE, "%s: missing", key);
    buf_init(&text, MAP_JSON_SIZE_MAX);
    json_init(&writer, &text);
    json_print(&writer, object);
    enum status status = buf_status(&text);
    if (status != STATUS_OK)
        error_set(err, status, "too large");
    else
        *map = map_parse(text.data, text.size, err);
    buf_fini(&text);
    if (status == STATUS_OK && *map == NULL)
        status = err->status;
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "%s", key);
}

static enum status parse_head(struct change_plan *plan, const json_t *json, struct error *err)
{
    const char *action, *subject;
    uint64_t format;

    enum status status = json_get_u64(json, "plan", UINT32_MAX, &format, err);
    if (status == STATUS_OK && format != CLUSTER_PLAN_FORMAT)
        return error_set(err, STATUS_BAD_VALUE, "plan: of another form (%" PRIu64 ")", format);
    if (status == STATUS_OK)
        status = json_get_string(json, "action", &action, err);
    if (status == STATUS_OK && !cluster_action_parse(action, &plan->action))
        return error_set(err, STATUS_BAD_VALUE, "action: '%.40s' is none", action);
    if (status == STATUS_OK)
        status = json_get_string(json, "subject", &subject, err);
    if (status == STATUS_OK && subject[0] != '\0' && !node_id_valid(subject))
        return error_set(err, STATUS_BAD_VALUE, "subject: no id of a node");
    if (status == STATUS_OK)
        snprintf(plan->subject, sizeof plan->subject, "%s", subject);
    return status;
}

enum status change_plan_parse(struct change_plan *plan, struct slice text, struct error *err)
{
    json_t *json = NULL;

    enum status status = json_parse(text.data, text.size, &json, err);
    if (status == STATUS_OK)
        status = parse_head(plan, json, err);
    if (status == STATUS_OK)
        status = parse_map(json, "before", &plan->before, err);
    if (status == STATUS_OK)
        status = parse_map(json, "after", &plan->after, err);
    if (status == STATUS_OK && (strcmp(plan->before->cluster, plan->after->cluster) != 0 ||
                                plan->before->shards != plan->after->shards ||
                                plan->after->epoch != plan->before->epoch + 1))
        status = error_set(err, STATUS_BAD_VALUE, "after: does not follow from before");
    json_decref(json);
    return status;
}
