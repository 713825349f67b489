/* status_index.c: an indexer's answer is hostile until read: what is missing or odd is left out, never a reason to fail. */
#include "client/cli/status_index.h"

#include "client/cli/table.h"
#include "proto/base/json_read.h"

#include <inttypes.h>
#include <stdlib.h>

static const struct table_column index_columns[] = {
    { "node", false },          { "indexed by", false }, { "state", false },
    { "records behind", true }, { "for", true },
};

static const char *index_text(const json_t *object, const char *key, const char *fallback)
{
    const char *text;

    return json_opt_string(object, key, fallback, &text, NULL) == STATUS_OK ? text : fallback;
}

static uint64_t index_number(const json_t *object, const char *key)
{
    uint64_t number;

    return json_opt_u64(object, key, INT64_MAX, 0, &number, NULL) == STATUS_OK ? number : 0;
}

static json_t *index_parse(const struct probe *probe)
{
    json_t *status = NULL;

    if (probe->is_node || probe->status_json == NULL ||
        json_parse(probe->status_json, strlen(probe->status_json), &status, NULL) != STATUS_OK)
        return NULL;
    if (json_is_object(status))
        return status;
    json_decref(status);
    return NULL;
}

/* --- who tails what --- */

/* Of an indexer's own nodes it knows how far behind they are; of another's only whose they are. */
static const json_t *index_tail(const json_t *status, const char *node)
{
    const json_t *tails = json_object_get(status, "nodes"), *tail;
    size_t i;

    json_array_foreach (tails, i, tail) {
        if (strcmp(index_text(tail, "id", ""), node) == 0)
            return tail;
    }
    return NULL;
}

static void index_row(const json_t *status, const json_t *indexer, const char *node, struct table *table)
{
    const json_t *tail = index_tail(status, node);

    table_cell(table, node);
    table_cell(table, index_text(indexer, "name", NULL));
    if (tail == NULL) {
        table_cell(table, NULL);
        table_cell(table, NULL);
        table_cell(table, NULL);
        return;
    }
    table_cell(table, json_is_false(json_object_get(tail, "reachable"))  ? "cut off"
                      : json_is_true(json_object_get(tail, "caught_up")) ? "caught up"
                                                                         : "reading");
    table_cellf(table, "%" PRIu64, index_number(tail, "records_behind"));
    table_cellf(table, "%" PRIu64 " s", index_number(tail, "seconds_behind"));
}

/* A node stands once: by the indexer that tails it when that was asked, else by any that names it. */
static bool index_is_told_by(const json_t *status, const json_t *indexer, json_t *const *all,
                             size_t count, const char *node)
{
    if (json_is_true(json_object_get(indexer, "self")))
        return true;
    for (size_t i = 0; i < count; i++)
        if (index_tail(all[i], node) != NULL)
            return false;
    for (size_t i = 0; i < count && all[i] != status; i++)
        if (all[i] != NULL)
            return false; /* an indexer before this one has named it */
    return true;
}

static void index_rows(const json_t *status, json_t *const *all, size_t count, struct table *table)
{
    const json_t *indexers = json_object_get(status, "indexers"), *indexer, *node;
    size_t i, k;

    json_array_foreach (indexers, i, indexer) {
        json_array_foreach (json_object_get(indexer, "nodes"), k, node) {
            if (json_is_string(node) &&
                index_is_told_by(status, indexer, all, count, json_string_value(node)))
                index_row(status, indexer, json_string_value(node), table);
        }
    }
}

/* --- the rest, a line each --- */

static void index_catalog(const char *url, const json_t *status, struct buf *buf)
{
    const json_t *catalog = json_object_get(status, "catalog");
    bool ok = !json_is_false(json_object_get(catalog, "ok"));

    buf_format(buf, "index at %s: %s%s%s, %zu indexers alive\n", url,
               index_text(catalog, "backend", "database"),
               ok ? " answers" : " is in trouble: ", ok ? "" : index_text(catalog, "detail", "?"),
               json_array_size(json_object_get(status, "indexers")));
}

static void index_sweep(const json_t *status, struct buf *buf)
{
    const json_t *sweep = json_object_get(status, "sweep");

    if (!json_is_object(sweep))
        return;
    if (json_is_true(json_object_get(sweep, "running")))
        buf_format(buf, "  sweep under way: %" PRIu64 " of %" PRIu64 " runs, at %s\n",
                   index_number(sweep, "runs_done"), index_number(sweep, "runs"),
                   index_text(sweep, "run", "?"));
    else
        buf_format(buf, "  last sweep: %s\n", index_text(sweep, "ended_at", "none yet"));
    if (index_number(sweep, "kept") > 0)
        buf_format(buf, "  named on nodes alone that are no members: %" PRIu64 " (gribstore check lists them)\n",
                   index_number(sweep, "kept"));
    buf_format(buf,
               "  removed: %" PRIu64 " files, %" PRIu64 " documents; nodes skipped: %" PRIu64
               "; runs that differed: %" PRIu64 ", not healed: %" PRIu64 ", read again: %" PRIu64 "\n",
               index_number(sweep, "files_removed"), index_number(sweep, "documents_removed"),
               index_number(sweep, "nodes_skipped"), index_number(sweep, "differing"),
               index_number(sweep, "unhealed"), index_number(sweep, "read_again"));
}

void status_index_print(const struct probes *probes, struct buf *buf)
{
    json_t **all = calloc(probes->count + 1, sizeof *all);
    struct table table;

    if (all == NULL) {
        buf->status = STATUS_NO_MEMORY;
        return;
    }
    table_init(&table, index_columns, ARRAY_COUNT(index_columns));
    for (size_t i = 0; i < probes->count; i++)
        all[i] = index_parse(&probes->items[i]);
    for (size_t i = 0; i < probes->count; i++)
        if (all[i] != NULL)
            index_rows(all[i], all, probes->count, &table);
    if (table.rows > 0)
        table_print(&table, true, true, buf);
    table_fini(&table);
    for (size_t i = 0; i < probes->count; i++) {
        if (all[i] == NULL)
            continue;
        index_catalog(probes->items[i].url, all[i], buf);
        index_sweep(all[i], buf);
        json_decref(all[i]);
    }
    free(all);
}

void status_index_json(const struct probe *probe, struct json_writer *json)
{
    json_t *status = index_parse(probe);
    char *text = status != NULL ? json_dumps(status, JSON_COMPACT) : NULL;

    if (text != NULL) {
        json_key(json, "index");
        json_raw(json, text, strlen(text));
    }
    free(text);
    json_decref(status);
}
