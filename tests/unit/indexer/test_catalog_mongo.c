/* test_catalog_mongo.c: the suite of catalogs on MongoDB, and what only a server can do: be away, be read by others, lose a race. */
#include "catalog_suite.h"
#include "indexer/catalog/catalog_mongo.h"

#include <mongoc/mongoc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- a database for each case --- */

static const char *server_uri; /* GRIBSTORE_TEST_MONGO_URI */

/* The server's URI with a database's name in it. */
static void mongo_uri(char uri[SUITE_URI_SIZE])
{
    static unsigned number;
    size_t hosts = strlen("mongodb://") + strcspn(server_uri + strlen("mongodb://"), "/?");
    const char *options = strchr(server_uri, '?');

    snprintf(uri, SUITE_URI_SIZE, "%.*s/gribstore_test_%d_%u%s", (int)hosts, server_uri,
             (int)getpid(), number++, options != NULL ? options : "");
}

struct raw {
    mongoc_uri_t *uri;
    mongoc_client_t *client;
    mongoc_collection_t *fields;
};

static struct raw raw_open(const char *text)
{
    struct raw raw = { .uri = mongoc_uri_new(text) };

    raw.client = mongoc_client_new_from_uri(raw.uri);
    raw.fields = mongoc_client_get_collection(raw.client, mongoc_uri_get_database(raw.uri), "fields");
    return raw;
}

static void raw_close(struct raw *raw)
{
    mongoc_collection_destroy(raw->fields);
    mongoc_client_destroy(raw->client);
    mongoc_uri_destroy(raw->uri);
}

static void mongo_forget(const char *uri)
{
    struct raw raw = raw_open(uri);
    mongoc_database_t *database = mongoc_client_get_database(raw.client,
                                                             mongoc_uri_get_database(raw.uri));

    mongoc_database_drop(database, NULL);
    mongoc_database_destroy(database);
    raw_close(&raw);
}

/* --- what services read --- */

static bool find_one(mongoc_collection_t *collection, const bson_t *filter, bson_t *found)
{
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(collection, filter, NULL, NULL);
    const bson_t *document;
    bool there = mongoc_cursor_next(cursor, &document);

    if (there)
        bson_copy_to(document, found);
    mongoc_cursor_destroy(cursor);
    return there;
}

static bson_type_t type_of(const bson_t *document, const char *path)
{
    bson_iter_t at, found;

    assert_true(bson_iter_init(&at, document));
    return bson_iter_find_descendant(&at, path, &found) ? bson_iter_type(&found) : BSON_TYPE_EOD;
}

/* db.fields.findOne({param: "msl", base_time: ISODate("2013-04-08T00:00:00Z")}).locations[0] */
static void the_query_that_services_make_is_answered_as_is(void **state)
{
    static const struct {
        const char *path;
        bson_type_t type;
    } members[] = {
        { "_id", BSON_TYPE_BINARY },
        { "rev", BSON_TYPE_INT64 },
        { "base_time", BSON_TYPE_DATE_TIME },
        { "valid_time", BSON_TYPE_DATE_TIME },
        { "length", BSON_TYPE_INT64 },
        { "stored_at", BSON_TYPE_INT64 },
        { "digest", BSON_TYPE_UTF8 },
        { "locations.0.url", BSON_TYPE_UTF8 },
        { "locations.0.offset", BSON_TYPE_INT64 },
        { "locations.0.length", BSON_TYPE_INT64 },
        { "locations.0.node", BSON_TYPE_UTF8 },
        { "step", BSON_TYPE_INT32 },
        { "older", BSON_TYPE_ARRAY },
        { "id", BSON_TYPE_EOD },
    };
    struct catalog_fixture *fixture = *state;
    struct raw raw = raw_open(fixture->uri);
    bson_t *filter = BCON_NEW("param", BCON_UTF8("msl"), "base_time",
                              BCON_DATE_TIME(suite_run.base_time * 1000));
    bson_t found;
    bson_iter_t at, url;

    suite_add_fields(fixture->catalog, &suite_run, 1, 1, "n1", 1);
    assert_true(find_one(raw.fields, filter, &found));
    for (unsigned i = 0; i < ARRAY_COUNT(members); i++)
        if (type_of(&found, members[i].path) != members[i].type)
            fail_msg("%s is of type %d", members[i].path, type_of(&found, members[i].path));
    assert_true(bson_iter_init(&at, &found) && bson_iter_find_descendant(&at, "locations.0.url", &url));
    assert_string_equal(bson_iter_utf8(&url, NULL),
                        "http://n1:8410/data/hres/20130408T0000Z/0001-6f3a92c1d0e40001.grib");
    bson_destroy(&found);
    bson_destroy(filter);
    raw_close(&raw);
}

