# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# shellcheck disable=SC2034 # used by scripts that source this
#
# Shared by vm/run and vm/build-module: the cache of kernels and build environments. All
# of them come from the Debian archive that the host's apt uses.
#
# $VDISET_CACHE/kernels/NAME          link to the newest RELEASE fetched for it
# $VDISET_CACHE/kernels/RELEASE/      unpacked packages, vmlinuz, vmlinux
# $VDISET_CACHE/tools/SUITE/          build environment (debootstrap)
# $VDISET_CACHE/roots/SUITE/          root/, a Debian with databases, for vm/root
# $VDISET_CACHE/systems/SUITE/        root/, a complete Debian with its own kernel, the
#                                     same as an ext4 file system, and the kernel
#
# A file gets its final name when it is complete.

VM=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
TREE=${VM%/*}
if [ "$(id -u)" = 0 ]; then
	CACHE=${VDISET_CACHE:-/var/cache/vdiset}
else
	CACHE=${VDISET_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vdiset}
fi
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
# shellcheck source=vm/source.sh
. "$VM/source.sh"
# shellcheck source=vm/cross.sh
. "$VM/cross.sh"

# Exit codes for failures of the machinery, not of the command
EXIT_TIMEOUT=124
EXIT_VM=125

me=${0##*/}

die() {
	printf '%s: %s\n' "$me" "$*" >&2
	exit "$EXIT_VM"
}

note() {
	printf '%s: %s\n' "$me" "$*" >&2
}

# A line in the style of the kernel's build
say() {
	[ -n "${QUIET:-}" ] || printf '  %-7s %s\n' "$1" "$2" >&2
}

need() {
	local p
	for p; do
		command -v "$p" >/dev/null || PATH=$PATH:/usr/sbin:/sbin command -v "$p" >/dev/null ||
			die "$p is missing: run 'make deps' as root"
	done
}

# kernel_rows: the lines of the table
kernel_rows() {
	grep -v '^#' "$VM/kernels"
}

# kernel_row NAME: set K_NAME, K_SUITE, K_IMAGE, K_TOOLS, K_CC, K_CONFIG from the table, and
# K_ARCH
kernel_row() {
	local want=${1:-}
	while read -r K_NAME K_SUITE K_IMAGE K_TOOLS K_CC K_CONFIG _; do
		K_CONFIG=${K_CONFIG#-} K_ARCH=$(headers_arch "$K_IMAGE")
		if [ -z "$want" ] || [ "$want" = "$K_NAME" ] || [[ $want == "$K_NAME".* ]]; then
			return 0
		fi
	done < <(kernel_rows)
	die "unknown kernel '$want' (see vm/run --list)"
}

# Everything that writes to the cache holds this lock, so that two concurrent runs fetch
# a kernel once.
cache_lock() {
	if ! mkdir -p "$CACHE/kernels" "$CACHE/tools" "$CACHE/systems" "$CACHE/roots" "$CACHE/headers" 2>/dev/null || [ ! -w "$CACHE" ]; then
		die "cannot write to the cache, $CACHE (set VDISET_CACHE)"
	fi
	exec {CACHE_FD}> "$CACHE/.lock"
	flock "$CACHE_FD"
	# Left by a killed run, which no longer holds the lock.
	rm -rf --one-file-system "$CACHE"/{kernels,tools,systems,roots,headers}/.tmp.*
}

cache_unlock() {
	exec {CACHE_FD}>&-
}

# fetching KIND FUNCTION: calls FUNCTION with a directory in the cache, which is removed
# afterwards in any case
fetching() {
	(
		dir=$CACHE/$1/.tmp.$$
		trap 'rm -rf --one-file-system "$dir"' EXIT
		trap 'exit 130' INT
		trap 'exit 143' TERM HUP
		mkdir "$dir"
		"$2" "$dir"
	)
}

# debian_mirrors: sets MIRROR, and SECURITY if the host uses one, from apt's settings. The
# release information (origin, label) exists only after an apt-get update; without it
# the name of the entry is used.
# shellcheck disable=SC2016 # $(ORIGIN) and the like are expanded by apt, not by the shell
debian_mirrors() {
	local origin label uri release
	MIRROR='' SECURITY=''
	while IFS='|' read -r origin label uri release; do
		case $origin/$label in
		Debian/Debian) : "${MIRROR:=$uri}" ;;
		Debian/Debian-Security) : "${SECURITY:=$uri}" ;;
		'$(ORIGIN)'/*)
			case $release/$uri in
			*-security/*debian-security*) : "${SECURITY:=$uri}" ;;
			*/*debian-security*) ;;
			*/*/debian/|*/*/debian) : "${MIRROR:=$uri}" ;;
			esac ;;
		esac
	done < <(
		for opt in yes no; do
			apt-get indextargets -o "APT::Get::IndexTargets::ReleaseInfo=$opt" \
				--format '$(ORIGIN)|$(LABEL)|$(REPO_URI)|$(RELEASE)' \
				'Identifier: Packages' 'Component: main' 2>/dev/null || :
		done)
	[ -n "$MIRROR" ] || die "apt has no main archive of Debian to fetch from"
	MIRROR=${MIRROR%/} SECURITY=${SECURITY%/}
}

