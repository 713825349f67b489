/* gribgen.c: GRIB runs for tests and demonstrations: the program. */
#include "gribgen_encode.h"
#include "gribgen_identity.h"
#include "gribgen_options.h"
#include "gribgen_output.h"
#include "gribgen_time.h"
#include "gribgen_verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* A file, read whole. Not mapped: an I/O error has to be an error and not a signal. */
struct input {
    uint8_t *bytes; /* owned */
    size_t size;
};

static bool input_read(struct input *input, int fd, struct gen_error *err)
{
    struct stat stat;

    if (fstat(fd, &stat) != 0)
        return gen_fail(err, "%s", strerror(errno));
    if (!S_ISREG(stat.st_mode) || stat.st_size == 0)
        return gen_fail(err, "not a file with something in it");
    input->size = (size_t)stat.st_size;
    input->bytes = malloc(input->size);
    if (input->bytes == NULL)
        return gen_fail(err, "out of memory for %zu bytes", input->size);
    for (size_t done = 0; done < input->size;) {
        ssize_t got = read(fd, input->bytes + done, input->size - done);

        if (got == 0 || (got < 0 && errno != EINTR))
            return gen_fail(err, "reading: %s", got == 0 ? "it ended early" : strerror(errno));
        done += got > 0 ? (size_t)got : 0;
    }
    return true;
}

static bool input_open(struct input *input, const char *path, struct gen_error *err)
{
    struct gen_error inner;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    *input = (struct input){ 0 };
    if (fd < 0)
        return gen_fail(err, "%.200s: %s", path, strerror(errno));
    bool ok = input_read(input, fd, &inner) || gen_fail(err, "%.200s: %.100s", path, inner.text);
    close(fd);
    return ok;
}

static void input_close(struct input *input)
{
    free(input->bytes);
    input->bytes = NULL;
}

/* How many messages there will be: the plan is walked twice, because nothing is to be written of a run that can't be whole. */
static bool make_check_count(const struct gen_request *request, struct gen_error *err)
{
    struct gen_plan plan;
    struct gen_message message;

    if (!gen_plan_open(&plan, request, err))
        return false;
    while (gen_plan_next(&plan, &message))
        continue;
    uint64_t given = plan.given;
    gen_plan_close(&plan);
    if (given == 0 || given < request->count)
        return gen_fail(err, "these options hold %llu messages%s", (unsigned long long)given,
                        given == 0 ? "" : ": for more take more --steps, --levels or --members");
    return true;
}

static bool make_message(struct gen_encoder *encoder, const struct gen_message *message,
                         struct gen_output *output, struct gen_error *err)
{
    const uint8_t *bytes;
    size_t size;

    if (!gen_encode(encoder, message, &bytes, &size, err))
        return false;
    uint8_t *room = gen_output_room(output, size, err);
    if (room == NULL)
        return false;
    memcpy(room, bytes, size);
    return gen_output_commit(output, size, message->fields_count, err);
}

static bool make_messages(const struct gen_options *options, struct gen_encoder *encoder,
                          struct gen_output *output, struct gen_error *err)
{
    struct gen_plan plan;
    struct gen_message message;
    bool ok = true;

    if (!gen_plan_open(&plan, &options->request, err))
        return false;
    while (ok && gen_plan_next(&plan, &message))
        ok = make_message(encoder, &message, output, err);
    gen_plan_close(&plan);
    return ok;
}

/* The output is opened, and so emptied, only when all that can be wrong with the request has been looked at. */
static bool make(const struct gen_options *options, struct gen_summary *summary, struct gen_error *err)
{
    struct gen_encoder *encoder = NULL;
    struct gen_output *output = NULL;
    bool ok = make_check_count(&options->request, err) &&
              (encoder = gen_encoder_new(&options->request, err)) != NULL &&
              (output = gen_output_open(options->out, err)) != NULL &&
              make_messages(options, encoder, output, err);

    gen_encoder_free(encoder);
    if (ok)
        return gen_output_close(output, summary, err);
    gen_output_abandon(output);
    return false;
}

static bool stamp_messages(const struct stamp *stamp, uint64_t count, struct gen_output *output,
                           struct gen_error *err)
{
    for (uint64_t n = 0; n < count; n++) {
        size_t size = stamp_size(stamp, n);
        uint8_t *room = gen_output_room(output, size, err);

        if (room == NULL)
            return false;
        stamp_make(stamp, n, room);
        if (!gen_output_commit(output, size, stamp_fields(stamp, n), err))
            return false;
    }
    return true;
}

static bool stamp(const struct gen_options *options, struct gen_summary *summary, struct gen_error *err)
{
    struct input input;
    struct stamp *stamp = NULL;
    struct gen_output *output = NULL;
    bool ok = input_open(&input, options->input, err) &&
              (stamp = stamp_new(input.bytes, input.size, &options->stamp, err)) != NULL &&
              (output = gen_output_open(options->out, err)) != NULL &&
              stamp_messages(stamp, options->stamp.count, output, err);

    stamp_free(stamp);
    input_close(&input);
    if (ok)
        return gen_output_close(output, summary, err);
    gen_output_abandon(output);
    return false;
}

