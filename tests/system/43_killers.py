"""Messages that kill their decoder, among good ones: each goes to quarantine once, with how it killed; all others are indexed; the indexer lives.

On command: killable_decoder is gribstore-decoder, sandbox and limits and all, but for heads that say how to kill it. Its messages are real ones with a
longer section 1. And with gribstore-decoder itself: messages on which ecCodes 2.28 aborts.

GRIBSTORE_KILLERS=10000 makes so many killers of each sort, with the time limits of a real indexer (a second of CPU a head); the figures are printed.
"""

import os
import pathlib
import random
import signal
import threading
import time

import pytest
import requests

from processes import BIN, Cluster, await_condition

KILLERS = int(os.environ.get("GRIBSTORE_KILLERS", "60"))
LONG = KILLERS > 1000
GOOD = 2 * KILLERS
ASAN = b"__asan_init" in (BIN / "indexer").read_bytes()
RUN = "20261120T0000Z"
DECODERS = 2
AWAIT_S = 120 if not LONG else 4 * 3600
# The long form takes as long as its killers do.
pytestmark = pytest.mark.timeout(0 if LONG else 600)
GROWTH_KB_MAX = (1024 if ASAN else 256) * 1024

# Word, a part of its reason, its class, and how many of a thousand killers it is.
KINDS = [
    ("abort", "decoder died: signal 6 (abort)", "died", 335),
    ("segv", "decoder died: signal 11 (segmentation fault)", "died", 300),
    ("exit", "decoder died: exit status 3", "died", 80),
    ("memory", "decoder died: signal 6 (abort)", "died", 40),
    ("keys", "decoder gave keys that are no JSON object", "garbage", 100),
    ("no", "as it was told", "refused", 100),
    ("kill", "decoder died: signal 9 (kill)", "died", 10),
    ("junk", "decoder gave an answer", "garbage", 10),
    ("cpu", "decoder timed out after", "timed-out", 20),  # where nobody gives it CPU, the clock comes first
    ("hang", "decoder timed out after", "timed-out", 5),
]


def command(message, word, number):
    """A message of edition 2 whose section 1 is longer by a calendar and a command: to gribstore-decoder it is as good as before."""
    text = b"\x00\x00\x00GRIBSTORE-KILL " + word.encode() + b" %08d" % number
    behind = 16 + int.from_bytes(message[16:20], "big")
    body = (behind - 16 + len(text)).to_bytes(4, "big") + message[20:behind] + text + message[behind:]
    return message[:8] + (len(body) + 16).to_bytes(8, "big") + body


def commanded(messages):
    """(killer, its kind) for each message, the kinds mixed."""
    words = [kind for kind in KINDS for _ in range(kind[3])]
    random.Random(43).shuffle(words)
    if not LONG:  # every kind, and of those that take their time one each
        quick = [kind for kind in words if kind[0] not in ("cpu", "hang", "junk", "kill")]
        words = (list(KINDS) + quick)[:len(messages)]
    return [(command(message, words[place % len(words)][0], place), words[place % len(words)])
            for place, message in enumerate(messages)]


