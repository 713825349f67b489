/* digest_json.c: lists of digests in JSON. */
#include "proto/digest_json.h"

void digest_json_put_one(struct json_writer *json, const struct digest *digest)
{
    char text[DIGEST_TEXT_SIZE];

    digest_print(digest, text);
    json_text(json, text);
}

void digest_json_put(struct json_writer *json, const char *key, const struct digest *digests, size_t count)
{
    json_key(json, key);
    json_array_begin(json);
    for (size_t i = 0; i < count; i++)
        digest_json_put_one(json, &digests[i]);
    json_array_end(json);
}

enum status digest_json_item(const json_t *list, const char *key, size_t place,
                             struct digest *digest, struct error *err)
{
    const char *text = json_string_value(json_array_get(list, place));

    if (text == NULL || !digest_parse(slice_text(text), digest))
        return error_set(err, STATUS_BAD_VALUE, "%s[%zu]: not 64 lower-case hex digits", key, place);
    return STATUS_OK;
}