# private_apt DIR SUITE [ARCHITECTURE]: sets up apt lists for one suite in DIR, of amd64 and
# of this architecture. The host's sources, lists and pins are not used or changed; its
# proxy and time-out settings apply.
private_apt() {
	local dir=$1 suite=$2 opt
	debian_mirrors
	[ -r "$KEYRING" ] || die "$KEYRING is missing: run 'make deps' as root"
	mkdir -p "$dir"/{lists,cache/archives}/partial
	: > "$dir/status"
	{
		echo "deb [signed-by=$KEYRING] $MIRROR $suite main"
		case $suite in
		*-backports|sid|experimental) ;;
		*) [ -z "$SECURITY" ] || echo "deb [signed-by=$KEYRING] $SECURITY $suite-security main" ;;
		esac
	} > "$dir/sources.list"
	APT_OPTS=()
	for opt in "Dir::Etc::sourcelist=$dir/sources.list" Dir::Etc::sourceparts=/dev/null \
		Dir::Etc::preferences=/dev/null Dir::Etc::preferencesparts=/dev/null \
		"Dir::State::Lists=$dir/lists" "Dir::State::status=$dir/status" \
		"Dir::Cache=$dir/cache" APT::Sandbox::User=root \
		APT::Architecture=amd64 APT::Architectures::=amd64 ${3:+"APT::Architectures::=$3"} \
		Acquire::Languages=none Acquire::Retries=3; do
		APT_OPTS+=(-o "$opt")
	done
	say APT "$suite"
	apt-get "${APT_OPTS[@]}" -o APT::Update::Error-Mode=any -qq update >&2 || die "apt cannot reach the Debian archive for $suite"
}

# depends PACKAGE...: these packages, and those of the same source that they depend on
depends() {
	local -A seen=()
	local todo=("$@") p d
	while [ ${#todo[@]} -gt 0 ]; do
		p=${todo[0]}
		todo=("${todo[@]:1}")
		[ -z "${seen[$p]:-}" ] || continue
		seen[$p]=1
		echo "$p"
		while read -r d; do
			case $d in
			linux-base|linux-compiler-*|linux-initramfs-tool|linux-*-dbg|linux-*-unsigned) ;;
			linux-*[0-9]*) todo+=("$d") ;;
			esac
		done < <(apt-cache "${APT_OPTS[@]}" depends --no-recommends --no-suggests \
			--no-conflicts --no-breaks --no-replaces --no-enhances "$p" |
			sed -nE 's/^[ |]*Depends: <?([^:>]*).*/\1/p')
	done
}

