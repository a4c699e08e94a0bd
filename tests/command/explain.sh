#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# waybill explain: what it says of a process, a user, a file, a chain, a service that is down or
# another's, and of what cannot be; as text, as JSON, and as the code that it ends with.
. "$(dirname "$0")/world.sh"

explain() {
	code=$1
	shift
	expect "$code" "$WAYBILL" explain --json --instance "$name" "$@"
	cp "$work/out" "$work/json"
	expect "$code" "$WAYBILL" explain --instance "$name" "$@"
}

# json EXPRESSION: of the answer d; a and b are the services of its first step.
json() {
	python3 -c '
import json, sys
d = json.load(open(sys.argv[1]))
a, b = d["steps"][0]["services"]
assert eval(sys.argv[2]), sys.argv[2] + "\n" + json.dumps(d, indent=1)' "$work/json" "$1" || fail "$1"
}

text() {
	grep -qF -- "$1" "$work/out" || fail "no \"$1\" in: $(cat "$work/out")"
}

# Usage.
expect 2 "$WAYBILL" explain
expect 2 "$WAYBILL" explain example.org:80
grep -q "not looked up" "$work/err" || fail "$(cat "$work/err")"
expect 2 "$WAYBILL" explain 127.66.0.1
expect 2 "$WAYBILL" explain fd66::1:80
expect 2 "$WAYBILL" explain '[127.66.0.1]:80'
expect 2 "$WAYBILL" explain 127.66.0.1:80-90
expect 2 "$WAYBILL" explain 127.66.0.1:0x50
expect 2 "$WAYBILL" explain --protocol icmp 127.66.0.1:80
expect 2 "$WAYBILL" explain --user nobody-of-that-name 127.66.0.1:80
expect 2 "$WAYBILL" explain --pid 1 --command init 127.66.0.1:80
expect 2 "$WAYBILL" explain --local fd66::1 127.66.0.1:80
expect 3 "$WAYBILL" explain --instance "$name" 127.66.0.1:80

# A file, before anything is up, and without root.
policy
cat >>"$work/policy.yaml" <<-POLICY
  - name: private
    service: b
    weight: 5
    match: { user: 65002 }
    except: { remote_port: 8080 }
    action: block
  - name: early
    service: a
    weight: 9
    match: { user: 0 }
    action: permit
POLICY
explain 5 --file "$work/policy.yaml" --user 65001 127.66.0.1:8080
text "refused: a, where filter web sends it, is down"
text "not filter early: user 65001 is not in it"
json 'd["verdict"] == "refused" and not d["up"] and d["generation"] is None'
json 'a["listener"] == "down" and a["decision"] == "down-block" and a["filter"] == "web"'
json 'a["not_matched"] == [{"filter": "early", "condition": "user", "value": "65001"}]'
json 'b["decision"] is None and b["not_matched"] == []'
explain 4 --file "$work/policy.yaml" --user 65001 127.66.0.1:22
text "straight to 127.66.0.1:22: no filter matches"
json 'b["not_matched"][0] == {"filter": "private", "condition": "user", "value": "65001"}'
json 'b["not_matched"][1] == {"filter": "web", "condition": "remote_port", "value": "22"}'
explain 5 --file "$work/policy.yaml" --user 65002 127.66.0.1:22
text "refused: filter private of b blocks"
expect 1 "$WAYBILL" explain --file "$work/none.yaml" 127.66.0.1:22
chmod 644 "$work/policy.yaml"
expect 5 setpriv --reuid 65002 --regid 65002 --clear-groups "$WAYBILL" explain --file "$work/policy.yaml" 127.66.0.1:22

expect 0 "$WAYBILL" up --instance "$name" --cgroup "$cgroup"
explain 3 127.66.0.1:8080
grep -q "no policy is in force" "$work/err" || fail "$(cat "$work/err")"
expect 0 "$WAYBILL" apply "$work/policy.yaml" --instance "$name"

# The caller is outside of the instance's cgroup.
explain 4 127.66.0.1:8080
text "outside of the instance's cgroup"

