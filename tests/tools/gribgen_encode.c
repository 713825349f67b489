/* gribgen_encode.c: from a planned message to its bytes, by ecCodes.
 *
 * A parameter's first message is set up key by key and kept; the later ones are copies of it in which only step, level, member,
 * grid and values are set. */
#include "gribgen_encode.h"

#include "gribgen_keys.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const samples[] = { "regular_ll_sfc_grib1", "regular_ll_sfc_grib2" };

struct gen_encoder {
    const struct gen_request *request;            /* borrowed: as long as the encoder */
    codes_handle *prepared[GEN_PARAMS_MAX][2];    /* owned: by row of gen_params, edition - 1 */
    codes_handle *handle[GEN_MESSAGE_FIELDS_MAX]; /* owned: the fields of the message given last */
    char *joined;   /* owned: the same in one message, if there are several */
    double *values; /* owned */
    size_t values_room;
};

static bool encode_failed(const struct gen_keys *keys, const struct gen_param *param,
                          struct gen_error *err)
{
    return gen_fail(err, "ecCodes: %s of %s: %s", keys->key, param->name,
                    codes_get_error_message(keys->code));
}

struct gen_encoder *gen_encoder_new(const struct gen_request *request, struct gen_error *err)
{
    struct gen_encoder *encoder = calloc(1, sizeof *encoder);

    if (encoder == NULL) {
        gen_fail(err, "out of memory");
        return NULL;
    }
    encoder->request = request;
    codes_grib_multi_support_on(NULL);
    return encoder;
}

static void encoder_drop_message(struct gen_encoder *encoder)
{
    for (int i = 0; i < GEN_MESSAGE_FIELDS_MAX; i++) {
        codes_handle_delete(encoder->handle[i]);
        encoder->handle[i] = NULL;
    }
    free(encoder->joined);
    encoder->joined = NULL;
}

void gen_encoder_free(struct gen_encoder *encoder)
{
    if (encoder == NULL)
        return;
    encoder_drop_message(encoder);
    for (size_t i = 0; i < GEN_PARAMS_MAX; i++) {
        codes_handle_delete(encoder->prepared[i][0]);
        codes_handle_delete(encoder->prepared[i][1]);
    }
    free(encoder->values);
    free(encoder);
}

/* The prepared handle of a field's parameter and edition, made at its first use. */
static codes_handle *encoder_prepared(struct gen_encoder *encoder, const struct gen_field *field,
                                      struct gen_error *err)
{
    codes_handle **prepared = &encoder->prepared[field->param - gen_params][field->edition - 1];

    if (*prepared != NULL)
        return *prepared;
    struct gen_keys keys = { .handle = codes_grib_handle_new_from_samples(
                                 NULL, samples[field->edition - 1]) };
    if (keys.handle == NULL) {
        gen_fail(err, "ecCodes has no sample %s: install libeccodes-data, or set ECCODES_SAMPLES_PATH",
                 samples[field->edition - 1]);
        return NULL;
    }
    gen_keys_prepare(&keys, encoder->request, field->param, field->edition);
    if (keys.code != CODES_SUCCESS) {
        encode_failed(&keys, field->param, err);
        codes_handle_delete(keys.handle);
        return NULL;
    }
    return *prepared = keys.handle;
}

static bool encoder_make_room(struct gen_encoder *encoder, size_t count, struct gen_error *err)
{
    if (count <= encoder->values_room)
        return true;
    double *values = realloc(encoder->values, count * sizeof *values);
    if (values == NULL)
        return gen_fail(err, "out of memory for %zu values", count);
    encoder->values = values;
    encoder->values_room = count;
    return true;
}

static void encoder_fill(struct gen_encoder *encoder, const struct gen_field *field,
                         const struct gen_grid *grid)
{
    struct gen_wave wave = gen_wave_make(field, encoder->request->seed);
    double *value = encoder->values;

    for (int j = 0; j < grid->nj; j++) {
        for (int i = 0; i < grid->ni; i++) {
            double latitude = (90000 - j * grid->millidegrees) / 1000.0;
            double longitude = i * grid->millidegrees / 1000.0;

            *value++ = gen_wave_value(&wave, latitude, longitude);
        }
    }
}

static codes_handle *encoder_field(struct gen_encoder *encoder, const struct gen_field *field,
                                   const struct gen_grid *grid, struct gen_error *err)
{
    codes_handle *prepared = encoder_prepared(encoder, field, err);

    if (prepared == NULL || !encoder_make_room(encoder, gen_grid_points(grid), err))
        return NULL;
    struct gen_keys keys = { .handle = codes_handle_clone(prepared) };
    if (keys.handle == NULL) {
        gen_fail(err, "ecCodes: out of memory");
        return NULL;
    }
    gen_keys_grid(&keys, grid);
    gen_keys_field(&keys, encoder->request, field);
    encoder_fill(encoder, field, grid);
    if (keys.code == CODES_SUCCESS) {
        keys.key = "values";
        keys.code = codes_set_double_array(keys.handle, "values", encoder->values, gen_grid_points(grid));
    }
    if (keys.code == CODES_SUCCESS)
        return keys.handle;
    encode_failed(&keys, field->param, err);
    codes_handle_delete(keys.handle);
    return NULL;
}

/* All fields in one message: sections 4 to 7 come again for each after the first. ecCodes writes it to a stdio stream only. */
static bool encoder_join(struct gen_encoder *encoder, size_t count, size_t *size, struct gen_error *err)
{
    codes_multi_handle *multi = codes_grib_multi_handle_new(NULL);
    FILE *stream = open_memstream(&encoder->joined, size);
    bool ok = multi != NULL && stream != NULL;

    for (size_t i = 0; ok && i < count; i++)
        ok = codes_grib_multi_handle_append(encoder->handle[i], 4, multi) == CODES_SUCCESS;
    ok = ok && codes_grib_multi_handle_write(multi, stream) == CODES_SUCCESS;
    if (stream != NULL && fclose(stream) != 0)
        ok = false;
    if (multi != NULL)
        codes_grib_multi_handle_delete(multi);
    return ok || gen_fail(err, "ecCodes: can't join %zu fields into one message", count);
}

bool gen_encode(struct gen_encoder *encoder, const struct gen_message *message,
                const uint8_t **bytes, size_t *size, struct gen_error *err)
{
    const void *single;

    encoder_drop_message(encoder);
    for (size_t i = 0; i < message->fields_count; i++) {
        encoder->handle[i] = encoder_field(encoder, &message->field[i], &message->grid, err);
        if (encoder->handle[i] == NULL)
            return false;
    }
    if (message->fields_count > 1) {
        if (!encoder_join(encoder, message->fields_count, size, err))
            return false;
        *bytes = (const uint8_t *)encoder->joined;
        return true;
    }
    if (codes_get_message(encoder->handle[0], &single, size) != CODES_SUCCESS)
        return gen_fail(err, "ecCodes: no message for %s", message->field[0].param->name);
    *bytes = single;
    return true;
}
