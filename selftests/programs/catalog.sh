#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows what vdi list, expire and verify --all say and do about a directory of backups,
# also after kills of vdi backup and vdi expire, and what --into and --latest choose.
# Needs the built tree two levels up; the tests of vdi backup and restore need a loaded
# module. VDISET_KILLED_BACKUPS is the number of kills of each program (default 20).

# shellcheck source=selftests/programs/tap.sh
. ./tap.sh
root=$(cd ../.. && pwd -P)
vdi=$root/build/tools/vdi
make_backup=$root/build/tools/test/make_backup
kills=${VDISET_KILLED_BACKUPS:-20}
work=$(mktemp -d "${VDISET_SCRATCH:-${TMPDIR:-/tmp}}/vdi-catalog.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

[ -x "$vdi" ] || skip_all "vdi is not built"
[ -x "$make_backup" ] || skip_all "make_backup is not built"

after_each() {
	[ ! -c /dev/vdiset ] || is "remaining sets" "" "$("$vdi" ls)"
	rm -rf "${work:?}"/*
}

# make NAME SET AGE [BYTES [DEVICES]]
make() {
	"$make_backup" "place/$1" "$2" "$3" "${4:-1000}" "${5:-1}" || bad=1
}

# increment NAME SET AGE BASE
increment() {
	"$make_backup" "place/$1" "$2" "$3" 1000 1 "place/$4" || bad=1
}

# run STATUS ARGUMENTS...: vdi, whose output goes to "out" and messages to "err"
run() {
	local wanted=$1
	shift
	"$vdi" "$@" > out 2> err
	is "vdi $*" "$wanted" $?
}

# state NAME: as the table shows it; a row ends with name and state
state() {
	"$vdi" list place | sed -n "s/.*  $1  *//p"
}

names() { (cd place && echo *); }

day=86400

# based NAME: base and state, as the table of a place with increments shows them
based() {
	"$vdi" list place | awk -F '  +' -v name="$1" '$7 == name { print $8, $9 }'
}

# Two increments of "full", and later backups of both sets
make_chain() {
	mkdir place
	make full nightly $((5 * day))
	increment inc1 increments $((4 * day)) full
	increment inc2 increments $((3 * day)) inc1
	make later nightly "$day"
	make last increments "$day"
}

tests+=(list_and_verify_increments)
list_and_verify_increments() {
	make_chain
	run 0 list place
	expect "column" grep -q '  DIRECTORY  BASED ON  STATE$' out
	is "inc1" "full whole" "$(based inc1)"
	is "inc2" "inc1 whole" "$(based inc2)"
	is "a backup that is complete in itself" "- whole" "$(based later)"
	run 0 list place --json
	expect "JSON" grep -qF '"based_on": "inc1"' out
	is "JSON of others" 3 "$(grep -cF '"based_on": null' out)"
	run 0 verify -q place/inc2
	run 0 verify -q place --all
	mv place/full away
	is "inc1" "full damaged: its base full is missing" "$(based inc1)"
	is "inc2" "inc1 damaged: its base inc1 is damaged" "$(based inc2)"
	run 5 verify -q place/inc1
	expect "verify" grep -q 'place/inc1 is damaged: its base full is missing' err
	run 5 verify -q place --all
	run 5 verify -q place/inc2
	make full nightly 0
	is "another backup of the name" "full damaged: its base full is missing: another backup has the name" "$(based inc1)"
	run 0 list place --set nightly
	expect "no column without increments" grep -q 'DIRECTORY  STATE' out
}

tests+=(expire_keeps_bases)
expire_keeps_bases() {
	make_chain
	make old nightly $((6 * day))
	run 0 expire place --keep-last 2 --dry-run
	expect "why" grep -q '^keep    place/inc1: inc2, which is kept, is based on it' out
	run 0 expire place --keep-last 2
	is "kept" "full inc1 inc2 last later" "$(names)"
	run 0 expire place --keep-last 1 --set nightly
	is "another set needs it" "full inc1 inc2 last later" "$(names)"
	run 0 expire place --keep-last 1
	is "nothing needs them" "last later" "$(names)"
	is "increments are removed first" "inc2 inc1 full" "$(sed -n 's,^remove  place/\([a-z0-9]*\):.*,\1,p' out | xargs)"
}

tests+=(expire_keeps_bases_of_what_it_cannot_remove)
expire_keeps_bases_of_what_it_cannot_remove() {
	make_chain
	touch place/inc2/notes
	run 1 expire place --keep-last 1
	is "kept" "full inc1 inc2 last later" "$(names)"
	expect "why" grep -q '^keep    place/full: a backup that could not be removed is based on it' out
	is "inc2 is whole" "inc1 whole" "$(based inc2)"
	rm place/inc2/notes
	exec 9< place/inc1
	flock -s 9
	run 0 expire place --keep-last 1
	exec 9<&-
	is "one is in use" "full inc1 last later" "$(names)"
	is "it is whole" "full whole" "$(based inc1)"
}

tests+=(list_shows_states)
list_shows_states() {
	mkdir place
	for name in whole short missing manifest partial expired; do make "$name" nightly 0; done
	truncate -s 999 place/short/device-00.data
	rm place/missing/device-00.data place/manifest/manifest.json
	mv place/partial place/p.partial
	mv place/expired place/e.expired
	mkdir place/other
	touch place/other/file place/file
	run 0 list place
	is "whole" whole "$(state whole)"
	is "short" "damaged: device-00.data: it has 999 bytes, not 1000" "$(state short)"
	is "missing" "damaged: device-00.data: it is missing" "$(state missing)"
	is "no manifest" "incomplete: it has no manifest.json" "$(state manifest)"
	is "DIR.partial" "incomplete: the vdi backup was interrupted" "$(state p.partial)"
	is "DIR.expired" "expired: vdi expire was interrupted" "$(state e.expired)"
	is "lines" 7 "$(wc -l < out)"
	is "whole ones in JSON" 1 "$("$vdi" list --json place | grep -c '"state": "whole"')"
	is "columns" "nightly pipe 00:01:01 1000 B" "$(sed -n 's/ *whole$//p' out | awk '{ print $1, $2, $4, $7, $8 }')"
	run 0 list place/whole
	is "a backup as place" 2 "$(wc -l < out)"
	expect "its name" grep -q ' whole  *whole$' out
}

tests+=(list_sets_and_json)
list_sets_and_json() {
	mkdir place
	make a nightly 60 3000 2
	make b $'odd\xff name' 0
	run 0 list place --set nightly --json
	is "objects" 1 "$(grep -c '"directory":' out)"
	for line in '"directory": "a"' '"path": "place/a"' '"set": "nightly"' '"profile": "pipe"' '"given": 6000' \
		'"devices": 2' '"duration_ms": 61000' '"why": ""'; do
		expect "JSON has $line" grep -qF "$line" out
	done
	run 0 list place --set $'odd\xff name' --json
	expect "bytes of the name" grep -qF '"set_hex": "6f6464ff206e616d65"' out
	run 0 list place --set none
	is "no such set" "" "$(cat out)"
}

tests+=(list_max_age)
list_max_age() {
	mkdir place
	run 7 list place --max-age 1d
	expect "message" grep -q 'there is no whole backup in place' err
	make old nightly $((3 * day))
	make young nightly "$day"
	make weekly weekly $((5 * day))
	run 0 list place --max-age 6d
	run 0 list place --max-age 2d --set nightly
	run 7 list place --max-age 2d
	is "messages" 1 "$(wc -l < err)"
	expect "the set" grep -q "of set 'weekly', place/weekly, is 5 d 0 h old, more than 2 d 0 h" err
	run 7 list place --max-age 2d --set none
	make future weekly "-$day"
	run 7 list place --max-age 2d
	rm place/young/device-00.data
	run 7 list place --max-age 2d --set nightly
	expect "the youngest whole one" grep -q place/old err
}

tests+=(list_errors)
list_errors() {
	mkdir place
	touch file
	run 1 list none
	expect "missing place" grep -q 'cannot open none: No such file or directory' err
	run 1 list file
	run 2 list
	run 2 list place place
	run 2 list place --max-age 5
	run 2 list place --max-age -5d
	make a nightly 0
	"$vdi" list place > /dev/full 2> err
	is "full output" 1 $?
	[ "$(id -u)" != 0 ] || return
	chmod 755 . place
	chmod 0 place/a
	# a user without rights
	setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all "$vdi" list "$work/place" > out 2> err
	is "unreadable backup" 1 $?
	expect "state" grep -q 'a  *unreadable: Permission denied' out
}

tests+=(expire_rules)
expire_rules() {
	mkdir place
	for n in 0 1 2 3 4 5; do make "d$n" daily $((n * day)); done
	make old weekly $((90 * day))
	run 0 expire place --keep-last 2 --dry-run
	mv out dry
	is "nothing removed" "d0 d1 d2 d3 d4 d5 old" "$(names)"
	run 0 expire place --keep-last 2 --set weekly
	is "another set" "d0 d1 d2 d3 d4 d5 old" "$(names)"
	run 0 expire place --keep-last 2
	expect "same output" cmp dry out
	is "keep-last" "d0 d1 old" "$(names)"
	expect "summary" grep -q '^3 kept, 4 removed, 0 failed, [0-9.]* KiB freed$' out
	make d3 daily $((3 * day))
	run 0 expire place --keep-within 2d --json
	is "keep-within" "d0 d1 old" "$(names)"
	is "removed in JSON" 1 "$(grep -c '"action": "remove"' out)"
	run 2 expire place
	run 2 expire place --keep-last 0
	run 2 expire place --keep-within x
	run 2 expire place/d0 --keep-last 1
	run 1 expire none --keep-last 1
	is "after errors" "d0 d1 old" "$(names)"
}

tests+=(expire_keeps_what_is_not_its_own)
expire_keeps_what_is_not_its_own() {
	mkdir -p place/mine
	for n in 0 1 2 3; do make "n$n" nightly $((n * day)); done
	touch place/n1/notes place/mine/file
	rm place/n2/device-00.data
	make f nightly "-$day"
	mkdir place/x.partial
	touch place/x.partial/{notes,device-00.data}
	touch -d @0 place/x.partial{,/*}
	run 1 expire place --keep-last 1
	is "left" "f mine n0 n1 n2 x.partial" "$(names)"
	expect "n1" grep -q 'cannot remove place/n1: it contains notes' err
	expect "partial" grep -q 'cannot remove place/x.partial: it contains notes' err
	expect "damaged" grep -q 'place/n2 is damaged and is kept' err
	expect "future" grep -q 'place/f is dated in the future and is kept' err
	is "n1" whole "$(state n1)"
	rm place/n1/notes place/x.partial/notes
	touch -d @0 place/x.partial
	run 0 expire place --keep-last 1
	is "left" "f mine n0 n2" "$(names)"
}

tests+=(expire_removes_remains_by_age)
expire_removes_remains_by_age() {
	mkdir -p place/{young,old}.partial place/elsewhere.partial
	touch place/{young,old}.partial/device-00.data place/old.partial.lock place/lone.partial.lock
	echo "vdi backup of host elsewhere process 1 machine 0 boot 1" > place/elsewhere.partial.lock
	touch -d @0 place/old.partial{,/*,.lock} place/lone.partial.lock place/elsewhere.partial{,.lock}
	run 0 expire place --keep-last 1
	is "left" "elsewhere.partial elsewhere.partial.lock young.partial" "$(names)"
	run 0 expire place --keep-last 1 --partial-age 0
	is "left" "elsewhere.partial elsewhere.partial.lock" "$(names)"
	is "other host" "being written: by process 1 on host elsewhere" "$(state elsewhere.partial)"
}

tests+=(verify_all)
verify_all() {
	mkdir place
	run 1 verify place --all
	expect "empty place" grep -q 'there is no backup in place' err
	for n in 1 2 3; do make "n$n" nightly "$n" 200000 3; done
	make w weekly 0
	mkdir place/x.partial
	for jobs in 1 2 64; do
		run 0 verify place --all --jobs "$jobs"
		is "verified" 4 "$(grep -c '^verified place/.*checksums match$' out)"
		expect "summary" grep -q '^4 verified, 0 failed, 1 incomplete and skipped$' out
	done
	printf x | dd of=place/n2/device-02.data bs=1 seek=100000 conv=notrunc status=none
	run 5 verify place --all
	is "messages" 1 "$(wc -l < err)"
	expect "the damaged file" grep -q 'backup place/n2 is damaged: device-02.data' err
	expect "summary" grep -q '^3 verified, 1 failed, 1 incomplete and skipped$' out
	run 0 verify place --all --set weekly
	rm place/w/manifest.json
	run 5 verify place --all -q
	is "messages" 2 "$(wc -l < err)"
	is "quiet" "" "$(cat out)"
	run 5 verify place/n2 --jobs 2
	run 0 verify place/n1 --jobs 2
	run 2 verify place/n1 --jobs 0
	run 2 verify place/n1 --set nightly
}

# The processes that are killed are at any point, from their start to after their end.
random_sleep() { sleep "0.$(printf %02d $((RANDOM % $1)))"; }

# What list calls whole is whole.
check_place() {
	local name

	for name in $("$vdi" list place | sed -n 's/ *whole$//p' | sed 's/.* //'); do
		expect "$name is whole" "$vdi" verify -q "place/$name"
	done
}

tests+=(killed_expire)
killed_expire() {
	local i n

	mkdir place template
	for n in 0 1 2 3; do "$make_backup" template/"n$n" nightly $((n * day)) 100000 8 || bad=1; done
	for ((i = 0; i < kills && bad == 0; i++)); do
		rm -rf place
		cp -a template place
		"$vdi" expire place --keep-last 1 > /dev/null 2>&1 &
		random_sleep 10
		kill -9 $! 2> /dev/null
		wait $! 2> /dev/null
		check_place
		is "youngest" whole "$(state n0)"
		run 0 expire place --keep-last 1
		is "after the next expire" n0 "$(names)"
	done
}

tests+=(killed_while_writing)
killed_while_writing() {
	local i

	mkdir place
	for ((i = 0; i < kills && bad == 0; i++)); do
		"$make_backup" "place/b$i" nightly 0 3000000 8 2> /dev/null &
		random_sleep 30
		kill -9 $! 2> /dev/null
		wait $! 2> /dev/null
		check_place
		is "being written" "" "$("$vdi" list place | grep 'being written')"
		run 0 expire place --keep-last 1 --partial-age 0
		expect "no remains" test -z "$(find place -name '*.partial*')"
	done
}

[ ! -c /dev/vdiset ] || tests+=(into_and_latest)
into_and_latest() {
	local name

	mkdir place
	head -c 300000 /dev/urandom > one
	head -c 400000 /dev/urandom > two
	run 0 backup 'night ly' -q --devices 2 --into place -- cat one
	run 0 backup 'night ly' -q --into place/ -- cat two
	run 0 backup other -q --into place -- cat one
	is "backups" 3 "$(names | wc -w)"
	for name in place/night_ly-*; do
		expect "$name" grep -qxE 'place/night_ly-[0-9]{8}T[0-9]{6}Z(-2)?' <<< "$name"
	done
	run 0 restore 'night ly' -q --from place --latest -- cat
	# two of the same second have no order
	cmp -s out two || expect "the latest" cmp out one
	run 0 restore r -q --from place --latest --set other -- cat
	expect "restored" cmp out one
	run 1 restore r -q --from place --latest -- cat
	expect "message" grep -q "there is no whole backup of set 'r' in place" err
	rm place/other-*/device-00.data
	run 1 restore other -q --from place --latest -- cat
	expect "message" grep -q "only damaged ones" err
	run 2 backup x --into place --to place/x -- cat one
	run 2 restore x --from place --set other -- cat
	run 1 backup x --into none -- cat one
	run 1 backup x --to place/x.partial -- cat one
	expect "message" grep -q 'x.partial cannot become a backup' err
}

[ ! -c /dev/vdiset ] || tests+=(list_while_writing)
list_while_writing() {
	local name

	mkdir place
	mkfifo data
	"$vdi" backup w -q --to place/w -- cat data 2> err &
	exec 9> data
	echo something >&9
	until [ -d place/w.partial ]; do pause 0.1; done
	expect "state" grep -q "^being written: by process [0-9]* on host" <<< "$(state w.partial)"
	run 0 expire place --keep-last 1 --partial-age 0
	expect "it is kept" test -d place/w.partial
	exec 9>&-
	wait $!
	is "backup" 0 $?
	is "state" whole "$(state w)"
	"$vdi" list --json place > out
	expect "bytes given" grep -q '"given": [1-9]' out
}

[ ! -c /dev/vdiset ] || tests+=(backup_based_on_another)
backup_based_on_another() {
	local full inc

	mkdir place
	run 0 backup n -q --into place -- echo full
	full=$(names)
	run 2 backup n -q --to place/x --based-on "$full" -- echo x
	run 2 backup n -q --into place --based-on "../$full" -- echo x
	run 1 backup n -q --into place --based-on none -- echo x
	expect "names it" grep -q 'place/none' err
	run 0 backup n -q --into place --based-on "$full" -- echo inc1
	inc=$(find place -name "n-*" ! -name "$full" -printf %f)
	is "state" "$full whole" "$(based "$inc")"
	run 0 backup n -q --into place --based-on latest --compress zstd -- echo inc2
	is "based on the youngest" 1 "$("$vdi" list place | awk -F '  +' '{ print $8 }' | grep -cx "$inc")"
	run 0 restore n --from place --latest -- cat
	is "data" inc2 "$(cat out)"
	expect "says what is needed" grep -q "in this order: .*/place/$full .*/place/$inc .*/place/n-" err
	rm place/"$full"/device-00.data
	run 1 backup n -q --into place --based-on "$inc" -- echo inc3
	expect "a damaged base" grep -q "it is damaged: its base $full is damaged" err
}

# The base is locked while the backup is being written.
[ ! -c /dev/vdiset ] || tests+=(base_is_kept_during_the_backup)
base_is_kept_during_the_backup() {
	local writer

	mkdir place
	make base old $((3 * day))
	make young old $((2 * day))
	mkfifo input
	"$vdi" backup n -q --into place --based-on base -- cat input > backup.out 2>&1 &
	writer=$!
	exec 9> input
	echo data >&9
	until "$vdi" ls | grep -q ' active '; do
		kill -0 "$writer" 2> /dev/null || break
		pause 0.1
	done
	run 0 expire place --keep-last 1
	expect "in use" grep -q '^keep    place/base: in use' out
	exec 9>&-
	wait "$writer"
	is "vdi backup" 0 $?
	is "whole" 3 "$("$vdi" list place | grep -c 'whole$')"
}

[ ! -c /dev/vdiset ] || tests+=(killed_backup)
killed_backup() {
	local i

	mkdir place
	for ((i = 0; i < kills && bad == 0; i++)); do
		"$vdi" backup k -q --devices 2 --into place -- head -c 20000000 /dev/urandom 2> /dev/null &
		random_sleep 100
		kill -9 $! 2> /dev/null
		wait $! 2> /dev/null
		# the other side of the set ends, too
		while [ -n "$("$vdi" ls)" ]; do pause 0.1; done
		check_place
		run 0 expire place --keep-last 1 --partial-age 0
		expect "no remains" test -z "$(find place -name '*.partial*')"
	done
}

run_tests
