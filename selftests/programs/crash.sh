#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Power cuts at every call that makes a file or a name durable, in a backup and
# in restores. What is under the final name afterwards is whole, or the name is
# not there; a program that has reported success is right. Needs the built tree
# two levels up, root, a user postgres, loop devices and a loaded module.
#
# The cut is EXT4_IOC_SHUTDOWN, by which a file system loses what it has not
# written to its device, made by stop_at.so before or after the Nth call. Then
# the file system is mounted again, which replays its journal. The device itself
# loses nothing: a missing flush of its cache would not be seen.

# shellcheck disable=SC2015,SC2016,SC2086,SC2317 # A && B || C as meant; for another shell; numbers; called by their names
# shellcheck source=selftests/programs/tap.sh
. ./tap.sh
top=$(cd ../.. && pwd -P)
vdi=$top/build/tools/vdi
server=$top/build/tools/test/server
stop_at=$top/build/selftests/clients/stop_at.so
user=postgres
work=$(mktemp -d "${TMPDIR:-/tmp}/vdi-crash.XXXXXX")
loop=()
leave() {
	jobs -p | xargs -r kill -9 2> /dev/null
	umount "$work"/mnt? 2> /dev/null
	[ ${#loop[@]} = 0 ] || losetup -d "${loop[@]}"
	rm -rf "$work"
}
trap leave EXIT

[ -c /dev/vdiset ] || skip_all "there is no /dev/vdiset"
[ -x "$server" ] || skip_all "the test server is not built"
[ -f "$stop_at" ] || skip_all "stop_at.so is not built"
[ "$(id -u)" = 0 ] || skip_all "not root"
id -u $user > /dev/null 2>&1 || skip_all "there is no user $user"
modprobe -q loop
chmod 755 "$work"
# nothing ever comes: a pause without a process
mkfifo "$work/pause"
exec 9<> "$work/pause"

# shellcheck source=selftests/programs/pg_stream.sh
. ./pg_stream.sh

# Nothing is written back but by the calls that are tested.
mount_it() { # N
	mount -o commit=3600 "${loop[$1]}" "$work/mnt$1"
}

for n in 1 2; do
	mkdir "$work/mnt$n"
	truncate -s 24M "$work/img$n"
	mkfs.ext4 -q -m 0 -J size=4 -E lazy_itable_init=0 "$work/img$n" &&
		loop[n]=$(losetup -f --show "$work/img$n") && mount_it $n || skip_all "there is no loop device"
	chmod 755 "$work/mnt$n"
done
mounts=(1 2)

# The machine starts again. Where no program was cut short, it has ended before.
restart() {
	local n

	for n in "${mounts[@]}"; do
		[ -e "$work/cut.done" ] || perl -e 'open(my $d, "<", $ARGV[0]) or die; my $flags = pack("L", 2);
			ioctl($d, 0x8004587d, $flags) or die "EXT4_IOC_SHUTDOWN: $!"' "$work/mnt$n"
		umount "$work/mnt$n" && mount_it $n || { echo "# cannot mount again"; bad=1; return 1; }
	done
}

# with_cut N before|after|killed COMMAND...: until the Nth call. "killed": before
# it, and the program has no chance to report anything.
with_cut() {
	export STOP_NUMBER=$1 STOP_LOG=$work/calls STOP_MARK=$work/cut.done STOP_CUT="${mounts[*]/#/$work/mnt}"

	case $2 in
	after) export STOP_AFTER=1 ;;
	killed) export STOP_RUN='kill -KILL $STOPPED' ;;
	esac
	shift 2
	export LD_PRELOAD=$stop_at
	exec "$@"
}

# A client has created its set, or has ended: true or false.
client_waits() { # PID
	until [[ $(< "$work/client.err") = *'waiting for the database'* ]]; do
		kill -0 "$1" 2> /dev/null || return
		read -rt 0.02 -u 9 || :
	done
}

