/* transfer_uv.h: a transfer driven by a libuv loop (curl_multi_socket_action). */
#ifndef PROTO_TRANSFER_UV_H
#define PROTO_TRANSFER_UV_H

#include "proto/transfer/transfer.h"

#include <uv.h>

enum status transfer_uv_new(const struct transfer_options *options, uv_loop_t *loop,
                            struct transfer **transfer, struct error *err);
/* Cancels what is under way and closes its handles; on_closed when the loop no longer knows it. */
void transfer_uv_close(struct transfer *transfer, void (*on_closed)(void *data), void *data);

#endif
