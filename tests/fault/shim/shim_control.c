/* shim_control.c: which rule hits a call. Allocates nothing: it is asked by malloc, too. */
#include "tests/fault/shim/shim_control.h"
#include "tests/fault/shim/shim_system.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(struct shim_control) <= SHIM_CONTROL_SIZE, "it has to fit in its page");
_Static_assert(sizeof(struct shim_rule) == 144, "drills/shim.py counts on it");
_Static_assert(offsetof(struct shim_control, rules) == 216, "drills/shim.py counts on it");
_Static_assert(offsetof(struct shim_control, clock_us) == 1368, "drills/shim.py counts on it");

static struct shim_control *control;

void shim_control_open(void)
{
    const char *path = getenv("GRIBSTORE_SHIM_CONTROL");
    int fd = path != NULL ? (int)shim_system(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0) : -1;

    if (fd < 0)
        return;
    struct shim_control *mapped = mmap(NULL, SHIM_CONTROL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
                                       fd, 0);
    shim_system(SYS_close, fd);
    if (mapped == MAP_FAILED)
        return;
    if (mapped->magic != SHIM_MAGIC || mapped->version != SHIM_VERSION)
        abort(); /* a driver of another version: nothing that it counts would be true */
    control = mapped;
}

bool shim_control_has(enum shim_flags flag)
{
    return control != NULL && (atomic_load(&control->flags) & flag) != 0;
}

uint64_t shim_random(void)
{
    static _Thread_local uint64_t state;
    struct timespec now;

    if (state == 0) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        state = ((uint64_t)now.tv_nsec << 32 ^ (uint64_t)shim_system(SYS_gettid)) | 1;
    }
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void shim_wait(const struct shim_rule *rule)
{
    uint64_t span = rule->delay_max_us > rule->delay_min_us ? rule->delay_max_us - rule->delay_min_us
                                                            : 0;
    uint64_t us = rule->delay_min_us + (span > 0 ? shim_random() % span : 0);
    struct timespec left = { .tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000 };

    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

/* Takes one from a count; false: there is none left. */
static bool shim_take(_Atomic uint64_t *count)
{
    uint64_t left = atomic_load(count);

    while (left > 0 && !atomic_compare_exchange_weak(count, &left, left - 1))
        ;
    return left > 0;
}

static bool shim_rule_is_for(const struct shim_rule *rule, enum shim_op op, const char *path,
                             uint64_t offset, uint64_t length)
{
    if ((rule->ops & 1u << op) == 0)
        return false;
    if (rule->name[0] != '\0' && (path == NULL || strstr(path, rule->name) == NULL))
        return false;
    return rule->end == 0 || (offset < rule->end && offset + length > rule->offset);
}

/* true: the rule decides. */
static bool shim_rule_hits(struct shim_rule *rule, enum shim_action action, uint64_t offset,
                           struct shim_verdict *verdict)
{
    atomic_fetch_add(&rule->seen, 1);
    if (rule->end != 0 && offset < rule->offset) { /* up to the bad bytes all is well */
        verdict->length = rule->offset - offset;
        return false;
    }
    if (shim_take(&rule->skip) || !shim_take(&rule->left))
        return false;
    atomic_fetch_add(&rule->fired, 1);
    if (action == SHIM_DELAY) {
        shim_wait(rule);
        return false;
    }
    verdict->action = action;
    verdict->error = rule->error;
    return true;
}

struct shim_verdict shim_control_ask(enum shim_op op, const char *path, uint64_t offset, uint64_t length)
{
    struct shim_verdict verdict = { .action = SHIM_PASS, .length = UINT64_MAX };

    if (control == NULL)
        return verdict;
    atomic_fetch_add(&control->calls[op], 1);
    for (unsigned i = 0; i < SHIM_RULES; i++) {
        struct shim_rule *rule = &control->rules[i];
        enum shim_action action = atomic_load(&rule->action);

        if (action != SHIM_PASS && shim_rule_is_for(rule, op, path, offset, length) &&
            shim_rule_hits(rule, action, offset, &verdict))
            break;
    }
    return verdict;
}

int64_t shim_control_clock(void)
{
    if (control == NULL)
        return 0;
    atomic_fetch_add(&control->clock_reads, 1);
    return atomic_load(&control->clock_us);
}

void shim_control_unmodelled(const char *call)
{
    if (control == NULL)
        return;
    strncpy(control->unmodelled_name, call, SHIM_NAME_SIZE - 1);
    atomic_fetch_add(&control->unmodelled, 1);
}
