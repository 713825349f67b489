/* table.h: rows of cells: padded columns under a head for people, values between tabs for programs. Pure. */
#ifndef CLIENT_CLI_TABLE_H
#define CLIENT_CLI_TABLE_H

#include "proto/base/buf.h"

enum { TABLE_COLUMNS_MAX = 16 };

struct table_column {
    const char *name;
    bool right; /* numbers */
};

struct table {
    const struct table_column *columns; /* borrowed */
    unsigned columns_count;
    size_t rows, capacity;
    char **cells;    /* owned: rows * columns_count texts */
    unsigned column; /* of the next cell */
    bool failed;     /* memory ran out */
};

void table_init(struct table *table, const struct table_column *columns, unsigned count);
void table_fini(struct table *table);
void table_cell(struct table *table, const char *text); /* NULL: "" for programs, "-" for people */
void table_cellf(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Whole rows so far, which then leave. head: with the names of columns (people only). */
void table_print(struct table *table, bool people, bool head, struct buf *buf);

#endif
