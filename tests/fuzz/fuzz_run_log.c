/* fuzz_run_log.c: runs.log as a file of any bytes.
 *
 * Input: a byte of flags, then the file. With bit 0 set the checksums of header and records are set right, as a hostile
 * disk can. What opens has to open again and say the same; what it then takes has to be there after that. */
#include "proto/base/log.h"
#include "storaged/store/run_log.h"
#include "tests/fuzz/fuzz_dir.h"

#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

struct told {
    unsigned count;
    uint64_t sum;
    struct run_key last;
};

static void on_run(void *data, const struct run_key *run, const struct run_info *info)
{
    struct told *told = data;
    char text[RUN_TEXT_SIZE];

    MUST(source_valid(slice_text(run->source)) && base_time_valid(run->base_time));
    MUST(info->state >= RUN_FILLING && info->state <= RUN_PURGED);
    if (told->count++ > 0)
        MUST(run_key_compare(&told->last, run) < 0); /* each run once */
    told->last = *run;
    run_key_print(run, text);
    told->sum = told->sum * 31 + XXH3_64bits(text, strlen(text)) + info->incarnation * 7 +
                info->version * 3 + (uint64_t)info->state;
}

static void set_checksums(uint8_t *bytes, size_t size)
{
    if (size < RUN_LOG_HEADER_SIZE)
        return;
    put_u64(bytes + 56, XXH3_64bits(bytes, 56));
    uint64_t id = get_u64(bytes + 24);
    for (size_t at = RUN_LOG_HEADER_SIZE; at + RUN_LOG_RECORD_SIZE <= size; at += RUN_LOG_RECORD_SIZE)
        put_u64(bytes + at + 120, XXH3_64bits_withSeed(bytes + at, 120, id));
}

static enum status look(int dir_fd, struct run_log *log, struct told *told)
{
    struct error err;

    error_init(&err);
    *told = (struct told){ .count = 0 };
    enum status status = run_log_open(log, dir_fd, 0, on_run, told, &err);
    MUST((status == STATUS_OK) == (log->fd >= 0));
    MUST(status == STATUS_OK || err.text[0] != '\0');
    return status;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    log_setup(FUZZ_LOG, LOG_LOGFMT);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };
    bool right = (fuzz_byte(&input) & 1) != 0;
    uint8_t *bytes = fuzz_copy(input.data, input.size);
    struct run_log log;
    struct told first, second;
    struct run_key run = { .source = "fuzz", .base_time = 1365379200 };
    struct run_info info = { .incarnation = INT64_MAX, .version = INT64_MAX, .state = RUN_READY };

    if (right)
        set_checksums(bytes, input.size);
    fuzz_file(RUN_LOG_NAME, bytes, input.size);
    free(bytes);
    int dir_fd = open(fuzz_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    MUST(dir_fd >= 0);
    if (look(dir_fd, &log, &first) == STATUS_OK) {
        run_log_close(&log);
        MUST(look(dir_fd, &log, &second) == STATUS_OK);
        MUST(first.count == second.count && first.sum == second.sum);
        MUST(run_log_append(&log, &run, &info, NULL) == STATUS_OK);
        run_log_close(&log);
        MUST(look(dir_fd, &log, &second) == STATUS_OK);
        MUST(second.count == first.count || second.count == first.count + 1);
        run_log_close(&log);
    }
    close(dir_fd);
    return 0;
}
