/* decoder_death.h: how a process that decoded ended, in words: the reason in a refusal, and what kind of reason it is (pure).
 *
 * Both who wait for one say the same: the parent in gribstore-decoder of its worker, the indexer of gribstore-decoder. The texts are kept in
 * quarantine, and the kind is read off them again: so a text may get longer, its beginning stays. */
#ifndef INDEXER_DECODER_DEATH_H
#define INDEXER_DECODER_DEATH_H

#include <stdbool.h>
#include <stdint.h>

enum { DECODER_REASON_SIZE = 160 };

/* "decoder died: signal 6 (abort)"; signal 0: "decoder died: exit status 3". */
void decoder_death_text(int signal, int64_t exit_status, char text[DECODER_REASON_SIZE]);

/* "decoder timed out after 1 s of CPU time"; of_cpu false: by the clock, "decoder timed out after 10 s". */
void decoder_timeout_text(uint64_t ms, bool of_cpu, char text[DECODER_REASON_SIZE]);

/* "decoder gave WHAT". */
void decoder_garbage_text(const char *what, char text[DECODER_REASON_SIZE]);

/* Why a message is in quarantine, as one word. */
enum refusal_class {
    REFUSAL_REFUSED,   /* ecCodes says no, or what it says can't be a field */
    REFUSAL_DIED,      /* the head killed the decoder */
    REFUSAL_TIMED_OUT, /* it took too much time, by the clock or of CPU */
    REFUSAL_GARBAGE,   /* the decoder answered what is no answer */
    REFUSAL_NO_HEADS,  /* the node could not give the message's heads */
    REFUSAL_CLASSES
};
const char *refusal_class_name(enum refusal_class refusal); /* "refused", "died", "timed-out", "garbage", "no-heads" */

/* Of a reason as quarantine has it: with or without "field N: " in front. */
enum refusal_class refusal_class_of(const char *reason);

/* What reasons without heads begin with. */
#define REFUSAL_NO_HEADS_TEXT "no heads: "

#endif
