#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Every failure of either side at every stage of a backup, a restore and a
# snapshot: the exit codes of both programs, what they say and what is on disk
# agree. Needs the built tree two levels up, root, a user postgres and a loaded
# module.
#
# A table has a line for each stage. Where it says "client" or "db", that program
# is stopped there by stop_at.so, at a call or in one of its commands; then the
# failure is made to happen, and to be noticed where that is another program's
# part; then it goes on. So the order of events is always the same.

# shellcheck disable=SC2015,SC2016,SC2086,SC2317 # A && B || C as meant; for another shell; numbers; called by their names
# shellcheck source=selftests/programs/tap.sh
. ./tap.sh
top=$(cd ../.. && pwd -P)
vdi=$top/build/tools/vdi
server=$top/build/tools/test/server
stop_at=$top/build/selftests/clients/stop_at.so
user=postgres
work=$(mktemp -d "${TMPDIR:-/tmp}/vdi-matrix.XXXXXX")
place=$work/place
mkdir "$place"

leave() {
	jobs -p | xargs -r kill -9 2> /dev/null
	umount "$work/small" 2> /dev/null
	rm -rf "$work"
}
trap leave EXIT

[ -c /dev/vdiset ] || skip_all "there is no /dev/vdiset"
[ -x "$server" ] || skip_all "the test server is not built"
[ -f "$stop_at" ] || skip_all "stop_at.so is not built"
[ "$(id -u)" = 0 ] || skip_all "not root"
id -u $user > /dev/null 2>&1 || skip_all "there is no user $user"
chmod 755 "$work"
# nothing ever comes: a pause without a process
mkfifo "$work/pause"
exec 9<> "$work/pause"

# shellcheck source=selftests/programs/pg_stream.sh
. ./pg_stream.sh

# What happens. Where a program has to notice it before another goes on, wait for
# that: a killed process is gone, and one that was told to end has aborted the set.
cat > "$work/fail" << END
#!/bin/bash
# fail WHAT [STOPPED]: STOPPED, the process that waits for us, notices nothing
cd "$work"
gone() { # PID
	while grep -q '^State:.[^ZX]' "/proc/\$1/status" 2> /dev/null; do
		sleep 0.02
	done
}
aborted() {
	until "$vdi" ls 2> /dev/null | grep -q '^m .*aborted' || ! grep -q '^State:.[^ZX]' "/proc/\$1/status" 2> /dev/null; do
		sleep 0.02
	done
}
client=\$(< client.pid) db=\$(< db.pid)
echo "\$1" > failed
case \$1 in
kill-client) kill -KILL \$client; gone \$client ;;
kill-db) kill -KILL \$db; gone \$db ;;
term-client) kill -TERM \$client; [ "\$2" = client ] || aborted \$client ;;
term-db) kill -TERM \$db; [ "\$2" = db ] || aborted \$db ;;
abort) "$vdi" abort m --message enough ;;
*) eval "\$1" ;;
esac
END
chmod +x "$work/fail"

# A program that hangs is killed, and named.
watchdog() {
	local seen=0 cell last='' p

	while :; do
		read -rt 1 -u 9
		cell=$(< "$work/cell")
		seen=$((seen + 1))
		[ "$cell" = "$last" ] || seen=0
		last=$cell
		[ $seen = 90 ] || continue
		echo "$cell" >> "$work/hung"
		for p in client db; do
			[ ! -s "$work/$p.pid" ] || kill -KILL "$(< "$work/$p.pid")"
		done
	done
}

start_watchdog() {
	: > "$work/cell"
	watchdog 2> /dev/null &
	dog=$!
}

end_watchdog() {
	kill $dog
	wait $dog 2> /dev/null
	[ ! -s "$work/hung" ] || { sed 's/^/# hung: /' "$work/hung"; bad=1; }
	rm -f "$work/hung"
	is "sets left" "" "$("$vdi" ls)"
	echo "# $cells cells"
}