/* A removal reads documents, then somebody changes one before it is written: only that one is done again. */
static void what_another_writer_changed_meanwhile_is_merged_again(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct catalog *other;
    struct field_event events[40];

    assert_ok(catalog_open(fixture->uri, &other, &suite_err));
    suite_add_fields(fixture->catalog, &suite_run, 0, 20, "n1", 1);
    for (unsigned i = 0; i < 40; i++) /* half of them there, half not */
        events[i] = make_add(&suite_run, i, 1, 1000, "n2", 1);
    suite_add_fields(other, &suite_run, 10, 20, "n3", 1);
    suite_apply(fixture->catalog, events, ARRAY_COUNT(events));
    suite_add_fields(other, &suite_run, 0, 40, "n1", 1);
    struct suite_counts counts = suite_count(fixture->catalog, &suite_run);
    assert_int_equal(counts.documents, 40);
    assert_int_equal(counts.locations, 20 + 20 + 40 + 20);
    catalog_close(other);
}

/* --- a database that goes under a running indexer --- */

static unsigned count_indexes(const char *uri)
{
    struct raw raw = raw_open(uri);
    mongoc_cursor_t *cursor = mongoc_collection_find_indexes_with_opts(raw.fields, NULL);
    const bson_t *found;
    unsigned count = 0;

    while (mongoc_cursor_next(cursor, &found))
        count++;
    mongoc_cursor_destroy(cursor);
    raw_close(&raw);
    return count;
}

static void a_database_that_was_dropped_is_set_up_anew_by_the_next_question(void **state)
{
    struct catalog_fixture *fixture = *state;
    unsigned indexes = count_indexes(fixture->uri);
    struct catalog *other;

    assert_true(indexes > 1);
    suite_add_fields(fixture->catalog, &suite_run, 0, 20, "n1", 1);
    for (int i = 0; i < 2; i++) {
        mongo_forget(fixture->uri);
        assert_int_equal(count_indexes(fixture->uri), 0);
        assert_ok(catalog_ping(fixture->catalog, &suite_err));
        assert_int_equal(count_indexes(fixture->uri), indexes);
        assert_int_equal(suite_count(fixture->catalog, &suite_run).documents, 0);
        suite_add_fields(fixture->catalog, &suite_run, 0, 20, "n1", 1);
        assert_int_equal(suite_count(fixture->catalog, &suite_run).documents, 20);
    }
    assert_ok(catalog_open(fixture->uri, &other, &suite_err));
    catalog_close(other);
}

/* How many of these commands the server has taken since its start. */
static int64_t commands_taken(const struct raw *raw, const char *path)
{
    bson_t *command = BCON_NEW("serverStatus", BCON_INT32(1));
    bson_iter_t at, found;
    bson_t reply;

    assert_true(mongoc_client_command_simple(raw->client, "admin", command, NULL, &reply, NULL));
    assert_true(bson_iter_init(&at, &reply) && bson_iter_find_descendant(&at, path, &found));
    int64_t count = bson_iter_as_int64(&found);
    bson_destroy(&reply);
    bson_destroy(command);
    return count;
}

