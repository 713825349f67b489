/* field_keys.c: a scanner of the text that decoders write; what is written otherwise goes by way of a tree. */
#include "indexer/field_keys.h"

#include "indexer/field.h"
#include "proto/base/json_read.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <xxhash.h>

enum {
    NAMES_MAX = 192,  /* of one text that is looked through here */
    NAME_SLOTS = 256, /* a power of two above that */
    NAME_SIZE_MAX = 255,
    INTEGER_DIGITS_MAX = 18, /* 64 bits hold them whatever they are */
    REAL_SIZE_MAX = 40,
    EXPONENT_DIGITS_MAX = 2, /* behind a number of that size never out of range */
    EXACT_DIGITS_MAX = 15,   /* of a number whose parts a double holds exactly */
    EXACT_POWER_MAX = 22,
};

struct field_keys {
    atomic_uint references;
    size_t size;
    char text[]; /* members, and a zero */
};

static struct field_keys *keys_new(struct slice members)
{
    struct field_keys *keys = malloc(sizeof *keys + members.size + 1);

    assert(keys != NULL);
    atomic_init(&keys->references, 1);
    keys->size = members.size;
    if (members.size > 0)
        memcpy(keys->text, members.data, members.size);
    keys->text[members.size] = '\0';
    return keys;
}

struct field_keys *field_keys_of_members(struct slice members)
{
    return keys_new(members);
}

struct field_keys *field_keys_ref(struct field_keys *keys)
{
    if (keys != NULL)
        atomic_fetch_add_explicit(&keys->references, 1, memory_order_relaxed);
    return keys;
}

void field_keys_unref(struct field_keys *keys)
{
    if (keys != NULL && atomic_fetch_sub_explicit(&keys->references, 1, memory_order_acq_rel) == 1)
        free(keys);
}

struct slice field_keys_members(const struct field_keys *keys)
{
    return slice_of(keys->text, keys->size);
}

/* --- members of a text that holds what the header says --- */

/* Where the quote is that ends the text from `at` on: one with an even number of backslashes in front. */
static const char *text_end(const char *at, bool *escaped)
{
    *escaped = false;
    for (; *at != '"'; at++) {
        if (*at != '\\')
            continue;
        *escaped = true;
        at++;
    }
    return at;
}

static enum field_key_type number_type(struct slice number)
{
    for (size_t i = 0; i < number.size; i++)
        if (number.data[i] == '.' || (number.data[i] | 0x20) == 'e')
            return FIELD_KEY_REAL;
    return FIELD_KEY_INTEGER;
}

bool field_keys_next(const struct field_keys *keys, size_t *at, struct field_key *key)
{
    const char *text = keys->text + *at, *end = keys->text + keys->size;

    if (text >= end)
        return false;
    const char *name = text + 1, *colon = strchr(name, ':');
    assert(*text == '"' && colon != NULL);
    key->name = slice_of(name, (size_t)(colon - 1 - name));
    const char *value = colon + 1;
    if (*value == '"') {
        const char *quote = text_end(value + 1, &key->escaped);
        key->value = slice_of(value + 1, (size_t)(quote - value - 1));
        key->type = FIELD_KEY_TEXT;
        text = quote + 1;
    } else {
        for (text = value; *text != ',' && *text != '\0'; text++)
            continue;
        key->value = slice_of(value, (size_t)(text - value));
        key->escaped = false;
        key->type = *value == 't' || *value == 'f' ? FIELD_KEY_BOOL : number_type(key->value);
    }
    assert(text <= end);
    *at = (size_t)(text - keys->text) + (*text == ',');
    return true;
}

