/* load_work.h: what is asked of a server: random ranges of files, or distinct messages to PUT.
 *
 * work_next() fills a request that its connection owns; nothing in it points into another request. */
#ifndef BENCH_LOAD_WORK_H
#define BENCH_LOAD_WORK_H

#include "load_options.h"

#include <stddef.h>

enum { LOAD_HEAD_SIZE = 8192, LOAD_FILES_MAX = 4096 };

struct load_file {
    char *path; /* owned: as the server knows it */
    int fd;     /* the same bytes here */
    uint64_t size;
};

struct load_request {
    char head[LOAD_HEAD_SIZE];
    size_t head_size;
    uint8_t *body; /* owned: room for one message; NULL for GET */
    size_t body_size;

    const struct load_file *file; /* GET: borrowed from the work */
    uint64_t offset[LOAD_RANGES_MAX];
    unsigned ranges;
    uint64_t size; /* bytes a range */
};

struct stamp;

struct load_work {
    const struct load_options *options; /* borrowed: as long as the work */
    uint64_t random;
    struct load_file *file; /* owned */
    size_t files_count;
    uint8_t *templates;  /* owned: the stamp looks into it */
    struct stamp *stamp; /* owned */
    uint64_t serial;     /* of the next message */
};

/* False with err; what is there is closed by work_close() all the same. */
bool work_open(struct load_work *work, const struct load_options *options, struct gen_error *err);
void work_close(struct load_work *work);

/* Room for a body, where there will be one. False with err: out of memory. */
bool request_init(struct load_request *request, const struct load_work *work, struct gen_error *err);
void request_fini(struct load_request *request);

/* The next request, in place of the one before. False with err: no message is left. */
bool work_next(struct load_work *work, struct load_request *request, struct gen_error *err);

/* Evenly spread over 0 to below - 1. */
uint64_t work_random(struct load_work *work, uint64_t below);

#endif
