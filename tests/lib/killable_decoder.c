/* killable_decoder.c: gribstore-decoder, and what ecCodes may do to it on command: indexer/decoder_main.c as it is, in its sandbox and with its
 * limits, and decode_head() wrapped by the linker. A head with "GRIBSTORE-KILL WORD" in it, as a local section may have, is obeyed:
 *
 *   abort, segv   die of the signal         exit    end with status 3
 *   cpu           compute for ever          hang    wait for ever, without CPU time
 *   memory        take all there is, and abort when there is no more, as libraries do
 *   keys          decoded, into what is no JSON
 *   junk          write what is no frame    part    write a part of a frame, and die
 *   kill          be killed as if from outside
 *   no            refuse, as ecCodes does */
#include "indexer/decode.h"
#include "indexer/decoder_pipe.h"

#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The linker's names. */
enum status __real_decode_head(const uint8_t *head, size_t size, struct buf *keys, struct error *err);
enum status __wrap_decode_head(const uint8_t *head, size_t size, struct buf *keys, struct error *err);

enum { EAT_SIZE = 1 << 20, WORD_SIZE_MAX = 16 };

/* Sanitizers know no limit of memory: then it is taken to have been reached. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { EAT_MAX = 64 };
#else
enum { EAT_MAX = 1 << 20 };
#endif

static void kill_by_abort(void)
{
    abort();
}

static void kill_by_segv(void)
{
    signal(SIGSEGV, SIG_DFL); /* a sanitizer would make an exit of it */
    raise(SIGSEGV);
}

static void kill_by_exit(void)
{
    _exit(3);
}

static void kill_by_cpu(void)
{
    for (volatile unsigned turns = 0;; turns++)
        ;
}

static void kill_by_hang(void)
{
    static uint32_t word;

    for (;;)
        syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static void kill_by_memory(void)
{
    for (unsigned i = 0; i < EAT_MAX; i++) {
        char *piece = malloc(EAT_SIZE);
        if (piece == NULL)
            break;
        memset(piece, 1, EAT_SIZE);
        __asm__ volatile("" : : "r"(piece) : "memory"); /* it is used */
    }
    abort();
}

static void kill_by_junk(void)
{
    static const char junk[] = "this is no frame, however it is read";

    if (write(STDOUT_FILENO, junk, sizeof junk) < 0)
        _exit(4);
}

static void kill_by_part(void)
{
    uint8_t front[DECODER_FRAME_HEAD_SIZE];

    decoder_frame_print(front, 100, 0, DECODER_DECODED);
    if (write(STDOUT_FILENO, front, 4) < 0)
        _exit(4);
    abort();
}

static void kill_by_kill(void)
{
    raise(SIGKILL);
}

static const struct {
    const char *word;
    void (*kill)(void); /* comes back: an answer follows all the same */
} killers[] = {
    { "abort", kill_by_abort }, { "segv", kill_by_segv }, { "exit", kill_by_exit },
    { "cpu", kill_by_cpu },     { "hang", kill_by_hang }, { "memory", kill_by_memory },
    { "junk", kill_by_junk },   { "part", kill_by_part }, { "kill", kill_by_kill },
};

/* The word of a command, or "". */
static void find_command(const uint8_t *head, size_t size, char word[WORD_SIZE_MAX])
{
    static const char front[] = "GRIBSTORE-KILL ";
    const uint8_t *at = memmem(head, size, front, sizeof front - 1);
    size_t used = 0;

    if (at != NULL)
        for (at += sizeof front - 1;
             at < head + size && *at >= 'a' && *at <= 'z' && used < WORD_SIZE_MAX - 1; at++)
            word[used++] = (char)*at;
    word[used] = '\0';
}

enum status __wrap_decode_head(const uint8_t *head, size_t size, struct buf *keys, struct error *err)
{
    char word[WORD_SIZE_MAX];

    find_command(head, size, word);
    for (size_t i = 0; i < ARRAY_COUNT(killers); i++)
        if (strcmp(word, killers[i].word) == 0)
            killers[i].kill();
    if (strcmp(word, "no") == 0)
        return error_set(err, STATUS_MALFORMED, "ecCodes %s: as it was told", decode_release());
    if (strcmp(word, "keys") == 0)
        return buf_text(keys, "{\"param\": "), STATUS_OK;
    return __real_decode_head(head, size, keys, err);
}
