#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# waybill metrics: the text is what the format's specification demands and says what was done;
# the server answers scrapers while others are slow, huge or hostile, and while the instance is
# taken down and made again.
. "$(dirname "$0")/world.sh"

# Reads the exposition in a file as strictly as promtool does, then evaluates an expression with
# m, { (name, label values but the instance's...): value }.
cat >"$work/check" <<'PYTHON'
import re, sys
text = open(sys.argv[1], newline="").read()
assert text.endswith("\n") and "\r" not in text
name = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
label = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\n"])*"'
m, types, current = {}, {}, None
for line in text[:-1].split("\n"):
    help = re.fullmatch(rf"# HELP ({name}) ((?:[^\\]|\\[\\n])+)", line)
    kind = re.fullmatch(rf"# TYPE ({name}) (counter|gauge)", line)
    sample = re.fullmatch(rf"({name})\{{({label}(?:,{label})*)\}} ([0-9]+(?:\.[0-9]+)?)", line)
    assert help or kind or sample, line
    if help:
        current = help[1]
        assert current not in types, f"{current} twice"
        assert help[2].endswith("."), line
    elif kind:
        assert kind[1] == current and current not in types, line
        types[current] = kind[2]
        assert (kind[2] == "counter") == current.endswith("_total"), line
        assert current.startswith("waybill_")
    else:
        assert sample[1] == current and current in types, line
        labels = re.findall(label, sample[2])
        assert labels[0].startswith('instance="command-'), line
        key = (sample[1], *(l.split("=", 1)[1][1:-1] for l in labels[1:]))
        assert key not in m, f"{key} twice"
        m[key] = float(sample[3])
get = m.get
if not eval(sys.argv[2]):
    sys.exit(f"not so: {sys.argv[2]}\n{text}")
PYTHON

check() {
	python3 "$work/check" "$work/out" "$1" || fail "not clean, or not so"
}

scrape() {
	expect 0 curl -sS -m 5 "${1:-http://127.0.0.1:9463}/metrics"
}

expect 3 "$WAYBILL" metrics --instance "$name"
check "m['waybill_up',] == 0 and len(m) == 2"
expect 0 "$WAYBILL" up --instance "$name" --cgroup "$cgroup"
expect 0 "$WAYBILL" metrics --instance "$name"
check "m['waybill_up',] == 1 and m['waybill_policy_generation',] == 0"
policy
expect 0 "$WAYBILL" apply "$work/policy.yaml" --instance "$name"
relay a 9001 64101
server
in_cgroup app curl -sS --limit-rate 300K http://127.66.0.1:8080/data -o "$work/data" >/dev/null 2>&1 || :
sed -i 's/service: b/service: a/; s/name: web$/&2/; 0,/web2/s//web/' "$work/policy.yaml"
sed -i '/name: b/,/cgroup: .*\/b/d' "$work/policy.yaml"
expect 0 "$WAYBILL" apply "$work/policy.yaml" --instance "$name"
in_cgroup app curl -sS --limit-rate 300K http://127.66.0.1:8080/data -o "$work/data" &
started="$started $!"
curl=$!
wait_for "'$WAYBILL' flows --instance $name --json | grep -q originator"
now=$(date +%s)
expect 0 "$WAYBILL" metrics --instance "$name"
# The first connection was refused at b, which was down; and what b counted left with it.
check "m['waybill_service_flows', 'a', 'tcp'] == 1 and m['waybill_service_flows', 'a', 'udp'] == 0 \
	and m['waybill_redirected_total',] == 2 and m['waybill_service_redirected_total', 'a'] == 2 \
	and m['waybill_down_blocked_total',] == 1 and m['waybill_handed_over_total',] == 2 \
	and m['waybill_policy_generation',] == 2 \
	and abs(m['waybill_policy_applied_timestamp_seconds',] - $now) < 10 \
	and m['waybill_service_listening', 'a', 'ipv4'] == m['waybill_service_listening', 'a', 'ipv6'] == 1 \
	and m['waybill_table_entries', 'contexts'] >= 1 and m['waybill_table_size', 'contexts'] == 8192 \
	and m['waybill_table_entries', 'service_counters'] == 1 and m['waybill_table_size', 'flows'] == 65536 \
	and m['waybill_user_share_entries', 'connections'] <= 4 and m['waybill_user_share_size', 'flows'] == 8192"