# newest_image: the release of the newest linux-image that matches K_IMAGE. It is the one
# of the metapackage, unless the suite has moved on and still has older ones.
newest_image() {
	local flavour=${K_IMAGE#*'*'-} meta
	meta=$(apt-cache "${APT_OPTS[@]}" depends --no-recommends "linux-image-$flavour" |
		sed -n "s/^ *Depends: linux-image-\([0-9].*-$flavour\)\$/\1/p" | head -n 1) || :
	# shellcheck disable=SC2053 # a pattern
	if [[ $meta == $K_IMAGE ]]; then
		echo "$meta"
		return
	fi
	apt-cache "${APT_OPTS[@]}" pkgnames "linux-image-${K_IMAGE%%'*'*}" | sed 's/^linux-image-//' |
		grep -E "^[0-9.]+(-[0-9]+)?(\+[a-z0-9.]+)?-$flavour\$" | sort -V | tail -n 1 || :
}

# True if the kernel is in the cache, built with the current configuration
kernel_there() {
	[ -e "$K_DIR/complete" ] || return
	[ -z "$K_CONFIG" ] || cat "$VM/config/common" "$VM/config/$K_CONFIG" | cmp -s - "$K_DIR/config" || return
	[ "$K_CONFIG" != tree ] || tree_sum | cmp -s - "$K_DIR/tree_sum"
}

# kernel_get NAME: puts the kernel into the cache if needed; sets K_* and K_REL, K_DIR
kernel_get() {
	kernel_row "$1"
	K_DIR=$CACHE/kernels/$K_NAME
	if ! kernel_there; then
		need apt-get dpkg-deb flock depmod
		case $K_CONFIG in
		'') ;;
		# also with clang
		tree) cross_get "$K_TOOLS" ;;
		*) tools_get ;;
		esac
		cache_lock
		kernel_there || fetching kernels "$([ -n "$K_CONFIG" ] && echo kernel_build || echo kernel_fetch)"
		cache_unlock
	fi
	K_DIR=$(readlink -f "$K_DIR")
	K_REL=${K_DIR##*/}
}

# vmlinux BZIMAGE: extracts the kernel, which QEMU can start directly (PVH). The guest
# would need seconds to decompress it under emulation.
vmlinux() {
	local part=$1.part magic
	# The header has the position of the compressed kernel, whose last four bytes are
	# the size of the uncompressed one.
	# shellcheck disable=SC2016 # variables of perl
	perl -0777 -ne '
		my $start = (unpack("C", substr($_, 0x1f1, 1)) + 1) * 512;
		my ($at, $size) = unpack("VV", substr($_, 0x248, 8));
		print substr($_, $start + $at, $size - 4);
	' "$1" > "$part"
	magic=$(od -An -tx1 -N4 "$part" | tr -d ' ')
	case $magic in
	fd377a58) xz -dc --single-stream "$part" ;;
	28b52ffd) zstd -qdc "$part" ;;
	1f8b*) gzip -dc "$part" ;;
	*) return 1 ;;
	esac
	rm "$part"
}

# unpack_debs DIR: unpacks DIR/debs, kernels or their headers, into DIR/tree
unpack_debs() {
	local tmp=$1 deb m
	# One directory for all, whether the packages use /lib or /usr/lib.
	ln -s usr/lib "$tmp/tree/lib"
	for deb in "$tmp"/debs/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" |
			tar -x --keep-directory-symlink --no-same-owner -C "$tmp/tree" 2> "$tmp/errors" ||
			{ tail -n 3 "$tmp/errors" >&2 || :; false; } ||
			die "cannot unpack ${deb##*/} into $CACHE"
		rm -f "$deb"
	done
	# The headers refer to their original path; replace it by the new one.
	for m in "$tmp"/tree/usr/src/linux-headers-*/Makefile; do
		grep -qE '^(include|KBUILD_OUTPUT=) ?/usr/src/' "$m" || continue
		# shellcheck disable=SC2016
		sed -i -e 's|/usr/src/|$(vdiset-src)/|' \
			-e '1i vdiset-src := $(abspath $(dir $(lastword $(MAKEFILE_LIST)))..)' "$m"
	done
	# Recent headers need this script to run sparse, but the packages do not have it.
	for m in "$tmp"/tree/usr/lib/linux-kbuild-*/scripts; do
		[ ! -e "$m/checker-valid.sh" ] || continue
		printf '#!/bin/sh\necho 1\n' > "$m/checker-valid.sh"
		chmod +x "$m/checker-valid.sh"
	done
}

