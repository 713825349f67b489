/* catalog_quarantine.h: entries of quarantine as records. Private to catalog_quarantine*.c. */
#ifndef INDEXER_CATALOG_QUARANTINE_H
#define INDEXER_CATALOG_QUARANTINE_H

#include "indexer/catalog/catalog_ops.h"
#include "proto/base/json_read.h"

/* A new reference; NULL when a text in it is not UTF-8. */
json_t *quarantine_entry_to_doc(const struct quarantine_entry *entry);
/* CORRUPT and others: it is none; then nothing is to be freed. */
enum status quarantine_entry_of(const struct record *record, struct quarantine_entry *entry,
                                struct error *err);

#endif
