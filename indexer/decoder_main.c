/* gribstore-decoder: the indexer's child that runs ecCodes. Frames in, answers out, in order (FORMATS.md section 10).
 *
 * It may crash or hang on a head: whoever started it sees which one had no answer. Each answer leaves before the next head is
 * read. It ends when its input does. */
#include "indexer/decode.h"
#include "indexer/decoder_pipe.h"
#include "indexer/decoder_sandbox.h"
#include "proto/base/config.h"
#include "proto/base/json_write.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct settings {
    uint64_t memory_max;
    uint64_t cpu_ms;
};

#define AT(member) offsetof(struct settings, member)
static const struct config_option options[] = {
    { NULL, "memory", 0, CONFIG_SIZE, AT(memory_max), "1GiB", NULL, "SIZE", "Limit of its address space." },
    { NULL, "cpu", 0, CONFIG_DURATION, AT(cpu_ms), "15s", NULL, "TIME",
      "How much CPU time one head may take." },
    { .name = NULL },
};

static const struct config_program program = {
    .name = "gribstore-decoder",
    .synopsis = "gribstore-decoder [options] <FRAMES >ANSWERS",
    .about = "Decodes heads of GRIB fields for the indexer, which starts it. Frames come on standard input and are answered on\n"
             "standard output. It can neither write files nor use the network.",
    .options = options,
};

/* ---- the pipe ---- */

/* False at the end of the input; *whole says whether it came between two frames. */
static bool read_all(uint8_t *data, size_t size, bool *whole)
{
    size_t have = 0;

    while (have < size) {
        ssize_t got = read(STDIN_FILENO, data + have, size - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            *whole = got == 0 && have == 0;
            return false;
        }
        have += (size_t)got;
    }
    return true;
}

static bool write_all(const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t put = write(STDOUT_FILENO, data, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        data += put;
        size -= (size_t)put;
    }
    return true;
}

/* ---- one frame ---- */

static void answer_release(struct buf *answer)
{
    struct json_writer json;

    json_init(&json, answer);
    json_object_begin(&json);
    json_put_string(&json, "eccodes", decode_release());
    json_object_end(&json);
}

/* Behind the place for the answer's head. Returns its status. */
static uint32_t answer_frame(const struct decoder_frame *frame, struct buf *answer)
{
    struct error err;

    error_init(&err);
    if (frame->word == DECODER_ASK_RELEASE) {
        answer_release(answer);
        return DECODER_DECODED;
    }
    if (decode_head(frame->body, frame->size, answer, &err) == STATUS_OK)
        return DECODER_DECODED;
    buf_clear(answer);
    buf_reserve(answer, DECODER_FRAME_HEAD_SIZE);
    answer->size = DECODER_FRAME_HEAD_SIZE;
    buf_text(answer, err.text);
    return DECODER_REFUSED;
}

static bool serve_frame(uint8_t *data, size_t size, struct buf *answer)
{
    struct decoder_frame frame = {
        .tag = get_u64(data), .word = get_u32(data + 8), .body = data + 12, .size = size - 12
    };

    buf_clear(answer);
    if (buf_reserve(answer, DECODER_FRAME_HEAD_SIZE) == NULL)
        return false;
    answer->size = DECODER_FRAME_HEAD_SIZE;
    uint32_t status = answer_frame(&frame, answer);
    decoder_frame_print(answer->data, answer->size - DECODER_FRAME_HEAD_SIZE, frame.tag, status);
    return write_all(answer->data, answer->size);
}

/* Until the input ends. False: it ended inside a frame, or what came was none. */
static bool serve(const struct settings *settings, uint8_t *data, struct buf *answer)
{
    uint8_t prefix[4];
    bool whole = false;

    while (read_all(prefix, sizeof prefix, &whole)) {
        uint32_t size = get_u32(prefix);
        if (size < DECODER_FRAME_HEAD_SIZE - 4 || size > DECODER_FRAME_SIZE_MAX ||
            !read_all(data, size, &whole))
            return false;
        if (sandbox_allow_cpu((settings->cpu_ms + 999) / 1000, NULL) != STATUS_OK ||
            !serve_frame(data, size, answer))
            return false;
    }
    return whole;
}

/* ---- start ---- */

static enum status prepare(const struct settings *settings, struct error *err)
{
    enum status status = sandbox_limit(settings->memory_max, err);

    if (status == STATUS_OK)
        status = decode_warm_up(err);
    if (status == STATUS_OK)
        status = sandbox_enter(err);
    return status;
}

static int run(const struct settings *settings)
{
    uint8_t *data = malloc(DECODER_FRAME_SIZE_MAX);
    struct buf answer;
    struct error err;

    /* Its parent ends it, after having used its answers; a terminal's Ctrl-C goes to both at once. */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    buf_init(&answer, DECODER_ANSWER_SIZE_MAX);
    error_init(&err);
    if (data == NULL || prepare(settings, &err) != STATUS_OK) {
        fprintf(stderr, "gribstore-decoder: %s\n", data == NULL ? "no memory" : err.text);
        return EXIT_FAILURE;
    }
    bool whole = serve(settings, data, &answer);
    buf_fini(&answer);
    free(data);
    return whole ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct settings settings = { .memory_max = 0 };
    enum config_asked asked;
    struct error err;
    struct buf help;
    int rest;

    if (config_load(&program, argc, argv, &settings, &rest, &asked, &err) != STATUS_OK) {
        fprintf(stderr, "gribstore-decoder: %s\n", err.text);
        return 2;
    }
    if (asked == CONFIG_VERSION) {
        printf("gribstore-decoder %s (ecCodes %s)\n", GRIBSTORE_VERSION, decode_release());
        return EXIT_SUCCESS;
    }
    if (asked == CONFIG_HELP) {
        buf_init(&help, 1 << 16);
        config_print_help(&program, &help);
        fputs(buf_string(&help), stdout);
        buf_fini(&help);
        return EXIT_SUCCESS;
    }
    /* Not exit(): what libraries do at exit is not on the list of calls, and nothing is left to be flushed. */
    _exit(run(&settings));
}
