/* quarantine_heads.h: the heads of a message by where it lies: ranges of a node's data file, of which only what sections need is read. */
#ifndef INDEXER_QUARANTINE_HEADS_H
#define INDEXER_QUARANTINE_HEADS_H

#include "indexer/field.h"
#include "proto/base/buf.h"
#include "proto/transfer/transfer.h"

/* Appended as POST /cluster/heads gives them (FORMATS.md, section 2). BAD_GRIB: its sections do not hold; others: it could not be
 * read there. On failure heads is as it was. [blocking] */
enum status quarantine_heads(struct transfer *transfer, const struct field_location *location,
                             struct buf *heads, struct error *err);

#endif
