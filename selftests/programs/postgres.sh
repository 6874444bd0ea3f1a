#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows that the base-backup target for PostgreSQL makes valid backups, and how a backup
# fails at any point. Needs the built tree two levels up, a PostgreSQL server, root and
# a loaded module.

# shellcheck source=selftests/programs/tap.sh
. ./tap.sh
top=$(cd ../.. && pwd -P)
vdi=$top/build/tools/vdi
work=$(mktemp -d "${VDISET_SCRATCH:-${TMPDIR:-/tmp}}/vdi-postgres.XXXXXX")
trap 'jobs -p | xargs -r kill -9 2> /dev/null; pg_stop immediate 2> /dev/null; rm -rf "$work"' EXIT
# shellcheck source=postgres/cluster.sh
. "$top/postgres/cluster.sh"

[ -c /dev/vdiset ] || skip_all "/dev/vdiset does not exist"
[ -f "$top/build/postgres/vdiset.so" ] || skip_all "the target is not built"
[ -x "$pg_bin/postgres" ] || skip_all "PostgreSQL server is missing"
[ "$(id -u)" = 0 ] || skip_all "not root"

show() { # FILE...
	local f

	for f; do
		[ -s "$f" ] && sed "s,^,# ${f##*/}: ," "$f"
	done
}

# Starts vdi backup in the background, as job %1 of the test.
appliance() { # DIR OPTIONS...
	local dir=$1
	shift
	"$vdi" backup pg --to "$work/$dir" --group "$pg_user" "$@" > "$work/appliance.log" 2>&1 &
	appliance=$!
}

basebackup() { # TARGET OPTIONS...
	local target=$1
	shift
	as_postgres timeout 600 "$pg_bin/pg_basebackup" --target="$target" -X fetch -c fast "$@" \
		> "$work/basebackup.log" 2>&1
}

# Starts a backup that is slow enough to be interrupted.
slow_backup() { # OPTIONS...
	rm -rf "$work/cut"*
	appliance cut --devices 2 "$@"
	basebackup vdiset:pg --max-rate=1M &
	basebackup=$!
	wait_until lists ' active .*iB' || show "$work/basebackup.log" "$work/appliance.log"
}

# Both sides have failed, vdi backup with exit code $1, and nothing remains.
both_failed() {
	local rc

	wait "$basebackup"
	rc=$?
	[ "$rc" != 0 ] || { echo "# pg_basebackup did not fail"; bad=1; }
	[ "$rc" != 124 ] || { echo "# pg_basebackup did not exit"; bad=1; }
	wait $appliance
	is "vdi backup" "$1" $?
	expect "no backup exists" test ! -e "$work/cut" -a ! -e "$work/cut.partial"
	is "remaining sets" "" "$("$vdi" ls)"
	is "remaining backups in the server" 0 "$(sql "select count(*) from pg_stat_progress_basebackup")"
	[ $bad = 0 ] || show "$work/basebackup.log" "$work/appliance.log"
}

restore() { # FROM DATA OPTIONS...
	local from=$1 data=$2
	shift 2
	"$vdi" restore pg -q --from "$work/$from" --group $pg_user 2> "$work/appliance.log" &
	appliance=$!
	as_postgres "$pg_restore" pg -q -D "$work/$data" "$@" > "$work/restore.log" 2>&1
}

tests+=(backup_and_restore_with_tablespaces)
backup_and_restore_with_tablespaces() {
	local old=$work/tablespace new=$work/moved

	appliance full --devices 3
	basebackup vdiset:pg,devices=3
	is "pg_basebackup" 0 $?
	wait $appliance
	is "vdi backup" 0 $?
	show "$work/basebackup.log"
	restore full restored -T "$old=$new"
	is "vdi-pg-restore" 0 $?
	wait $appliance
	is "vdi restore" 0 $?
	show "$work/restore.log" "$work/appliance.log"
	expect "pg_verifybackup" as_postgres "$pg_bin/pg_verifybackup" -q -i tablespace_map "$work/restored"
	expect "the tablespace is at the given path" test -d "$new/$(ls "$new")"
	is "owner" postgres "$(stat -c %U "$work/restored/PG_VERSION")"
	is "no partial directory" "" "$(ls -d "$work/restored.partial" 2> /dev/null)"

	# the server must start and have all rows
	local before after # numbers of rows, sums
	before=$(sql 'select count(*), sum(i) from plain join elsewhere using (i)')
	expect "the tables have rows" test -n "$before"
	pg_stop
	mv "$old" "$old.away"
	pg_data=$work/restored pg_start
	is "server starts" 0 $?
	after=$(sql 'select count(*), sum(i) from plain join elsewhere using (i)')
	is "contents" "$before" "$after"
	pg_data=$work/restored pg_stop
	mv "$old.away" "$old"
	pg_start
}

