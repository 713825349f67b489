/* query_axes.c: values of keys among what matches. */
#include "indexer/query_axes.h"
#include "indexer/query_keys.h"
#include "proto/base/clock.h"
#include "proto/base/list.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Those behind AXES_SHOWN are there for conditions. */
static const char *const axes_keys[] = {
    "source",    "base_time",   "class",        "stream", "type",   "expver",  "domain",  "model",
    "levtype",   "typeOfLevel", "levelist",     "level",  "number", "param",   "paramId", "step",
    "stepRange", "valid_time",  "step_seconds", "date",   "time",   "idTable",
};
enum { AXES_KEYS = ARRAY_COUNT(axes_keys), AXES_SHOWN = 18, AXES_NONE = UINT16_MAX };

/* --- the values of one key, each once --- */

struct values {
    uint32_t count, capacity, slots_count;
    struct catalog_value *items; /* owned; their texts, too */
    uint32_t *slots;             /* owned: index + 1; 0: free */
    size_t size;                 /* bytes in use */
};

static void values_fini(struct values *values)
{
    for (uint32_t i = 0; i < values->count; i++)
        if (values->items[i].kind == CATALOG_TEXT)
            free((void *)values->items[i].text.data);
    free(values->items);
    free(values->slots);
    *values = (struct values){ .count = 0 };
}

static bool value_same(const struct catalog_value *a, const struct catalog_value *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == CATALOG_NUMBER)
        return a->number == b->number;
    if (a->kind == CATALOG_TIME)
        return a->time == b->time;
    return a->text.size == b->text.size &&
           (a->text.size == 0 || memcmp(a->text.data, b->text.data, a->text.size) == 0);
}

static uint64_t value_hash(const struct catalog_value *value)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325) + value->kind;
    const uint8_t *bytes = value->text.data;
    size_t size = value->text.size;

    if (value->kind == CATALOG_NUMBER) {
        bytes = (const uint8_t *)&value->number;
        size = sizeof value->number;
    } else if (value->kind == CATALOG_TIME) {
        bytes = (const uint8_t *)&value->time;
        size = sizeof value->time;
    }
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash ^ hash >> 29;
}

static uint32_t values_slot(const struct values *values, const struct catalog_value *value)
{
    uint32_t at = (uint32_t)value_hash(value) & (values->slots_count - 1);

    while (values->slots[at] != 0 && !value_same(&values->items[values->slots[at] - 1], value))
        at = (at + 1) & (values->slots_count - 1);
    return at;
}

static bool values_grow(struct values *values)
{
    uint32_t capacity = values->capacity > 0 ? 2 * values->capacity : 16;
    struct catalog_value *items = realloc(values->items, capacity * sizeof *items);
    uint32_t *slots = calloc((size_t)capacity * 2, sizeof *slots);

    if (items != NULL)
        values->items = items;
    if (items == NULL || slots == NULL) {
        free(slots);
        return false;
    }
    free(values->slots);
    values->slots = slots;
    values->capacity = capacity;
    values->slots_count = 2 * capacity;
    for (uint32_t i = 0; i < values->count; i++)
        values->slots[values_slot(values, &values->items[i])] = i + 1;
    return true;
}

/* The number of a value; TOO_LARGE: one too many. */
static enum status values_add(struct values *values, const struct catalog_value *value, uint16_t *number)
{
    struct catalog_value own = *value;

    if (values->slots_count > 0) {
        uint32_t found = values->slots[values_slot(values, value)];
        if (found != 0) {
            *number = (uint16_t)(found - 1);
            return STATUS_OK;
        }
    }
    if (values->count == AXES_VALUES_MAX)
        return STATUS_TOO_LARGE;
    if (values->count == values->capacity && !values_grow(values))
        return STATUS_NO_MEMORY;
    if (own.kind == CATALOG_TEXT) {
        own.text.data = malloc(own.text.size + 1);
        if (own.text.data == NULL)
            return STATUS_NO_MEMORY;
        if (own.text.size > 0)
            memcpy((void *)own.text.data, value->text.data, own.text.size);
        ((char *)own.text.data)[own.text.size] = '\0';
    }
    values->size += sizeof own + 8 + own.text.size;
    values->items[values->count] = own;
    *number = (uint16_t)values->count++;
    values->slots[values_slot(values, &own)] = values->count;
    return STATUS_OK;
}

/* --- what an answer is made of --- */

struct axes {
    uint64_t count, looked_at;
    struct values values[AXES_KEYS];
};

void axes_free(struct axes *axes)
{
    if (axes == NULL)
        return;
    for (unsigned i = 0; i < AXES_KEYS; i++)
        values_fini(&axes->values[i]);
    free(axes);
}

