/* gribgen_plan.c: which messages a run has, in order, from what was asked. */
#include "gribgen_plan.h"

#include <assert.h>
#include <stdlib.h>

enum { MINUTES_STEP = 90, BUCKET_MINUTES = 360 };

/* In a run of both editions a parameter comes in one of them, so that no field is there twice; where the centre has no
 * code for it in that one, it stays out. */
static int plan_edition(const struct gen_request *request, const struct gen_param *param)
{
    int edition = request->edition == GEN_EDITION_BOTH ? param->edition_in_both : request->edition;

    return gen_param_in(param, request->centre, edition) ? edition : 0;
}

static bool plan_add(struct gen_plan *plan, struct gen_slot slot)
{
    if (plan->slots_count == plan->slots_room) {
        size_t room = plan->slots_room == 0 ? 64 : 2 * plan->slots_room;
        struct gen_slot *slots = realloc(plan->slots, room * sizeof *slots);

        if (slots == NULL)
            return false;
        plan->slots = slots;
        plan->slots_room = room;
    }
    plan->slots[plan->slots_count++] = slot;
    return true;
}

static bool plan_add_param(struct gen_plan *plan, struct gen_slot slot)
{
    const struct gen_list *levels = &plan->request->levels;

    if (slot.param->kind == GEN_SOIL)
        slot.level = gen_soil_bottom(plan->request->centre, slot.param->layer);
    if (slot.param->kind != GEN_PRESSURE)
        return plan_add(plan, slot);
    for (size_t i = 0; i < levels->count; i++) {
        slot.level = levels->number[i];
        if (!plan_add(plan, slot))
            return false;
    }
    return true;
}

static bool plan_add_params(struct gen_plan *plan)
{
    const struct gen_request *request = plan->request;

    for (size_t i = 0; i < gen_params_count; i++) {
        struct gen_slot slot = { .param = &gen_params[i] };

        slot.edition = plan_edition(request, slot.param);
        if (!request->param_wanted[i] || slot.edition == 0)
            continue;
        /* v stands behind u in the table, so the next row is its partner and is then stepped over. */
        if (request->multi && slot.edition == 2 && gen_param_leads_pair(slot.param) &&
            request->param_wanted[i + 1] && plan_edition(request, slot.param + 1) == 2)
            slot.second = &gen_params[++i];
        if (!plan_add_param(plan, slot))
            return false;
    }
    return true;
}

/* A message of two fields gets a grid of half the size for each, so that the median is one of messages. */
static void plan_set_grids(struct gen_plan *plan)
{
    const struct gen_request *request = plan->request;

    for (int fields = 1; fields <= GEN_MESSAGE_FIELDS_MAX; fields++) {
        for (int i = 0; i < GEN_SPREADS; i++) {
            double size = request->size_median * gen_grid_spread_factor[i] / fields;
            plan->grid[fields - 1][i] = size > 0 ? gen_grid_for_size(size, request->bits) : request->grid;
        }
    }
}

static bool plan_holds_minutes(const struct gen_list *steps)
{
    for (size_t i = 0; i < steps->count; i++) {
        if (steps->number[i] == MINUTES_STEP)
            return true;
    }
    return false;
}

bool gen_plan_open(struct gen_plan *plan, const struct gen_request *request, struct gen_error *err)
{
    assert(gen_params_count <= GEN_PARAMS_MAX);
    *plan = (struct gen_plan){ .request = request };
    plan->members_first = request->members == 0 ? GEN_NO_MEMBER : request->control ? 0 : 1;
    plan->members_last = request->members == 0 ? GEN_NO_MEMBER : request->members;
    plan->member = plan->members_first;
    plan->minutes_due = request->minutes && !plan_holds_minutes(&request->steps);
    plan_set_grids(plan);
    if (!plan_add_params(plan)) {
        gen_plan_close(plan);
        return gen_fail(err, "out of memory");
    }
    if (plan->slots_count == 0)
        return gen_fail(err, "no parameter of this request exists in this edition of this centre");
    return true;
}

void gen_plan_close(struct gen_plan *plan)
{
    free(plan->slots);
    plan->slots = NULL;
}

/* The step that the plan stands at, or -1 behind the last. */
static int32_t plan_step(const struct gen_plan *plan)
{
    const struct gen_list *steps = &plan->request->steps;
    size_t last = steps->count - 1;

    if (plan->in_minutes)
        return MINUTES_STEP;
    if (plan->step <= last)
        return steps->number[plan->step];
    int64_t step = steps->number[last] + (int64_t)(plan->step - last) * GEN_STEP_DEFAULT_MINUTES;
    return plan->request->steps_open && step < INT32_MAX / 2 ? (int32_t)step : -1;
}

static void plan_advance_step(struct gen_plan *plan)
{
    if (plan->in_minutes) {
        plan->in_minutes = false;
        return;
    }
    plan->step++;
    int32_t step = plan_step(plan);
    if (plan->minutes_due && step > MINUTES_STEP) {
        plan->minutes_due = false;
        plan->in_minutes = true;
    }
}

static void plan_advance(struct gen_plan *plan)
{
    if (++plan->slot < plan->slots_count)
        return;
    plan->slot = 0;
    if (++plan->member <= plan->members_last)
        return;
    plan->member = plan->members_first;
    plan_advance_step(plan);
}

/* At ECMWF an accumulation runs from the start of the forecast, at NCEP over buckets of six hours. */
static int32_t plan_start(const struct gen_plan *plan, const struct gen_param *param, int32_t end)
{
    if (!param->accumulated)
        return end;
    return plan->request->centre == GEN_ECMF ? 0 : (end - 1) / BUCKET_MINUTES * BUCKET_MINUTES;
}

static struct gen_field plan_field(const struct gen_plan *plan, const struct gen_param *param, int32_t step)
{
    const struct gen_slot *slot = &plan->slots[plan->slot];

    return (struct gen_field){
        .param = param,
        .centre = plan->request->centre,
        .edition = slot->edition,
        .level = slot->level,
        .start_minutes = plan_start(plan, param, step),
        .end_minutes = step,
        .member = plan->member,
        .base_time = plan->request->base_time,
    };
}

static void plan_give(struct gen_plan *plan, struct gen_message *message, int32_t step)
{
    const struct gen_slot *slot = &plan->slots[plan->slot];

    *message = (struct gen_message){ .fields_count = slot->second == NULL ? 1 : 2 };
    message->field[0] = plan_field(plan, slot->param, step);
    if (slot->second != NULL)
        message->field[1] = plan_field(plan, slot->second, step);
    message->grid = plan->grid[message->fields_count - 1][gen_grid_spread(plan->request->seed, plan->given)];
    plan->given++;
}

/* Edition 1 has its 90 minutes only where the user lists them: grib_ls of ecCodes 2.28 ends at such a message. */
static bool plan_has(const struct gen_plan *plan, int32_t step)
{
    const struct gen_slot *slot = &plan->slots[plan->slot];

    if (plan->in_minutes)
        return slot->param->in_minutes && slot->edition == 2;
    return !slot->param->accumulated || step > 0;
}

bool gen_plan_next(struct gen_plan *plan, struct gen_message *message)
{
    int32_t step;

    if (plan->request->count != 0 && plan->given == plan->request->count)
        return false;
    while ((step = plan_step(plan)) >= 0) {
        bool has = plan_has(plan, step);

        if (has)
            plan_give(plan, message, step);
        plan_advance(plan);
        if (has)
            return true;
    }
    return false;
}