def killing(number):
    """A part of a reduced Gaussian grid whose first row has one point: on that ecCodes 2.28 aborts. Edition 1."""
    section1 = bytearray(bytes([0, 0, 28, 128, 98, 255, 255, 0x80, 167, 1, 0, 0, 26, 11, 20, 0, 0, 1, 0, 0, 0, 0, 0, 0, 21, 0, 0, 0]))
    section1[8] = 1 + number % 100            # parameter
    section1[10:12] = (number // 100 % 1000).to_bytes(2, "big")  # level
    section1[18] = number // 100_000           # step
    section2 = bytes([0, 0, 40, 0, 33, 4, 255, 255, 0, 4, 1, 56, 128, 0, 0, 0, 0, 129, 56, 128, 4, 30, 176, 255, 255, 0, 2, 0, 0, 0,
                      0, 0, 0, 1, 0, 8, 0, 8, 0, 4])
    section4 = bytes([0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 16]) + bytes(9)
    body = bytes(section1) + section2 + section4 + b"7777"
    return b"GRIB" + (len(body) + 8).to_bytes(3, "big") + b"\x01" + body


class Asking(threading.Thread):
    """Asks the indexer again and again, and keeps the longest time that an answer took."""

    def __init__(self, indexer):
        super().__init__(daemon=True)
        self.indexer, self.ended = indexer, threading.Event()
        self.count, self.longest_s, self.failure = 0, 0.0, None

    def run(self):
        try:
            while not self.ended.wait(0.05):
                begin = time.monotonic()
                for path in ("/v1/fields?source=killers&limit=10", "/v1/runs?source=killers", "/healthz"):
                    answer = self.indexer.get(path)
                    assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
                self.longest_s = max(self.longest_s, (time.monotonic() - begin) / 3)
                self.count += 3
        except (AssertionError, requests.RequestException) as failure:
            self.failure = failure

    def end(self):
        self.ended.set()
        self.join()
        assert self.failure is None, self.failure
        assert self.count > 0
        return self.longest_s


def memory_kb(pid, name):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise AssertionError(f"{pid} has no {name}")


def children(pid):
    return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_zombie(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def all_reaped(pid):
    """As many children as there are decoders, no dead one among them, and none among theirs."""
    try:
        decoders = children(pid)
        workers = [worker for decoder in decoders for worker in children(decoder)]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return len(decoders) == DECODERS and len(workers) <= DECODERS and not any(map(is_zombie, decoders + workers))


def check_survived(indexer, node, killers, good):
    """Killers and good ones, mixed, through both daemons; what has to hold then. The digests of the killers, in their order."""
    mixed = [(message, True) for message in killers] + [(message, False) for message in good]
    random.Random(44).shuffle(mixed)
    pid, before_kb = indexer.process.pid, memory_kb(indexer.process.pid, "VmRSS")
    asking = Asking(indexer)
    asking.start()
    begin = time.monotonic()
    answer = node.put("/ingest/killers/", data=b"".join(message for message, _ in mixed), timeout=600)
    assert answer.status_code == 201, answer.text
    stored = [message["digest"] for message in answer.json()["messages"]]
    assert len(set(stored)) == len(mixed)

    def indexed():
        runs = indexer.runs(source="killers")
        assert all(run["quarantined"] <= len(killers) and run["fields"] <= len(good) for run in runs)
        return sum(run["messages"] for run in runs) == len(mixed) and indexer.caught_up()
    await_condition(indexed, "all of it is in the index or in quarantine", AWAIT_S)
    took_s = time.monotonic() - begin
    longest_s = asking.end()

    digests = {message: digest for (message, _), digest in zip(mixed, stored)}
    bad = [digests[message] for message in killers]
    checked = indexer.post(f"/v1/runs/killers/{RUN}/check", json={"digests": stored}).json()
    assert checked["missing"] == []
    assert sorted(checked["quarantined"]) == sorted(bad)
    [run] = indexer.runs(source="killers")
    assert (run["quarantined"], run["fields"]) == (len(killers), len(good))
    assert {field["digest"] for field in indexer.fields(source="killers", limit=10000)} == {digests[message] for message in good}
    await_condition(lambda: indexer.metric("gribstore_index_quarantined_total") == len(killers), "each is counted once")

    assert indexer.process.poll() is None and indexer.process.pid == pid
    assert indexer.output().count("indexer.started") == 1
    await_condition(lambda: all_reaped(pid), "dead decoders are reaped, and as many alive as there should be")
    peak_kb = memory_kb(pid, "VmHWM")
    assert peak_kb - before_kb < GROWTH_KB_MAX, f"{before_kb} kB before, {peak_kb} at most"
    print(f"\n{len(killers)} killers and {len(good)} good messages in {took_s:.1f} s: {len(killers) / took_s:.0f} killers a second, "
          f"longest answer {longest_s * 1000:.0f} ms, {(peak_kb - before_kb) // 1024} MiB more memory at most, "
          f"{indexer.metric('gribstore_decoder_deaths_total'):.0f} decoders died")
    return bad


def split(grib, data):
    return [message.data for message in grib.split_bytes(data)]


def start(daemons, node, decoder):
    # A head gets a tenth of the time as CPU time; a killer by the clock takes all of it.
    arguments = ["--decoders", DECODERS, "--timeout", "10s" if LONG else "3s", "--decoder", BIN / decoder]
    return daemons.indexer([node], arguments=arguments)


def quarantine(indexer, **query):
    """All entries, and the last answer."""
    pages = list(indexer.pages("/v1/quarantine", **query))
    return [entry for page in pages for entry in page["entries"]], pages[-1]


def test_messages_that_kill_on_command(daemons, node, grib, stamped):
    indexer = start(daemons, node, "killable_decoder")
    messages = split(grib, stamped(RUN, KILLERS + GOOD))
    killers = commanded(messages[:KILLERS])
    good = messages[KILLERS:]
    good[0] = command(good[0], "print", 0)  # to standard output, as a library might: that harms nobody
    bad = check_survived(indexer, node, [killer for killer, _ in killers], good)
    entries, answer = quarantine(indexer, source="killers", limit=7 if not LONG else 1000)
    found = {entry["digest"]: entry for entry in entries}
    assert len(entries) == len(found) == answer["count"] == len(killers)
    for digest, (_, (word, reason, kind, _)) in zip(bad, killers):
        entry = found[digest]
        assert reason in entry["reason"] and entry["class"] == kind, f"{word}: {entry}"
        assert (entry["eccodes"], entry["decoder"], len(entry["locations"])) == ("0.0.1", answer["decoder"], 1)
    for kind, count in answer["classes"].items():
        assert count == sum(1 for _, (_, _, its, _) in killers if its == kind)
        assert len(quarantine(indexer, **{"class": kind})[0]) == count


def test_messages_that_kill_ecCodes(daemons, node, grib, stamped):
    indexer = start(daemons, node, "gribstore-decoder")
    if "2.28." not in indexer.json("/readyz")["eccodes"]:
        pytest.skip("what kills another ecCodes is not known here")
    count = KILLERS if LONG else KILLERS // 2
    check_survived(indexer, node, [killing(number) for number in range(count)], split(grib, stamped(RUN, 2 * count)))


REFUSED = ("abort", "no", "keys", "segv")


def put_refused(node, grib, stamped, count=40):
    """So many messages that killable_decoder refuses, and half as many good ones; all their digests."""
    messages = split(grib, stamped(RUN, count + count // 2))
    messages[:count] = [command(message, REFUSED[place % len(REFUSED)], place) for place, message in enumerate(messages[:count])]
    answer = node.put("/ingest/killers/", data=b"".join(messages))
    assert answer.status_code == 201, answer.text
    return [message["digest"] for message in answer.json()["messages"]]


def restart_with(indexer, decoder):
    indexer.command[indexer.command.index("--decoder") + 1] = str(BIN / decoder)
    return indexer.start().wait_ready()


def test_another_decoder_tries_quarantine_again(daemons, node, grib, stamped):
    indexer = start(daemons, node, "killable_decoder")
    digests = put_refused(node, grib, stamped)
    await_condition(lambda: len(quarantine(indexer)[0]) == 40, "what it refuses is in quarantine")
    entries, answer = quarantine(indexer)
    assert {entry["eccodes"] for entry in entries} == {"0.0.1"} and answer["eccodes"] == "0.0.1"
    indexer.stop()

    restart_with(indexer, "gribstore-decoder")
    release = indexer.json("/readyz")["eccodes"]
    await_condition(lambda: quarantine(indexer)[1]["count"] == 0, "what decodes now has left the quarantine")
    fields = indexer.fields(source="killers", limit=1000)
    assert {field["digest"] for field in fields} == set(digests)
    assert {field["eccodes"] for field in fields} == {release}
    for field in fields:
        [place] = field["locations"]
        data = requests.get(place["url"], headers={"Range": f"bytes={place['offset']}-{place['offset'] + place['length'] - 1}"}, timeout=60)
        assert data.status_code == 206 and data.content[:4] == b"GRIB" and data.content[-4:] == b"7777"
    [run] = indexer.runs(source="killers")
    assert (run["quarantined"], run["fields"], run["messages"]) == (0, 60, 60)
    await_condition(lambda: "40 messages decode now, 0 are refused again, 0 could not be read" in indexer.output(), "it is told in the log")
    await_condition(lambda: indexer.metric("gribstore_quarantine_retried_total") == 40, "each is counted once")


def test_a_copy_that_comes_after_a_retry_is_not_refused(daemons, grib, stamped, tmp_path):
    """The decoder is another one while the indexer runs: it tries again what the first refused. Then another node has the same messages:
    what was known of them, that they are refused, holds no more."""
    nodes = [daemons.node(name) for name in ("n1", "n2")]
    program = tmp_path / "decoder"
    program.symlink_to(BIN / "killable_decoder")
    indexer = daemons.indexer(nodes, ready=False, arguments=["--decoders", "1", "--decoder", program])
    Cluster(nodes, indexer).init()
    indexer.wait_ready()
    data = b"".join(command(message, "no", number) for number, message in enumerate(split(grib, stamped(RUN, 5))))

    def put_here(node):
        answer = node.put("/replica/killers", data=data)
        assert answer.status_code == 201, answer.text
    put_here(nodes[0])
    await_condition(lambda: len(quarantine(indexer)[0]) == 5, "what it refuses is in quarantine")
    program.unlink()
    program.symlink_to(BIN / "gribstore-decoder")
    for pid in children(indexer.process.pid):
        os.kill(pid, signal.SIGKILL)
    await_condition(lambda: quarantine(indexer)[1]["count"] == 0, "what decodes now has left the quarantine")
    put_here(nodes[1])
    indexer.await_messages("killers", 5, copies=2)
    assert quarantine(indexer)[1]["count"] == 0


def test_what_is_refused_again_is_not_tried_by_the_same(daemons, node, grib, stamped):
    indexer = start(daemons, node, "gribstore-decoder")
    broken = bytearray(split(grib, stamped(RUN, 1))[0])
    at = 16 + int.from_bytes(broken[16:20], "big")
    while broken[at + 4] != 4:
        at += int.from_bytes(broken[at:at + 4], "big")
    broken[at + 7:at + 9] = b"\xfe\xfe"  # a product definition template that no table has
    assert node.put("/ingest/killers/", data=bytes(broken)).status_code == 201
    await_condition(lambda: quarantine(indexer)[1]["count"] == 1, "it is in quarantine")
    indexer.stop()
    restart_with(indexer, "killable_decoder")
    await_condition(lambda: [entry["eccodes"] for entry in quarantine(indexer)[0]] == ["0.0.1"], "the other decoder has refused it, too")
    await_condition(lambda: "0 messages decode now, 1 are refused again" in indexer.output(), "it is told in the log")
    indexer.stop()
    restart_with(indexer, "killable_decoder")
    before = indexer.output().count("event=quarantine.retry")
    # Asked for it is tried by the same as well: so a look that found nothing to do has come before.
    status = await_condition(lambda: indexer.json("/v1/reindex")["quarantine"].get("ended_at"), "it has looked")
    assert status and indexer.output().count("event=quarantine.retry") == before
    assert indexer.post("/v1/reindex").status_code == 202
    await_condition(lambda: indexer.output().count("event=quarantine.retry") == before + 1, "it was tried again")
    await_condition(lambda: not indexer.json("/v1/reindex")["names"]["running"], "names are made anew")
    assert quarantine(indexer)[1]["classes"]["refused"] == 1


def test_a_retry_that_is_killed_goes_on(daemons, node, grib, stamped):
    indexer = start(daemons, node, "killable_decoder")
    digests = put_refused(node, grib, stamped, count=160)
    await_condition(lambda: quarantine(indexer)[1]["count"] == 160, "what it refuses is in quarantine")
    indexer.stop()
    kills = 0
    for wait_s in (0.0, 0.1, 0.2):
        restart_with(indexer, "gribstore-decoder")
        await_condition(lambda: indexer.json("/v1/reindex")["quarantine"].get("started_at"), "it is trying")
        time.sleep(wait_s)  # any moment will do
        left = quarantine(indexer)[1]["count"]
        indexer.kill()
        kills += 0 < left
    restart_with(indexer, "gribstore-decoder")
    await_condition(lambda: quarantine(indexer)[1]["count"] == 0, "what decodes now has left the quarantine")
    fields = indexer.fields(source="killers", limit=1000)
    assert len(fields) == len(digests) and {field["digest"] for field in fields} == set(digests)
    assert all(len(field["locations"]) == 1 for field in fields)
    [run] = indexer.runs(source="killers")
    assert (run["quarantined"], run["fields"], run["messages"]) == (0, 240, 240)
    print(f"\n{kills} of 3 kills came in the middle")
