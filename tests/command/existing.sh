#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# waybill apply --reset-existing: connections that nobody has redirected, and that the new policy
# would redirect or refuse, are ended, and listed with --check; others are not: what was accepted, is
# outside of the instance, or is met by no filter.
. "$(dirname "$0")/world.sh"
. "$(dirname "$0")/hold.sh"

# Filters are for the ports of accepted sockets' peers as well.
cat >"$work/take.py" <<'PYTHON'
import socket, sys, time
address, port, backlog = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
s = socket.create_server((address, port), backlog=backlog)
print("ready", flush=True)
taken = s.accept()[0]
if backlog:
    s.close()
print("taken", flush=True)
taken.recv(100)
print("data" if taken.recv(100) else "closed", flush=True)
PYTHON

# take ADDRESS BACKLOG: a server of one connection in the instance's cgroup.
take() {
	in_cgroup app python3 "$work/take.py" "$1" 8080 "$2" >"$work/$1.taken" 2>&1 &
	started="$started $!"
	wait_for "grep -q ready $work/$1.taken"
	python3 "$work/hold" "$1" 8080 65001 >"$work/$1.held" 2>&1 &
	started="$started $!"
	wait_for "grep -q taken $work/$1.taken"
}

expect 0 "$WAYBILL" up --instance "$name" --cgroup "$cgroup"
policy
sed -n '/^filters/q; p' "$work/policy.yaml" >"$work/none.yaml"
relay a 9001 64101
server
ip -6 address add fd66::1/128 dev lo
python3 -m http.server --bind fd66::1 8081 >/dev/null 2>&1 &
started="$started $!"
wait_for "ss -Hltn 'sport = 8081' | grep -q ."
expect 0 "$WAYBILL" apply "$work/none.yaml" --instance "$name"
python=$(python3 -c 'import os; print(os.path.realpath("/proc/self/exe"))')
cat "$work/none.yaml" - >"$work/new.yaml" <<POLICY
filters:
  - name: web
    service: a
    match: { protocol: tcp, remote_port: [ 8080-8081, 8091, 32768-60999 ], cgroup: $cgroup/app, group: 0 }
    except: { user: 65009 }
    action: redirect
  - name: no
    service: b
    match: { remote_port: 8082 }
    action: block
  - name: bound
    service: b
    match: { remote_port: 8083, local: 127.0.0.0/8 }
    action: block
  - name: python
    service: b
    match: { remote_port: 8085, application: $python }
    action: block
  - name: shell
    service: b
    match: { remote_port: 8086, original_application: /bin/sh }
    action: block
POLICY
for port in 8082 8083 8084 8085 8086 8091; do
	python3 -m http.server --bind 127.66.0.1 $port >/dev/null 2>&1 &
	started="$started $!"
	wait_for "ss -Hltn 'sport = $port' | grep -q ."
done
hold v4 65001 127.66.0.1 8080
hold v6 65002 fd66::1 8081
hold mapped 65003 ::ffff:127.66.0.1 8080
hold blocked 65004 127.66.0.1 8082
hold bound 65004 127.66.0.1 8083 127.66.9.9
hold unbound 65004 127.66.0.1 8083
hold unmatched 65001 127.66.0.1 8084
hold python 65004 127.66.0.1 8085
hold shell 65004 127.66.0.1 8086
hold excepted 65009 127.66.0.1 8080
python3 "$work/hold" 127.66.0.1 8080 65001 >"$work/outside.held" 2>&1 &
started="$started $!"
wait_for "[ -s $work/outside.held ]"
take 127.66.0.3 5
take 127.66.0.4 0
expect 0 "$WAYBILL" apply "$work/new.yaml" --instance "$name" --check --reset-existing
grep -q "^6 connections would be reset, 6 of which nobody had redirected" "$work/out" || fail "$(cat "$work/out")"
grep -qE "^65001 +$cgroup/app +127.0.0.1:[0-9]+ +127.66.0.1:8080 +redirect, filter web of a" "$work/out" || fail "$(cat "$work/out")"
grep -qE "127.66.9.9:[0-9]+ +127.66.0.1:8083 +block, filter bound of b" "$work/out" || fail "$(cat "$work/out")"
expect 0 "$WAYBILL" apply "$work/new.yaml" --instance "$name" --check --reset-existing --json
python3 -c '
import json, sys
d = json.load(open(sys.argv[1]))
assert d["would_reset"] == 6 and not d["applied"]
assert sorted((s["uid"], s["remote"], s["decision"], s["filter"]) for s in d["not_redirected"]) == [
    (65001, "127.66.0.1:8080", "redirect", "web"), (65002, "[fd66::1]:8081", "redirect", "web"),
    (65003, "127.66.0.1:8080", "redirect", "web"), (65004, "127.66.0.1:8082", "block", "no"),
    (65004, "127.66.0.1:8083", "block", "bound"), (65004, "127.66.0.1:8085", "block", "python")], d' "$work/out" || fail "$(cat "$work/out")"
for held in v4 v6 mapped blocked bound python; do held $held; done
expect 0 "$WAYBILL" apply "$work/new.yaml" --instance "$name" --reset-existing --json
python3 -c '
import json, sys
d = json.load(open(sys.argv[1]))
assert d["reset"] == 6 and d["not_redirected"] == 6 and d["applied"]' "$work/out" || fail "$(cat "$work/out")"
for gone in v4 v6 mapped blocked bound python; do gone $gone; done
for held in unbound unmatched shell excepted outside 127.66.0.3 127.66.0.4; do held $held; done
# Both kinds at once, and those to a service and of a service are left.
hold v4 65001 127.66.0.1 8080
chains 1
hold excepted8091 65009 127.66.0.1 8091
sed -i '/except: { user: 65009/d' "$work/new.yaml"
expect 0 "$WAYBILL" apply "$work/new.yaml" --instance "$name" --reset-existing
grep -q "^3 connections reset, 2 of which nobody had redirected" "$work/out" || fail "$(cat "$work/out")"
gone v4
gone excepted
gone excepted8091
expect 0 "$WAYBILL" apply "$work/new.yaml" --instance "$name" --reset-existing
grep -q "^0 connections reset$" "$work/out" || fail "$(cat "$work/out")"
for held in unbound unmatched shell outside 127.66.0.3 127.66.0.4; do held $held; done
expect 3 "$WAYBILL" apply "$work/new.yaml" --instance none --check --reset-existing
