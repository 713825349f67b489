/* scrub_parts.h: what the scrub's thread is made of; for scrub.c and scrub_*.c only. All of it runs in that thread.
 *
 *     scrub.c -- which is most wanted? -+- a suspect: scrub_suspect.c -+- scrub_piece.c -- scrub_message.c
 *                                       '- a pass: scrub_pass.c -------'
 *
 * A call that reads is slowed down to the scrub's pace, and ends early when the scrub is told to stop. */
#ifndef STORAGED_STORE_SCRUB_PARTS_H
#define STORAGED_STORE_SCRUB_PARTS_H

#include "storaged/store/run_table.h"
#include "storaged/store/scrub.h"

/* scrub.c */

/* Takes the mutex: among what store_scrub_status() tells, and counted for the pass under way. */
void scrub_note(struct scrub *scrub, const struct store_scrub_finding *finding);

/* scrub_message.c */

/* Does it say that bytes don't hold, or can't be read? Anything else says nothing of the disk. */
bool scrub_is_damage(enum status status);
/* Hashes the message, twice when it does not hold at first; marks it bad when it does not hold then. The medium stays open
 * on its file, for the next one. False: stop. */
bool scrub_message(struct scrub *scrub, const struct run_key *run, const struct run_dir *dir,
                   const struct scrub_item *item);

/* scrub_piece.c */

/* Reads and checks count records from `from` on, SCRUB_CHUNK at most: scrub->items are then the messages of those that
 * count, by file and offset. Records that don't hold are findings. OK: the piece was read. CANCELLED: stop. Others: it was not
 * read, no message of it is known. dir is the run's, held by the caller. */
enum status scrub_piece_load(struct scrub *scrub, struct run *run, struct run_dir *dir,
                             uint64_t from, unsigned count, struct error *err);
/* By file and offset. */
int scrub_item_order(const void *a, const void *b);

/* scrub_suspect.c; store_suspect() puts them in */

/* The one that waits longest; one at least does. With the mutex held. */
struct scrub_suspect scrub_suspect_take(struct scrub *scrub);
/* Reads what it means, at once. The piece of a pass that was loaded is lost. */
void scrub_suspect_read(struct scrub *scrub, const struct scrub_suspect *suspect);

/* scrub_pass.c */

/* Before the thread runs: where an earlier process was. A pass that somebody asked for goes on at the usual rate, if
 * there is one. */
void scrub_pass_restore(struct scrub *scrub);
void scrub_pass_begin(struct scrub *scrub, uint64_t rate); /* one that is under way is given up */
/* One piece of the pass, or its end. Interrupted by a suspect, a stop, or the time to keep the place, it goes on where it was. */
void scrub_pass_step(struct scrub *scrub);
void scrub_pass_save(struct scrub *scrub);  /* its place, into DATA_DIR/scrub.json */
void scrub_pass_leave(struct scrub *scrub); /* closes what a piece has open; safe twice */

#endif