# start client|db COMMAND...: becomes COMMAND, and stops at the stage if it is its
start() {
	local who=$1

	shift
	echo $BASHPID > "$work/$who.pid"
	if [ $who = "$stop_who" ]; then
		export STOP_CALLS=$stop_call STOP_TEXT=$stop_text STOP_NUMBER=$stop_number STOP_RUN="$stop_run"
		[ -z "$stop_after" ] || export STOP_AFTER=1
		export LD_PRELOAD=$stop_at
	fi
	exec "$@"
}

client_waits() { # PID
	until [[ $(< "$work/client.err") = *'waiting for the database'* ]]; do
		kill -0 "$1" 2> /dev/null || return
		read -rt 0.02 -u 9 || :
	done
}

# run STAGE: sets client_rc and db_rc. Of the operation there are the
# functions run_client, run_db and look, which sets $there.
run() {
	local stage=$1 f

	rm -rf "${place:?}"/* "$work"/{failed,frozen,thawed,database.out}
	for f in client.err db.err db.pid; do
		: > "$work/$f"
	done
	hook=$stage
	make_place
	(run_client) 2> "$work/client.err" > "$work/client.out" &
	client=$!
	# nobody joins a set whose client has failed before
	if [ "$stage" = created ]; then
		wait $client 2> /dev/null
		client_rc=$?
		patience=0.1
	else
		client_waits $client
		patience=60
	fi
	(run_db) 2> "$work/db.err" > "$work/db.out" &
	wait $! 2> /dev/null
	db_rc=$?
	if [ "$stage" != created ]; then
		wait $client 2> /dev/null
		client_rc=$?
	fi
	there=none
	look
}

says() { # client|db TEXT
	[[ $(< "$work/$1.err") =~ $2 ]] || { echo "# $1 does not say '$2'"; bad=1; }
}

# One line that says that it failed, and what the failure is.
messages() { # FAILURE
	local who rc

	for who in client db; do
		rc=${who}_rc
		rc=${!rc}
		case $rc in
		0)
			[[ $(< "$work/$who.err") != *failed* ]] || { echo "# $who: 0, and a message"; bad=1; }
			continue ;;
		137)
			[[ $1 = *kill* ]] || { echo "# $who was killed"; bad=1; }
			continue ;;
		esac
		[ $who = client ] || [ -z "$steps" ] || continue
		says $who ' failed: |cannot '
		[ $hook != created ] || [ $who = client ] || continue
		case $1 in
		kill-client) says db 'unexpected end of vdi \(pid [0-9]+, primary' ;;
		kill-db) says client 'unexpected end of .*\(pid [0-9]+, server' ;;
		term-*) says $who interrupted ;;
		abort) says $who '(with vdi abort|observer).*enough' ;;
		esac
	done
}

show() { # NAME
	echo "# $1:"
	for f in client.err db.err; do
		[ ! -s "$work/$f" ] || sed "s/^/# $f: /" "$work/$f"
	done
}

# cell STAGE FAILURE WANTED: WANTED is client/database/there
cell() {
	local before=$bad

	bad=0
	cells=$((cells + 1))
	echo "$cells $1 $2" > "$work/cell"
	run "$1"
	# shellcheck disable=SC2053 # a pattern
	[[ $client_rc/$db_rc/$there = $3 ]] || is "$1, $2" "$3" "$client_rc/$db_rc/$there"
	[ -e "$work/failed" ] || [ "$2" = none ] || { echo "# the stage was not reached"; bad=1; }
	messages "$2"
	judge
	[ $bad = 0 ] || show "$1, $2"
	bad=$((bad | before))
}

# The columns of a table; "-" is a failure that cannot be then.
failures=(kill-client term-client kill-db term-db abort)

# lines of STAGE WHO CALL TEXT NUMBER before|after WANTED...; "." is nothing
table() {
	local stage when columns wanted i

	cells=0
	start_watchdog
	while read -r stage stop_who stop_call stop_text stop_number when columns; do
		[[ $stage != '#'* ]] || continue
		stop_after=
		[ "$when" != after ] || stop_after=1
		[ "$stop_text" != . ] || stop_text=
		read -ra wanted <<< "$columns"
		for i in "${!failures[@]}"; do
			[ "${wanted[i]}" != - ] || continue
			# a program whose main thread is stopped cannot act before it goes on
			stop_run="$work/fail ${failures[i]}"
			case $stage in
			created|configured) stop_run+=' client' ;;
			esac
			case $stop_who in
			db|freeze|thaw) stop_run+=' db' ;;
			esac
			cell $stage "${failures[i]}" "${wanted[i]}"
		done
	done
	end_watchdog
}

# --------------------------------------------------------------------- backup

head -c 3000000 /dev/urandom > "$work/in"

make_place() { :; }

steps=
input=$work/in

# Writes of a device one after the other, by pwrite(2).
run_client() {
	start client "$vdi" backup m -n 2 --in-flight 1 --no-direct --to "$place/dir"
}

run_db() {
	if [ -n "$steps" ]; then
		start db "$server" --complete m 2 $steps > "$work/database.out"
	else
		start db "$vdi" serve backup m -q -t $patience -x 256K < "$input"
	fi
}

look() {
	if compgen -G "$place/dir/[dm]*" > /dev/null; then
		there=partial
		"$vdi" verify -q "$place/dir" && there=whole
	elif [ -e "$place/dir.partial" ]; then
		there=left
	fi
	# of a database that does as it is told, the answers to Complete count
	db_done=$([ $db_rc = 0 ] && echo 1)
	[ -z "$steps" ] || db_done=$(grep ':x.* 0$' "$work/database.out")
}

# Success of the database means that it is published; what is published is whole;
# a client that fails after that says so.
judge() {
	expect "no partial backup" test $there != partial
	[ -z "$db_done" ] || expect "no false success of the database" test $there = whole
	[ $client_rc != 0 ] || expect "no false success of the client" test $there = whole
	[ $client_rc = 0 ] || [ $client_rc = 137 ] || [ $there != whole ] ||
		says client 'dir holds the complete backup'
	[ $client_rc = 137 ] || expect "nothing is left" test ! -e "$place/dir.partial" -a ! -e "$place/dir.partial.lock"
}

tests+=(backup)
backup() {
	table << END
	#stage      who    call      text          number    kill-client    term-client    kill-db        term-db        abort
	created     client ioctl     0xd501        1 after   137/4/left     130/4/none     -              -              3/4/none
	configured  client ioctl     0xd508        1 before  137/3/left     130/3/none     3/137/none     3/130/none     3/3/none
	data        client pwrite    device-00     3 before  137/3/left     130/3/none     3/137/none     3/130/none     3/3/none
	flush       client fdatasync device-00     1 before  137/3/left     130/3/none     3/137/none     3/130/none     3/3/none
	complete    client fsync     manifest.json 1 before  137/3/left     130/3/none     3/137/none     3/130/none     3/3/none
	renamed     client renameat  =dir          1 after   137/3/whole    130/3/whole    3/137/whole    3/130/whole    3/3/whole
	durable     client fsync     =$place       1 after   137/3/whole    130/3/whole    3/137/whole    3/130/whole    3/3/whole
	answered    db     ioctl     0xd521        1 before  137/3/whole    130/3/whole    3/137/whole    0/0/whole      3/3/whole
END
}

# alone WHO CALL TEXT NUMBER FAILURE WANTED: a cell that is in no table; FAILURE is
# what the shell runs at the call, or none
alone() {
	stop_who=$1 stop_call=$2 stop_text=$3 stop_number=$4 stop_after=
	stop_run="$work/fail '$5' $1"
	cell "$2" "$5" "$6"
}

tests+=(backup_that_fails_by_itself)
backup_that_fails_by_itself() {
	cells=0
	start_watchdog
	# full in the middle of the data, and when only the manifest is missing
	mount -t tmpfs -o size=1M none "$place"
	alone client none . 0 none 1/1/none
	says client 'No space left'
	umount "$place"
	mount -t tmpfs -o size=16M none "$place"
	alone client fdatasync device-01 1 "cat /dev/zero > $place/full 2> /dev/null" 1/3/none
	says client 'cannot write the manifest .*No space left'
	alone client renameat manifest.json 1 "rm $place/dir.partial/device-01.data" 1/3/none
	says client 'was removed by another program'
	umount "$place"
	alone client fsync manifest.json 1 "mkdir -p $place/dir/occupied" 1/3/none
	says client 'cannot rename to'
	says db 'cannot rename to'
	# the input
	input=$work
	alone client none . 0 none 3/1/none
	says db 'cannot read the input'
	input=$work/in
	end_watchdog
}

# A database that ends early, or says that it has failed.
tests+=(database_that_fails)
database_that_fails() {
	local wanted

	cells=0
	start_watchdog
	while read -r wanted steps; do
		alone client none . 0 none "$wanted"
	done << END
	1/*/none  0:c 1:c
	3/*/none  abort
	1/*/none  0:w 1:w 0:c 1:c
	3/*/none  0:w 1:w abort
	1/*/none  0:w 1:w 0:f 1:f 0:c 1:c
	3/*/none  0:w 1:w 0:f 1:f abort
	3/*/none  0:w 1:w 0:f 1:f 0:x+ abort
	1/*/none  0:w 1:w 0:f 0:x+ 1:c wait 0:c
	3/*/whole 0:w 1:w 0:f 1:f 0:x+ 1:x abort
	1/*/whole 0:w 1:w 0:f 1:f 0:x+ 1:x 0:w
	0/0/whole 0:w 1:w 0:f 1:f 0:x+ 1:x 0:c 1:c
END
	steps=
	end_watchdog
}

# ------------------------------------------------------------------- snapshot

# The commands of the user, where they are the stage.
at_hook() { # NAME
	[ "$stop_who" != "$1" ] || echo "; $stop_run"
}

snapshot_client() {
	start client "$vdi" backup m --in-flight 1 --no-direct --to "$place/dir" \
		--prepare-command "true$(at_hook prepare)" \
		--snapshot-command "test -e $work/frozen -a ! -e $work/thawed$(at_hook snapshot)"
}

snapshot_db() {
	start db "$vdi" serve backup m -q -t $patience --snapshot -x 64K --freeze "touch $work/frozen$(at_hook freeze)" \
		--thaw "touch $work/thawed$(at_hook thaw)" < "$work/metadata"
}

# What was frozen is thawed, if need be after the end of the database.
judge_snapshot() {
	judge_backup
	[ ! -e "$work/frozen" ] || until [ -e "$work/thawed" ]; do
		read -rt 0.02 -u 9 || :
	done
}

as_snapshot() {
	eval "judge_backup() $(declare -f judge | tail -n +2)"
	run_client() { snapshot_client; }
	run_db() { snapshot_db; }
	judge() { judge_snapshot; }
	head -c 200000 /dev/urandom > "$work/metadata"
}

tests+=(snapshot)
snapshot() {
	as_snapshot
	table << END
	#stage      who      call     text          number   kill-client    term-client    kill-db        term-db        abort
	prepare     prepare  .        .             0 .      137/3/left     130/3/none     3/137/none     3/130/none     3/3/none
	freezing    freeze   .        .             0 .      137/3/left     130/3/none     3/137/none     3/130/none     3/3/none
	frozen      client   pwrite   device-00     2 before 137/3/left     130/3/none     3/137/none     3/130/none     3/3/none
	snapshot    snapshot .        .             0 .      137/3/left     130/3/none     3/137/none     3/130/none     3/3/none
	thawing     thaw     .        .             0 .      137/3/left     130/3/none     3/137/none     3/130/none     3/3/none
	complete    client   fsync    manifest.json 1 before 137/3/left     130/3/none     3/137/none     3/130/none     3/3/none
	durable     client   fsync    =$place       1 after  137/3/whole    130/3/whole    3/137/whole    3/130/whole    3/3/whole
END
}

tests+=(commands_that_fail)
commands_that_fail() {
	local who wanted

	cells=0
	start_watchdog
	while read -r who wanted; do
		stop_who=$who stop_run='exit 7'
		cell "$who" none "$wanted"
	done << END
	prepare  1/1/none
	freeze   3/1/none
	snapshot 1/1/none
	thaw     3/1/none
	nothing  0/0/whole
END
	end_watchdog
}

# -------------------------------------------------------------------- restore

as_restore() {
	"$vdi" backup m -q -n 2 --to "$work/backup" &
	"$vdi" serve backup m -q -x 256K < "$work/in"
	wait $!
	run_client() { start client "$vdi" restore m --in-flight 1 --no-direct --from "$work/backup"; }
	run_db() { start db "$vdi" serve restore m -q -t $patience -x 256K > "$output"; }
	look() { ! cmp -s "$work/in" "$output" || there=whole; }
	judge() {
		[ $db_rc != 0 ] || expect "no false success of the database" test $there = whole
		[ $client_rc != 0 ] || expect "no false success of the client" test $there = whole
	}
	output=$place/out
}

tests+=(restore)
restore() {
	as_restore
	table << END
	#stage      who    call   text      number   kill-client term-client kill-db     term-db     abort
	created     client ioctl  0xd501    1 after  137/4/none  130/4/none  -           -           3/4/none
	configured  client ioctl  0xd508    1 before 137/3/none  130/3/none  3/137/none  3/130/none  3/3/none
	data        client pread  device-00 3 before 137/3/none  130/3/none  3/137/none  3/130/none  3/3/none
	output      db     fsync  =$output  1 before 137/3/whole 130/3/whole 3/137/whole 0/0/whole   3/3/whole
	closing     db     ioctl  0xd521    2 before 137/3/whole 130/3/whole 3/137/whole 0/0/whole   3/3/whole
END
}

tests+=(restore_that_fails_by_itself)
restore_that_fails_by_itself() {
	local who

	cells=0
	start_watchdog
	alone db ioctl 0xd50e 1 'gone $client; kill -KILL $db' 0/137/whole
	output=/dev/full
	alone client none . 0 none 3/1/none
	output=$place/out
	alone client pread device-00 3 "printf x | dd of=$work/backup/device-00.data bs=1 seek=1400000 conv=notrunc status=none" 5/5/none
	# the client by the checksum of the file, or the database by that of its chunk: whichever is first
	for who in client db; do
		says $who '(device-00.data|the data of .m.) is damaged'
	done
	end_watchdog
}

# ------------------------------------------------------------- vdi-pg-restore

as_postgres_restore() {
	new_tree
	stream backup 16384:/old
	install -m 755 "$top/build/postgres/vdi-pg-restore" "$work"
	make_place() { chown $user "$place"; }
	run_db() { start db "$work/vdi-pg-restore" m -q -t $patience -D "$place/data" -T "/old=$place/ts"; }
	look() {
		local dir

		[ -z "$(ls "$place")" ] || there=left
		for dir in data data.partial; do
			cmp -s "$work/tree/base/1" "$place/$dir/base/1" && cmp -s "$work/ts/PG_15_202209061/1" "$place/ts/PG_15_202209061/1" &&
				grep -q "$place/ts" "$place/$dir/tablespace_map" 2> /dev/null || continue
			there=whole
			[ $dir = data ] || there=durable
			return
		done
		[ ! -e "$place/data" ] || there=partial
	}
	judge() {
		expect "no partial directory" test $there != partial
		[ $db_rc != 0 ] || expect "no false success of the database" test $there = whole
		[ $client_rc != 0 ] || expect "no false success of the client" test $there = whole -o $there = durable
	}
}

tests+=(postgres_restore)
postgres_restore() {
	as_postgres_restore
	table << END
	#stage      who    call     text      number   kill-client term-client kill-db      term-db     abort
	configured  client ioctl    0xd508    1 before 137/3/none  130/3/none  3/137/*      3/130/none  3/3/none
	data        client pread    device-00 3 before 137/3/none  130/3/none  3/137/left   3/130/none  3/3/none
	durable     db     syncfs   .         1 before 137/3/none  130/3/none  3/137/durable 3/130/none 3/3/none
	closing     db     ioctl    0xd521    1 before 137/3/none  130/3/none  3/137/durable 0/0/whole  3/3/none
END
}

tests+=(postgres_restore_after_closing)
postgres_restore_after_closing() {
	cells=0
	start_watchdog
	alone db renameat data 1 'gone $client; kill -KILL $db' 0/137/durable
	alone db renameat data 1 'gone $client; kill -TERM $db' 0/0/whole
	alone db renameat data 1 "mkdir -p $place/data/occupied" 0/1/durable
	end_watchdog
}

run_tests
