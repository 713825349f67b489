/* https_fixture.c: the fixture of plain sockets, over TLS. */
#include "http_fixture.c" /* NOLINT */
#include "https_wire.h"
#include "https_wire_on.h"
