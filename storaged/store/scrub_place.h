/* scrub_place.h: what a scrub remembers over restarts: DATA_DIR/scrub.json (FORMATS.md section 14). */
#ifndef STORAGED_STORE_SCRUB_PLACE_H
#define STORAGED_STORE_SCRUB_PLACE_H

#include "storaged/store/scrub.h"

struct scrub_kept {
    bool is_running;
    struct store_scrub_pass pass; /* while it is running */
    struct store_scrub_pass last; /* begun_us 0: none */
    struct scrub_place place;
};

/* Under another name, then in its place; not flushed. */
enum status scrub_place_save(int dir_fd, const struct scrub_kept *kept, struct error *err);
/* NOT_FOUND; anything else: it is of no use. */
enum status scrub_place_load(int dir_fd, struct scrub_kept *kept, struct error *err);

#endif