tests+=(compressed_by_the_server)
compressed_by_the_server() {
	appliance gz --devices 2
	basebackup vdiset:pg --compress=server-gzip
	is "pg_basebackup" 0 $?
	wait $appliance
	is "vdi backup" 0 $?
	restore gz ungz -T "$work/tablespace=$work/moved-gz"
	is "vdi-pg-restore" 0 $?
	wait $appliance
	expect "pg_verifybackup" as_postgres "$pg_bin/pg_verifybackup" -q -i tablespace_map "$work/ungz"
	show "$work/basebackup.log" "$work/restore.log"
}

# The server verifies the pages that it sends. It reports damaged pages after the
# target's end_backup, when all data is stored.
tests+=(damaged_page)
damaged_page() {
	local file

	# on from the start since version 18
	if [ "$(sql 'show data_checksums')" = off ]; then
		pg_stop
		as_postgres "$pg_bin/pg_checksums" --enable --no-sync -D "$pg_data" > "$work/checksums.log"
		is "pg_checksums" 0 $?
		pg_start
	fi
	appliance sound
	basebackup vdiset:pg
	is "pg_basebackup with checksums" 0 $?
	wait $appliance
	is "vdi backup with checksums" 0 $?
	expect "the backup of undamaged pages exists" test -e "$work/sound/manifest.json"

	sql "create table damaged as select i from generate_series(1, 1000) i"
	sql checkpoint
	file=$pg_data/$(sql "select pg_relation_filepath('damaged')")
	pg_stop
	expect "more than one page" test "$(stat -c %s "$file")" -ge 16384
	printf '\377\376\375\374' | dd of="$file" bs=1 seek=12000 conv=notrunc status=none
	pg_start
	appliance cut
	basebackup vdiset:pg &
	basebackup=$!
	both_failed 3
	expect "pg_basebackup reports it" grep -q 'checksum error occurred' "$work/basebackup.log"
	expect "vdi backup reports it" grep -q 'the backup failed in the database' "$work/appliance.log"
	# without the checksums the backup succeeds: the page was the only error
	appliance unchecked
	basebackup vdiset:pg --no-verify-checksums
	is "pg_basebackup --no-verify-checksums" 0 $?
	wait $appliance
	is "vdi backup of unchecked pages" 0 $?
	sql 'drop table damaged'
	[ ! -e "$work/checksums.log" ] || show "$work/checksums.log"
}

# vdi backup cannot publish, and reports it as the result of the last command.
tests+=(appliance_cannot_publish)
appliance_cannot_publish() {
	appliance cut --devices 2
	wait_until lists '^pg '
	mkdir -p "$work/cut/occupied"
	basebackup vdiset:pg
	is "pg_basebackup" 1 $?
	wait $appliance
	is "vdi backup" 1 $?
	expect "nothing is published" test ! -e "$work/cut/manifest.json"
	is "remaining sets" "" "$("$vdi" ls)"
	is "remaining backups in the server" 0 "$(sql "select count(*) from pg_stat_progress_basebackup")"
	expect "pg_basebackup names the reason" grep -q 'primary.*cannot rename to' "$work/basebackup.log"
	rm -rf "$work/cut"*
}

tests+=(progress_in_the_server)
progress_in_the_server() {
	slow_backup --json="$work/events"
	is "phase, tablespaces, sums" "streaming database files|2|t|t" "$(sql "select phase, tablespaces_total, backup_streamed > 0,
		backup_streamed <= backup_total from pg_stat_progress_basebackup")"
	# half of it is announced on each device
	wait_until grep -q percent_done "$work/events"
	is "total of vdi backup" "$(sql "select backup_total / 2 * 2 from pg_stat_progress_basebackup")" \
		"$(sed -n 's/.*"total_bytes":\([0-9]*\).*/\1/p' "$work/events" | tail -n 1)"
	"$vdi" abort pg
	both_failed 3
}

