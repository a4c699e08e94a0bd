#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Option hooks sit above the cgroups of systemd's units, which go when a unit is started again: on
# their slice, on the instance's cgroup at most, and on a cgroup of any other name itself. A service
# whose cgroup was made again is answered.
. "$(dirname "$0")/world.sh"

# places: the cgroups on which option hooks are, as doctor says, sorted.
places() {
	"$WAYBILL" doctor --json --instance "$name" >"$work/doctor" || :
	python3 - "$work/doctor" <<-'PYTHON'
	import json, sys
	findings = json.load(open(sys.argv[1]))["findings"]
	print("\n".join(sorted(f["reason"] for f in findings if f["thing"] == "option hooks")))
	PYTHON
}

# sit CGROUP...: they are there, below $cgroup, and nowhere else.
sit() {
	for path in "$@"; do
		echo "they sit on $cgroup${path#.}"
	done | sort >"$work/wanted"
	places >"$work/got"
	cmp -s "$work/wanted" "$work/got" || fail "they should sit on $*, not
$(cat "$work/got")"
}

# answered CGROUP: with which error the option is answered for a fresh socket made there.
answered() {
	sh -c 'echo $$ >"$0" && exec "$@"' "$mount$cgroup/$1/cgroup.procs" python3 -c '
import errno, socket
for family in socket.AF_INET, socket.AF_INET6:
    s = socket.socket(family)
    try:
        s.getsockopt(0x5742, 3, 1024)
    except OSError as error:
        print(errno.errorcode[error.errno])'
}

# services CGROUP...: a policy with a service in each, in force.
services() {
	printf 'version: 1\nservices:\n' >"$work/policy.yaml"
	number=1
	for path in "$@"; do
		cat >>"$work/policy.yaml" <<-POLICY
		  - name: service-$number
		    weight: $number
		    endpoint: { tcp: $((9000 + number)) }
		    identity: { cgroup: $cgroup/${path%%:*} }
		POLICY
		[ "$path" = "${path%%:*}" ] || echo "    listener: { user: root, cgroup: $cgroup/${path#*:} }" >>"$work/policy.yaml"
		number=$((number + 1))
	done
	cat >>"$work/policy.yaml" <<-POLICY
	filters:
	  - name: web
	    service: service-1
	    match: { protocol: tcp, remote_port: 8080 }
	    action: redirect
	POLICY
	expect 0 "$WAYBILL" apply "$work/policy.yaml" --instance "$name"
}

# again CGROUP: it is removed, and made again, as systemd does when a unit is started again.
again() {
	rmdir "$mount$cgroup/$1"
	mkdir "$mount$cgroup/$1"
}

slice=$mount$cgroup/x.slice
mkdir -p "$slice/y.service/below" "$slice/z.service" "$slice/x-w.slice/v.scope" \
	"$slice/x-w.slice/u.socket" "$mount$cgroup/t.mount" "$mount$cgroup/init.scope" "$mount$cgroup/service"
expect 0 "$WAYBILL" up --instance "$name" --cgroup "$cgroup"

# In the slice, and once for all that are in it, at any depth.
services x.slice/y.service
sit ./x.slice
services x.slice/y.service/below x.slice/z.service
sit ./x.slice
services x.slice/x-w.slice/v.scope x.slice/x-w.slice/u.socket
sit ./x.slice/x-w.slice
services x.slice/x-w.slice/v.scope x.slice/z.service
sit ./x.slice
# Of who makes the listener too, if systemd itself does, whose cgroup stays.
services x.slice/y.service:init.scope
sit ./x.slice ./init.scope
# What is no unit's stays as it is.
services a service x.slice
sit ./a ./service ./x.slice
# Not above the instance.
services t.mount
sit .

# The links outlive a unit, and whoever is in the new cgroup of its path is answered.
services x.slice/y.service a
sit ./x.slice ./a
rmdir "$slice/y.service/below"
links=$(cd "/sys/fs/bpf/waybill/$name/links" && echo *)
[ "$(answered x.slice/y.service | sort -u)" = ENOTCONN ] || fail "no answer before"
again x.slice/y.service
sit ./x.slice ./a
[ "$(cd "/sys/fs/bpf/waybill/$name/links" && echo *)" = "$links" ] || fail "other links"
[ "$(answered x.slice/y.service | sort -u)" = ENOTCONN ] ||
	fail "not answered in a new cgroup: $(answered x.slice/y.service)"

# A hook that somebody took away: apply makes it again.
rm "/sys/fs/bpf/waybill/$name/links"/claim-*
places | grep -q "^2 of 3 sit on $cgroup/x.slice: services below it get no records" || fail "$(places)"
expect 0 "$WAYBILL" apply "$work/policy.yaml" --instance "$name"
sit ./x.slice ./a
rm "/sys/fs/bpf/waybill/$name/links"/*-*
places | grep -q "^they sit nowhere" || fail "$(places)"
expect 0 "$WAYBILL" apply "$work/policy.yaml" --instance "$name"

# A place that is gone.
rmdir "$mount$cgroup/a"
places | grep -q '^cgroup [0-9]*, on which they sat, was removed' || fail "$(places)"
mkdir "$mount$cgroup/a"

# An instance that is on a unit, or below one: what is above is there to stay.
expect 0 "$WAYBILL" down --instance "$name"
mkdir -p "$slice/y.service/in/p.service" "$slice/y.service/in/q.slice/r.service"
expect 0 "$WAYBILL" up --instance "$name" --cgroup "$cgroup/x.slice/y.service"
services x.slice/y.service/in/q.slice/r.service
sit ./x.slice/y.service/in/q.slice
services x.slice/y.service/in/p.service
sit ./x.slice/y.service/in
expect 0 "$WAYBILL" down --instance "$name"
expect 0 "$WAYBILL" up --instance "$name" --cgroup "$cgroup/x.slice/y.service/in"
services x.slice/y.service/in/p.service
sit ./x.slice/y.service/in
expect 0 "$WAYBILL" down --instance "$name"