/* The driver alone would send all of it as one: 48 MB fit into a message. */
static void a_bulk_of_large_documents_is_sent_in_pieces(void **state)
{
    static const char path[] = "metrics.commands.insert.total";
    struct catalog_fixture *fixture = *state;
    struct raw raw = raw_open(fixture->uri);
    struct field_event events[40];
    enum { TEXT_SIZE = 1000000 };
    char *text = malloc(TEXT_SIZE);

    assert_non_null(text);
    memset(text, 'x', TEXT_SIZE);
    for (unsigned i = 0; i < ARRAY_COUNT(events); i++) {
        events[i] = make_add(&suite_run, i, 1, 1000, "n1", 1);
        make_set(&events[i].issue, "large", json_stringn(text, TEXT_SIZE));
    }
    int64_t before = commands_taken(&raw, path);
    suite_apply(fixture->catalog, events, ARRAY_COUNT(events));
    assert_true(commands_taken(&raw, path) - before >= 2);
    assert_int_equal(suite_count(fixture->catalog, &suite_run).documents, ARRAY_COUNT(events));
    free(text);
    raw_close(&raw);
}

/* --- two indexers at once --- */

enum { INDEXERS = 2, INDEXER_FIELDS = 300, INDEXER_BATCH = 50 };

struct indexer {
    pthread_t thread;
    pthread_barrier_t *start;
    struct catalog *catalog;
    enum status status;
    struct error err;
};

/* Both believe that both nodes are theirs. */
static void *index_two_nodes(void *data)
{
    struct indexer *indexer = data;
    struct field_event events[2 * INDEXER_FIELDS];

    for (unsigned i = 0; i < 2 * INDEXER_FIELDS; i++)
        events[i] = make_add(&suite_run, i % INDEXER_FIELDS, 1, 1000,
                             i < INDEXER_FIELDS ? "n1" : "n2", 1);
    indexer->status = STATUS_OK;
    pthread_barrier_wait(indexer->start);
    for (unsigned at = 0; indexer->status == STATUS_OK && at < ARRAY_COUNT(events); at += INDEXER_BATCH)
        indexer->status = catalog_apply(indexer->catalog, events + at, INDEXER_BATCH, &indexer->err);
    for (unsigned i = 0; i < ARRAY_COUNT(events); i++)
        field_event_fini(&events[i]);
    return NULL;
}

static void two_indexers_with_the_same_documents_lose_and_double_nothing(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct indexer indexers[INDEXERS];
    pthread_barrier_t start;

    pthread_barrier_init(&start, NULL, INDEXERS);
    for (unsigned i = 0; i < INDEXERS; i++) {
        indexers[i] = (struct indexer){ .start = &start };
        assert_ok(catalog_open(fixture->uri, &indexers[i].catalog, &suite_err));
        assert_int_equal(pthread_create(&indexers[i].thread, NULL, index_two_nodes, &indexers[i]), 0);
    }
    for (unsigned i = 0; i < INDEXERS; i++) {
        pthread_join(indexers[i].thread, NULL);
        if (indexers[i].status != STATUS_OK)
            fail_msg("%s", indexers[i].err.text);
        catalog_close(indexers[i].catalog);
    }
    pthread_barrier_destroy(&start);
    struct suite_counts counts = suite_count(fixture->catalog, &suite_run);
    assert_int_equal(counts.documents, INDEXER_FIELDS);
    assert_int_equal(counts.issues, INDEXER_FIELDS);
    assert_int_equal(counts.locations, 2 * INDEXER_FIELDS);
}

/* --- what failures mean --- */

