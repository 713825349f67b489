/* fuzz_recover.c: a run's directory of hostile bytes, opened: recovery, or the journal made anew from its data files.
 *
 * Input: a byte of flags, a byte a data file (how many messages, how much of them is there), then seven bytes a journal record:
 * kind, file, which message, what is added to its offset and length, its stamp, what is flipped. Messages are whole GRIB of
 * 64 bytes that belong to their file's shard, and checksums are right unless something is flipped: so the disk lies where no
 * checksum shows it. What opens shows only what lies in its files; opened again it is the same; and it takes another message. */
#include "proto/base/log.h"
#include "tests/fuzz/fuzz_dir.h"
#include "tests/lib/store_fixture.h"

#include <sys/resource.h>
#include <sys/stat.h>

enum {
    HEADER_FLIPPED = 1,
    HEADER_CUT = 2,
    TAIL_TORN = 4, /* the journal's last record is not whole */
    APPEND = 8,
    FILES = 4, /* one a shard */
    MESSAGE_SIZE = 64,
    FILE_MESSAGES = 6,
    RECORDS_MAX = 48,
    RECORD_INPUT = 7,
    BIRTH = 77,
    STACK_SIZE = 512 << 10,
};

#define RUN_FOLDER "runs/hres/20130408T0000Z"

static uint8_t messages[FILES][FILE_MESSAGES][MESSAGE_SIZE];
static struct digest digests[FILES][FILE_MESSAGES];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    unsigned found[FILES] = { 0 }, left = FILES * FILE_MESSAGES;
    struct rlimit limit;

    (void)argc;
    (void)argv;
    /* A store starts threads, and ASan looks after the whole of their stacks. */
    MUST(getrlimit(RLIMIT_STACK, &limit) == 0);
    limit.rlim_cur = STACK_SIZE;
    MUST(setrlimit(RLIMIT_STACK, &limit) == 0);
    log_setup(FUZZ_LOG, LOG_LOGFMT);
    for (uint64_t number = 0; left > 0; number++) {
        struct digest digest;
        fixture_digest(number, MESSAGE_SIZE, &digest);
        unsigned shard = digest_shard(&digest, FILES);
        if (found[shard] == FILE_MESSAGES)
            continue;
        fixture_message(number, MESSAGE_SIZE, messages[shard][found[shard]]);
        digests[shard][found[shard]++] = digest;
        left--;
    }
    return 0;
}

/* --- the directory --- */

static void make_folder(const char *name)
{
    char path[2 * FUZZ_PATH_SIZE];

    snprintf(path, sizeof path, "%s/%s", fuzz_dir(), name);
    MUST(mkdir(path, 0700) == 0);
}

static void make_data_file(unsigned file, uint8_t how)
{
    char name[64];
    size_t size = (size_t)(how % (FILE_MESSAGES + 1)) * MESSAGE_SIZE;

    if (how >= 0xf8)
        return; /* missing */
    size -= how >= 0x80 && size > 0 ? (size_t)(how >> 1 & 0x3f) : 0;
    snprintf(name, sizeof name, RUN_FOLDER "/%04u-%016x.grib", file, BIRTH + file);
    fuzz_file(name, messages[file], size);
}

static void make_record(struct fuzz_input *input, uint64_t number, uint8_t *bytes)
{
    uint8_t kind = fuzz_byte(input), file = fuzz_byte(input), which = fuzz_byte(input);
    int8_t offset = (int8_t)fuzz_byte(input), length = (int8_t)fuzz_byte(input);
    uint8_t stamp = fuzz_byte(input), flip = fuzz_byte(input);
    struct journal_record record = {
        .kind = (enum journal_kind)(kind % 4 + 1),
        .batch_first = (kind & 0x80) != 0,
        .shard = (uint16_t)(file % FILES),
        .birth = BIRTH + (file >> 4) % 8 + file % FILES,
        .stored_at_us = stamp,
    };

    if (record.kind == JOURNAL_STORED || record.kind == JOURNAL_BAD) {
        record.birth = 0;
        record.digest = digests[file % FILES][which % FILE_MESSAGES];
        record.offset = (uint64_t)(which % FILE_MESSAGES) * MESSAGE_SIZE + (uint64_t)offset;
    }
    if (record.kind == JOURNAL_STORED)
        record.length = MESSAGE_SIZE + (uint64_t)length;
    if (record.kind == JOURNAL_BAD)
        record.stored_record = (uint64_t)(int64_t)offset;
    journal_record_encode(&record, BIRTH, number, bytes);
    if (flip != 0)
        bytes[which % JOURNAL_RECORD_SIZE] ^= flip;
}

