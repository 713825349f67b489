/* query_missing.c: the grid of a request's lists.
 *
 * A dimension is a term with its alternatives (param by name or by id); its values lie sorted, so that a field's place is found by
 * bisection. Printing goes dimension by dimension: values whose slices of the grid miss the same are printed as one list. */
#include "indexer/query_missing.h"
#include "indexer/grib_param.h"
#include "proto/base/buf.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MISSING_LINE_SIZE_MAX = 16 << 10,
    MISSING_LIST_SIZE_MAX = 1200, /* bytes of one key's list, its last value besides; what is left is another request */
};

struct dimension_value {
    const struct query_term *term; /* of which it is */
    const struct query_value *value;
    size_t place; /* in the order of the request */
};

struct dimension {
    size_t first_term, terms_count;
    size_t count;                   /* values, each once: places */
    size_t sorted_count;            /* the same and other spellings of them */
    struct dimension_value *sorted; /* owned: by term, then value */
    struct dimension_value *asked;  /* owned: in the order of the request */
    size_t stride;
};

struct missing {
    const struct catalog_query *query;
    size_t dimensions_count, keys_count;
    struct dimension dimensions[QUERY_TERMS_MAX];
    const char *keys[QUERY_TERMS_MAX];
    size_t places;
    uint8_t *ticked; /* owned: a byte a place */
};

/* --- values --- */

static int value_compare(const struct query_term *a_term, const struct query_value *a,
                         const struct query_term *b_term, const struct query_value *b)
{
    if (a_term != b_term)
        return a_term < b_term ? -1 : 1;
    if (a_term->type == QUERY_TEXT)
        return strcmp(a->text, b->text);
    if (a_term->type == QUERY_NUMBER)
        return (a->number > b->number) - (a->number < b->number);
    return (a->time > b->time) - (a->time < b->time);
}

static int sorted_compare(const void *left, const void *right)
{
    const struct dimension_value *a = left, *b = right;
    int order = value_compare(a->term, a->value, b->term, b->value);

    return order != 0 ? order : (a->place > b->place) - (a->place < b->place);
}

/* "11.2" asks for a paramId or for a table's id: one value of two terms, and one place. */
static bool term_is_alias(const struct dimension *dimension, const struct query_term *terms, size_t i)
{
    return i > 0 && i < dimension->terms_count && strcmp(terms[i].key, "idTable") == 0;
}

static size_t values_gather(struct dimension *dimension, const struct query_term *terms)
{
    size_t count = 0;

    for (size_t i = 0; i < dimension->terms_count; i++)
        for (size_t j = 0; !term_is_alias(dimension, terms, i) && j < terms[i].count; j++, count++)
            dimension->sorted[count] = (struct dimension_value){ &terms[i], &terms[i].values[j], count };
    return count;
}

/* A value that was given twice is one. Returns how many are left. */
static size_t values_once(struct dimension_value *sorted, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        const struct dimension_value *a = &sorted[i], *b = kept > 0 ? &sorted[kept - 1] : NULL;
        if (b == NULL || value_compare(a->term, a->value, b->term, b->value) != 0)
            sorted[kept++] = *a;
    }
    return kept;
}

/* Places in the order of the request, without those left out. */
static bool values_place(struct dimension *dimension, size_t given)
{
    bool *used = calloc(given + 1, sizeof *used);
    size_t *place = calloc(given + 1, sizeof *place);
    bool good = used != NULL && place != NULL;

    for (size_t i = 0; good && i < dimension->count; i++)
        used[dimension->sorted[i].place] = true;
    for (size_t i = 0, next = 0; good && i < given; i++)
        place[i] = used[i] ? next++ : 0;
    for (size_t i = 0; good && i < dimension->count; i++) {
        dimension->sorted[i].place = place[dimension->sorted[i].place];
        dimension->asked[dimension->sorted[i].place] = dimension->sorted[i];
    }
    free(used);
    free(place);
    return good;
}

