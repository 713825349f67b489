/* gribgen_plan.h: which messages a run has, in order, from what was asked.
 *
 * A run goes step by step, in a step member by member, in a member parameter by parameter with its levels, as a forecast model
 * writes it. The plan is worked out message by message and keeps nothing of what it gave. */
#ifndef GRIBGEN_PLAN_H
#define GRIBGEN_PLAN_H

#include "gribgen_field.h"
#include "gribgen_grid.h"
#include "gribgen_list.h"

enum {
    GEN_PARAMS_MAX = 64,
    GEN_MESSAGE_FIELDS_MAX = 2,
    GEN_MEMBERS_MAX = 255,
    GEN_EDITION_BOTH = 3
};

/* What was asked. */
struct gen_request {
    enum gen_centre centre;
    int edition;     /* 1, 2 or GEN_EDITION_BOTH: each parameter in the edition its row names */
    int members;     /* perturbed members; 0: one deterministic forecast */
    bool control;    /* the control forecast too, as member 0 */
    bool multi;      /* u and v of a level in one message, where edition 2 carries them */
    bool minutes;    /* a few fields at 90 minutes besides the steps */
    bool steps_open; /* go on behind the last step, by 6 hours, until count is reached */
    uint64_t count;  /* messages; 0: as many as there are */
    int64_t base_time;
    uint64_t seed;
    int bits;
    struct gen_grid grid;
    double size_median; /* 0: all on grid */
    bool param_wanted[GEN_PARAMS_MAX];
    struct gen_list steps;
    struct gen_list levels;
};

struct gen_message {
    size_t fields_count;
    struct gen_field field[GEN_MESSAGE_FIELDS_MAX];
    struct gen_grid grid;
};

/* One parameter on one level: what there is of every step and member. */
struct gen_slot {
    const struct gen_param *param;
    const struct gen_param *second; /* the v that shares the message, or NULL */
    int edition;
    int32_t level;
};

struct gen_plan {
    const struct gen_request *request; /* borrowed: as long as the plan */
    struct gen_slot *slots;            /* owned */
    size_t slots_count, slots_room;
    int members_first, members_last;
    bool minutes_due; /* the step at 90 minutes is still to come */
    bool in_minutes;  /* ... or is now */
    size_t step;
    int member;
    size_t slot;
    uint64_t given;
    struct gen_grid grid[GEN_MESSAGE_FIELDS_MAX][GEN_SPREADS]; /* by fields in the message - 1, class of size */
};

/* Get ready for the first message. Fails when nothing fits the request; then there is nothing to close. */
bool gen_plan_open(struct gen_plan *plan, const struct gen_request *request, struct gen_error *err);

/* The next message; false when there is none any more. */
bool gen_plan_next(struct gen_plan *plan, struct gen_message *message);

void gen_plan_close(struct gen_plan *plan);

#endif
