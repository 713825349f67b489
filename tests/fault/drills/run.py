"""run.py: drills by hand, with a table at the end (ops/drill)."""

import argparse
import dataclasses
import json
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

COLUMNS = ("drill", "rounds", "faults", "acked", "purges", "lost", "wrong", "doubled", "failed starts", "other", "s")


def row(result):
    return (result.name, result.rounds, result.fired, result.acknowledged, result.purges, result.lost, result.wrong, result.doubled,
            result.failed_starts, result.other, f"{result.seconds:.0f}")


def print_table(results):
    rows = [COLUMNS, *(tuple(map(str, row(result))) for result in results)]
    widths = [max(len(line[place]) for line in rows) for place in range(len(COLUMNS))]
    for line in rows:
        print("  ".join(cell.ljust(width) if place == 0 else cell.rjust(width) for place, (cell, width) in enumerate(zip(line, widths))))


def say(result):
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{result.name}: {result.rounds} rounds, {result.fired} faults, {len(result.failures)} failures ")


def main():
    from drills import DRILLS, LONG, run_drill

    parser = argparse.ArgumentParser(prog="ops/drill", description="Break real storage nodes, and look at what is left. "
                                     "Exit code 0: nothing acknowledged was lost and every fault really fired.")
    parser.add_argument("name", nargs="*", metavar="NAME", help="drills to run; default: all (--list names them)")
    parser.add_argument("--list", action="store_true", help="name the drills and leave")
    parser.add_argument("--rounds", type=int, metavar="N", help="of each drill; default: the long form's")
    parser.add_argument("--seed", type=int, metavar="S", help="of the first campaign; a failure names its own")
    parser.add_argument("--json", action="store_true", help="results as JSON, one object a line")
    parser.add_argument("--keep", metavar="DIR", help="move the directories of what failed there")
    parser.add_argument("--all", action="store_true", help="go on after a failure")
    options = parser.parse_args()
    if options.list:
        for name, drill in DRILLS.items():
            print(f"{name:<12} {LONG[name]:>4} rounds  {drill.about}")
        return 0
    unknown = [name for name in options.name if name not in DRILLS]
    if unknown:
        parser.error(f"no drill {unknown[0]} (--list)")
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1, 1 << 30)
    results = []
    for name in options.name or DRILLS:
        result = run_drill(name, options.rounds or LONG[name], seed, keep=options.keep, stop_early=not options.all, said=say)
        results.append(result)
        if options.json:
            print(json.dumps({**dataclasses.asdict(result), "seed": seed, "good": result.is_good}), flush=True)
        for failure in result.failures[:20]:
            print(f"{name}: {failure}", file=sys.stderr)
        if result.failures:
            print(f"{name}: again: ops/drill {name} --seed {result.failures[0].split()[1].rstrip(':')} --rounds 6", file=sys.stderr)
        elif not result.is_good:
            print(f"{name}: {result.fired} faults fired, {result.acknowledged} messages acknowledged: nothing is proven", file=sys.stderr)
    if not options.json:
        print_table(results)
    return 0 if all(result.is_good for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
