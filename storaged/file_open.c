/* file_open.c: one job a file; who asked for it is told when it is open.
 *
 * The job keeps its hold until all of them have been told: what each then asks for is open. */
#include "storaged/file_open.h"

#include "storaged/node.h"
#include "storaged/work.h"

#include <stdlib.h>

struct file_opening {
    struct list list;
    struct work work;
    struct node_loop *loop;
    struct run_key run;
    unsigned shard;
    uint64_t birth;
    struct list waits;       /* of struct file_wait */
    struct store_file *file; /* held, with status OK */
    enum status status;
    struct error err;
};

void file_opens_init(struct file_opens *opens)
{
    *opens = (struct file_opens){ 0 };
    list_init(&opens->running);
    list_init(&opens->waiting);
}

/* This loop's part of half of the pool. */
static unsigned opens_running_max(const struct node_loop *loop)
{
    uint64_t threads = loop->node->settings->pool_threads / 2 / loop->node->loops_count;

    return threads > 0 ? (unsigned)threads : 1;
}

static void opens_start_next(struct node_loop *loop);

static void opening_run(struct work *work)
{
    struct file_opening *opening = container_of(work, struct file_opening, work);

    opening->status = store_file_open(opening->loop->node->store, &opening->run, opening->shard,
                                      opening->birth, &opening->file, &opening->err);
}

static void opening_done(struct work *work)
{
    struct file_opening *opening = container_of(work, struct file_opening, work);
    struct file_opens *opens = &opening->loop->file_opens;

    list_remove(&opening->list);
    opens->running_count--;
    opens->count--;
    opens_start_next(opening->loop);
    while (!list_empty(&opening->waits)) {
        struct file_wait *wait = list_first(&opening->waits, struct file_wait, list);

        list_remove(&wait->list);
        wait->on_open(wait, opening->status, &opening->err);
    }
    if (opening->status == STATUS_OK)
        store_file_release(opening->file);
    free(opening);
}

static void opens_start_next(struct node_loop *loop)
{
    struct file_opens *opens = &loop->file_opens;

    while (!list_empty(&opens->waiting) && opens->running_count < opens_running_max(loop)) {
        struct file_opening *opening = list_first(&opens->waiting, struct file_opening, list);

        list_remove(&opening->list);
        list_append(&opens->running, &opening->list);
        opens->running_count++;
        work_start_own(&opening->work, loop, opening_run, opening_done);
    }
}

static struct file_opening *opens_find_in(struct list *list, const struct run_key *run,
                                          unsigned shard, uint64_t birth)
{
    list_for_each (at, list) {
        struct file_opening *opening = container_of(at, struct file_opening, list);

        if (opening->birth == birth && opening->shard == shard && run_key_compare(&opening->run, run) == 0)
            return opening;
    }
    return NULL;
}

static struct file_opening *opens_find(struct file_opens *opens, const struct run_key *run,
                                       unsigned shard, uint64_t birth)
{
    struct file_opening *opening = opens_find_in(&opens->running, run, shard, birth);

    return opening != NULL ? opening : opens_find_in(&opens->waiting, run, shard, birth);
}

static struct file_opening *opening_new(struct node_loop *loop, const struct run_key *run,
                                        unsigned shard, uint64_t birth)
{
    struct file_opening *opening = calloc(1, sizeof *opening);

    if (opening == NULL)
        abort();
    opening->loop = loop;
    opening->run = *run;
    opening->shard = shard;
    opening->birth = birth;
    list_init(&opening->waits);
    error_init(&opening->err);
    list_append(&loop->file_opens.waiting, &opening->list);
    loop->file_opens.count++;
    return opening;
}

enum status file_open(struct node_loop *loop, const struct run_key *run, unsigned shard, uint64_t birth,
                      struct file_wait *wait, struct store_file **file, struct error *err)
{
    struct file_opens *opens = &loop->file_opens;

    enum status status = store_file_try_open(loop->node->store, run, shard, birth, file, err);
    if (status != STATUS_MORE)
        return status;
    struct file_opening *opening = opens_find(opens, run, shard, birth);
    if (opening == NULL && opens->count >= FILE_OPENS_MAX)
        return error_set(err, STATUS_OVERLOADED, "%d files wait to be opened already", FILE_OPENS_MAX);
    if (opening == NULL)
        opening = opening_new(loop, run, shard, birth);
    list_append(&opening->waits, &wait->list);
    opens_start_next(loop);
    return STATUS_MORE;
}
