/* answer_json.c: {"fields": [...], "next": null | "C"}, and documents as JSON for every form that is made of it. */
#include "indexer/answer.h"

#include "proto/base/json_read.h"

void answer_init(struct answer *answer, struct buf *buf)
{
    *answer = (struct answer){ .buf = buf };
}

void answer_put_document(struct answer *answer, struct slice id, struct slice text)
{
    char hex[2 * FIELD_ID_SIZE_MAX + 1];

    if (id.size > FIELD_ID_SIZE_MAX || text.size <= 2 || text.data[0] != '{') {
        answer->buf->status = STATUS_CORRUPT;
        return;
    }
    hex_print(id.data, id.size, hex);
    buf_text(answer->buf, "{\"id\":\"");
    buf_append(answer->buf, hex, 2 * id.size);
    buf_text(answer->buf, "\",");
    buf_append(answer->buf, text.data + 1, text.size - 1);
    answer->count++;
}

static void begin(struct answer *answer)
{
    buf_text(answer->buf, "{\"fields\":[");
}

static void document(struct answer *answer, struct slice id, struct slice text)
{
    if (answer->count > 0)
        buf_text(answer->buf, ",");
    answer_put_document(answer, id, text);
}

static void end(struct answer *answer, const char *next, const char *more)
{
    if (next == NULL)
        buf_text(answer->buf, "],\"next\":null");
    else
        buf_format(answer->buf, "],\"next\":\"%s\"", next); /* hex digits, dots and tildes */
    if (more[0] != '\0')
        buf_text(answer->buf, ",");
    buf_text(answer->buf, more);
    buf_text(answer->buf, "}");
}

const struct answer_form answer_json = { "application/json", begin, document, end };

/* --- the order of locations --- */

static bool locations_order(json_t *json, bool (*preferred)(const void *data, const char *node),
                            const void *data)
{
    json_t *locations = json_object_get(json, "locations"), *ordered = json_array(), *item;
    bool good = json_is_array(locations) && ordered != NULL;
    size_t i;

    for (int pass = 0; good && pass < 2; pass++) {
        json_array_foreach (locations, i, item) {
            const char *node = json_string_value(json_object_get(item, "node"));
            bool first = node != NULL && preferred(data, node);
            if (first == (pass == 0))
                good = json_array_append(ordered, item) == 0 && good;
        }
    }
    if (good)
        good = json_object_set(json, "locations", ordered) == 0;
    json_decref(ordered);
    return good;
}

bool answer_prefer_nodes(struct slice text, bool (*preferred)(const void *data, const char *node),
                         const void *data, struct buf *out)
{
    struct json_writer writer;
    json_t *json = NULL;

    if (json_parse(text.data, text.size, &json, NULL) != STATUS_OK)
        return false;
    bool good = locations_order(json, preferred, data);
    if (good) {
        json_init(&writer, out);
        json_print(&writer, json);
        good = buf_status(out) == STATUS_OK;
    }
    json_decref(json);
    return good;
}
