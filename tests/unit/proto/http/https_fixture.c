/* https_fixture.c: the fixture of plain sockets, over TLS: it has to come behind what makes sockets speak TLS. */
#include "https_wire.h"
#include "https_wire_on.h"

#include "http_fixture.c" /* NOLINT */