static void make_journal(struct fuzz_input *input, unsigned flags)
{
    uint8_t bytes[JOURNAL_HEADER_SIZE + RECORDS_MAX * JOURNAL_RECORD_SIZE];
    struct journal_header header = { .incarnation = 1, .journal_id = BIRTH, .made_at_us = 1 };
    uint64_t count = 0;

    journal_header_encode(&header, bytes);
    if ((flags & HEADER_FLIPPED) != 0)
        bytes[flags >> 4] ^= 1;
    for (; input->size > 0 && count < RECORDS_MAX; count++)
        make_record(input, count, bytes + JOURNAL_HEADER_SIZE + count * JOURNAL_RECORD_SIZE);
    size_t size = JOURNAL_HEADER_SIZE + count * JOURNAL_RECORD_SIZE;
    if ((flags & TAIL_TORN) != 0)
        size -= 1 + (flags >> 4);
    if ((flags & HEADER_CUT) != 0)
        size = size < JOURNAL_HEADER_SIZE ? size : (size_t)(flags >> 4);
    fuzz_file(RUN_FOLDER "/journal", bytes, size);
}

/* --- the store --- */

struct shown {
    struct store_fixture *fixture;
    uint64_t messages, bytes, records, journal_id;
    unsigned files;
};

static void check_place(void *data, const struct digest *digest, const struct store_place *place)
{
    struct shown *shown = data;
    struct run_key run = fixture_run(0);
    struct store_file *file;

    MUST(digest_shard(digest, FILES) == place->shard || place->shard < FILES);
    MUST(place->record < shown->records && place->length > 0);
    MUST(store_file_open(shown->fixture->store, &run, place->shard, place->birth, &file, NULL) ==
         STATUS_OK);
    MUST(place->length <= store_file_size(file) && place->offset <= store_file_size(file) - place->length);
    store_file_release(file);
    shown->messages++;
    shown->bytes += place->length;
}

static void check_feed(const struct shown *shown)
{
    struct run_key run = fixture_run(0);
    struct journal_record record;
    struct buf records;
    uint64_t total;

    buf_init(&records, 1 << 20);
    MUST(store_journal_read(shown->fixture->store, &run, shown->journal_id, 0, false, 0, 1000,
                            &records, &total, NULL) == STATUS_OK);
    MUST(total == shown->records && records.size == total * JOURNAL_RECORD_SIZE);
    for (uint64_t i = 0; i < total; i++)
        MUST(journal_record_decode(records.data + i * JOURNAL_RECORD_SIZE, shown->journal_id, i,
                                   &record, NULL) == STATUS_OK);
    buf_fini(&records);
}

static struct shown look(struct store_fixture *fixture)
{
    struct run_key run = fixture_run(0);
    struct shown shown = { .fixture = fixture };
    struct store_run_info info;

    if (store_run_get(fixture->store, &run, &info) != STATUS_OK)
        return shown;
    shown.records = info.records;
    shown.journal_id = info.journal_id;
    shown.files = info.files_count;
    for (unsigned i = 0; i < info.files_count; i++)
        MUST(info.files[i].count <= info.messages);
    for (unsigned shard = 0; shard < FILES; shard++)
        MUST(store_shard_list(fixture->store, &run, shard, check_place, &shown, NULL) == STATUS_OK);
    MUST(shown.messages == info.messages && shown.bytes == info.bytes);
    store_run_info_fini(&info);
    check_feed(&shown);
    return shown;
}

static bool try_open(struct store_fixture *fixture)
{
    struct error err;

    error_init(&err);
    enum status status = fixture_try_open(fixture, &err);
    MUST(status == STATUS_OK || err.text[0] != '\0');
    return status == STATUS_OK;
}

static void check_again(struct store_fixture *fixture, const struct shown *first, bool append)
{
    struct run_key run = fixture_run(0);

    fixture_close(fixture);
    MUST(try_open(fixture));
    struct shown second = look(fixture);
    MUST(second.messages == first->messages && second.bytes == first->bytes);
    MUST(second.records == first->records && second.journal_id == first->journal_id);
    if (!append)
        return;
    MUST(fixture_put(fixture, &run, UINT64_MAX, 100, NULL) == STATUS_OK);
    MUST(fixture_has(fixture, &run, UINT64_MAX, 100));
    fixture_close(fixture);
    MUST(try_open(fixture));
    MUST(fixture_has(fixture, &run, UINT64_MAX, 100));
    second = look(fixture);
    MUST(second.messages == first->messages + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };
    unsigned flags = fuzz_byte(&input);
    struct store_fixture fixture = { .options = { .shards = FILES, .flush_threads = 1 } };

    fuzz_dir_clear();
    make_folder("runs");
    make_folder("runs/hres");
    make_folder(RUN_FOLDER);
    for (unsigned file = 0; file < FILES; file++)
        make_data_file(file, fuzz_byte(&input));
    make_journal(&input, flags);
    snprintf(fixture.dir, sizeof fixture.dir, "%s", fuzz_dir());
    uv_loop_init(&fixture.loop);
    if (try_open(&fixture)) {
        struct shown first = look(&fixture);
        check_again(&fixture, &first, (flags & APPEND) != 0);
    }
    fixture_close(&fixture);
    MUST(uv_loop_close(&fixture.loop) == 0);
    return 0;
}
