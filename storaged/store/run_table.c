/* run_table.c: two sorted arrays of runs. */
#include "storaged/store/run_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void run_table_init(struct run_table *table)
{
    *table = (struct run_table){ 0 };
    uv_rwlock_init(&table->lock);
}

void run_table_fini(struct run_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        struct run *run = table->by_key[i];

        if (run->dir != NULL)
            run_dir_unref(run->dir);
        uv_rwlock_destroy(&run->lock);
        free(run);
    }
    free(table->by_key);
    free(table->by_time);
    uv_rwlock_destroy(&table->lock);
}

static int run_table_time_order(const struct run_key *a, const struct run_key *b)
{
    if (a->base_time != b->base_time)
        return a->base_time > b->base_time ? -1 : 1;
    return run_key_compare(a, b);
}

/* Where key is in an array of that order, or would be. */
static size_t run_table_index(struct run **runs, size_t count, const struct run_key *key,
                              int (*order)(const struct run_key *, const struct run_key *))
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (order(&runs[middle]->key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct run *run_table_look_up(struct run_table *table, const struct run_key *key)
{
    size_t at = run_table_index(table->by_key, table->count, key, run_key_compare);

    if (at < table->count && run_key_compare(&table->by_key[at]->key, key) == 0)
        return table->by_key[at];
    return NULL;
}

struct run *run_table_find(struct run_table *table, const struct run_key *key)
{
    uv_rwlock_rdlock(&table->lock);
    struct run *run = run_table_look_up(table, key);
    uv_rwlock_rdunlock(&table->lock);
    return run;
}

static void run_table_put(struct run **runs, size_t count, struct run *run,
                          int (*order)(const struct run_key *, const struct run_key *))
{
    size_t at = run_table_index(runs, count, &run->key, order);

    memmove(runs + at + 1, runs + at, (count - at) * sizeof *runs);
    runs[at] = run;
}

static void run_table_grow(struct run_table *table)
{
    table->capacity = table->capacity == 0 ? 16 : table->capacity * 2;
    table->by_key = realloc(table->by_key, table->capacity * sizeof *table->by_key);
    table->by_time = realloc(table->by_time, table->capacity * sizeof *table->by_time);
    assert(table->by_key != NULL && table->by_time != NULL);
}

struct run *run_table_add(struct run_table *table, const struct run_key *key)
{
    uv_rwlock_wrlock(&table->lock);
    struct run *run = run_table_look_up(table, key);
    if (run == NULL) {
        run = calloc(1, sizeof *run);
        assert(run != NULL);
        run->key = *key;
        run->info = (struct run_info){ .incarnation = 1, .state = RUN_FILLING };
        uv_rwlock_init(&run->lock);
        if (table->count == table->capacity)
            run_table_grow(table);
        run_table_put(table->by_key, table->count, run, run_key_compare);
        run_table_put(table->by_time, table->count, run, run_table_time_order);
        table->count++;
    }
    uv_rwlock_wrunlock(&table->lock);
    return run;
}

struct run **run_table_list(struct run_table *table, bool by_time, size_t *count)
{
    uv_rwlock_rdlock(&table->lock);
    struct run **runs = malloc((table->count + 1) * sizeof *runs);
    assert(runs != NULL);
    if (table->count > 0)
        memcpy(runs, by_time ? table->by_time : table->by_key, table->count * sizeof *runs);
    *count = table->count;
    uv_rwlock_rdunlock(&table->lock);
    return runs;
}

struct run_dir *run_take_dir(struct run *run)
{
    uv_rwlock_rdlock(&run->lock);
    struct run_dir *dir = run->dir;
    if (dir != NULL)
        run_dir_ref(dir);
    uv_rwlock_rdunlock(&run->lock);
    return dir;
}
