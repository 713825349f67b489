/* load_check.h: is an answer what its request asked for?
 *
 * Every answer: status and Content-Length. In a sample: Content-Range and each byte, for several ranges of each part. */
#ifndef BENCH_LOAD_CHECK_H
#define BENCH_LOAD_CHECK_H

#include "load_answer.h"
#include "load_work.h"

enum { CHECK_PART_HEAD_MAX = 512 }; /* bytes a part of a multipart answer may add */

/* The most that an answer to such a request may hold. */
uint64_t check_length_max(const struct load_options *options);

bool check_head(const struct load_request *request, const struct answer_head *head,
                struct gen_error *err);

/* A GET's whole answer: the text of its head and its body, against the local file. */
bool check_bytes(const struct load_request *request, const char *head, size_t head_size,
                 const uint8_t *body, size_t body_size, struct gen_error *err);

#endif
