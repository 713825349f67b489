/* fuzz_http_range.c: eight bytes of file size, then a Range header.
 *
 * Whatever it says, ranges lie in the file and are not many times the file; written down plainly they are parsed to the same
 * again; and the parts of a multipart answer are no longer than what is promised. */
#include "proto/http/http_range.h"
#include "tests/fuzz/fuzz.h"

#include <inttypes.h>

enum { PART_MAX = 400 };

static struct http_range ranges[HTTP_RANGES_MAX], again[HTTP_RANGES_MAX];

static void check_bounds(uint64_t file_size, unsigned count)
{
    uint64_t sum = 0;

    MUST(count <= HTTP_RANGES_MAX);
    for (unsigned i = 0; i < count; i++) {
        MUST(ranges[i].length > 0 && ranges[i].offset < file_size);
        MUST(ranges[i].length <= file_size - ranges[i].offset);
        sum += ranges[i].length;
    }
    MUST(sum <= file_size + (uint64_t)HTTP_RANGES_MAX * PART_MAX);
}

static void check_written_plainly(uint64_t file_size, unsigned count)
{
    unsigned count_again = 0;
    struct buf text;

    buf_init(&text, 1 << 20);
    buf_text(&text, "bytes=");
    for (unsigned i = 0; i < count; i++)
        buf_format(&text, "%s%" PRIu64 "-%" PRIu64, i > 0 ? "," : "", ranges[i].offset,
                   ranges[i].offset + ranges[i].length - 1);
    MUST(http_ranges_parse(slice_of(text.data, text.size), file_size, HTTP_RANGES_MAX, again,
                           &count_again) == HTTP_RANGES_SOME);
    MUST(count_again == count);
    for (unsigned i = 0; i < count; i++)
        MUST(again[i].offset == ranges[i].offset && again[i].length == ranges[i].length);
    buf_fini(&text);
}

static void check_multipart(uint64_t file_size, unsigned count)
{
    char boundary[HTTP_BOUNDARY_SIZE];
    struct buf text;

    http_boundary_make(boundary);
    MUST(strlen(boundary) == HTTP_BOUNDARY_SIZE - 1);
    buf_init(&text, (size_t)PART_MAX * (HTTP_RANGES_MAX + 1));
    for (unsigned i = 0; i < count; i++) {
        size_t before = text.size;
        http_multipart_head(&text, boundary, i == 0, "application/octet-stream", &ranges[i], file_size);
        MUST(text.size - before <= PART_MAX);
    }
    http_multipart_end(&text, boundary);
    MUST(buf_status(&text) == STATUS_OK);
    buf_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };
    unsigned count = 0;

    if (size < 8)
        return 0;
    /* Files end well before 2^63; small ones as often as large ones. */
    uint64_t file_size = fuzz_number(&input, 8) >> (data[0] & 31) >> 1;
    uint8_t *text = fuzz_copy(input.data, input.size);
    enum http_ranges result = http_ranges_parse(slice_of(text, input.size), file_size,
                                                HTTP_RANGES_MAX, ranges, &count);
    free(text);
    MUST((result == HTTP_RANGES_SOME) == (count > 0));
    check_bounds(file_size, count);
    if (count > 0) {
        check_written_plainly(file_size, count);
        check_multipart(file_size, count);
    }
    return 0;
}