/* Print text as a JSON string. */
static void report_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < ' ')
            fprintf(out, "\\u%04x", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

static void report_json(FILE *out, const struct gen_options *options,
                        const struct gen_summary *summary, double seconds)
{
    char base_time[GEN_TIME_TEXT_SIZE];

    fputs("{\"file\": ", out);
    report_string(out, options->out);
    fprintf(out, ", \"base_time\": \"%s\"", gen_time_print(options->request.base_time, base_time));
    if (options->mode == GEN_MAKE)
        fprintf(out, ", \"seed\": %llu", (unsigned long long)options->request.seed);
    fprintf(out, ", \"messages\": %llu, \"fields\": %llu, \"bytes\": %llu",
            (unsigned long long)summary->messages, (unsigned long long)summary->fields,
            (unsigned long long)summary->bytes);
    fprintf(out, ", \"size_min\": %llu, \"size_median\": %llu, \"size_max\": %llu",
            (unsigned long long)summary->size_min, (unsigned long long)summary->size_median,
            (unsigned long long)summary->size_max);
    fprintf(out, ", \"sha256\": \"%s\", \"seconds\": %.3f, \"messages_per_second\": %.0f}\n",
            summary->sha256, seconds, (double)summary->messages / seconds);
}

static void report_text(FILE *out, const struct gen_options *options,
                        const struct gen_summary *summary, double seconds)
{
    fprintf(out, "%s: %llu messages, %llu fields, %llu bytes in %.3f s (%.0f messages/s), sha256 %s\n",
            options->out, (unsigned long long)summary->messages,
            (unsigned long long)summary->fields, (unsigned long long)summary->bytes, seconds,
            (double)summary->messages / seconds, summary->sha256);
}

/* Open what --summary names, before the work, so that a wrong path is found in time. */
static bool report_open(const struct gen_options *options, FILE **file, struct gen_error *err)
{
    *file = NULL;
    if (options->summary != NULL && (*file = fopen(options->summary, "we")) == NULL)
        return gen_fail(err, "%.200s: %s", options->summary, strerror(errno));
    return true;
}

static bool report_close(FILE *file, struct gen_error *err)
{
    return file == NULL || fclose(file) == 0 || gen_fail(err, "the summary: %s", strerror(errno));
}

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static bool run_write(const struct gen_options *options, struct gen_error *err)
{
    struct gen_summary summary;
    FILE *file;

    if (!report_open(options, &file, err))
        return false;
    double begin = seconds_now();
    bool ok = (options->mode == GEN_MAKE ? make : stamp)(options, &summary, err);
    double seconds = seconds_now() - begin;
    if (ok) {
        (options->json ? report_json : report_text)(stderr, options, &summary, seconds);
        if (file != NULL)
            report_json(file, options, &summary, seconds);
    }
    return report_close(file, err) && ok;
}

static void report_verified(FILE *out, const char *path, bool json, const struct gen_verified *verified)
{
    if (json) {
        fputs("{\"file\": ", out);
        report_string(out, path);
        fprintf(out, ", \"messages\": %llu, \"fields\": %llu, \"values\": %llu, \"worst_packing_steps\": %.3f}\n",
                (unsigned long long)verified->messages, (unsigned long long)verified->fields,
                (unsigned long long)verified->values, verified->worst);
        return;
    }
    fprintf(out, "%s: %llu messages, %llu fields, all distinct, %llu values as they should be\n",
            path, (unsigned long long)verified->messages, (unsigned long long)verified->fields,
            (unsigned long long)verified->values);
}

static bool run_verify(const struct gen_options *options, struct gen_error *err)
{
    struct gen_verified verified;
    struct input input = { 0 };
    FILE *file;

    bool ok = report_open(options, &file, err) && input_open(&input, options->input, err);
    ok = ok && gen_verify(input.bytes, input.size, options->request.seed, &verified, err);
    if (ok) {
        report_verified(stderr, options->input, options->json, &verified);
        if (file != NULL)
            report_verified(file, options->input, true, &verified);
    }
    input_close(&input);
    return report_close(file, err) && ok;
}

static bool run_identities(const struct gen_options *options, struct gen_error *err)
{
    struct input input;

    bool ok = input_open(&input, options->input, err) &&
              gen_identities(input.bytes, input.size, stdout, err);
    input_close(&input);
    if (fflush(stdout) != 0)
        ok = gen_fail(err, "writing: %s", strerror(errno));
    return ok;
}

static bool run(const struct gen_options *options, struct gen_error *err)
{
    switch (options->mode) {
    case GEN_VERIFY:
        return run_verify(options, err);
    case GEN_IDENTITIES:
        return run_identities(options, err);
    case GEN_HELP:
        return fputs(gen_help, stdout) >= 0 && fflush(stdout) == 0;
    case GEN_MAKE:
    case GEN_STAMP:
        break;
    }
    return run_write(options, err);
}

int main(int argc, char **argv)
{
    static struct gen_options options; /* lists make it too large for a stack */
    struct gen_error err = { "" };

    if (!gen_options_parse(&options, argc, argv, &err)) {
        fprintf(stderr, "gribgen: %s\n(gribgen --help says it all)\n", err.text);
        return EXIT_USAGE;
    }
    if (!run(&options, &err)) {
        fprintf(stderr, "gribgen: %s\n", err.text);
        return EXIT_FAILED;
    }
    return EXIT_DONE;
}
