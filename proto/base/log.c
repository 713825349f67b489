/* log.c: a line of text put together on the stack and written at once.
 *
 * Whatever a value holds, the line stays one line: control characters are escaped, C1 ones too,
 * and bytes that are not UTF-8 become U+FFFD. log_end() always finds LOG_TAIL bytes left, and a
 * value its closing quote: log_value() keeps them. */
#include "proto/base/log.h"

#include "proto/base/bytes.h"
#include "proto/base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LOG_TAIL = 2,    /* "}\n" */
    LOG_FIELD = 16,  /* less room than this takes no further field */
    LOG_ESCAPED = 6, /* the longest form of one character: \u0000 */
};

static const char *const log_names[] = { "debug", "info", "warn", "error" };

static _Atomic int log_least = LOG_INFO;
static _Atomic int log_form = LOG_LOGFMT;
static _Atomic bool log_without_time;
static pthread_once_t log_once = PTHREAD_ONCE_INIT;

/* The journal stamps lines itself. JOURNAL_STREAM names the device and inode of its socket; an
 * inherited value says nothing about a standard error that has gone elsewhere since. */
static void log_find_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    uintmax_t device, inode;
    struct stat stat;

    log_without_time = stream != NULL && sscanf(stream, "%ju:%ju", &device, &inode) == 2 &&
                       fstat(STDERR_FILENO, &stat) == 0 && stat.st_dev == device &&
                       stat.st_ino == inode;
}

void log_setup(enum log_level least, enum log_form form)
{
    log_least = (int)least;
    log_form = (int)form;
    pthread_once(&log_once, log_find_journal);
    log_find_journal(); /* standard error may have been redirected since the first line */
}

bool log_wants(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&log_least, memory_order_relaxed);
}

int log_level_parse(const char *text, enum log_level *level)
{
    for (unsigned i = 0; i < ARRAY_COUNT(log_names); i++) {
        if (strcmp(text, log_names[i]) == 0) {
            *level = (enum log_level)i;
            return 0;
        }
    }
    return -1;
}

static size_t log_room(const struct log_line *line)
{
    return LOG_LINE_SIZE - LOG_TAIL - line->used;
}

/* The caller has looked that it fits. */
static void log_put(struct log_line *line, const char *text, size_t size)
{
    memcpy(line->text + line->used, text, size);
    line->used += (unsigned)size;
}

/* One character of a value in the form it has in the line; returns how many bytes of it were
 * taken. */
static size_t log_escape(const uint8_t *at, size_t left, char out[LOG_ESCAPED + 1], size_t *out_size)
{
    size_t length = utf8_length(at, left);
    unsigned code = at[0];

    if (length == 2 && at[0] == 0xc2 && at[1] < 0xa0)
        code = at[1]; /* U+0080 to U+009F: controls to a terminal */
    if (length == 0) {
        memcpy(out, "\xef\xbf\xbd", *out_size = 3);
        return 1;
    }
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) {
        const char *letter = code == '\n'   ? "\\n"
                             : code == '\r' ? "\\r"
                             : code == '\t' ? "\\t"
                                            : NULL;

        *out_size = letter != NULL ? 2 : 6;
        if (letter != NULL)
            memcpy(out, letter, 2);
        else
            snprintf(out, LOG_ESCAPED + 1, "\\u%04x", code & 0xffff);
        return length;
    }
    if (code == '"' || code == '\\') {
        out[0] = '\\';
        out[1] = (char)code;
        *out_size = 2;
        return 1;
    }
    memcpy(out, at, *out_size = length);
    return length;
}

/* How many bytes at the start stand in a line as they are: nearly all. */
static size_t log_plain(const uint8_t *at, size_t left)
{
    size_t size = 0;

    while (size < left && at[size] >= ' ' && at[size] < 0x7f && at[size] != '"' && at[size] != '\\')
        size++;
    return size;
}

/* Logfmt leaves plain words bare. */
static bool log_is_bare(const char *value)
{
    const uint8_t *at = (const uint8_t *)value;
    size_t left = strlen(value);

    if (left == 0 || strpbrk(value, " =") != NULL)
        return false;
    if (log_plain(at, left) == left)
        return true;
    for (char out[LOG_ESCAPED + 1]; left > 0;) {
        size_t out_size;
        size_t taken = log_escape(at, left, out, &out_size);

        if (out_size != taken || memcmp(out, at, taken) != 0)
            return false;
        at += taken;
        left -= taken;
    }
    return true;
}

