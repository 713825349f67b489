/* fuzz_node_json.c: node.json of any bytes. What loads has to be names that a map may have, and to come back as it was saved. */
#include "storaged/node_json.h"
#include "tests/fuzz/fuzz_dir.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct node_json self, again;
    struct error err;

    error_init(&err);
    fuzz_file("node.json", data, size);
    enum status status = node_json_load(fuzz_dir(), &self, &err);
    if (status != STATUS_OK) {
        MUST(err.text[0] != '\0' && status != STATUS_NOT_FOUND);
        return 0;
    }
    MUST(node_id_valid(self.id) && node_url_valid(self.url));
    MUST(node_json_save(fuzz_dir(), &self, NULL) == STATUS_OK);
    MUST(node_json_load(fuzz_dir(), &again, NULL) == STATUS_OK);
    MUST(node_json_equal(&self, &again));
    return 0;
}
