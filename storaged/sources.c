/* sources.c: reads sections and keys line by line, sorts the sections, finds a source's. */
#include "storaged/sources.h"

#include "proto/base/buf.h"
#include "proto/base/config.h"
#include "proto/base/config_value.h"
#include "proto/run.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define SOURCES_OTHERS "*"

enum { SOURCES_LINE_MAX = 1024 };

struct section {
    char name[SOURCE_SIZE_MAX + 1]; /* "*" for those without one */
    struct source_rules rules;
    unsigned line;
    unsigned seen; /* bits: keys given */
};

struct sources_table {
    struct section *sections; /* owned; sorted once read */
    unsigned count, capacity;
    bool refuses_unknown;
};

struct sources {
    char *path; /* owned */
    pthread_mutex_t mutex;
    struct sources_table *table; /* owned; under the mutex */
};

/* --- keys --- */

static enum status read_size(const char *value, uint64_t *size, struct error *err)
{
    if (config_parse_size(value, size) != 0 || *size == 0)
        return error_set(err, STATUS_BAD_VALUE, "a size, such as 64KiB, 16MiB, 300GiB");
    return STATUS_OK;
}

static enum status read_duration(const char *value, uint64_t *seconds, struct error *err)
{
    uint64_t ms;

    if (config_parse_duration(value, &ms) != 0)
        return error_set(err, STATUS_BAD_VALUE, "a duration, such as 30min, 12h, 400d");
    *seconds = ms / 1000;
    return STATUS_OK;
}

static enum status key_run_bytes(struct sources_table *table, struct source_rules *rules,
                                 const char *value, struct error *err)
{
    (void)table;
    return read_size(value, &rules->run_bytes, err);
}

static enum status key_run_messages(struct sources_table *table, struct source_rules *rules,
                                    const char *value, struct error *err)
{
    (void)table;
    if (decimal_parse(value, strlen(value), UINT64_MAX, &rules->run_messages) != 0 ||
        rules->run_messages == 0)
        return error_set(err, STATUS_BAD_VALUE, "a number, at least 1");
    return STATUS_OK;
}

static enum status key_oldest(struct sources_table *table, struct source_rules *rules,
                              const char *value, struct error *err)
{
    (void)table;
    rules->has_oldest = true;
    return read_duration(value, &rules->oldest_s, err);
}

static enum status key_newest(struct sources_table *table, struct source_rules *rules,
                              const char *value, struct error *err)
{
    (void)table;
    rules->has_newest = true;
    return read_duration(value, &rules->newest_s, err);
}

static enum status key_unknown(struct sources_table *table, struct source_rules *rules,
                               const char *value, struct error *err)
{
    bool taken;

    (void)rules;
    if (strcmp(table->sections[table->count - 1].name, SOURCES_OTHERS) != 0)
        return error_set(err, STATUS_BAD_VALUE, "only in [*]");
    if (config_parse_bool(value, &taken) != 0)
        return error_set(err, STATUS_BAD_VALUE, "yes or no");
    table->refuses_unknown = !taken;
    return STATUS_OK;
}

static const struct {
    const char *name;
    enum status (*read)(struct sources_table *table, struct source_rules *rules, const char *value,
                        struct error *err);
} keys[] = {
    { "run-bytes", key_run_bytes }, { "run-messages", key_run_messages }, { "oldest", key_oldest },
    { "newest", key_newest },       { "unknown", key_unknown },
};

static enum status unknown_key(const char *key, struct error *err)
{
    const char *names[ARRAY_COUNT(keys) + 1] = { NULL };

    for (size_t i = 0; i < ARRAY_COUNT(keys); i++)
        names[i] = keys[i].name;
    const char *nearest = config_nearest(key, names);
    if (nearest != NULL)
        return error_set(err, STATUS_UNKNOWN_KEY, "'%s' is no key: did you mean '%s'?", key, nearest);
    return error_set(err, STATUS_UNKNOWN_KEY,
                     "'%s' is none of run-bytes, run-messages, oldest, newest, unknown", key);
}

/* --- lines --- */

static char *trim(char *text)
{
    size_t size;

    while (*text == ' ' || *text == '\t')
        text++;
    for (size = strlen(text); size > 0 && strchr(" \t\r", text[size - 1]) != NULL;)
        text[--size] = '\0';
    return text;
}

static enum status read_section(struct sources_table *table, char *text, unsigned line, struct error *err)
{
    size_t size = strlen(text);

