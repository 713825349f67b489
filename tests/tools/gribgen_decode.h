/* gribgen_decode.h: from a handle of ecCodes back to the field it was made from. */
#ifndef GRIBGEN_DECODE_H
#define GRIBGEN_DECODE_H

#include "gribgen_error.h"
#include "gribgen_field.h"

#include <eccodes.h>

/* Which field is this? Fails where a key is missing or no row of gen_params has these codes. */
bool gen_decode_field(codes_handle *handle, struct gen_field *field, struct gen_error *err);

#endif
