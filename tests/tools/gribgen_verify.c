/* gribgen_verify.c: is a file what gribgen promises? */
#include "gribgen_verify.h"

#include "gribgen_decode.h"
#include "gribgen_grid.h"
#include "gribgen_identity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VERIFY_NJ_MAX = 180000 / GEN_GRID_MIN_MILLIDEGREES + 1 };

struct verify {
    uint64_t seed;
    struct gen_verified *verified;
    uint8_t (*identities)[GEN_IDENTITY_SIZE]; /* owned: one a field */
    size_t identities_room;
    struct gen_error *err;
};

/* How far apart two neighbours of the packing are: 2^E 10^-D. */
static bool verify_step(codes_handle *handle, double *step, struct gen_error *err)
{
    long binary, decimal;

    if (codes_get_long(handle, "binaryScaleFactor", &binary) != CODES_SUCCESS ||
        codes_get_long(handle, "decimalScaleFactor", &decimal) != CODES_SUCCESS)
        return gen_fail(err, "ecCodes finds no packing");
    *step = ldexp(1, (int)binary) * pow(10, (double)-decimal);
    return true;
}

/* Only what gribgen makes: with other grids of damaged messages ecCodes' iterator runs into the wild. */
static bool verify_grid(codes_handle *handle, struct gen_error *err)
{
    char type[32] = "";
    size_t length = sizeof type, values = 0;
    long ni = 0, nj = 0;

    if (codes_get_string(handle, "gridType", type, &length) != CODES_SUCCESS ||
        strcmp(type, "regular_ll") != 0 || codes_get_long(handle, "Ni", &ni) != CODES_SUCCESS ||
        codes_get_long(handle, "Nj", &nj) != CODES_SUCCESS ||
        codes_get_size(handle, "values", &values) != CODES_SUCCESS)
        return gen_fail(err, "not on a regular latitude-longitude grid");
    if (nj < 3 || nj > VERIFY_NJ_MAX || ni != 2 * (nj - 1) || values != (size_t)ni * (size_t)nj)
        return gen_fail(err, "%ld x %ld points and %zu values are no grid of gribgen's", ni, nj, values);
    return true;
}

static bool verify_value(struct verify *verify, double value, double expected, double step)
{
    double off = fabs(value - expected);
    double exact = fabs(expected) * 1e-12; /* what adding and scaling doubles may cost */

    if (!(off <= 0.5 * step * (1 + 1e-6) + exact))
        return false;
    if (step > 0 && off / step > verify->verified->worst)
        verify->verified->worst = off / step;
    verify->verified->values++;
    return true;
}

static bool verify_values(struct verify *verify, codes_handle *handle, const struct gen_field *field)
{
    struct gen_wave wave = gen_wave_make(field, verify->seed);
    double step = 0, latitude, longitude, value;
    bool ok = verify_grid(handle, verify->err) && verify_step(handle, &step, verify->err);
    int code = CODES_SUCCESS;
    codes_iterator *iterator = ok ? codes_grib_iterator_new(handle, 0, &code) : NULL;

    if (ok && iterator == NULL)
        ok = gen_fail(verify->err, "ecCodes finds no grid: %s", codes_get_error_message(code));
    while (ok && codes_grib_iterator_next(iterator, &latitude, &longitude, &value)) {
        double expected = gen_wave_value(&wave, latitude, longitude);

        if (!verify_value(verify, value, expected, step))
            ok = gen_fail(verify->err, "%s at %g N %g E is %.9g, not %.9g (packing step %.3g, seed %llu)",
                          field->param->name, latitude, longitude, value, expected, step,
                          (unsigned long long)verify->seed);
    }
    if (iterator != NULL)
        codes_grib_iterator_delete(iterator);
    return ok;
}

static bool verify_handle(struct verify *verify, codes_handle *handle)
{
    struct gen_field field;

    return gen_decode_field(handle, &field, verify->err) && verify_values(verify, handle, &field);
}

/* ecCodes hands the fields of a message out one by one, each as a message of its own. */
static bool verify_decode(struct verify *verify, const struct raw_message *message)
{
    void *rest = (void *)(uintptr_t)message->bytes; /* ecCodes reads only, but says so nowhere */
    size_t left = message->size, fields = 0;

    for (;;) {
        int code = CODES_SUCCESS;
        codes_handle *handle = codes_grib_handle_new_from_multi_message(NULL, &rest, &left, &code);

        if (handle == NULL) /* left is 0 from the first field on: this is the only sign of the last one */
            break;
        bool ok = verify_handle(verify, handle);
        codes_handle_delete(handle);
        if (!ok)
            return false;
        fields++;
    }
    return fields == message->fields_count ||
           gen_fail(verify->err, "ecCodes finds %zu fields and the octets say %zu", fields,
                    message->fields_count);
}

static bool verify_keep_identities(struct verify *verify, const struct raw_message *message)
{
    for (size_t i = 0; i < message->fields_count; i++) {
        size_t count = verify->verified->fields;

        if (count == verify->identities_room) {
            size_t room = count == 0 ? 4096 : 2 * count;
            void *identities = realloc(verify->identities, room * GEN_IDENTITY_SIZE);

            if (identities == NULL)
                return gen_fail(verify->err, "out of memory");
            verify->identities = identities;
            verify->identities_room = room;
        }
        if (!gen_identity(message, i, verify->identities[count]))
            return gen_fail(verify->err, "SHA-256 failed");
        verify->verified->fields++;
    }
    return true;
}

static int verify_by_bytes(const void *left, const void *right)
{
    return memcmp(left, right, GEN_IDENTITY_SIZE);
}

static bool verify_distinct(struct verify *verify)
{
    size_t count = verify->verified->fields;

    if (count > 1)
        qsort(verify->identities, count, GEN_IDENTITY_SIZE, verify_by_bytes);
    for (size_t i = 1; i < count; i++) {
        if (memcmp(verify->identities[i - 1], verify->identities[i], GEN_IDENTITY_SIZE) == 0)
            return gen_fail(verify->err, "two fields have the same identity");
    }
    return true;
}

static bool verify_message(struct verify *verify, const uint8_t *bytes, size_t size, size_t *used)
{
    struct raw_message message;

    if (!raw_parse(&message, bytes, size, verify->err))
        return false;
    *used = message.size;
    verify->verified->messages++;
    return verify_decode(verify, &message) && verify_keep_identities(verify, &message);
}

bool gen_verify(const uint8_t *bytes, size_t size, uint64_t seed, struct gen_verified *verified,
                struct gen_error *err)
{
    struct verify verify = { .seed = seed, .verified = verified, .err = err };
    bool ok = true;

    *verified = (struct gen_verified){ 0 };
    codes_grib_multi_support_on(NULL);
    for (size_t offset = 0, used = 0; ok && offset < size; offset += used) {
        ok = verify_message(&verify, bytes + offset, size - offset, &used);
        if (!ok)
            gen_fail_in(err, "message at byte", offset);
    }
    ok = ok && verify_distinct(&verify);
    if (ok && verified->messages == 0)
        ok = gen_fail(err, "no message");
    free(verify.identities);
    return ok;
}
