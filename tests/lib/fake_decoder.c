/* fake_decoder.c: stands in for gribstore-decoder. Its heads are words that say what to do:
 *
 *   abort, segv     die of the signal            exit      end with status 3
 *   hang            never answer                 junk      answer what is no frame
 *   poison          answer, and die of the next  early     answer the next one too, before it is read
 *   refuse WORDS    refuse with them             text      decoded, into what is no JSON
 *   once FILE       die of it unless FILE is there, and make it
 *   anything else   {"head": WORDS, "pid": PID, "number": heads answered before} */
#include "indexer/decoder_pipe.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { HEAD_SIZE_MAX = 120 };

static unsigned answered;
static bool poisoned;

static void take(uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t got = read(STDIN_FILENO, data, size);
        if (got <= 0)
            exit(EXIT_SUCCESS);
        data += got;
        size -= (size_t)got;
    }
}

static void give(const void *data, size_t size)
{
    if (write(STDOUT_FILENO, data, size) != (ssize_t)size)
        exit(EXIT_FAILURE);
}

static void answer(uint64_t tag, uint32_t word, const char *text)
{
    uint8_t front[DECODER_FRAME_HEAD_SIZE];

    decoder_frame_print(front, strlen(text), tag, word);
    give(front, sizeof front);
    give(text, strlen(text));
}

static void die_once(const char *path)
{
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);

    if (fd >= 0)
        abort();
}

static void obey_or_answer(uint64_t tag, const char *head)
{
    char text[256];

    if (strncmp(head, "once ", 5) == 0)
        die_once(head + 5);
    if (strcmp(head, "junk") == 0)
        give("this is no frame", 16);
    else if (strncmp(head, "refuse ", 7) == 0)
        answer(tag, DECODER_REFUSED, head + 7);
    else if (strcmp(head, "text") == 0)
        answer(tag, DECODER_DECODED, "text");
    else {
        snprintf(text, sizeof text, "{\"head\": \"%.120s\", \"pid\": %d, \"number\": %u}", head,
                 (int)getpid(), answered);
        answer(tag, DECODER_DECODED, text);
    }
    if (strcmp(head, "early") == 0)
        answer(tag + 1, DECODER_DECODED, "{\"head\": \"not read\"}");
    poisoned = poisoned || strcmp(head, "poison") == 0;
    answered++;
}

static void decode(uint64_t tag, const char *head)
{
    if (poisoned || strcmp(head, "abort") == 0)
        abort();
    if (strcmp(head, "segv") == 0) {
        signal(SIGSEGV, SIG_DFL); /* a sanitizer would make an exit of it */
        raise(SIGSEGV);
    }
    if (strcmp(head, "exit") == 0)
        exit(3);
    if (strcmp(head, "hang") == 0)
        for (;;)
            pause();
    obey_or_answer(tag, head);
}

int main(void)
{
    uint8_t front[DECODER_FRAME_HEAD_SIZE];
    uint8_t head[HEAD_SIZE_MAX + 1];

    for (;;) {
        take(front, sizeof front);
        size_t size = get_u32(front) - (DECODER_FRAME_HEAD_SIZE - 4);
        if (size >= sizeof head)
            return EXIT_FAILURE;
        take(head, size);
        head[size] = '\0';
        if (get_u32(front + 12) == DECODER_ASK_RELEASE)
            answer(get_u64(front + 4), DECODER_DECODED, "{\"eccodes\": \"fake\"}");
        else
            decode(get_u64(front + 4), (const char *)head);
    }
}