kernel_fetch() {
	local tmp=$1 rel pkgs m
	mkdir -p "$tmp/debs" "$tmp/tree/usr/lib"
	private_apt "$tmp/apt" "$K_SUITE" "${K_ARCH#amd64}"
	rel=$(newest_image)
	[ -n "$rel" ] || die "$K_SUITE has no kernel $K_IMAGE any more: see vm/kernels"
	mapfile -t pkgs < <(depends "linux-image-$rel" "linux-headers-$rel")
	say FETCH "$rel"
	(cd "$tmp/debs" && apt-get "${APT_OPTS[@]}" -qq download "${pkgs[@]}" >&2) ||
		die "cannot fetch the packages of $rel into $CACHE"
	say UNPACK "$rel"
	unpack_debs "$tmp"
	for m in "$tmp/tree/boot/vmlinuz-$rel" "$tmp/tree/usr/lib/modules/$rel/vmlinuz"; do
		if [ -f "$m" ]; then mv "$m" "$tmp/tree/vmlinuz"; fi
	done
	[ -f "$tmp/tree/vmlinuz" ] || die "no kernel image in the packages of $rel"
	[ "$K_ARCH" != arm64 ] || cp "$tmp/tree/vmlinuz" "$tmp/tree/vmlinux"
	[ "$K_ARCH" = arm64 ] || vmlinux "$tmp/tree/vmlinuz" > "$tmp/tree/vmlinux" || die "cannot unpack the kernel of $rel"
	depmod -b "$tmp/tree" "$rel" 2>/dev/null || die "depmod failed for $rel"
	[ -s "$tmp/tree/usr/lib/modules/$rel/modules.dep.bin" ] || die "depmod failed for $rel"
	touch "$tmp/tree/complete"
	rm -rf "${CACHE:?}/kernels/$rel"
	mv "$tmp/tree" "$CACHE/kernels/$rel"
	ln -sfn "$rel" "$CACHE/kernels/$K_NAME"
}

# tools_get: creates the environment that builds modules for K_* if needed; sets TOOLS to
# its root, or to the empty string for the host itself
tools_get() {
	local host
	# shellcheck disable=SC1091
	host=$(. /etc/os-release; echo "${VERSION_CODENAME:-}")
	TOOLS=
	if [ "$K_ARCH" != amd64 ]; then
		cross_get "$K_TOOLS"
		return
	fi
	if [ "$host" = "$K_TOOLS" ] && command -v "x86_64-linux-gnu-$K_CC" >/dev/null; then
		return 0
	fi
	TOOLS=$CACHE/tools/$K_TOOLS
	[ ! -e "$TOOLS/complete" ] || return 0
	[ "$(id -u)" = 0 ] || die "the build environment for $K_NAME ($K_TOOLS) can only be made by root"
	need debootstrap flock
	cache_lock
	[ -e "$TOOLS/complete" ] || fetching tools tools_fetch
	cache_unlock
}

