#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows that Bacula backs up and restores a database with its plugin bpipe, which runs
# vdi backup --to - and vdi restore --from -. Its daemons run on 127.0.0.1 of the machine.
#
# shellcheck disable=SC2317 # run_tests calls them

here=$(cd -- "$(dirname -- "$0")" && pwd -P)
# shellcheck source=selftests/programs/tap.sh
. "$here/tap.sh"
top=$(cd -- "$here/../.." && pwd -P)
vdi=$top/build/tools/vdi
tables=/usr/share/dbconfig-common/data/bacula-director-sqlite3/install/sqlite3
plugins=/usr/lib/bacula

[ -c /dev/vdiset ] || skip_all "/dev/vdiset does not exist"
[ -x "$vdi" ] || skip_all "vdi is not built"
for f in /usr/sbin/bacula-{dir,sd,fd} /usr/sbin/bconsole /usr/bin/sqlite3 $tables $plugins/bpipe-fd.so; do
	[ -e "$f" ] || skip_all "missing: $f"
done

dir=$(mktemp -d "${VDISET_SCRATCH:-/tmp}/bacula.XXXXXX")
daemons=()
# shellcheck disable=SC2154 # set by the trap itself
trap '[ ${#daemons[@]} = 0 ] || kill -9 "${daemons[@]}"; rm -rf "$dir"' EXIT
cd "$dir" || exit 1
ip link set lo up 2> /dev/null
head -c 3000000 /dev/urandom > data
mkdir work disk

cat > dir.conf << END
Director {
  Name = dir; Password = word; Messages = log; QueryFile = /dev/null
  DIRport = 19101; DirAddress = 127.0.0.1
  WorkingDirectory = $dir/work; PidDirectory = $dir/work
}
Catalog { Name = catalog; dbname = catalog; dbuser = ""; dbpassword = "" }
Client { Name = fd; Address = 127.0.0.1; FDPort = 19102; Catalog = catalog; Password = word }
Storage { Name = sd; Address = 127.0.0.1; SDPort = 19103; Password = word; Device = disk; Media Type = File }
Pool { Name = pool; Pool Type = Backup; Label Format = volume }
FileSet { Name = good; Include { Plugin = "bpipe:/vdi/good:$dir/backup:$dir/restore" } }
FileSet { Name = bad; Include { Plugin = "bpipe:/vdi/bad:$dir/fail:$dir/restore" } }
JobDefs { Name = any; Client = fd; Storage = sd; Pool = pool; Messages = log; FileSet = good }
Job { Name = good; JobDefs = any; Type = Backup; Level = Full }
Job { Name = bad; JobDefs = any; Type = Backup; Level = Full; FileSet = bad }
Job { Name = restore; JobDefs = any; Type = Restore; Where = / }
Messages { Name = log; append = "$dir/log" = all }
END
cat > sd.conf << END
Storage {
  Name = sd; SDPort = 19103; SDAddress = 127.0.0.1
  WorkingDirectory = $dir/work; PidDirectory = $dir/work
}
Director { Name = dir; Password = word }
Device {
  Name = disk; Media Type = File; Archive Device = $dir/disk; LabelMedia = yes
  Random Access = yes; AutomaticMount = yes; RemovableMedia = no; AlwaysOpen = no
}
Messages { Name = log; director = dir = all }
END
cat > fd.conf << END
FileDaemon {
  Name = fd; FDport = 19102; FDAddress = 127.0.0.1; Plugin Directory = $plugins
  WorkingDirectory = $dir/work; Pid Directory = $dir/work
}
Director { Name = dir; Password = word }
Messages { Name = log; director = dir = all }
END
cat > console.conf << END
Director { Name = dir; DIRport = 19101; address = 127.0.0.1; Password = word }
END
# the plugin splits a command at blanks
for command in "backup: backup bacula -q --to - -- cat $dir/data" \
	"fail: backup bacula -q --to - -- sh -c 'cat $dir/data; exit 3'" \
	"restore: restore bacula -q --from - -- cp /dev/stdin $dir/back"; do
	printf '#!/bin/sh\nexec %s %s\n' "$vdi" "${command#*: }" > "${command%%:*}"
	chmod +x "${command%%:*}"
done
sqlite3 work/catalog.db < $tables || exit 1
for daemon in sd fd dir; do
	"bacula-$daemon" -f -c "$dir/$daemon.conf" > "$daemon.out" 2>&1 &
	daemons+=($!)
done
# tap.sh kills the jobs of a test
disown -a
for port in 19101 19102 19103; do
	until (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; do
		kill -0 "${daemons[@]}" || { cat ./*.out; exit 1; }
		sleep 0.2
	done
done

console() { # LINE...
	printf '%s\n' "$@" quit | bconsole -c "$dir/console.conf" > console.out 2>&1
}

after_each() {
	is "remaining sets" "" "$("$vdi" ls)"
	[ $bad = 0 ] || tail -n 50 log console.out | sed 's/^/# /'
	rm -f back log
}

# status of the last job of this name, T = no error
status() {
	sqlite3 work/catalog.db "select JobStatus, JobErrors from Job where Name = '$1' order by JobId desc limit 1"
}

tests+=(backup_and_restore)
backup_and_restore() {
	console 'run job=good yes' wait
	is "status, errors" "T|0" "$(status good)"
	console 'restore client=fd fileset=good select current all done yes' wait
	is "status, errors" "T|0" "$(status restore)"
	expect "restored data" cmp data back
}

# The plugin reports it as an error of the job, but the job does not fail.
tests+=(failed_backup_is_an_error_of_the_job)
failed_backup_is_an_error_of_the_job() {
	console 'run job=bad yes' wait
	is "status, errors" "T|1" "$(status bad)"
	expect "the log has it" grep -q 'bpipe-fd: Error closing for file /vdi/bad' log
}

run_tests