/* A value, quoted or bare; cut with "..." where the line ends. */
static void log_value(struct log_line *line, const char *value, bool quoted)
{
    enum { CLOSING = 4 }; /* the dots and the quote */
    const uint8_t *at = (const uint8_t *)value;
    size_t left = strlen(value);

    if (quoted)
        log_put(line, "\"", 1);
    while (left > 0) {
        char out[LOG_ESCAPED + 1];
        size_t out_size;
        size_t room = log_room(line) - CLOSING;
        size_t taken = log_plain(at, left < room ? left : room);

        if (taken > 0) {
            log_put(line, (const char *)at, taken);
            at += taken;
            left -= taken;
            continue;
        }
        taken = log_escape(at, left, out, &out_size);
        if (out_size > room) {
            log_put(line, "...", 3);
            break;
        }
        log_put(line, out, out_size);
        at += taken;
        left -= taken;
    }
    if (quoted)
        log_put(line, "\"", 1);
}

/* The key and what stands around it; false when the line has no room for the field. */
static bool log_key(struct log_line *line, const char *key)
{
    bool json = log_form == LOG_JSON;
    size_t size = strlen(key);

    if (!line->wanted || log_room(line) < size + LOG_FIELD)
        return false;
    if (line->used > (json ? 1u : 0u))
        log_put(line, json ? "," : " ", 1);
    if (json)
        log_put(line, "\"", 1);
    for (size_t i = 0; i < size; i++) { /* keys are ours; still, none may break the line */
        char c = key[i];
        bool word = c > ' ' && c < 0x7f && c != '=' && c != '"' && c != '\\';

        log_put(line, word ? &c : "_", 1);
    }
    log_put(line, json ? "\":" : "=", json ? 2 : 1);
    return true;
}

/* The time has six decimals whatever they are, so that columns line up. */
static void log_time(struct log_line *line)
{
    uint64_t now = clock_wall_us();
    char whole[CLOCK_TEXT_SIZE];
    char text[CLOCK_TEXT_SIZE + 8];

    clock_print_rfc3339((int64_t)(now - now % 1000000), whole);
    whole[strlen(whole) - 1] = '\0'; /* the Z */
    snprintf(text, sizeof text, "%s.%06uZ", whole, (unsigned)(now % 1000000));
    log_str(line, "time", text);
}

void log_begin(struct log_line *line, enum log_level level, const char *event)
{
    line->used = 0;
    line->wanted = log_wants(level);
    if (!line->wanted)
        return;
    pthread_once(&log_once, log_find_journal);
    if (log_form == LOG_JSON)
        log_put(line, "{", 1);
    if (!log_without_time)
        log_time(line);
    log_str(line, "level", log_names[level]);
    log_str(line, "event", event);
}

void log_str(struct log_line *line, const char *key, const char *value)
{
    if (!log_key(line, key))
        return;
    if (value == NULL)
        log_put(line, "null", 4);
    else
        log_value(line, value, log_form == LOG_JSON || !log_is_bare(value));
}

void log_u64(struct log_line *line, const char *key, uint64_t value)
{
    char text[24];

    if (log_room(line) < strlen(key) + LOG_FIELD + sizeof text || !log_key(line, key))
        return;
    int size = snprintf(text, sizeof text, "%" PRIu64, value);
    log_put(line, text, (size_t)size);
}

static void log_vfmt(struct log_line *line, const char *key, const char *format, va_list list)
    __attribute__((format(printf, 3, 0)));

static void log_vfmt(struct log_line *line, const char *key, const char *format, va_list list)
{
    char text[LOG_LINE_SIZE]; /* what does not fit here would not fit the line */

    if (!line->wanted)
        return;
    if (vsnprintf(text, sizeof text, format, list) < 0)
        text[0] = '\0';
    log_str(line, key, text);
}

void log_fmt(struct log_line *line, const char *key, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    log_vfmt(line, key, format, list);
    va_end(list);
}

void log_end(struct log_line *line)
{
    int error_number = errno;
    ssize_t written;

    if (!line->wanted)
        return;
    if (log_form == LOG_JSON)
        line->text[line->used++] = '}';
    line->text[line->used++] = '\n';
    do
        written = write(STDERR_FILENO, line->text, line->used);
    while (written < 0 && errno == EINTR);
    line->wanted = false; /* a log that can't be written has no one to tell */
    errno = error_number;
}

void log_msg(enum log_level level, const char *event, const char *format, ...)
{
    struct log_line line;
    va_list list;

    log_begin(&line, level, event);
    va_start(list, format);
    log_vfmt(&line, "msg", format, list);
    va_end(list);
    log_end(&line);
}
