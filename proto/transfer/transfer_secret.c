/* transfer_secret.c: the token of a file, under a mutex. */
#include "proto/transfer/transfer_secret.h"

#include "proto/base/log.h"
#include "proto/base/secret_file.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { SECRET_FILE_MAX = 64 << 10 };

struct transfer_secret {
    char *path; /* owned */
    pthread_mutex_t mutex;
    bool warned;                        /* under it, as is the token */
    char token[TRANSFER_TOKEN_MAX + 1]; /* terminated */
};

/* The first line, without what stands around it. */
static enum status secret_of_text(struct slice text, char token[TRANSFER_TOKEN_MAX + 1], struct error *err)
{
    size_t size = 0;

    while (size < text.size && text.data[size] > 0x20 && text.data[size] < 0x7f)
        size++;
    bool ended = size == text.size || (text.data[size] <= 0x20 && text.data[size] != '\0');
    if (size == 0 || size > TRANSFER_TOKEN_MAX || !ended)
        return error_set(err, STATUS_BAD_VALUE,
                         "its first line is no token (`gribstore token` makes one)");
    memcpy(token, text.data, size);
    token[size] = '\0';
    return STATUS_OK;
}

static enum status secret_read(const char *path, char token[TRANSFER_TOKEN_MAX + 1], struct error *err)
{
    struct buf text;

    enum status status = secret_file_read(path, SECRET_FILE_MAX, &text, err);
    if (status != STATUS_OK)
        return error_wrap(err, "node token");
    status = secret_of_text(slice_of(text.data, text.size), token, err);
    secret_wipe(text.data, text.size);
    buf_fini(&text);
    return status == STATUS_OK ? status : error_wrap(err, "node token: %s", path);
}

enum status transfer_secret_open(const char *path, struct transfer_secret **secret, struct error *err)
{
    struct transfer_secret *made = calloc(1, sizeof *made);
    enum status status = STATUS_NO_MEMORY;

    *secret = NULL;
    if (made != NULL && (made->path = strdup(path)) != NULL)
        status = secret_read(path, made->token, err);
    else
        error_set(err, status, "node token");
    if (status != STATUS_OK) {
        if (made != NULL)
            free(made->path);
        free(made);
        return status;
    }
    pthread_mutex_init(&made->mutex, NULL);
    *secret = made;
    return STATUS_OK;
}

enum status transfer_secret_reload(struct transfer_secret *secret, struct error *err)
{
    char token[TRANSFER_TOKEN_MAX + 1];
    enum status status = secret_read(secret->path, token, err);

    if (status != STATUS_OK)
        return status;
    pthread_mutex_lock(&secret->mutex);
    memcpy(secret->token, token, sizeof token);
    pthread_mutex_unlock(&secret->mutex);
    secret_wipe(token, sizeof token);
    return STATUS_OK;
}

void transfer_secret_close(struct transfer_secret *secret)
{
    if (secret == NULL)
        return;
    pthread_mutex_destroy(&secret->mutex);
    secret_wipe(secret->token, sizeof secret->token);
    free(secret->path);
    free(secret);
}

static void secret_warn(struct transfer_secret *secret, const char *url)
{
    pthread_mutex_lock(&secret->mutex);
    bool warned = secret->warned;
    secret->warned = true;
    pthread_mutex_unlock(&secret->mutex);
    if (!warned)
        log_msg(LOG_WARN, "token.kept",
                "%.*s is plain http and not on this machine: requests to it carry no token",
                (int)strcspn(url, "?"), url);
}

bool transfer_secret_header(struct transfer_secret *secret, const char *url, struct buf *line)
{
    if (secret == NULL)
        return false;
    if (!url_keeps_secrets(url)) {
        secret_warn(secret, url);
        return false;
    }
    pthread_mutex_lock(&secret->mutex);
    buf_format(line, "Authorization: Bearer %s", secret->token);
    pthread_mutex_unlock(&secret->mutex);
    return true;
}

/* The host is read to its end: a name may begin with 127., and what stands before @ is no host. */
bool url_keeps_secrets(const char *url)
{
    enum { HOST_MAX = 64 };
    char host[HOST_MAX];
    struct in_addr address;

    if (strncasecmp(url, "https://", 8) == 0)
        return true;
    if (strncasecmp(url, "http://", 7) != 0)
        return false;
    url += 7;
    size_t size = strcspn(url, "/?#");
    if (memchr(url, '@', size) != NULL)
        return false;
    if (strncmp(url, "[::1]", 5) == 0)
        return size == 5 || url[5] == ':';
    const char *colon = memchr(url, ':', size);
    if (colon != NULL)
        size = (size_t)(colon - url);
    if (size >= sizeof host)
        return false;
    snprintf(host, sizeof host, "%.*s", (int)size, url);
    return strcmp(host, "localhost") == 0 ||
           (inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24 == 127);
}
