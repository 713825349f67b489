/* check.c: a pass; with --repair whoever is responsible is asked, and there are passes until nothing is left, or the time is over. */
#include "client/check.h"

#include "client/check_pass.h"
#include "client/check_repair.h"
#include "proto/base/clock.h"

#include <stdlib.h>

enum { REPAIR_PAUSE_MS = 300 };

static bool is_to_be_mended(const struct check_report *report)
{
    for (size_t i = 0; i < report->findings_count; i++)
        if (check_kind_info(report->findings[i].kind)->weight == CHECK_DIFFERENCE)
            return true;
    return false;
}

/* The findings of one move into the other, whose own have gone before. */
static void findings_move(struct check_report *to, struct check_report *from)
{
    to->findings = from->findings;
    to->findings_count = from->findings_count;
    to->findings_room = from->findings_room;
    from->findings = NULL;
    from->findings_count = from->findings_room = 0;
}

/* What was lost stays in the report: that the index does not name it any more brings no byte back. */
static enum status keep_lost(struct check_report *report, const struct check_report *first,
                             struct error *err)
{
    for (size_t i = 0; i < first->findings_count; i++) {
        const struct check_finding *lost = &first->findings[i];
        if (lost->kind != CHECK_LOST)
            continue;
        struct check_finding *kept = check_report_add(report, CHECK_LOST, &lost->run, "");
        if (kept == NULL)
            return error_set(err, STATUS_NO_MEMORY, "no memory for findings");
        if (kept->count < lost->count)
            *kept = *lost; /* it owns no digests */
    }
    check_report_sort(report);
    return STATUS_OK;
}

static void count_mended(struct check_report *report, const struct check_report *first)
{
    for (size_t i = 0; i < first->findings_count; i++) {
        bool left = check_kind_info(first->findings[i].kind)->weight < CHECK_DIFFERENCE;
        for (size_t j = 0; !left && j < report->findings_count; j++)
            left = check_finding_same(&first->findings[i], &report->findings[j]);
        report->mended += !left;
    }
}

/* What of `left` is to be mended is asked for; then what is left is looked for in the runs that differed at first. */
static enum status repair_round(struct check_repair *repair, const struct check_report *first,
                                struct check_report *left, struct error *err)
{
    const struct check_pass pass = { repair->session, repair->options, first };
    struct check_report again = { 0 };
    enum status status = STATUS_OK;

    for (size_t i = 0; status == STATUS_OK && i < left->findings_count; i++)
        status = check_repair_ask(repair, &left->findings[i], err);
    if (status == STATUS_OK)
        status = session_wait(repair->session, REPAIR_PAUSE_MS, err);
    if (status == STATUS_OK)
        status = check_pass(&pass, &again, err);
    if (status == STATUS_OK && left != first) {
        struct check_report old = { 0 };
        findings_move(&old, left);
        check_report_fini(&old);
    }
    if (status == STATUS_OK)
        findings_move(repair->report, &again);
    check_report_fini(&again);
    return status;
}

static enum status repair_all(struct gs_session *session, const struct check_options *options,
                              struct check_report *report, struct error *err)
{
    uint64_t until_ms = clock_monotonic_ms() + options->wait_ms;
    struct check_report first = { 0 };
    struct check_repair repair;

    if (!is_to_be_mended(report))
        return STATUS_OK;
    findings_move(&first, report);
    enum status status = check_repair_init(&repair, session, options, report, err);
    if (status == STATUS_OK)
        status = repair_round(&repair, &first, &first, err);
    while (status == STATUS_OK && is_to_be_mended(report) && clock_monotonic_ms() < until_ms)
        status = repair_round(&repair, &first, report, err);
    if (status == STATUS_OK)
        status = keep_lost(report, &first, err);
    if (status == STATUS_OK)
        count_mended(report, &first);
    check_report_fini(&first);
    check_repair_fini(&repair);
    return status;
}

/* One run was meant, and nobody knows it: that is not clean. */
static enum status check_was_there(const struct check_options *options,
                                   const struct check_report *report, struct error *err)
{
    char name[RUN_TEXT_SIZE];

    for (size_t i = 0; options->run != NULL && i < report->findings_count; i++)
        if (report->findings[i].has_run)
            return STATUS_OK;
    if (options->run == NULL || report->runs > 0)
        return STATUS_OK;
    run_key_print(options->run, name);
    return error_set(err, STATUS_NOT_FOUND,
                     "neither the index nor a node that answers knows a run %s that is not over", name);
}

enum status check_cluster(struct gs_session *session, const struct check_options *options,
                          struct check_report *report, struct error *err)
{
    const struct check_pass pass = { session, options, NULL };
    uint64_t started_ms = clock_monotonic_ms();

    *report = (struct check_report){ 0 };
    enum status status = check_pass(&pass, report, err);
    if (status == STATUS_OK)
        status = check_was_there(options, report, err);
    if (status == STATUS_OK && options->repair)
        status = repair_all(session, options, report, err);
    report->took_ms = clock_monotonic_ms() - started_ms;
    return status;
}
