/* listing.c: prints what the store says of a run. */
#include "storaged/listing.h"

#include "storaged/node.h"
#include "storaged/request.h"
#include "storaged/work.h"

#include "proto/node_api.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { LISTING_SIZE_MAX = 256 << 20 };

/* --- the data files --- */

static void print_file(struct json_writer *json, const char *url, const struct run_key *run,
                       const struct store_file_info *file)
{
    char path[DATA_PATH_SIZE], birth[17];

    data_path_print(run, file->shard, file->birth, path);
    snprintf(birth, sizeof birth, "%016" PRIx64, file->birth);
    json_object_begin(json);
    json_put_string(json, "name", strrchr(path, '/') + 1);
    json_key(json, "url");
    json_format(json, "%s%s", url, path);
    json_put_u64(json, "shard", file->shard);
    json_put_string(json, "birth", birth);
    json_put_u64(json, "size", file->size);
    json_put_u64(json, "count", file->count);
    json_object_end(json);
}

static void print_json(struct buf *body, const char *url, const struct store_run_info *info)
{
    struct json_writer json;

    json_init(&json, body);
    json_object_begin(&json);
    request_print_run(&json, &info->run, &info->info);
    json_put_u64(&json, "messages", info->messages);
    json_put_u64(&json, "bytes", info->bytes);
    json_key(&json, "files");
    json_array_begin(&json);
    for (unsigned i = 0; i < info->files_count; i++)
        print_file(&json, url, &info->run, &info->files[i]);
    json_array_end(&json);
    json_object_end(&json);
}

/* Names are made of letters, digits, '-' and '.': nothing to escape. */
static void print_html(struct buf *body, const struct store_run_info *info)
{
    char run[RUN_TEXT_SIZE];

    run_key_print(&info->run, run);
    buf_format(body,
               "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>%s</title></head>\n<body>\n"
               "<h1>%s</h1>\n<p>%s; %" PRIu64 " messages, %" PRIu64 " bytes on this node</p>\n"
               "<table>\n<tr><th>file</th><th>bytes</th><th>messages</th></tr>\n",
               run, run, run_state_name(info->info.state), info->messages, info->bytes);
    for (unsigned i = 0; i < info->files_count; i++) {
        const struct store_file_info *file = &info->files[i];
        char name[DATA_FILE_NAME_SIZE];
        data_file_name_print(file->shard, file->birth, name);
        buf_format(body, "<tr><td><a href=\"%s\">%s</a></td><td>%" PRIu64 "</td><td>%" PRIu64 "</td></tr>\n",
                   name, name, file->size, file->count);
    }
    buf_text(body, "</table>\n</body>\n</html>\n");
}

static bool accepts(struct slice accept, const char *type)
{
    size_t size = strlen(type);

    for (size_t i = 0; accept.data != NULL && i + size <= accept.size; i++) {
        if (strncasecmp((const char *)accept.data + i, type, size) == 0)
            return true;
    }
    return false;
}

/* A program that says what it wants gets it; one that takes anything gets JSON. false: it has replied. */
static bool wants_html(struct http_exchange *ex, bool *html)
{
    struct slice format = http_query(ex, "format");
    struct slice accept = http_header_joined(ex, "accept");

    if (format.data == NULL) {
        *html = accepts(accept, "text/html") && !accepts(accept, TYPE_JSON);
        return true;
    }
    *html = slice_equals(format, "html");
    if (*html || slice_equals(format, "json"))
        return true;
    request_fail_with(ex, STATUS_BAD_VALUE, "format: 'json', or 'html'");
    return false;
}

void listing_handle(struct http_exchange *ex)
{
    static const char *const keys[] = { "format", NULL };
    struct node *node = request_loop(ex)->node;
    struct store_run_info info;
    struct run_key run;
    struct buf body;
    bool html;

    if (!request_keys_known(ex, keys) || !request_run(ex, &run) || !wants_html(ex, &html))
        return;
    if (store_run_get(node->store, &run, &info) != STATUS_OK) {
        request_fail_with(ex, STATUS_NOT_FOUND, "this node knows nothing of that run");
        return;
    }
    buf_init(&body, LISTING_SIZE_MAX);
    http_reply_header(ex, "Vary", "Accept");
    if (info.info.state == RUN_PURGED && info.journal_id == 0) {
        request_fail_with(ex, STATUS_PURGED, "the run was purged");
    } else if (html) {
        print_html(&body, &info);
        http_reply_header(ex, "Cache-Control", "no-cache");
        http_reply_header(ex, "Content-Security-Policy", "default-src 'none'");
        http_reply(ex, 200, "text/html; charset=utf-8", &body);
    } else {
        struct cluster_view *view = cluster_view(&node->cluster);
        print_json(&body, view->url, &info);
        cluster_view_release(view);
        http_reply_header(ex, "Cache-Control", "no-cache");
        request_reply_json(ex, 200, &body);
    }
    store_run_info_fini(&info);
}

