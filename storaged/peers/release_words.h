/* release_words.h: what a node and an indexer say to each other about files that are given up: bodies and answers. Pure.
 *
 * Everything in an answer is the network's: what names a file that was not asked about counts for nothing. */
#ifndef STORAGED_PEERS_RELEASE_WORDS_H
#define STORAGED_PEERS_RELEASE_WORDS_H

#include "proto/base/buf.h"
#include "proto/release_code.h"
#include "storaged/store/store.h"

enum {
    RELEASE_DIGESTS_MAX = 200000,       /* of several files in a request */
    RELEASE_FILE_DIGESTS_MAX = 1000000, /* of one that is asked for alone */
    RELEASE_BODY_MAX = 72 << 20,
    RELEASE_ANSWER_MAX = 4 << 20,
};

/* The question: the drop's run, journal, records and files; digests by file: those of file i are digests[ends[i - 1]] up to
 * digests[ends[i]]. */
void release_print_question(struct buf *body, const char *node, const struct store_drop *drop,
                            const struct digest *digests, const size_t *ends);

struct release_verdict {
    bool granted;
    enum release_code code; /* where it is not */
};
/* verdicts: one of each of count files. What is neither granted nor refused is OTHER; what is both is refused. why holds
 * the reason of the first refusal. BAD_VALUE: it is no such answer. */
enum status release_read_verdicts(struct slice answer, const struct store_drop_file *files,
                                  unsigned count, struct release_verdict *verdicts, char *why,
                                  size_t why_size, struct error *err);

/* {"dropped"}: the drop's run, incarnation, journal, records and files. */
void release_print_dropped(struct buf *body, const char *node, const struct store_drop *drop, bool final);
/* removed: one of each of count files: the index has not got it any more. BAD_VALUE. */
enum status release_read_removed(struct slice answer, const struct store_drop_file *files,
                                 unsigned count, bool *removed, struct error *err);

#endif
