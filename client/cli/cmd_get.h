/* cmd_get.h: what users write on the command line of get. Pure. */
#ifndef CLIENT_CLI_CMD_GET_H
#define CLIENT_CLI_CMD_GET_H

#include <stdbool.h>
#include <stdint.h>

/* "OFFSET-LENGTH": two plain numbers, the length not 0. Sets *rest behind it and its comma; false: malformed. */
bool range_parse(const char **rest, uint64_t *offset, uint64_t *length);

#endif
