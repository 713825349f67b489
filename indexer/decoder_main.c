/* gribstore-decoder: the indexer's child that runs ecCodes. Frames in, answers out, in order (FORMATS.md section 10).
 *
 * ecCodes may crash or hang on a head: then the process that decodes is replaced (decoder_parent.h), and the head is answered for. Each
 * answer leaves before the next head is read. It ends when its input does. */
#include "indexer/decode.h"
#include "indexer/decoder_parent.h"
#include "indexer/decoder_pipe.h"
#include "indexer/decoder_sandbox.h"
#include "proto/base/config.h"
#include "proto/base/json_write.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct settings {
    uint64_t memory_max;
    uint64_t timeout_ms, cpu_ms;
};

enum { HEADS_MAX = 200 * 1000 }; /* ecCodes 2.28 keeps 720 bytes of each head that it gives up on */

#define AT(member) offsetof(struct settings, member)
static const struct config_option options[] = {
    { NULL, "memory", 0, CONFIG_SIZE, AT(memory_max), "1GiB", NULL, "SIZE", "Limit of its address space." },
    { NULL, "timeout", 0, CONFIG_DURATION, AT(timeout_ms), "10s", NULL, "TIME",
      "How long one head may take." },
    { NULL, "cpu", 0, CONFIG_DURATION, AT(cpu_ms), "1s", NULL, "TIME",
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

/* ---- one frame ---- */

static void answer_release(struct buf *answer)
{
    struct json_writer json;

    json_init(&json, answer);
    json_object_begin(&json);
    json_put_string(&json, "eccodes", decode_release());
    json_put_u64(&json, "form", DECODE_FORM);
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

    if (buf_reserve(answer, DECODER_FRAME_HEAD_SIZE) == NULL)
        return false;
    answer->size = DECODER_FRAME_HEAD_SIZE;
    uint32_t status = answer_frame(&frame, answer);
    decoder_frame_print(answer->data, answer->size - DECODER_FRAME_HEAD_SIZE, frame.tag, status);
    return true;
}

/* ---- start ---- */

static enum status prepare(const struct settings *settings, struct error *err)
{
    enum status status = sandbox_limit(settings->memory_max, err);

    return status == STATUS_OK ? decode_warm_up(err) : status;
}

static int run(const struct settings *settings)
{
    const struct decoder_parent_options parent = {
        .timeout_ms = settings->timeout_ms,
        .cpu_ms = settings->cpu_ms,
        .heads_max = HEADS_MAX,
        .enter = sandbox_enter,
        .answer = serve_frame,
    };
    struct error err;

    /* Its parent ends it, after having used its answers; a terminal's Ctrl-C goes to both at once. */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    error_init(&err);
    if (prepare(settings, &err) != STATUS_OK) {
        fprintf(stderr, "gribstore-decoder: %s\n", err.text);
        return EXIT_FAILURE;
    }
    return decoder_parent_run(&parent) ? EXIT_SUCCESS : EXIT_FAILURE;
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
    if (asked == CONFIG_HELP || asked == CONFIG_MAN) {
        buf_init(&help, 1 << 16);
        (asked == CONFIG_HELP ? config_print_help : config_print_man)(&program, &help);
        fputs(buf_string(&help), stdout);
        buf_fini(&help);
        return EXIT_SUCCESS;
    }
    /* Not exit(): what libraries do at exit is not on the list of calls, and nothing is left to be flushed. */
    _exit(run(&settings));
}
