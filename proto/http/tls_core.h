/* tls_core.h: what tls.c and tls_session.c share. Nobody else looks inside. */
#ifndef PROTO_HTTP_TLS_CORE_H
#define PROTO_HTTP_TLS_CORE_H

#include "proto/http/tls.h"

#include <openssl/ssl.h>

SSL *tls_connection(struct tls *tls); /* with the certificate of now, which it keeps; NULL: no memory */

#endif
