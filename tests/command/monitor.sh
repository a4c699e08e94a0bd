#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# waybill monitor: shows what is wanted and nothing else, ends after a count, and of a flood shows
# no more than the rate and says how many it has left out.
. "$(dirname "$0")/world.sh"

expect 2 "$WAYBILL" monitor --decision blok
grep -q 'did you mean "block"' "$work/err" || fail "no mend: $(cat "$work/err")"
expect 2 "$WAYBILL" monitor --rate=-1
expect 2 "$WAYBILL" monitor --count 0
expect 2 "$WAYBILL" monitor --destination 10.0.0.1/8
expect 3 "$WAYBILL" monitor --instance "$name"
expect 0 "$WAYBILL" up --instance "$name" --cgroup "$cgroup"
policy
cat >>"$work/policy.yaml" <<-POLICY
  - { name: no, service: b, match: { remote_port: [ 8081 ] }, action: block }
POLICY
expect 0 "$WAYBILL" apply "$work/policy.yaml" --instance "$name"
relay a 9001 64101
relay b 9002 64102
server

# watch OUT OPTION...: a monitor that is watching when this returns; its pid in $monitor.
watch() {
	out=$1
	shift
	"$WAYBILL" monitor --instance "$name" "$@" >"$work/$out" 2>"$work/$out.err" &
	monitor=$!
	started="$started $monitor"
	sleep 0.5
}

# Connects to ADDRESS PORT as USER; what comes of it does not matter.
cat >"$work/dial.py" <<'PYTHON'
import os, socket, sys
os.setuid(int(sys.argv[3]))
try:
    socket.socket().connect((sys.argv[1], int(sys.argv[2])))
except OSError:
    pass
PYTHON
dial() {
	(in_cgroup app python3 "$work/dial.py" "$@")
}

# Of each of two users: two that are blocked, at two addresses, one that no filter is about, and
# one that goes through both services.
dials() {
	for user in 64110 64111; do
		dial 127.66.0.1 8081 $user
		dial 127.66.1.1 8081 $user
		dial 127.66.0.1 7000 $user
		dial 127.66.0.1 8080 $user
	done
}

watch none --service nobody
dials
kill -INT $monitor
wait $monitor || fail "exit $?"
[ ! -s "$work/none" ] || fail "$(cat "$work/none")"
grep -q 'no service "nobody"' "$work/none.err" || fail "$(cat "$work/none.err")"

watch block --decision block,down-block --user 64111
dials
wait_for "[ \$(wc -l <$work/block) -eq 2 ]"
kill -INT $monitor
wait $monitor || fail "exit $?"
[ "$(grep -c ' block .*64111.*:8081  b by filter no' "$work/block")" -eq 2 ] ||
	fail "$(cat "$work/block")"

# Ends by itself, after the two that fit.
watch count --json --count 2 --decision block --destination 127.66.1.0/24:8081
dials
wait $monitor || fail "exit $?"
python3 - "$work/count" <<'PYTHON'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
assert [line["decision"] for line in lines] == ["block"] * 2, lines
assert all(line["destination"] == "127.66.1.1:8081" for line in lines), lines
PYTHON

# Of a flood so many a second, and each that was left out is counted.
cat >"$work/flood.py" <<'PYTHON'
import socket
for i in range(500):
    try:
        socket.socket().connect(("127.66.0.1", 7000))
    except OSError:
        pass
PYTHON
watch flood --json --rate 3
(in_cgroup app python3 "$work/flood.py")
sleep 0.2
kill -INT $monitor
wait $monitor || fail "exit $?"
python3 - "$work/flood" <<'PYTHON'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
shown = [line for line in lines if "decision" in line]
missed = [line for line in lines if "left_out" in line]
assert len(shown) >= 3 and len(missed) >= 1, lines
assert len(shown) + sum(line["left_out"] for line in missed) == 500, lines
assert sum(line["lost"] for line in missed) == 0, lines
# A second of the kernel's can lie in two of those shown.
seconds = {line["time"][:19] for line in shown}
assert len(shown) <= 3 * (len(seconds) + 1), lines
PYTHON
watch text --rate 1
(in_cgroup app python3 "$work/flood.py")
sleep 0.2
kill -INT $monitor
wait $monitor || fail "exit $?"
grep -q '[0-9]* more were left out: over 1 a second' "$work/text" || fail "$(cat "$work/text")"

# Rates, a block a second.
expect 2 "$WAYBILL" monitor --rates --service a
"$WAYBILL" monitor --rates --json --instance "$name" >"$work/rates" &
rates=$!
"$WAYBILL" monitor --rates --instance "$name" >"$work/rates.text" &
text=$!
started="$started $rates $text"
wait_for "[ -s $work/rates ] && [ -s $work/rates.text ]"
dials
wait_for "grep -q 'connects refused by a filter' $work/rates.text"
sleep 2.5
kill -INT "$rates" "$text"
wait "$rates" && wait "$text" || fail "exit $?"
python3 - "$work/rates" <<'PYTHON'
import datetime, json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
times = [datetime.datetime.fromisoformat(line["time"].rstrip("Z")) for line in lines]
seconds = [(b - a).total_seconds() for a, b in zip(times, times[1:])]
def total(name, service=None):
    rates = [line["counters"][name] if service is None else
             next(s[name] for s in line["services"] if s["service"] == service) for line in lines]
    assert not rates[0]
    return sum(rate * second for rate, second in zip(rates[1:], seconds))
# Of each second the time is that of the print, a little after that of the count.
assert 3.5 < total("blocked") < 4.5, total("blocked")
assert 1.5 < total("redirected", "a") < 2.5, total("redirected", "a")
assert 1.5 < total("redirected", "b") < 2.5, total("redirected", "b")
assert total("down_blocked", "a") == 0
assert [s["service"] for s in lines[0]["services"]] == ["a", "b"]
PYTHON
grep -qE '^a +[0-9.]+ +0\.0 +0\.0 +0\.0$' "$work/rates.text" || fail "$(cat "$work/rates.text")"
