"""What the benchmarks of limits and references share: one line a figure, and the program around the checks.

A benchmark is a class whose methods check_* each give some figures; `main` runs those that are asked for.
"""

import argparse
import contextlib
import dataclasses
import json
import pathlib
import tempfile

from bench import ROOT, say, touch_memory
from bench_servers import BenchError


@dataclasses.dataclass(frozen=True)
class Figure:
    """One line of the table: ours against a reference, or a value alone against a limit."""
    name: str
    text: str
    ours: float
    unit: str
    other: float | None = None
    other_text: str = ""
    at_least: float | None = None    # of ours / other, or of ours where there is no other
    at_most: float | None = None

    @property
    def compared(self):
        return self.ours / self.other if self.other else self.ours

    @property
    def wanted(self):
        if self.at_least is not None:
            return f">={self.at_least:g}"
        return f"<={self.at_most:g}" if self.at_most is not None else ""

    @property
    def met(self):
        if self.at_least is not None:
            return self.compared >= self.at_least
        return self.compared <= self.at_most if self.at_most is not None else True


def line(figure):
    other = f"{figure.other:,.4g} {figure.unit} {figure.other_text}" if figure.other is not None else ""
    ratio = f"{figure.compared:.2f}x" if figure.other is not None else ""
    mark = "" if figure.wanted == "" else "met" if figure.met else "NOT MET"
    return f"{figure.name:<16} {figure.ours:>10,.4g} {figure.unit:<9} {other:<34} {ratio:>7} {figure.wanted:>7} {mark:<8} {figure.text}"


def checks_of(bench):
    return [name.removeprefix("check_") for name in vars(bench) if name.startswith("check_")]


def parse_arguments(program, about, bench, more=()):
    """more: arguments of add_argument() that this benchmark alone takes."""
    checks = checks_of(bench)
    parser = argparse.ArgumentParser(prog=program, description=about)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin", metavar="DIR",
                        help="measure the binaries of DIR; nothing is built (default: build the release preset)")
    parser.add_argument("--quick", action="store_true", help="a smoke run of seconds: no figure worth reading")
    parser.add_argument("--rounds", type=int, metavar="N", help="A B A B ... so many times (default 3)")
    for flag, options in more:
        parser.add_argument(flag, **options)
    parser.add_argument("--cases", nargs="+", choices=checks, default=checks, metavar="CASE", help=f"some of: {' '.join(checks)}")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="all figures")
    parser.add_argument("--dir", type=pathlib.Path, metavar="DIR", help="on the disk to be measured (default: build/bench)")
    parser.add_argument("--no-touch", action="store_true", help="don't touch free memory first (a guest's pages)")
    return parser.parse_args()


def measure(arguments, parent, bench, *given):
    """Each check in a folder of its own."""
    figures = []
    for name in arguments.cases:
        with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=parent) as folder:
            try:
                for figure in getattr(bench(arguments, pathlib.Path(folder), *given), f"check_{name}")():
                    figures.append(figure)
                    print(line(figure), flush=True)
            except BenchError as error:
                raise BenchError(f"{name}: {error}") from None
    return figures


def main(arguments, bench, beside=lambda parent: contextlib.nullcontext(())):
    """beside(parent): a context whose value is what the benchmark is given besides: a server that all checks share."""
    parent = (arguments.dir or ROOT / "build/bench").resolve()
    parent.mkdir(parents=True, exist_ok=True)
    if not arguments.quick and not arguments.no_touch:
        touch_memory()
    try:
        with beside(parent) as given:
            figures = measure(arguments, parent, bench, *given)
    except BenchError as error:
        say(f"bench: {error}")
        return 1
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([dataclasses.asdict(figure) | {"compared": figure.compared, "met": figure.met}
                                              for figure in figures], indent=1) + "\n")
    return 0
