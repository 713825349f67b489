/* http_digest.c: base64 out, a dictionary of preferences in. */
#include "proto/http/http_digest.h"

#include <openssl/evp.h>

enum { PREFERENCE_MAX = 10 };

void http_digest_print(const uint8_t sha256[32], char text[HTTP_DIGEST_TEXT_SIZE])
{
    static const char begin[] = "sha-256=:";
    size_t at = sizeof begin - 1;

    memcpy(text, begin, at);
    at += (size_t)EVP_EncodeBlock((unsigned char *)text + at, sha256, 32); /* 44 bytes, and their end */
    memcpy(text + at, ":", 2);
}

/* The next member of a list, without blanks around it. */
static struct slice digest_next(struct slice *list)
{
    const uint8_t *comma = memchr(list->data, ',', list->size);
    size_t size = comma != NULL ? (size_t)(comma - list->data) : list->size;
    struct slice member = slice_of(list->data, size);

    size += comma != NULL;
    *list = slice_of(list->data + size, list->size - size);
    while (member.size > 0 && (*member.data == ' ' || *member.data == '\t'))
        member = slice_of(member.data + 1, member.size - 1);
    while (member.size > 0 &&
           (member.data[member.size - 1] == ' ' || member.data[member.size - 1] == '\t'))
        member.size--;
    return member;
}

bool http_digest_wanted(struct slice want)
{
    static const char name[] = "sha-256=";
    bool wanted = false;

    while (want.size > 0) {
        struct slice member = digest_next(&want);
        uint64_t preference;

        if (member.size < sizeof name - 1 || memcmp(member.data, name, sizeof name - 1) != 0)
            continue;
        const char *digits = (const char *)member.data + sizeof name - 1;
        if (decimal_parse(digits, member.size - (sizeof name - 1), PREFERENCE_MAX, &preference) != 0)
            return false;
        wanted = preference > 0; /* the last of a name counts (RFC 8941 section 3.2) */
    }
    return wanted;
}
