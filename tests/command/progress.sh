#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# waybill apply: says how far it is if that takes long, on a terminal and nowhere else, and takes
# the line away at the end. What takes long here is a list of prefixes that somebody writes slowly.
. "$(dirname "$0")/world.sh"

mkfifo "$work/list"
cat >"$work/slow.yaml" <<YAML
version: 1
services:
  - { name: a, weight: 1, endpoint: { tcp: 9001 }, identity: { cgroup: $cgroup/a } }
filters:
  - { name: listed, service: a, action: redirect, match: { remote_file: $work/list } }
  - { name: other, service: a, action: redirect, match: { remote_port: 80 } }
YAML

# slowly SECONDS COMMAND...: the command on a terminal, while the list comes after so long.
slowly() {
	{ sleep "$1"; echo 10.0.0.0/8; } >"$work/list" &
	started="$started $!"
	shift
	TERM=xterm timeout 60 script -qec "$*" /dev/null </dev/null >"$work/out" ||
		fail "$(cat "$work/out")"
	wait $!
}

return=$(printf '\r')
escape=$(printf '\033')
line="$return$escape\\[K"

"$WAYBILL" up --instance "$name" --cgroup "$cgroup" >"$work/out" || fail "up: $(cat "$work/out")"
for check in '' --check; do
	slowly 1 "$WAYBILL" apply $check --instance "$name" "$work/slow.yaml"
	grep -q "^${line}reading prefixes: 50 %" "$work/out" || fail "no progress: $(cat "$work/out")"
	# Its last line is rewritten by the result.
	tail -n 1 "$work/out" | grep -q "[0-9] %$line$work/slow.yaml" ||
		fail "the line is left: $(cat "$work/out")"
done

# An error too takes its place.
sed 's/remote_port: 80/remote_port: 0/' "$work/slow.yaml" >"$work/wrong.yaml"
{ sleep 1; echo 10.0.0.0/8; } >"$work/list" &
started="$started $!"
! TERM=xterm timeout 60 script -qec "'$WAYBILL' apply --check $work/wrong.yaml" /dev/null \
	</dev/null >"$work/out" || fail "it is wrong"
grep -q "[0-9] %${line}waybill: $work/wrong.yaml:6:" "$work/out" || fail "$(cat "$work/out")"

# What is quick shows nothing; once at least in several times it is quick also on a busy machine.
for try in 1 2 3 4 5; do
	slowly 0 "$WAYBILL" apply --check "$work/slow.yaml"
	grep -q % "$work/out" || break
done
! grep -q % "$work/out" || fail "progress though it was quick: $(cat "$work/out")"
slowly 1 "$WAYBILL" apply --check --json "$work/slow.yaml"
! grep -q % "$work/out" || fail "progress with --json: $(cat "$work/out")"
slowly 1 "$WAYBILL" apply --check "$work/slow.yaml" "2>$work/err"
! grep -q % "$work/out" "$work/err" || fail "progress in a file: $(cat "$work/err")"
