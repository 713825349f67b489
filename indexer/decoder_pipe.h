/* decoder_pipe.h: the frames between the indexer and gribstore-decoder, FORMATS.md section 10. */
#ifndef INDEXER_DECODER_PIPE_H
#define INDEXER_DECODER_PIPE_H

#include "proto/base/bytes.h"
#include "proto/grib_head.h"

enum {
    DECODER_FRAME_HEAD_SIZE = 16,                           /* length, tag, word */
    DECODER_FRAME_SIZE_MAX = GRIB_FIELD_HEAD_SIZE_MAX + 64, /* of what follows the length, in a request */
    DECODER_ANSWER_SIZE_MAX = 1 << 20,                      /* the same in an answer */
    /* The word of a request: */
    DECODER_DECODE = 0,
    DECODER_ASK_RELEASE = 1,
    /* The word of an answer: */
    DECODER_DECODED = 0,
    DECODER_REFUSED = 1,
};

struct decoder_frame {
    uint64_t tag;
    uint32_t word;
    const uint8_t *body; /* borrowed */
    size_t size;
};

/* The 16 octets in front of a body. */
static inline void decoder_frame_print(uint8_t head[DECODER_FRAME_HEAD_SIZE], size_t body_size,
                                       uint64_t tag, uint32_t word)
{
    put_u32(head, (uint32_t)(body_size + DECODER_FRAME_HEAD_SIZE - 4));
    put_u64(head + 4, tag);
    put_u32(head + 12, word);
}

#endif
