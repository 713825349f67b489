/* answer_csv.c: a table (RFC 4180): a head, one field a line, the first location of each.
 *
 * Text that a spreadsheet would take for a formula (it begins with = + - @, a tab or a return) gets a ' in front: values come from files
 * that others wrote. Numbers are left alone. */
#include "indexer/answer.h"

#include "proto/base/json_read.h"

#include <string.h>

static const char *const columns[] = {
    "source",   "base_time", "valid_time", "param",     "paramId", "levtype",   "typeOfLevel",
    "levelist", "level",     "step",       "stepRange", "number",  "type",      "stream",
    "class",    "expver",    "digest",     "sub",       "length",  "stored_at",
};
static const char *const location_columns[] = { "node", "url", "offset" };

static void text_put(struct buf *buf, const char *text)
{
    bool formula = text[0] != '\0' && strchr("=+-@\t\r", text[0]) != NULL;
    bool quoted = formula || strpbrk(text, "\",\r\n") != NULL;

    if (!quoted) {
        buf_text(buf, text);
        return;
    }
    buf_text(buf, formula ? "\"'" : "\"");
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '"')
            buf_text(buf, "\"");
        buf_append(buf, at, 1);
    }
    buf_text(buf, "\"");
}

static void value_put(struct buf *buf, const json_t *value)
{
    struct json_writer json;

    if (json_is_string(value)) {
        text_put(buf, json_string_value(value));
    } else if (json_is_number(value) || json_is_boolean(value)) {
        json_init(&json, buf);
        json_print(&json, value);
    }
}

static void begin(struct answer *answer)
{
    for (unsigned i = 0; i < ARRAY_COUNT(columns); i++)
        buf_format(answer->buf, "%s,", columns[i]);
    for (unsigned i = 0; i < ARRAY_COUNT(location_columns); i++)
        buf_format(answer->buf, "%s%s", i > 0 ? "," : "", location_columns[i]);
    buf_text(answer->buf, "\r\n");
}

static void document_line(struct answer *answer, struct slice id, struct slice text)
{
    json_t *json = NULL;

    (void)id;
    if (json_parse(text.data, text.size, &json, NULL) != STATUS_OK) {
        answer->buf->status = STATUS_CORRUPT;
        return;
    }
    const json_t *location = json_array_get(json_object_get(json, "locations"), 0);
    for (unsigned i = 0; i < ARRAY_COUNT(columns); i++) {
        value_put(answer->buf, json_object_get(json, columns[i]));
        buf_text(answer->buf, ",");
    }
    for (unsigned i = 0; i < ARRAY_COUNT(location_columns); i++) {
        buf_text(answer->buf, i > 0 ? "," : "");
        value_put(answer->buf, json_object_get(location, location_columns[i]));
    }
    buf_text(answer->buf, "\r\n");
    answer->count++;
    json_decref(json);
}

static void end(struct answer *answer, const char *next, const char *more)
{
    (void)answer;
    (void)next;
    (void)more;
}

const struct answer_form answer_csv = { "text/csv; charset=utf-8; header=present", begin,
                                        document_line, end };
