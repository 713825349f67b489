/* answer_ndjson.c: one document a line; where the next page begins is in the Link header alone. What else is to be said comes as a last
 * line, an object without `id`. */
#include "indexer/answer.h"

static void begin(struct answer *answer)
{
    (void)answer;
}

static void document_line(struct answer *answer, struct slice id, struct slice text)
{
    answer_put_document(answer, id, text);
    buf_text(answer->buf, "\n");
}

static void end(struct answer *answer, const char *next, const char *more)
{
    (void)next;
    if (more[0] != '\0')
        buf_format(answer->buf, "{%s}\n", more);
}

const struct answer_form answer_ndjson = { "application/x-ndjson", begin, document_line, end };
