/* grib1_member.h: the member of an ensemble of NCEP in edition 1, which ecCodes does not name. Pure.
 *
 * NCEP's octets 41 to 43 of section 1 (GRIB edition 1, appendix C of ON388) say what edition 2 says by code table 4.6: they are given
 * in its words, as NCEP's own converter (cnvgrib) does. */
#ifndef INDEXER_GRIB1_MEMBER_H
#define INDEXER_GRIB1_MEMBER_H

#include "proto/grib_head.h"

#include <stdbool.h>

struct grib1_member {
    unsigned type; /* code table 4.6: 0, 1 control of high and low resolution, 2 negatively, 3 positively perturbed */
    unsigned number; /* perturbationNumber: 0 of controls; a pair of opposite perturbations has the same */
};

/* False: another centre, no ensemble, a cluster or a product of all members. */
bool grib1_member_read(const struct grib_head *head, struct grib1_member *member);

#endif