uint64_t axes_count(const struct axes *axes)
{
    return axes->count;
}

static enum status axes_over(enum status status, struct error *err)
{
    if (status == STATUS_TOO_LARGE)
        return error_set(
            err, STATUS_BAD_VALUE,
            "axes: more than %d fields, or %d values of one key: ask for less, one source and base_time",
            AXES_ROWS_MAX, AXES_VALUES_MAX);
    return status == STATUS_OK ? STATUS_OK : error_set(err, status, "axes");
}

/* --- the table of a run --- */

struct table {
    struct list list; /* newest use first */
    struct run_key run;
    unsigned users;
    bool listed;
    uint64_t made_ms;
    size_t count, capacity, size;
    uint16_t *cells; /* owned: AXES_KEYS a row */
    struct values values[AXES_KEYS];
    enum status status; /* while it is made */
};

struct axes_cache {
    pthread_mutex_t mutex;
    struct list tables;
    size_t size;
};

struct axes_cache *axes_cache_new(void)
{
    struct axes_cache *cache = calloc(1, sizeof *cache);

    if (cache == NULL)
        return NULL;
    pthread_mutex_init(&cache->mutex, NULL);
    list_init(&cache->tables);
    return cache;
}

static void table_free(struct table *table)
{
    for (unsigned i = 0; i < AXES_KEYS; i++)
        values_fini(&table->values[i]);
    free(table->cells);
    free(table);
}

/* Under the mutex. */
static void cache_drop(struct axes_cache *cache, struct table *table)
{
    list_remove(&table->list);
    table->listed = false;
    cache->size -= table->size;
    if (table->users == 0)
        table_free(table);
}

void axes_cache_free(struct axes_cache *cache)
{
    if (cache == NULL)
        return;
    while (!list_empty(&cache->tables))
        cache_drop(cache, list_first(&cache->tables, struct table, list));
    pthread_mutex_destroy(&cache->mutex);
    free(cache);
}

static bool table_on_row(void *data, const struct catalog_row *row)
{
    struct table *table = data;

    if (table->count == table->capacity) {
        size_t capacity = table->capacity > 0 ? 2 * table->capacity : 4096;
        uint16_t *grown = realloc(table->cells, capacity * AXES_KEYS * sizeof *grown);
        if (grown == NULL) {
            table->status = STATUS_NO_MEMORY;
            return false;
        }
        table->cells = grown;
        table->capacity = capacity;
    }
    uint16_t *cells = &table->cells[table->count++ * AXES_KEYS];
    for (unsigned i = 0; i < AXES_KEYS && table->status == STATUS_OK; i++) {
        cells[i] = AXES_NONE;
        if (row->values[i].kind != CATALOG_NONE)
            table->status = values_add(&table->values[i], &row->values[i], &cells[i]);
    }
    if (table->count > AXES_ROWS_MAX)
        table->status = STATUS_TOO_LARGE;
    return table->status == STATUS_OK;
}

/* The query for a whole run; the values are the caller's storage. */
static void run_query(const struct run_key *run, struct query_value values[2], struct catalog_query *query)
{
    *query = (struct catalog_query){ .terms_count = 2 };
    values[0].text = (char *)run->source;
    values[1].time = run->base_time;
    query->terms[0] = (struct query_term){
        .key = "source", .type = QUERY_TEXT, .count = 1, .values = &values[0]
    };
    query->terms[1] = (struct query_term){
        .key = "base_time", .type = QUERY_TIME, .count = 1, .values = &values[1]
    };
}

static enum status table_make(struct catalog *catalog, const struct run_key *run,
                              struct table **made, struct error *err)
{
    struct query_value values[2];
    struct catalog_query query;
    struct table *table = calloc(1, sizeof *table);
    struct catalog_rows rows = {
        .keys_count = AXES_KEYS, .keys = axes_keys, .each = table_on_row, .data = table
    };

    *made = NULL;
    if (table == NULL)
        return error_set(err, STATUS_NO_MEMORY, "axes");
    run_query(run, values, &query);
    table->run = *run;
    table->made_ms = clock_monotonic_ms();
    enum status status = catalog_find_rows(catalog, &query, &rows, err);
    if (status == STATUS_OK)
        status = axes_over(table->status, err);
    if (status != STATUS_OK) {
        table_free(table);
        return status;
    }
    table->size = sizeof *table + table->capacity * AXES_KEYS * sizeof *table->cells;
    for (unsigned i = 0; i < AXES_KEYS; i++)
        table->size += table->values[i].size;
    *made = table;
    return STATUS_OK;
}

