/* catalog_uri.c: a URI from a file, shown and hidden. */
#include "indexer/catalog_uri.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Where the password lies in "scheme://user:password@host/...": an unescaped @, : or / has no place in one, but who forgot to
 * escape it is not to be shown either: all up to the last @. false: there is none. */
static bool find_password(const char *uri, size_t *from, size_t *to)
{
    const char *user = strstr(uri, "://");

    if (user == NULL)
        return false;
    user += strlen("://");
    const char *colon = strchr(user, ':'), *end = strrchr(user, '@');
    if (colon == NULL || end == NULL || colon > end)
        return false;
    *from = (size_t)(colon + 1 - uri);
    *to = (size_t)(end - uri);
    return true;
}

static enum status read_line(FILE *file, char **uri, struct error *err)
{
    char line[CATALOG_URI_SIZE_MAX + 2];
    struct stat info;

    if (fstat(fileno(file), &info) == 0 && (info.st_mode & S_IRWXO) != 0)
        return error_set(err, STATUS_FORBIDDEN,
                         "others can read it, and it may hold a password: chmod o=");
    if (fgets(line, sizeof line, file) == NULL)
        return ferror(file) ? error_set_errno(err, errno, "reading")
                            : error_set(err, STATUS_BAD_VALUE, "empty");
    size_t size = strcspn(line, "\r\n");
    if (size == 0 || size > CATALOG_URI_SIZE_MAX)
        return error_set(err, STATUS_BAD_VALUE, "a URI has 1 to %d characters, on the first line",
                         CATALOG_URI_SIZE_MAX);
    *uri = strndup(line, size);
    explicit_bzero(line, sizeof line);
    return *uri != NULL ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "a URI");
}

enum status catalog_uri_read(const char *path, char **uri, struct error *err)
{
    FILE *file = fopen(path, "re");
    enum status status;

    *uri = NULL;
    if (file == NULL)
        return error_set_errno(err, errno, "%s", path);
    status = read_line(file, uri, err);
    fclose(file);
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "%s", path);
}

void catalog_uri_show(const char *uri, char *text, size_t size)
{
    size_t from, to;

    if (find_password(uri, &from, &to))
        snprintf(text, size, "%.*s***%s", (int)from, uri, uri + to);
    else
        snprintf(text, size, "%s", uri);
}

bool catalog_uri_hide(int argc, char **argv)
{
    bool found = false;
    size_t from, to;

    for (int i = 1; i < argc; i++) {
        if (strstr(argv[i], "mongodb") == NULL || !find_password(argv[i], &from, &to))
            continue;
        memset(argv[i] + from, '*', to - from);
        found = true;
    }
    return found;
}
