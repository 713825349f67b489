/* shim_control.h: the page that a driver shares with a process under the shim: rules of what fails, and counts of what did.
 *
 * A file of one page, made by the driver (drills/shim.py knows this layout), mapped by the shim. Numbers are of this machine.
 * The driver fills a rule and writes its action last; 0 takes it out. A rule is asked for each call whose operation is among
 * its ops and whose path holds its name; it lets `skip` of them pass and hits the `left` that follow. */
#ifndef TESTS_FAULT_SHIM_CONTROL_H
#define TESTS_FAULT_SHIM_CONTROL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SHIM_MAGIC = 0x4d494853, /* "SHIM" */
    SHIM_VERSION = 1,
    SHIM_RULES = 8,
    SHIM_NAME_SIZE = 64,
    SHIM_CONTROL_SIZE = 4096,
};

enum shim_op {
    SHIM_OPEN,
    SHIM_READ,
    SHIM_WRITE,
    SHIM_FLUSH,     /* of a file */
    SHIM_FLUSH_DIR, /* of a directory */
    SHIM_RENAME,
    SHIM_UNLINK,   /* rmdir, too */
    SHIM_MAKE,     /* mkdir, link */
    SHIM_TRUNCATE, /* fallocate, too */
    SHIM_ALLOC,    /* malloc, calloc, realloc: anywhere in the process */
    SHIM_OPS = 16,
};

enum shim_action {
    SHIM_PASS,
    SHIM_FAIL,  /* with `error`, and nothing is done */
    SHIM_SHORT, /* reads and writes: a random part of the bytes */
    SHIM_DELAY, /* delay_min_us to delay_max_us, then it is done */
    SHIM_LIE,   /* it is said to be done, and is not: a planted bug */
};

enum shim_flags {
    SHIM_SKIP_FLUSH = 1, /* flushes are only noted: the disk that is played with is the log's */
};

struct shim_rule {
    _Atomic uint32_t action;
    uint32_t ops; /* 1 << enum shim_op */
    int32_t error;
    uint32_t pad;
    _Atomic uint64_t skip, left;
    uint64_t delay_min_us, delay_max_us;
    uint64_t offset, end; /* only calls that touch these bytes of a file; end 0: any */
    _Atomic uint64_t seen, fired;
    char name[SHIM_NAME_SIZE]; /* part of the path; "": any */
};

struct shim_control {
    uint32_t magic, version;
    _Atomic uint32_t flags;
    uint32_t pad;
    _Atomic uint64_t calls[SHIM_OPS];
    _Atomic uint64_t unmodelled; /* changes below the root that the log does not know: a drill must not pass over one */
    char unmodelled_name[SHIM_NAME_SIZE]; /* the last of them */
    struct shim_rule rules[SHIM_RULES];
    _Atomic int64_t clock_us; /* so much is the wall clock ahead */
    _Atomic uint64_t clock_reads;
};

/* What the rules say of one call. */
struct shim_verdict {
    enum shim_action action; /* PASS, FAIL, SHORT or LIE; a delay has been waited for */
    int error;
    uint64_t length; /* so many bytes may be read before a bad one */
};

/* Before anything else: the page that GRIBSTORE_SHIM_CONTROL names, if there is one. */
void shim_control_open(void);
bool shim_control_has(enum shim_flags flag);
/* path may be NULL; offset and length say which bytes, length 0: none in particular. */
struct shim_verdict shim_control_ask(enum shim_op op, const char *path, uint64_t offset, uint64_t length);
int64_t shim_control_clock(void); /* of a look at the wall clock */
void shim_control_unmodelled(const char *call);
uint64_t shim_random(void);

#endif
