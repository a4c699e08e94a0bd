#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# waybill flows --reset: what is selected, and nothing else, is ended at both ends at once, in every
# family, chains and flows of datagrams included; apply --reset-existing ends what is older.
. "$(dirname "$0")/world.sh"
. "$(dirname "$0")/hold.sh"

said() {
	[ "$(cat "$work/out")" = "$1" ] || fail "it says: $(cat "$work/out")"
}

expect 2 "$WAYBILL" flows --reset
expect 2 "$WAYBILL" flows --reset --destination 10.0.0.1/8
grep -q "bits set beyond" "$work/err" || fail "$(cat "$work/err")"
expect 2 "$WAYBILL" flows --reset --flow xyz
expect 3 "$WAYBILL" flows --reset --all --instance "$name"

expect 0 "$WAYBILL" up --instance "$name" --cgroup "$cgroup"
policy
sed -i 's/\[ 8080 \]/[ 8080-8090 ]/' "$work/policy.yaml"
expect 0 "$WAYBILL" apply "$work/policy.yaml" --instance "$name"
relay a 9001 64101
relay b 9002 64102
server
ip -6 address add fd66::1/128 dev lo
python3 -m http.server --bind fd66::1 8081 >/dev/null 2>&1 &
started="$started $!"
wait_for "ss -Hltn 'sport = 8081' | grep -q ."
flows --reset --all
said "0 connections reset"

hold one 65001 127.66.0.1 8080
hold two 65002 127.66.0.1 8080
hold three 65003 fd66::1 8081
hold four 65004 ::ffff:127.66.0.1 8080
chains 8
flows --json --user 65002 --service b
flow=$(python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); assert len(d) == 1; print(d[0]["flow"])' "$work/out")
flows --user 65002 --destination :1
said "no such connections are open"
flows --reset --user 65002 --destination fd66::/16
said "0 connections reset"
flows --reset --pid 1
said "0 connections reset"
flows --reset --before-policy
said "0 connections reset"
# By one hop of its chain: the service hands on that its connection ended.
flows --reset --flow "$flow"
said "1 connection reset"
gone two
held one
held three
held four
flows --reset --service a --destination '[fd66::/16]:8000-8100' --json
python3 -c 'import json, sys; assert json.load(open(sys.argv[1])) == {"reset": 1}' "$work/out"
gone three
held one
held four
# Both hops at once.
flows --reset --pid "$(head -1 "$work/one.held" | cut -d" " -f2)" --destination 127.66.0.0/16:8080
said "2 connections reset"
gone one
held four
flows --reset --destination 127.66.0.1
said "2 connections reset"
gone four

# What an earlier policy redirected.
hold one 65001 127.66.0.1 8080
chains 2
expect 0 "$WAYBILL" apply "$work/policy.yaml" --instance "$name"
hold two 65002 127.66.0.1 8080
chains 4
flows --reset --before-policy
said "2 connections reset"
gone one
held two
expect 0 "$WAYBILL" apply "$work/policy.yaml" --instance "$name" --reset-existing
grep -q "2 connections" "$work/out" || fail "$(cat "$work/out")"
gone two
hold one 65001 127.66.0.1 8080
# MPTCP: every subflow of it.
if [ "$(cat /proc/sys/net/mptcp/enabled 2>/dev/null)" = 1 ]; then
	hold two 65002 127.66.0.1 8080 mptcp
	flows --reset --user 65002
	wait_for "[ \$('$WAYBILL' flows --json --user 65002 --instance $name | grep -c '\"flow\"') -eq 0 ]"
	held one
fi

# Datagrams.
sed -e 's/tcp: 9001/tcp: 9001, udp: 9003/' -e '0,/protocol: tcp, remote_port: \[ 8080-8090 \]/s//protocol: udp/' \
	"$work/policy.yaml" >"$work/datagrams.yaml"
sed -i '/context/d' "$work/datagrams.yaml"
expect 0 "$WAYBILL" apply "$work/datagrams.yaml" --instance "$name"
relay a 9003 64101 --datagrams
echoes 127.66.0.2
in_cgroup app python3 -c '
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.sendto(b"hello", ("127.66.0.2", 7777))
print(s.recv(100))
time.sleep(60)' >"$work/datagrams" &
started="$started $!"
wait_for "'$WAYBILL' flows --json --instance $name | grep -q udp"
flows --reset --destination 127.66.0.2:7777
said "1 connection reset"
flows --destination 127.66.0.2:7777
said "no such connections are open"
held one
expect 0 "$WAYBILL" metrics --instance "$name"
grep -q 'user_share_entries{.*"flows"} 0$' "$work/out" || fail "the share is not given back"
