#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows a snapshot of a real file system while a real database is frozen: PostgreSQL
# under load on btrfs. Needs the built tree two levels up, a PostgreSQL server, btrfs in
# the kernel and its tools, root and a loaded module.
#
# The database is frozen by a checkpoint and by stopping all its processes, so that it
# cannot write. The snapshot has data and log of one moment, from which the database
# recovers as after a power failure.

# shellcheck disable=SC2317,SC2086 # called by their names; numbers
# shellcheck source=selftests/programs/tap.sh
. ./tap.sh
top=$(cd ../.. && pwd -P)
vdi=$top/build/tools/vdi
work=$(mktemp -d "${VDISET_SCRATCH:-${TMPDIR:-/tmp}}/vdi-snapshot.XXXXXX")

leave() {
	jobs -p | xargs -r kill -9 2> /dev/null
	"$work/thaw" 2> /dev/null
	pg_stop immediate 2> /dev/null
	umount "$work/fs" 2> /dev/null
	rm -rf "$work"
}
trap leave EXIT
# shellcheck source=postgres/cluster.sh
. "$top/postgres/cluster.sh"
fs=$work/fs
live=$fs/live
pg_data=$live/data

[ -c /dev/vdiset ] || skip_all "/dev/vdiset does not exist"
[ -f "$top/build/postgres/vdiset.so" ] || skip_all "the target is not built"
[ -x "$pg_bin/postgres" ] || skip_all "PostgreSQL server is missing"
[ "$(id -u)" = 0 ] || skip_all "not root"
command -v btrfs > /dev/null || skip_all "btrfs-progs is missing"
modprobe -q btrfs || grep -qw btrfs /proc/filesystems || skip_all "the kernel has no btrfs"
modprobe -q loop

# Prints the names, sizes, times and contents of all files of a tree.
cat > "$work/state" << 'END'
#!/bin/bash
cd "$1" && {
	find . -type f -printf '%p %s %T@\n' | sort
	find . -type f -print0 | sort -z | xargs -0 cat | b2sum
}
END

# Stop the postmaster first, so that no process is created; then stop the others, and
# wait until all are stopped.
cat > "$work/freeze" << END
#!/bin/bash
postmaster=\$(head -n 1 "$pg_data/postmaster.pid") || exit
setpriv --reuid=$pg_user --regid=$pg_user --init-groups -- "$pg_bin/psql" -h "$work" -p $pg_port -X -q -v ON_ERROR_STOP=1 postgres \\
	-c "insert into marks values ('before')" -c checkpoint || exit
setpriv --reuid=$pg_user --regid=$pg_user --init-groups -- "$pg_bin/psql" -h "$work" -p $pg_port -X -q -A -t postgres \\
	-c "select count(*) from pgbench_history" > "$work/history.before" || exit
echo "\$postmaster" > "$work/frozen"
kill -STOP "\$postmaster"
for p in \$(pgrep -P "\$postmaster"); do
	echo "\$p" >> "$work/frozen"
	kill -STOP "\$p"
done
while read -r p; do
	until grep -q '^State:.[TZ]' "/proc/\$p/status" 2> /dev/null || [ ! -e "/proc/\$p" ]; do
		sleep 0.05
	done
done < "$work/frozen"
{
	echo "backup of $pg_data"
	date -u +%FT%TZ
	find "$live" -type f -printf '%P %s\n' | sort
} > "$work/meta"
[ ! -e "$work/compare" ] || "$work/state" "$live" > "$work/state.frozen"
END

cat > "$work/thaw" << END
#!/bin/bash
[ -e "$work/frozen" ] || exit 0
[ ! -e "$work/compare" ] || "$work/state" "$live" > "$work/state.thaw"
# the postmaster last, because it restarts missing children
tac "$work/frozen" | xargs kill -CONT
rm "$work/frozen"
END
chmod +x "$work"/{state,freeze,thaw}

# Transactions at a moderate rate: an emulated machine has little time for others.
load() { # SECONDS
	# exec, so that it can be terminated
	setpriv --reuid $pg_user --regid $pg_user --init-groups env PGHOST="$work" PGPORT=$pg_port LC_ALL=C.UTF-8 \
		"$pg_bin/pgbench" -n -c 4 -R 20 -T "$1" postgres > "$work/pgbench.log" 2>&1 &
	pgbench=$!
}

history() {
	sql "select count(*) from pgbench_history"
}

committed() { # AT LEAST SO MANY TRANSACTIONS
	[ "$(history)" -ge "$1" ]
}

# Starts the client in the background, with the command that takes the snapshot.
snapshot_client() { # COMMAND
	rm -rf "$work/backup"*
	"$vdi" backup pg -q --to "$work/backup" --snapshot --snapshot-command "$1" 2> "$work/client.log" &
	client=$!
}

mount_client() { # COMMAND
	"$vdi" restore pg -q --from "$work/backup" --mount-command "$1" 2> "$work/client.log" &
	client=$!
}

# Runs in the background, as from a terminal. The freeze lasts as long as reading all
# files, which is slow on an emulated machine.
serve_snapshot() {
	: > "$work/meta"
	rm -f "$work"/state.*
	"$vdi" serve backup pg -q --snapshot --freeze "$work/freeze" --thaw "$work/thaw" --freeze-limit 3000 \
		< "$work/meta" > "$work/serve.log" 2>&1 &
	serve=$!
}

