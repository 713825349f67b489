/* http_handlers.h: a small service for the tests: something of each kind that conductors do. */
#ifndef TESTS_UNIT_HTTP_HANDLERS_H
#define TESTS_UNIT_HTTP_HANDLERS_H

#include "http_fixture.h"

/* What handlers did, for the test to look at. */
struct handled {
    unsigned calls, overs;      /* handlers called; exchanges over */
    uint64_t body_size;         /* streamed in so far */
    unsigned ends;              /* calls of on_end or on_body */
    enum status end;            /* with this */
    struct http_exchange *held; /* by /hold: paused, or waiting for the test to reply */
    unsigned readies;           /* calls of on_ready */
    int fd;                     /* what /file serves */
    uint64_t file_size;
    bool asks_unreadable;              /* /file asks to be told, and replies 410 where it may */
    unsigned unreadables;              /* so often it was */
    struct http_unreadable unreadable; /* the last */
};
extern struct handled handled;

/* GET /hello; GET /later: replies at a later turn; GET /wait: the test replies (handled.held)
 * PUT /echo: gathers 1 MiB at most and sends it back; PUT /count: streams, answers the size; PUT
 * /hold: streams, paused at the first chunk (handled.held); PUT /refuse: 507 at once GET
 * /say/{one}/{two}: params, queries, headers as text; GET /file: handled.fd with ranges GET
 * /stream?known=&count=&size=&end=: that many pushes; end=short: less than promised, end=fail:
 * fails POST /post: no body needed; GET /bye: 404 with its own headers */
extern const struct http_route handlers_routes[];

void handlers_reset(void);
void handlers_file(uint64_t size); /* a file of bytes that tell their place: handlers_byte(offset) */
void handlers_file_close(void);
uint8_t handlers_byte(uint64_t offset);

#endif
