#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# waybill records: the specification's vectors are decoded as it says, from hex digits and from
# bytes, for people and for programs; what is malformed is refused with a reason.
set -eu
vectors=$(dirname "$0")/../vectors/records.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
	echo "$*" >&2
	exit 1
}

blob() {
	awk -v name="$1" '$1 == "records" { on = $2 == name } on && $1 == "blob" { print $2 }' "$vectors"
}

blob two-hops-ipv6-ipv4 >"$work/hex"
[ -s "$work/hex" ] || fail "no such vector"
"$WAYBILL" records --hex "$work/hex" --json >"$work/json"
python3 -c 'import sys; sys.stdout.buffer.write(bytes.fromhex(open(sys.argv[1]).read()))' \
	"$work/hex" >"$work/bytes"
"$WAYBILL" records --json - <"$work/bytes" >"$work/json2"
cmp -s "$work/json" "$work/json2" || fail "hex and bytes are not decoded alike"
python3 - "$work/json" <<'PYTHON'
import json, sys
records = json.load(open(sys.argv[1]))
hops = records.get("chain") or records.get("hops")
assert len(hops) == 2, records
assert "2001:db8" in json.dumps(hops[0]), hops
PYTHON
"$WAYBILL" records --hex "$work/hex" | grep -q "2001:db8" || fail "people are not told the destination"
head -c 100 "$work/bytes" >"$work/short"
code=0
"$WAYBILL" records "$work/short" >/dev/null 2>"$work/err" || code=$?
[ "$code" -eq 1 ] && [ -s "$work/err" ] || fail "cut records: exit $code"
