/* decoder_death.c: texts, and the table of what they begin with. */
#include "indexer/decoder_death.h"

#include "proto/base/bytes.h"

#include <ctype.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define DIED "decoder died: "
#define TIMED_OUT "decoder timed out after "
#define GARBAGE "decoder gave "

static const struct {
    int signal;
    const char *name;
} signal_names[] = {
    { SIGABRT, "abort" },
    { SIGSEGV, "segmentation fault" },
    { SIGBUS, "bus error" },
    { SIGFPE, "arithmetic error" },
    { SIGILL, "illegal instruction" },
    { SIGSYS, "forbidden system call" },
    { SIGXCPU, "CPU time" },
    { SIGKILL, "kill" },
};

static const char *signal_name(int signal)
{
    for (size_t i = 0; i < ARRAY_COUNT(signal_names); i++)
        if (signal_names[i].signal == signal)
            return signal_names[i].name;
    return "other";
}

void decoder_death_text(int signal, int64_t exit_status, char text[DECODER_REASON_SIZE])
{
    if (signal != 0)
        snprintf(text, DECODER_REASON_SIZE, DIED "signal %d (%s)", signal, signal_name(signal));
    else
        snprintf(text, DECODER_REASON_SIZE, DIED "exit status %" PRId64, exit_status);
}

void decoder_timeout_text(uint64_t ms, bool of_cpu, char text[DECODER_REASON_SIZE])
{
    snprintf(text, DECODER_REASON_SIZE, TIMED_OUT "%g s%s", (double)ms / 1000,
             of_cpu ? " of CPU time" : "");
}

void decoder_garbage_text(const char *what, char text[DECODER_REASON_SIZE])
{
    snprintf(text, DECODER_REASON_SIZE, GARBAGE "%s", what);
}

/* Its name, and what its reasons begin with; ecCodes' own texts are whatever they are. */
static const struct {
    const char *name, *begin;
} classes[REFUSAL_CLASSES] = {
    [REFUSAL_REFUSED] = { "refused", "" },
    [REFUSAL_DIED] = { "died", DIED },
    [REFUSAL_TIMED_OUT] = { "timed-out", TIMED_OUT },
    [REFUSAL_GARBAGE] = { "garbage", GARBAGE },
    [REFUSAL_NO_HEADS] = { "no-heads", REFUSAL_NO_HEADS_TEXT },
};

const char *refusal_class_name(enum refusal_class refusal)
{
    return classes[refusal].name;
}

/* Behind "field 12: ", where it is there. */
static const char *skip_field(const char *reason)
{
    static const char front[] = "field ";
    const char *at = reason + sizeof front - 1;

    if (strncmp(reason, front, sizeof front - 1) != 0 || !isdigit((unsigned char)*at))
        return reason;
    while (isdigit((unsigned char)*at))
        at++;
    return strncmp(at, ": ", 2) == 0 ? at + 2 : reason;
}

enum refusal_class refusal_class_of(const char *reason)
{
    const char *text = skip_field(reason);

    for (unsigned i = REFUSAL_REFUSED + 1; i < REFUSAL_CLASSES; i++)
        if (strncmp(text, classes[i].begin, strlen(classes[i].begin)) == 0)
            return (enum refusal_class)i;
    return REFUSAL_REFUSED;
}
