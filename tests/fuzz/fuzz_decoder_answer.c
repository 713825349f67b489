/* fuzz_decoder_answer.c: what a decoder answers: it ran ecCodes on hostile bytes, so its own are hostile.
 *
 * Input: cuts, then what comes out of the pipe. In pieces of any size the same answers come out; keys that an answer has
 * become a document, with nothing in it but plain names and values, which is printed and read again alike. */
#include "indexer/decoder_pipe.h"
#include "indexer/field.h"
#include "proto/base/buf.h"
#include "proto/base/json_read.h"
#include "tests/fuzz/fuzz.h"

#include <ctype.h>
#include <xxhash.h>

static bool is_own(const char *key)
{
    for (const char *const *own = field_own_keys; *own != NULL; own++)
        if (strcmp(key, *own) == 0)
            return true;
    return false;
}

static void check_keys(const struct field_keys *keys)
{
    json_t *json = field_keys_to_json(keys);
    const char *key;
    json_t *value;

    json_object_foreach (json, key, value) {
        MUST(isalpha((unsigned char)key[0]) && strpbrk(key, "$.\"' ") == NULL && !is_own(key));
        MUST(json_is_string(value) || json_is_number(value) || json_is_boolean(value));
    }
    json_decref(json);
}

static void check_printed(const struct field_document *document)
{
    struct field_document again;
    json_t *json = field_to_json(document), *second;

    MUST(json != NULL);
    field_document_init(&again, &document->id, &document->run);
    MUST(field_from_json(json, &again, NULL) == STATUS_OK);
    second = field_to_json(&again);
    MUST(second != NULL && json_equal(json, second));
    json_decref(second);
    json_decref(json);
    field_document_fini(&again);
}

/* The keys as an issue of a document; a second issue comes with the same ones but for a value. */
static void check_document(struct field_keys *keys)
{
    struct field_location location = { .url = "http://a:1/data/hres/20130408T0000Z/0001-000000000000004d.grib",
                                       .node = "n1",
                                       .file = "0001-000000000000004d.grib",
                                       .length = 100 };
    struct field_event event = { .kind = FIELD_ADD,
                                 .run = { .source = "hres", .base_time = 1365379200 } };
    uint8_t identity[GRIB_IDENTITY_SIZE] = { 1 };
    struct field_document document;
    bool changed;

    field_id_make(&event.run, identity, &event.id);
    field_document_init(&document, &event.id, &event.run);
    event.issue = (struct field_issue){ .sub = 1,
                                        .length = 100,
                                        .incarnation = 1,
                                        .keys = field_keys_ref(keys),
                                        .locations_count = 1,
                                        .locations = &location };
    for (unsigned i = 0; i < 2; i++) {
        event.issue.stored_at_us = 5 + i;
        event.issue.digest.bytes[0] = (uint8_t)i;
        MUST(field_merge(&document, &event, &changed, NULL) == STATUS_OK && changed);
        json_t *json = field_keys_to_json(keys);
        json_object_set_new(json, "shortName", json_string(i == 0 ? "other" : "third"));
        field_keys_unref(event.issue.keys);
        event.issue.keys = field_keys_of_json(json);
        json_decref(json);
    }
    MUST(document.issues_count == 2);
    check_keys(document.issues[0].keys);
    check_keys(document.issues[1].keys);
    check_printed(&document);
    field_keys_unref(event.issue.keys);
    field_document_fini(&document);
}

static void take_answer(const struct decoder_frame *answer)
{
    struct field_keys *keys, *made;
    json_t *json;

    if (answer->word != DECODER_DECODED)
        return;
    enum status status = json_parse(answer->body, answer->size, &json, NULL);
    bool object = status == STATUS_OK && json_is_object(json);
    MUST((field_keys_parse(answer->body, answer->size, &keys, NULL) == STATUS_OK) == object);
    if (object) {
        made = field_keys_of_json(json); /* looked through as text, or by way of the tree: the same */
        MUST(made != NULL && field_keys_equal(keys, made));
        field_keys_unref(made);
        check_document(keys);
    }
    field_keys_unref(keys);
    json_decref(json);
}

/* As the loop does it: what is not used stays in front of what comes next. */
static uint64_t read_all(struct fuzz_input input, struct fuzz_cuts cuts, bool look, enum status *status)
{
    struct decoder_frame answer;
    uint64_t sum = 0;
    size_t used = 0;
    struct buf held;

    *status = STATUS_MORE;
    buf_init(&held, input.size + 1);
    while (input.size > 0 && *status == STATUS_MORE) {
        size_t piece = fuzz_cut(&cuts, input.size);
        buf_append(&held, input.data, piece);
        input = (struct fuzz_input){ input.data + piece, input.size - piece };
        uint8_t *copy = fuzz_copy(held.data, held.size);
        struct slice rest = slice_of(copy, held.size);
        while ((*status = decoder_answer_read(rest, &answer, &used)) == STATUS_OK) {
            MUST(used >= DECODER_FRAME_HEAD_SIZE && used <= rest.size &&
                 answer.body + answer.size == rest.data + used);
            sum = sum * 31 + answer.tag * 7 + answer.word + XXH3_64bits(answer.body, answer.size);
            if (look)
                take_answer(&answer);
            rest = slice_of(rest.data + used, rest.size - used);
        }
        buf_consume(&held, held.size - rest.size);
        free(copy);
    }
    buf_fini(&held);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };
    struct fuzz_cuts cuts = fuzz_cuts(&input), none = { .count = 0 };
    enum status whole, parts;

    uint64_t sum = read_all(input, none, true, &whole);
    MUST(sum == read_all(input, cuts, false, &parts) && whole == parts);
    return 0;
}
