/* access.c: opens and reads again the three files, each for itself. */
#include "storaged/access.h"

#include "proto/base/log.h"

static bool is_given(const char *path)
{
    return path != NULL && path[0] != '\0';
}

enum status access_open(struct access *access, const struct settings *settings, struct error *err)
{
    bool anonymous_read = strcmp(settings->anonymous, "read") == 0;
    enum status status = STATUS_OK;

    *access = (struct access){ 0 };
    if (is_given(settings->tokens))
        status = http_auth_open(settings->tokens, anonymous_read, &access->auth, err);
    if (status == STATUS_OK && is_given(settings->node_token))
        status = transfer_secret_open(settings->node_token, &access->secret, err);
    if (status == STATUS_OK && is_given(settings->sources))
        status = sources_open(settings->sources, &access->sources, err);
    if (status == STATUS_OK)
        return status;
    access_close(access);
    err->status = STATUS_BAD_VALUE; /* whatever it is: the start ends, and the settings have to be looked at */
    return STATUS_BAD_VALUE;
}

static void reloaded(const char *what, enum status status, const struct error *err)
{
    if (status == STATUS_OK)
        log_msg(LOG_INFO, "access.reload", "%s: read again", what);
    else
        log_msg(LOG_ERROR, "access.reload", "%s; what was read before stays in force", err->text);
}

void access_reload(struct access *access)
{
    struct error err;

    error_init(&err);
    if (access->auth != NULL)
        reloaded("tokens", http_auth_reload(access->auth, &err), &err);
    if (access->secret != NULL)
        reloaded("node token", transfer_secret_reload(access->secret, &err), &err);
    if (access->sources != NULL)
        reloaded("sources", sources_reload(access->sources, &err), &err);
}

void access_close(struct access *access)
{
    http_auth_close(access->auth);
    transfer_secret_close(access->secret);
    sources_close(access->sources);
    *access = (struct access){ 0 };
}
