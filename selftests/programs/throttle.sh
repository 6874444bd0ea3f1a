#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows that the rate limit of a set holds for all of its devices together, and for
# several processes, and that it is changed while they transfer. That it is used up as
# well does not show on a busy host: bench/rate measures it, by a clock of instructions.
#
# shellcheck disable=SC2017,SC2086,SC2317 # as intended; numbers; run_tests calls them

here=$(cd -- "$(dirname -- "$0")" && pwd -P)
# shellcheck source=selftests/programs/tap.sh
. "$here/tap.sh"
top=$(cd -- "$here/../.." && pwd -P)
vdi=$top/build/tools/vdi clients=$top/build/selftests/clients
export LD_LIBRARY_PATH=$top/build/libvdi

[ -c /dev/vdiset ] || skip_all "/dev/vdiset does not exist"
[ -x "$vdi" ] || skip_all "vdi is not built"

dir=$(mktemp -d "${VDISET_SCRATCH:-/tmp}/throttle.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1

after_each() {
	is "remaining sets" "" "$("$vdi" ls)"
	[ $bad = 0 ] || tail -n 5 err serve.err 2> /dev/null | sed 's/^/# /'
	rm -rf b b.* err serve.err out
}

# a backup of zeros in transfers of 64 KiB, until the set is aborted
start() { # OPTION...
	"$vdi" backup t -q --to b --no-direct "$@" 2> err &
	appliance=$!
	"$vdi" serve backup t -q -x 128K < /dev/zero 2> serve.err &
	serve=$!
	until_moved 1
}

sample() { # sets bytes and ms of the set, which are read at the same time
	read -r bytes ms <<< "$("$vdi" ls -j | python3 -c '
import json, sys
sets = json.load(sys.stdin)
if sets:
    s = sets[0]
    print(sum(d["bytes"] for d in s["devices"]), round(s["age_seconds"] * 1000))
else:
    print(0, 0)')"
}

has_moved() { # MORE THAN BYTES
	sample
	[ "${bytes:-0}" -gt "$1" ]
}

until_moved() { # MORE THAN BYTES
	wait_until has_moved "$1"
}

# The limit is exceeded by what may be made up for, at most.
measured() { # SECONDS MOST, in percent of $rate
	local first since kib

	sample
	first=$bytes since=$ms
	sleep "$1"
	sample
	kib=$(((bytes - first) / 1024 * 1000 / (ms - since)))
	echo "# $kib KiB/s, limit $((rate / 1024))"
	expect "at most $2 % of the limit: $kib" test $((kib * 100)) -le $((rate / 1024 * $2))
}

finish() {
	"$vdi" abort t -m enough
	wait $appliance
	is "backup" 3 $?
	wait $serve
	is "serve" 3 $?
}

tests+=(several_devices)
several_devices() {
	rate=$((4 << 20))
	start --devices 4 --max-rate 4M
	is "the limit" "4.0 MiB/s" "$("$vdi" throttle t)"
	measured 10 105
	finish
}

tests+=(one_device_and_profiles)
one_device_and_profiles() {
	local p

	rate=$((2 << 20))
	for p in pipe disk tape; do
		start --max-rate 2M --profile $p
		measured 4 110
		finish
		rm -rf b b.*
	done
}

# Is the set faster than so many KiB/s, for a second?
exceeds() {
	local first since

	sample
	first=$bytes since=$ms
	sleep 1
	sample
	[ $(((bytes - first) / 1024 * 1000)) -gt $(($1 * (ms - since))) ]
}

tests+=(changed_at_any_time)
changed_at_any_time() {
	start --devices 2
	rate=$((1 << 20))
	"$vdi" throttle t 1M
	sleep 0.5
	measured 4 110
	rate=$((6 << 20))
	"$vdi" throttle root:t 6M
	wait_until exceeds 1536
	measured 4 110
	"$vdi" throttle t off
	is "the limit" off "$("$vdi" throttle t)"
	sample
	until_moved $((bytes + (64 << 20)))
	finish
}

# a limit of 1 KiB/s would hold the transfer of 64 KiB for a minute
tests+=(very_low_then_off)
very_low_then_off() {
	start --devices 2 --max-rate 1K
	"$vdi" throttle t off
	sample
	until_moved $((bytes + (8 << 20)))
	finish
}

tests+=(abort_ends_the_wait)
abort_ends_the_wait() {
	local before

	start --devices 2 --max-rate 1K
	before=$(date +%s)
	finish
	expect "not after a minute" test $(($(date +%s) - before)) -lt 30
}

tests+=(interrupt_ends_the_wait)
interrupt_ends_the_wait() {
	start --max-rate 1K
	kill -TERM $appliance
	wait $appliance
	is "backup" 130 $?
	wait $serve
	is "serve" 3 $?
}

# the time for which a completion is delayed is not the time of an idle set
tests+=(not_idle)
not_idle() {
	start --max-rate 1K --idle-timeout 2
	sleep 5
	expect "the set exists" test -n "$("$vdi" ls)"
	finish
}

top_shows_the_limit() {
	"$vdi" top t -n 2 -i 1 > out
	grep -q '^t .* rate limit$' out
}

tests+=(shown)
shown() {
	start --max-rate 1M
	expect "ls -j" grep -q '"rate_limit": *1048576' <("$vdi" ls -j)
	wait_until top_shows_the_limit
	is "lines of more than 79 columns" "" "$(grep -E '.{80}' out)"
	finish
}

tests+=(restore)
restore() {
	truncate -s 100M in
	"$vdi" backup t -q --to b --no-direct -- cat in
	is "backup" 0 $?
	rate=$((1 << 20))
	"$vdi" restore t -q --from b --max-rate 1M 2> err &
	appliance=$!
	"$vdi" serve restore t -q -x 128K > /dev/null 2> serve.err &
	serve=$!
	until_moved 1
	measured 4 110
	"$vdi" throttle t off
	wait $appliance
	is "restore" 0 $?
	wait $serve
	is "serve" 0 $?
	rm -f in
}

# one process for each device, written for the SDK
tests+=(several_processes)
several_processes() {
	rate=$((4 << 20))
	"$clients/mprocess" backup 3 /dev/null "set=%s; $vdi throttle \"\$set\" 4M &&
		exec $vdi serve backup \"\$set\" -q -x 128K < /dev/zero 2> serve.err" > out 2> err &
	appliance=$!
	until_moved 1
	measured 4 110
	"$vdi" abort "$("$vdi" ls | awk 'NR == 2 { print $1 }')"
	wait $appliance
}

tests+=(not_permitted)
not_permitted() {
	start --mode 0604 --max-rate 1M
	cp "$vdi" vdi
	chmod 755 . vdi
	is "seen" "1.0 MiB/s" "$(as_nobody ./vdi throttle t)"
	as_nobody ./vdi throttle t off 2> out
	is "changed" 1 $?
	expect "the message" grep -q 'not change it' out
	is "the limit" "1.0 MiB/s" "$("$vdi" throttle t)"
	rm -f vdi
	finish
}

tests+=(wrong_usage)
wrong_usage() {
	local args

	for args in 'throttle' 'throttle t 1 2' 'throttle t 1' 'throttle t -5' 'throttle t x' 'throttle --id 0' \
		'throttle --id 1 2M 3M' 'backup t --to b --max-rate 0' 'backup t --to b --max-rate off'; do
		"$vdi" $args > /dev/null 2> err
		is "vdi $args" 2 $?
	done
	"$vdi" throttle none 1M 2> err
	is "no such set" 1 $?
	expect "the message names it" grep -q "'none'" err
}

run_tests