    if (text[size - 1] != ']')
        return error_set(err, STATUS_BAD_VALUE, "a section ends with ']'");
    text[size - 1] = '\0';
    char *name = trim(text + 1);
    if (strcmp(name, SOURCES_OTHERS) != 0 && !source_valid(slice_text(name)))
        return error_set(err, STATUS_BAD_VALUE,
                         "a section is a source's name, or [*] for those without one");
    if (table->count == SOURCES_MAX)
        return error_set(err, STATUS_BAD_VALUE, "more than %d sections", SOURCES_MAX);
    if (table->count == table->capacity) {
        unsigned capacity = table->capacity == 0 ? 16 : 2 * table->capacity;
        struct section *sections = realloc(table->sections, capacity * sizeof *sections);
        if (sections == NULL)
            return error_set(err, STATUS_NO_MEMORY, "%u sections", capacity);
        table->sections = sections;
        table->capacity = capacity;
    }
    struct section *section = &table->sections[table->count++];
    *section = (struct section){ .line = line };
    snprintf(section->name, sizeof section->name, "%s", name);
    return STATUS_OK;
}

static enum status read_pair(struct sources_table *table, char *text, struct error *err)
{
    char *equals = strchr(text, '=');

    if (equals == NULL)
        return error_set(err, STATUS_BAD_VALUE, "neither [SOURCE] nor key = value");
    if (table->count == 0)
        return error_set(err, STATUS_BAD_VALUE, "a key before the first [SOURCE]");
    *equals = '\0';
    const char *key = trim(text), *value = trim(equals + 1);
    struct section *section = &table->sections[table->count - 1];
    for (unsigned i = 0; i < ARRAY_COUNT(keys); i++) {
        if (strcmp(key, keys[i].name) != 0)
            continue;
        if ((section->seen & 1u << i) != 0)
            return error_set(err, STATUS_BAD_VALUE, "%s is given twice", key);
        section->seen |= 1u << i;
        enum status status = keys[i].read(table, &section->rules, value, err);
        return status == STATUS_OK ? status : error_wrap(err, "%s", key);
    }
    return unknown_key(key, err);
}

static enum status read_line(struct sources_table *table, struct slice line, unsigned number,
                             struct error *err)
{
    char text[SOURCES_LINE_MAX + 1];

    if (line.size > SOURCES_LINE_MAX || memchr(line.data, '\0', line.size) != NULL)
        return error_set(err, STATUS_BAD_VALUE, "longer than %d bytes, or no text", SOURCES_LINE_MAX);
    memcpy(text, line.data, line.size);
    text[line.size] = '\0';
    char *comment = strstr(text, " ;");
    if (comment != NULL)
        *comment = '\0';
    char *words = trim(text);
    if (words[0] == '\0' || words[0] == '#' || words[0] == ';')
        return STATUS_OK;
    return words[0] == '[' ? read_section(table, words, number, err) : read_pair(table, words, err);
}

/* --- the table --- */

static int compare_sections(const void *a, const void *b)
{
    const struct section *left = a, *right = b;
    int order = strcmp(left->name, right->name);

    return order != 0 ? order : (int)left->line - (int)right->line;
}

static enum status table_sort(struct sources_table *table, struct error *err)
{
    if (table->count > 0)
        qsort(table->sections, table->count, sizeof *table->sections, compare_sections);
    for (unsigned i = 1; i < table->count; i++)
        if (strcmp(table->sections[i - 1].name, table->sections[i].name) == 0)
            return error_set(err, STATUS_BAD_VALUE, "line %u: [%s] stands on line %u already",
                             table->sections[i].line, table->sections[i].name,
                             table->sections[i - 1].line);
    return STATUS_OK;
}

enum status sources_parse(struct slice text, struct sources_table **result, struct error *err)
{
    struct sources_table *table = calloc(1, sizeof *table);
    enum status status = STATUS_OK;
    unsigned number = 0;

    *result = NULL;
    if (table == NULL)
        return error_set(err, STATUS_NO_MEMORY, "sources");
    while (status == STATUS_OK && text.size > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.size);
        size_t size = end != NULL ? (size_t)(end - text.data) : text.size;
        size_t used = size + (end != NULL);

        status = read_line(table, slice_of(text.data, size), ++number, err);
        text = slice_of(text.data + used, text.size - used);
    }
    if (status != STATUS_OK)
        error_wrap(err, "line %u", number);
    else
        status = table_sort(table, err);
    if (status != STATUS_OK) {
        sources_table_free(table);
        return status;
    }
    *result = table;
    return STATUS_OK;
}