/* Behind the others, with the place of the paramId that stands for the same; this spelling is what is told of it. */
static void aliases_add(struct dimension *dimension, const struct query_term *terms)
{
    size_t count = dimension->count;

    for (size_t i = 1; i < dimension->terms_count; i++) {
        for (size_t j = 0; term_is_alias(dimension, terms, i) && j < terms[i].count; j++) {
            unsigned id = 0, table = 0;
            sscanf(terms[i].values[j].text, "%u.%u", &id, &table);
            for (size_t k = 0; k < dimension->count; k++) {
                const struct dimension_value *twin = &dimension->sorted[k];
                if (twin->term != &terms[i - 1] || twin->value->number != (double)grib_param_id(id, table))
                    continue;
                struct dimension_value value = { &terms[i], &terms[i].values[j], twin->place };
                dimension->asked[value.place] = dimension->sorted[count++] = value;
                break;
            }
        }
    }
    dimension->sorted_count = count;
}

static bool dimension_make(struct missing *missing, struct dimension *dimension)
{
    const struct query_term *terms = &missing->query->terms[dimension->first_term];
    size_t count = 0;

    for (size_t i = 0; i < dimension->terms_count; i++)
        count += terms[i].count;
    dimension->sorted = calloc(count + 1, sizeof *dimension->sorted);
    dimension->asked = calloc(count + 1, sizeof *dimension->asked);
    if (dimension->sorted == NULL || dimension->asked == NULL)
        return false;
    count = values_gather(dimension, terms);
    qsort(dimension->sorted, count, sizeof *dimension->sorted, sorted_compare);
    dimension->count = values_once(dimension->sorted, count);
    if (!values_place(dimension, count))
        return false;
    aliases_add(dimension, terms);
    qsort(dimension->sorted, dimension->sorted_count, sizeof *dimension->sorted, sorted_compare);
    return true;
}

static bool missing_make(struct missing *missing)
{
    const struct catalog_query *query = missing->query;

    for (size_t i = 0; i < query->terms_count; i++) {
        missing->keys[missing->keys_count++] = query->terms[i].key;
        if (i > 0 && query->terms[i].alternative) {
            missing->dimensions[missing->dimensions_count - 1].terms_count++;
            continue;
        }
        missing->dimensions[missing->dimensions_count++] = (struct dimension){ .first_term = i,
                                                                               .terms_count = 1 };
    }
    missing->places = 1;
    for (size_t i = missing->dimensions_count; i-- > 0;) {
        struct dimension *dimension = &missing->dimensions[i];
        if (!dimension_make(missing, dimension))
            return false;
        assert(dimension->count > 0); /* a term has values */
        dimension->stride = missing->places;
        if (dimension->count > MISSING_PLACES_MAX / missing->places)
            return false;
        missing->places *= dimension->count;
    }
    missing->ticked = calloc(missing->places, 1);
    return missing->ticked != NULL;
}

struct missing *missing_new(const struct catalog_query *query)
{
    struct missing *missing = calloc(1, sizeof *missing);

    if (missing == NULL)
        return NULL;
    missing->query = query;
    if (missing_make(missing))
        return missing;
    missing_free(missing);
    return NULL;
}

void missing_free(struct missing *missing)
{
    if (missing == NULL)
        return;
    for (size_t i = 0; i < missing->dimensions_count; i++) {
        free(missing->dimensions[i].sorted);
        free(missing->dimensions[i].asked);
    }
    free(missing->ticked);
    free(missing);
}

size_t missing_keys(const struct missing *missing, const char *const **keys)
{
    *keys = missing->keys;
    return missing->keys_count;
}

/* --- ticking --- */

static int value_against(const struct catalog_value *found, const struct query_value *value)
{
    if (found->kind == CATALOG_TEXT) {
        size_t size = strlen(value->text), common = size < found->text.size ? size : found->text.size;
        int order = memcmp(found->text.data, value->text, common);
        return order != 0 ? order : (found->text.size > size) - (found->text.size < size);
    }
    if (found->kind == CATALOG_NUMBER)
        return (found->number > value->number) - (found->number < value->number);
    return (found->time > value->time) - (found->time < value->time);
}

static bool kind_fits(const struct catalog_value *found, enum query_type type)
{
    return (found->kind == CATALOG_TEXT && type == QUERY_TEXT) ||
           (found->kind == CATALOG_NUMBER && type == QUERY_NUMBER) ||
           (found->kind == CATALOG_TIME && type == QUERY_TIME);
}

