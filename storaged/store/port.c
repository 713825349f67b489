/* port.c: completions and news of changes, brought to the loop of each port. */
#include "storaged/store/store_state.h"

#include <assert.h>

static void port_answer(struct store_request *request)
{
    enum status status = request->status;

    if (request->kind == STORE_APPEND) {
        struct append *append = container_of(request, struct append, request);
        append->on_done(append, status);
    } else if (request->kind == STORE_BAD) {
        struct store_bad *bad = container_of(request, struct store_bad, request);
        bad->on_done(bad, status);
    } else if (request->kind >= STORE_SEAL) {
        struct store_drop *drop = container_of(request, struct store_drop, request);
        drop->on_done(drop, status);
    } else {
        struct run_change *change = container_of(request, struct run_change, request);
        change->on_done(change, status);
    }
}

static void port_on_async(uv_async_t *async)
{
    struct store_port *port = container_of(async, struct store_port, async);
    struct list done;

    list_init(&done);
    uv_mutex_lock(&port->mutex);
    list_splice(&done, &port->done);
    bool changed = port->changed;
    port->changed = false;
    uv_mutex_unlock(&port->mutex);
    while (!list_empty(&done)) {
        struct store_request *request = list_first(&done, struct store_request, list);

        list_remove(&request->list);
        port_answer(request);
    }
    if (changed && port->on_change != NULL && !uv_is_closing((uv_handle_t *)async))
        port->on_change(port);
}

enum status store_port_open(struct store_port *port, struct store *store, uv_loop_t *loop,
                            struct error *err)
{
    list_init(&port->done);
    port->store = store;
    port->changed = false;
    int failed = uv_async_init(loop, &port->async, port_on_async);
    if (failed != 0)
        return error_set(err, STATUS_IO, "port: %s", uv_strerror(failed));
    uv_mutex_init(&port->mutex);
    uv_mutex_lock(&store->mutex);
    list_append(&store->ports, &port->ports);
    uv_mutex_unlock(&store->mutex);
    return STATUS_OK;
}

static void port_on_close(uv_handle_t *handle)
{
    struct store_port *port = container_of((uv_async_t *)handle, struct store_port, async);

    uv_mutex_destroy(&port->mutex);
    if (port->on_closed != NULL)
        port->on_closed(port);
}

void store_port_close(struct store_port *port, void (*on_closed)(struct store_port *port))
{
    uv_mutex_lock(&port->store->mutex);
    list_remove(&port->ports);
    uv_mutex_unlock(&port->store->mutex);
    assert(list_empty(&port->done)); /* the owner has drained */
    port->on_closed = on_closed;
    uv_close((uv_handle_t *)&port->async, port_on_close);
}

void store_port_done(struct store_port *port, struct store_request *request, enum status status)
{
    request->status = status;
    uv_mutex_lock(&port->mutex);
    bool was_empty = list_empty(&port->done);
    list_append(&port->done, &request->list);
    if (was_empty)
        uv_async_send(&port->async); /* under the mutex: once the owner has its answer it may close the port */
    uv_mutex_unlock(&port->mutex);
}

void store_request_done(struct store_port *port, struct store_request *request, enum status status)
{
    if (port != NULL) {
        store_port_done(port, request, status);
        return;
    }
    request->status = status;
    port_answer(request);
}

void store_notify(struct store *store)
{
    uv_mutex_lock(&store->mutex);
    list_for_each (at, &store->ports) {
        struct store_port *port = container_of(at, struct store_port, ports);

        uv_mutex_lock(&port->mutex);
        port->changed = true;
        uv_async_send(&port->async);
        uv_mutex_unlock(&port->mutex);
    }
    uv_mutex_unlock(&store->mutex);
}
