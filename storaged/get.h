/* get.h: a range of a data file. */
#ifndef STORAGED_GET_H
#define STORAGED_GET_H

#include "storaged/range_reply.h"

void get_handle(struct http_exchange *ex);

#endif
