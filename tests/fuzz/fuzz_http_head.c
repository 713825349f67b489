/* fuzz_http_head.c: the head's scan against llhttp: what we accept it has to read alike.
 *
 * Input: cuts, then what a client sends. Ours is fed what has come so far again and again, as the connection does. A second
 * llhttp, which knows nothing of ours, reads the head in the same pieces: method, target, version, each field, where the head
 * ends, how long the body is, whether the connection stays. Two readings of one head are how requests are smuggled. */
#include "proto/http/http_frame.h"
#include "tests/fuzz/fuzz.h"

enum { TEXT_MAX = 8192, FIELDS_MAX = 20 };

static const struct http_head_limits limits = {
    .head_max = 4096,
    .line_max = 2048,
    .target_max = 512,
    .fields_max = FIELDS_MAX,
};

/* --- llhttp's reading --- */

struct other_field {
    size_t name_size, value_size;
    char name[limits_line_max_placeholder];
};