tests+=(no_set)
no_set() {
	basebackup vdiset:nosuchset
	is "pg_basebackup" 1 $?
	expect "the message names the set" grep -q '"nosuchset" is available' "$work/basebackup.log"
	expect "the hint names the command" grep -qi 'vdi backup' "$work/basebackup.log"
}

# The clock is set back while the server waits for a set: the time-out must go on
# by another one.
tests+=(connect_timeout_while_the_clock_is_set_back)
connect_timeout_while_the_clock_is_set_back() {
	local now

	# vm/run sets this: the clock of a host is left alone
	[ -n "${VDISET_OUT:-}" ] || return 0
	now=$(date +%s)
	basebackup vdiset:nosuchset &
	basebackup=$!
	until [ "$(sql "select count(*) from pg_stat_activity where query like 'BASE_BACKUP%'")" = 1 ]; do
		kill -0 $basebackup 2> /dev/null || break
		pause 0.1
	done
	date -s "@$((now - 3600))" > /dev/null
	wait $basebackup
	is "pg_basebackup" 1 $?
	date -s "@$((now + 10))" > /dev/null
	expect "names the set" grep -q '"nosuchset" is available' "$work/basebackup.log"
}

# Errors after the set was joined, and before the server has the sink: the set
# ends with the command, not with the session.
tests+=(session_that_goes_on)
session_that_goes_on() {
	local round

	rm -f "$work/commands"
	mkfifo "$work/commands"
	chmod 666 "$work/commands"
	exec 8<> "$work/commands"
	as_postgres "$pg_bin/psql" -X -q -d 'replication=yes' -f "$work/commands" > "$work/session.log" 2>&1 8>&- &
	session=$!
	for round in 1 2; do
		appliance "round$round" --devices 2 -t 120
		wait_until lists '^pg '
		echo "BASE_BACKUP (TARGET 'vdiset', TARGET_DETAIL 'pg,devices=4');" >&8
		wait $appliance
		is "vdi backup" 3 $?
		is "sessions" 1 "$(sql "select count(*) from pg_stat_activity where backend_type = 'walsender'")"
		is "sets left" "" "$("$vdi" ls)"
	done
	is "errors" 2 "$(grep -c 'has 2 devices, not 4' "$work/session.log")"
	exec 8>&-
	wait $session
	show "$work/session.log"
}

tests+=(bad_details)
bad_details() {
	local target

	for target in vdiset vdiset: vdiset:pg,devices=0 vdiset:pg,devices=65 vdiset:pg,colour=red; do
		basebackup "$target"
		is "pg_basebackup --target=$target" 1 $?
		expect "$target: the message gives the reason" grep -Eq 'needs the name|1 to 64|no option' "$work/basebackup.log"
	done
}

# A set of user 12345, who is not the user of the server. Its mode admits all users.
untrusted_appliance() { # DIR
	chmod a+x "$work"
	install -d -o 12345 "$work/by_another_user"
	setpriv --reuid 12345 --regid 12345 --clear-groups \
		"$vdi" backup pg --to "$work/by_another_user/$1" --mode 0666 > "$work/untrusted.log" 2>&1 &
	appliance=$!
	wait_until lists '^pg '
}

shows() { # SETTING VALUE; in a new session
	[ "'$(sql "show vdiset.$1")'" = "$2" ]
}

# Sets vdiset.trusted_users and waits until new sessions use the value.
trust() { # VALUE
	sql "alter system set vdiset.trusted_users = $1"
	sql 'select pg_reload_conf()' > /dev/null
	wait_until shows trusted_users "$1"
}

tests+=(set_of_untrusted_user)
set_of_untrusted_user() {
	install -m 755 "$vdi" "$work/vdi"
	local vdi=$work/vdi

	untrusted_appliance no
	basebackup vdiset:pg
	is "pg_basebackup" 1 $?
	expect "a warning" grep -q 'WARNING: .*"pg".*created by uid 12345, who is not trusted' "$work/basebackup.log"
	is "warnings" 1 "$(grep -c 'WARNING' "$work/basebackup.log")"
	expect "the error names the user and the trusted users" \
		grep -q 'DETAIL: .*uid 12345, who is not trusted (trusted: postgres, root)' "$work/basebackup.log"
	expect "the hint names the setting" grep -q 'HINT: .*vdiset.trusted_users' "$work/basebackup.log"
	# root's set gets the backup, although the other user's set exists
	untrusted=$appliance
	appliance trusted
	basebackup vdiset:pg
	is "pg_basebackup" 0 $?
	wait $appliance
	is "vdi backup" 0 $?
	expect "the log names the set" \
		grep -q 'virtual device set "pg": joined the set of vdi (pid [0-9]*, primary client, user root)' "$work/server.log"
	kill $untrusted
	wait $untrusted
	expect "the stranger got nothing" test -z "$(ls "$work/by_another_user")"
	show "$work/basebackup.log" "$work/appliance.log" "$work/untrusted.log"
}

