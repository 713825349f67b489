/* token_file.c: reads a token. */
#include "client/cli/token_file.h"

#include <stdio.h>
#include <string.h>

int token_file_read(const struct cli *cli, const char *path, char token[TOKEN_SIZE_MAX])
{
    struct error err;
    FILE *file;

    token[0] = '\0';
    if (path == NULL || path[0] == '\0')
        return GS_OK;
    file = fopen(path, "re");
    if (file == NULL || fgets(token, TOKEN_SIZE_MAX, file) == NULL) {
        error_set(&err, STATUS_UNAUTHORIZED, "%s: no token can be read from it", path);
        if (file != NULL)
            fclose(file);
        return cli_fail_status(cli, STATUS_UNAUTHORIZED, &err);
    }
    fclose(file);
    token[strcspn(token, " \t\r\n")] = '\0';
    return GS_OK;
}
