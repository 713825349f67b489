/* http_settings.c: the bounds of what may be set, and the settings as a server takes them. */
#include "proto/http_settings.h"

enum status http_settings_check(const struct http_settings *settings, struct error *err)
{
    const struct {
        const char *name;
        uint64_t value, least, most;
    } counts[] = {
        { "connections", settings->connections, 1, 1000000 },
        { "body-max", settings->body_max, 1, UINT64_MAX },
        { "head-max", settings->head_max, 1024, 16 << 20 },
        { "line-max", settings->line_max, 256, 16 << 20 },
        { "fields-max", settings->fields_max, 8, HTTP_FIELDS_MAX },
        { "target-max", settings->target_max, 256, 16 << 20 },
        { "chunk-line-max", settings->chunk_line_max, 32, 1 << 20 },
        { "trailer-max", settings->trailer_max, 2, 1 << 20 },
        { "rate-min", settings->rate_min, 1, 1 << 30 },
        { "rate-window", settings->rate_window_ms, 1, 3600000 },
        { "linger", settings->linger_ms, 1, 60000 },
        { "head-timeout", settings->head_timeout_ms, 1, UINT64_MAX },
        { "idle-timeout", settings->idle_timeout_ms, 1, UINT64_MAX },
    };

    for (size_t i = 0; i < ARRAY_COUNT(counts); i++)
        if (counts[i].value < counts[i].least || counts[i].value > counts[i].most)
            return error_set(err, STATUS_BAD_VALUE, "--%s: %llu is not from %llu to %llu",
                             counts[i].name, (unsigned long long)counts[i].value,
                             (unsigned long long)counts[i].least, (unsigned long long)counts[i].most);
    return STATUS_OK;
}

struct http_limits http_settings_limits(const struct http_settings *settings)
{
    return (struct http_limits){
        .head_max = settings->head_max,
        .line_max = settings->line_max,
        .target_max = settings->target_max,
        .fields_max = (unsigned)settings->fields_max,
        .body_max = settings->body_max,
        .connections_max = (unsigned)settings->connections,
        .head_timeout_ms = settings->head_timeout_ms,
        .idle_timeout_ms = settings->idle_timeout_ms,
        .rate_min = settings->rate_min,
        .rate_window_ms = settings->rate_window_ms,
        .linger_ms = settings->linger_ms,
        .chunk_line_max = settings->chunk_line_max,
        .trailers_max = settings->trailer_max,
    };
}
