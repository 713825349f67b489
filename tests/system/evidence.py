"""What can be seen of an indexer that does not get on: what is missing, what it says of itself, what database and nodes say, where its
threads stand. For the message of a test that fails."""

import collections
import contextlib
import pathlib
import shutil
import subprocess

MISSING_SHOWN = 20
METRICS = ("gribstore_catalog", "gribstore_index", "gribstore_decode", "gribstore_node_reachable", "gribstore_sweep")


def of(indexer, nodes, client, acknowledged, places):
    """client: of the database; acknowledged: base_time -> digests; places: (digest, node) -> how often it stands in the index."""
    parts = [("what is missing", lambda: missing(acknowledged, places, nodes)),
             ("/v1/status", lambda: indexer.get("/v1/status").text),
             ("/readyz", lambda: indexer.get("/readyz").text),
             ("/v1/cluster/nodes", lambda: indexer.get("/v1/cluster/nodes").text),
             ("/v1/runs", lambda: runs(indexer, acknowledged)),
             ("metrics", lambda: metrics(indexer)),
             ("cursors", lambda: cursors(client, nodes)),
             ("threads", lambda: stacks(indexer.process.pid))]
    return "\n".join(f"--- {name}\n{attempt(part)}" for name, part in parts)


def attempt(part):
    """Evidence that can't be had must not hide the rest of it."""
    try:
        return part()
    except Exception as error:
        return f"(not to be had: {error!r})"


def missing(acknowledged, places, nodes):
    told = {(digest, node.name): base_time for base_time, digests in acknowledged.items() for digest in digests for node in nodes}
    lacking = {place: base_time for place, base_time in told.items() if place not in places}
    counts = collections.Counter((base_time, node) for (_, node), base_time in lacking.items())
    lines = [f"{len(told)} places wanted, {len(lacking)} not in the index, {len(set(places) - set(told))} that nobody was told of",
             *(f"{base_time} on {node}: {count}" for (base_time, node), count in sorted(counts.items())),
             *(f"{base_time} {digest} on {node}" for (digest, node), base_time in sorted(lacking.items())[:MISSING_SHOWN])]
    return "\n".join(lines)


def runs(indexer, acknowledged):
    told = {base_time: len(digests) for base_time, digests in acknowledged.items()}
    lines = []
    for run in indexer.runs(source="db"):
        wanted = told.get(run["base_time"].replace("-", "").replace(":", "")[:13] + "Z")
        if run["messages"] != wanted:
            lines.append(f"{run['base_time']}: {run['messages']} of {wanted}, {run['state']}")
    return "\n".join(lines) or "as acknowledged"


def metrics(indexer):
    return "\n".join(line for line in indexer.get("/metrics").text.splitlines() if line.startswith(METRICS))


def cursors(client, nodes):
    """Those that are not at the end of their journals, and leases."""
    stored = {(cursor["node"], f"{cursor['base_time']:%Y%m%dT%H%MZ}"): cursor for cursor in client.gribstore.cursors.find()}
    lines = []
    for node in nodes:
        for run in node.json("/cluster/runs")["runs"]:
            cursor = stored.get((node.name, run["base_time"]), {})
            if cursor.get("record") != run["records"] or cursor.get("journal") != run["journal"] or not cursor.get("complete"):
                lines.append(f"{node.name} {run['base_time']}: {run['records']} records in journal {run['journal']}; cursor {cursor}")
    lines += [f"lease {lease}" for lease in client.gribstore.leases.find()]
    return "\n".join(lines)


def stacks(pid):
    if shutil.which("gdb") is not None:
        done = subprocess.run(["gdb", "-p", str(pid), "-batch", "-nx", "-ex", "set pagination off", "-ex", "thread apply all bt 25"],
                              capture_output=True, text=True, timeout=120, check=False)
        return "\n".join(line for line in done.stdout.splitlines() if line.startswith(("#", "Thread ")))
    lines = []
    for task in sorted(pathlib.Path(f"/proc/{pid}/task").iterdir()):
        for name in ("comm", "wchan", "stack"):
            with contextlib.suppress(OSError):
                lines.append(f"{task.name} {name} {(task / name).read_text().strip()}")
    return "\n".join(lines)