/* --- the shards --- */

struct shards_job {
    struct work work;
    struct http_exchange *ex;
    struct store *store;
    struct run_key run;
    unsigned shards;
    bool one;
    unsigned shard;
    struct json_writer json;
    struct buf body;
    enum status status;
    struct error err;
};

static void print_message(void *data, const struct digest *digest, const struct store_place *place)
{
    struct json_writer *json = data;
    char text[DIGEST_TEXT_SIZE], birth[17];

    digest_print(digest, text);
    snprintf(birth, sizeof birth, "%016" PRIx64, place->birth);
    json_object_begin(json);
    json_put_string(json, "digest", text);
    json_put_u64(json, "stored_at", place->stored_at_us);
    json_put_string(json, "birth", birth);
    json_put_u64(json, "offset", place->offset);
    json_put_u64(json, "length", place->length);
    json_object_end(json);
}

static enum status print_shards(struct shards_job *job)
{
    struct store_shard *shards = calloc(job->shards, sizeof *shards);

    if (shards == NULL)
        abort();
    enum status status = store_shards(job->store, &job->run, shards);
    for (unsigned i = 0; status == STATUS_OK && i < job->shards; i++) {
        json_object_begin(&job->json);
        json_put_u64(&job->json, "shard", i);
        json_put_u64(&job->json, "count", shards[i].set.count);
        json_put_u64(&job->json, "bytes", shards[i].bytes);
        json_put_hex(&job->json, "hash", shards[i].set.sum.bytes, DIGEST_SIZE);
        json_object_end(&job->json);
    }
    free(shards);
    if (status != STATUS_OK)
        error_set(&job->err, status, "this node has nothing of that run");
    return status;
}

static void shards_run(struct work *work)
{
    struct shards_job *job = container_of(work, struct shards_job, work);

    json_init(&job->json, &job->body);
    json_array_begin(&job->json);
    if (job->one)
        job->status = store_shard_list(job->store, &job->run, job->shard, print_message, &job->json,
                                       &job->err);
    else
        job->status = print_shards(job);
    json_array_end(&job->json);
}

static void shards_done(struct work *work)
{
    struct shards_job *job = container_of(work, struct shards_job, work);

    if (job->status != STATUS_OK)
        request_fail(job->ex, &job->err);
    else
        request_reply_json(job->ex, 200, &job->body);
    buf_fini(&job->body);
    free(job);
}

void listing_shards(struct http_exchange *ex)
{
    static const char *const keys[] = { "shard", NULL };
    struct node_loop *loop = request_loop(ex);
    struct cluster_view *view = cluster_view(&loop->node->cluster);
    unsigned shards = view->map->shards;
    struct run_key run;
    struct error err;
    uint64_t shard;

    cluster_view_release(view);
    if (!request_keys_known(ex, keys) || !request_run(ex, &run) ||
        !request_query_u64(ex, "shard", UINT64_MAX, &shard))
        return;
    if (shard != UINT64_MAX && shard >= shards) {
        request_fail_with(ex, STATUS_BAD_VALUE, "shard: from 0 to %u", shards - 1);
        return;
    }
    struct shards_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        abort();
    *job = (struct shards_job){ .ex = ex, .store = loop->node->store, .run = run, .shards = shards };
    job->one = shard != UINT64_MAX;
    job->shard = job->one ? (unsigned)shard : 0;
    buf_init(&job->body, LISTING_SIZE_MAX);
    error_init(&job->err);
    error_init(&err);
    if (work_start(&job->work, loop, shards_run, shards_done, &err) == STATUS_OK)
        return;
    request_fail(ex, &err);
    free(job);
}
