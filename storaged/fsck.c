/* fsck.c: the walk over a data directory, and what is printed of it. */
#include "storaged/fsck.h"

#include "storaged/cluster.h"
#include "storaged/store/check.h"
#include "storaged/store/data_file.h"
#include "storaged/store/disk.h"

#include "proto/base/clock.h"
#include "proto/base/json_write.h"
#include "proto/run_log_record.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

enum { FSCK_LINE_MAX = 8192, FSCK_THREADS_MAX = 8, FSCK_TELL_S = 10, FSCK_TELL_TTY_S = 1 };

#define RUNS_DIR "runs"
#define LOG_NAME "runs.log"

struct fsck {
    const struct settings *settings;
    struct check check;
    struct closed closed;
    int dir_fd, runs_fd; /* owned */
    uint64_t bytes_total;
    /* the thread that tells how far it is */
    uv_thread_t thread;
    uv_mutex_t mutex;
    uv_cond_t cond;
    bool over;
};

/* --- findings --- */

static void print_finding_json(struct buf *text, const struct check_finding *finding)
{
    struct json_writer json;
    char run[RUN_TEXT_SIZE];

    json_init(&json, text);
    json_object_begin(&json);
    json_put_string(&json, "finding", check_names[finding->kind]);
    if (finding->run != NULL) {
        run_key_print(finding->run, run);
        json_put_string(&json, "run", run);
    }
    if (finding->file != NULL)
        json_put_string(&json, "file", finding->file);
    if (finding->has_record)
        json_put_u64(&json, "record", finding->record);
    if (finding->has_message)
        json_put_hex(&json, "digest", finding->digest.bytes, DIGEST_SIZE);
    if (finding->has_message && finding->length > 0) {
        json_put_u64(&json, "offset", finding->offset);
        json_put_u64(&json, "length", finding->length);
    }
    json_put_string(&json, "detail", finding->detail);
    json_object_end(&json);
}

static void print_finding_text(struct buf *text, const struct check_finding *finding)
{
    char run[RUN_TEXT_SIZE], digest[DIGEST_TEXT_SIZE];

    buf_text(text, check_names[finding->kind]);
    if (finding->run != NULL) {
        run_key_print(finding->run, run);
        buf_format(text, " %s", run);
    }
    if (finding->file != NULL)
        buf_format(text, " %s", finding->file);
    if (finding->has_record)
        buf_format(text, " record=%" PRIu64, finding->record);
    if (finding->has_message) {
        digest_print(&finding->digest, digest);
        buf_format(text, " digest=%s", digest);
    }
    if (finding->has_message && finding->length > 0)
        buf_format(text, " offset=%" PRIu64 " length=%" PRIu64, finding->offset, finding->length);
    buf_format(text, ": %s", finding->detail);
}

static void print_line(struct buf *text)
{
    buf_text(text, "\n");
    fputs(buf_string(text), stdout);
    fflush(stdout);
    buf_fini(text);
}

static void on_finding(void *user, const struct check_finding *finding)
{
    const struct fsck *fsck = user;
    struct buf text;

    buf_init(&text, FSCK_LINE_MAX);
    if (fsck->settings->json)
        print_finding_json(&text, finding);
    else
        print_finding_text(&text, finding);
    print_line(&text);
}

/* --- totals --- */

static void print_totals_json(struct fsck *fsck, struct buf *text)
{
    struct json_writer json;

    json_init(&json, text);
    json_object_begin(&json);
    json_key(&json, "totals");
    json_object_begin(&json);
    json_put_u64(&json, "runs", atomic_load(&fsck->check.runs));
    json_put_u64(&json, "files", atomic_load(&fsck->check.files));
    json_put_u64(&json, "messages", atomic_load(&fsck->check.messages));
    json_put_u64(&json, "bytes", atomic_load(&fsck->check.bytes));
    json_key(&json, "findings");
    json_object_begin(&json);
    for (unsigned i = 0; i < CHECK_KINDS; i++)
        json_put_u64(&json, check_names[i], atomic_load(&fsck->check.found[i]));
    json_object_end(&json);
    json_object_end(&json);
    json_object_end(&json);
}

static void print_totals_text(struct fsck *fsck, struct buf *text)
{
    unsigned kinds = 0;

    buf_format(text, "%" PRIu64 " runs, %" PRIu64 " data files, %" PRIu64 " messages, %" PRIu64 " bytes:",
               atomic_load(&fsck->check.runs), atomic_load(&fsck->check.files),
               atomic_load(&fsck->check.messages), atomic_load(&fsck->check.bytes));
    for (unsigned i = 0; i < CHECK_KINDS; i++) {
        uint64_t found = atomic_load(&fsck->check.found[i]);

        if (found > 0)
            buf_format(text, "%s %" PRIu64 " %s", kinds++ > 0 ? "," : "", found, check_names[i]);
    }
    if (kinds == 0)
        buf_text(text, " sound");
}

