/* gribgen_keys.h: the ecCodes keys that write a field's header.
 *
 * Raw octets wherever ecCodes lets them be set, so that what comes out does not depend on a release's tables of names. */
#ifndef GRIBGEN_KEYS_H
#define GRIBGEN_KEYS_H

#include "gribgen_plan.h"

#include <eccodes.h>

/* A handle being set. The first failure is kept with its key, and what comes after it does nothing. */
struct gen_keys {
    codes_handle *handle; /* borrowed */
    const char *key;      /* set last */
    int code;             /* CODES_SUCCESS to begin with */
};

void gen_keys_long(struct gen_keys *keys, const char *key, long value);
void gen_keys_double(struct gen_keys *keys, const char *key, double value);

/* What all messages of a parameter share, on a handle fresh from a sample of that edition. */
void gen_keys_prepare(struct gen_keys *keys, const struct gen_request *request,
                      const struct gen_param *param, int edition);

/* What is this field's own: member, step, level. */
void gen_keys_field(struct gen_keys *keys, const struct gen_request *request,
                    const struct gen_field *field);

/* The geometry; the values come after it. */
void gen_keys_grid(struct gen_keys *keys, const struct gen_grid *grid);

#endif
