/* gribgen_template.h: a message taken apart so that it can be stamped: where its octets are, and what they can say.
 *
 * Octets are counted from 1, as in the WMO manuals, so that each number can be looked up there; OCTET() takes the 1 off. */
#ifndef GRIBGEN_TEMPLATE_H
#define GRIBGEN_TEMPLATE_H

#include "gribgen_identity.h"

#define OCTET(section, number) ((section)[(number)-1])
#define OCTETS(section, number) ((section) + (number)-1)

enum { STAMP_UNIT_HOUR = 1 };
enum stamp_level { LEVEL_NONE, LEVEL_PRESSURE, LEVEL_HYBRID };

/* Where one field's octets are. Offsets are from the message's first byte. */
struct stamp_field {
    uint32_t product; /* section 4 of edition 2, section 1 of edition 1 */
    uint32_t data;    /* the packed values that may be turned over */
    uint32_t data_size;
    uint32_t range_end; /* octet of section 4 (edition 2) where the end of the range begins */
    int32_t range_hours;
    bool range; /* else an instant */
    bool member;
    enum stamp_level level;
};

struct stamp_template {
    const uint8_t *bytes; /* borrowed: as long as the template */
    size_t size;
    int edition;
    uint32_t section1;
    size_t fields_count;
    struct stamp_field *field;              /* owned */
    uint8_t (*identity)[GEN_IDENTITY_SIZE]; /* owned: a field each, as template_identify() found them */
    bool has_members, has_levels;           /* there are octets for them, in every field */
    uint64_t members, levels; /* how many it tells apart: 1 where it has no octets for them */
    uint64_t turn, turns;     /* which of how many templates that differ in nothing else */
};

struct template_limits {
    int members, levels; /* how many are asked for */
    bool turn_values;    /* values have to be such that they can be turned over */
};

/* Take the message at bytes apart. On false what is there has to be closed too. */
bool template_open(struct stamp_template *template, const uint8_t *bytes, size_t size,
                   const struct template_limits *limits, struct gen_error *err);

void template_close(struct stamp_template *template);

/* Note the identities of a stamped copy. */
bool template_identify(struct stamp_template *template, const uint8_t *copy, struct gen_error *err);

/* Give templates whose copies, all stamped with the same place, share an identity different turns of the same round. */
void template_take_turns(struct stamp_template *templates, size_t count);

#endif