tools_fetch() {
	local tmp=$1 proxy
	debian_mirrors
	say STRAP "$K_TOOLS"
	# debootstrap does not use apt's settings.
	proxy=$(apt-config dump --format '%v' Acquire::http::Proxy)
	if ! http_proxy=${proxy:-${http_proxy:-}} debootstrap --variant=minbase --arch=amd64 \
		--keyring="$KEYRING" --include="$K_CC,make,libc6-dev,binutils,libelf-dev,libssl-dev,kmod,pahole,sparse,flex,bison,bc,perl" \
		"$K_TOOLS" "$tmp/root" "$MIRROR" > "$tmp/log" 2>&1; then
		tail -n 20 "$tmp/log" >&2
		die "debootstrap of $K_TOOLS into $CACHE failed"
	fi
	rm -rf "$tmp"/root/var/cache/apt/archives/*.deb "$tmp"/root/var/lib/apt/lists/*
	touch "$tmp/root/complete"
	mv "$tmp/root" "$TOOLS"
}

# in_tools RW RO COMMAND...: runs COMMAND with the programs of the build environment. The
# directories RW (writable) and RO (read-only) have the same paths as here; objtool needs
# /proc. The mounts are in a private name space and end with it. Below a chroot, whose
# root is not a mount point, they may be visible outside, so they are unmounted as well.
in_tools() {
	local rw=$1 ro=$2 propagation=private
	shift 2
	if [ -z "$TOOLS" ]; then
		"$@"
		return
	fi
	[ "$(id -u)" = 0 ] || die "a build for $K_NAME needs root on this host"
	mkdir -p "$TOOLS$rw" "$TOOLS$ro"
	unshare --mount --propagation private true 2>/dev/null || propagation=unchanged
	# shellcheck disable=SC2016 # for the inner shell
	unshare --mount --propagation "$propagation" sh -ec '
		tools=$1 rw=$2 ro=$3
		shift 3
		trap "umount -l \"\$tools/proc\" \"\$tools\$rw\" \"\$tools\$ro\" 2>/dev/null || :" EXIT
		trap "exit 130" INT
		trap "exit 143" TERM HUP
		mount -t proc proc "$tools/proc"
		mount --bind "$rw" "$tools$rw"
		mount --bind -o ro "$ro" "$tools$ro"
		chroot "$tools" "$@"
	' sh "$TOOLS" "$rw" "$ro" "$@"
}

# system_packages: what a system has beside a minimal Debian. PostgreSQL, dkms and the
# headers are what the packages of this tree depend on; the others build these packages.
system_packages() {
	echo systemd-sysv udev kmod procps linux-image-amd64 linux-headers-amd64
	echo dkms postgresql build-essential fakeroot lintian
	echo postgresql-server-dev-all
	"$TREE/packaging/deb" build-depends
}

# system_get SUITE: puts the system into the cache if needed; sets K_* as kernel_get does,
# and SYSTEM to the root. A system is made again if the list of its packages has changed.
system_get() {
	K_NAME=$1 K_SUITE=$1 K_TOOLS=$1 K_CC='' K_CONFIG='' K_ARCH=amd64
	K_DIR=$CACHE/systems/$K_SUITE
	if ! system_there; then
		[ "$(id -u)" = 0 ] || die "the system $K_SUITE can only be made by root"
		need debootstrap flock mkfs.ext4
		cache_lock
		system_there || fetching systems system_fetch
		cache_unlock
	fi
	SYSTEM=$K_DIR/root
	K_REL=$(readlink "$K_DIR/release")
}

system_there() {
	[ -e "$K_DIR/complete" ] && system_packages | cmp -s - "$K_DIR/complete"
}

# debian SUITE ROOT LOG PACKAGE...: makes a Debian with these packages in ROOT, some of
# which may be of the architecture $FOREIGN
debian() {
	local suite=$1 root=$2 log=$3 proxy script=()
	shift 3
	# a release that is younger than this debootstrap is made like all recent ones
	[ -e "/usr/share/debootstrap/scripts/$suite" ] || script=(/usr/share/debootstrap/scripts/sid)
	debian_mirrors
	say STRAP "$suite"
	proxy=$(apt-config dump --format '%v' Acquire::http::Proxy)
	proxy=${proxy:-${http_proxy:-}}
	if ! http_proxy=$proxy debootstrap --variant=minbase --arch=amd64 \
		--keyring="$KEYRING" "$suite" "$root" "$MIRROR" "${script[@]}" > "$log" 2>&1; then
		tail -n 20 "$log" >&2
		die "debootstrap of $suite into $CACHE failed"
	fi
	{
		echo "deb $MIRROR $suite main"
		case $suite in
		sid) ;;
		*) [ -z "$SECURITY" ] || echo "deb $SECURITY $suite-security main" ;;
		esac
	} > "$root/etc/apt/sources.list"
	# that of apt here: whether an archive may be a copy of an older state
	apt-config dump | grep -E '^Acquire::Check-(Valid-Until|Date) ' > "$root/etc/apt/apt.conf.d/99host" || :
	# No service starts while packages are installed.
	printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
	chmod +x "$root/usr/sbin/policy-rc.d"
	say APT "$suite"
	# shellcheck disable=SC2016 # for the inner shell
	if ! http_proxy=$proxy in_system "$root" sh -ec '
		export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
		foreign=$1
		shift
		[ -z "$foreign" ] || dpkg --add-architecture "$foreign"
		apt-get -q -o Acquire::Retries=3 update
		apt-get -q -o Acquire::Retries=3 -y --no-install-recommends install "$@"
		apt-get clean
	' sh "${FOREIGN:-}" "$@" > "$log" 2>&1 < /dev/null; then
		tail -n 20 "$log" >&2
		die "cannot install the packages of a Debian $suite"
	fi
	# Machines have no network.
	rm -rf "$root"/var/lib/apt/lists/* "$root/usr/sbin/policy-rc.d" "$log"
	: > "$root/etc/apt/sources.list"
}

system_fetch() {
	local tmp=$1 root=$1/root rel packages
	mapfile -t packages < <(system_packages | tr ' ' '\n')
	debian "$K_SUITE" "$root" "$tmp/log" "${packages[@]}"
	# It boots with the initramfs of vm/run.
	rm -rf "$root"/boot/initrd.img*
	echo vdiset > "$root/etc/hostname"
	# Without it, the first boot would enable and disable units by their presets.
	echo "$K_SUITE" | md5sum | cut -c -32 > "$root/etc/machine-id"
	rel=$(find "$root/boot" -name 'vmlinuz-*' | sort -V | tail -n 1)
	rel=${rel##*/vmlinuz-}
	[ -n "$rel" ] || die "the system $K_SUITE has no kernel"
	vmlinux "$root/boot/vmlinuz-$rel" > "$tmp/vmlinux" || die "cannot unpack the kernel of $rel"
	rm -f "$root/boot/vmlinuz-$rel.part"
	# as in kernels/, for modprobe -d
	ln -s root/usr "$tmp/usr"
	ln -s root/usr/lib "$tmp/lib"
	ln -s "$rel" "$tmp/release"
	# Under emulation small files are faster on a disk than over 9p.
	truncate -s 8G "$tmp/disk"
	PATH=$PATH:/usr/sbin:/sbin mkfs.ext4 -q -m 0 -O ^has_journal -d "$root" "$tmp/disk" ||
		die "cannot make the disk of the system $K_SUITE"
	system_packages > "$tmp/complete"
	rm -rf --one-file-system "${CACHE:?}/systems/$K_SUITE"
	mv "$tmp" "$CACHE/systems/$K_SUITE"
}