tests+=(required_role)
required_role() {
	sql "create role backup_users; create role member login replication in role backup_users;
		create role other login replication"
	sql "alter system set vdiset.required_role = backup_users"
	sql 'select pg_reload_conf()' > /dev/null
	wait_until shows required_role "'backup_users'"
	appliance cut
	basebackup vdiset:pg -U other
	is "pg_basebackup as another role" 1 $?
	expect "the error" grep -q 'permission denied for target "vdiset"' "$work/basebackup.log"
	expect "the role is named" grep -q 'members of the role "backup_users"' "$work/basebackup.log"
	expect "the set was not joined" test -e "$work/cut.partial"
	basebackup vdiset:pg -U member
	is "pg_basebackup as a member" 0 $?
	wait $appliance
	is "vdi backup" 0 $?
	appliance super
	basebackup vdiset:pg
	is "pg_basebackup as a superuser" 0 $?
	wait $appliance
	show "$work/basebackup.log" "$work/appliance.log"
	sql 'alter system reset vdiset.required_role'
	sql 'select pg_reload_conf(); drop role member, other, backup_users' > /dev/null
	rm -rf "$work/cut" "$work/super"
}

tests+=(trusted_users)
trusted_users() {
	local value

	install -m 755 "$vdi" "$work/vdi"
	local vdi=$work/vdi

	for value in "'no-such-user'" "'root,,postgres'" "'-1'"; do
		sql "alter system set vdiset.trusted_users = $value" 2> "$work/sql.log"
		expect "refused: $value" test $? != 0
		expect "says why: $value" grep -q 'no operating-system user' "$work/sql.log"
	done
	sql "set vdiset.trusted_users = 'root'" 2> "$work/sql.log"
	expect "no session's to set" grep -q 'cannot be changed now' "$work/sql.log"
	trust "'nobody , 12345'"
	untrusted_appliance yes
	basebackup vdiset:pg
	is "pg_basebackup" 0 $?
	wait $appliance
	is "vdi backup" 0 $?
	expect "the other user's backup exists" test -e "$work/by_another_user/yes/manifest.json"
	show "$work/basebackup.log" "$work/untrusted.log"
	# the setting replaces the default
	appliance roots
	basebackup vdiset:pg
	is "pg_basebackup" 1 $?
	expect "the message names root" grep -q 'created by root (uid 0), who is not trusted (trusted: nobody, uid 12345)' \
		"$work/basebackup.log"
	kill $appliance
	wait $appliance
	trust "''"
}

# An aborted set that is still held does not end the search for a set.
tests+=(ended_set_is_skipped)
ended_set_is_skipped() {
	appliance first
	wait_until lists '^pg '
	first=$appliance
	kill -STOP $first
	"$vdi" abort pg --message 'the first'
	basebackup vdiset:pg
	is "pg_basebackup" 1 $?
	expect "the message says how it ended" grep -q 'DETAIL: .*has ended: aborted by vdi (pid [0-9]*, observer): the first' \
		"$work/basebackup.log"
	basebackup vdiset:pg &
	basebackup=$!
	sleep 1
	appliance second
	wait $basebackup
	is "pg_basebackup" 0 $?
	wait $appliance
	is "vdi backup" 0 $?
	kill -KILL $first
	wait $first
	show "$work/basebackup.log" "$work/appliance.log"
}

tests+=(wrong_number_of_devices)
wrong_number_of_devices() {
	appliance wrong --devices 2
	basebackup vdiset:pg,devices=4
	is "pg_basebackup" 1 $?
	expect "the message gives the reason" grep -q 'has 2 devices, not 4' "$work/basebackup.log"
	wait $appliance
	is "vdi backup" 3 $?
	expect "no backup exists" test ! -e "$work/wrong"
}