cp "$work/out" "$work/text"
# Every counter of status is here.
expect 0 "$WAYBILL" status --json --instance "$name"
python3 -c 'import json, sys; print(*json.load(open(sys.argv[1]))["counters"])' "$work/out" >"$work/counters"
for counter in $(cat "$work/counters"); do
	grep -q "^waybill_${counter}_total{" "$work/text" || fail "no counter $counter"
done
expect 0 "$WAYBILL" metrics --json --instance "$name"
python3 -c 'import json, sys
d = {f["name"]: f for f in json.load(open(sys.argv[1]))}
assert d["waybill_redirected_total"]["samples"][0]["value"] == 2, d' "$work/out"
kill "$curl" || :

expect 2 "$WAYBILL" metrics --listen :9463 --json --instance "$name"
expect 1 "$WAYBILL" metrics --listen 9463 --instance "$name"
expect 1 "$WAYBILL" metrics --listen 127.66.0.1:8080 --instance "$name"
grep -q "127.66.0.1:8080.*give another port" "$work/err" || fail "no mend: $(cat "$work/err")"
"$WAYBILL" metrics --listen :9463 --instance "$name" 2>"$work/metrics.err" &
started="$started $!"
metrics=$!
wait_for "grep -q serving $work/metrics.err"
scrape
check "m['waybill_up',] == 1"
scrape 'http://[::1]:9463'
expect 0 curl -sS -I http://127.0.0.1:9463/metrics
grep -qi 'content-type: text/plain; version=0.0.4; charset=utf-8' "$work/out" || fail "$(cat "$work/out")"
[ "$(curl -sS -o /dev/null -w '%{http_code}' http://127.0.0.1:9463/)" = 404 ] || fail "no 404"
[ "$(curl -sS -o /dev/null -w '%{http_code}' -d x http://127.0.0.1:9463/metrics)" = 405 ] || fail "no 405"

# Down, and up again.
expect 0 "$WAYBILL" down --instance "$name"
sleep 1.1
scrape
check "m['waybill_up',] == 0 and len(m) == 2"
expect 0 "$WAYBILL" up --instance "$name" --cgroup "$cgroup"
sleep 1.1
scrape
check "m['waybill_up',] == 1 and m['waybill_redirected_total',] == 0"

# Some who say nothing, some who dribble for ever, some who never end, and one with garbage.
python3 - "$metrics" <<'PYTHON'
import os, socket, sys, time
def connect():
    s = socket.create_connection(("127.0.0.1", 9463))
    s.settimeout(20)
    return s
def memory():
    return int(open(f"/proc/{sys.argv[1]}/statm").read().split()[1]) * 4096
def scrape():
    s = connect()
    s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    data = b""
    while more := s.recv(65536):
        data += more
    assert data.startswith(b"HTTP/1.1 200") and b"waybill_up" in data, data[:200]
before = memory()
idle = [connect() for _ in range(20)]
dribble = [connect() for _ in range(20)]
for s in dribble:
    s.sendall(b"GET /metrics HTTP/1.1\r\n")
huge = connect()
try:
    for _ in range(1000):
        huge.sendall(b"X-Header: " + b"a" * 10000 + b"\r\n")
except OSError:
    pass
body = connect()
try:
    body.sendall(b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
    for _ in range(1000):
        body.sendall(b"a" * 10000)
except OSError:
    pass
garbage = connect()
garbage.sendall(os.urandom(3000) + b"\r\n\r\n")
half = connect()
half.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")  # and reads nothing
for _ in range(5):
    scrape()
assert memory() - before < 8 << 20, "memory grows"
begin = time.monotonic()
open_still = list(dribble)
while open_still and time.monotonic() - begin < 16:
    time.sleep(0.5)
    for s in list(open_still):
        try:
            s.sendall(b"X")
            s.setblocking(False)
            if s.recv(100) == b"":
                open_still.remove(s)
        except BlockingIOError:
            pass
        except OSError:
            open_still.remove(s)
assert not open_still, f"{len(open_still)} dribble still"
assert all(s.recv(1000) == b"" or True for s in idle)
# More than it serves at once wait their turn, and it comes.
crowd = [connect() for _ in range(100)]
begin = time.monotonic()
scrape()
assert time.monotonic() - begin < 14, "the crowd is not sent away"
PYTHON
[ -d "/proc/$metrics" ] || { wait "$metrics" || fail "the server ended with $?: $(cat "$work/metrics.err")"; }
[ "$(find "/proc/$metrics/fd" -type l | wc -l)" -lt 120 ] || fail "descriptors are left"
kill -TERM "$metrics"
wait "$metrics" || fail "the server ends with $?"
