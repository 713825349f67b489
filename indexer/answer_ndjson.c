/* answer_ndjson.c: one document a line; where the next page begins is in the Link header alone. */
#include "indexer/answer.h"

static void begin(struct answer *answer)
{
    (void)answer;
}

static void document_line(struct answer *answer, const struct field_document *document)
{
    answer_put_document(answer, document);
    buf_text(answer->buf, "\n");
}

static void end(struct answer *answer, const char *next)
{
    (void)answer;
    (void)next;
}

const struct answer_form answer_ndjson = { "application/x-ndjson", begin, document_line, end };
