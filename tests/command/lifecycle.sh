#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# up, apply, status, flows, rotate-key, down, in order and out of order: what they print, the
# exit codes that scripts rely on, and that --json is JSON which says the same.
. "$(dirname "$0")/world.sh"

json() {
	python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); sys.exit(not eval(sys.argv[2]))' \
		"$work/out" "$1" || { cat "$work/out" >&2; fail "not so: $1"; }
}

expect 3 "$WAYBILL" status --instance "$name"
expect 3 "$WAYBILL" flows --instance "$name"
expect 3 "$WAYBILL" down --instance "$name"
grep -q "not up" "$work/err" || fail "down does not say why"
expect 2 "$WAYBILL" up --nonsense
expect 2 "$WAYBILL" nonsense
expect 0 "$WAYBILL" --help
expect 0 "$WAYBILL" up --help
grep -qi example "$work/out" || fail "no example in --help"

policy
# A cgroup that was removed takes the instance along: one of the same path is another.
mkdir "$mount$cgroup/gone"
expect 0 "$WAYBILL" up --instance "$name" --cgroup "$cgroup/gone"
expect 0 "$WAYBILL" status --instance "$name"
rmdir "$mount$cgroup/gone"
expect 1 "$WAYBILL" status --instance "$name"
mkdir "$mount$cgroup/gone"
expect 1 "$WAYBILL" status --instance "$name"
grep -q "was removed" "$work/err" || fail "status does not say so: $(cat "$work/err")"
expect 1 "$WAYBILL" apply "$work/policy.yaml" --instance "$name"
"$WAYBILL" metrics --instance "$name" 2>"$work/err" | grep -q "^waybill_up.* 0$" || fail "waybill_up"
expect 1 "$WAYBILL" up --instance "$name" --cgroup "$cgroup/gone"
grep -q "$cgroup/gone was removed.*waybill down --instance $name" "$work/err" ||
	fail "$(cat "$work/err")"
expect 0 "$WAYBILL" down --instance "$name"
expect 0 "$WAYBILL" up --instance "$name" --cgroup "$cgroup/gone"
expect 0 "$WAYBILL" down --instance "$name"
rmdir "$mount$cgroup/gone"

expect 1 "$WAYBILL" up --instance "$name" --cgroup "$cgroup/nowhere"
expect 0 "$WAYBILL" up --instance "$name" --cgroup "$cgroup"
expect 0 "$WAYBILL" up --instance "$name" --cgroup "$cgroup"
expect 0 "$WAYBILL" status --instance "$name"

policy
sed 's/service: b/service: bb/' "$work/policy.yaml" >"$work/wrong.yaml"
expect 1 "$WAYBILL" apply "$work/wrong.yaml" --check
grep -q 'wrong.yaml:[0-9]*: .*"bb".*did you mean "b"' "$work/err" || fail "$(cat "$work/err")"
expect 0 "$WAYBILL" apply "$work/policy.yaml" --check
[ ! -s "$work/err" ] || fail "a warning without a reason: $(cat "$work/err")"
sed 's/tcp: 9001/tcp: 40001/' "$work/policy.yaml" >"$work/ephemeral.yaml"
expect 0 "$WAYBILL" apply "$work/ephemeral.yaml" --check
grep -q 'warning: service "a".*40001' "$work/err" || fail "no warning of an ephemeral port"
expect 1 "$WAYBILL" apply "$work/nowhere.yaml" --instance "$name"
# Which application began a chain is told if the policy names it.
program=$(realpath "$(command -v curl)")
sed "s|protocol: tcp|&, original_application: $program|" "$work/policy.yaml" >"$work/named.yaml"
expect 0 "$WAYBILL" apply "$work/named.yaml" --instance "$name"
expect 1 "$WAYBILL" apply "$work/wrong.yaml" --instance "$name"

