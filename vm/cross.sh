# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# shellcheck disable=SC2034 # used by scripts that source this
#
# What vm/lib.sh, which sources this, has for other architectures, and for kernels that are
# not booted:
#
# $VDISET_CACHE/tools/SUITE-cross/    build environment with their compilers
# $VDISET_CACHE/systems/arm64/        the programs of a machine of arm64: unpacked packages,
#                                     which are not configured
# $VDISET_CACHE/headers/SUITE/        unpacked headers, of amd64 and arm64; "complete" lists
#                                     the releases

# The release whose libraries the programs of this tree are linked with
CROSS_LIBRARIES=bookworm

# cross_packages SUITE: gcc as the kernels of the release were built with, and its clang.
# In one release also the libraries for programs of arm64, and the compiler for i386.
cross_packages() {
	local cc
	case $1 in
	bookworm) cc=gcc-12 ;;
	trixie) cc=gcc-14 ;;
	forky) cc=gcc-16 ;;
	*) die "no compiler is known for $1: see vm/cross.sh" ;;
	esac
	echo "$cc" "$cc-aarch64-linux-gnu" clang lld llvm make libc6-dev binutils
	echo libelf-dev libssl-dev kmod perl flex bison bc python3
	[ "$1" = "$CROSS_LIBRARIES" ] || return 0
	echo pkg-config gcc g++ gcc-aarch64-linux-gnu g++-aarch64-linux-gnu gcc-i686-linux-gnu
	printf '%s:arm64\n' libc6-dev libkmod-dev libxxhash-dev libjson-c-dev liburing-dev \
		libarchive-dev libcmocka-dev libcurl4-openssl-dev libssl-dev libzstd-dev liblz4-dev
}

# cross_get SUITE: creates the environment if needed; sets TOOLS to its root. It is made
# again if the list of its packages has changed.
cross_get() {
	K_TOOLS=$1
	TOOLS=$CACHE/tools/$1-cross
	! cross_there || return 0
	[ "$(id -u)" = 0 ] || die "the build environment $1-cross can only be made by root"
	need debootstrap flock
	cache_lock
	cross_there || fetching tools cross_fetch
	cache_unlock
}

cross_there() {
	[ -e "$TOOLS/complete" ] && cross_packages "$K_TOOLS" | cmp -s - "$TOOLS/complete"
}

cross_fetch() {
	local tmp=$1 root=$1/root packages
	mapfile -t packages < <(cross_packages "$K_TOOLS" | tr ' ' '\n')
	FOREIGN=arm64 debian "$K_TOOLS" "$root" "$tmp/log" "${packages[@]}"
	cross_packages "$K_TOOLS" > "$root/complete"
	rm -rf --one-file-system "$TOOLS"
	mv "$root" "$TOOLS"
}

guest_packages() {
	echo kmod procps busybox-static libkmod2 liburing2 libjson-c5 libxxhash0 libarchive13 libcmocka0
	echo libcurl4 libssl3 libzstd1 liblz4-1 zstd lz4
	echo libasan8 libubsan1
}

# guest_get: puts the programs for a machine of arm64 into the cache; sets GUEST
guest_get() {
	GUEST=$CACHE/systems/arm64
	if ! guest_there; then
		[ "$(id -u)" = 0 ] || die "the system of arm64 can only be made by root"
		need debootstrap flock dpkg-deb
		cache_lock
		guest_there || fetching systems guest_fetch
		cache_unlock
	fi
}

guest_there() {
	[ -e "$GUEST/complete" ] && guest_packages | cmp -s - "$GUEST/complete"
}

