# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# flight.sh - functions of in_flight*.sh
#
# To be sourced. Needs the built tree two levels up, root, loop devices and a loaded
# module.
#
# shellcheck disable=SC2317,SC2086,SC2034 # called by their names; words; tap.sh

# shellcheck source=selftests/programs/tap.sh
. ./tap.sh
vdi=$(cd ../.. && pwd -P)/build/tools/vdi
[ -c /dev/vdiset ] || skip_all "/dev/vdiset does not exist"
[ -x "$vdi" ] || skip_all "vdi is not built"
modprobe -q loop
modprobe -q btrfs

work=$(mktemp -d "${VDISET_SCRATCH:-${TMPDIR:-/tmp}}/vdi-flight.XXXXXX")
disabled=/proc/sys/kernel/io_uring_disabled
was=$(cat $disabled 2> /dev/null)
unmount() {
	local dir

	for dir in "$work"/*.mnt; do
		! mountpoint -q "$dir" || umount "$dir"
	done
}

clean_up() {
	[ ! -w $disabled ] || echo "$was" > $disabled
	unmount
	rm -rf "$work"
}
trap clean_up EXIT
cd "$work" || exit 1

# an odd size, so that vdi serve sends blocks of odd sizes
head -c 3000001 /dev/urandom > in

after_each() {
	is "remaining sets" "" "$("$vdi" ls)"
	[ $bad = 0 ] || for f in *.err; do
		[ ! -s "$f" ] || sed "s/^/# $f: /" "$f"
	done
	[ ! -w $disabled ] || echo "$was" > $disabled
	unmount
	rm -rf b ./*.partial ./*.mnt ./*.image ./*.err ./*.out
}

# A command that hangs fails its test only. The time-out is for slow machines.
limited() { # COMMAND...
	timeout --foreground --kill-after=5 600 "$@"
}

await() { # PID
	timeout 600 tail --pid="$1" -s 0.05 -f /dev/null || {
		echo "# process $1 did not exit"
		bad=1
		kill -9 "$1"
	}
	wait "$1"
}

# Mounts a new file system at NAME.mnt. Fails if the type is not available.
file_system() { # TYPE SIZE [OPTION OF MKFS...]
	local type=$1 size=$2

	shift 2
	mkdir "$type.mnt"
	case $type in
	ramfs | tmpfs)
		mount -t "$type" none "$type.mnt"
		;;
	*)
		command -v "mkfs.$type" > /dev/null || return
		truncate -s "$size" "$type.image"
		"mkfs.$type" -q "$@" "$type.image" > mkfs.err 2>&1 &&
			mount -o loop "$type.image" "$type.mnt" 2> mount.err
		;;
	esac
}

# Backs up to DIR and restores; WAY: options of both, MEDIA: of backup, SERVE: of serve
round_trip() { # DIR [WAY [MEDIA [SERVE]]]
	local dir=$1 way=$2 media=$3 serve=$4 what="$*"

	rm -rf "$dir"
	"$vdi" backup t -q --to "$dir" $way $media 2> backup.err &
	limited "$vdi" serve backup t -q $serve < in 2> serve.err
	is "serve backup ($what)" 0 $?
	await $!
	is "backup ($what)" 0 $?
	cached=$(fincore -nb -o PAGES "$dir"/device* | awk '{ n += $1 } END { print n }')
	expect "verify ($what)" "$vdi" verify -q "$dir"
	"$vdi" restore t -q --from "$dir" $way 2> restore.err &
	limited "$vdi" serve restore t -q ${serve/--verify/} > back 2> serve.err
	is "serve restore ($what)" 0 $?
	await $!
	is "restore ($what)" 0 $?
	expect "restored data ($what)" cmp in back
}
