/* growth.c: a ring of samples, a minute apart. */
#include "storaged/growth.h"

static const struct growth_sample *growth_newest(const struct growth *growth)
{
    return &growth->samples[(growth->first + growth->count - 1) % GROWTH_SAMPLES];
}

static void growth_forget_old(struct growth *growth, uint64_t now_ms)
{
    while (growth->count > 1 && now_ms - growth->samples[growth->first].at_ms > GROWTH_WINDOW_MS) {
        growth->first = (growth->first + 1) % GROWTH_SAMPLES;
        growth->count--;
    }
}

void growth_add(struct growth *growth, uint64_t now_ms, uint64_t used)
{
    growth->now = (struct growth_sample){ .at_ms = now_ms, .used = used };
    if (growth->count > 0 && now_ms - growth_newest(growth)->at_ms < GROWTH_STEP_MS)
        return;
    if (growth->count == GROWTH_SAMPLES) {
        growth->first = (growth->first + 1) % GROWTH_SAMPLES;
        growth->count--;
    }
    growth->samples[(growth->first + growth->count++) % GROWTH_SAMPLES] = growth->now;
    growth_forget_old(growth, now_ms);
}

bool growth_rate(const struct growth *growth, double *bytes_per_second)
{
    if (growth->count == 0)
        return false;
    const struct growth_sample *base = &growth->samples[growth->first];
    if (growth->now.at_ms - base->at_ms < GROWTH_BASE_MS)
        return false;
    *bytes_per_second = ((double)growth->now.used - (double)base->used) /
                        ((double)(growth->now.at_ms - base->at_ms) / 1000);
    return true;
}

bool growth_full_in(const struct growth *growth, uint64_t room, double *seconds)
{
    double rate;

    if (!growth_rate(growth, &rate) || !(rate > 0))
        return false;
    *seconds = (double)room / rate;
    return true;
}
