/* release_code.c: the table of what becomes of a data file. */
#include "proto/release_code.h"

#include <assert.h>

static const char *const code_names[RELEASE_CODES] = {
    [RELEASE_GRANTED] = "granted",
    [RELEASE_STALE_RUN] = "stale-run",
    [RELEASE_RUN_RETIRED] = "run-retired",
    [RELEASE_PURGED] = "purged",
    [RELEASE_PAUSED] = "paused",
    [RELEASE_NOT_FOUND] = "not-found",
    [RELEASE_OWNER] = "owner",
    [RELEASE_LOCKED] = "locked",
    [RELEASE_BEHIND] = "behind",
    [RELEASE_TOO_FEW_COPIES] = "too-few-copies",
    [RELEASE_NOT_INDEXED] = "not-indexed",
    [RELEASE_INCOMPLETE] = "incomplete",
    [RELEASE_UNREACHABLE] = "unreachable",
    [RELEASE_LATE] = "late",
    [RELEASE_TOO_LARGE] = "too-large",
    [RELEASE_FAILED] = "failed",
    [RELEASE_OTHER] = "other",
};

const char *release_code_name(enum release_code code)
{
    assert(code < RELEASE_CODES);
    return code_names[code];
}

enum release_code release_code_parse(struct slice text)
{
    for (unsigned code = 0; code < RELEASE_CODES; code++)
        if (slice_equals(text, code_names[code]))
            return (enum release_code)code;
    return RELEASE_OTHER;
}
