"""How full a node is: what it says of that itself, and what `gribstore status` makes of it."""
import json

from processes import Client, await_condition


def test_a_node_says_how_much_room_there_is(node):
    room = node.json("/cluster/capacity")
    assert room["node"] == node.name
    assert room["used"] + room["free"] == room["total"]
    assert 0 < room["low_water"] <= room["high_water"] <= room["total"] - room["reserve"]
    assert room["growth_bytes_per_second"] is None and room["full_in_seconds"] is None  # it has just begun
    assert node.metric("gribstore_disk_high_water_bytes") > 0 and node.metric("gribstore_disk_low_water_bytes") > 0
    assert "gribstore_disk_full_seconds" not in node.get("/metrics").text


def test_a_node_above_its_high_water_mark_says_so_and_takes_puts(daemons, stamped):
    node = daemons.node(arguments=["--high-water", "1", "--low-water", "1"])
    indexer = daemons.indexer([node])
    await_condition(lambda: node.json("/cluster/capacity")["above_high_water"], "it is above its mark")
    ready = node.get("/readyz")
    assert ready.status_code == 200
    (check,) = [check for check in ready.json()["checks"] if check["name"] == "high-water"]
    assert check["ok"] and "high-water mark" in check["detail"]
    node.ingest("high", stamped("20200102T0300Z", 3))
    indexer.await_messages("high", 3)  # an index that lags would be said, too
    told = Client(indexer, node).run("status", "--json", expected=None)
    status = json.loads(told.stdout)
    assert told.returncode == 1, status
    assert [check["code"] for check in status["checks"]] == ["NEARFULL"]
    (server,) = [server for server in status["servers"] if server["kind"] == "node"]
    assert 0 < server["disk_high_water"] <= server["disk_used"]