# The whole way of it.
relay a 9001 64101
relay b 9002 64102
# Nobody listens there yet.
explain 5 --user 65001 --cgroup "$cgroup/app" 127.66.0.1:8080
text "nobody listens at that address of this host"
json 'a["decision"] == "unheard" and d["verdict"] == "refused"'
server
explain 0 --user 65001 --cgroup "$cgroup/app" 127.66.0.1:8080
text "goes to service a, then b, then straight to 127.66.0.1:8080"
json 'd["verdict"] == "redirected" and d["through"] == ["a", "b"] and d["up"] and d["generation"] == 1'
json '[s["connects"] for s in d["steps"]] == ["the application", "a", "b"]'
json '[s["hop_count"] for s in d["steps"]] == [0, 1, 2]'
json 'd["steps"][1]["services"][0]["decision"] == "seen"'
# IPv6, and IPv4 on a socket of IPv6.
explain 0 --user 65001 --cgroup "$cgroup/app" '[fd66::1]:8080'
explain 0 --user 65001 --cgroup "$cgroup/app" '[::ffff:127.66.0.1]:8080'
json 'd["destination"] == "127.66.0.1:8080"'
# The early filter permits.
explain 0 --user 0 --cgroup "$cgroup/app" 127.66.0.1:8080
json 'a["decision"] == "permit" and d["through"] == ["b"]'
# Whoever is the service, and what goes to it.
explain 0 --user 65001 --cgroup "$cgroup/a" 127.66.0.1:8080
json 'a["seen"] and a["decision"] == "seen" and d["through"] == ["b"]'
text "it is who connects, by its identity"
explain 4 --user 65001 --cgroup "$cgroup/b" 127.66.0.1:8080
text "it comes before b, who connects"
sed 's/remote_port: \[ 8080 \]/remote_port: [ 8080, 9001 ]/' "$work/policy.yaml" >"$work/more.yaml"
explain 4 --user 65001 --cgroup "$cgroup/app" --file "$work/more.yaml" 127.0.0.1:9001
text "aimed at a service's own endpoint"
# A socket on another device reaches no service.
ip link add waybill0 type veth peer name waybill1
explain 5 --user 65001 --cgroup "$cgroup/app" --interface waybill0 127.66.0.1:8080
json 'a["listener"] == "unreachable"'
expect 1 "$WAYBILL" explain --instance "$name" --interface none0 127.66.0.1:8080

# A process: its real user and group, as the kernel goes by; its cgroup.
sh -c 'echo $$ >"$0" && exec setpriv --reuid 65001 --regid 65001 --clear-groups sleep 60' \
	"$mount$cgroup/app/cgroup.procs" &
sleeper=$!
started="$started $sleeper"
wait_for "[ \"\$(cat /proc/$sleeper/comm)\" = sleep ]"
explain 0 --pid "$sleeper" 127.66.0.1:8080
text "by sleep[$sleeper], user 65001, group 65001, cgroup $cgroup/app"
json 'd["originator"]["uid"] == 65001 and d["originator"]["comm"] == "sleep"'
json 'd["steps"][0]["connects"] == "sleep"'
explain 5 --pid "$sleeper" --user 65002 127.66.0.1:22
cp "$(command -v sleep)" "$work/$name-1234567890"
"$work/$name-1234567890" 60 &
started="$started $!"
wait_for "[ \"\$(cut -c1-8 /proc/$!/comm)\" = command- ]"
explain 4 --command "$name-1234567890" 127.66.0.1:22
"$work/$name-1234567890" 60 &
started="$started $!"
wait_for "[ \"\$(cut -c1-8 /proc/$!/comm)\" = command- ]"
expect 1 "$WAYBILL" explain --instance "$name" --command "$name-1234567890" 127.66.0.1:22
grep -q "2 processes are called .* ($((0 + $(echo $started | awk '{ print $(NF-1) }'))), $!)" "$work/err" || fail "$(cat "$work/err")"
expect 1 "$WAYBILL" explain --instance "$name" --command none-such 127.66.0.1:22
expect 1 "$WAYBILL" explain --instance "$name" --pid 4194304 127.66.0.1:22

# The kernel goes by the real ids, and so does it.
python3 - "$mount$cgroup/app/cgroup.procs" <<'PYTHON' >"$work/setuid" &
import os, socket, sys, time
open(sys.argv[1], "w").write("0")
os.setresuid(65002, 0, 0)
try:
    socket.create_connection(("127.66.0.1", 22))
