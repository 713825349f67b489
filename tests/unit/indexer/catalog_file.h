/* catalog_file.h: a catalog in a file, for the tests that need no other database: documents into it, how many it has, and the file gone. */
#ifndef TESTS_UNIT_INDEXER_CATALOG_FILE_H
#define TESTS_UNIT_INDEXER_CATALOG_FILE_H

#include "indexer/catalog/catalog.h"

/* A fresh catalog in a folder of its own, which is made from a template of mkdtemp(); then both go again. */
struct catalog *catalog_file_open(char *folder);
void catalog_file_close(struct catalog *catalog, const char *folder);
/* Fields first to first + count - 1 of a run, issue 1, stamp 1000, on n1; what the catalog says to that. */
enum status catalog_file_add(struct catalog *catalog, const struct run_key *run, unsigned first,
                             unsigned count);
/* Documents of a run. */
unsigned catalog_file_count(struct catalog *catalog, const struct run_key *run);
/* The file, and what SQLite and we keep beside it. */
void catalog_file_remove(const char *path);

#endif