static bool slice_equal(struct slice a, struct slice b)
{
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

bool field_keys_find(const struct field_keys *keys, struct slice name, struct field_key *key)
{
    for (size_t at = 0; field_keys_next(keys, &at, key);)
        if (slice_equal(key->name, name))
            return true;
    return false;
}

int64_t field_key_integer(const struct field_key *key)
{
    return strtoll((const char *)key->value.data, NULL, 10);
}

/* Where digits and power are exact as doubles, so is what one division or product rounds to. False: they are not. */
static bool read_exactly(struct slice text, double *number)
{
    static const double powers[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                     1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                     1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
    size_t at = text.size > 0 && text.data[0] == '-', digits = 0, behind = 0;
    bool point = false;
    uint64_t whole = 0;

    for (; at < text.size; at++) {
        if (text.data[at] == '.') {
            point = true;
            continue;
        }
        if (text.data[at] < '0' || text.data[at] > '9' || ++digits > EXACT_DIGITS_MAX)
            return false;
        whole = whole * 10 + (uint64_t)(text.data[at] - '0');
        behind += point;
    }
    static_assert(EXACT_DIGITS_MAX <= EXACT_POWER_MAX, "powers of all");
    *number = (double)whole / powers[behind];
    if (text.data[0] == '-')
        *number = -*number;
    return true;
}

double field_key_number(const struct field_key *key)
{
    double number;

    return read_exactly(key->value, &number) ? number : strtod((const char *)key->value.data, NULL);
}

bool field_key_is_true(const struct field_key *key)
{
    return key->type == FIELD_KEY_BOOL && key->value.data[0] == 't';
}

static uint8_t hex_digit(uint8_t digit)
{
    return (uint8_t)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

size_t field_key_text(const struct field_key *key, void *text)
{
    const uint8_t *at = key->value.data, *end = at + key->value.size;
    uint8_t *to = text;

    while (at < end) {
        if (*at != '\\') {
            *to++ = *at++;
            continue;
        }
        uint8_t what = at[1];
        if (what == 'u') { /* below 0x20: all else stands as it is */
            *to++ = (uint8_t)(hex_digit(at[4]) << 4 | hex_digit(at[5]));
            at += 6;
        } else {
            *to++ = what == 'n' ? '\n' : what == 't' ? '\t' : what == 'r' ? '\r' : what;
            at += 2;
        }
    }
    return (size_t)(to - (uint8_t *)text);
}

/* There is one way to write a text or an integer, several to write a real number. */
bool field_key_equal(const struct field_key *a, const struct field_key *b)
{
    return a->type == b->type &&
           (slice_equal(a->value, b->value) ||
            (a->type == FIELD_KEY_REAL && field_key_number(a) == field_key_number(b)));
}

bool field_keys_equal(const struct field_keys *a, const struct field_keys *b)
{
    struct field_key left, right;
    size_t at = 0, beside = 0, members = 0;

    if (a == b || (a->size == b->size && memcmp(a->text, b->text, a->size) == 0))
        return true;
    while (field_keys_next(a, &at, &left)) {
        members++;
        bool there = field_keys_next(b, &beside, &right) && slice_equal(left.name, right.name);
        if ((!there && !field_keys_find(b, left.name, &right)) || !field_key_equal(&left, &right))
            return false;
    }
    for (beside = 0; field_keys_next(b, &beside, &right);)
        members--;
    return members == 0;
}

/* --- from outside --- */

/* Names that were seen, by where they stand in the text: two alike are for a parser to refuse. */
struct names {
    unsigned count;
    uint32_t slots[NAME_SLOTS]; /* offset + 1 */
};

struct scan {
    const uint8_t *text;
    size_t size, at;
    struct names names;
};

static bool name_is_own(struct slice name)
{
    for (const char *const *own = field_own_keys; *own != NULL; own++)
        if (name.data[0] == (uint8_t)(*own)[0] && strlen(*own) == name.size &&
            memcmp(name.data, *own, name.size) == 0)
            return true;
    return false;
}

static bool is_name_byte(uint8_t byte)
{
    return isalnum(byte) || byte == '_';
}

/* A name with a quote behind it; at stands behind its first quote, and then behind its last. */
static bool scan_name(struct scan *scan, struct slice *name)
{
    size_t from = scan->at;

    while (scan->at < scan->size && is_name_byte(scan->text[scan->at]))
        scan->at++;
    *name = slice_of(scan->text + from, scan->at - from);
    return scan->at < scan->size && scan->text[scan->at++] == '"' && name->size > 0 &&
           name->size <= NAME_SIZE_MAX && isalpha(name->data[0]) && !name_is_own(*name);
}

static bool names_add(struct scan *scan, struct slice name)
{
    size_t slot = XXH3_64bits(name.data, name.size) % NAME_SLOTS;

    if (++scan->names.count > NAMES_MAX)
        return false;
    for (; scan->names.slots[slot] != 0; slot = (slot + 1) % NAME_SLOTS) {
        const uint8_t *other = scan->text + scan->names.slots[slot] - 1;
        if (memcmp(other, name.data, name.size) == 0 && other[name.size] == '"')
            return false;
    }
    scan->names.slots[slot] = (uint32_t)(name.data - scan->text) + 1;
    return true;
}

/* An escape as our writer has it. */
static bool scan_escape(struct scan *scan)
{
    const uint8_t *at = scan->text + scan->at;
    size_t left = scan->size - scan->at;

    if (left >= 2 && strchr("\"\\ntr", at[1]) != NULL && at[1] != '\0') {
        scan->at += 2;
        return true;
    }
    if (left < 6 || memcmp(at, "\\u00", 4) != 0 || (at[4] != '0' && at[4] != '1') ||
        !isxdigit(at[5]) || isupper(at[5]))
        return false;
    unsigned code = (unsigned)hex_digit(at[4]) << 4 | hex_digit(at[5]);
    scan->at += 6;
    return code != 0 && code != '\n' && code != '\t' && code != '\r';
}

/* at stands behind the first quote, and then behind the last. */
static bool scan_text(struct scan *scan)
{
    while (scan->at < scan->size) {
        uint8_t byte = scan->text[scan->at];
        if (byte == '"') {
            scan->at++;
            return true;
        }
        size_t length = 1;
        if (byte == '\\') {
            if (!scan_escape(scan))
                return false;
            continue;
        }
        if (byte >= 0x80)
            length = utf8_length(scan->text + scan->at, scan->size - scan->at);
        if (byte < 0x20 || length == 0)
            return false;
        scan->at += length;
    }
    return false;
}

static size_t scan_digits(struct scan *scan)
{
    size_t from = scan->at;

    while (scan->at < scan->size && isdigit(scan->text[scan->at]))
        scan->at++;
    return scan->at - from;
}

static bool scan_is(const struct scan *scan, char byte)
{
    return scan->at < scan->size && scan->text[scan->at] == (uint8_t)byte;
}

/* Digits behind a point, or an exponent: there may be neither. */
static bool scan_fraction(struct scan *scan)
{
    if (scan_is(scan, '.')) {
        scan->at++;
        if (scan_digits(scan) == 0)
            return false;
    }
    if (!scan_is(scan, 'e') && !scan_is(scan, 'E'))
        return true;
    scan->at++;
    scan->at += scan_is(scan, '-') || scan_is(scan, '+');
    size_t digits = scan_digits(scan);
    return digits > 0 && digits <= EXPONENT_DIGITS_MAX;
}

static bool scan_number(struct scan *scan)
{
    size_t from = scan->at;

    scan->at += scan_is(scan, '-');
    size_t first = scan->at, digits = scan_digits(scan), whole = scan->at;
    if (digits == 0 || (digits > 1 && scan->text[first] == '0') || !scan_fraction(scan))
        return false;
    if (scan->at == whole)
        return digits <= INTEGER_DIGITS_MAX && !(first > from && scan->text[first] == '0'); /* -0 */
    return scan->at - from <= REAL_SIZE_MAX;
}

static bool scan_word(struct scan *scan, const char *word)
{
    size_t size = strlen(word);

    if (scan->size - scan->at < size || memcmp(scan->text + scan->at, word, size) != 0)
        return false;
    scan->at += size;
    return true;
}

static bool scan_value(struct scan *scan)
{
    if (scan_is(scan, '"')) {
        scan->at++;
        return scan_text(scan);
    }
    return scan_is(scan, 't')   ? scan_word(scan, "true")
           : scan_is(scan, 'f') ? scan_word(scan, "false")
                                : scan_number(scan);
}

static bool scan_member(struct scan *scan)
{
    struct slice name;

    if (!scan_is(scan, '"'))
        return false;
    scan->at++;
    if (!scan_name(scan, &name) || !names_add(scan, name) || !scan_is(scan, ':'))
        return false;
    scan->at++;
    return scan_value(scan);
}

/* Whether the members are as our writer writes what a document may hold: then there is nothing to be made anew. */
static bool members_are_plain(struct slice members)
{
    struct scan scan = { .text = members.data, .size = members.size };

    while (scan.at < scan.size) {
        if (!scan_member(&scan))
            return false;
        if (scan.at == scan.size)
            return true;
        if (!scan_is(&scan, ','))
            return false;
        if (++scan.at == scan.size)
            return false;
    }
    return true;
}

static enum status keys_of_tree(const void *text, size_t size, struct field_keys **keys, struct error *err)
{
    json_t *json;
    enum status status = json_parse(text, size, &json, err);

    if (status != STATUS_OK)
        return status;
    if (!json_is_object(json))
        status = error_set(err, STATUS_BAD_VALUE, "keys: not an object");
    else if ((*keys = field_keys_of_json(json)) == NULL)
        status = error_set(err, STATUS_TOO_LARGE, "keys: more than %d bytes", FIELD_KEYS_SIZE_MAX);
    json_decref(json);
    return status;
}

enum status field_keys_parse(const void *text, size_t size, struct field_keys **keys, struct error *err)
{
    const uint8_t *data = text;

    *keys = NULL;
    if (size > FIELD_KEYS_SIZE_MAX)
        return error_set(err, STATUS_TOO_LARGE, "keys: more than %d bytes", FIELD_KEYS_SIZE_MAX);
    if (size < 2 || data[0] != '{' || data[size - 1] != '}' ||
        !members_are_plain(slice_of(data + 1, size - 2)))
        return keys_of_tree(text, size, keys, err);
    *keys = keys_new(slice_of(data + 1, size - 2));
    return STATUS_OK;
}

/* --- trees --- */

void field_real_put(struct json_writer *json, double value)
{
    struct buf *text = json->buf;
    size_t from = text->size;

    assert(isfinite(value));
    json_double(json, value);
    if (buf_status(text) == STATUS_OK &&
        number_type(slice_of(text->data + from, text->size - from)) == FIELD_KEY_INTEGER)
        buf_text(text, ".0");
}

/* The decoder runs on hostile bytes, and "$where" or "a.b" mean something to a database. */
bool field_key_name_permitted(const char *name)
{
    struct slice slice = slice_text(name);

    if (!isalpha((unsigned char)name[0]) || slice.size > NAME_SIZE_MAX)
        return false;
    for (size_t i = 0; i < slice.size; i++)
        if (!is_name_byte(slice.data[i]))
            return false;
    return !name_is_own(slice);
}

static void put_member(struct json_writer *json, const char *name, const json_t *value)
{
    if (!field_key_name_permitted(name) ||
        !(json_is_string(value) || json_is_number(value) || json_is_boolean(value)))
        return;
    json_key(json, name);
    if (json_is_real(value))
        field_real_put(json, json_real_value(value));
    else
        json_print(json, value);
}

struct field_keys *field_keys_of_json(const json_t *object)
{
    struct field_keys *keys = NULL;
    struct json_writer json;
    struct buf text;

    buf_init(&text, FIELD_KEYS_SIZE_MAX);
    json_init(&json, &text);
    json_object_begin(&json);
    for (void *at = json_object_iter((json_t *)object); at != NULL;
         at = json_object_iter_next((json_t *)object, at))
        put_member(&json, json_object_iter_key(at), json_object_iter_value(at));
    json_object_end(&json);
    if (buf_status(&text) == STATUS_OK)
        keys = keys_new(slice_of(text.data + 1, text.size - 2));
    buf_fini(&text);
    return keys;
}

json_t *field_keys_to_json(const struct field_keys *keys)
{
    struct buf text;
    json_t *json;

    buf_init(&text, keys->size + 2);
    buf_append(&text, "{", 1);
    buf_append(&text, keys->text, keys->size);
    buf_append(&text, "}", 1);
    enum status status = buf_status(&text) == STATUS_OK ? json_parse(text.data, text.size, &json, NULL)
                                                        : buf_status(&text);
    assert(status == STATUS_OK);
    (void)status;
    buf_fini(&text);
    return json;
}

static void put_name(struct json_writer *json, const struct field_key *key)
{
    char name[NAME_SIZE_MAX + 1];

    assert(key->name.size <= NAME_SIZE_MAX);
    memcpy(name, key->name.data, key->name.size);
    name[key->name.size] = '\0';
    json_key(json, name);
}

void field_key_put(struct json_writer *json, const struct field_key *key)
{
    bool quoted = key->type == FIELD_KEY_TEXT;

    put_name(json, key);
    json_raw(json, key->value.data - quoted, key->value.size + 2 * quoted); /* with its quotes */
}

void field_key_put_none(struct json_writer *json, const struct field_key *key)
{
    put_name(json, key);
    json_none(json);
}
