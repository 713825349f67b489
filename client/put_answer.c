/* put_answer.c: the answers to /have and to a PUT. */
#include "client/put_answer.h"

#include "client/error.h"
#include "proto/base/json_read.h"
#include "proto/cluster_map.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- /have ---- */

static int message_pointer_order(const void *a, const void *b)
{
    const struct put_message *left = *(const struct put_message *const *)a;
    const struct put_message *right = *(const struct put_message *const *)b;
    int order = digest_compare(&left->digest, &right->digest);

    return order != 0 ? order : left < right ? -1 : left > right;
}

/* The first message with this digest among those sorted; NULL: nobody asked for it. */
static struct put_message *message_find(struct put_message **sorted, size_t count,
                                        const struct digest *digest)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (digest_compare(&sorted[middle]->digest, digest) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && digest_compare(&sorted[low]->digest, digest) == 0 ? sorted[low] : NULL;
}

static enum status have_mark(const json_t *missing, struct put_message **sorted, size_t count,
                             struct error *err)
{
    size_t i;
    json_t *item;

    json_array_foreach (missing, i, item) {
        struct digest digest;
        struct put_message *message = NULL;

        if (json_is_string(item) && digest_parse(slice_text(json_string_value(item)), &digest))
            message = message_find(sorted, count, &digest);
        if (message == NULL)
            return error_set(err, STATUS_MALFORMED, "missing[%zu]: not one of the digests asked for", i);
        message->missing = true;
    }
    return STATUS_OK;
}

enum status put_answer_have(const struct buf *answer, struct put_message *messages, size_t count,
                            struct error *err)
{
    struct put_message **sorted = malloc(count * sizeof *sorted + 1);
    json_t *json = NULL, *missing;
    enum status status;

    if (sorted == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for an answer");
    for (size_t i = 0; i < count; i++)
        sorted[i] = &messages[i];
    qsort(sorted, count, sizeof *sorted, message_pointer_order);
    status = json_parse(answer->data, answer->size, &json, err);
    if (status == STATUS_OK)
        status = json_get_array(json, "missing", &missing, err);
    if (status == STATUS_OK)
        status = have_mark(missing, sorted, count, err);
    json_decref(json);
    free(sorted);
    return error_of_answer(status, err, "the answer to /have");
}

/* ---- PUT ---- */

static enum status answer_line(const json_t *item, const struct put_message *message,
                               struct put_line *line, struct error *err)
{
    struct digest digest;
    const char *text;

    enum status status = json_get_string(item, "digest", &text, err);
    if (status == STATUS_OK)
        status = json_opt_u64(item, "copies", MAP_REPLICAS_MAX, 1, &line->copies, err);
    if (status == STATUS_OK)
        status = json_opt_u64(item, "stored_at", INT64_MAX, 0, &line->stored_at_us, err);
    if (status == STATUS_OK)
        status = json_opt_u64(item, "incarnation", INT64_MAX, 0, &line->incarnation, err);
    if (status != STATUS_OK)
        return status;
    if (!digest_parse(slice_text(text), &digest) || digest_compare(&digest, &message->digest) != 0)
        return error_set(err, STATUS_CORRUPT,
                         "the node read other bytes than were cut out: the file changed meanwhile");
    line->is_new = json_is_true(json_object_get(item, "new"));
    return STATUS_OK;
}

enum status put_answer_lines(const struct buf *answer, const struct put_message *messages,
                             const uint32_t *picks, size_t count, struct put_line *lines,
                             struct error *err)
{
    json_t *json = NULL, *array;

    enum status status = json_parse(answer->data, answer->size, &json, err);
    if (status == STATUS_OK)
        status = json_get_array(json, "messages", &array, err);
    if (status == STATUS_OK && json_array_size(array) != count)
        status = error_set(err, STATUS_MALFORMED, "it names %zu messages, %zu were sent",
                           json_array_size(array), count);
    for (size_t i = 0; status == STATUS_OK && i < count; i++)
        status = answer_line(json_array_get(array, i), &messages[picks[i]], &lines[i], err);
    json_decref(json);
    return error_of_answer(status, err, "the answer to a PUT");
}
