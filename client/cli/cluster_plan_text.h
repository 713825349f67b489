/* cluster_plan_text.h: a plan of a change of the cluster: made, printed for people and programs, kept in a file, read again. */
#ifndef CLIENT_CLI_CLUSTER_PLAN_TEXT_H
#define CLIENT_CLI_CLUSTER_PLAN_TEXT_H

#include "client/cli/output.h"
#include "client/cluster_edit.h"

enum { CLUSTER_PLAN_FORMAT = 1, CLUSTER_PLAN_SIZE_MAX = 192 << 20 };

struct change_plan {
    enum cluster_action action;
    char subject[NODE_ID_SIZE_MAX + 1]; /* id of the node it is about; "" */
    struct cluster_map *before, *after; /* owned */
    bool of_indexer;                    /* who keeps the map */
    struct survey survey;
    struct cluster_moves moves;
    unsigned reasons; /* a bit for each enum cluster_reason */
    struct buf why;   /* owned: a line each */
};

void change_plan_init(struct change_plan *plan);
void change_plan_fini(struct change_plan *plan);

/* From before, after and the survey to moves and reasons. */
enum status change_plan_judge(struct change_plan *plan, struct error *err);

void change_plan_print(const struct change_plan *plan, bool people, struct buf *buf);

/* One document, as `cluster plan -o` keeps it. */
void change_plan_print_json(const struct change_plan *plan, struct buf *buf);

/* Action, subject and the two maps of such a document. BAD_VALUE names the member. Pure. */
enum status change_plan_parse(struct change_plan *plan, struct slice text, struct error *err);

#endif
