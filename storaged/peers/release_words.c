/* release_words.c: JSON of releases, written and read. */
#include "storaged/peers/release_words.h"

#include "proto/base/json_read.h"
#include "proto/digest_json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- written --- */

static void print_run(struct json_writer *json, const char *node, const struct store_drop *drop)
{
    char base_time[BASE_TIME_TEXT_SIZE];

    base_time_print(drop->run.base_time, base_time);
    json_put_string(json, "node", node);
    json_put_string(json, "source", drop->run.source);
    json_put_string(json, "base_time", base_time);
    json_put_u64(json, "incarnation", drop->incarnation);
    json_key(json, "journal");
    json_format(json, "%016" PRIx64, drop->journal_id);
    json_put_u64(json, "records", drop->records);
}

static void print_file(struct json_writer *json, const struct store_drop_file *file,
                       const struct digest *digests, size_t count)
{
    json_object_begin(json);
    json_put_u64(json, "shard", file->shard);
    json_key(json, "birth");
    json_format(json, "%016" PRIx64, file->birth);
    digest_json_put(json, "digests", digests, count);
    json_object_end(json);
}

void release_print_question(struct buf *body, const char *node, const struct store_drop *drop,
                            const struct digest *digests, const size_t *ends)
{
    struct json_writer json;

    json_init(&json, body);
    json_object_begin(&json);
    print_run(&json, node, drop);
    json_key(&json, "files");
    json_array_begin(&json);
    for (unsigned i = 0; i < drop->count; i++) {
        size_t begin = i > 0 ? ends[i - 1] : 0;

        print_file(&json, &drop->files[i], digests + begin, ends[i] - begin);
    }
    json_array_end(&json);
    json_object_end(&json);
}

void release_print_dropped(struct buf *body, const char *node, const struct store_drop *drop, bool final)
{
    struct json_writer json;

    json_init(&json, body);
    json_object_begin(&json);
    print_run(&json, node, drop);
    json_key(&json, "files");
    json_array_begin(&json);
    for (unsigned i = 0; i < drop->count; i++)
        json_format(&json, "%016" PRIx64, drop->files[i].birth);
    json_array_end(&json);
    json_put_bool(&json, "final", final);
    json_object_end(&json);
}

/* --- read --- */

/* Which of the files a birth id names; count: none of them. */
static unsigned find_birth(const json_t *text, const struct store_drop_file *files, unsigned count)
{
    const char *hex = json_string_value(text);
    uint8_t bytes[8];
    unsigned at = 0;

    if (hex == NULL || json_string_length(text) != 16 || hex_parse(hex, 16, bytes, sizeof bytes) != 0)
        return count;
    uint64_t birth = get_u64(bytes);
    while (at < count && files[at].birth != birth)
        at++;
    return at;
}

/* What is refused is not granted, whatever else it says. */
static enum release_code refusal_code(const char *name)
{
    enum release_code code = release_code_parse(slice_text(name));

    return code == RELEASE_GRANTED ? RELEASE_OTHER : code;
}

static enum status read_refusal(const json_t *refusal, const struct store_drop_file *files,
                                unsigned count, struct release_verdict *verdicts, char *why,
                                size_t why_size, struct error *err)
{
    const char *code, *text;
    enum status status = json_get_string(refusal, "code", &code, err);

    if (status == STATUS_OK)
        status = json_opt_string(refusal, "why", code, &text, err);
    if (status != STATUS_OK)
        return status;
    unsigned at = find_birth(json_object_get(refusal, "birth"), files, count);
    if (at < count)
        verdicts[at] = (struct release_verdict){ .code = refusal_code(code) };
    if (at < count && why[0] == '\0')
        snprintf(why, why_size, "%s: %s", code, text);
    return STATUS_OK;
}

static enum status read_verdicts(const json_t *object, const struct store_drop_file *files,
                                 unsigned count, struct release_verdict *verdicts, char *why,
                                 size_t why_size, struct error *err)
{
    json_t *granted, *refused;
    enum status status = json_get_array(object, "granted", &granted, err);

    if (status == STATUS_OK)
        status = json_get_array(object, "refused", &refused, err);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < json_array_size(granted); i++) {
        unsigned at = find_birth(json_array_get(granted, i), files, count);

        if (at < count)
            verdicts[at].granted = true;
    }
    for (size_t i = 0; i < json_array_size(refused) && status == STATUS_OK; i++) {
        status = read_refusal(json_array_get(refused, i), files, count, verdicts, why, why_size, err);
        if (status != STATUS_OK)
            error_wrap(err, "refused[%zu]", i);
    }
    return status;
}

enum status release_read_verdicts(struct slice answer, const struct store_drop_file *files,
                                  unsigned count, struct release_verdict *verdicts, char *why,
                                  size_t why_size, struct error *err)
{
    json_t *object;

    why[0] = '\0';
    for (unsigned i = 0; i < count; i++)
        verdicts[i] = (struct release_verdict){ .code = RELEASE_OTHER };
    enum status status = json_parse(answer.data, answer.size, &object, err);
    if (status != STATUS_OK)
        return status;
    status = read_verdicts(object, files, count, verdicts, why, why_size, err);
    json_decref(object);
    for (unsigned i = 0; i < count && status != STATUS_OK; i++) /* half an answer grants nothing */
        verdicts[i] = (struct release_verdict){ .code = RELEASE_OTHER };
    return status;
}

enum status release_read_removed(struct slice answer, const struct store_drop_file *files,
                                 unsigned count, bool *removed, struct error *err)
{
    json_t *object, *births;

    for (unsigned i = 0; i < count; i++)
        removed[i] = false;
    enum status status = json_parse(answer.data, answer.size, &object, err);
    if (status != STATUS_OK)
        return status;
    status = json_get_array(object, "removed", &births, err);
    for (size_t i = 0; status == STATUS_OK && i < json_array_size(births); i++) {
        unsigned at = find_birth(json_array_get(births, i), files, count);

        if (at < count)
            removed[at] = true;
    }
    json_decref(object);
    return status;
}
