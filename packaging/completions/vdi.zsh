#compdef vdi vdi-pg-restore vdi-mssql
# SPDX-License-Identifier: GPL-2.0
#
# zsh completion for vdi, vdi-pg-restore and vdi-mssql. selftests/completions compares the
# options with --help.

_vdi_sets() {
	local -a sets
	sets=(${(f)"$(vdi ls 2> /dev/null | sed -n '2,$s/ .*//p')"})
	compadd -a sets
}

_vdi_commands() {
	local -a commands
	commands=(
		"backup:store a database's backup in a directory"
		'restore:send a stored backup to the database'
		'verify:check that a backup is complete and undamaged'
		'list:list the backups in a place'
		'expire:remove old backups by rules'
		'serve:act as the database\: send or receive a stream'
		'ls:list the sets in use'
		'top:show the throughput, and which side is slow'
		'abort:abort a set for all of its parties'
		'throttle:limit the throughput of a set'
		'info:show version and limits of the kernel module'
		'load:load the kernel module'
	)
	_describe command commands
}

_vdi() {
	local context state line
	typeset -A opt_args
	local -a help set
	help=('(-h --help)'{-h,--help}'[show the help]')
	set=(
		'*--device[name of the next device]:device'
		'--instance[instance of the database]:instance'
		'(-o --owner)'{-o,--owner}'[owner of the set]:user:_users'
		'(-g --group)'{-g,--group}'[group of the set]:group:_groups'
		'(-m --mode)'{-m,--mode}'[permissions of the set]:mode'
		'--in-flight[concurrent reads or writes per device]:number'
		'--max-rate[limit of all devices together]:bytes per second'
		'(--no-direct)--direct[use O_DIRECT]'
		'(--direct)--no-direct[use the page cache]'
		'--json=-[progress and outcome as JSON lines]::file:_files'
		'--metrics[write the outcome for Prometheus]:file:_files'
		'--on-success[command to run after a success]:command:_command_names -e'
		'--on-failure[command to run after a failure]:command:_command_names -e'
		'(-t --timeout)'{-t,--timeout}'[time to wait for the database]:seconds'
		'(-i --idle-timeout)'{-i,--idle-timeout}'[abort if no command arrives]:seconds'
		'(-q --quiet)'{-q,--quiet}'[no progress, no summary]'
	)
	case $service in
	vdi-pg-restore) _vdi_pg_restore; return ;;
	vdi-mssql) _vdi_mssql; return ;;
	esac
	if (( CURRENT == 2 )); then
		_vdi_commands
		return
	fi
	shift words
	(( CURRENT-- ))
	case $words[1] in
	backup|restore|verify|list|expire|serve|ls|top|abort|throttle|info|load) _vdi_$words[1] ;;
	esac
}

_vdi_backup() {
	_arguments -s $set $help \
		'(--into --to-command)--to[new directory for the backup]:directory:_files -/' \
		'(--to --to-command)--into[directory in which a new one is made]:directory:_files -/' \
		'--based-on[the backup is an increment of this one]:backup, or latest:(latest)' \
		'(--to --into)--to-command[command that stores the data of a device]:command:_command_names -e' \
		'(-n --devices)'{-n,--devices}'[number of devices]:number' \
		'(-p --profile)'{-p,--profile}'[kind of the devices]:kind:(pipe disk tape)' \
		'--removable[media can be changed]' \
		'--capacity[data per medium]:size' \
		'--eom-warning[warn this much before the end of a medium]:size' \
		'--soft-filemarks[write filemarks as blocks of this size]:size' \
		'--expected-size[how much the database will write]:size' \
		'--discard[let the database discard data]' \
		'--allow-empty[accept a command that writes no data]' \
		'--snapshot-command[command that takes a snapshot]:command:_command_names -e' \
		'--snapshot[ask the database to announce the snapshot]' \
		'--prepare-command[command to run at the announcement]:command:_command_names -e' \
		'--uploads[chunks of a device that are stored at a time]:number' \
		'--chunk-size[size of a chunk in an object store]:size' \
		'--store-timeout[time to repeat a failed request]:seconds' \
		'--compress[compress the data]:codec:(none zstd lz4)' \
		'--compress-threads[threads that compress]:number' \
		'--filter[command that the data passes]:command:_command_names -e' \
		'1:name of the set' '*:: :_normal'
}

_vdi_restore() {
	_arguments -s $set $help \
		'(--from-command)--from[directory of the backup]:directory:_files -/' \
		'(--from)--from-command[command that supplies the data of a device]:command:_command_names -e' \
		'(-n --devices)'{-n,--devices}'[with --from-command, number of devices]:number' \
		'--latest[the youngest whole backup in the directory]' \
		'--set[with --latest, a backup of this set]:name' \
		'--mount-command[command that restores the files]:command:_command_names -e' \
		'--unfilter[command that undoes --filter]:command:_command_names -e' \
		'--no-verify[do not verify before the set is created]' \
		'--downloads[chunks of a device that are read at a time]:number' \
		'--store-timeout[time to repeat a failed request]:seconds' \
		'1:name of the set' '*:: :_normal'
}

_vdi_verify() {
	_arguments -s $help '(-q --quiet)'{-q,--quiet}'[no progress, no summary]' \
		'--json=-[progress and outcome as JSON lines]::file:_files' \
		'--metrics[write the outcome for Prometheus]:file:_files' \
		'--all[all backups in the directory]' \
		'--set[with --all, only backups of this set]:name' \
		'--unfilter[command that undoes --filter]:command:_command_names -e' \
		'--jobs[devices to read at the same time]:number' \
		'1:directory of the backup:_files -/'
}