static void what_a_failover_does_to_a_call_is_no_failure_of_its_own(void **state)
{
    static const struct {
        uint32_t domain, code;
        enum status status;
    } cases[] = {
        { MONGOC_ERROR_SERVER, 10107, STATUS_UNREACHABLE },
        { MONGOC_ERROR_SERVER, 189, STATUS_UNREACHABLE },
        { MONGOC_ERROR_SERVER, 11602, STATUS_UNREACHABLE },
        { MONGOC_ERROR_SERVER, 43, STATUS_UNREACHABLE },
        { MONGOC_ERROR_SERVER, 134, STATUS_UNREACHABLE },
        { MONGOC_ERROR_SERVER, 175, STATUS_UNREACHABLE },
        { MONGOC_ERROR_SERVER, 237, STATUS_UNREACHABLE },
        { MONGOC_ERROR_SERVER, 13388, STATUS_UNREACHABLE },
        { MONGOC_ERROR_SERVER, 50, STATUS_TIMEOUT },
        { MONGOC_ERROR_SERVER, 64, STATUS_TIMEOUT },
        { MONGOC_ERROR_SERVER, 24, STATUS_TIMEOUT },
        { MONGOC_ERROR_SERVER, 14031, STATUS_FULL },
        { MONGOC_ERROR_SERVER, 371, STATUS_READ_ONLY },
        { MONGOC_ERROR_SERVER, 13, STATUS_FORBIDDEN },
        { MONGOC_ERROR_SERVER, 18, STATUS_UNAUTHORIZED },
        { MONGOC_ERROR_SERVER, 2, STATUS_INTERNAL },
        { MONGOC_ERROR_STREAM, 1, STATUS_UNREACHABLE },
        { MONGOC_ERROR_PROTOCOL, 17, STATUS_UNREACHABLE },
        { MONGOC_ERROR_SERVER_SELECTION, 13053, STATUS_UNREACHABLE },
        { MONGOC_ERROR_WRITE_CONCERN, 64, STATUS_TIMEOUT },
    };
    struct error err;

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        bson_error_t failure = { .domain = cases[i].domain, .code = cases[i].code, .message = "so it is" };
        assert_int_equal(mongo_failed(&failure, &err, "reading"), cases[i].status);
        assert_string_equal(err.text, "MongoDB: reading: so it is");
    }
}

/* --- a server that does not answer --- */

static void a_server_that_is_away_is_told_without_its_secrets(void **state)
{
    static const char *const uris[] = {
        "mongodb://user:s3cret@127.0.0.1:1/?serverSelectionTimeoutMS=200",
        "mongodb://user:s3cret@:0/?x=1",
        "mongodb://user:s3cret/@host",
        "mongodb://user:s3c%ret@127.0.0.1:1/",
    };
    struct catalog *catalog;
    struct error err;

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(uris); i++) {
        enum status status = catalog_open(uris[i], &catalog, &err);
        assert_int_equal(status, i == 0 ? STATUS_UNREACHABLE : STATUS_BAD_VALUE);
        assert_null(catalog);
        assert_null(strstr(err.text, "s3c"));
    }
}

static int run_server(void)
{
    static const struct CMUnitTest server[] = {
        cmocka_unit_test_setup_teardown(the_query_that_services_make_is_answered_as_is, suite_setup,
                                        suite_teardown),
        cmocka_unit_test_setup_teardown(what_another_writer_changed_meanwhile_is_merged_again,
                                        suite_setup, suite_teardown),
        cmocka_unit_test_setup_teardown(a_database_that_was_dropped_is_set_up_anew_by_the_next_question,
                                        suite_setup, suite_teardown),
        cmocka_unit_test_setup_teardown(a_bulk_of_large_documents_is_sent_in_pieces, suite_setup,
                                        suite_teardown),
        cmocka_unit_test_setup_teardown(two_indexers_with_the_same_documents_lose_and_double_nothing,
                                        suite_setup, suite_teardown),
        cmocka_unit_test(what_a_failover_does_to_a_call_is_no_failure_of_its_own),
        cmocka_unit_test(a_server_that_is_away_is_told_without_its_secrets),
    };

    return cmocka_run_group_tests(server, NULL, NULL);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--be-killed") == 0)
        return suite_be_killed(argv[2], argv[3]);
    server_uri = getenv("GRIBSTORE_TEST_MONGO_URI");
    if (server_uri == NULL) {
        fprintf(stderr, "no server: GRIBSTORE_TEST_MONGO_URI is not set\n");
        return 77;
    }
    suite_make_uri = mongo_uri;
    suite_forget = mongo_forget;
    int failed = suite_run_fields() + suite_run_rows() + suite_run_write() + suite_run_faults() +
                 suite_run_state() + suite_run_quarantine() + suite_run_lock() + suite_run_guard() +
                 run_server();
    return failed != 0;
}
