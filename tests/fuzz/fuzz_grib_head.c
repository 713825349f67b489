/* fuzz_grib_head.c: the sections of any bytes.
 *
 * Input: one byte, whose lowest bit asks for section 0's length to be set right (or nothing would get past it); then a message. Heads
 * that are made of it have to be taken apart again, and what stands in them has to be the message's. */
#include "proto/grib_head.h"
#include "proto/run.h"
#include "tests/fuzz/fuzz.h"

enum { HEADS_MAX = 4 << 20 };

static void set_length(uint8_t *message, size_t size)
{
    if (size >= 16 && message[7] == 2)
        put_u64(message + 8, size);
    if (size >= 8 && message[7] == 1) {
        message[4] = (uint8_t)(size >> 16 & 0x7f);
        message[5] = (uint8_t)(size >> 8);
        message[6] = (uint8_t)size;
    }
}

static void take_apart(const uint8_t *data, size_t size)
{
    struct grib_head head;
    uint8_t identity[GRIB_IDENTITY_SIZE];
    size_t sum = 0;

    if (grib_head_parse(data, size, &head, NULL) != STATUS_OK)
        return;
    for (size_t i = 0; i < ARRAY_COUNT(head.section); i++) {
        MUST(head.section[i].size <= size);
        MUST(head.section[i].size == 0 || head.section[i].data == data + sum);
        sum += head.section[i].size;
    }
    MUST(sum == size);
    grib_head_identity(&head, identity);
}

static void all_heads(const uint8_t *message, size_t size)
{
    struct grib_memory memory;
    struct grib_head head;
    struct buf heads;

    buf_init(&heads, HEADS_MAX);
    buf_u16(&heads, 0xabcd);
    grib_memory_init(&memory, message, size);
    enum status status = grib_heads(&memory.source, &heads, NULL);
    MUST(buf_status(&heads) == STATUS_OK && get_u16(heads.data) == 0xabcd);
    MUST((heads.size == 2) == (status != STATUS_OK));
    if (status == STATUS_OK) {
        unsigned fields = get_u16(heads.data + 2);
        size_t at = 4;
        MUST(fields > 0);
        for (unsigned i = 0; i < fields; i++) {
            uint32_t head_size = get_u32(heads.data + at);
            MUST(head_size <= GRIB_FIELD_HEAD_SIZE_MAX && at + 4 + head_size <= heads.size);
            MUST(grib_head_parse(heads.data + at + 4, head_size, &head, NULL) == STATUS_OK);
            take_apart(heads.data + at + 4, head_size);
            at += 4 + head_size;
        }
        MUST(at == heads.size);
    }
    buf_fini(&heads);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t base_time;

    if (size < 2)
        return 0;
    uint8_t *message = malloc(size - 1);
    MUST(message != NULL);
    memcpy(message, data + 1, size - 1);
    if ((data[0] & 1) != 0)
        set_length(message, size - 1);
    if (grib_base_time(message, size - 1, &base_time, NULL) == STATUS_OK)
        MUST(base_time_valid(base_time));
    all_heads(message, size - 1);
    take_apart(message, size - 1);
    free(message);
    return 0;
}
