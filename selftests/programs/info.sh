#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows that vdi info finds out why the kernel module cannot be used, that the commands
# which it suggests work, and that every command exits with 6 without the module. It
# unloads the module and changes /lib/modules and /dev, so it runs in a virtual machine
# only.
#
# Not provoked: a module with another version of the interface, Secure Boot (there is no
# EFI), and a signature that the kernel rejects (enforcement cannot be switched off again).
# Files of /sys and /proc that cannot be changed for a test are covered by bind mounts.

# shellcheck source=selftests/programs/tap.sh
. ./tap.sh
root=$(cd ../.. && pwd -P)
vdi=$root/build/tools/vdi
release=$(uname -r)
pattern=${release//+/\\+}	# for grep -E
modules=/lib/modules/$release
other=/lib/modules/5.0.0-other
work=$(mktemp -d "${VDISET_SCRATCH:-${TMPDIR:-/tmp}}/vdi-info.XXXXXX")
ko=${VDISET_KO:-}

[ -d /run/vdiset-vm ] || skip_all "not in a virtual machine"
[ -x "$vdi" ] || skip_all "vdi is not built"
[ -f "$ko" ] || skip_all "there is no module file"
chmod 755 "$work"
cd "$work" || exit 1

restore_state() {
	local path

	for path in "${covered[@]}"; do
		umount "$path"
	done
	covered=()
	echo $$ > /sys/fs/cgroup/cgroup.procs
	rmdir /sys/fs/cgroup/nightly.service 2> /dev/null
	rm -rf /run/.containerenv /etc/modprobe.d/vdi-info.conf "$modules/updates/vdiset.ko" \
		"$other" /var/lib/dkms/vdiset
	depmod
	[ -d /sys/module/vdiset ] || insmod "$ko"
	rm -f /dev/vdiset
	new_node
}

after_each() {
	restore_state
	"$vdi" info > /dev/null
	is "the module is usable again" 0 $?
}

new_node() {
	# shellcheck disable=SC2046 # two numbers
	mknod -m 666 /dev/vdiset c $(tr : ' ' < /sys/class/misc/vdiset/dev)
}

# devtmpfs does not remove a device that mknod(1) has created
unload() {
	rmmod vdiset
	rm -f /dev/vdiset
}

install_module() {
	mkdir -p "$modules/updates"
	cp "$ko" "$modules/updates/vdiset.ko"
}

covered=()
# cover PATH TEXT: PATH reads as TEXT until the end of the test
cover() {
	echo "$2" > "cover.${#covered[@]}"
	mount --bind "cover.${#covered[@]}" "$1" && covered+=("$1")
}

# problem CODE TEXT REMEDY [COMMAND...]: what vdi info finds, run by COMMAND
problem() {
	local code=$1 text=$2 to_do=$3
	shift 3
	"$@" "$vdi" info > out
	is "$code" 6 "$?"
	expect "$code: text" grep -qE "^module: +not available: .*$text" out
	expect "$code: remedy" grep -qE "^to do: +.*$to_do" out
	"$@" "$vdi" info --json > json
	is "$code: JSON" 6 "$?"
	expect "$code: valid JSON" python3 -m json.tool json json.tool
	expect "$code: JSON" grep -q "^  \"problem\": \"$code\"" json
	[ "$bad" = 0 ] || sed 's/^/# /' out
}

# warning CODE TEXT REMEDY [COMMAND...]: the same for a warning
warning() {
	local code=$1 text=$2 to_do=$3
	shift 3
	"$@" "$vdi" info > out
	is "$code" 0 "$?"
	expect "$code: text" grep -qE "^warning: +$text" out
	expect "$code: remedy" grep -qE "^to do: +.*$to_do" out
	"$@" "$vdi" info --json > json
	is "$code: JSON" 0 "$?"
	expect "$code: JSON" grep -q "^      \"problem\": \"$code\"" json
	[ "$bad" = 0 ] || sed 's/^/# /' out
}

nobody=(as_nobody)

tests+=(usable)
usable() {
	"$vdi" info > out
	is "vdi info" 0 $?
	expect "limits" grep -q 'area of one set' out
	is "warnings" "" "$(grep warning out)"
	"$vdi" info --json > json
	is "vdi info --json" 0 $?
	expect "JSON" python3 -m json.tool json out
	expect "no problem" grep -q '^  "problem": null' json
	expect "version" grep -q "\"module_version\": \"$(cat "$root/VERSION")\"" json
	"$vdi" info json > out 2>&1
	is "wrong usage" 2 $?
}

# ----------------------------------------------------------------- not loaded

tests+=(exit_codes_without_module)
exit_codes_without_module() {
	local args

	"$vdi" backup t -q --to b &
	until "$vdi" ls | grep -q created; do pause 0.1; done
	echo data | "$vdi" serve backup t -q
	is "serve" 0 $?
	wait
	unload
	for args in 'ls' 'top -n 1' 'abort t' 'info' 'load' 'backup t --to c' 'restore t --from b' \
		'serve backup t' 'serve restore t'; do
		# shellcheck disable=SC2086
		"$vdi" $args < /dev/null > out 2> err
		is "vdi $args" 6 $?
		expect "vdi $args says why" grep -q 'vdi: .*module\|not available' out err
	done
	"$vdi" verify -q b
	is "verify needs no module" 0 $?
	"$root/build/postgres/vdi-pg-restore" t -D "$work/data" 2> err
	is "vdi-pg-restore" 6 $?
	is "files" "b" "$(find . -mindepth 1 -maxdepth 1 -type d -printf %f)"
	rm -rf b
}

tests+=(module_absent)
module_absent() {
	unload
	problem module_absent "not installed for the running kernel $pattern" 'make dkms-install'
	mkdir -p /var/lib/dkms/vdiset/0.1.0/source
	problem module_absent 'DKMS has not built it' "dkms install vdiset/0.1.0 -k $pattern"
	mkdir -p /var/lib/dkms/vdiset/0.1.0/build
	echo error > /var/lib/dkms/vdiset/0.1.0/build/make.log
	problem module_absent 'DKMS has failed to build it, see .*/make.log' "dkms install"
	mkdir "/var/lib/dkms/vdiset/0.1.0/$release"
	problem module_absent 'DKMS has built, but not installed it' "dkms install"
}

tests+=(module_file_missing)
module_file_missing() {
	unload
	install_module
	depmod
	rm "$modules/updates/vdiset.ko"
	problem module_absent 'updates/vdiset.ko, is missing' 'make dkms-install'
}

tests+=(module_of_another_kernel)
module_of_another_kernel() {
	unload
	mkdir -p "$other/updates"
	cp "$ko" "$other/updates"
	problem module_other_kernel "for kernel 5.0.0-other, but not for the running kernel $pattern" 'make dkms-install'
}

tests+=(module_built_for_another_kernel)
module_built_for_another_kernel() {
	local wrong=x${release#?}

	unload
	install_module
	LC_ALL=C sed -i "s/vermagic=$release/vermagic=$wrong/" "$modules/updates/vdiset.ko"
	depmod
	problem module_vermagic "was built for kernel ${wrong//+/\\+}, but kernel $pattern is running" 'make dkms-install'
	echo > "$modules/updates/vdiset.ko"
	problem module_damaged "is not a kernel module" 'make dkms-install'
}

tests+=(module_not_indexed)
module_not_indexed() {
	unload
	install_module
	problem module_not_indexed 'updates/vdiset.ko is not in the index' 'depmod; then vdi load'
	depmod
	"$vdi" load
	is "the remedy" 0 $?
}

tests+=(module_not_loaded)
module_not_loaded() {
	unload
	install_module
	depmod
	problem module_not_loaded 'installed, but not loaded' 'vdi load' "${nobody[@]}"
	"${nobody[@]}" "$vdi" load 2> err
	is "load as another user" 6 $?
	mknod /dev/vdiset c 10 254
	problem device_left_over 'not loaded, but there is a /dev/vdiset' 'rm /dev/vdiset; vdi load'
	"$vdi" load 2> err
	is "load with a device that is left over" 6 $?
	expect "load says what to do" grep -q 'to do: as root: rm /dev/vdiset' err
	rm -f /dev/vdiset
	"$vdi" load
	is "the remedy" 0 $?
}

tests+=(module_denied)
module_denied() {
	unload
	install_module
	depmod
	echo 'blacklist vdiset' > /etc/modprobe.d/vdi-info.conf
	problem module_denied "'blacklist vdiset' in /etc/modprobe.d/vdi-info.conf" 'remove .* from /etc/modprobe.d/vdi-info.conf'
	"$vdi" load 2> err
	is "load" 6 $?
	expect "load says what to do" grep -q "^vdi: 'blacklist vdiset' in .*; to do: remove" err
	echo 'install vdiset /bin/false' > /etc/modprobe.d/vdi-info.conf
	problem module_install_command "'install vdiset /bin/false' in /etc/modprobe.d/vdi-info.conf" 'remove'
	rm /etc/modprobe.d/vdi-info.conf
	"$vdi" load
	is "the remedy" 0 $?
}

tests+=(module_not_signed)
module_not_signed() {
	[ -e /sys/module/module/parameters/sig_enforce ] || {
		echo "# skipped: a kernel without signatures"
		return
	}
	unload
	install_module
	depmod
	cover /sys/module/module/parameters/sig_enforce Y || { bad=1; return; }
	problem module_signature 'vdiset.ko is not signed.*module.sig_enforce=1' 'mokutil --import .*secure-boot.md'
	[ -e /sys/kernel/security/lockdown ] || mount -t securityfs none /sys/kernel/security
	cover /sys/kernel/security/lockdown 'none [integrity] confidentiality' || { bad=1; return; }
	problem module_signature 'vdiset.ko is not signed.*lockdown=integrity' 'mokutil'
}

tests+=(modules_disabled)
modules_disabled() {
	unload
	install_module
	depmod
	cover /proc/sys/kernel/modules_disabled 1
	problem modules_disabled 'kernel.modules_disabled' 'reboot'
}

tests+=(kernel_without_modules)
kernel_without_modules() {
	unload
	problem kernel_without_modules "kernel $pattern has no directory of modules" 'kernel of a distribution' \
		unshare -m sh -c 'mount -t tmpfs none /lib/modules && exec "$@"' -
}

tests+=(container_without_module)
container_without_module() {
	unload
	: > /run/.containerenv
	problem container_no_module 'a container \(podman\) cannot load it' 'on the host.*modprobe vdiset'
}

# --------------------------------------------------------------------- loaded

tests+=(device_missing)
device_missing() {
	rm /dev/vdiset
	problem device_missing 'there is no /dev/vdiset' 'mknod -m 666 .*PrivateDevices=no'
	eval "$(sed -n 's/.*as root: \(rm .* c [0-9]* [0-9]*\).*/\1/p' out)"
	"$vdi" info > out
	is "the remedy" 0 $?
	rm /dev/vdiset
	: > /run/.containerenv
	problem container_no_device 'this container \(podman\) has no /dev/vdiset' '--device /dev/vdiset'
	rm /run/.containerenv
	mkdir /sys/fs/cgroup/nightly.service
	echo $$ > /sys/fs/cgroup/nightly.service/cgroup.procs
	problem service_no_device 'the service nightly.service has no /dev/vdiset' 'PrivateDevices=no.*DeviceAllow=/dev/vdiset rw'
}

tests+=(device_stale)
device_stale() {
	rm /dev/vdiset
	mknod -m 666 /dev/vdiset c 10 254
	problem device_stale 'number 10:254, which is not that of the loaded module' 'mknod'
	rm /dev/vdiset
	: > /dev/vdiset
	problem device_stale 'is not a device' 'mknod'
}

tests+=(device_permission)
device_permission() {
	chmod 600 /dev/vdiset
	problem device_permission 'has mode 0600, owner 0' 'chmod 666 /dev/vdiset' "${nobody[@]}"
	"${nobody[@]}" "$vdi" ls 2> err
	is "vdi ls" 6 $?
	expect "vdi ls refers to vdi info" grep -q "'vdi info'" err
}

# A file system with nodev has a copy of the device.
tests+=(device_nodev)
device_nodev() {
	problem device_nodev 'mounted with the option nodev' 'remount,dev' \
		unshare -m sh -c 'mkdir -p nodev && mount -t tmpfs -o nodev none nodev &&
			cp -a /dev/vdiset nodev && mount --bind nodev/vdiset /dev/vdiset && exec "$@"' -
}

# in_group NAME COMMAND...: in a control group without the device
in_group() {
	local group=devices/$1
	shift
	mkdir "$group"
	echo a > "$group/devices.deny"
	echo "c 1:* rwm" > "$group/devices.allow"
	sh -c 'echo $$ > "$0/cgroup.procs" && exec "$@"' "$group" "$@"
}

tests+=(device_control_group)
device_control_group() {
	mkdir devices
	mount -t cgroup -o devices none devices || { echo "# skipped: no control groups of version 1"; return; }
	denied() { in_group "$@"; local rc=$?; rmdir devices/*/; return "$rc"; }
	problem device_control_group 'control group of this process does not allow' 'DeviceAllow=/dev/vdiset rw' denied some
	problem service_denied 'the service nightly.service is not allowed' 'systemctl edit nightly.service' denied nightly.service
	: > /run/.containerenv
	problem container_denied 'control group of this container \(podman\)' '--device /dev/vdiset' denied some
	umount devices
}

# ------------------------------------------------------------------- warnings

tests+=(memlock)
memlock() {
	warning memlock 'RLIMIT_MEMLOCK is 64.0 KiB' 'LimitMEMLOCK=infinity' \
		"${nobody[@]}" prlimit --memlock=65536
}

tests+=(io_uring_disabled)
io_uring_disabled() {
	local file=/proc/sys/kernel/io_uring_disabled

	[ -e "$file" ] || { echo "# skipped: the kernel has no $file"; return; }
	echo 2 > "$file"
	warning io_uring 'kernel.io_uring_disabled is 2' 'sysctl kernel.io_uring_disabled=0'
	echo 1 > "$file"
	warning io_uring 'kernel.io_uring_disabled is 1' 'io_uring_group' "${nobody[@]}"
	echo 0 > "$file"
}

tests+=(versions)
versions() {
	cover /sys/module/vdiset/version 9.9
	warning version_mismatch "the module is version 9.9, vdi is version $(cat "$root/VERSION")" 'same release'
}

rm -f /.dockerenv	# of the host
# depmod of all modules of the kernel takes minutes in an emulated machine
mount -t tmpfs none "$modules" || skip_all "cannot replace $modules"
touch "$modules"/modules.{order,builtin,builtin.modinfo}
trap 'cd /; umount "$modules"; rm -rf "$work"' EXIT
[ -d /sys/module/vdiset ] || insmod "$ko"
run_tests
