/* heads.h: record numbers -> heads of their fields: what the indexer decodes. POST /cluster/heads/{source}/{base_time} */
#ifndef STORAGED_HEADS_H
#define STORAGED_HEADS_H

#include "proto/http/http_exchange.h"

enum {
    HEADS_BODY_MAX = 1 << 20,
    HEADS_ANSWER_MAX = 64 << 20, /* more is 413: ask for fewer records */
};

void heads_handle(struct http_exchange *ex);

#endif
