/* check_findings.c: the list of findings. */
#include "client/check_findings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool check_finding_same(const struct check_finding *a, const struct check_finding *b)
{
    return a->kind == b->kind && a->has_run == b->has_run && strcmp(a->node, b->node) == 0 &&
           (!a->has_run || run_key_compare(&a->run, &b->run) == 0);
}

struct check_finding *check_report_add(struct check_report *report, enum check_kind kind,
                                       const struct run_key *run, const char *node)
{
    struct check_finding wanted = { .kind = kind, .has_run = run != NULL };

    if (run != NULL)
        wanted.run = *run;
    snprintf(wanted.node, sizeof wanted.node, "%s", node);
    /* The newest are this run's. */
    for (size_t i = report->findings_count; i-- > 0;)
        if (check_finding_same(&report->findings[i], &wanted))
            return &report->findings[i];
    if (report->findings_count == report->findings_room) {
        size_t room = report->findings_room > 0 ? 2 * report->findings_room : 16;
        struct check_finding *grown = realloc(report->findings, room * sizeof *grown);
        if (grown == NULL)
            return NULL;
        report->findings = grown;
        report->findings_room = room;
    }
    report->findings[report->findings_count] = wanted;
    return &report->findings[report->findings_count++];
}

static enum status digests_add(struct check_finding *finding, const struct digest *digest,
                               struct error *err)
{
    if (finding->kind != CHECK_DANGLING && finding->kind != CHECK_MISPLACED)
        return STATUS_OK;
    if (finding->digests_count == finding->digests_room) {
        size_t room = finding->digests_room > 0 ? 2 * finding->digests_room : 64;
        struct digest *grown = realloc(finding->digests, room * sizeof *grown);
        if (grown == NULL)
            return error_set(err, STATUS_NO_MEMORY, "no memory for findings");
        finding->digests = grown;
        finding->digests_room = room;
    }
    finding->digests[finding->digests_count++] = *digest;
    return STATUS_OK;
}

enum status check_report_add_items(struct check_report *report, const struct cluster_map *map,
                                   const struct run_key *run, const struct check_items *items,
                                   struct error *err)
{
    struct check_finding *last = NULL;

    for (size_t i = 0; i < items->count; i++) {
        const struct check_item *item = &items->items[i];
        const char *node = item->node == CHECK_NODE_NONE ? "" : map->nodes[item->node].id;
        if (last == NULL || last->kind != item->kind || strcmp(last->node, node) != 0)
            last = check_report_add(report, item->kind, run, node);
        if (last == NULL)
            return error_set(err, STATUS_NO_MEMORY, "no memory for findings");
        if (digests_add(last, &item->digest, err) != STATUS_OK)
            return STATUS_NO_MEMORY;
        last->count++;
        if (last->examples_count < CHECK_EXAMPLES)
            last->examples[last->examples_count++] = item->digest;
    }
    return STATUS_OK;
}

static int finding_compare(const void *a, const void *b)
{
    const struct check_finding *left = a, *right = b;
    int order = (int)check_kind_info(right->kind)->weight - (int)check_kind_info(left->kind)->weight;

    if (order == 0)
        order = (int)left->has_run - (int)right->has_run;
    if (order == 0 && left->has_run)
        order = run_key_compare(&left->run, &right->run);
    if (order == 0)
        order = (int)left->kind - (int)right->kind;
    return order != 0 ? order : strcmp(left->node, right->node);
}

void check_report_sort(struct check_report *report)
{
    if (report->findings_count > 1)
        qsort(report->findings, report->findings_count, sizeof *report->findings, finding_compare);
}

enum check_weight check_report_weight(const struct check_report *report)
{
    enum check_weight weight = CHECK_NOTE;

    for (size_t i = 0; i < report->findings_count; i++)
        if (check_kind_info(report->findings[i].kind)->weight > weight)
            weight = check_kind_info(report->findings[i].kind)->weight;
    return weight;
}

void check_report_fini(struct check_report *report)
{
    for (size_t i = 0; i < report->findings_count; i++)
        free(report->findings[i].digests);
    free(report->findings);
    free(report->actions);
    *report = (struct check_report){ 0 };
}
