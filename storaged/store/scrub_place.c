/* scrub_place.c: a small JSON file, written and read. */
#include "storaged/store/scrub_place.h"

#include "proto/base/json_read.h"
#include "proto/base/json_write.h"
#include "storaged/store/disk.h"
#include "storaged/store/journal.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#define PLACE_NEW_NAME SCRUB_PLACE_NAME ".new"

enum { PLACE_FORMAT = 1, PLACE_SIZE_MAX = 4096 };

/* --- save --- */

static void place_print_pass(struct json_writer *json, const char *key,
                             const struct store_scrub_pass *pass)
{
    json_key(json, key);
    json_object_begin(json);
    json_put_u64(json, "begun", pass->begun_us);
    json_put_u64(json, "completed", pass->completed_us);
    json_put_u64(json, "messages", pass->messages);
    json_put_u64(json, "bytes", pass->bytes);
    json_put_u64(json, "found", pass->found);
    json_object_end(json);
}

static void place_print_place(struct json_writer *json, const struct scrub_place *place)
{
    char base_time[BASE_TIME_TEXT_SIZE], id[17];

    base_time_print(place->run.base_time, base_time);
    json_key(json, "place");
    json_object_begin(json);
    json_put_string(json, "source", place->run.source);
    json_put_string(json, "base_time", base_time);
    snprintf(id, sizeof id, "%016" PRIx64, place->journal_id);
    json_put_string(json, "journal", id);
    json_put_u64(json, "record", place->record);
    snprintf(id, sizeof id, "%016" PRIx64, place->birth);
    json_put_string(json, "birth", id);
    json_put_u64(json, "offset", place->offset);
    json_object_end(json);
}

static void place_print(struct buf *text, const struct scrub_kept *kept)
{
    struct json_writer json;

    json_init(&json, text);
    json_object_begin(&json);
    json_put_u64(&json, "format", PLACE_FORMAT);
    json_put_bool(&json, "running", kept->is_running);
    place_print_pass(&json, "pass", &kept->pass);
    place_print_pass(&json, "last", &kept->last);
    if (kept->is_running && kept->place.run.source[0] != '\0')
        place_print_place(&json, &kept->place);
    json_object_end(&json);
}

enum status scrub_place_save(int dir_fd, const struct scrub_kept *kept, struct error *err)
{
    struct buf text;
    int fd;

    enum status status = disk_open(dir_fd, PLACE_NEW_NAME, O_WRONLY | O_CREAT | O_TRUNC, &fd, err);
    if (status != STATUS_OK)
        return status;
    buf_init(&text, PLACE_SIZE_MAX);
    place_print(&text, kept);
    status = disk_write(fd, 0, text.data, text.size, err);
    buf_fini(&text);
    disk_close(fd);
    if (status == STATUS_OK)
        status = disk_rename(dir_fd, PLACE_NEW_NAME, dir_fd, SCRUB_PLACE_NAME, err);
    return status;
}

/* --- load --- */

static enum status place_read_pass(const json_t *object, const char *key,
                                   struct store_scrub_pass *pass, struct error *err)
{
    const json_t *member = json_object_get(object, key);

    enum status status = json_get_u64(member, "begun", INT64_MAX, &pass->begun_us, err);
    if (status == STATUS_OK)
        status = json_get_u64(member, "completed", INT64_MAX, &pass->completed_us, err);
    if (status == STATUS_OK)
        status = json_get_u64(member, "messages", INT64_MAX, &pass->messages, err);
    if (status == STATUS_OK)
        status = json_get_u64(member, "bytes", INT64_MAX, &pass->bytes, err);
    if (status == STATUS_OK)
        status = json_get_u64(member, "found", INT64_MAX, &pass->found, err);
    return status;
}

static enum status place_read_id(const json_t *object, const char *key, uint64_t *id, struct error *err)
{
    uint8_t bytes[8];
    const char *text;

    enum status status = json_get_string(object, key, &text, err);
    if (status != STATUS_OK)
        return status;
    if (strlen(text) != 16 || hex_parse(text, 16, bytes, sizeof bytes) != 0)
        return error_set(err, STATUS_BAD_VALUE, "%s: not 16 hex digits", key);
    *id = get_u64(bytes);
    return STATUS_OK;
}

static enum status place_read_place(const json_t *place, struct scrub_place *result, struct error *err)
{
    const char *source, *base_time;

    enum status status = json_get_string(place, "source", &source, err);
    if (status == STATUS_OK)
        status = json_get_string(place, "base_time", &base_time, err);
    if (status == STATUS_OK)
        status = run_key_parse(slice_text(source), slice_text(base_time), &result->run, err);
    if (status == STATUS_OK)
        status = place_read_id(place, "journal", &result->journal_id, err);
    if (status == STATUS_OK)
        status = json_get_u64(place, "record", JOURNAL_RECORDS_MAX, &result->record, err);
    if (status == STATUS_OK)
        status = place_read_id(place, "birth", &result->birth, err);
    if (status == STATUS_OK)
        status = json_get_u64(place, "offset", INT64_MAX, &result->offset, err);
    return status;
}

static enum status place_parse(const json_t *object, struct scrub_kept *kept, struct error *err)
{
    const json_t *place = json_object_get(object, "place");
    uint64_t format;

    enum status status = json_get_u64(object, "format", INT64_MAX, &format, err);
    if (status == STATUS_OK && format != PLACE_FORMAT)
        status = error_set(err, STATUS_UNSUPPORTED, "format %ju", (uintmax_t)format);
    if (status == STATUS_OK)
        status = place_read_pass(object, "pass", &kept->pass, err);
    if (status == STATUS_OK)
        status = place_read_pass(object, "last", &kept->last, err);
    kept->is_running = json_is_true(json_object_get(object, "running"));
    if (status == STATUS_OK && place != NULL)
        status = place_read_place(place, &kept->place, err);
    return status;
}

enum status scrub_place_load(int dir_fd, struct scrub_kept *kept, struct error *err)
{
    uint8_t text[PLACE_SIZE_MAX];
    json_t *object;
    uint64_t size;
    int fd;

    *kept = (struct scrub_kept){ .is_running = false };
    enum status status = disk_open(dir_fd, SCRUB_PLACE_NAME, O_RDONLY, &fd, err);
    if (status != STATUS_OK)
        return status;
    status = disk_size(fd, &size, err);
    if (status == STATUS_OK && size > sizeof text)
        status = error_set(err, STATUS_TOO_LARGE, "%ju bytes", (uintmax_t)size);
    if (status == STATUS_OK)
        status = disk_read(fd, 0, text, (size_t)size, true, err);
    disk_close(fd);
    if (status == STATUS_OK)
        status = json_parse(text, (size_t)size, &object, err);
    if (status != STATUS_OK)
        return error_wrap(err, SCRUB_PLACE_NAME);
    status = place_parse(object, kept, err);
    json_decref(object);
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, SCRUB_PLACE_NAME);
}
