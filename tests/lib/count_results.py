"""Count what ran, from the JUnit files that ctest and pytest left in folders, and close with one line.

    count_results.py FOLDER...      ctest.xml, system*.xml, and `broken`: a reason a line, each counts as failed

In ctest's file a case is a binary; its functions are counted from what cmocka printed. A binary that ends badly without a
failed function (a crash, a sanitizer's report, a time-out) counts as one failure.
"""

import argparse
import os
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

GROUP_BEGINS = re.compile(r"\[=+\] Running \d+ test\(s\)\.")
GROUP_ENDS = re.compile(r"\[=+\] \d+ test\(s\) run\.")
FUNCTION = re.compile(r"\[ +(OK|FAILED|SKIPPED) +\] (.+)")


class Count:
    def __init__(self):
        self.passed = 0
        self.failed = []  # name, with the reason where there is one
        self.skipped = []

    def skip(self, name, reason):
        """In CI the MongoDB tests have to run: there a skip of one is a failure."""
        told = f"{name}: {reason}" if reason else name
        if os.environ.get("CI") == "true" and "mongo" in told.lower():
            self.failed.append(f"{told} (skipped, which CI does not take)")
        else:
            self.skipped.append(told)


def cmocka_functions(output):
    """(outcome, function) for each function, as it ended; the lists at the end of a group say the same again."""
    inside = False
    for line in output.splitlines():
        if GROUP_BEGINS.match(line):
            inside = True
        elif GROUP_ENDS.match(line):
            inside = False
        elif inside and (match := FUNCTION.match(line)):
            yield match.group(1), match.group(2)


def count_binary(count, case):
    name = case.get("name")
    output = case.findtext("system-out") or ""
    functions = list(cmocka_functions(output))
    failed_before = len(count.failed)

    for outcome, function in functions:
        if outcome == "OK":
            count.passed += 1
        elif outcome == "FAILED":
            count.failed.append(f"{name}: {function}")
        else:
            count.skip(f"{name}: {function}", "")
    if case.get("status") == "run":
        count.passed += not functions
    elif case.find("skipped") is not None and case.find("skipped").get("message") == "SKIP_RETURN_CODE=77":
        count.skip(name, output.strip().splitlines()[-1] if output.strip() else "")
    elif len(count.failed) == failed_before:
        count.failed.append(f"{name}: {case.get('status')}")


def count_pytest_case(count, case):
    name = f"{case.get('classname')}::{case.get('name')}"
    skipped = case.find("skipped")
    if case.find("failure") is not None or case.find("error") is not None:
        count.failed.append(name)
    elif skipped is not None:
        count.skip(name, skipped.get("message"))
    else:
        count.passed += 1


def count_file(count, path, count_case):
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        count_case(count, case)


def count_folder(count, folder):
    binaries, system = [*folder.glob("ctest.xml")], sorted(folder.glob("system*.xml"))
    broken = folder / "broken"
    for path in binaries:
        count_file(count, path, count_binary)
    for path in system:
        count_file(count, path, count_pytest_case)
    if broken.exists():
        count.failed += broken.read_text().splitlines()
    elif not binaries and not system:
        count.failed.append(f"{folder}: nothing ran")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", type=pathlib.Path, nargs="+")
    arguments = parser.parse_args()

    count = Count()
    for folder in arguments.folders:
        count_folder(count, folder)

    print()
    for name in count.skipped:
        print(f"skipped: {name}")
    for name in count.failed:
        print(f"failed: {name}")
    line = f"{count.passed} passed, {len(count.failed)} failed"
    print(line + (f", {len(count.skipped)} skipped" if count.skipped else ""))
    return 0 if count.passed and not count.failed else 1


if __name__ == "__main__":
    sys.exit(main())