static struct table *cache_find(struct axes_cache *cache, const struct run_key *run)
{
    struct table *found = NULL;

    pthread_mutex_lock(&cache->mutex);
    list_for_each (item, &cache->tables) {
        struct table *table = container_of(item, struct table, list);
        if (run_key_compare(&table->run, run) == 0) {
            found = table;
            found->users++;
            break;
        }
    }
    pthread_mutex_unlock(&cache->mutex);
    return found;
}

static void cache_give(struct axes_cache *cache, struct table *table, bool stale)
{
    pthread_mutex_lock(&cache->mutex);
    table->users--;
    if (stale && table->listed)
        cache_drop(cache, table);
    else if (!table->listed && table->users == 0)
        table_free(table);
    pthread_mutex_unlock(&cache->mutex);
}

static void cache_put(struct axes_cache *cache, struct table *table)
{
    pthread_mutex_lock(&cache->mutex);
    table->users = 1;
    /* Runs that are asked for and not there could be any number. */
    table->listed = table->count > 0 && table->size <= AXES_CACHE_SIZE_MAX;
    if (table->listed) {
        struct list *item = cache->tables.next;
        while (item != &cache->tables) { /* what another thread made meanwhile */
            struct table *other = container_of(item, struct table, list);
            item = item->next;
            if (run_key_compare(&other->run, &table->run) == 0)
                cache_drop(cache, other);
        }
        while (cache->size + table->size > AXES_CACHE_SIZE_MAX)
            cache_drop(cache, container_of(cache->tables.prev, struct table, list));
        list_append(cache->tables.next, &table->list);
        cache->size += table->size;
    }
    pthread_mutex_unlock(&cache->mutex);
}

static enum status table_take(struct axes_cache *cache, struct catalog *catalog,
                              const struct run_key *run, struct table **table, struct error *err)
{
    struct query_value values[2];
    struct catalog_query query;
    uint64_t count;

    *table = cache_find(cache, run);
    if (*table != NULL) {
        bool fresh = clock_monotonic_ms() - (*table)->made_ms < AXES_FRESH_MS;
        run_query(run, values, &query);
        enum status status = fresh ? catalog_count(catalog, &query, &count, err) : STATUS_OK;
        if (fresh && status == STATUS_OK && count == (*table)->count)
            return STATUS_OK;
        cache_give(cache, *table, true);
        *table = NULL;
        if (status != STATUS_OK)
            return status;
    }
    enum status status = table_make(catalog, run, table, err);
    if (status == STATUS_OK)
        cache_put(cache, *table);
    return status;
}

/* --- conditions on a table --- */

struct condition {
    unsigned key;
    bool alternative;
    bool *holds; /* owned: by the number of the value */
};
struct conditions {
    size_t count;
    struct condition items[QUERY_TERMS_MAX];
};

static int key_number(const char *key)
{
    for (unsigned i = 0; i < AXES_KEYS; i++)
        if (strcmp(axes_keys[i], key) == 0)
            return (int)i;
    return -1;
}

static bool term_takes(const struct query_term *term, const struct catalog_value *value)
{
    for (size_t i = 0; i < term->count; i++) {
        const struct query_value *asked = &term->values[i];
        if (term->type == QUERY_TEXT
                ? value->kind == CATALOG_TEXT && slice_equals(value->text, asked->text)
            : term->type == QUERY_NUMBER ? value->kind == CATALOG_NUMBER && value->number == asked->number
                                         : value->kind == CATALOG_TIME && value->time == asked->time)
            return true;
    }
    return false;
}

static void conditions_fini(struct conditions *conditions)
{
    for (size_t i = 0; i < conditions->count; i++)
        free(conditions->items[i].holds);
}

static bool conditions_make(struct conditions *conditions, const struct catalog_query *query,
                            const struct table *table)
{
    conditions->count = 0;
    for (size_t i = 0; i < query->terms_count; i++) {
        unsigned key = (unsigned)key_number(query->terms[i].key);
        const struct values *values = &table->values[key];
        struct condition *condition = &conditions->items[conditions->count];
        *condition = (struct condition){ .key = key, .alternative = i > 0 && query->terms[i].alternative };
        condition->holds = calloc(values->count + 1, sizeof(bool));
        if (condition->holds == NULL)
            return false;
        conditions->count++;
        for (uint32_t j = 0; j < values->count; j++)
            condition->holds[j] = term_takes(&query->terms[i], &values->items[j]);
    }
    return true;
}

