/* progress.c: how far it is. */
#include "client/cli/progress.h"

#include "proto/base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    PROGRESS_BAR_WIDTH = 24,
    PROGRESS_TTY_MS = 200,
    PROGRESS_LINE_MS = 10000,
    PROGRESS_COLUMNS = 80,
    PROGRESS_LINE_COLUMNS = 1000
};

void progress_init(struct progress *progress, const struct cli *cli)
{
    *progress = (struct progress){ .cli = cli, .started_ms = clock_monotonic_ms() };
    progress->shown_ms = progress->started_ms;
}

/* "[######......] 50 %  1.0 GB of 2.0 GB"; without a known end just "1.0 GB". */
static void progress_print_bar(uint64_t bytes, uint64_t bytes_total, struct buf *buf)
{
    char done[CLI_SIZE_TEXT], all[CLI_SIZE_TEXT];

    text_of_size(bytes, done);
    if (bytes_total == 0) {
        buf_text(buf, done);
        return;
    }
    double part = bytes < bytes_total ? (double)bytes / (double)bytes_total : 1;
    unsigned full = (unsigned)(part * PROGRESS_BAR_WIDTH);
    buf_format(buf, "[%.*s%.*s] %3.0f %%  %s of %s", (int)full, "########################",
               (int)(PROGRESS_BAR_WIDTH - full), "........................", part * 100, done,
               text_of_size(bytes_total, all));
}

void progress_print(uint64_t bytes, uint64_t bytes_total, uint64_t ms, const char *text,
                    unsigned columns, struct buf *buf)
{
    uint64_t speed = ms > 0 ? (uint64_t)((double)bytes * 1000 / (double)ms) : 0;
    char rate[CLI_SIZE_TEXT], left[CLI_SIZE_TEXT];

    progress_print_bar(bytes, bytes_total, buf);
    buf_format(buf, "  %s/s", text_of_size(speed, rate));
    if (speed > 0 && bytes < bytes_total) {
        uint64_t left_ms = (uint64_t)((double)(bytes_total - bytes) * 1000 / (double)speed);

        buf_format(buf, "  %s left", text_of_ms(left_ms, left));
    }
    if (text[0] != '\0')
        buf_format(buf, "  %s", text);
    if (buf->size > columns)
        buf->size = columns;
}

static unsigned terminal_columns(void)
{
    struct winsize size;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col - 1u
                                                                            : PROGRESS_COLUMNS;
}

/* Whether it is time for another line; then it is counted as shown. */
static bool progress_due(struct progress *progress)
{
    const struct cli *cli = progress->cli;
    uint64_t now_ms = clock_monotonic_ms();

    if (!cli->settings->progress || cli->settings->quiet || cli->settings->json ||
        now_ms - progress->shown_ms < (cli->err_tty ? PROGRESS_TTY_MS : PROGRESS_LINE_MS))
        return false;
    progress->shown_ms = now_ms;
    return true;
}

static void progress_draw(struct progress *progress, struct buf *line)
{
    if (progress->cli->err_tty)
        fprintf(stderr, "\r\033[K%s", buf_string(line));
    else
        fprintf(stderr, "%s\n", buf_string(line));
    progress->drawn = progress->cli->err_tty;
    fflush(stderr);
}

void progress_show(struct progress *progress, uint64_t bytes, uint64_t bytes_total, const char *text)
{
    struct buf line;

    if (!progress_due(progress))
        return;
    buf_init(&line, 4096);
    progress_print(bytes, bytes_total, progress->shown_ms - progress->started_ms, text,
                   progress->cli->err_tty ? terminal_columns() : PROGRESS_LINE_COLUMNS, &line);
    progress_draw(progress, &line);
    buf_fini(&line);
}

void progress_say(struct progress *progress, const char *text)
{
    struct buf line;

    if (!progress_due(progress))
        return;
    buf_init(&line, 4096);
    buf_format(&line, "%.*s",
               (int)(progress->cli->err_tty ? terminal_columns() : PROGRESS_LINE_COLUMNS), text);
    progress_draw(progress, &line);
    buf_fini(&line);
}

void progress_step(void *user, const char *text)
{
    struct progress *progress = user;
    const struct cli *cli = progress->cli;
    uint64_t now_ms = clock_monotonic_ms();

    if (!cli->settings->progress || (!cli->err_tty && now_ms - progress->shown_ms < PROGRESS_LINE_MS))
        return;
    progress->shown_ms = now_ms;
    cli_say(cli, "%s", text);
}

void progress_clear(struct progress *progress)
{
    if (progress->drawn)
        fputs("\r\033[K", stderr);
    progress->drawn = false;
}

void progress_show_put(struct progress *progress, const struct gs_put_summary *summary)
{
    char text[128];

    snprintf(text, sizeof text, "%" PRIu64 " messages, %" PRIu64 " new", summary->messages,
             summary->stored);
    progress_show(progress, summary->bytes_read, summary->bytes_total, text);
}