after_each() {
	is "remaining sets" "" "$("$vdi" ls)"
	expect "not frozen" test ! -e "$work/frozen"
	[ $bad = 0 ] || for f in serve.log client.log pgbench.log server.log; do
		[ ! -s "$work/$f" ] || tail -n 5 "$work/$f" | sed "s/^/# $f: /"
	done
}

tests+=(snapshot_under_load)
snapshot_under_load() {
	load 3600
	wait_until committed 20
	# reads all files, which takes long on an emulated machine
	touch "$work/compare"
	# long enough to detect a process that still writes
	snapshot_client "sleep 3; btrfs -q subvolume snapshot -r '$live' '$fs/snapshot'"
	serve_snapshot
	wait $serve
	is "vdi serve" 0 $?
	wait $client
	is "client" 0 $?
	rm "$work/compare"
	expect "there is a snapshot" test -d "$fs/snapshot/data"

	expect "there was something to write" test "$(wc -l < "$work/state.frozen")" -gt 100
	expect "nothing was written while frozen" cmp "$work/state.frozen" "$work/state.thaw"
	"$work/state" "$fs/snapshot" > "$work/state.snapshot"
	expect "the snapshot equals the frozen state" cmp "$work/state.frozen" "$work/state.snapshot"

	# after the thaw the same clients continue
	local count
	count=$(history)
	sql "insert into marks values ('after')"
	wait_until committed $((count + 1))
	expect "no client was thrown out" sh -c "! grep -qi 'error\|abort' '$work/pgbench.log'"
	kill -TERM $pgbench
	wait $pgbench
	history > "$work/history.after"
}

tests+=(restore_of_the_snapshot)
restore_of_the_snapshot() {
	local sums

	[ -d "$fs/snapshot" ] || { bad=1; return; }
	pg_stop immediate
	btrfs -q subvolume delete "$live"
	expect "the data is removed" test ! -e "$live"
	mount_client "btrfs -q subvolume snapshot '$fs/snapshot' '$live'"
	"$vdi" serve restore pg -q --snapshot > "$work/meta.back" 2> "$work/serve.log"
	is "vdi serve" 0 $?
	wait $client
	is "client" 0 $?
	expect "metadata" cmp "$work/meta" "$work/meta.back"
	"$work/state" "$live" > "$work/state.back"
	expect "the files are those of the snapshot" cmp "$work/state.frozen" "$work/state.back"

	rm "$pg_data/postmaster.pid"
	pg_start
	is "server starts" 0 $?
	is "rows as of the snapshot" before "$(sql 'select string_agg(mark, chr(32)) from marks')"
	expect "no committed transaction is missing" test "$(history)" -ge "$(cat "$work/history.before")"
	expect "later ones are" test "$(history)" -lt "$(cat "$work/history.after")"
	sums=$(sql "select count(distinct s) from (select sum(abalance) as s from pgbench_accounts
		union all select sum(bbalance) from pgbench_branches
		union all select sum(tbalance) from pgbench_tellers
		union all select sum(delta) from pgbench_history) as sums")
	is "balances that differ" 1 "$sums"
	sql "create extension if not exists amcheck"
	expect "pg_amcheck" as_postgres "$pg_bin/pg_amcheck" --heapallindexed -d postgres
	load 5
	wait $pgbench
	is "pgbench" 0 $?
}

# Waits until the client is about to take its snapshot of the frozen database.
wait_until_frozen() {
	wait_until test -e "$work/hook"
}

# PostgreSQL must continue however the server ends.
ended() { # SIGNAL SERVER CLIENT
	local count

	rm -f "$work/hook"
	snapshot_client "touch '$work/hook'; exec sleep 3600"
	serve_snapshot
	wait_until_frozen
	expect "frozen" test -e "$work/frozen"
	expect "really" grep -q '^State:.T' "/proc/$(head -n 1 "$work/frozen")/status"
	kill "-$1" $serve
	wait $serve
	is "vdi serve" "$2" $?
	wait $client
	is "client" "$3" $?
	wait_until test ! -e "$work/frozen"
	count=$(history)
	sql "insert into pgbench_history (delta) values (0)"
	is "PostgreSQL answers and writes" $((count + 1)) "$(history)"
	expect "no backup" test ! -e "$work/backup"
}

tests+=(interrupted_while_frozen)
interrupted_while_frozen() { ended TERM 130 3; }

tests+=(killed_while_frozen)
killed_while_frozen() { ended KILL 137 3; }

tests+=(snapshot_command_fails)
snapshot_command_fails() {
	snapshot_client 'exit 5'
	serve_snapshot
	wait $serve
	expect "vdi serve fails" test $? != 0
	wait $client
	expect "the client fails" test $? != 0
	expect "thawed" test ! -e "$work/frozen"
	expect "no backup" test ! -e "$work/backup"
	is "PostgreSQL answers" 1 "$(sql 'select 1')"
}

chmod 755 "$work"
truncate -s 1500M "$work/image"
mkdir "$fs"
{ mkfs.btrfs -q "$work/image" > "$work/mkfs.log" 2>&1 && mount -o loop "$work/image" "$fs" &&
	btrfs -q subvolume create "$live" && chown $pg_user "$live"; } ||
	{ echo "Bail out! no btrfs"; exit 1; }
pg_create << END || { echo "Bail out! initdb failed"; exit 1; }
max_wal_size = 128MB
END
pg_start || { echo "Bail out! the server does not start"; exit 1; }
sql "create table marks (mark text)"
as_postgres "$pg_bin/pgbench" -i -q -s 2 > "$work/pgbench.log" 2>&1 ||
	{ echo "Bail out! pgbench -i failed"; exit 1; }

run_tests
