/* have_question.h: the body of POST /have, {"source", "base_time", "places", "digests": [...]}, as nodes, indexers and clients ask it. Pure.
 *
 *     have_question_begin(&json, &body, &run, false);
 *     for each: digest_json_put_one(&json, &digest);
 *     have_question_end(&json);
 *
 * A body takes HAVE_DIGESTS_MAX of them (node_api.h); who asks keeps to it. */
#ifndef PROTO_HAVE_QUESTION_H
#define PROTO_HAVE_QUESTION_H

#include "proto/digest_json.h"
#include "proto/run.h"

/* places: the answer is to say as well where the known ones lie. body is borrowed until the end, and says whether there was room. */
void have_question_begin(struct json_writer *json, struct buf *body, const struct run_key *run,
                         bool places);
void have_question_end(struct json_writer *json);

#endif
