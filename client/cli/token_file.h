/* token_file.h: a secret is read from a file, never from an argument: those are there for everybody to see. */
#ifndef CLIENT_CLI_TOKEN_FILE_H
#define CLIENT_CLI_TOKEN_FILE_H

#include "client/cli/output.h"

enum { TOKEN_SIZE_MAX = 4096 };

/* Its first line; "" where path is NULL or "". Otherwise the exit code, the error told. */
int token_file_read(const struct cli *cli, const char *path, char token[TOKEN_SIZE_MAX]);

#endif
