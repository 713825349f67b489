/* have_request.h: the question and the answer of POST /have. Pure. */
#ifndef STORAGED_HAVE_REQUEST_H
#define STORAGED_HAVE_REQUEST_H

#include "proto/base/buf.h"
#include "proto/digest.h"
#include "proto/run.h"

enum {
    HAVE_BODY_MAX = 16 << 20, /* 100,000 digests with quotes, commas and some white space */
    HAVE_ANSWER_MAX = 64 << 20,
};

struct have_request {
    struct run_key run;
    bool places; /* say also where the known ones lie */
    unsigned count;
    struct digest *digests; /* owned */
    bool *missing;          /* owned: of each; all true at first */
};

/* BAD_VALUE names the member. */
enum status have_request_parse(struct slice body, struct have_request *request, struct error *err);
void have_request_fini(struct have_request *request);

/* Prints the question for those members whose mask is set. */
void have_request_print(const struct have_request *request, const bool *mask, struct buf *body);

/* Clears mask of those that an answer does not name as missing: what is left true is missing there. On failure mask is as
 * it was. */
enum status have_answer_read(struct slice answer, const struct have_request *request, bool *mask,
                             struct error *err);

#endif
