/* run_guard.c: may documents of a run be written now, and what becomes of those that were written too late. */
#include "indexer/run_guard.h"

#include "indexer/retire.h"

enum { RUN_GUARD_BATCH = 2000 };

static bool run_guard_takes(const struct catalog_run *stored, uint64_t incarnation)
{
    return stored->info.incarnation == incarnation &&
           (stored->info.state == RUN_FILLING || stored->info.state == RUN_READY);
}

/* Its records were removed for the last time: what comes now stays, unless who brought it takes it away. Nobody can undo it any more. */
static bool run_guard_over(const struct catalog_run *stored, uint64_t incarnation)
{
    return stored->info.incarnation > incarnation ||
           (stored->info.incarnation == incarnation &&
            (stored->info.state == RUN_PURGED ||
             (stored->info.state == RUN_RETIRED && stored->step >= RETIRE_AGAIN)));
}

static enum status run_guard_stale(const struct catalog_run *stored, struct error *err)
{
    return error_set(err, STATUS_STALE_RUN, "the index has the run as %s, incarnation %llu",
                     stored->info.incarnation == 0 ? "unknown" : run_state_name(stored->info.state),
                     (unsigned long long)stored->info.incarnation);
}

enum status run_guard_check(struct catalog *catalog, const struct run_key *run,
                            uint64_t incarnation, struct error *err)
{
    struct catalog_run stored = { .step = 0 };
    size_t removed = RUN_GUARD_BATCH;
    enum status status = catalog_run_get(catalog, run, &stored, err);

    if (status != STATUS_OK && status != STATUS_NOT_FOUND)
        return status;
    if (status == STATUS_OK && run_guard_takes(&stored, incarnation))
        return STATUS_OK;
    status = STATUS_OK;
    while (status == STATUS_OK && removed == RUN_GUARD_BATCH && run_guard_over(&stored, incarnation))
        status = catalog_remove_run(catalog, run, incarnation, RUN_GUARD_BATCH, &removed, err);
    return status == STATUS_OK ? run_guard_stale(&stored, err) : status;
}
