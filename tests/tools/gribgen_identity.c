/* gribgen_identity.c: the identity of a field, from its octets. */
#include "gribgen_identity.h"

#include <openssl/evp.h>
#include <string.h>

static bool identity_add(EVP_MD_CTX *hash, const struct raw_message *message, struct raw_section section)
{
    return EVP_DigestUpdate(hash, message->bytes + section.offset, section.size) == 1;
}

static bool identity_add2(EVP_MD_CTX *hash, const struct raw_message *message,
                          const struct raw_field *field)
{
    bool ok = EVP_DigestUpdate(hash, "2", 1) == 1 && EVP_DigestUpdate(hash, message->bytes + 6, 1) == 1;

    for (int number = 1; number <= 4; number++)
        ok = ok && identity_add(hash, message, field->section[number]);
    return ok;
}

/* Octets first to last of section 1, counted from 1 as in the WMO manual. */
static bool identity_add_octets(EVP_MD_CTX *hash, const uint8_t *section, uint32_t first, uint32_t last)
{
    return last < first || EVP_DigestUpdate(hash, section + first - 1, last - first + 1) == 1;
}

static bool identity_add1(EVP_MD_CTX *hash, const struct raw_message *message,
                          const struct raw_field *field)
{
    const uint8_t *section1 = message->bytes + field->section[1].offset;

    return EVP_DigestUpdate(hash, "1", 1) == 1 && identity_add_octets(hash, section1, 4, 7) &&
           identity_add_octets(hash, section1, 9, 26) &&
           identity_add_octets(hash, section1, 29, field->section[1].size) &&
           identity_add(hash, message, field->section[2]);
}

bool gen_identity(const struct raw_message *message, size_t sub, uint8_t identity[GEN_IDENTITY_SIZE])
{
    const struct raw_field *field = &message->field[sub];
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    uint8_t digest[GEN_DIGEST_SIZE];
    bool ok = hash != NULL && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1;

    ok = ok && (message->edition == 1 ? identity_add1(hash, message, field)
                                      : identity_add2(hash, message, field));
    ok = ok && EVP_DigestFinal_ex(hash, digest, NULL) == 1;
    EVP_MD_CTX_free(hash);
    if (ok)
        memcpy(identity, digest, GEN_IDENTITY_SIZE);
    return ok;
}

static void identities_print_hex(FILE *out, const uint8_t *bytes, size_t size, char end)
{
    for (size_t i = 0; i < size; i++)
        fprintf(out, "%02x", bytes[i]);
    fputc(end, out);
}

static bool identities_message(const struct raw_message *message, uint64_t number, size_t offset,
                               FILE *out, struct gen_error *err)
{
    uint8_t digest[GEN_DIGEST_SIZE], identity[GEN_IDENTITY_SIZE];

    if (EVP_Digest(message->bytes, message->size, digest, NULL, EVP_sha256(), NULL) != 1)
        return gen_fail(err, "SHA-256 failed");
    for (size_t i = 0; i < message->fields_count; i++) {
        if (!gen_identity(message, i, identity))
            return gen_fail(err, "SHA-256 failed");
        fprintf(out, "%llu\t%zu\t%zu\t%zu\t", (unsigned long long)number, offset, message->size, i + 1);
        identities_print_hex(out, digest, sizeof digest, '\t');
        identities_print_hex(out, identity, sizeof identity, '\n');
    }
    return true;
}

bool gen_identities(const uint8_t *bytes, size_t size, FILE *out, struct gen_error *err)
{
    struct raw_message message;
    uint64_t number = 0;

    for (size_t at = raw_find(bytes, size, 0); at < size; at = raw_find(bytes, size, at + message.size)) {
        if (!raw_parse(&message, bytes + at, size - at, err) ||
            !identities_message(&message, ++number, at, out, err))
            return gen_fail_in(err, "message at byte", at);
    }
    return number > 0 || gen_fail(err, "no message");
}
