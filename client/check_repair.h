/* check_repair.h: whoever is responsible for what differs is asked to do its work again. Nothing is deleted from here. */
#ifndef CLIENT_CHECK_REPAIR_H
#define CLIENT_CHECK_REPAIR_H

#include "client/check_findings.h"

struct check_repair {
    struct gs_session *session;
    const struct check_options *options;
    struct cluster_map *map;     /* owned: the newest */
    struct check_report *report; /* borrowed: what is asked for is written down there */
};

enum status check_repair_init(struct check_repair *repair, struct gs_session *session,
                              const struct check_options *options, struct check_report *report,
                              struct error *err);
void check_repair_fini(struct check_repair *repair);

/* What belongs to this finding, unless it was asked for before. Who refuses is written down, and is no failure; CANCELLED, NO_MEMORY. */
enum status check_repair_ask(struct check_repair *repair, const struct check_finding *finding,
                             struct error *err);

#endif