tests+=(set_with_other_profile)
set_with_other_profile() {
	appliance kind --profile tape
	basebackup vdiset:pg
	is "pg_basebackup" 1 $?
	expect "the message gives the reason" grep -q 'are like tapes or disks' "$work/basebackup.log"
	wait $appliance
	is "vdi backup" 3 $?
	appliance kind --profile disk
	as_postgres "$pg_restore" pg -q -D "$work/kind-data" > "$work/restore.log" 2>&1
	is "vdi-pg-restore" 1 $?
	expect "the message gives the reason" grep -q 'are like disks, not like pipes' "$work/restore.log"
	wait $appliance
	expect "no backup exists" test ! -e "$work/kind" -a ! -e "$work/kind-data"
}

tests+=(aborted_by_vdi_abort)
aborted_by_vdi_abort() {
	slow_backup
	"$vdi" abort pg --message 'enough of it'
	both_failed 3
	expect "pg_basebackup names it" grep -q 'enough of it' "$work/basebackup.log"
	expect "vdi backup names it" grep -q 'enough of it' "$work/appliance.log"
}

tests+=(appliance_interrupted)
appliance_interrupted() {
	slow_backup
	kill -TERM $appliance
	both_failed 130
	expect "pg_basebackup names it" grep -q 'primary.*interrupted' "$work/basebackup.log"
}

tests+=(appliance_killed)
appliance_killed() {
	slow_backup
	kill -KILL $appliance
	wait "$basebackup"
	is "pg_basebackup" 1 $?
	wait $appliance
	expect "pg_basebackup names it" grep -q 'vdi (pid .*primary' "$work/basebackup.log"
	expect "no backup" test ! -e "$work/cut"
	is "remaining sets" "" "$("$vdi" ls)"
}

tests+=(backend_terminated)
backend_terminated() {
	slow_backup
	is "terminated" 1 "$(sql "select count(pg_terminate_backend(pid)) from pg_stat_progress_basebackup")"
	both_failed 3
	expect "vdi backup names it" grep -q 'postgres (pid .*server' "$work/appliance.log"
}

tests+=(backend_cancelled)
backend_cancelled() {
	slow_backup
	is "cancelled" 1 "$(sql "select count(pg_cancel_backend(pid)) from pg_stat_progress_basebackup")"
	both_failed 3
	expect "vdi backup names it" grep -q 'postgres (pid .*server' "$work/appliance.log"
}

tests+=(pg_basebackup_killed)
pg_basebackup_killed() {
	slow_backup
	pkill -KILL -f "$pg_bin/[p]g_basebackup"
	both_failed 3
}

tests+=(terminated_while_the_appliance_hangs)
terminated_while_the_appliance_hangs() {
	slow_backup
	kill -STOP $appliance
	sleep 1
	is "terminated" 1 "$(sql "select count(pg_terminate_backend(pid)) from pg_stat_progress_basebackup")"
	wait "$basebackup"
	is "pg_basebackup" 1 $?
	kill -CONT $appliance
	both_failed 3
}

tests+=(immediate_shutdown)
immediate_shutdown() {
	slow_backup
	pg_stop immediate
	wait "$basebackup"
	expect "pg_basebackup fails" test $? != 0
	wait $appliance
	is "vdi backup" 3 $?
	expect "no backup exists" test ! -e "$work/cut" -a ! -e "$work/cut.partial"
	pg_start
}

tests+=(restore_is_aborted)
restore_is_aborted() {
	( until "$vdi" ls | grep -q ' active '; do pause 0.05; done
	  "$vdi" abort pg --message 'not now' ) &
	restore full again -T "$work/tablespace=$work/again-moved"
	is "vdi-pg-restore" 3 $?
	expect "it names the abort" grep -q 'not now' "$work/restore.log"
	wait $appliance
	is "vdi restore" 3 $?
	expect "no data directory" test ! -e "$work/again" -a ! -e "$work/again.partial"
	expect "no tablespace" test ! -e "$work/again-moved"
	wait
}

tests+=(restore_of_other_data)
restore_of_other_data() {
	"$vdi" backup pg -q --to "$work/other" &
	head -c 1000000 /dev/zero | "$vdi" serve backup pg -q
	wait $!
	restore other untrusted
	is "vdi-pg-restore" 5 $?
	expect "the message gives the reason" grep -q 'not a PostgreSQL backup' "$work/restore.log"
	wait $appliance
	expect "no data directory" test ! -e "$work/untrusted" -a ! -e "$work/untrusted.partial"
}