void sources_table_free(struct sources_table *table)
{
    if (table == NULL)
        return;
    free(table->sections);
    free(table);
}

static const struct section *table_find(const struct sources_table *table, const char *name)
{
    struct section wanted = { .line = 0 };
    unsigned low = 0, high = table->count;

    snprintf(wanted.name, sizeof wanted.name, "%s", name);
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        int order = strcmp(wanted.name, table->sections[middle].name);

        if (order == 0)
            return &table->sections[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

enum status sources_table_get(const struct sources_table *table, const char *source,
                              struct source_rules *rules, struct error *err)
{
    const struct section *section = table_find(table, source);

    *rules = (struct source_rules){ 0 };
    if (section == NULL && table->refuses_unknown)
        return error_set(err, STATUS_FORBIDDEN, "source %s is not among those that are taken here",
                         source);
    if (section == NULL)
        section = table_find(table, SOURCES_OTHERS);
    if (section != NULL)
        *rules = section->rules;
    return STATUS_OK;
}

/* --- the file --- */

static enum status file_read(const char *path, struct sources_table **table, struct error *err)
{
    FILE *file = fopen(path, "re");
    struct buf text;
    char piece[4096];
    size_t size;

    *table = NULL;
    if (file == NULL)
        return error_set(err, STATUS_NOT_FOUND, "sources: %s can't be read", path);
    buf_init(&text, SOURCES_FILE_MAX);
    while ((size = fread(piece, 1, sizeof piece, file)) > 0)
        buf_append(&text, piece, size);
    enum status status = ferror(file) ? STATUS_IO : buf_status(&text);
    fclose(file);
    if (status != STATUS_OK)
        error_set(err, status, "sources: %s can't be read whole", path);
    else if ((status = sources_parse(slice_of(text.data, text.size), table, err)) != STATUS_OK)
        error_wrap(err, "sources: %s", path);
    buf_fini(&text);
    return status;
}

enum status sources_open(const char *path, struct sources **sources, struct error *err)
{
    struct sources *made = calloc(1, sizeof *made);
    enum status status = STATUS_NO_MEMORY;

    *sources = NULL;
    if (made != NULL && (made->path = strdup(path)) != NULL)
        status = file_read(path, &made->table, err);
    else
        error_set(err, status, "sources");
    if (status != STATUS_OK) {
        if (made != NULL)
            free(made->path);
        free(made);
        return status;
    }
    pthread_mutex_init(&made->mutex, NULL);
    *sources = made;
    return STATUS_OK;
}

enum status sources_reload(struct sources *sources, struct error *err)
{
    struct sources_table *table;
    enum status status = file_read(sources->path, &table, err);

    if (status != STATUS_OK)
        return status;
    pthread_mutex_lock(&sources->mutex);
    struct sources_table *before = sources->table;
    sources->table = table;
    pthread_mutex_unlock(&sources->mutex);
    sources_table_free(before);
    return STATUS_OK;
}

void sources_close(struct sources *sources)
{
    if (sources == NULL)
        return;
    pthread_mutex_destroy(&sources->mutex);
    sources_table_free(sources->table);
    free(sources->path);
    free(sources);
}

enum status sources_get(struct sources *sources, const char *source, struct source_rules *rules,
                        struct error *err)
{
    *rules = (struct source_rules){ 0 };
    if (sources == NULL)
        return STATUS_OK;
    pthread_mutex_lock(&sources->mutex);
    enum status status = sources_table_get(sources->table, source, rules, err);
    pthread_mutex_unlock(&sources->mutex);
    return status;
}

static enum status date_refused(const char *window, uint64_t window_s, int64_t base_time,
                                struct error *err)
{
    char text[BASE_TIME_TEXT_SIZE];

    base_time_print(base_time, text);
    return error_set(err, STATUS_BAD_DATE,
                     "base_time %s lies outside the source's window: %s is %" PRIu64 " s", text,
                     window, window_s);
}

enum status source_rules_check_date(const struct source_rules *rules, int64_t base_time,
                                    int64_t now, struct error *err)
{
    if (rules->has_oldest && base_time < now && (uint64_t)(now - base_time) > rules->oldest_s)
        return date_refused("oldest", rules->oldest_s, base_time, err);
    if (rules->has_newest && base_time > now && (uint64_t)(base_time - now) > rules->newest_s)
        return date_refused("newest", rules->newest_s, base_time, err);
    return STATUS_OK;
}
