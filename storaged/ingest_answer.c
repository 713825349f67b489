/* ingest_answer.c: prints lines while the body comes, and puts the pieces together at its end. */
#include "storaged/ingest_answer.h"

#include "storaged/request.h"

#include "proto/http/http_digest.h"
#include "proto/http/http_problem.h"
#include "proto/node_api.h"

#include <stdlib.h>

enum {
    LINE_SIZE_MAX = 64 << 10,
    PIECES = 3,
    ANSWER_SIZE_MAX = 16 << 20, /* what is in memory of it */
    RETRY_AFTER_S = 5,
};

static void on_messages_written(struct gather *gather)
{
    struct ingest_answer *answer = container_of(gather, struct ingest_answer, messages);

    answer->on_written(answer);
}

static void on_skipped_written(struct gather *gather)
{
    struct ingest_answer *answer = container_of(gather, struct ingest_answer, skipped);

    answer->on_written(answer);
}

void ingest_answer_init(struct ingest_answer *answer, struct node_loop *loop, const char *source,
                        bool summary, void (*on_written)(struct ingest_answer *answer))
{
    *answer = (struct ingest_answer){ .source = source, .summary = summary, .on_written = on_written };
    gather_init(&answer->messages, loop, on_messages_written);
    gather_init(&answer->skipped, loop, on_skipped_written);
}

bool ingest_answer_is_full(const struct ingest_answer *answer)
{
    return gather_is_full(&answer->messages) || gather_is_full(&answer->skipped);
}

bool ingest_answer_is_busy(const struct ingest_answer *answer)
{
    return gather_is_busy(&answer->messages) || gather_is_busy(&answer->skipped);
}

void ingest_answer_fini(struct ingest_answer *answer)
{
    gather_fini(&answer->messages);
    gather_fini(&answer->skipped);
}

static void print_location(struct json_writer *json, const struct put *put, const struct put_place *place)
{
    char path[DATA_PATH_SIZE];

    data_path_print(&put->run, place->shard, place->birth, path);
    json_object_begin(json);
    json_key(json, "url");
    json_format(json, "%s%s", place->url, path);
    json_put_u64(json, "offset", place->offset);
    json_put_u64(json, "length", put->length);
    json_object_end(json);
}

static void print_line(struct json_writer *json, const struct put *put)
{
    char digest[DIGEST_TEXT_SIZE], base_time[BASE_TIME_TEXT_SIZE];

    digest_print(&put->digest, digest);
    base_time_print_rfc3339(put->run.base_time, base_time);
    json_object_begin(json);
    json_put_string(json, "digest", digest);
    json_put_string(json, "base_time", base_time);
    json_put_u64(json, "length", put->length);
    json_put_bool(json, "new", put->is_new);
    json_put_u64(json, "copies", put->copies_count);
    json_put_u64(json, "stored_at", put->stored_at_us);
    if (put->body->here) /* a client that places for itself tells the next owner */
        json_put_u64(json, "incarnation", put->append.run_incarnation);
    json_key(json, "locations");
    json_array_begin(json);
    for (unsigned i = 0; i < put->targets_count; i++) {
        const struct put_target *target = &put->targets[i];
        if (target->state == TARGET_KEPT && target->place.has_place)
            print_location(json, put, &target->place);
    }
    json_array_end(json);
    json_object_end(json);
}

/* Half a line is none. */
static void gather_line(struct gather *gather, struct buf *line)
{
    if (buf_status(line) == STATUS_OK)
        gather_add(gather, line->data, line->size);
    else
        gather_fail(gather, buf_status(line));
    buf_fini(line);
}

void ingest_answer_add(struct ingest_answer *answer, const struct put *put)
{
    struct json_writer json;
    struct buf line;

    if (put->is_new)
        answer->stored++;
    else
        answer->known++;
    answer->count++;
    answer->digest = put->digest;
    if (answer->summary)
        return;
    buf_init(&line, LINE_SIZE_MAX);
    json_init(&json, &line);
    print_line(&json, put);
    gather_line(&answer->messages, &line);
}