static bool row_matches(const struct conditions *conditions, const uint16_t *cells)
{
    bool matches = true;

    for (size_t i = 0; i < conditions->count; i++) {
        const struct condition *condition = &conditions->items[i];
        uint16_t cell = cells[condition->key];
        bool this = cell != AXES_NONE && condition->holds[cell];
        if (condition->alternative)
            matches = matches || this;
        else if (!matches)
            return false;
        else
            matches = this;
    }
    return matches;
}

static enum status axes_take_seen(struct axes *axes, const struct table *table, unsigned key,
                                  const bool *seen)
{
    for (uint32_t i = 0; i < table->values[key].count; i++) {
        uint16_t number;
        enum status status = seen[i]
                                 ? values_add(&axes->values[key], &table->values[key].items[i], &number)
                                 : STATUS_OK;
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status axes_of_table(struct axes *axes, const struct catalog_query *query,
                                 const struct table *table)
{
    struct conditions conditions;
    bool *seen[AXES_SHOWN] = { NULL };
    enum status status = conditions_make(&conditions, query, table) ? STATUS_OK : STATUS_NO_MEMORY;

    for (unsigned i = 0; i < AXES_SHOWN; i++) {
        seen[i] = calloc(AXES_NONE + 1, sizeof(bool));
        if (seen[i] == NULL)
            status = STATUS_NO_MEMORY;
    }
    for (size_t i = 0; status == STATUS_OK && i < table->count; i++) {
        const uint16_t *cells = &table->cells[i * AXES_KEYS];
        if (!row_matches(&conditions, cells))
            continue;
        axes->count++;
        for (unsigned j = 0; j < AXES_SHOWN; j++)
            seen[j][cells[j]] = true;
    }
    for (unsigned i = 0; i < AXES_SHOWN; i++) {
        if (status == STATUS_OK)
            status = axes_take_seen(axes, table, i, seen[i]);
        free(seen[i]);
    }
    conditions_fini(&conditions);
    return status;
}

/* --- without a table --- */

struct direct {
    struct axes *axes;
    enum status status;
};

static bool direct_on_row(void *data, const struct catalog_row *row)
{
    struct direct *direct = data;
    uint16_t number;

    direct->axes->count++;
    for (unsigned i = 0; i < AXES_SHOWN && direct->status == STATUS_OK; i++)
        if (row->values[i].kind != CATALOG_NONE)
            direct->status = values_add(&direct->axes->values[i], &row->values[i], &number);
    if (++direct->axes->looked_at > AXES_ROWS_MAX)
        direct->status = STATUS_TOO_LARGE;
    return direct->status == STATUS_OK;
}

static enum status axes_direct(struct axes *axes, struct catalog *catalog,
                               const struct catalog_query *query, struct error *err)
{
    struct direct direct = { .axes = axes };
    struct catalog_rows rows = {
        .keys_count = AXES_SHOWN, .keys = axes_keys, .each = direct_on_row, .data = &direct
    };
    struct catalog_query whole = *query;

    whole.limit = 0;
    whole.after.size = 0;
    whole.sorts_count = 0;
    enum status status = catalog_find_rows(catalog, &whole, &rows, err);
    return status == STATUS_OK ? axes_over(direct.status, err) : status;
}

/* --- parts --- */

struct run_list {
    const struct catalog_query *query;
    size_t count;
    struct run_key *runs; /* owned */
    enum status status;
};

static bool run_is_asked(const struct catalog_query *query, const struct run_key *run)
{
    for (size_t i = 0; i < query->terms_count; i++) {
        struct catalog_value source = { .kind = CATALOG_TEXT, .text = slice_text(run->source) };
        struct catalog_value time = { .kind = CATALOG_TIME, .time = run->base_time };
        const struct query_term *term = &query->terms[i];
        if ((strcmp(term->key, "source") == 0 && !term_takes(term, &source)) ||
            (strcmp(term->key, "base_time") == 0 && !term_takes(term, &time)))
            return false;
    }
    return true;
}

static bool run_list_add(struct run_list *list, const struct run_key *run)
{
    struct run_key *grown = realloc(list->runs, (list->count + 1) * sizeof *grown);

    if (grown == NULL) {
        list->status = STATUS_NO_MEMORY;
        return false;
    }
    list->runs = grown;
    list->runs[list->count++] = *run;
    return true;
}

static bool run_list_on_run(void *data, const struct catalog_run *run)
{
    struct run_list *list = data;

    return run->info.state == RUN_PURGED || !run_is_asked(list->query, &run->run) ||
           run_list_add(list, &run->run);
}

static bool query_fits_tables(const struct catalog_query *query)
{
    if (query->all || query->as_of_us != 0)
        return false;
    for (size_t i = 0; i < query->terms_count; i++)
        if (key_number(query->terms[i].key) < 0)
            return false;
    return true;
}

static enum status axes_of_runs(struct axes *axes, struct axes_cache *cache,
                                struct catalog *catalog, const struct catalog_query *query,
                                const struct run_list *list, struct error *err)
{
    for (size_t i = 0; i < list->count; i++) {
        struct table *table;
        enum status status = table_take(cache, catalog, &list->runs[i], &table, err);
        if (status != STATUS_OK)
            return status;
        axes->looked_at += table->count;
        status = axes->looked_at > AXES_ROWS_MAX ? STATUS_TOO_LARGE : axes_of_table(axes, query, table);
        cache_give(cache, table, false);
        if (status != STATUS_OK)
            return axes_over(status, err);
    }
    return STATUS_OK;
}

static enum status axes_of_part(struct axes *axes, struct axes_cache *cache, struct catalog *catalog,
                                const struct catalog_query *query, struct error *err)
{
    struct run_list list = { .query = query };
    struct run_key run;
    enum status status = STATUS_OK;

    if (!query_fits_tables(query))
        return axes_direct(axes, catalog, query, err);
    if (catalog_query_names_run(query, &run))
        run_list_add(&list, &run);
    else
        status = catalog_run_scan(catalog, run_list_on_run, &list, err);
    if (status == STATUS_OK && list.status != STATUS_OK)
        status = error_set(err, list.status, "axes");
    if (status == STATUS_OK)
        status = axes_of_runs(axes, cache, catalog, query, &list, err);
    free(list.runs);
    return status;
}

enum status axes_take(struct axes_cache *cache, struct catalog *catalog, struct query_part *const *parts,
                      size_t count, struct axes **axes, struct error *err)
{
    enum status status = STATUS_OK;

    *axes = calloc(1, sizeof **axes);
    if (*axes == NULL)
        return error_set(err, STATUS_NO_MEMORY, "axes");
    for (size_t i = 0; status == STATUS_OK && i < count; i++)
        status = axes_of_part(*axes, cache, catalog, &parts[i]->query, err);
    if (status == STATUS_OK)
        return STATUS_OK;
    axes_free(*axes);
    *axes = NULL;
    return status;
}

/* --- printing --- */

static int value_compare(const void *left, const void *right)
{
    const struct catalog_value *a = left, *b = right;

    if (a->kind != b->kind)
        return (a->kind > b->kind) - (a->kind < b->kind);
    if (a->kind == CATALOG_NUMBER)
        return (a->number > b->number) - (a->number < b->number);
    if (a->kind == CATALOG_TIME)
        return (a->time > b->time) - (a->time < b->time);
    return strcmp((const char *)a->text.data, (const char *)b->text.data);
}

static void value_print(const struct catalog_value *value, struct json_writer *json)
{
    char text[BASE_TIME_TEXT_SIZE];

    if (value->kind == CATALOG_TEXT) {
        json_slice(json, value->text);
    } else if (value->kind == CATALOG_TIME) {
        base_time_print_rfc3339(value->time, text);
        json_text(json, text);
    } else {
        json_double(json, value->number);
    }
}

void axes_print(struct axes *axes, struct json_writer *json)
{
    json_object_begin(json);
    for (unsigned i = 0; i < AXES_SHOWN; i++) {
        struct values *values = &axes->values[i];
        if (values->count == 0)
            continue;
        /* Slots are of no use from here on. */
        qsort(values->items, values->count, sizeof *values->items, value_compare);
        json_key(json, axes_keys[i]);
        json_array_begin(json);
        for (uint32_t j = 0; j < values->count; j++)
            value_print(&values->items[j], json);
        json_array_end(json);
    }
    json_object_end(json);
}

const char *axes_nearest(const struct axes *axes, const char *key, const char *value)
{
    int number = key_number(key);
    size_t best = 4; /* so many letters off, and no more than half of them, are still near */
    const char *nearest = NULL;

    if (number < 0 || strlen(value) > QUERY_WORD_MAX)
        return NULL;
    const struct values *values = &axes->values[number];
    for (uint32_t i = 0; i < values->count; i++) {
        if (values->items[i].kind != CATALOG_TEXT || values->items[i].text.size > QUERY_WORD_MAX)
            continue;
        const char *text = (const char *)values->items[i].text.data;
        size_t far = query_word_distance(slice_text(value), text);
        if (far == 0)
            return NULL; /* it is there: something else is missing */
        if (far < best && 2 * far <= strlen(value)) {
            best = far;
            nearest = text;
        }
    }
    return nearest;
}
