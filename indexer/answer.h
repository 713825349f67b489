/* answer.h: documents as they are printed, one after another, into a buffer. A form is three functions; answer_json.c and
 * answer_ndjson.c are the forms there are. Pure; the buffer says whether something failed. */
#ifndef INDEXER_ANSWER_H
#define INDEXER_ANSWER_H

#include "indexer/field.h"
#include "proto/base/json_write.h"

struct answer {
    struct buf *buf; /* borrowed */
    struct json_writer json;
};

struct answer_form {
    const char *content_type;
    void (*begin)(struct answer *answer);
    void (*document)(struct answer *answer, const struct field_document *document);
    /* next: where the next page begins, NULL when this was the last. */
    void (*end)(struct answer *answer, const char *next);
};
extern const struct answer_form answer_json;
extern const struct answer_form answer_ndjson;

void answer_init(struct answer *answer, struct buf *buf);
/* One document as a JSON object (field_to_json). */
void answer_put_document(struct answer *answer, const struct field_document *document);

#endif
