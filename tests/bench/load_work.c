/* load_work.c: what is asked of a server: random ranges of files, or distinct messages to PUT. */
#include "load_work.h"

#include "gribgen_stamp.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    /* Steps of an hour times what else tells messages apart; more than a machine takes in a window. */
    WORK_MESSAGES_MAX = 100000000,
    WORK_BASE_TIME = 1795132800, /* 2026-11-20T00:00:00Z */
    WORK_LINE_SIZE = 4096,
};

static const char number_sign[] = "{n}";

/* splitmix64: any seed will do, 0 too. */
static uint64_t work_mix(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t work_random(struct load_work *work, uint64_t below)
{
    assert(below > 0);
    return (uint64_t)(((unsigned __int128)work_mix(&work->random) * below) >> 64);
}

/* --- files to read --- */

static bool file_open(struct load_file *file, const char *path, const char *local,
                      const struct load_options *options, struct gen_error *err)
{
    struct stat stat;

    file->fd = open(local, O_RDONLY | O_CLOEXEC);
    if (file->fd < 0 || fstat(file->fd, &stat) != 0)
        return gen_fail(err, "%.200s: %s", local, strerror(errno));
    file->size = (uint64_t)stat.st_size;
    if (file->size / options->ranges < options->size)
        return gen_fail(err, "%.200s has %llu bytes: too few for the ranges", local,
                        (unsigned long long)file->size);
    file->path = strdup(path);
    return file->path != NULL || gen_fail(err, "out of memory");
}

static bool files_add(struct load_work *work, char *line, struct gen_error *err)
{
    char *rest, *path = strtok_r(line, " \n", &rest), *local = strtok_r(NULL, "\n", &rest);

    if (path == NULL)
        return true;
    if (path[0] != '/' || local == NULL || work->files_count == LOAD_FILES_MAX)
        return gen_fail(err, "not a line of \"/path local-file\", or more than %d of them",
                        LOAD_FILES_MAX);
    struct load_file *more = realloc(work->file, (work->files_count + 1) * sizeof *more);
    if (more == NULL)
        return gen_fail(err, "out of memory");
    work->file = more;
    more[work->files_count] = (struct load_file){ .fd = -1 };
    return file_open(&more[work->files_count++], path, local, work->options, err);
}

static bool files_open(struct load_work *work, struct gen_error *err)
{
    char line[WORK_LINE_SIZE];
    bool ok = true;
    FILE *list = fopen(work->options->files, "r");

    if (list == NULL)
        return gen_fail(err, "%.200s: %s", work->options->files, strerror(errno));
    while (ok && fgets(line, sizeof line, list) != NULL)
        ok = files_add(work, line, err);
    fclose(list);
    if (ok && work->files_count == 0)
        return gen_fail(err, "%.200s names no file", work->options->files);
    return ok;
}

/* --- messages to write --- */

static bool templates_read(struct load_work *work, size_t *size, struct gen_error *err)
{
    const char *path = work->options->template;
    struct stat stat;
    bool ok = false;
    FILE *file = fopen(path, "rb");

    if (file == NULL || fstat(fileno(file), &stat) != 0 || stat.st_size <= 0) {
        gen_fail(err, "%.200s: %s", path, file == NULL ? strerror(errno) : "nothing in it");
    } else {
        *size = (size_t)stat.st_size;
        work->templates = malloc(*size);
        ok = work->templates != NULL && fread(work->templates, 1, *size, file) == *size;
        if (!ok)
            gen_fail(err, "%.200s can't be read", path);
    }
    if (file != NULL)
        fclose(file);
    return ok;
}

static bool messages_open(struct load_work *work, struct gen_error *err)
{
    struct stamp_options options = stamp_defaults();
    size_t size;

    if (!templates_read(work, &size, err))
        return false;
    options.base_time = WORK_BASE_TIME;
    options.count = WORK_MESSAGES_MAX;
    options.turn_values = true;
    options.values_seed = work->options->seed;
    work->stamp = stamp_new(work->templates, size, &options, err);
    return work->stamp != NULL;
}

bool work_open(struct load_work *work, const struct load_options *options, struct gen_error *err)
{
    *work = (struct load_work){ .options = options, .random = options->seed };
    return options->put ? messages_open(work, err) : files_open(work, err);
}

void work_close(struct load_work *work)
{
    for (size_t i = 0; i < work->files_count; i++) {
        if (work->file[i].fd >= 0)
            close(work->file[i].fd);
        free(work->file[i].path);
    }
    free(work->file);
    stamp_free(work->stamp);
    free(work->templates);
    *work = (struct load_work){ 0 };
}

/* --- requests --- */

/* Messages of all templates, of any number, fit the room of the largest template. */
bool request_init(struct load_request *request, const struct load_work *work, struct gen_error *err)
{
    size_t room = 0;

    memset(request, 0, sizeof *request);
    if (work->stamp == NULL)
        return true;
    for (uint64_t n = 0; n < STAMP_TEMPLATES_MAX; n++)
        room = stamp_size(work->stamp, n) > room ? stamp_size(work->stamp, n) : room;
    request->body = malloc(room);
    return request->body != NULL || gen_fail(err, "out of memory");
}

void request_fini(struct load_request *request)
{
    free(request->body);
    request->body = NULL;
}

static void request_print(struct load_request *request, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void request_print(struct load_request *request, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int size = vsnprintf(request->head + request->head_size, LOAD_HEAD_SIZE - request->head_size,
                         format, arguments);
    va_end(arguments);
    assert(size >= 0 && (size_t)size < LOAD_HEAD_SIZE - request->head_size);
    request->head_size += (size_t)size;
}

/* Each range lies somewhere in its own share of the file, so they ascend and don't overlap, as clients ask for them. */
static void request_get(struct load_work *work, struct load_request *request)
{
    const struct load_options *options = work->options;
    const struct load_file *file = &work->file[work_random(work, work->files_count)];
    uint64_t share = file->size / options->ranges;

    request->file = file;
    request->ranges = options->ranges;
    request->size = options->size;
    request_print(request, "GET %.1024s HTTP/1.1\r\nHost: 127.0.0.1\r\nRange: bytes=", file->path);
    for (unsigned i = 0; i < request->ranges; i++) {
        uint64_t offset = i * share + work_random(work, share - options->size + 1);

        request->offset[i] = offset;
        request_print(request, "%s%llu-%llu", i == 0 ? "" : ",", (unsigned long long)offset,
                      (unsigned long long)(offset + options->size - 1));
    }
    request_print(request, "\r\n\r\n");
}

static void request_put(struct load_work *work, struct load_request *request, uint64_t n)
{
    const char *path = work->options->path, *sign = strstr(path, number_sign);

    request->body_size = stamp_size(work->stamp, n);
    stamp_make(work->stamp, n, request->body);
    if (sign == NULL)
        request_print(request, "PUT %.1024s", path);
    else
        request_print(request, "PUT %.*s%llu%.512s", (int)(sign - path), path,
                      (unsigned long long)n, sign + strlen(number_sign));
    request_print(request, " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %zu\r\n\r\n",
                  request->body_size);
}

bool work_next(struct load_work *work, struct load_request *request, struct gen_error *err)
{
    request->head_size = 0;
    if (!work->options->put) {
        request_get(work, request);
        return true;
    }
    if (work->serial == WORK_MESSAGES_MAX)
        return gen_fail(err, "all %d messages were sent", WORK_MESSAGES_MAX);
    request_put(work, request, work->serial++);
    return true;
}
