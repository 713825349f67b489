/* fuzz_http_range.c: eight bytes of file size, then a Range header. Whatever it says, ranges lie
 * in the file, and are not many times the file. */
#include "proto/http/http_range.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct http_range ranges[HTTP_RANGES_MAX];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t file_size, sum = 0;
    unsigned count;

    if (size < 8)
        return 0;
    file_size = get_u64(data) >> (data[0] & 31) >>
                1; /* files end well before 2^63; small ones as often as large ones */
    enum http_ranges result = http_ranges_parse(slice_of(data + 8, size - 8), file_size,
                                                HTTP_RANGES_MAX, ranges, &count);
    assert((result == HTTP_RANGES_SOME) == (count > 0));
    assert(count <= HTTP_RANGES_MAX);
    for (unsigned i = 0; i < count; i++) {
        assert(ranges[i].length > 0 && ranges[i].offset < file_size);
        assert(ranges[i].length <= file_size - ranges[i].offset);
        sum += ranges[i].length;
    }
    assert(sum <= file_size + (uint64_t)HTTP_RANGES_MAX * 400);
    return 0;
}
