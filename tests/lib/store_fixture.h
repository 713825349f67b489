/* store_fixture.h: a store in a directory of its own, driven to the end of each request from the test's thread.
 *
 * Messages are made from a number: the same number, the same bytes. */
#ifndef TESTS_LIB_STORE_FIXTURE_H
#define TESTS_LIB_STORE_FIXTURE_H

#include "storaged/store/store.h"

enum { FIXTURE_PATH_SIZE = 256, FIXTURE_SHARDS = 4 };

struct store_fixture {
    char dir[FIXTURE_PATH_SIZE];
    struct store_options options; /* a test may change them before it opens */
    uv_loop_t loop;
    struct store *store; /* NULL: closed */
    struct store_port port;
    unsigned changes; /* calls of on_change */
};

/* A fresh directory; the store is not open yet. */
void fixture_init(struct store_fixture *fixture);
void fixture_fini(struct store_fixture *fixture); /* closes it and removes the directory */
/* The same as set-up and tear-down of a cmocka test: *state is a fixture, not open yet or open. */
int fixture_setup(void **state);
int fixture_setup_open(void **state);
int fixture_teardown(void **state);
void fixture_remove_tree(const char *path);

enum status fixture_try_open(struct store_fixture *fixture, struct error *err);
void fixture_open(struct store_fixture *fixture);
void fixture_close(struct store_fixture *fixture);

/* hres at so many hours after 2013-04-08T00:00:00Z. */
struct run_key fixture_run(int hours);

/* An edition 2 message of exactly size bytes (at least 20) whose values are made from number. */
void fixture_message(uint64_t number, size_t size, uint8_t *bytes);
void fixture_digest(uint64_t number, size_t size, struct digest *digest);

/* An append of message `number`: its memory is its own. */
struct fixture_append {
    struct append append;
    uint8_t *bytes; /* owned */
    uint64_t number;
    bool is_done;
    enum status status;
};
struct fixture_append *fixture_append_new(struct store_fixture *fixture, const struct run_key *run,
                                          uint64_t number, size_t size);
void fixture_append_free(struct fixture_append *append);
void fixture_wait(struct store_fixture *fixture, const bool *is_done);

/* One message, to its answer; place may be NULL. */
enum status fixture_put(struct store_fixture *fixture, const struct run_key *run, uint64_t number,
                        size_t size, struct store_place *place);

/* Messages 0 to count - 1, all of one size, each acknowledged; the places of them. */
void fixture_fill(struct store_fixture *fixture, const struct run_key *run, unsigned count,
                  size_t size, struct store_place *places);

enum status fixture_tell(struct store_fixture *fixture, const struct run_key *run,
                         uint64_t incarnation, uint64_t version, enum run_state state);
enum status fixture_purge(struct store_fixture *fixture, const struct run_key *run,
                          uint64_t incarnation, uint64_t version);

/* A step of giving up the file of that place, store_seal(), store_drop() or store_unlink(), to its answer: the file's where
 * the request's is OK. drop may be NULL; it is filled with what came back, its files excepted. */
enum status fixture_give_up(struct store_fixture *fixture, const struct run_key *run,
                            const struct store_place *place,
                            void (*step)(struct store *, struct store_drop *), struct store_drop *drop);

/* The message is found and its bytes are read back by its place and are the right ones. */
bool fixture_has(struct store_fixture *fixture, const struct run_key *run, uint64_t number, size_t size);

/* Waits until nothing is left in purged/. */
void fixture_wait_purged(struct store_fixture *fixture);

#endif
