/* log.h: one event a line, on standard error: logfmt for people, JSON for machines.
 *
 *     struct log_line line;
 *     log_begin(&line, LOG_WARN, "peer.down");
 *     log_str(&line, "node", peer->id);
 *     log_str(&line, "error", err.text);
 *     log_end(&line);
 *  -> time=2026-11-20T10:00:00.123456Z level=warn event=peer.down node=n2 error="connect: refused"
 *
 * Thread-safe: a line is one write(2). Whatever a value holds, it stays one line of UTF-8:
 * control characters are escaped, other bytes become U+FFFD. Where standard error is the
 * journal's (JOURNAL_STREAM) the time is left out. Never put a token into a field. */
#ifndef PROTO_BASE_LOG_H
#define PROTO_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_form { LOG_LOGFMT, LOG_JSON };

void log_setup(enum log_level least, enum log_form form);
bool log_wants(enum log_level level);

/* "debug", "info", "warn" or "error"; -1 otherwise. */
int log_level_parse(const char *text, enum log_level *level);

/* A line under way: fields are added, then log_end() writes it. Lives on the stack; cut at its
 * size (a value ends in "...", fields after it may be missing). Not more than PIPE_BUF, so that
 * lines of several processes don't mix. */
enum { LOG_LINE_SIZE = 4096 };
struct log_line {
    bool wanted;
    unsigned used;
    char text[LOG_LINE_SIZE];
};

void log_begin(struct log_line *line, enum log_level level, const char *event);
void log_str(struct log_line *line, const char *key, const char *value);
void log_u64(struct log_line *line, const char *key, uint64_t value);
void log_fmt(struct log_line *line, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void log_end(struct log_line *line);

/* The short form for an event with one text: event=EVENT msg="...". */
void log_msg(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
