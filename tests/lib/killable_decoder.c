/* killable_decoder.c: gribstore-decoder, and what ecCodes may do to it on command: indexer/decoder_main.c as it is, in its sandbox and with its
 * limits, and decode_head() wrapped by the linker; its release is "0.0.1". A head with "GRIBSTORE-KILL WORD" in it, as a long section 1 may have, is obeyed:
 *
 *   abort, segv   die of the signal         exit    end with status 3
 *   cpu           compute for ever          hang    wait for ever, without CPU time
 *   memory        take all there is, and abort when there is no more, as libraries do
 *   keys          decoded, into what is no JSON
 *   junk          write what is no frame where answers go
 *   kill          be killed as if from outside
 *   late          wait for ever the first time that somebody says so, as on a machine that stands still; then decode
 *   no            refuse, as ecCodes does
 *   print         to standard output, as a library might; and decode */
#include "indexer/decode.h"

#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The linker's names. */
enum status __real_decode_head(const uint8_t *head, size_t size, struct buf *keys, struct error *err);
enum status __wrap_decode_head(const uint8_t *head, size_t size, struct buf *keys, struct error *err);

const char *__wrap_decode_release(void);

enum { EAT_SIZE = 1 << 20, WORD_SIZE_MAX = 16, ANSWERS_MAX = 16 };

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

/* Workers come and go: what happened is known in a page that all of them share. */
static _Atomic bool *was_late;

__attribute__((constructor)) static void share_page(void)
{
    void *page = mmap(NULL, sizeof *was_late, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        abort();
    was_late = page;
}

static void late(void)
{
    if (!*was_late) {
        *was_late = true;
        kill_by_hang();
    }
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

    /* Whichever descriptor leads there. */
    for (int fd = STDERR_FILENO + 1; fd < ANSWERS_MAX; fd++)
        if (write(fd, junk, sizeof junk) > 0)
            return;
}

static void kill_by_kill(void)
{
    raise(SIGKILL);
}

static void print(void)
{
    static const char line[] = "ECCODES WARNING: something that somebody should know\n";

    if (write(STDOUT_FILENO, line, sizeof line) < 0)
        _exit(4);
}

static const struct {
    const char *word;
    void (*obey)(void); /* comes back: then the head is decoded all the same */
} commands[] = {
    { "abort", kill_by_abort }, { "segv", kill_by_segv }, { "exit", kill_by_exit },
    { "cpu", kill_by_cpu },     { "hang", kill_by_hang }, { "memory", kill_by_memory },
    { "junk", kill_by_junk },   { "kill", kill_by_kill }, { "print", print },
    { "late", late },
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

/* Another decoder than gribstore-decoder: what this one refuses is tried again by that one. */
const char *__wrap_decode_release(void)
{
    return "0.0.1";
}

enum status __wrap_decode_head(const uint8_t *head, size_t size, struct buf *keys, struct error *err)
{
    char word[WORD_SIZE_MAX];

    find_command(head, size, word);
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++)
        if (strcmp(word, commands[i].word) == 0)
            commands[i].obey();
    if (strcmp(word, "no") == 0)
        return error_set(err, STATUS_MALFORMED, "ecCodes %s: as it was told", decode_release());
    if (strcmp(word, "keys") == 0)
        return buf_text(keys, "{\"param\": "), STATUS_OK;
    return __real_decode_head(head, size, keys, err);
}
