/* progress.h: how far it is: a bar on a terminal, a line every ten seconds at most elsewhere; on standard error. */
#ifndef CLIENT_CLI_PROGRESS_H
#define CLIENT_CLI_PROGRESS_H

#include "client/cli/output.h"

struct progress {
    const struct cli *cli;
    uint64_t started_ms, shown_ms;
    bool drawn; /* a bar stands in the terminal's last line */
};

void progress_init(struct progress *progress, const struct cli *cli);
/* bytes of bytes_total are done; text says more ("1200 messages, 40 new"). */
void progress_show(struct progress *progress, uint64_t bytes, uint64_t bytes_total, const char *text);
/* The same where there is no rate to tell: the text alone. */
void progress_say(struct progress *progress, const char *text);
void progress_show_put(struct progress *progress, const struct gs_put_summary *summary);
/* For work that tells of its steps, as its on_text() with a struct progress as user: on a terminal each, elsewhere one every ten
 * seconds at most, the first one at once when *user is all zero but for cli. */
void progress_step(void *user, const char *text);
void progress_clear(struct progress *progress); /* before anything else is said */

/* One line, without its end, of at most columns characters. Pure. */
void progress_print(uint64_t bytes, uint64_t bytes_total, uint64_t ms, const char *text,
                    unsigned columns, struct buf *buf);

#endif
