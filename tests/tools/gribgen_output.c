/* gribgen_output.c: messages on their way to a file or a pipe, hashed and counted as they go. */
#include "gribgen_output.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct gen_output {
    int fd;          /* owned, except the standard output */
    uint8_t *buffer; /* owned */
    size_t room, used;
    EVP_MD_CTX *hash; /* owned */
    uint32_t *sizes;  /* owned: of every message, for the median */
    size_t sizes_room;
    uint64_t messages, fields, bytes;
};

static int output_descriptor(const char *path, struct gen_error *err)
{
    if (strcmp(path, "-") == 0) {
        if (!isatty(STDOUT_FILENO))
            return STDOUT_FILENO;
        gen_fail(err, "GRIB would go to the terminal: send it on, or name a file with --out");
        return -1;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        gen_fail(err, "%.200s: %s", path, strerror(errno));
    return fd;
}

struct gen_output *gen_output_open(const char *path, struct gen_error *err)
{
    struct gen_output *output = calloc(1, sizeof *output);

    if (output == NULL) {
        gen_fail(err, "out of memory");
        return NULL;
    }
    output->fd = output_descriptor(path, err);
    if (output->fd < 0)
        goto fail;
    output->room = GEN_OUTPUT_BUFFER_SIZE;
    output->buffer = malloc(output->room);
    output->hash = EVP_MD_CTX_new();
    if (output->buffer != NULL && output->hash != NULL &&
        EVP_DigestInit_ex(output->hash, EVP_sha256(), NULL) == 1)
        return output;
    gen_fail(err, "out of memory");

fail:
    gen_output_abandon(output);
    return NULL;
}

void gen_output_abandon(struct gen_output *output)
{
    if (output == NULL)
        return;
    if (output->fd > STDOUT_FILENO)
        close(output->fd);
    EVP_MD_CTX_free(output->hash);
    free(output->sizes);
    free(output->buffer);
    free(output);
}

static bool output_flush(struct gen_output *output, struct gen_error *err)
{
    if (EVP_DigestUpdate(output->hash, output->buffer, output->used) != 1)
        return gen_fail(err, "SHA-256 failed");
    for (size_t done = 0; done < output->used;) {
        ssize_t wrote = write(output->fd, output->buffer + done, output->used - done);

        if (wrote < 0 && errno != EINTR)
            return gen_fail(err, "writing: %s", strerror(errno));
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    output->used = 0;
    return true;
}

uint8_t *gen_output_room(struct gen_output *output, size_t size, struct gen_error *err)
{
    if (size <= output->room - output->used)
        return output->buffer + output->used;
    if (!output_flush(output, err))
        return NULL;
    if (size > output->room) {
        uint8_t *buffer = realloc(output->buffer, size);

        if (buffer == NULL) {
            gen_fail(err, "out of memory for a message of %zu bytes", size);
            return NULL;
        }
        output->buffer = buffer;
        output->room = size;
    }
    return output->buffer;
}

bool gen_output_commit(struct gen_output *output, size_t size, size_t fields, struct gen_error *err)
{
    assert(size <= output->room - output->used);
    if (output->messages == output->sizes_room) {
        size_t room = output->sizes_room == 0 ? 4096 : 2 * output->sizes_room;
        uint32_t *sizes = realloc(output->sizes, room * sizeof *sizes);

        if (sizes == NULL)
            return gen_fail(err, "out of memory");
        output->sizes = sizes;
        output->sizes_room = room;
    }
    output->sizes[output->messages++] = (uint32_t)size;
    output->fields += fields;
    output->bytes += size;
    output->used += size;
    return true;
}

static int output_by_size(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return (a > b) - (a < b);
}

static bool output_sum_up(struct gen_output *output, struct gen_summary *summary)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    size_t count = output->messages;

    *summary = (struct gen_summary){
        .messages = output->messages,
        .fields = output->fields,
        .bytes = output->bytes,
    };
    if (count > 0) {
        qsort(output->sizes, count, sizeof *output->sizes, output_by_size);
        summary->size_min = output->sizes[0];
        summary->size_median = output->sizes[count / 2];
        summary->size_max = output->sizes[count - 1];
    }
    if (EVP_DigestFinal_ex(output->hash, digest, &size) != 1)
        return false;
    for (unsigned i = 0; i < size; i++)
        snprintf(summary->sha256 + 2 * i, 3, "%02x", digest[i]);
    return true;
}

bool gen_output_close(struct gen_output *output, struct gen_summary *summary, struct gen_error *err)
{
    bool ok = output_flush(output, err);

    if (ok && !output_sum_up(output, summary))
        ok = gen_fail(err, "SHA-256 failed");
    if (ok && output->fd > STDOUT_FILENO) {
        ok = close(output->fd) == 0 || gen_fail(err, "writing: %s", strerror(errno));
        output->fd = -1;
    }
    gen_output_abandon(output);
    return ok;
}