static void print_totals(struct fsck *fsck)
{
    struct buf text;

    buf_init(&text, FSCK_LINE_MAX);
    if (fsck->settings->json)
        print_totals_json(fsck, &text);
    else
        print_totals_text(fsck, &text);
    print_line(&text);
}

/* A torn tail is what every crash leaves, a stray file harms nobody. */
static int fsck_code(struct fsck *fsck)
{
    static const enum check_kind damage[] = { CHECK_DAMAGED, CHECK_JOURNAL, CHECK_MISSING,
                                              CHECK_HEADER, CHECK_BAD };

    for (unsigned i = 0; i < ARRAY_COUNT(damage); i++)
        if (atomic_load(&fsck->check.found[damage[i]]) > 0)
            return FSCK_DAMAGED;
    return FSCK_SOUND;
}

/* --- progress --- */

static void tell_progress(void *data)
{
    struct fsck *fsck = data;
    bool is_tty = isatty(STDERR_FILENO) != 0;
    uint64_t period_ns = (uint64_t)(is_tty ? FSCK_TELL_TTY_S : FSCK_TELL_S) * 1000000000u;
    uint64_t next = clock_monotonic_us() * 1000 + period_ns;

    uv_mutex_lock(&fsck->mutex);
    while (!fsck->over) {
        uint64_t now = clock_monotonic_us() * 1000;

        if (now < next) {
            uv_cond_timedwait(&fsck->cond, &fsck->mutex, next - now);
            continue;
        }
        next = now + period_ns;
        fprintf(stderr, "%sfsck: %" PRIu64 " runs, %" PRIu64 " messages, %" PRIu64 " of %" PRIu64 " MiB%s",
                is_tty ? "\r" : "", atomic_load(&fsck->check.runs), atomic_load(&fsck->check.messages),
                atomic_load(&fsck->check.bytes) >> 20, fsck->bytes_total >> 20, is_tty ? "" : "\n");
    }
    if (is_tty)
        fputs("\r\033[K", stderr);
    uv_mutex_unlock(&fsck->mutex);
}

/* --- runs.log --- */

static void tell_log(struct fsck *fsck, enum check_kind kind, bool has_record, uint64_t record,
                     const char *detail)
{
    check_tell(&fsck->check, &(struct check_finding){ .kind = kind,
                                                      .file = LOG_NAME,
                                                      .has_record = has_record,
                                                      .record = record,
                                                      .detail = detail });
}

static void check_log_records(struct fsck *fsck, int fd, uint64_t id, uint64_t size)
{
    uint64_t count = (size - RUN_LOG_HEADER_SIZE) / RUN_LOG_RECORD_SIZE;
    uint8_t bytes[RUN_LOG_RECORD_SIZE];
    struct run_log_record record;
    struct error err = { 0 };

    for (uint64_t i = 0; i < count; i++) {
        enum status status = disk_read(fd, RUN_LOG_HEADER_SIZE + i * RUN_LOG_RECORD_SIZE, bytes,
                                       sizeof bytes, true, &err);
        if (status == STATUS_OK)
            status = run_log_record_decode(bytes, id, &record, &err);
        if (status != STATUS_OK)
            tell_log(fsck, i + 1 == count ? CHECK_TAIL : CHECK_JOURNAL, true, i, err.text);
    }
}

static void check_log(struct fsck *fsck)
{
    uint8_t header[RUN_LOG_HEADER_SIZE];
    struct error err = { 0 };
    uint64_t id, size = 0;
    int fd;

    enum status status = disk_open(fsck->dir_fd, LOG_NAME, O_RDONLY, &fd, &err);
    if (status == STATUS_OK)
        status = disk_size(fd, &size, &err);
    if (status == STATUS_OK)
        status = disk_read(fd, 0, header, sizeof header, true, &err);
    if (status == STATUS_OK)
        status = run_log_header_decode(header, &id, &err);
    if (status != STATUS_OK)
        tell_log(fsck, status == STATUS_NOT_FOUND ? CHECK_MISSING : CHECK_HEADER, false, 0, err.text);
    else
        check_log_records(fsck, fd, id, size);
    disk_close(fd);
}

/* --- runs --- */

typedef enum status fsck_each(struct fsck *fsck, int source_fd, const char *name,
                              const struct run_key *run, struct error *err);

static void tell_stray(struct fsck *fsck, const char *source, const char *name)
{
    char path[1024];

    snprintf(path, sizeof path, RUNS_DIR "/%s%s%s", source, name != NULL ? "/" : "",
             name != NULL ? name : "");
    check_tell(&fsck->check, &(struct check_finding){
                                 .kind = CHECK_STRAY, .file = path, .detail = "no run is called so" });
}

