#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows that vdi restores what it has backed up, with vdi on both sides, on every kind
# of device and on media of limited capacity. Needs the built tree two levels up and a
# loaded module.

# shellcheck disable=SC2317,SC2086 # called by their names; numbers and words
# shellcheck source=selftests/programs/tap.sh
. ./tap.sh
vdi=$(cd ../.. && pwd -P)/build/tools/vdi
work=$(mktemp -d "${VDISET_SCRATCH:-${TMPDIR:-/tmp}}/vdi-profiles.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

[ -c /dev/vdiset ] || skip_all "/dev/vdiset does not exist"
[ -x "$vdi" ] || skip_all "vdi is not built"

after_each() {
	is "remaining sets" "" "$("$vdi" ls)"
	[ $bad = 0 ] || for f in *.err; do
		[ ! -s "$f" ] || sed "s/^/# $f: /" "$f"
	done
	rm -rf "${work:?}"/{b,b.partial,out} "$work"/*.err
}

# A backup and a restore on devices made by the client's options
trip() { # INPUT "CLIENT OPTIONS" SERVER OPTIONS...
	local input=$1 options=$2

	shift 2
	rm -rf b
	"$vdi" backup t -q --to b $options 2> backup.err &
	"$vdi" serve backup t -q "$@" < "$input" 2> serve.err
	is "$options: serve backup" 0 $?
	wait $!
	is "$options: backup" 0 $?
	expect "$options: verify" "$vdi" verify -q b
	"$vdi" restore t -q --from b 2> restore.err &
	"$vdi" serve restore t -q > out 2> serve-restore.err
	is "$options: serve restore" 0 $?
	wait $!
	is "$options: restore" 0 $?
	expect "$options: what came back" cmp "$input" out
}

head -c 5000000 /dev/urandom > big
head -c 100000 /dev/urandom > small

for profile in pipe disk tape; do
	eval "
	tests+=(${profile}s)
	${profile}s() {
		for n in 1 2 8; do
			trip big '--profile $profile --devices '\$n -x 256K
		done
		trip /dev/null '--profile $profile --devices 2' --allow-empty
		trip small '--profile $profile --discard'
	}
	"
done

tests+=(several_media)
several_media() {
	local p

	for p in "pipe --removable" "disk --removable" tape; do
		trip big "--profile $p --devices 2 --capacity 1M" -x 128K
		expect "$p: many" test "$(find b -type f | wc -l)" -gt 5
	done
	trip big "--profile tape --soft-filemarks 4096 --capacity 1M" -x 64K
}

tests+=(verified)
verified() {
	trip big "--profile disk --devices 2" --verify
	trip big "--profile tape --devices 2" --verify
	trip big "--profile disk --removable --capacity 1M" --verify -x 128K
	trip big "--profile tape --capacity 1M" --verify -x 128K
}

tests+=(no_verify_of_pipes)
no_verify_of_pipes() {
	"$vdi" backup t -q --to b 2> backup.err &
	"$vdi" serve backup t -q --verify < small 2> serve.err
	is "serve" 1 $?
	wait $!
	is "backup" 3 $?
	expect "no backup" test ! -e b
}

run_tests