# at_every_call WHEN RUN JUDGE: RUN N WHEN with a cut at the Nth call, then JUDGE
# what is there, until a run has fewer calls. That run and the cut after the last
# call must be successes.
at_every_call() {
	local when=$1 n last=''

	for ((n = 1; ; n++)); do
		client_rc=- database=-
		: > "$work/client.err"
		: > "$work/calls"
		chmod 666 "$work/calls"
		[ ! -e "$work/cut.done" ] || rm "$work/cut.done"
		$2 $n $when
		[ -e "$work/cut.done" ] || last=1
		restart || return
		there=absent
		$3
		[ $bad = 0 ] || { echo "# cut $when call $n, $(sed -n ${n}p "$work/calls" 2> /dev/null)"; return; }
		[ -z "$last" ] || break
		before="$client_rc $database $there"
	done
	is "without a cut" "0 ok whole" "$client_rc $database $there"
	[ $when != after ] || is "cut after the last call" "0 ok whole" "$before"
	calls=$(cut -d' ' -f1 "$work/calls" | sort | uniq -c | xargs)
	echo "# $((n - 1)) cuts: $calls"
}

# ---------------------------------------------------------------- vdi backup

# backup N WHEN: the database is $database_side, with $options for the client.
# What a cut has left is not removed: the next backup has to cope with it.
backup() {
	[ ! -e "$work/mnt1/b" ] || { rm -r "$work/mnt1/b"; sync; }
	[ -z "$empty" ] || { mkdir "$work/mnt1/b"; sync; }
	(with_cut $1 $2 "$vdi" backup crash --to "$work/mnt1/b" $options) 2> "$work/client.err" > /dev/null &
	client=$!
	# the shell says that a process was killed
	{
		! client_waits $client || $database_side
		wait $client
		client_rc=$?
	} 2> /dev/null
}

# Data before and after a first Flush. The answers to Complete count.
told_database() {
	"$server" --complete crash 2 0:w 1:w 0:f 1:f 0:w 1:w 1:f 0:f 0:x+ 1:x wait 0:c 1:c > "$work/database.out"
	[[ $(< "$work/database.out") != *:x*' 0'$'\n'* ]] || database=ok
}

serve() {
	"$vdi" serve backup crash -q < "$work/in" 2> "$work/database.out" && database=ok
}

judge_backup() {
	local f

	if [ -e "$work/mnt1/b/manifest.json" ] && "$vdi" verify -q "$work/mnt1/b"; then
		there=whole
	elif [ -e "$work/mnt1/b" ] && { [ -z "$empty" ] || [ -n "$(ls -A "$work/mnt1/b")" ]; }; then
		there=partial
		bad=1
	fi
	[ $there = whole ] || expect "no false success" test "$client_rc" != 0 -a $database != ok
	[ $bad = 0 ] || for f in client.err database.out; do
		echo "# $client_rc $database $there"
		sed "s/^/# $f: /" "$work/$f"
	done
}

# cuts_of_backup RENAMES: the manifest's and the directory's must be among the calls
cuts_of_backup() {
	local when

	for when; do
		at_every_call $when backup judge_backup
		[ $bad = 0 ] || return
		expect "two renames, and what makes them durable" grep -q '.* fdatasync .* fsync 2 renameat' <<< " $calls"
	done
}

empty='' options='' database_side=told_database mounts=(1)
head -c 2000000 /dev/urandom > "$work/in"

tests+=(backup_on_two_devices)
backup_on_two_devices() {
	options='-n 2'
	cuts_of_backup before killed
}

tests+=(backup_over_an_empty_directory)
backup_over_an_empty_directory() {
	empty=1 database_side=serve
	cuts_of_backup after
	empty=''
}

# Two tapes on each device: all but the last are ended while data still comes.
tests+=(backup_on_tapes)
backup_on_tapes() {
	options='-n 2 --profile tape --capacity 640K'
	cuts_of_backup before
	is "media" 4 "$(find "$work/mnt1/b" -name '*medium*' | wc -l)"
}

# ------------------------------------------------------------ vdi-pg-restore

