/* have_question.c: the body of POST /have. */
#include "proto/have_question.h"

void have_question_begin(struct json_writer *json, struct buf *body, const struct run_key *run, bool places)
{
    char base_time[BASE_TIME_TEXT_SIZE];

    base_time_print_rfc3339(run->base_time, base_time);
    json_init(json, body);
    json_object_begin(json);
    json_put_string(json, "source", run->source);
    json_put_string(json, "base_time", base_time);
    if (places)
        json_put_bool(json, "places", true);
    json_key(json, "digests");
    json_array_begin(json);
}

void have_question_end(struct json_writer *json)
{
    json_array_end(json);
    json_object_end(json);
}
