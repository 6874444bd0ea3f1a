# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# bash completion for vdi, vdi-pg-restore and vdi-mssql. selftests/completions compares the
# options with --help.

_vdi_sets() {
	vdi ls 2> /dev/null | sed -n '2,$s/ .*//p'
}

# _vdi_words WORD...: offer those that begin with the current word
_vdi_words() {
	mapfile -t COMPREPLY < <(compgen -W "$*" -- "${COMP_WORDS[COMP_CWORD]}")
}

# _vdi_of ACTION: the same for an action of compgen
_vdi_of() {
	mapfile -t COMPREPLY < <(compgen -A "$1" -- "${COMP_WORDS[COMP_CWORD]}")
	case $1 in file|directory) compopt -o filenames 2> /dev/null ;; esac
}

_vdi() {
	local command=${COMP_WORDS[1]} previous=${COMP_WORDS[COMP_CWORD-1]} options='' argument=''
	local set='--device --instance -o --owner -g --group -m --mode --in-flight --max-rate --direct --no-direct
		--json --metrics --on-success --on-failure
		-t --timeout -i --idle-timeout -q --quiet -h --help'
	COMPREPLY=()
	if [ "$COMP_CWORD" = 1 ]; then
		_vdi_words backup restore verify list expire serve ls top abort throttle info load --help --version
		return
	fi
	case $command in
	backup)
		options="--to --into --based-on --to-command -n --devices -p --profile --removable --capacity --eom-warning
			--soft-filemarks --expected-size --discard --allow-empty --snapshot-command --snapshot --prepare-command
			--uploads --chunk-size --store-timeout
			--compress --compress-threads --filter $set"
		;;
	restore)
		options="--from --from-command -n --devices --latest --set --mount-command --unfilter --no-verify --downloads --store-timeout $set"
		;;
	verify) options='--all --set --unfilter --jobs --json --metrics -q --quiet -h --help' argument=directory ;;
	list) options='--set --max-age -j --json -h --help' argument=directory ;;
	expire)
		options='--keep-last --keep-within --partial-age --set -n --dry-run -j --json -h --help'
		argument=directory
		;;
	serve)
		options='--instance --from -n --devices --device --profile -b --block-size
			-x --max-transfer-size -c --buffer-count -t --timeout --json -q --quiet -h --help
			--allow-empty --read-back --snapshot --freeze --thaw --freeze-limit'
		argument=sets
		[ "$COMP_CWORD" != 2 ] || { _vdi_words backup restore --help; return; }
		;;
	ls) options='-v --verbose -j --json -h --help' ;;
	top) options='--id -i --interval -n --count -b --batch -h --help' argument=sets ;;
	abort) options='--id -m --message -h --help' argument=sets ;;
	throttle) options='--id -h --help' argument=sets ;;
	info) options='-j --json -h --help' ;;
	load) options='--help' ;;
	esac
	case $command:$previous in
	backup:--to|backup:--into|restore:--from) _vdi_of directory; return ;;
	serve:--from|*:--owner|*:-o) _vdi_of user; return ;;
	*:--group|*:-g) _vdi_of group; return ;;
	serve:--profile) _vdi_words pipe disk tape any; return ;;
	backup:--profile|backup:-p) _vdi_words pipe disk tape; return ;;
	backup:--compress) _vdi_words none zstd zstd: lz4 lz4:; return ;;
	*:--metrics) _vdi_of file; return ;;
	*:--*command|*:--freeze|*:--thaw|*:--on-*|*:--filter|*:--unfilter) _vdi_of command; return ;;
	backup:--based-on) _vdi_words latest; return ;;
	*:--capacity|*:--expected-size|*:--eom-warning|*:--soft-filemarks|*:--instance|*:--device|*:--devices) return ;;
	*:--max-rate|*:--mode|*:-m|*:--in-flight|*:--*timeout|*:--freeze-limit|*:--id|*:--interval|*:--count) return ;;
	*:--set|*:--jobs|*:--max-age|*:--keep-last|*:--keep-within|*:--partial-age) return ;;
	*:--compress-threads|*:--uploads|*:--downloads|*:--chunk-size|*:--message|*:--block-size|*:--max-transfer-size|*:--buffer-count|*:-[bcx]|backup:-n|restore:-n|serve:-n|top:-n) return ;;
	esac
	case ${COMP_WORDS[COMP_CWORD]}:$argument in
	-*) _vdi_words "$options" ;;
	*:sets) _vdi_words "$(_vdi_sets)" ;;
	*:directory) _vdi_of directory ;;
	esac
}

_vdi_pg_restore() {
	COMPREPLY=()
	case ${COMP_WORDS[COMP_CWORD-1]} in
	-D|--pgdata|--pg-bindir) _vdi_of directory ;;
	--manifest) _vdi_of file ;;
	--target-action) _vdi_words pause promote shutdown ;;
	--target-timeline) _vdi_words latest current ;;
	-T|--tablespace-mapping|--restore-command|--target-time|--target-name|--target-lsn|--target-xid) ;;
	-t|--timeout) ;;
	--owner|--from) _vdi_of user ;;
	*)
		case ${COMP_WORDS[COMP_CWORD]} in
		-*)
			_vdi_words '-D --pgdata -T --tablespace-mapping --allow-tablespaces --manifest --pg-bindir
				--owner --from --restore-command --target-time --target-name --target-lsn
				--target-xid --target-immediate --target-action --target-timeline
				-t --timeout -q --quiet -h --help -V --version'
			;;
		*) _vdi_words "$(_vdi_sets)" ;;
		esac
		;;
	esac
}

_vdi_mssql() {
	COMPREPLY=()
	case ${COMP_WORDS[COMP_CWORD-1]} in
	--library) _vdi_of file ;;
	--from) _vdi_of user ;;
	--) _vdi_of command ;;
	--database|--with|--statement|--device|--instance|-t|--timeout) ;;
	*)
		case ${COMP_WORDS[COMP_CWORD]} in
		-*)
			_vdi_words '--database --log --with --statement --library --trace --from --device
				--instance -t --timeout -q --quiet -h --help -V --version'
			;;
		*)
			[ "$COMP_CWORD" != 1 ] || { _vdi_words backup restore; return; }
			_vdi_words "$(_vdi_sets)"
			;;
		esac
		;;
	esac
}

complete -F _vdi vdi
complete -F _vdi_pg_restore vdi-pg-restore
complete -F _vdi_mssql vdi-mssql
