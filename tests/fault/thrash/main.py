"""main.py: the thrasher by hand and for the tests (ops/thrash)."""

import argparse
import os
import pathlib
import random
import shutil
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
for folder in (HERE.parents[1] / "system", HERE.parents[1] / "lib", HERE.parent / "drills", HERE):
    sys.path.insert(0, str(folder))

EXIT_SKIPPED = 77


def colos_of(count):
    """Two colos of up to four nodes, else three."""
    return [chr(ord("a") + place % (2 if count <= 4 else 3)) for place in range(count)]


def arguments():
    parser = argparse.ArgumentParser(prog="ops/thrash", description="Break a whole cluster of real processes on hosts of their own, under load. Exit code 0: "
                                     "nothing acknowledged was lost, no byte was wrong, and every kind of fault really fired; 77: it can't be done here.")
    parser.add_argument("--faults", type=int, default=300, metavar="N", help="how many have to fire (300)")
    parser.add_argument("--seed", type=int, metavar="S", help="what befalls whom, and when; the load too")
    parser.add_argument("--nodes", default="3..6", metavar="N|N..M", help="how many; of a range the seed chooses")
    parser.add_argument("--min-replicas", type=int, choices=(1, 2), help="default: the seed chooses")
    parser.add_argument("--trial", metavar="NAME", help="rebalance, partition or death instead of faults of all kinds (--list)")
    parser.add_argument("--plant", metavar="BUG,...", help="defects of the cluster's that have to be found: see plants.py")
    parser.add_argument("--kinds", metavar="A,B", help="of faults; default: all (--list)")
    parser.add_argument("--mongo", action="store_true", help="with a MongoDB of its own rather than SQLite")
    parser.add_argument("--old-bin", metavar="DIR", type=pathlib.Path, help="every other node runs that folder's storaged")
    parser.add_argument("--length", type=float, default=1.0, metavar="X", help="faults stand so much longer or shorter")
    parser.add_argument("--disk-mib", type=int, default=512, metavar="N", help="the size of each node's disk, a tmpfs (512)")
    parser.add_argument("--keep", metavar="DIR", help="logs and directories of a failure are moved there")
    parser.add_argument("--list", action="store_true", help="name the kinds of faults and leave")
    parser.add_argument("--quiet", action="store_true", help="say no fault")
    return parser.parse_args()


def main():
    options = arguments()
    from faults import KINDS
    from links import NoLinks
    from plants import PLANTS
    from thrash import Thrash
    from trials import TRIALS

    if options.list:
        for name, kind in KINDS.items():
            print(f"{name:<20} {kind.about}")
        for name, trial in TRIALS.items():
            print(f"--trial {name:<12} {trial.about}")
        return 0
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1, 1 << 30)
    random_ = random.Random(f"{seed}/shape")
    least, _, most = options.nodes.partition("..")
    count = random_.randint(int(least), int(most or least))
    min_replicas = options.min_replicas or random_.choice((1, 2))
    kinds = options.kinds.split(",") if options.kinds else [name for name in KINDS if options.mongo or name != "kill-database"]
    began = time.monotonic()

    def said(text):
        if not options.quiet:
            print(f"{time.monotonic() - began:7.1f} {text}", file=sys.stderr, flush=True)

    print(f"seed {seed}, {count} nodes, min_replicas {min_replicas}", flush=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gribstore-thrash-"))
    settings = {"colos": colos_of(count), "faults": options.faults, "min_replicas": min_replicas, "said": said, "mongo": options.mongo, "disk_mib": options.disk_mib,
                "old_bin": options.old_bin}
    if options.trial:
        thrash = TRIALS[options.trial](folder, seed, **settings)
    else:
        thrash = Thrash(folder, seed, kinds=kinds, length=options.length, **settings)
    if options.plant:
        thrash.plants = [PLANTS[name] for name in options.plant.split(",")]
    try:
        thrash.run()
    except NoLinks as reason:
        print(f"thrash: {reason}", file=sys.stderr)
        return EXIT_SKIPPED
    finally:
        if options.keep and (thrash.findings.all() or os.environ.get("GRIBSTORE_THRASH_KEEP")):
            kept = pathlib.Path(options.keep) / f"seed-{seed}"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(folder, kept, ignore=shutil.ignore_patterns("*.sqlite-*", "ballast", "mongod*"))
        for disk in folder.glob("*.disk"):
            os.system(f"umount -l {disk} 2>/dev/null")  # noqa: S605
        shutil.rmtree(folder, ignore_errors=True)
    print(thrash.report_text(), flush=True)
    for finding in thrash.findings.all()[:300]:
        print(finding, file=sys.stderr)
    return 0 if thrash.is_good() else 1


if __name__ == "__main__":
    sys.exit(main())
