/* put.h: files -> messages -> what is missing -> bodies to nodes. What gs_put() and the rotation share.
 *
 *     scan --> window (messages of one stretch of input) --ask /have--> bodies of what is missing --PUT--> answers checked
 *
 * Reading goes on while requests are under way; at most PUT_WINDOWS_MAX windows are in memory. */
#ifndef CLIENT_PUT_H
#define CLIENT_PUT_H

#include "client/put_push.h"
#include "client/session.h"

/* What the input held of a run: the rotation asks the index for these digests. */
struct put_run {
    int64_t base_time;
    uint64_t bytes;
    size_t count, capacity;
    struct digest *digests; /* owned; in input order, twice what stood there twice */
};

struct put_runs {
    struct put_run *items; /* owned; by base_time */
    size_t count;
};

void put_runs_fini(struct put_runs *runs);
enum status put_runs_add(struct put_runs *runs, const struct put_message *message, struct error *err);

/* As gs_put(), with the runs when runs is not NULL. *summary is filled in any case. */
enum status put_files(struct gs_session *session, const struct gs_put_options *options,
                      const struct gs_input *inputs, size_t count, struct put_runs *runs,
                      struct gs_put_summary *summary, struct error *err);

#endif
