/* status.c: the table of statuses spelled out, and the story an error carries up. */
#include "proto/base/status.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct status_row {
    const char *name;
    const char *code;
    const char *title;
    int http;
};

static const struct status_row status_rows[STATUS_COUNT] = {
#define STATUS_ROW(name, http, code, title) [STATUS_##name] = { #name, code, title, http },
    STATUS_TABLE(STATUS_ROW)
#undef STATUS_ROW
};

/* What error_wrap(NULL, ...) returns: with no struct error at hand the status would be lost on
 * its way up. */
static _Thread_local enum status error_last = STATUS_INTERNAL;

static const struct status_row *status_row(enum status status)
{
    assert((unsigned)status < STATUS_COUNT);
    return &status_rows[status];
}

const char *status_name(enum status status)
{
    return status_row(status)->name;
}

const char *status_code(enum status status)
{
    return status_row(status)->code;
}

const char *status_title(enum status status)
{
    return status_row(status)->title;
}

int status_http(enum status status)
{
    return status_row(status)->http;
}

enum status status_from_code(const char *code)
{
    /* The other side says it failed: whatever it calls that, it is not a success here. */
    if (strcmp(code, status_rows[STATUS_INTERNAL].code) == 0)
        return STATUS_INTERNAL;
    for (unsigned i = STATUS_BAD_REQUEST; i < STATUS_COUNT; i++)
        if (strcmp(code, status_rows[i].code) == 0)
            return (enum status)i;
    return STATUS_INTERNAL;
}

enum status status_from_errno(int error_number)
{
    switch (error_number) {
    case ENOSPC:
    case EDQUOT:
        return STATUS_FULL;
    case ENOMEM:
        return STATUS_NO_MEMORY;
    case EMFILE: /* descriptors come back: nothing is wrong with the file */
    case ENFILE:
        return STATUS_OVERLOADED;
    case ENOENT:
        return STATUS_NOT_FOUND;
    case EEXIST:
        return STATUS_EXISTS;
    default:
        return STATUS_IO;
    }
}

/* Sees to it that a text is whole or ends in "..."; length is what vsnprintf() said. */
static void error_finish(char text[ERROR_TEXT_SIZE], int length)
{
    if (length < 0)
        text[0] = '\0';
    else if (length >= ERROR_TEXT_SIZE)
        memcpy(text + ERROR_TEXT_SIZE - 4, "...", 4);
}

/* Stores "first" or "first: second", whole or cut; neither may be err->text. */
static void error_store(struct error *err, const char *first, const char *second)
{
    const char *colon = second[0] != '\0' && first[0] != '\0' ? ": " : "";
    int length = snprintf(err->text, sizeof err->text, "%s%s%s", first, colon, second);

    error_finish(err->text, length);
}

static enum status error_record(struct error *err, enum status status, const char *first,
                                const char *second)
{
    error_last = status;
    if (err == NULL)
        return status;
    err->status = status;
    err->has_offset = false;
    err->offset = 0;
    error_store(err, first, second);
    return status;
}

void error_init(struct error *err)
{
    if (err == NULL)
        return;
    err->status = STATUS_OK;
    err->has_offset = false;
    err->offset = 0;
    err->text[0] = '\0';
}

enum status error_set(struct error *err, enum status status, const char *format, ...)
{
    char text[ERROR_TEXT_SIZE]; /* first here: the arguments may point into err */
    va_list list;

    va_start(list, format);
    int length = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    error_finish(text, length);
    return error_record(err, status, text, "");
}

enum status error_set_errno(struct error *err, int error_number, const char *format, ...)
{
    char text[ERROR_TEXT_SIZE];
    char reason[128];
    va_list list;

    va_start(list, format);
    int length = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    error_finish(text, length);
    return error_record(err, status_from_errno(error_number), text,
                        strerror_r(error_number, reason, sizeof reason));
}

enum status error_wrap(struct error *err, const char *format, ...)
{
    char text[ERROR_TEXT_SIZE];
    char before[ERROR_TEXT_SIZE];
    va_list list;

    if (err == NULL)
        return error_last;
    va_start(list, format);
    int length = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    error_finish(text, length);
    memcpy(before, err->text, sizeof before);
    error_store(err, text, before);
    if (err->status == STATUS_OK) /* wrapped on the road of failure, so it is one */
        err->status = STATUS_INTERNAL;
    return err->status;
}

void error_at(struct error *err, uint64_t offset)
{
    if (err == NULL)
        return;
    err->has_offset = true;
    err->offset = offset;
}
