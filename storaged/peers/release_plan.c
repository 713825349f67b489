/* release_plan.c: the store's files against the map. */
#include "storaged/peers/release_plan.h"

#include "proto/base/clock.h"
#include "proto/placement.h"

#include <stdlib.h>

static int newest_first(const void *a, const void *b)
{
    const struct store_run_info *one = a, *two = b;

    if (one->run.base_time != two->run.base_time)
        return one->run.base_time > two->run.base_time ? -1 : 1;
    return run_key_compare(&one->run, &two->run);
}

/* Before the clock was set back, or behind it: then nothing is known of its age, and it is taken. */
static bool is_settled(const struct store_file_info *file, int64_t now_s, uint64_t settle_s)
{
    return !file->own || file->modified > now_s || (uint64_t)(now_s - file->modified) >= settle_s;
}

static void plan_run(struct release_plan *plan, const struct store_run_info *info,
                     const struct cluster_map *map, unsigned self, int64_t now_s, uint64_t settle_s)
{
    struct release_plan_run *run = &plan->runs[plan->runs_count];

    *run = (struct release_plan_run){ .run = info->run, .first = plan->files_count };
    for (unsigned i = 0; i < info->files_count; i++) {
        const struct store_file_info *file = &info->files[i];

        if (file->shard < map->shards && self != NODE_NONE &&
            placement_owns(map, info->run.base_time, file->shard, self))
            continue;
        plan->files_total++;
        plan->bytes_total += file->size;
        if (plan->files_count == RELEASE_PLAN_FILES_MAX || !is_settled(file, now_s, settle_s))
            continue;
        plan->files[plan->files_count++] = (struct release_plan_file){
            .shard = file->shard,
            .birth = file->birth,
            .size = file->size,
            .count = file->count,
        };
        run->count++;
    }
    plan->runs_count += run->count > 0;
}

static size_t count_files(const struct store_run_info *infos, size_t count)
{
    size_t files = 0;

    for (size_t i = 0; i < count; i++)
        files += infos[i].files_count;
    return files < RELEASE_PLAN_FILES_MAX ? files : RELEASE_PLAN_FILES_MAX;
}

void release_plan_make(struct release_plan *plan, struct store *store,
                       const struct cluster_map *map, unsigned self, uint64_t settle_s)
{
    int64_t now_s = (int64_t)(clock_wall_us() / 1000000);
    struct store_run_info *infos;
    size_t count;
    uint64_t counter;

    *plan = (struct release_plan){ 0 };
    store_runs(store, 0, &infos, &count, &counter);
    qsort(infos, count, sizeof *infos, newest_first);
    plan->runs = calloc(count + 1, sizeof *plan->runs);
    plan->files = calloc(count_files(infos, count) + 1, sizeof *plan->files);
    if (plan->runs == NULL || plan->files == NULL)
        abort();
    for (size_t i = 0; i < count; i++)
        if (infos[i].info.state < RUN_RETIRED)
            plan_run(plan, &infos[i], map, self, now_s, settle_s);
    store_runs_free(infos, count);
}

void release_plan_free(struct release_plan *plan)
{
    free(plan->runs);
    free(plan->files);
    *plan = (struct release_plan){ 0 };
}
