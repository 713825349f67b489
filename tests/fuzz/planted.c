/* planted.c: for each target a function that is wrong, linked in the place of the right one (--wrap), to show that the target
 * sees it. Only the test NAME_planted is linked with it; which function is wrong stands in CMakeLists.txt. */
#include "indexer/query.h"
#include "indexer/query_values.h"
#include "indexer/release_request.h"
#include "proto/base/json_read.h"
#include "proto/cluster_map.h"
#include "proto/grib_frame.h"
#include "proto/grib_head.h"
#include "proto/grib_scan.h"
#include "proto/http/http_condition.h"
#include "proto/http/http_frame.h"
#include "proto/http/http_range.h"
#include "proto/http/token.h"
#include "proto/journal_record.h"
#include "proto/node_api.h"
#include "proto/run_log_record.h"
#include "storaged/have_request.h"
#include "storaged/node_json.h"
#include "storaged/peers/copies.h"
#include "storaged/sources.h"
#include "storaged/store/disk.h"

#include <math.h>

/* Declares the right function as __real_NAME and begins the wrong one. */
#define PLANT(result, function, parameters)                                                        \
    result __real_##function parameters;                                                           \
    result __wrap_##function parameters;                                                           \
    result __wrap_##function parameters

#if defined(PLANTED_fuzz_grib_frame)
/* One byte too few. */
PLANT(enum status, grib_frame_feed,
      (struct grib_frame * frame, const uint8_t *chunk, size_t size, size_t *used, struct error *err))
{
    enum status status = __real_grib_frame_feed(frame, chunk, size, used, err);

    *used -= status == STATUS_OK;
    return status;
}
#elif defined(PLANTED_fuzz_grib_scan)
/* What is skipped is one byte longer. */
PLANT(enum status, grib_scan_next,
      (struct grib_scan * scan, const uint8_t *chunk, size_t size, size_t *used,
       struct grib_piece *piece, struct error *err))
{
    enum status status = __real_grib_scan_next(scan, chunk, size, used, piece, err);

    piece->length += status == STATUS_OK && piece->kind == GRIB_PIECE_SKIPPED;
    return status;
}
#elif defined(PLANTED_fuzz_grib_head)
/* The last byte of the last head is missing. */
PLANT(enum status, grib_heads, (struct grib_source * source, struct buf *heads, struct error *err))
{
    enum status status = __real_grib_heads(source, heads, err);

    heads->size -= status == STATUS_OK;
    return status;
}
#elif defined(PLANTED_fuzz_http_head)
/* A body of another length than everybody else reads. */
PLANT(enum status, http_head_feed,
      (struct http_head * head, const uint8_t *text, size_t size, const struct http_head_limits *limits))
{
    enum status status = __real_http_head_feed(head, text, size, limits);

    head->content_length += status == STATUS_OK && head->has_length;
    return status;
}
#elif defined(PLANTED_fuzz_http_chunks)
/* The last byte of each piece is lost. */
PLANT(enum http_frame_event, http_frame_next,
      (struct http_frame * frame, struct slice *input, struct slice *chunk))
{
    enum http_frame_event event = __real_http_frame_next(frame, input, chunk);

    chunk->size -= event == HTTP_FRAME_CHUNK && chunk->size > 1;
    return event;
}
#elif defined(PLANTED_fuzz_http_range)
/* A byte behind the file's end. */
PLANT(enum http_ranges, http_ranges_parse,
      (struct slice header, uint64_t file_size, unsigned ranges_max, struct http_range *ranges,
       unsigned *count))
{
    enum http_ranges result = __real_http_ranges_parse(header, file_size, ranges_max, ranges, count);

    if (result == HTTP_RANGES_SOME)
        ranges[*count - 1].length++;
    return result;
}
#elif defined(PLANTED_fuzz_http_condition)
/* Nothing is ever as the client has it. */
PLANT(enum http_condition, http_condition_check,
      (const struct http_conditions *conditions, const char *etag, int64_t modified))
{
    enum http_condition result = __real_http_condition_check(conditions, etag, modified);

    return result == HTTP_CONDITION_NOT_CHANGED ? HTTP_CONDITION_GO : result;
}
#elif defined(PLANTED_fuzz_http_conn)
/* Ends of chunks and of bodies are seen a byte early. */
PLANT(enum http_frame_event, http_frame_next,
      (struct http_frame * frame, struct slice *input, struct slice *chunk))
{
    enum http_frame_event event = __real_http_frame_next(frame, input, chunk);

    chunk->size -= event == HTTP_FRAME_CHUNK && chunk->size > 1;
    return event;
}
#elif defined(PLANTED_fuzz_token_file)
/* No token is found. */
PLANT(struct token *, token_table_find,
      (struct token_table * table, const struct digest *hash, bool of_certificate))
{
    (void)table;
    (void)hash;
    (void)of_certificate;
    return NULL;
}
#elif defined(PLANTED_fuzz_journal_record)
/* The shard is written wrong. */
PLANT(void, journal_record_encode,
      (const struct journal_record *record, uint64_t journal_id, uint64_t number,
       uint8_t bytes[JOURNAL_RECORD_SIZE]))
{
    struct journal_record wrong = *record;

    wrong.shard ^= 1;
    __real_journal_record_encode(&wrong, journal_id, number, bytes);
}
#elif defined(PLANTED_fuzz_run_log)
/* Any state is taken. */
PLANT(enum status, run_log_record_decode,
      (const uint8_t bytes[RUN_LOG_RECORD_SIZE], uint64_t id, struct run_log_record *record,
       struct error *err))
{
    enum status status = __real_run_log_record_decode(bytes, id, record, err);

