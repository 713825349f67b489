/* fuzz_names.c: the short texts that come in paths and headers: runs, times, data files, digests, stamps, addresses.
 *
 * Input: the text. What parses is printed and parses to the same; there is one spelling of what stands in a path. */
#include "proto/cluster_map.h"
#include "proto/http/http_server.h"
#include "proto/node_api.h"
#include "storaged/stamps.h"
#include "tests/fuzz/fuzz.h"

static void check_time(struct slice text)
{
    char compact[BASE_TIME_TEXT_SIZE], rfc3339[BASE_TIME_TEXT_SIZE];
    int year, month, day, hour, minute, second;
    int64_t time, again;

    if (base_time_parse(text, &time, NULL) != STATUS_OK)
        return;
    MUST(base_time_valid(time));
    base_time_print(time, compact);
    base_time_print_rfc3339(time, rfc3339);
    MUST(slice_equals(text, compact) || slice_equals(text, rfc3339) ||
         text.size == strlen("20130408T0000Z") + 2);
    MUST(base_time_parse(slice_text(compact), &again, NULL) == STATUS_OK && again == time);
    MUST(base_time_parse(slice_text(rfc3339), &again, NULL) == STATUS_OK && again == time);
    base_time_to_calendar(time, &year, &month, &day, &hour, &minute, &second);
    MUST(base_time_from_calendar(year, month, day, hour, minute, second, &again) && again == time);
}

static void check_run(struct slice text)
{
    const uint8_t *slash = text.size > 0 ? memchr(text.data, '/', text.size) : NULL;
    struct run_key run, again;
    uint8_t id[RUN_ID_SIZE_MAX];
    size_t used;

    if (slash == NULL)
        return;
    size_t front = (size_t)(slash - text.data);
    if (run_key_parse(slice_of(text.data, front), slice_of(slash + 1, text.size - front - 1), &run,
                      NULL) != STATUS_OK)
        return;
    size_t size = run_id_print(&run, id);
    MUST(run_id_parse(slice_of(id, size), &again, &used) && used == size &&
         run_key_compare(&run, &again) == 0);
}

static void check_id(struct slice text)
{
    struct run_key run;
    uint8_t id[RUN_ID_SIZE_MAX];
    size_t used;

    if (!run_id_parse(text, &run, &used))
        return;
    MUST(used <= text.size && source_valid(slice_text(run.source)) && base_time_valid(run.base_time));
    MUST(run_id_print(&run, id) == used && memcmp(id, text.data, used) == 0);
}

static void check_file(struct slice text)
{
    char name[DATA_FILE_NAME_SIZE];
    unsigned shard;
    uint64_t birth;

    if (!data_file_name_parse(text, &shard, &birth))
        return;
    data_file_name_print(shard, birth, name);
    MUST(slice_equals(text, name));
}

static void check_digest(struct slice text)
{
    char printed[DIGEST_TEXT_SIZE];
    struct digest digest;

    if (!digest_parse(text, &digest))
        return;
    digest_print(&digest, printed);
    MUST(slice_equals(text, printed));
}

static void check_stamps(struct slice text)
{
    struct stamps stamps;

    if (stamps_parse(text, &stamps, NULL) == STATUS_OK) {
        MUST(stamps.count <= STAMPS_MAX && (stamps.count > 0 || text.data == NULL));
        for (unsigned i = 0; i < stamps.count; i++)
            MUST(stamps_get(&stamps, i) == stamps.values[i] && stamps.values[i] != 0);
    }
    stamps_fini(&stamps);
}

static void check_address(const char *text)
{
    char host[64];
    unsigned port;

    if (http_address_parse(text, host, sizeof host, &port))
        MUST(port <= UINT16_MAX && strlen(host) > 0);
    http_address_loopback(text);
    if (node_url_valid(text))
        MUST(strncmp(text, "http", 4) == 0 && strlen(text) <= URL_SIZE_MAX);
    if (node_id_valid(text))
        MUST(strlen(text) <= NODE_ID_SIZE_MAX && strchr(text, '/') == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = fuzz_copy(size > 0 ? (const void *)data : "", size + (size == 0));
    char *terminated = fuzz_text(data, size);
    struct slice text = slice_of(copy, size);

    check_time(text);
    check_run(text);
    check_id(text);
    check_file(text);
    check_digest(text);
    check_stamps(text);
    check_address(terminated);
    free(terminated);
    free(copy);
    return 0;
}
