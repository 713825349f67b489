/* input.h: file names from the command line as the library's inputs; "-" is standard input. */
#ifndef CLIENT_CLI_INPUT_H
#define CLIENT_CLI_INPUT_H

#include "client/gribstore.h"
#include "proto/base/json_write.h"

struct gs_input *inputs_of(char **names, size_t count); /* NULL: no memory */
void inputs_free(struct gs_input *inputs);

/* What cmd_put and cmd_rotate both print: the members of a put's summary. */
void json_put_summary(struct json_writer *json, const struct gs_put_summary *summary);

#endif
