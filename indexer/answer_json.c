/* answer_json.c: {"fields": [...], "next": null | "C"}, and documents as JSON for every form that is made of it. */
#include "indexer/answer.h"

#include "proto/base/json_read.h"

void answer_init(struct answer *answer, struct buf *buf)
{
    answer->buf = buf;
    json_init(&answer->json, buf);
}

void answer_put_document(struct answer *answer, const struct field_document *document)
{
    json_t *json = field_to_json(document);

    if (json == NULL) {
        json_none(&answer->json); /* keeps the writer's nesting; the buffer's status is what counts */
        answer->buf->status = STATUS_NO_MEMORY;
        return;
    }
    json_print(&answer->json, json);
    json_decref(json);
}

static void begin(struct answer *answer)
{
    json_object_begin(&answer->json);
    json_key(&answer->json, "fields");
    json_array_begin(&answer->json);
}

static void end(struct answer *answer, const char *next)
{
    json_array_end(&answer->json);
    json_put_string(&answer->json, "next", next);
    json_object_end(&answer->json);
}

const struct answer_form answer_json = { "application/json", begin, answer_put_document, end };
