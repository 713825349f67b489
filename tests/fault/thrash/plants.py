"""Defects that the last look has to find: each is what a bug of a node's would leave, and gives the digest that it is about."""

from judge import Judge


def some_promise(thrash):
    """One that all of its owners have, by now."""
    Judge(thrash).settle()
    digest, promise = sorted(thrash.book.owed().items())[0]
    return digest, promise, [thrash.ground.node(name) for name in thrash.ground.owners(digest, promise.message.run)]


def delete_file(thrash):
    """A data file is gone behind the nodes' backs, wherever it is."""
    digest, promise, _ = some_promise(thrash)
    for node in thrash.ground.nodes:
        run = node.disk.run(promise.message.run.path)
        if run is not None and digest in run.good:
            shard, birth, _, _ = run.good[digest]
            (node.data / "runs" / promise.message.run.path / f"{shard:04d}-{birth}.grib").unlink()
    return digest


def flip_byte(thrash):
    """A byte of a message is another on every owner: nothing can mend that."""
    digest, promise, _ = some_promise(thrash)
    for node in thrash.ground.nodes:
        run = node.disk.run(promise.message.run.path)
        if run is None or digest not in run.good:
            continue
        shard, birth, offset, length = run.good[digest]
        with open(node.data / "runs" / promise.message.run.path / f"{shard:04d}-{birth}.grib", "r+b") as file:
            file.seek(offset + length // 2)
            byte = file.read(1)
            file.seek(offset + length // 2)
            file.write(bytes([byte[0] ^ 255]))
    return digest


def acknowledge_nothing(thrash):
    """A node has acknowledged what it never stored."""
    run = thrash.load.open_runs()[0]
    message = thrash.load.fields.make(run, 1, 1000, thrash.random)
    thrash.book.promise(message, len(message.data), thrash.book.run(run).epoch, 2, ())
    return message.digest


PLANTS = {plant.__name__.replace("_", "-"): plant for plant in (delete_file, flip_byte, acknowledge_nothing)}
