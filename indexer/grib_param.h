/* grib_param.h: a parameter by its numbers, as tools of GRIB spell it where there is no name. Pure.
 *
 * Edition 1: "11.2", id and table (octets 9 and 4 of section 1), as MARS and Metview write it, and CDO. Edition 2: "201.16.0", number,
 * category and discipline (octets 11 and 10 of section 4, octet 7 of section 0), as CDO writes it: the id in front in both. */
#ifndef INDEXER_GRIB_PARAM_H
#define INDEXER_GRIB_PARAM_H

#include "proto/grib_head.h"

#include <stdbool.h>

enum { GRIB_PARAM_TEXT_SIZE = 12 };

/* False: the head has not got these octets. */
bool grib_param_print(const struct grib_head *head, char text[GRIB_PARAM_TEXT_SIZE]);

/* The paramId that ECMWF gives to a field of this table: table 128 has no number in it (167.128: 167), others stand in front
 * (10.228: 228010). Of other tables it may be some other parameter's. */
long grib_param_id(unsigned id, unsigned table);

/* Edition 1: whether paramId says already which id and table there are. */
bool grib_param_id_tells(const struct grib_head *head, long param_id);

#endif