    record->info.state = (enum run_state)0;
    return status;
}
#elif defined(PLANTED_fuzz_recover)
/* A file is cut one byte too short. */
PLANT(enum status, disk_truncate, (int fd, uint64_t size, struct error *err))
{
    return __real_disk_truncate(fd, size - (size > 0), err);
}
#elif defined(PLANTED_fuzz_node_json)
/* Another host is saved. */
PLANT(enum status, node_json_save, (const char *dir, const struct node_json *self, struct error *err))
{
    struct node_json wrong = *self;

    wrong.host[0] = 'X';
    return __real_node_json_save(dir, &wrong, err);
}
#elif defined(PLANTED_fuzz_config)
/* Sizes are one too many. */
PLANT(int, config_parse_size, (const char *text, uint64_t *size))
{
    int rc = __real_config_parse_size(text, size);

    *size += rc == 0;
    return rc;
}
#elif defined(PLANTED_fuzz_sources_file)
/* A second too far back is let in. */
PLANT(enum status, source_rules_check_date,
      (const struct source_rules *rules, int64_t base_time, int64_t now, struct error *err))
{
    struct source_rules wrong = *rules;

    wrong.oldest_s++;
    return __real_source_rules_check_date(&wrong, base_time, now, err);
}
#elif defined(PLANTED_fuzz_cluster_map)
/* The end is missing. */
PLANT(void, map_print, (const struct cluster_map *map, struct buf *json))
{
    __real_map_print(map, json);
    json->size--;
}
#elif defined(PLANTED_fuzz_names)
/* Another birth id. */
PLANT(bool, data_file_name_parse, (struct slice name, unsigned *shard, uint64_t *birth))
{
    bool found = __real_data_file_name_parse(name, shard, birth);

    *birth ^= found ? 2 : 0;
    return found;
}
#elif defined(PLANTED_fuzz_have_request)
/* All are missing, also those that were not asked for. */
PLANT(enum status, have_answer_read,
      (struct slice answer, const struct have_request *request, bool *mask, struct error *err))
{
    enum status status = __real_have_answer_read(answer, request, mask, err);

    for (unsigned i = 0; i < request->count && status == STATUS_OK; i++)
        mask[i] = true;
    return status;
}
#elif defined(PLANTED_fuzz_release)
/* What was not listed is the first that was. */
PLANT(uint32_t, release_request_find, (const struct release_request *request, const struct digest *digest))
{
    uint32_t found = __real_release_request_find(request, digest);

    return found == RELEASE_NONE ? 0 : found;
}
#elif defined(PLANTED_fuzz_client_objects)
/* Any text is a node's name. */
PLANT(bool, node_id_valid, (const char *id))
{
    return id[0] != '\0';
}
#elif defined(PLANTED_fuzz_replica_answer)
/* A copy that nobody named has a place. */
PLANT(enum status, replica_answer_match,
      (struct slice answer, bool asked, struct list *members, struct error *err))
{
    container_of(members->prev, struct copy, list)->has_place = true;
    return __real_replica_answer_match(answer, asked, members, err);
}
#elif defined(PLANTED_fuzz_tail_listing) || defined(PLANTED_fuzz_survey)
/* A number may be as large as it likes. */
PLANT(enum status, json_get_u64,
      (const json_t *object, const char *key, uint64_t max, uint64_t *value, struct error *err))
{
    return __real_json_get_u64(object, key, max > 0 ? UINT64_MAX : 0, value, err);
}
#elif defined(PLANTED_fuzz_journal_feed)
/* A record is refused without a word. */
PLANT(enum status, journal_record_decode,
      (const uint8_t bytes[JOURNAL_RECORD_SIZE], uint64_t journal_id, uint64_t number,
       struct journal_record *record, struct error *err))
{
    (void)err;
    enum status status = __real_journal_record_decode(bytes, journal_id, number, record, NULL);
    return status == STATUS_OK && number >= 4 ? STATUS_CORRUPT : status;
}
#elif defined(PLANTED_fuzz_decoder_answer)
/* A key is taken that a database understands. */
PLANT(enum status, field_merge,
      (struct field_document * document, const struct field_event *event, bool *changed, struct error *err))
{
    enum status status = __real_field_merge(document, event, changed, err);

    field_keys_unref(document->issues[0].keys);
    document->issues[0].keys = field_keys_of_members(slice_text("\"$where\":true"));
    return status;
}
#elif defined(PLANTED_fuzz_query_body)
/* A number that is none. */
PLANT(enum status, query_add,
      (struct query_request *request, struct slice key, struct slice value, struct error *err))
{
    enum status status = __real_query_add(request, key, value, err);

    for (size_t i = 0; status == STATUS_OK && i < request->query.terms_count; i++)
        if (request->query.terms[i].type == QUERY_NUMBER)
            request->query.terms[i].values[0].number = NAN;
    return status;
}
#elif defined(PLANTED_fuzz_query)
/* A number that is none. */
PLANT(enum status, query_values_parse,
      (const struct query_key *key, struct slice text, struct query_term terms[QUERY_KEY_TERMS],
       size_t *count, struct error *err))
{
    enum status status = __real_query_values_parse(key, text, terms, count, err);

    if (status == STATUS_OK && *count > 0 && terms[0].type == QUERY_NUMBER)
        terms[0].values[0].number = NAN;
    return status;
}
#else
#error "nothing is planted for this target"
#endif
