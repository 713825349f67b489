/* error.h: from a status and its story to what callers of the library see: a gs_status, and what to do next. Pure. */
#ifndef CLIENT_ERROR_H
#define CLIENT_ERROR_H

#include "client/gribstore.h"
#include "proto/base/status.h"

enum gs_status gs_status_of(enum status status);

/* Is the same request worth sending again, here or elsewhere? */
bool status_is_temporary(enum status status);

/* The same for an answer that was read: of the caller's arguments nothing is wrong, so BAD_VALUE is MALFORMED. With what in
 * front of the text. OK stays OK. */
enum status error_of_answer(enum status status, struct error *err, const char *what);

/* Fills *error (may be NULL) and returns its status. */
enum gs_status gs_error_fill(struct gs_error *error, enum status status, const struct error *err);
/* The same for a call that pushes: a purged run is not something to be found there, but refuses. */
enum gs_status gs_error_fill_push(struct gs_error *error, enum status status, const struct error *err);

#endif
