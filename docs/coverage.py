#!/usr/bin/env python3
"""Writes docs/coverage.md: for each numbered case of the specifications, its tests or the reason why there is none.

Cases are the rows `| N | ...` of a chapter "Behaviour cases" of docs/spec/*.md. The tests of a case are the functions
whose names begin with it: snapshot_case_41_..., snapshot_cases_39_to_43_and_46_.... The reasons are the lines
`snapshot case 41: ...` of docs/deviations.md. With --check nothing is written; a page that is not up to date is an error.
A case with neither, and a test or a reason of no case, are errors always; but of a specification in DUE only the cases
named there must have one: the programs that the others are about are not built yet.
"""
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/coverage.md"
# The word in the names of tests, and the specification.
SPECS = {"snapshot": "snapshot.md", "resize": "resize.md", "ebs": "ebs-driver.md", "sidecars": "sidecars.md",
         "journeys": "journeys.md"}
# The cases of programs that are there: the sidecars but for what the first ones of the table are of both; of journeys what
# people see of installing, volumes, snapshots, restores, growth and watching.
DUE = {
    "sidecars": set(range(16, 255)),
    "journeys": {*range(1, 18), *range(19, 46), *range(60, 104), *range(105, 110),
                 *range(113, 130)},
}
# What stands beside the other cases of a specification in DUE.
LATER = {
    "sidecars": "not built yet",
    "journeys": "not due: of a program that is not built, or tested as a case of another specification",
}


def cases(spec):
    """What each case is about, by its number."""
    found, inside = {}, False
    for line in (ROOT / "docs/spec" / spec).read_text().splitlines():
        if line.startswith("## "):
            inside = "Behaviour cases" in line
        row = re.match(r"\| *(\d+) *\| *(.*)\|$", line)
        if inside and row:
            found[int(row[1])] = row[2].strip()
    return found


def numbers(name):
    """The cases that a test is named after: those between `case` and the first word that is none of them."""
    found, is_range = [], False
    for word in name.split("_"):
        if word == "to" and found:
            is_range = True
        elif word.isdigit() and is_range:
            found.extend(range(found[-1] + 1, int(word) + 1))
            is_range = False
        elif word.isdigit():
            found.append(int(word))
        elif word != "and":
            break
    return found


def tests():
    """Tests by word and case: pairs of name and file."""
    found = defaultdict(list)
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.rs"]
    files = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    for file in files.stdout.split():
        text = (ROOT / file).read_text()
        for word, rest in re.findall(rf"fn ({'|'.join(SPECS)})_cases?_(\w+)", text):
            name = re.search(rf"{word}_cases?_{rest}\b", text)[0]
            for number in numbers(rest):
                found[word, number].append((name, file))
    return found


def reasons():
    """Reasons by word and case."""
    text = (ROOT / "docs/deviations.md").read_text()
    lines = re.findall(rf"^({'|'.join(SPECS)}) case (\d+): (.+)$", text, re.MULTILINE)
    return {(word, int(number)): reason for word, number, reason in lines}


def short(text, most=90):
    """The beginning of a row, without what would end a cell."""
    text = text.replace(" | ", "; ").replace("|", "/").strip()
    return text if len(text) <= most else text[: most - 3].rsplit(" ", 1)[0] + " ..."


def page():
    """The text of the page, and what is wrong."""
    tested, excused, wrong = tests(), reasons(), []
    chapters, table = [], ["| Specification | Cases | With a test | With a reason only | Not due yet |"]
    table.append("|---|---|---|---|---|")
    known = set()
    for word, spec in SPECS.items():
        rows = ["| Case | About | Tests, or why there is none |", "|---|---|---|"]
        described = cases(spec)
        known |= {(word, number) for number in described}
        for number, about in sorted(described.items()):
            key = (word, number)
            cell = [f"[`{name}`](../{file})" for name, file in sorted(set(tested.get(key, [])))]
            if key in excused:
                cell.append(excused[key])
            if not cell and number not in DUE.get(word, described):
                cell.append(LATER[word])
            if not cell:
                wrong.append(f"{word} case {number} has no test, and no line in docs/deviations.md says why")
            rows.append(f"| {number} | {short(about)} | {'<br>'.join(cell)} |")
        with_test = sum((word, number) in tested for number in described)
        alone = sum((word, number) in excused and (word, number) not in tested for number in described)
        later = len(described) - with_test - alone
        table.append(f"| [`{spec}`](spec/{spec}) | {len(described)} | {with_test} | {alone} | {later} |")
        chapters += ["", f"## {spec}", "", *rows]
    for key in sorted((set(tested) | set(excused)) - known):
        who = [name for name, _ in tested.get(key, [])] or ["docs/deviations.md"]
        wrong.append(f"{key[0]} case {key[1]} is in no specification, but in {', '.join(who)}")
    head = [
        "# Coverage of the specifications",
        "",
        "Made by [`docs/coverage.py`](coverage.py) from the names of the tests and from the last chapter of",
        "[deviations](deviations.md); CI checks that it is up to date.",
        "",
        *table,
    ]
    return "\n".join(head + chapters) + "\n", wrong


def main():
    text, wrong = page()
    for line in wrong:
        print(f"error: {line}", file=sys.stderr)
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        print("error: docs/coverage.md is not up to date: run docs/coverage.py", file=sys.stderr)
        return 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
