/* decoder_pipe.h: the frames between the indexer and gribstore-decoder, FORMATS.md section 10. */
#ifndef INDEXER_DECODER_PIPE_H
#define INDEXER_DECODER_PIPE_H

#include "proto/base/bytes.h"
#include "proto/base/status.h"
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
    DECODER_DIED = 2,      /* of this head, in a process that had no other */
    DECODER_TIMED_OUT = 3, /* the same */
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

/* The answer in front of what has come so far; *used: with it. MORE: it is not whole; MALFORMED: of no possible length. */
static inline enum status decoder_answer_read(struct slice data, struct decoder_frame *answer,
                                              size_t *used)
{
    if (data.size < DECODER_FRAME_HEAD_SIZE)
        return STATUS_MORE;
    size_t length = get_u32(data.data);
    if (length < DECODER_FRAME_HEAD_SIZE - 4 || length > DECODER_ANSWER_SIZE_MAX)
        return STATUS_MALFORMED;
    if (data.size - 4 < length)
        return STATUS_MORE;
    *used = 4 + length;
    *answer = (struct decoder_frame){
        .tag = get_u64(data.data + 4),
        .word = get_u32(data.data + 12),
        .body = data.data + DECODER_FRAME_HEAD_SIZE,
        .size = *used - DECODER_FRAME_HEAD_SIZE,
    };
    return STATUS_OK;
}

#endif