void ingest_answer_skip(struct ingest_answer *answer, uint64_t offset, uint64_t length)
{
    struct buf line;

    buf_init(&line, 128);
    buf_format(&line, "{\"offset\":%llu,\"length\":%llu}", (unsigned long long)offset,
               (unsigned long long)length);
    gather_line(&answer->skipped, &line);
}

/* --- the reply --- */

/* Bytes of a gather go behind what text holds: the file as the piece's own, the memory behind it as the next one's head. */
static void piece_end(struct http_piece *piece, struct buf *text, const struct gather *gather)
{
    piece->fd = gather->fd;
    piece->length = gather->file_size;
    piece->head_size = text->size - piece->head_offset;
    piece[1].head_offset = text->size;
    buf_append(text, gather->memory.data, gather->memory.size);
}

static void print_front(struct ingest_answer *answer, struct buf *text, struct http_exchange *ex,
                        enum status status, const struct error *err)
{
    if (status == STATUS_OK) {
        buf_text(text, "{");
    } else {
        http_problem_print(text, status, err, http_request_id(ex), NULL);
        while (text->size > 0 && text->data[text->size - 1] != '}')
            text->size--;
        if (text->size > 0)
            text->size--; /* the object goes on */
        buf_text(text, ",");
    }
    buf_format(text, "\"source\":\"%s\",", answer->source);
    if (!answer->summary)
        buf_text(text, "\"messages\":[");
}

static void print_middle(struct ingest_answer *answer, struct buf *text)
{
    if (!answer->summary)
        buf_text(text, "],");
    buf_format(text, "\"stored\":%llu,\"known\":%llu,\"skipped\":[",
               (unsigned long long)answer->stored, (unsigned long long)answer->known);
}

static void reply_headers(struct ingest_answer *answer, struct http_exchange *ex, const char *url)
{
    char digest[DIGEST_TEXT_SIZE];
    char field[HTTP_DIGEST_TEXT_SIZE];

    if (answer->count != 1)
        return;
    digest_print(&answer->digest, digest);
    http_digest_print(answer->digest.bytes, field);
    http_reply_header(ex, "Location", "%s/sha256/%s", url, digest);
    http_reply_header(ex, "ETag", "\"%s\"", digest);
    http_reply_header(ex, "Repr-Digest", "%s", field);
}

void ingest_answer_reply(struct ingest_answer *answer, struct http_exchange *ex, const char *url,
                         enum status status, const struct error *err)
{
    struct http_piece *pieces = calloc(PIECES, sizeof *pieces);
    struct buf text;

    if (pieces == NULL)
        abort();
    /* Also for an error: what was stored before it is listed. */
    enum status messages = gather_end(&answer->messages);
    enum status skipped = gather_end(&answer->skipped);
    if (status == STATUS_OK && (status = messages) != STATUS_OK)
        err = &answer->messages.err;
    if (status == STATUS_OK && (status = skipped) != STATUS_OK)
        err = &answer->skipped.err;
    buf_init(&text, ANSWER_SIZE_MAX);
    print_front(answer, &text, ex, status, err);
    piece_end(&pieces[0], &text, &answer->messages);
    print_middle(answer, &text);
    piece_end(&pieces[1], &text, &answer->skipped);
    buf_text(&text, "]}");
    pieces[2].fd = -1;
    pieces[2].head_size = text.size - pieces[2].head_offset;

    const char *type = status == STATUS_OK ? TYPE_JSON : "application/problem+json";
    int http_status = status != STATUS_OK ? status_http(status) : answer->stored > 0 ? 201 : 200;
    if (status == STATUS_OK)
        reply_headers(answer, ex, url);
    if (http_status == 503 || http_status == 429)
        http_reply_header(ex, "Retry-After", "%d", RETRY_AFTER_S);
    if ((pieces[0].fd < 0 && pieces[1].fd < 0) || buf_status(&text) != STATUS_OK) {
        free(pieces);
        http_reply(ex, http_status, type, &text);
    } else {
        http_reply_file(ex, http_status, type, pieces, PIECES, &text);
    }
}
