/* reindex_job.h: POST, GET, DELETE /v1/reindex: messages of quarantine are tried again, whoever refused them, and then the names of all fields made
 * anew, beside everything else that the indexer does. How far it is, and its end. Begun again it finds done what was done. */
#ifndef INDEXER_REINDEX_JOB_H
#define INDEXER_REINDEX_JOB_H

#include "indexer/indexer.h"

struct reindex_job;

enum status reindex_job_start(struct indexer *indexer, struct error *err); /* ready for requests; begins nothing */
/* What is under way hands nothing to the decoders any more: before they stop. */
void reindex_job_leave(struct indexer *indexer);
void reindex_job_stop(struct indexer *indexer, void (*on_stopped)(struct indexer *indexer));

void reindex_begin_route(struct http_exchange *ex);  /* POST: 202; under way: 409 */
void reindex_status_route(struct http_exchange *ex); /* GET */
void reindex_cancel_route(struct http_exchange *ex); /* DELETE: 202, it ends after the piece that is under way */

#endif
