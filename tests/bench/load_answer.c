/* load_answer.c: the head of an HTTP/1.1 answer, as far as a load generator has to understand it. */
#include "load_answer.h"

#include <string.h>
#include <strings.h>

enum { STATUS_LINE_SIZE_MIN = 12 }; /* "HTTP/1.1 206" */

bool answer_number(const char *text, size_t size, uint64_t *number)
{
    uint64_t value = 0;

    if (size == 0 || size > 19)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    *number = value;
    return true;
}

const char *answer_field(const char *text, size_t size, const char *name, size_t *value_size)
{
    size_t name_size = strlen(name);
    const char *end = text + size;

    for (const char *line = text; line < end;) {
        const char *stop = memmem(line, (size_t)(end - line), "\r\n", 2);
        size_t line_size = (size_t)((stop == NULL ? end : stop) - line);

        if (line_size > name_size && line[name_size] == ':' && strncasecmp(line, name, name_size) == 0) {
            const char *value = line + name_size + 1, *last = line + line_size;
            while (value < last && *value == ' ')
                value++;
            while (last > value && last[-1] == ' ')
                last--;
            *value_size = (size_t)(last - value);
            return value;
        }
        line += line_size + 2;
    }
    return NULL;
}

enum answer_result answer_head_parse(const char *text, size_t size, struct answer_head *head)
{
    const char *end = memmem(text, size, "\r\n\r\n", 4);
    uint64_t status;
    size_t length_size;

    if (end == NULL)
        return ANSWER_MORE;
    *head = (struct answer_head){ .size = (size_t)(end - text) + 4 };
    if (head->size < STATUS_LINE_SIZE_MIN + 4 || memcmp(text, "HTTP/1.1 ", 9) != 0 ||
        !answer_number(text + 9, 3, &status))
        return ANSWER_BAD;
    head->status = (unsigned)status;
    const char *length = answer_field(text, head->size, "Content-Length", &length_size);
    head->has_length = length != NULL;
    if (length != NULL && !answer_number(length, length_size, &head->length))
        return ANSWER_BAD;
    return ANSWER_OK;
}