# root_get SUITE: makes $CACHE/roots/SUITE if needed, a Debian that is entered with chroot
# (vm/root), with its databases and what postgres/ needs to be built; sets ROOT
root_packages() {
	echo gcc make libc6-dev pkgconf procps kmod e2fsprogs postgresql postgresql-server-dev-all
	echo libarchive-dev libxxhash-dev libjson-c-dev liburing-dev libzstd-dev liblz4-dev
	echo libkmod-dev libcurl4-openssl-dev libssl-dev
	echo mariadb-server mariadb-backup btrfs-progs
}

root_get() {
	K_SUITE=$1 ROOT=$CACHE/roots/$1/root
	! root_there || return 0
	[ "$(id -u)" = 0 ] || die "the root of $1 can only be made by root"
	need debootstrap flock
	cache_lock
	root_there || fetching roots root_fetch
	cache_unlock
}

root_there() {
	root_packages | cmp -s - "$CACHE/roots/$K_SUITE/complete"
}

root_fetch() {
	local tmp=$1 packages
	mapfile -t packages < <(root_packages | tr ' ' '\n')
	debian "$K_SUITE" "$tmp/root" "$tmp/log" "${packages[@]}"
	root_packages > "$tmp/complete"
	rm -rf --one-file-system "${CACHE:?}/roots/$K_SUITE"
	mv "$tmp" "$CACHE/roots/$K_SUITE"
}

# in_system ROOT COMMAND...: runs COMMAND in ROOT, with /proc, and with the directory of
# BIND at the same path if that is set. See in_tools about the mounts.
in_system() {
	local root=$1 propagation=private
	shift
	unshare --mount --propagation private true 2>/dev/null || propagation=unchanged
	# shellcheck disable=SC2016 # for the inner shell
	unshare --mount --propagation "$propagation" sh -ec '
		root=$1 bind=$2
		shift 2
		trap "umount -l \"\$root/proc\" 2>/dev/null || :; [ -z \"\$bind\" ] || umount -l \"\$root\$bind\" 2>/dev/null || :" EXIT
		trap "exit 130" INT
		trap "exit 143" TERM HUP
		mount -t proc proc "$root/proc"
		if [ -n "$bind" ]; then
			mkdir -p "$root$bind"
			mount --bind "$bind" "$root$bind"
		fi
		chroot "$root" "$@"
	' sh "$root" "${BIND:-}" "$@"
}
