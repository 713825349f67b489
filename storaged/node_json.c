/* node_json.c: reads, writes and settles a node's name. */
#include "storaged/node_json.h"

#include "storaged/json_file.h"
#include "storaged/settings.h"

#include "proto/base/json_read.h"
#include "proto/base/json_write.h"

#include <stdio.h>

enum { NODE_JSON_FORMAT = 1, NODE_JSON_SIZE_MAX = 64 << 10 };

static const char node_file[] = "node.json";

static enum status member_read(const json_t *object, const char *key, char *text, size_t size,
                               struct error *err)
{
    const char *value;

    enum status status = json_get_string(object, key, &value, err);
    if (status != STATUS_OK)
        return status;
    if (strlen(value) >= size)
        return error_set(err, STATUS_CORRUPT, "%s: longer than %zu characters", key, size - 1);
    memcpy(text, value, strlen(value) + 1);
    return STATUS_OK;
}

static enum status node_json_parse(const json_t *object, struct node_json *self, struct error *err)
{
    uint64_t format;

    enum status status = json_get_u64(object, "format", UINT32_MAX, &format, err);
    if (status == STATUS_OK && format != NODE_JSON_FORMAT)
        return error_set(err, STATUS_UNSUPPORTED, "format %llu: this program knows %d",
                         (unsigned long long)format, NODE_JSON_FORMAT);
    if (status == STATUS_OK)
        status = member_read(object, "cluster", self->cluster, sizeof self->cluster, err);
    if (status == STATUS_OK)
        status = member_read(object, "id", self->id, sizeof self->id, err);
    if (status == STATUS_OK)
        status = member_read(object, "url", self->url, sizeof self->url, err);
    if (status == STATUS_OK)
        status = member_read(object, "host", self->host, sizeof self->host, err);
    if (status == STATUS_OK)
        status = member_read(object, "colo", self->colo, sizeof self->colo, err);
    if (status == STATUS_OK && (!node_id_valid(self->id) || !node_url_valid(self->url)))
        status = error_set(err, STATUS_CORRUPT, "id '%s' or url '%s' is malformed", self->id, self->url);
    return status;
}

enum status node_json_load(const char *dir, struct node_json *self, struct error *err)
{
    struct buf text;
    json_t *object;

    *self = (struct node_json){ 0 };
    enum status status = json_file_read(dir, node_file, NODE_JSON_SIZE_MAX, &text, err);
    if (status != STATUS_OK)
        return status;
    status = json_parse(text.data, text.size, &object, err);
    buf_fini(&text);
    if (status == STATUS_OK) {
        status = node_json_parse(object, self, err);
        json_decref(object);
    }
    return status == STATUS_OK ? status : error_wrap(err, "%s/%s", dir, node_file);
}

enum status node_json_save(const char *dir, const struct node_json *self, struct error *err)
{
    struct json_writer json;
    struct buf text;

    buf_init(&text, NODE_JSON_SIZE_MAX);
    json_init(&json, &text);
    json_object_begin(&json);
    json_put_u64(&json, "format", NODE_JSON_FORMAT);
    json_put_string(&json, "cluster", self->cluster);
    json_put_string(&json, "id", self->id);
    json_put_string(&json, "url", self->url);
    json_put_string(&json, "host", self->host);
    json_put_string(&json, "colo", self->colo);
    json_object_end(&json);
    buf_text(&text, "\n");
    enum status status = json_file_write(dir, node_file, &text, err);
    buf_fini(&text);
    return status;
}

bool node_json_equal(const struct node_json *a, const struct node_json *b)
{
    return strcmp(a->cluster, b->cluster) == 0 && strcmp(a->id, b->id) == 0 &&
           strcmp(a->url, b->url) == 0 && strcmp(a->host, b->host) == 0 &&
           strcmp(a->colo, b->colo) == 0;
}

static void random_id(char id[NODE_ID_SIZE_MAX + 1])
{
    uint8_t bytes[6];
    char hex[2 * sizeof bytes + 1];

    random_bytes(bytes, sizeof bytes);
    hex_print(bytes, sizeof bytes, hex);
    snprintf(id, NODE_ID_SIZE_MAX + 1, "n%s", hex);
}

static enum status settle_first(const struct settings *settings, const char *url,
                                struct node_json *self, struct error *err)
{
    cluster_id_make(self->cluster);
    if (settings->id != NULL)
        snprintf(self->id, sizeof self->id, "%s", settings->id);
    else
        random_id(self->id);
    if (strlen(url) >= sizeof self->url || !node_url_valid(url))
        return error_set(err, STATUS_BAD_VALUE,
                         "'%s' is no URL of a node: say --url http://HOST:PORT", url);
    memcpy(self->url, url, strlen(url) + 1);
    return STATUS_OK;
}

static enum status settle_again(const struct settings *settings, const char *url,
                                const struct node_json *self, struct error *err)
{
    if (settings->id != NULL && strcmp(settings->id, self->id) != 0)
        return error_set(err, STATUS_BAD_VALUE,
                         "--id %s: the data in %s belongs to node %s; a node keeps its name (another directory is "
                         "another node)",
                         settings->id, settings->data, self->id);
    if (strcmp(url, self->url) != 0)
        return error_set(err, STATUS_BAD_VALUE,
                         "this node is %s in the index and would be %s: start it with --url %s, or change its name "
                         "everywhere with `gribstore cluster rename %s %s`",
                         self->url, url, self->url, self->id, url);
    return STATUS_OK;
}

void node_json_url(const struct settings *settings, const char *listen, char url[NODE_JSON_URL_SIZE])
{
    if (settings->url != NULL)
        snprintf(url, NODE_JSON_URL_SIZE, "%s", settings->url);
    else
        snprintf(url, NODE_JSON_URL_SIZE, "%s://%s",
                 settings->security.tls_cert != NULL ? "https" : "http", listen);
}

enum status node_json_settle(const struct settings *settings, const char *listen, bool known,
                             struct node_json *self, struct error *err)
{
    char url[NODE_JSON_URL_SIZE];

    node_json_url(settings, listen, url);
    enum status status = known ? settle_again(settings, url, self, err)
                               : settle_first(settings, url, self, err);
    if (status != STATUS_OK)
        return status;
    snprintf(self->host, sizeof self->host, "%s", settings->host);
    snprintf(self->colo, sizeof self->colo, "%s", settings->colo);
    return STATUS_OK;
}
