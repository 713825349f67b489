/* answer.h: documents as they are printed, one after another, into a buffer. A form is three functions; answer_json.c,
 * answer_ndjson.c and answer_csv.c are the forms there are. Pure; the buffer says whether something failed.
 *
 * A document comes as the text of a JSON object, without its id (catalog_rows). */
#ifndef INDEXER_ANSWER_H
#define INDEXER_ANSWER_H

#include "indexer/field.h"
#include "proto/base/buf.h"

struct answer {
    struct buf *buf; /* borrowed */
    uint64_t count;  /* documents so far */
};

struct answer_form {
    const char *content_type;
    void (*begin)(struct answer *answer);
    void (*document)(struct answer *answer, struct slice id, struct slice text);
    /* next: where the next page begins, NULL when this was the last. more: further members of a JSON object
     * (`"missing":[...]`), "" for none. */
    void (*end)(struct answer *answer, const char *next, const char *more);
};
extern const struct answer_form answer_json;
extern const struct answer_form answer_ndjson;
extern const struct answer_form answer_csv;

void answer_init(struct answer *answer, struct buf *buf);
/* One document as a JSON object with its id. */
void answer_put_document(struct answer *answer, struct slice id, struct slice text);

/* The document with the locations on these nodes first, otherwise in their order; false: it is no JSON, or memory ran out. */
bool answer_prefer_nodes(struct slice text, bool (*preferred)(const void *data, const char *node),
                         const void *data, struct buf *out);

#endif
