/* mirror_have.c: which of a window's messages each owner lacks. */
#include "client/mirror_window.h"

#include "client/call.h"
#include "client/error.h"
#include "client/put_answer.h"
#include "proto/base/clock.h"
#include "proto/have_question.h"
#include "proto/placement.h"

#include <stdlib.h>

enum { MIRROR_HAVE_MAX = 1 << 20 };

static const uint16_t *owners_of(const struct mirroring *mirroring, const struct digest *digest,
                                 unsigned *count)
{
    const struct cluster_map *map = mirroring->copy->to->map;

    return placement_owners(map, mirroring->copy->run.base_time, digest_shard(digest, map->shards), count);
}

static bool owns(const struct mirroring *mirroring, const struct digest *digest, unsigned node)
{
    unsigned count;
    const uint16_t *owners = owners_of(mirroring, digest, &count);

    for (unsigned i = 0; i < count; i++)
        if (owners[i] == node)
            return true;
    return false;
}

static void have_print(const struct mirroring *mirroring, const struct put_message *asked,
                       unsigned count, struct buf *body)
{
    struct json_writer json;

    have_question_begin(&json, body, &mirroring->copy->run, false);
    for (unsigned i = 0; i < count; i++)
        digest_json_put_one(&json, &asked[i].digest);
    have_question_end(&json);
}

static enum status have_ask(struct mirroring *mirroring, unsigned node, struct put_message *asked,
                            unsigned count, struct error *err)
{
    struct gs_session *to = mirroring->copy->to;
    struct call call = { .to = CALL_URL,
                         .url = to->map->nodes[node].url,
                         .method = "POST",
                         .path = "/have",
                         .answer_max = MIRROR_HAVE_MAX };
    struct call_answer answer;
    struct buf body;

    buf_init(&body, MIRROR_HAVE_MAX);
    have_print(mirroring, asked, count, &body);
    call.body = slice_of(body.data, body.size);
    enum status status = buf_status(&body) == STATUS_OK
                             ? call_run(to, &call, &answer, err)
                             : error_set(err, STATUS_NO_MEMORY, "no memory for a question");
    if (status == STATUS_OK)
        status = put_answer_have(&answer.body, asked, count, err);
    if (buf_status(&body) == STATUS_OK)
        call_answer_fini(&answer);
    buf_fini(&body);
    return status;
}

static bool send_take(struct mirror_window *window, unsigned node, unsigned item)
{
    struct mirror_send *send = &window->sends[node];

    if (send->items == NULL)
        send->items = calloc(MIRROR_WINDOW_MESSAGES, sizeof *send->items);
    if (send->items == NULL)
        return false;
    send->items[send->count++] = item;
    send->size += window->items[item].message->length;
    window->items[item].lacking = true;
    return true;
}

/* An owner that does not answer now has nothing, as far as is known, and is sent nothing. */
static enum status have_node(struct mirror_window *window, unsigned node, struct put_message *asked,
                             unsigned *places, struct error *err)
{
    struct mirroring *mirroring = window->mirroring;
    unsigned count = 0;

    for (unsigned i = 0; i < window->count; i++)
        if (owns(mirroring, &window->items[i].message->digest, node)) {
            asked[count] = (struct put_message){ .digest = window->items[i].message->digest };
            places[count++] = i;
            window->items[i].owners++;
        }
    if (count == 0 || mirroring->copy->to->map->nodes[node].state == NODE_OUT ||
        mirroring->down_until_ms[node] > clock_monotonic_ms())
        return STATUS_OK;
    enum status status = have_ask(mirroring, node, asked, count, err);
    if (status_is_temporary(status)) {
        mirroring->down_until_ms[node] = clock_monotonic_ms() + 10 * MIRROR_RETRY_MS;
        return STATUS_OK;
    }
    for (unsigned i = 0; status == STATUS_OK && i < count; i++) {
        if (!asked[i].missing)
            window->items[places[i]].copies++;
        else if (!send_take(window, node, places[i]))
            status = error_set(err, STATUS_NO_MEMORY, "no memory for messages");
    }
    return status;
}

enum status mirror_have(struct mirror_window *window, struct error *err)
{
    struct put_message *asked = calloc(MIRROR_WINDOW_MESSAGES, sizeof *asked);
    unsigned *places = calloc(MIRROR_WINDOW_MESSAGES, sizeof *places);
    enum status status = STATUS_OK;

    if (asked == NULL || places == NULL) {
        free(asked);
        free(places);
        return error_set(err, STATUS_NO_MEMORY, "no memory for messages");
    }
    for (unsigned node = 0;
         status == STATUS_OK && node < window->mirroring->copy->to->map->nodes_count; node++)
        status = have_node(window, node, asked, places, err);
    free(asked);
    free(places);
    return status;
}