guest_fetch() {
	local tmp=$1 root=$1/root proxy packages deb f
	debian_mirrors
	say STRAP arm64
	proxy=$(apt-config dump --format '%v' Acquire::http::Proxy)
	packages=$(guest_packages | tr '\n ' ',,')
	if ! http_proxy=${proxy:-${http_proxy:-}} debootstrap --foreign --variant=minbase --arch=arm64 \
		--keyring="$KEYRING" --include="${packages%,}" "$CROSS_LIBRARIES" "$root" "$MIRROR" > "$tmp/log" 2>&1; then
		tail -n 20 "$tmp/log" >&2
		die "debootstrap of arm64 into $CACHE failed"
	fi
	# Their programs do not run here, so what installs them cannot.
	for deb in "$root"/var/cache/apt/archives/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$root" ||
			die "cannot unpack ${deb##*/} into $CACHE"
	done
	rm -rf "$root"/var/cache/apt/archives/*.deb "$root/debootstrap"
	# In a container debootstrap has made links of these.
	rm -rf --one-file-system "$root"/{proc,sys}
	mkdir "$root"/{proc,sys}
	for f in passwd group; do
		cp "$root/usr/share/base-passwd/$f.master" "$root/etc/$f"
	done
	ln -sf mawk "$root/usr/bin/awk"
	guest_packages > "$root/complete"
	rm -rf --one-file-system "$GUEST"
	mv "$root" "$GUEST"
}

# The series of kernels that Debian has: version, suite, and the release with the compiler
# and the libraries that their headers need
SERIES='
6.1	bookworm		bookworm
6.12	bookworm-backports	bookworm
6.12	bookworm		bookworm
6.12	trixie			trixie
7.2	trixie-backports	trixie
7.3	trixie-backports	trixie
7.2	forky			forky
7.2	sid			forky
7.3	experimental		forky
'

# series SUITE: its versions
series() {
	awk -v suite="$1" '$2 == suite { print $1 }' <<< "$SERIES"
}

# series_tools SUITE RELEASE: the release whose environment builds for it
series_tools() {
	awk -v suite="$1" -v release="$2" '$2 == suite && release ~ ("^" $1 "[.-]") { print $3 }' <<< "$SERIES"
}

# clang_variables: what differs in the configuration of a kernel that was built with gcc, if
# its modules are built with clang. Options that only gcc has are left out, objtool does
# not run; such a module is not meant to be loaded.
clang_variables() {
	local version
	version=$(in_tools "$TREE" "$VM" clang -dumpversion | awk -F. '{ print $1 * 10000 + $2 * 100 + $3 }')
	printf '%s\n' LLVM=1 CC=clang "CONFIG_CLANG_VERSION=$version" CONFIG_CC_IS_CLANG=y \
		CONFIG_CC_IS_GCC= CONFIG_GCC_VERSION=0 CONFIG_FTRACE_MCOUNT_USE_CC= \
		CONFIG_CC_IMPLICIT_FALLTHROUGH=-Wimplicit-fallthrough CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT= \
		CONFIG_RETHUNK= CONFIG_MITIGATION_RETHUNK= CONFIG_SLS= CONFIG_MITIGATION_SLS= \
		CONFIG_UBSAN_BOUNDS_STRICT= CONFIG_UBSAN_ARRAY_BOUNDS=y objtool=true
	# an option that clang 16 has removed
	[ "$version" -ge 160000 ] || echo CONFIG_CC_HAS_AUTO_VAR_INIT_ZERO_ENABLER=y
}

# headers_list SUITE: the newest release of each flavour and version, and the oldest one
# of the plain flavour. After private_apt.
headers_list() {
	local version arch all plain
	for version in $(series "$1"); do
		for arch in amd64 arm64; do
			all=$(apt-cache "${APT_OPTS[@]}" -o "APT::Architecture=$arch" pkgnames "linux-headers-$version" |
				sed 's/^linux-headers-//' |
				grep -E "^${version//./\\.}([.-][0-9.-]*[0-9])?(\+deb[0-9.]+)?-([a-z]+-)?$arch(-[0-9]+k)?\$" |
				grep -v "^$version-" | sort -V) || :
			# of a release candidate: no revision
			[ -n "$all" ] || all=$(apt-cache "${APT_OPTS[@]}" -o "APT::Architecture=$arch" pkgnames "linux-headers-$version-" |
				sed 's/^linux-headers-//' | grep -E "^$version-([a-z]+-)?$arch(-[0-9]+k)?\$" | sort -V) || :
			[ -n "$all" ] || die "$1 has no headers of kernel $version for $arch any more: see vm/cross.sh"
			plain=$(grep -E "[0-9]-$arch\$" <<< "$all" | head -n 1)
			{
				echo "$plain"
				# the last one of each flavour: what follows the number
				sed -E "s/^(.*[0-9])-(([a-z]+-)?$arch(-[0-9]+k)?)\$/\2 \1/" <<< "$all" |
					awk '{ last[$1] = $2 } END { for (f in last) print last[f] "-" f }'
			} | sort -uV
		done
	done
}

# headers_get SUITE: fetches the headers unless the cache has these releases; sets HEADERS
headers_get() {
	HEADERS=$CACHE/headers/$1
	need apt-get dpkg-deb flock
	cache_lock
	K_SUITE=$1
	fetching headers headers_fetch
	cache_unlock
}

headers_fetch() {
	local tmp=$1 rel arch
	private_apt "$tmp/apt" "$K_SUITE" arm64
	headers_list "$K_SUITE" > "$tmp/list"
	! cmp -s "$tmp/list" "$HEADERS/complete" || return 0
	mkdir -p "$tmp/debs" "$tmp/tree/usr/lib"
	say FETCH "headers of $K_SUITE"
	# The programs that the build runs (linux-kbuild) are those for this architecture.
	while read -r rel; do
		arch=$(headers_arch "$rel")
		echo "linux-headers-$rel:$arch"
		apt-cache "${APT_OPTS[@]}" depends "linux-headers-$rel:$arch" |
			sed -nE 's/^[ |]*Depends: <?(linux-(headers|kbuild)-[^:>]*).*/\1/p'
	done < "$tmp/list" | sort -u > "$tmp/packages"
	(cd "$tmp/debs" && xargs apt-get "${APT_OPTS[@]}" -qq download < "$tmp/packages" >&2) ||
		die "cannot fetch the headers of $K_SUITE into $CACHE"
	unpack_debs "$tmp"
	mv "$tmp/list" "$tmp/tree/complete"
	rm -rf --one-file-system "$HEADERS"
	mv "$tmp/tree" "$HEADERS"
}

# headers_arch RELEASE: its architecture
headers_arch() {
	case $1 in
	*-arm64*) echo arm64 ;;
	*) echo amd64 ;;
	esac
}
