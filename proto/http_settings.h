/* http_settings.h: the limits of a daemon's HTTP server as settings: the same rows for both daemons, each embeds a struct http_settings. */
#ifndef PROTO_HTTP_SETTINGS_H
#define PROTO_HTTP_SETTINGS_H

#include "proto/base/config.h"
#include "proto/http/http_server.h"

struct http_settings {
    uint64_t connections; /* of a loop */
    uint64_t head_max, line_max, fields_max, target_max;
    uint64_t body_max, chunk_line_max, trailer_max;
    uint64_t head_timeout_ms;
    uint64_t idle_timeout_ms;
    uint64_t rate_min; /* bytes a second of a body or an answer; over */
    uint64_t rate_window_ms;
    uint64_t linger_ms;
};

#define HTTP_OPTION(name, type, offset, value, unit, doc)                                          \
    {                                                                                              \
        "http", name, 0, type, offset, value, NULL, unit, doc                                      \
    }

/* Rows of a daemon's table of options. At: offset of a member of the struct http_settings in its settings. */
#define HTTP_OPTIONS(At)                                                                                     \
    HTTP_OPTION("connections", CONFIG_COUNT, At(connections), "10000", "N",                                  \
                "Connections a loop; more wait."),                                                           \
        HTTP_OPTION("head-max", CONFIG_SIZE, At(head_max), "40KiB", "SIZE",                                  \
                    "The whole head of a request; more is 431."),                                            \
        HTTP_OPTION("line-max", CONFIG_SIZE, At(line_max), "32KiB", "SIZE",                                  \
                    "One header line; more is 431."),                                                        \
        HTTP_OPTION("fields-max", CONFIG_COUNT, At(fields_max), "100", "N",                                  \
                    "Header fields of a request; more are 431."),                                            \
        HTTP_OPTION("target-max", CONFIG_SIZE, At(target_max), "8KiB", "SIZE",                               \
                    "Path and query; more is 414."),                                                         \
        HTTP_OPTION("body-max", CONFIG_SIZE, At(body_max), "64GiB", "SIZE",                                  \
                    "The largest body; more is 413."),                                                       \
        HTTP_OPTION("chunk-line-max", CONFIG_SIZE, At(chunk_line_max), "4KiB", "SIZE",                       \
                    "The line of a chunk's size with its extensions."),                                      \
        HTTP_OPTION("trailer-max", CONFIG_SIZE, At(trailer_max), "8KiB", "SIZE",                             \
                    "Trailer fields behind a chunked body; they are read and ignored."),                     \
        HTTP_OPTION("head-timeout", CONFIG_DURATION, At(head_timeout_ms), "10s", "TIME",                     \
                    "For the whole head of a request."),                                                     \
        HTTP_OPTION("idle-timeout", CONFIG_DURATION, At(idle_timeout_ms), "60s", "TIME",                     \
                    "How long a connection may wait for its next request."),                                 \
        HTTP_OPTION("rate-min", CONFIG_SIZE, At(rate_min), "1KiB", "SIZE",                                   \
                    "Bytes a second that a body has to bring, and a reader to take; who is slower is cut."), \
        HTTP_OPTION("rate-window", CONFIG_DURATION, At(rate_window_ms), "10s", "TIME",                       \
                    "Over which that is counted."),                                                          \
        HTTP_OPTION("linger", CONFIG_DURATION, At(linger_ms), "2s", "TIME",                                  \
                    "How long a connection that is given up is read on, so that its last answer arrives.")

/* BAD_VALUE: one of them is out of its bounds; which, and what they are. */
enum status http_settings_check(const struct http_settings *settings, struct error *err);

/* As a server takes them; checked before. */
struct http_limits http_settings_limits(const struct http_settings *settings);

#endif