# Somebody listens, from outside: he is not the service, on either family.
"$WAYBILL_RELAY" --listen 127.0.0.1:9001 2>/dev/null &
stranger=$!
started="$started $stranger"
wait_for "ss -ltn | grep -q 127.0.0.1:9001"
expect 0 "$WAYBILL" status --instance "$name" --json
json "not d['services'][0]['listening']['ipv4']"
"$WAYBILL" metrics --instance "$name" >"$work/out"
grep -q 'waybill_service_listening.*service="a",family="ipv4"} 0' "$work/out" || fail "$(cat "$work/out")"
"$WAYBILL" doctor --instance "$name" >"$work/out" 2>&1 || :
grep -q "process $stranger listens.*counts as down" "$work/out" || fail "$(cat "$work/out")"
kill "$stranger"
wait "$stranger" || :
relay a 9001 64101
relay b 9002 64102
server
expect 0 "$WAYBILL" status --instance "$name" --json
json "len(d['services']) == 2 and d['services'][0]['name'] == 'a'"
in_cgroup app curl -sS --limit-rate 1M http://127.66.0.1:8080/data -o "$work/data" &
started="$started $!"
curl=$!
wait_for "'$WAYBILL' flows --instance $name --json | grep -q '\"b\"'"
expect 0 "$WAYBILL" flows --instance "$name" --json
json "sorted(len(f['chain']) for f in d) == [1, 2]"
json "all(f['originator']['comm'] == 'curl' and not f['before_policy'] for f in d)"
json "all(f['chain'][0]['application'] == '$program' for f in d)"
json "all('application' not in hop for f in d for hop in f['chain'][1:])"
# A policy that is applied now does not touch what is open.
expect 0 "$WAYBILL" apply "$work/policy.yaml" --instance "$name"
expect 0 "$WAYBILL" flows --instance "$name" --json
json "len(d) == 2 and all(f['before_policy'] for f in d)"
expect 0 "$WAYBILL" flows --instance "$name"
grep -q "127.66.0.1:8080" "$work/out" || fail "no destination in flows"
expect 0 "$WAYBILL" rotate-key --instance "$name"
# The hooks of datagrams come with the first policy that redirects some, and are renewed.
[ ! -e "/sys/fs/bpf/waybill/$name/links/sendmsg4" ] || fail "datagrams are hooked for nothing"
sed -e 's/tcp: 9001/tcp: 9001, udp: 9001/' -e '0,/protocol: tcp/s//protocol: udp/' "$work/policy.yaml" >"$work/datagrams.yaml"
expect 0 "$WAYBILL" apply "$work/datagrams.yaml" --instance "$name"
for link in release sendmsg4 sendmsg6 recvmsg4 recvmsg6 datagram4 datagram6; do
	[ -e "/sys/fs/bpf/waybill/$name/links/$link" ] || fail "no link $link"
done
expect 0 "$WAYBILL" up --instance "$name" --cgroup "$cgroup"
expect 0 "$WAYBILL" apply "$work/policy.yaml" --instance "$name"
kill "$curl" || : # it may have ended, where all this took long
timeout -s INT 3 "$WAYBILL" monitor --json --instance "$name" >"$work/events" &
started="$started $!"
monitor=$!
sleep 1
in_cgroup app curl -sS http://127.66.0.1:8080/data -o "$work/data"
cmp -s "$work/data" "$work/www/data" || fail "the file differs"
wait "$monitor" || [ $? -eq 124 ] || fail "monitor does not end cleanly"
[ "$(grep -c '"redirect"' "$work/events")" -eq 2 ] || fail "monitor: $(cat "$work/events")"
python3 -c 'import json, sys; [json.loads(line) for line in open(sys.argv[1])]' "$work/events"

expect 0 "$WAYBILL" down --instance "$name"
expect 3 "$WAYBILL" down --instance "$name"
expect 3 "$WAYBILL" status --instance "$name"
[ ! -e "/sys/fs/bpf/waybill/$name" ] || fail "pins are left"

# Where the BPF file system is open to all, nobody else can hold up what root does.
export WAYBILL name cgroup
unshare -m --propagation private sh -c '
	mount -t bpf -o mode=1777 bpf /sys/fs/bpf || exit 77
	setpriv --reuid 61000 --clear-groups flock -x /sys/fs/bpf sleep 30 &
	holder=$!
	sleep 1
	timeout 20 "$WAYBILL" up --instance "$name" --cgroup "$cgroup" >/dev/null &&
		"$WAYBILL" down --instance "$name" >/dev/null
	status=$?
	kill "$holder"
	[ ! -e /sys/fs/bpf/waybill ] || status=1
	exit $status' || fail "held up by somebody else, or something is left"
