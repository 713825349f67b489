/* http_address.c: "HOST:PORT" taken apart. Pure. */
#include "proto/http/http_server.h"

#include <arpa/inet.h>
#include <stdio.h>

enum { ADDRESS_HOST_SIZE = 256 };

bool http_address_parse(const char *text, char *host, size_t host_size, unsigned *port)
{
    const char *colon = strrchr(text, ':');
    uint64_t number;

    if (colon == NULL || decimal_parse(colon + 1, strlen(colon + 1), UINT16_MAX, &number) != 0)
        return false;
    size_t size = (size_t)(colon - text);
    if (text[0] == '[') {
        if (size < 3 || colon[-1] != ']')
            return false;
        text++;
        size -= 2;
    } else if (memchr(text, ':', size) != NULL) {
        return false; /* a V6 address needs its brackets */
    }
    if (size == 0 || size >= host_size)
        return false;
    memcpy(host, text, size);
    host[size] = '\0';
    *port = (unsigned)number;
    return true;
}

bool http_address_loopback(const char *text)
{
    char host[ADDRESS_HOST_SIZE];
    struct in_addr v4;
    struct in6_addr v6;
    unsigned port;

    if (!http_address_parse(text, host, sizeof host, &port))
        return false;
    if (strcmp(host, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return (ntohl(v4.s_addr) >> 24) == 127;
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}
