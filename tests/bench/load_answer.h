/* load_answer.h: the head of an HTTP/1.1 answer, as far as a load generator has to understand it. */
#ifndef BENCH_LOAD_ANSWER_H
#define BENCH_LOAD_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct answer_head {
    unsigned status;
    bool has_length;
    uint64_t length; /* Content-Length */
    size_t size;     /* of the head, with the empty line */
};

enum answer_result { ANSWER_MORE, ANSWER_OK, ANSWER_BAD };

/* Look for a whole head at the front of text. */
enum answer_result answer_head_parse(const char *text, size_t size, struct answer_head *head);

/* The value of a field in a head (or in a part's) of so many bytes, without the white space around it; NULL: not there.
 * It lies in text. */
const char *answer_field(const char *text, size_t size, const char *name, size_t *value_size);

/* All of it is a number. */
bool answer_number(const char *text, size_t size, uint64_t *number);

#endif
