/* error.c: statuses as callers of the library see them. */
#include "client/error.h"

#include <stdio.h>
#include <string.h>

/* What a status means to a caller, and what to do next. The first of each stands for those that are not listed: FAILED. */
static const struct {
    enum status status;
    enum gs_status to;
    const char *next;
} error_table[] = {
    { STATUS_OK, GS_OK, "" },
    { STATUS_BAD_VALUE, GS_USAGE, "" },
    { STATUS_UNKNOWN_KEY, GS_USAGE, "" },
    { STATUS_BAD_REQUEST, GS_USAGE, "" },
    { STATUS_NOT_FOUND, GS_NOT_FOUND, "" },
    { STATUS_PURGED, GS_NOT_FOUND, "`gribstore runs` lists what is there" },
    { STATUS_UNAUTHORIZED, GS_REFUSED, "give a token: --token-file FILE, or GRIBSTORE_TOKEN_FILE" },
    { STATUS_FORBIDDEN, GS_REFUSED, "the token lacks the role or the source: ask an administrator" },
    { STATUS_STALE_RUN, GS_REFUSED, "`gribstore runs` shows the run's state now" },
    { STATUS_CONFLICT, GS_REFUSED, "`gribstore runs` shows the run's state now" },
    { STATUS_RUN_RETIRED, GS_REFUSED,
      "the run is on its way out: `gribstore purge --undo` brings it back while its grace lasts" },
    { STATUS_OTHER_CLUSTER, GS_REFUSED, "`gribstore cluster show` says which cluster a node belongs to" },
    { STATUS_PRECONDITION, GS_REFUSED, "" },
    { STATUS_STALE_EPOCH, GS_REFUSED,
      "the cluster map changed meanwhile: look at `gribstore cluster show`, then try again" },
    { STATUS_LOCKED, GS_REFUSED, "wait until the other one is done" },
    { STATUS_EXISTS, GS_REFUSED, "" },
    { STATUS_FULL, GS_REFUSED, "purge old runs, or add a node" },
    { STATUS_DAMAGED, GS_CORRUPT, "`gribstore status` shows whether the copies are being repaired" },
    { STATUS_CORRUPT, GS_CORRUPT, "" },
    { STATUS_DIGEST_MISMATCH, GS_CORRUPT, "" },
    { STATUS_UNTRUSTED, GS_REFUSED, "--ca-file says whom to trust; --cert and --key are shown where a certificate is asked for" },
    { STATUS_UNREACHABLE, GS_TEMPORARY,
      "is it running? `gribstore status` shows who answers; --indexer and --node say where to look" },
    { STATUS_TIMEOUT, GS_TEMPORARY, "try again; `gribstore status` shows who answers" },
    { STATUS_LIMITED, GS_TEMPORARY, "try again later" },
    { STATUS_OVERLOADED, GS_TEMPORARY, "try again later" },
    { STATUS_DRAINING, GS_TEMPORARY, "try again when it is back" },
    { STATUS_NOT_READY, GS_TEMPORARY, "try again; `gribstore status` says what it waits for" },
    { STATUS_TOO_FEW_COPIES, GS_TEMPORARY, "too few nodes are up: `gribstore status`" },
    { STATUS_HOLDER_DOWN, GS_TEMPORARY, "a node that may hold it is down: `gribstore status`" },
    { STATUS_READ_ONLY, GS_TEMPORARY, "a node's disk failed: see its log, then restart it" },
    { STATUS_CANCELLED, GS_CANCELLED, "" },
    { STATUS_NOT_GRIB, GS_FAILED, "is it the right file?" },
    { STATUS_BAD_GRIB, GS_FAILED, "get the file again, or cut it at that offset" },
};

static size_t error_row(enum status status)
{
    for (size_t i = 0; i < sizeof error_table / sizeof error_table[0]; i++) {
        if (error_table[i].status == status)
            return i;
    }
    return SIZE_MAX;
}

enum gs_status gs_status_of(enum status status)
{
    size_t row = error_row(status);

    return row == SIZE_MAX ? GS_FAILED : error_table[row].to;
}

bool status_is_temporary(enum status status)
{
    return gs_status_of(status) == GS_TEMPORARY;
}

enum status error_of_answer(enum status status, struct error *err, const char *what)
{
    if (status == STATUS_OK)
        return status;
    error_wrap(err, "%s", what);
    if (status == STATUS_BAD_VALUE || status == STATUS_BAD_REQUEST)
        status = STATUS_MALFORMED;
    if (err != NULL)
        err->status = status;
    return status;
}

enum gs_status gs_error_fill(struct gs_error *error, enum status status, const struct error *err)
{
    size_t row = error_row(status);
    enum gs_status to = gs_status_of(status);

    if (error == NULL)
        return to;
    memset(error, 0, sizeof *error);
    error->status = to;
    if (status == STATUS_OK)
        return to;
    snprintf(error->code, sizeof error->code, "%s", status_code(status));
    snprintf(error->text, sizeof error->text, "%s",
             err != NULL && err->text[0] != '\0' ? err->text : status_title(status));
    snprintf(error->next, sizeof error->next, "%s", row == SIZE_MAX ? "" : error_table[row].next);
    if (err != NULL && err->has_offset) {
        error->has_offset = 1;
        error->offset = err->offset;
    }
    return to;
}

enum gs_status gs_error_fill_push(struct gs_error *error, enum status status, const struct error *err)
{
    enum gs_status to = gs_error_fill(error, status, err);

    if (status != STATUS_PURGED)
        return to;
    if (error != NULL) {
        error->status = GS_REFUSED;
        snprintf(error->next, sizeof error->next, "%s",
                 "a purged run takes messages again once it was reopened: POST /v1/runs/SOURCE/BASE_TIME/reopen at the indexer");
    }
    return GS_REFUSED;
}

const char *gs_status_name(enum gs_status status)
{
    switch (status) {
    case GS_OK:
        return "ok";
    case GS_USAGE:
        return "usage";
    case GS_PARTIAL:
        return "partial";
    case GS_NOT_FOUND:
        return "not found";
    case GS_TEMPORARY:
        return "temporary";
    case GS_REFUSED:
        return "refused";
    case GS_CORRUPT:
        return "corrupt";
    case GS_CANCELLED:
        return "cancelled";
    case GS_FAILED:
        break;
    }
    return "failed";
}
