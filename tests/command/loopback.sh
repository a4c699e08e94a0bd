#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What rules of netfilter do to connections within this host: doctor finds that one changes their
# source, or drops them, by its effect, up or not up, whatever policy is in force. And it is so:
# with the rule that doctor warns of no redirected connection works, and with the mend all do.
. "$(dirname "$0")/world.sh"

command -v nft >/dev/null || { echo "skipped: no nft"; exit 77; }
nft 'add table inet try; add chain inet try here { type nat hook postrouting priority 100; };
	add rule inet try here masquerade; delete table inet try' 2>/dev/null ||
	{ echo "skipped: no NAT in this kernel"; exit 77; }
ip link add here type veth peer name there
ip addr add 10.66.0.1/24 dev here
ip link set here up

# doctor PATTERN: what it says of loopback.
doctor() {
	"$WAYBILL" doctor --instance "$name" >"$work/out" || :
	grep '^[a-z]* *loopback:' "$work/out" >"$work/found" || :
	[ "$(wc -l <"$work/found")" -eq 1 ] || fail "$(cat "$work/out")"
	grep -qE "$1" "$work/found" || fail "not found: $1 in
$(cat "$work/found")"
}

# rule CHAIN RULE: this one, and no other.
rule() {
	nft delete table inet rules 2>/dev/null || :
	[ -z "${1:-}" ] ||
		nft "add table inet rules; add chain inet rules here { $1; }; add rule inet rules here $2"
}

nat='type nat hook postrouting priority 100'
filter='type filter hook input priority 0; policy drop'
arrives='^ok +loopback: connections within this host arrive as they were sent$'
changed='^warning +loopback: a rule changes the source .* from 127\.112\.0\.0:([0-9]+) came from 10\.66\.0\.1:.*limit the rule .*-o eth0'
lost='^warning +loopback: what is sent from 127\.112\.0\.0:[0-9]+ to 127\.0\.0\.1:[0-9]+ does not arrive'

doctor "$arrives"
rule "$nat" masquerade
doctor "$changed"

expect 0 "$WAYBILL" up --instance "$name" --cgroup "$cgroup"
policy
# All that root connects to anywhere, doctor's own included.
sed -i 's/, remote_port: \[ 8080 \]//' "$work/policy.yaml"
expect 0 "$WAYBILL" apply "$work/policy.yaml" --instance "$name"
relay a 9001 64101
relay b 9002 64102
server
page() {
	in_cgroup app timeout 10 curl -sS http://127.66.0.1:8080/data -o "$work/data" 2>/dev/null
}

# inside PATTERN: the same from a cgroup of the instance's.
inside() {
	in_cgroup app "$WAYBILL" doctor --instance "$name" >"$work/out" || :
	grep -qE "$1" "$work/out" || fail "not found: $1 in
$(cat "$work/out")"
}

doctor "$changed"
(inside "$changed")
if (page); then fail "the page came, with a rule that changes its connection's source"; fi
rule "$nat" 'masquerade fully-random'
doctor "$changed"
rule "$nat" 'oifname "here" masquerade'
doctor "$arrives"
(inside "$arrives")
(page) || fail "the page did not come, with a rule for another device"
# Only the port is changed.
rule "$nat" 'ip saddr 127.0.0.0/8 tcp dport != 9001-9002 snat ip to 127.112.0.0:5-6'
doctor '^warning +loopback: a rule changes the source .* came from 127\.112\.0\.0:[56]\.'

# A firewall that knows 127.0.0.1 alone.
rule "$filter" 'iif lo ip saddr 127.0.0.1 accept'
doctor "$lost"
if (page); then fail "the page came, through a firewall that drops it"; fi
rule "$filter" 'iif lo accept'
doctor "$arrives"
(page) || fail "the page did not come through a firewall that accepts what goes by lo"
rule
doctor "$arrives"

# What cannot be tried is said.
"$WAYBILL" doctor --json --instance "$name" >"$work/out" || :
grep -q '"thing": "loopback"' "$work/out" || fail "$(cat "$work/out")"
setpriv --bounding-set=-net_raw "$WAYBILL" doctor --instance "$name" >"$work/out" || :
grep -q '^note *loopback: .* cannot be tried: Operation not permitted' "$work/out" || fail "$(cat "$work/out")"
ip link set lo down
doctor "$lost"