/* The place of what a field has in one term; false: not asked for there. */
static bool place_find(const struct dimension *dimension, const struct query_term *term,
                       const struct catalog_value *found, size_t *place)
{
    size_t low = 0, high = dimension->sorted_count;

    if (!kind_fits(found, term->type))
        return false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct dimension_value *at = &dimension->sorted[middle];
        int order = at->term != term ? (term < at->term ? -1 : 1) : value_against(found, at->value);
        if (order == 0) {
            *place = at->place;
            return true;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

/* A field may have several places in a dimension: its name and its id were both asked for. */
static void tick_from(struct missing *missing, size_t at, size_t offset, const struct catalog_value *values)
{
    if (at == missing->dimensions_count) {
        missing->ticked[offset] = 1;
        return;
    }
    const struct dimension *dimension = &missing->dimensions[at];
    for (size_t i = dimension->first_term; i < dimension->first_term + dimension->terms_count; i++) {
        size_t place;
        if (place_find(dimension, &missing->query->terms[i], &values[i], &place))
            tick_from(missing, at + 1, offset + place * dimension->stride, values);
    }
}

void missing_tick(struct missing *missing, const struct catalog_value *values)
{
    tick_from(missing, 0, 0, values);
}

uint64_t missing_count(const struct missing *missing)
{
    uint64_t count = 0;

    for (size_t i = 0; i < missing->places; i++)
        count += !missing->ticked[i];
    return count;
}

/* --- printing --- */

struct printing {
    struct missing *missing;
    void (*each)(void *data, const char *request, bool more);
    void *data;
    unsigned lines;
    bool over;
};

static const char *name_of(const struct query_term *term)
{
    if (strcmp(term->key, "step_seconds") == 0 || strcmp(term->key, "stepRange") == 0)
        return "step";
    if (strcmp(term->key, "paramId") == 0 || strcmp(term->key, "idTable") == 0 ||
        strcmp(term->key, "idCategoryDiscipline") == 0)
        return "param";
    return term->key;
}

static void value_print(const struct dimension_value *value, struct buf *buf)
{
    char text[BASE_TIME_TEXT_SIZE];

    if (value->term->type == QUERY_TEXT) {
        buf_text(buf, value->value->text);
    } else if (value->term->type == QUERY_TIME) {
        base_time_print(value->value->time, text);
        buf_text(buf, text);
    } else if (strcmp(value->term->key, "step_seconds") != 0) {
        buf_double(buf, value->value->number);
    } else if (fmod(value->value->number, 3600) == 0) {
        buf_double(buf, value->value->number / 3600);
    } else if (fmod(value->value->number, 60) == 0) {
        buf_double(buf, value->value->number / 60);
        buf_text(buf, "m");
    } else {
        buf_double(buf, value->value->number);
        buf_text(buf, "s");
    }
}

/* How many values from here on are numbers at one distance. */
static size_t run_length(const struct dimension_value *const *values, size_t count)
{
    size_t length = 1;

    if (values[0]->term->type != QUERY_NUMBER)
        return 1;
    while (length < count && values[length]->term == values[0]->term &&
           values[length]->value->number > values[length - 1]->value->number &&
           (length < 2 || values[length]->value->number - values[length - 1]->value->number ==
                              values[1]->value->number - values[0]->value->number))
        length++;
    return length;
}

static bool step_is_whole(const struct dimension_value *value)
{
    return strcmp(value->term->key, "step_seconds") != 0 || fmod(value->value->number, 3600) == 0;
}

/* As many as one request may have; returns how many. */
static size_t list_print(const struct dimension_value *const *values, size_t count, struct buf *buf)
{
    size_t was = buf->size, i = 0;

    while (i < count && buf->size - was < MISSING_LIST_SIZE_MAX && buf_status(buf) == STATUS_OK) {
        size_t length = run_length(values + i, count - i);

        if (i > 0)
            buf_text(buf, "/");
        value_print(values[i], buf);
        if (length < 4 || !step_is_whole(values[i]) || !step_is_whole(values[i + 1])) {
            i++;
            continue;
        }
        double by = values[i + 1]->value->number - values[i]->value->number;
        bool step = strcmp(values[i]->term->key, "step_seconds") == 0;
        buf_text(buf, "/to/");
        value_print(values[i + length - 1], buf);
        buf_text(buf, "/by/");
        buf_double(buf, step ? by / 3600 : by);
        i += length;
    }
    return i;
}

static bool slice_is_full(const struct missing *missing, size_t offset, size_t size)
{
    return memchr(missing->ticked + offset, 0, size) == NULL;
}

static void print_from(struct printing *printing, size_t at, size_t offset, struct buf *line);

/* Values i and all behind it that miss the same as i does: one list, or several where it would be too long. */
static void print_alike(struct printing *printing, size_t at, size_t offset, size_t i, bool *done,
                        struct buf *line)
{
    struct missing *missing = printing->missing;
    const struct dimension *dimension = &missing->dimensions[at];
    const uint8_t *slice = missing->ticked + offset + i * dimension->stride;
    const struct dimension_value **values = calloc(dimension->count,
                                                   sizeof(const struct dimension_value *));
    size_t count = 0, was = line->size;

    if (values == NULL)
        return;
    for (size_t j = i; j < dimension->count; j++) {
        if (done[j] ||
            memcmp(missing->ticked + offset + j * dimension->stride, slice, dimension->stride) != 0)
            continue;
        done[j] = true;
        values[count++] = &dimension->asked[j];
    }
    for (size_t done_count = 0; done_count < count && !printing->over;) {
        buf_format(line, "%s%s=", was > 0 ? "," : "", name_of(values[done_count]->term));
        done_count += list_print(values + done_count, count - done_count, line);
        print_from(printing, at + 1, offset + i * dimension->stride, line);
        if (buf_status(line) == STATUS_OK)
            line->size = was;
    }
    free(values);
}

static void print_line(struct printing *printing, struct buf *line)
{
    if (printing->lines == MISSING_LINES_MAX || buf_status(line) != STATUS_OK) {
        printing->over = true;
        return;
    }
    printing->lines++;
    printing->each(printing->data, buf_string(line), false);
}

static void print_from(struct printing *printing, size_t at, size_t offset, struct buf *line)
{
    const struct missing *missing = printing->missing;
    bool *done;

    if (at == missing->dimensions_count) {
        print_line(printing, line);
        return;
    }
    const struct dimension *dimension = &missing->dimensions[at];
    done = calloc(dimension->count, sizeof *done);
    for (size_t i = 0; done != NULL && i < dimension->count && !printing->over; i++)
        if (!done[i] && !slice_is_full(missing, offset + i * dimension->stride, dimension->stride))
            print_alike(printing, at, offset, i, done, line);
    free(done);
}

void missing_print(struct missing *missing,
                   void (*each)(void *data, const char *request, bool more), void *data)
{
    struct printing printing = { .missing = missing, .each = each, .data = data };
    struct buf line;

    if (missing_count(missing) == 0 || missing->dimensions_count == 0)
        return;
    buf_init(&line, MISSING_LINE_SIZE_MAX);
    print_from(&printing, 0, 0, &line);
    buf_fini(&line);
    if (printing.over)
        each(data, "...", true);
}

/* --- names --- */

static bool value_is_absent(const struct missing *missing, const struct dimension *dimension, size_t place)
{
    size_t block = dimension->stride * dimension->count;

    for (size_t at = place * dimension->stride; at < missing->places; at += block)
        if (memchr(missing->ticked + at, 1, dimension->stride) != NULL)
            return false;
    return true;
}

void missing_names(struct missing *missing,
                   void (*each)(void *data, const char *key, const char *value), void *data)
{
    for (size_t i = 0; i < missing->dimensions_count; i++) {
        const struct dimension *dimension = &missing->dimensions[i];
        for (size_t j = 0; j < dimension->count; j++) {
            const struct dimension_value *value = &dimension->asked[j];
            if (value->term->type == QUERY_TEXT && strcmp(value->term->key, "idTable") != 0 &&
                value_is_absent(missing, dimension, j))
                each(data, value->term->key, value->value->text);
        }
    }
}
