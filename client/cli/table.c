/* table.c: rows of cells. */
#include "client/cli/table.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { TABLE_CELL_SIZE_MAX = 2048, TABLE_CAPACITY = 64 };

void table_init(struct table *table, const struct table_column *columns, unsigned count)
{
    assert(count > 0 && count <= TABLE_COLUMNS_MAX);
    *table = (struct table){ .columns = columns, .columns_count = count };
}

static void table_clear(struct table *table)
{
    for (size_t i = 0; i < table->rows * table->columns_count + table->column; i++)
        free(table->cells[i]);
    table->rows = 0;
    table->column = 0;
}

void table_fini(struct table *table)
{
    table_clear(table);
    free(table->cells);
    table->cells = NULL;
    table->capacity = 0;
}

void table_cell(struct table *table, const char *text)
{
    if (table->rows == table->capacity) {
        size_t capacity = table->capacity > 0 ? table->capacity * 2 : TABLE_CAPACITY;
        char **cells = realloc(table->cells, capacity * table->columns_count * sizeof *cells);

        table->failed = table->failed || cells == NULL;
        if (cells == NULL)
            return;
        table->cells = cells;
        table->capacity = capacity;
    }
    char *copy = text != NULL ? strdup(text) : NULL;
    table->failed = table->failed || (text != NULL && copy == NULL);
    table->cells[table->rows * table->columns_count + table->column] = copy;
    if (++table->column == table->columns_count) {
        table->column = 0;
        table->rows++;
    }
}

void table_cellf(struct table *table, const char *format, ...)
{
    char text[TABLE_CELL_SIZE_MAX];
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    table_cell(table, text);
}

/* Characters, not bytes: units and names may be UTF-8. */
static size_t text_width(const char *text)
{
    size_t width = 0;

    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

/* A cell must not begin a new column or line, nor steer a terminal. */
static void cell_print(const char *text, struct buf *buf)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            buf_text(buf, "?");
        else
            buf_append(buf, text, 1);
    }
}

static const char *table_text(const struct table *table, size_t row, unsigned column, bool people)
{
    const char *text = table->cells[row * table->columns_count + column];

    return text != NULL ? text : people ? "-" : "";
}

static void cell_pad(const char *text, size_t width, bool right, bool last, struct buf *buf)
{
    size_t pad = width - text_width(text);

    if (right)
        buf_format(buf, "%*s", (int)pad, "");
    cell_print(text, buf);
    if (!right && !last)
        buf_format(buf, "%*s", (int)pad, "");
    buf_text(buf, last ? "\n" : "  ");
}

static void table_print_people(const struct table *table, bool head, struct buf *buf)
{
    size_t widths[TABLE_COLUMNS_MAX];
    unsigned count = table->columns_count;

    for (unsigned column = 0; column < count; column++) {
        widths[column] = head ? text_width(table->columns[column].name) : 0;
        for (size_t row = 0; row < table->rows; row++) {
            size_t width = text_width(table_text(table, row, column, true));

            widths[column] = width > widths[column] ? width : widths[column];
        }
    }
    for (unsigned column = 0; column < count && head; column++)
        cell_pad(table->columns[column].name, widths[column], table->columns[column].right,
                 column + 1 == count, buf);
    for (size_t row = 0; row < table->rows; row++) {
        for (unsigned column = 0; column < count; column++)
            cell_pad(table_text(table, row, column, true), widths[column],
                     table->columns[column].right, column + 1 == count, buf);
    }
}

void table_print(struct table *table, bool people, bool head, struct buf *buf)
{
    assert(table->column == 0 || table->failed);
    if (table->failed) {
        buf->status = STATUS_NO_MEMORY;
    } else if (people) {
        table_print_people(table, head, buf);
    } else {
        for (size_t row = 0; row < table->rows; row++) {
            for (unsigned column = 0; column < table->columns_count; column++) {
                cell_print(table_text(table, row, column, false), buf);
                buf_text(buf, column + 1 == table->columns_count ? "\n" : "\t");
            }
        }
    }
    table_clear(table);
}
