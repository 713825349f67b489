/* check_findings.h: findings as they are gathered: messages of one kind, run and node are one. Pure. */
#ifndef CLIENT_CHECK_FINDINGS_H
#define CLIENT_CHECK_FINDINGS_H

#include "client/check.h"

/* Of a run (NULL: of none) and a node ("": none); one more when it is there already. NULL: no memory. */
struct check_finding *check_report_add(struct check_report *report, enum check_kind kind,
                                       const struct run_key *run, const char *node);
/* Each message counts for its kind and node. */
enum status check_report_add_items(struct check_report *report, const struct cluster_map *map,
                                   const struct run_key *run, const struct check_items *items,
                                   struct error *err);
bool check_finding_same(const struct check_finding *a, const struct check_finding *b); /* kind, run, node */
/* By weight, the heaviest first; then by run, kind, node. */
void check_report_sort(struct check_report *report);

#endif
