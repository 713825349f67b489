/* test_https_file.c: all that test_http_file.c claims holds over TLS, too. */
#include "https_wire.h"
#include "https_wire_on.h"
#define main plain_main
#include "test_http_file.c" /* NOLINT */
#undef main

int main(void)
{
    int failed = plain_main();

    wire_remove();
    return failed;
}