_vdi_list() {
	_arguments -s $help '--set[only backups of this set]:name' \
		'--max-age[fail if the youngest backup is older]:age' \
		'(-j --json)'{-j,--json}'[everything, as a JSON array]' \
		'1:directory of the backups:_files -/'
}

_vdi_expire() {
	_arguments -s $help '--keep-last[keep this many of each set]:number' \
		'--keep-within[keep backups that are not older]:age' \
		'--partial-age[age of what killed backups have left]:age' \
		'--set[only backups of this set]:name' \
		'(-n --dry-run)'{-n,--dry-run}'[remove nothing]' \
		'(-j --json)'{-j,--json}'[a JSON array]' \
		'1:directory of the backups:_files -/'
}

_vdi_serve() {
	_arguments -s $help \
		'--instance[instance of the set]:instance' \
		'*--from[join a set of this user]:user:_users' \
		'(-n --devices)'{-n,--devices}'[fail unless the set has this number]:number' \
		'*--device[name of the next device]:device' \
		'--profile[fail unless the devices are of this kind]:kind:(pipe disk tape any)' \
		'(-b --block-size)'{-b,--block-size}'[size of a block]:bytes' \
		'(-x --max-transfer-size)'{-x,--max-transfer-size}'[size of a transfer]:bytes' \
		'(-c --buffer-count)'{-c,--buffer-count}'[number of buffers]:number' \
		'(-t --timeout)'{-t,--timeout}'[time to wait for the set]:seconds' \
		'(-q --quiet)'{-q,--quiet}'[no progress, no summary]' \
		'--json=-[progress and outcome as JSON lines]::file:_files' \
		'--allow-empty[accept a stream of 0 bytes]' \
		'--read-back[compare what was written]' \
		'--snapshot[the client takes or restores a snapshot]' \
		'--freeze[command that suspends writing]:command:_command_names -e' \
		'--thaw[command that resumes writing]:command:_command_names -e' \
		'--freeze-limit[abort and thaw after this time]:seconds' \
		'1:what to do:(backup restore)' '2:name of the set:_vdi_sets' '*:: :_normal'
}

_vdi_ls() {
	_arguments -s $help \
		'(-v --verbose)'{-v,--verbose}'[a line for each device]' \
		'(-j --json)'{-j,--json}'[everything, as a JSON array]'
}

_vdi_top() {
	_arguments -s $help \
		'--id[the set of this number]:number' \
		'(-i --interval)'{-i,--interval}'[time between two updates]:seconds' \
		'(-n --count)'{-n,--count}'[stop after this number of updates]:number' \
		'(-b --batch)'{-b,--batch}'[one update below the other]' \
		'1:name of the set:_vdi_sets'
}

_vdi_throttle() {
	_arguments -s $help '--id[the set of this number]:number' \
		'1:name of the set:_vdi_sets' '2:bytes per second, or off:(off)'
}

_vdi_abort() {
	_arguments -s $help \
		'--id[the set of this number]:number' \
		'(-m --message)'{-m,--message}'[reason to report]:text' \
		'1:name of the set:_vdi_sets'
}

_vdi_info() {
	_arguments -s $help '(-j --json)'{-j,--json}'[everything, as a JSON object]'
}

_vdi_load() {
	_arguments '--help[show the help]'
}

_vdi_pg_restore() {
	_arguments -s $help \
		'(-D --pgdata)'{-D,--pgdata}'[data directory to create]:directory:_files -/' \
		'*'{-T,--tablespace-mapping}'[restore a tablespace to another directory]:OLD=NEW' \
		'--allow-tablespaces[restore tablespaces to their old paths]' \
		'(-D --pgdata)--manifest[write only the backup manifest]:file:_files' \
		'--pg-bindir[directory of pg_combinebackup]:directory:_files -/' \
		'--restore-command[restore_command of the server]:command' \
		'--target-time[recover up to this time]:time' \
		'--target-name[recover up to this restore point]:name' \
		'--target-lsn[recover up to this position]:position' \
		'--target-xid[recover up to this transaction]:number' \
		'--target-immediate[recover up to the end of the backup]' \
		'--target-action[what the server does then]:action:(pause promote shutdown)' \
		'--target-timeline[recover along this timeline]:timeline:(latest current)' \
		'--owner[owner of the files]:user:_users' \
		'*--from[join a set of this user]:user:_users' \
		'(-t --timeout)'{-t,--timeout}'[time to wait for the set]:seconds' \
		'(-q --quiet)'{-q,--quiet}'[no progress, no summary]' \
		'(-V --version)'{-V,--version}'[show the version]' \
		'*:name of the set:_vdi_sets'
}

_vdi_mssql() {
	_arguments -s $help \
		'--database[database to back up or restore]:database' \
		'--log[its log]' \
		'--with[options of the statement]:options' \
		'--statement[another statement, with %D for the devices]:statement' \
		'--library[library of SQL Server]:file:_files' \
		'--trace[show every call of that library]' \
		'*--from[join a set of this user]:user:_users' \
		'*--device[name of the next device]:name' \
		'--instance[instance of the set]:name' \
		'(-t --timeout)'{-t,--timeout}'[time to wait for the set, and for SQL Server]:seconds' \
		'(-q --quiet)'{-q,--quiet}'[no progress, no summary]' \
		'(-V --version)'{-V,--version}'[show the version]' \
		'1:direction:(backup restore)' \
		'2:name of the set:_vdi_sets' \
		'*::command:_normal'
}

_vdi "$@"