tests+=(restore_over_a_cluster)
restore_over_a_cluster() {
	as_postgres "$pg_restore" pg -q -D "$pg_data" > "$work/restore.log" 2>&1
	is "vdi-pg-restore" 1 $?
	expect "the message gives the reason" grep -q 'not an empty directory' "$work/restore.log"
	expect "the cluster is untouched" test -f "$pg_data/PG_VERSION"
}

tests+=(restore_without_standard_files)
restore_without_standard_files() {
	"$vdi" restore pg -q --from "$work/full" --group $pg_user 2> "$work/appliance.log" &
	appliance=$!
	as_postgres "$pg_restore" pg -q -D "$work/closed" -T "$work/tablespace=$work/closed-moved" <&- >&- 2>&-
	is "vdi-pg-restore" 0 $?
	wait $appliance
	is "vdi restore" 0 $?
	expect "pg_verifybackup" as_postgres "$pg_bin/pg_verifybackup" -q -i tablespace_map "$work/closed"
	rm -rf "$work/closed" "$work/closed-moved"
}

replicated() { [ "$(sql "select to_regclass('later')")" = later ]; }

# A backup of a standby, and of databases of different encodings
tests+=(standby_as_source)
standby_as_source() {
	local before old=$work/tablespace space=$work/standby-tablespace

	sql "create database latin1 encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0"
	PGDATABASE=latin1 sql "create table words as select chr(233) || 't' || chr(233) as word"
	appliance of-primary
	basebackup vdiset:pg
	is "pg_basebackup of the primary" 0 $?
	wait $appliance
	restore of-primary standby -T "$old=$space"
	is "vdi-pg-restore" 0 $?
	wait $appliance
	cat >> "$work/standby/postgresql.auto.conf" <<- END
		primary_conninfo = 'host=$work port=$pg_port'
		port = 54330
	END
	as_postgres touch "$work/standby/standby.signal"
	pg_data=$work/standby pg_start
	is "the standby starts" 0 $?
	sql "create table later as select i from generate_series(1, 1000) i"
	before=$(sql 'select count(*), sum(i) from plain join elsewhere using (i)')

	local pg_port=54330
	wait_until replicated
	appliance of-standby --devices 2
	basebackup vdiset:pg
	is "pg_basebackup of the standby" 0 $?
	wait $appliance
	is "vdi backup" 0 $?
	show "$work/basebackup.log"
	pg_data=$work/standby pg_stop
	restore of-standby third -T "$space=$work/third-tablespace"
	is "vdi-pg-restore" 0 $?
	wait $appliance
	expect "pg_verifybackup" as_postgres "$pg_bin/pg_verifybackup" -q -i tablespace_map "$work/third"
	rm -f "$work/third/standby.signal"
	pg_data=$work/third pg_start
	is "a primary starts" 0 $?
	is "recovery" f "$(sql 'select pg_is_in_recovery()')"
	is "contents" "$before" "$(sql 'select count(*), sum(i) from plain join elsewhere using (i)')"
	is "contents that were replicated" 1000 "$(sql 'select count(*) from later')"
	is "contents in another encoding" "LATIN1 e974e9" \
		"$(PGDATABASE=latin1 sql "select getdatabaseencoding() || ' ' || encode(convert_to(word, 'LATIN1'), 'hex') from words")"
	pg_data=$work/third pg_stop
	rm -rf "$work"/{standby,third}* "$work"/of-{primary,standby}
}

tests+=(messages_have_program_name)
messages_have_program_name() {
	as_postgres "$pg_restore" pg 2> "$work/restore.log"
	is "vdi-pg-restore" 2 $?
	expect "usage" grep -q '^vdi-pg-restore: ' "$work/restore.log"
	as_postgres "$pg_restore" pg -D "$work/absent" -t 0.1 2> "$work/restore.log"
	is "vdi-pg-restore" 4 $?
	is "lines of other programs" 0 "$(grep -vc '^vdi-pg-restore: ' "$work/restore.log")"
}

pg_create << END || { echo "Bail out! initdb failed"; exit 1; }
wal_keep_size = 128MB
vdiset.connect_timeout = 5
END
pg_start || { echo "Bail out! the server does not start"; exit 1; }
install -d -o $pg_user -m 700 "$work/tablespace"
sql "create tablespace other location '$work/tablespace'"
sql "create table plain as select i, repeat(md5(i::text), 8) as t from generate_series(1, 60000) i"
sql "create table elsewhere tablespace other as select i, md5(i::text) as t from generate_series(1, 30000) i"

run_tests
