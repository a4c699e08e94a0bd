#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Every test that a document names in a table's last column, headed "test" or "shown by", is one."""
import json
import pathlib
import re
import sys

introspection = pathlib.Path(sys.argv[1]) / "meson-info" / "intro-tests.json"
tests = {test["name"] for test in json.loads(introspection.read_text())}
programs = {name.split(" ")[0] for name in tests}
wrong = named = 0
for path in sys.argv[2:]:
    column = False
    for number, line in enumerate(open(path), 1):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            column = False
            continue
        if cells[-1] in ("test", "tests", "shown by"):
            column = True
            continue
        before = ""
        for name in re.findall(r"`([^`]+)`", cells[-1]) if column else []:
            # "`winsock_message sequence v4`, `v6`": what follows stands for the last words.
            words = before.split(" ")
            candidates = [name, " ".join(words[:-1] + [name]), " ".join(words[:1] + [name])]
            found = next((c for c in candidates if c in tests or c in programs), None)
            if found:
                before = found
                named += 1
            else:
                print(f"{path}:{number}: no test {name!r}")
                wrong += 1
print(f"{named} names of tests")
sys.exit(1 if wrong or not named else 0)