except OSError as error:
    pass
before = open("/proc/self/status").read()
print("ready", flush=True)
time.sleep(60)
PYTHON
setuid=$!
started="$started $setuid"
wait_for "grep -q ready $work/setuid"
explain 5 --pid "$setuid" 127.66.0.1:22
"$WAYBILL" status --json --instance "$name" >"$work/status"
python3 -c 'import json, sys; assert json.load(open(sys.argv[1]))["counters"]["blocked"] == 1' "$work/status" || fail "the kernel did not block it"

# Another network namespace, where nobody listens.
unshare --net sh -c 'echo $$ >"$0/cgroup.procs" && exec sleep 60' "$mount$cgroup/app" &
apart=$!
started="$started $apart"
wait_for "[ \"\$(cat /proc/$apart/comm)\" = sleep ]"
explain 5 --pid "$apart" --user 65001 127.66.0.1:8080
json 'a["listener"] == "down"'

# Another's listener, and one from outside.
sed "s,identity: { cgroup: $cgroup/a },identity: { cgroup: $cgroup/c }," "$work/policy.yaml" >"$work/other.yaml"
explain 5 --user 65001 --cgroup "$cgroup/app" --file "$work/other.yaml" 127.66.0.1:8080
json "a['listener'] == \"another's\" and a['listener_user'] == 64101 and a['listener_cgroup'] == '$cgroup/a'"
text "another's (64101 in $cgroup/a)"
python3 -c '
import socket, time
s = socket.socket()
s.bind(("127.0.0.1", 9003))
s.listen()
time.sleep(60)' &
started="$started $!"
wait_for "ss -Hltn 'sport = 9003' | grep -q ."
sed "s/tcp: 9001/tcp: 9003/" "$work/policy.yaml" >"$work/other.yaml"
explain 5 --user 65001 --cgroup "$cgroup/app" --file "$work/other.yaml" 127.66.0.1:8080
json 'a["listener"] == "outside"'

# The hop limit, in a service's onward connect.
(echo "limits: { hops: 1 }"; cat "$work/policy.yaml") >"$work/hops.yaml"
explain 5 --user 65001 --cgroup "$cgroup/app" --file "$work/hops.yaml" 127.66.0.1:8080
text "goes to service a; there the onward connect is refused"
json 'd["steps"][1]["decision"] == "hop-limit" and d["through"] == ["a"]'

# Datagrams.
sed -e 's/tcp: 9002/tcp: 9002, udp: 9002/; s/protocol: tcp, //' "$work/policy.yaml" >"$work/datagrams.yaml"
explain 5 --user 65001 --cgroup "$cgroup/app" --protocol udp --file "$work/datagrams.yaml" 127.66.0.1:8080
json 'a["listener"] == "no endpoint" and b["listener"] == "down" and d["protocol"] == "udp"'

# Applications, of the originator and of services.
cp "$(command -v sleep)" "$work/tool"
cat >>"$work/policy.yaml" <<-POLICY
  - name: tools
    service: a
    weight: 8
    match: { original_application: $work/tool }
    action: permit
  - name: relays
    service: b
    weight: 8
    match: { application: $WAYBILL_RELAY }
    action: block
POLICY
sh -c 'echo $$ >"$0" && exec "$1" 60' "$mount$cgroup/app/cgroup.procs" "$work/tool" &
tool=$!
started="$started $tool"
wait_for "[ \"\$(cat /proc/$tool/comm)\" = tool ]"
file="--file $work/policy.yaml --user 65001 --cgroup $cgroup/app"
explain 0 $file --pid "$tool" 127.66.0.1:8080
json 'a["filter"] == "tools" and d["through"] == ["b"]'
json "b['not_matched'][0] == {'filter': 'relays', 'condition': 'application', 'value': '$work/tool'}"
explain 0 $file --application "$work/tool" 127.66.0.1:8080
json 'a["filter"] == "tools" and d["through"] == ["b"]'
# Now a's own connection is one of the relay.
explain 5 $file 127.66.0.1:8080
json 'a["filter"] == "web" and d["steps"][1]["filter"] == "relays" and d["through"] == ["a"]'
expect 1 "$WAYBILL" explain --instance "$name" $file --application /none 127.66.0.1:8080