/* each() for every run; strangers are told when is_telling. */
static enum status fsck_source(struct fsck *fsck, const char *source, fsck_each *each,
                               bool is_telling, struct error *err)
{
    char again[BASE_TIME_TEXT_SIZE];
    struct run_key run;
    char **names;
    size_t count;
    int fd;

    if (!source_valid(slice_text(source))) {
        if (is_telling)
            tell_stray(fsck, source, NULL);
        return STATUS_OK;
    }
    enum status status = disk_open(fsck->runs_fd, source, O_RDONLY | O_DIRECTORY, &fd, err);
    if (status != STATUS_OK)
        return status;
    status = disk_list(fd, ".", &names, &count, err);
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        bool is_run = run_key_parse(slice_text(source), slice_text(names[i]), &run, NULL) == STATUS_OK;

        if (is_run) {
            base_time_print(run.base_time, again);
            is_run = strcmp(again, names[i]) == 0;
        }
        if (is_run)
            status = each(fsck, fd, names[i], &run, err);
        else if (is_telling)
            tell_stray(fsck, source, names[i]);
    }
    disk_names_free(names, count);
    disk_close(fd);
    return status;
}

static enum status fsck_runs(struct fsck *fsck, fsck_each *each, bool is_telling, struct error *err)
{
    char **names;
    size_t count;
    enum status status = disk_list(fsck->runs_fd, ".", &names, &count, err);

    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        status = fsck_source(fsck, names[i], each, is_telling, err);
    disk_names_free(names, count);
    return status;
}

static enum status add_size(struct fsck *fsck, int source_fd, const char *name,
                            const struct run_key *run, struct error *err)
{
    unsigned shard;
    uint64_t birth, size;
    int64_t modified;
    char **names;
    size_t count;
    int fd;

    (void)run;
    enum status status = disk_open(source_fd, name, O_RDONLY | O_DIRECTORY, &fd, err);
    if (status != STATUS_OK)
        return status;
    status = disk_list(fd, ".", &names, &count, err);
    for (size_t i = 0; i < count; i++)
        if (data_file_parse_name(names[i], &shard, &birth) &&
            disk_stat_at(fd, names[i], &size, &modified, NULL) == STATUS_OK)
            fsck->bytes_total += size;
    disk_names_free(names, count);
    disk_close(fd);
    return status;
}

static enum status check_one(struct fsck *fsck, int source_fd, const char *name,
                             const struct run_key *run, struct error *err)
{
    return check_run(&fsck->check, source_fd, name, run, err);
}

/* --- the whole --- */

static enum status fsck_open(struct fsck *fsck, struct error *err)
{
    const char *dir = fsck->settings->data;
    struct cluster_map *map = NULL;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    enum status status = disk_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, &fsck->dir_fd, err);
    if (status != STATUS_OK)
        return status;
    if (flock(fsck->dir_fd, LOCK_EX | LOCK_NB) != 0)
        return error_set(err, STATUS_LOCKED, "another process uses %s: stop it first", dir);
    status = disk_open(fsck->dir_fd, RUNS_DIR, O_RDONLY | O_DIRECTORY, &fsck->runs_fd, err);
    if (status != STATUS_OK)
        return error_wrap(err, "%s is no data directory", dir);
    closed_load(fsck->dir_fd, &fsck->closed);
    if (cluster_map_load(dir, &map, err) == STATUS_OK && map != NULL)
        fsck->check.shards = map->shards;
    if (map != NULL)
        map_unref(map);
    fsck->check.closed = &fsck->closed;
    fsck->check.threads = cores < 1                  ? 1
                          : cores > FSCK_THREADS_MAX ? FSCK_THREADS_MAX
                                                     : (unsigned)cores;
    fsck->check.on_finding = on_finding;
    fsck->check.user = fsck;
    return fsck_runs(fsck, add_size, false, err);
}

static enum status fsck_look(struct fsck *fsck, struct error *err)
{
    if (uv_thread_create(&fsck->thread, tell_progress, fsck) != 0)
        return error_set(err, STATUS_NO_MEMORY, "no thread");
    check_log(fsck);
    enum status status = fsck_runs(fsck, check_one, true, err);
    uv_mutex_lock(&fsck->mutex);
    fsck->over = true;
    uv_cond_signal(&fsck->cond);
    uv_mutex_unlock(&fsck->mutex);
    uv_thread_join(&fsck->thread);
    return status;
}

int fsck_run(const struct settings *settings)
{
    struct fsck fsck = { .settings = settings, .dir_fd = -1, .runs_fd = -1 };
    struct error err;

    error_init(&err);
    uv_mutex_init(&fsck.mutex);
    uv_cond_init(&fsck.cond);
    check_init(&fsck.check);
    enum status status = fsck_open(&fsck, &err);
    if (status == STATUS_OK)
        status = fsck_look(&fsck, &err);
    if (status == STATUS_OK)
        print_totals(&fsck);
    else
        fprintf(stderr, "storaged: fsck: %s\n", err.text);
    int code = status == STATUS_OK ? fsck_code(&fsck) : FSCK_FAILED;
    closed_fini(&fsck.closed);
    check_fini(&fsck.check);
    disk_close(fsck.runs_fd);
    disk_close(fsck.dir_fd);
    uv_cond_destroy(&fsck.cond);
    uv_mutex_destroy(&fsck.mutex);
    return code;
}