# A backup of two tablespaces, one beside the data directory, the other on a file
# system of its own; and what a restore makes of it without a cut.
prepare_restore() {
	new_tree
	stream crash 16384:/old/one 16385:/old/two
	install -m 755 "$top/build/postgres/vdi-pg-restore" "$work"
	chown $user "$work/mnt1" "$work/mnt2"
	: > "$work/client.err"
	restore 0 before
	is "a restore without a cut" "0 0" "$database_rc $client_rc"
	cp -a "$work/mnt1" "$work/want1"
	cp -a "$work/mnt2" "$work/want2"
}

restore() { # N WHEN
	rm -rf "$work"/mnt[12]/{data,data.partial,one,two}
	[ -z "$empty" ] || install -d -o $user -m 700 "$work"/mnt1/{data,one} "$work/mnt2/two"
	sync
	"$vdi" restore crash --from "$work/crash" 2> "$work/client.err" > /dev/null &
	client=$!
	client_waits $client
	(with_cut $1 $2 "$work/vdi-pg-restore" crash -q -D "$work/mnt1/data" -T "/old/one=$work/mnt1/one" \
		-T "/old/two=$work/mnt2/two") > "$work/database.out" 2>&1 &
	wait $! 2> /dev/null
	database_rc=$?
	[ $database_rc != 0 ] || database=ok
	wait $client
	client_rc=$?
}

tablespaces_are_whole() {
	diff -r "$work/want1/one" "$work/mnt1/one" && diff -r "$work/want2/two" "$work/mnt2/two"
}

# The client's success is that all is durable, the rename excepted.
judge_restore() {
	local f

	if [ -e "$work/mnt1/data" ] && [ -n "$(ls -A "$work/mnt1/data")" ]; then
		diff -r --no-dereference "$work/want1/data" "$work/mnt1/data" && tablespaces_are_whole && there=whole
		[ $there = whole ] || bad=1
	elif [ $client_rc = 0 ]; then
		diff -r --no-dereference "$work/want1/data" "$work/mnt1/data.partial" && tablespaces_are_whole ||
			{ echo "# vdi restore reports success"; bad=1; }
	fi
	[ $there = whole ] || expect "no false success" test $database != ok
	[ $bad = 0 ] || for f in client.err database.out; do
		echo "# vdi-pg-restore $database_rc, vdi restore $client_rc, $there"
		sed "s/^/# $f: /" "$work/$f"
	done
}

cuts_of_restore() {
	local when

	mounts=(1 2)
	[ -d "$work/want2" ] || prepare_restore
	for when; do
		[ $bad = 0 ] || return
		at_every_call $when restore judge_restore
		expect "each file system, and the rename" grep -q '.* fsync 1 renameat 2 syncfs$' <<< " $calls"
	done
}

tests+=(restore_with_tablespaces)
restore_with_tablespaces() {
	cuts_of_restore before killed
}

tests+=(restore_over_empty_directories)
restore_over_empty_directories() {
	empty=1
	cuts_of_restore after
	empty=''
}

# ---------------------------------------------------------- vdi serve restore

# To a file that has its final name from the beginning: what counts is what the
# two programs report.
restore_to_file() { # N WHEN
	[ ! -e "$work/mnt1/out" ] || { rm "$work/mnt1/out"; sync; }
	"$vdi" restore crash --from "$work/crash" 2> "$work/client.err" > /dev/null &
	client=$!
	client_waits $client
	(with_cut $1 $2 "$vdi" serve restore crash -q) > "$work/mnt1/out" 2> "$work/database.out" &
	wait $! 2> /dev/null && database=ok
	wait $client
	client_rc=$?
}

judge_file() {
	! cmp -s "$work/stream" "$work/mnt1/out" || there=whole
	[ $there = whole ] || expect "no false success" test $client_rc != 0 -a $database != ok
}

tests+=(restore_of_vdi_serve)
restore_of_vdi_serve() {
	local when

	mounts=(1)
	new_tree
	stream crash
	for when in before after killed; do
		at_every_call $when restore_to_file judge_file
		is "calls" "1 fsync" "$calls"
	done
}

run_tests
