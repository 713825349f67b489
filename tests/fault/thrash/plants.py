"""Defects that the last look has to find: each is what a bug of a node's would leave, and gives the digest that it is about."""

from judge import Judge


def some_promise(thrash):
    """One that all of its owners have, by now."""
    Judge(thrash).settle()
    digest, promise = sorted(thrash.book.owed().items())[0]
    return digest, promise


def places_of(thrash):
    """A digest, and what changes all of its copies' files: all nodes are down, so that nobody reads from an open file what another
    one lacks, and mends it."""
    digest, promise = some_promise(thrash)
    for node in thrash.ground.nodes:
        node.leave()
    files = []
    for node in thrash.ground.nodes:
        run = node.disk.run(promise.message.run.path)
        if run is not None and digest in run.good:
            shard, birth, offset, length = run.good[digest]
            files.append((node.data / "runs" / promise.message.run.path / f"{shard:04d}-{birth}.grib", offset, length))
    return digest, files


def start_all(thrash):
    for node in thrash.ground.nodes:
        node.start()
    for node in thrash.ground.nodes:
        node.wait_up()


def delete_file(thrash):
    """A data file is gone behind the nodes' backs, wherever it is."""
    digest, files = places_of(thrash)
    for path, _, _ in files:
        path.unlink()
    start_all(thrash)
    return digest


def flip_byte(thrash):
    """A byte of a message is another on every owner: nothing can mend that."""
    digest, files = places_of(thrash)
    for path, offset, length in files:
        with open(path, "r+b") as file:
            file.seek(offset + length // 2)
            byte = file.read(1)
            file.seek(offset + length // 2)
            file.write(bytes([byte[0] ^ 255]))
    start_all(thrash)
    return digest


def acknowledge_nothing(thrash):
    """A node has acknowledged what it never stored."""
    run = thrash.load.open_runs()[0]
    message = thrash.load.fields.make(run, 1, 1000, thrash.random)
    thrash.book.promise(message, len(message.data), thrash.book.run(run).epoch, 2, ())
    return message.digest


PLANTS = {plant.__name__.replace("_", "-"): plant for plant in (delete_file, flip_byte, acknowledge_nothing)}
