# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Builds a kernel from Debian's linux-source instead of fetching it. Called by kernel_get
# (vm/lib.sh) for the lines of vm/kernels with a config.

# newest_source: the source package of the suite's newest kernel
newest_source() {
	apt-cache "${APT_OPTS[@]}" depends --no-recommends linux-source |
		sed -n 's/^ *Depends: \(linux-source-[0-9.]*\)$/\1/p' | head -n 1
}

# Keeps the files that are needed to build a module, in the directory of the headers.
prune_source() {
	local src=$1 d
	for d in "$src"/*; do
		case ${d##*/} in
		Kbuild|Kconfig|Makefile|Module.symvers|System.map|include|scripts) ;;
		arch) find "$d" -mindepth 1 -maxdepth 1 ! -name x86 ! -name Kconfig -exec rm -rf {} + ;;
		tools) find "$d" -mindepth 1 -maxdepth 1 ! -name objtool -exec rm -rf {} + ;;
		*) rm -rf "$d" ;;
		esac
	done
	find "$src" \( -name '*.o' -o -name '*.a' -o -name '*.cmd' \) ! -path '*/scripts/*' -delete
}

# Most of the source is for other architectures and devices. It is not unpacked; the
# Kconfig files and makefiles are, and these options are disabled.
unneeded=(
	'*/Documentation/*' '*/arch/[!x]*/*.[chS]' '*/arch/*/boot/dts/*' '*/sound/*.[ch]'
	'*/tools/testing/*.[ch]' '*/tools/perf/*.json'
	'*/drivers/gpu/*.[ch]' '*/drivers/media/*.[ch]' '*/drivers/staging/*.[ch]'
	'*/drivers/scsi/*.[ch]' '*/drivers/infiniband/*.[ch]' '*/drivers/iio/*.[ch]'
	'*/drivers/net/ethernet/*.[ch]' '*/drivers/net/wireless/*.[ch]'
	'*/drivers/usb/*.[ch]' '*/drivers/pinctrl/*.[ch]' '*/drivers/clk/*.[ch]'
	'*/drivers/mfd/*.[ch]' '*/drivers/hid/*.[ch]' '*/drivers/power/*.[ch]'
)

# make_kernel SOURCE CONFIG: builds with the programs of the environment. An option that
# does not exist, or whose dependencies are missing, would be dropped silently: check it.
make_kernel() {
	# shellcheck disable=SC2016 # for the inner shell
	in_tools "${1%/*}" "$VM" sh -ec '
		cd "$1"
		unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
		make -s "CC=$3" "HOSTCC=$3" "KCONFIG_ALLCONFIG=$2" allnoconfig
		grep -o "^CONFIG_[A-Z0-9_]*=[^n].*" "$2" | sort -u > wanted
		grep -vxFf .config wanted && { echo "are missing in the configuration"; exit 1; }
		rm wanted
		exec make -s "CC=$3" "HOSTCC=$3" "LOCALVERSION=-$4" "-j$5" bzImage modules
	' sh "$1" "$2" "x86_64-linux-gnu-$K_CC" "$K_NAME" "$(nproc)"
}

# tree_sum: stands for all that packaging/kernel-tree puts into a tree
tree_sum() {
	(cd "$TREE" && cat kernel/*.[ch] kernel/Kbuild include/uapi/linux/vdiset.h packaging/kernel-tree packaging/tree/* \
		selftests/kselftest/*) | sha256sum
}

# make_driver SOURCE CONFIG: compiles the driver with W=1 as a module and as a part of the
# kernel, with clang and with gcc, before the kernel. A warning is an error.
make_driver() {
	# shellcheck disable=SC2016 # for the inner shell
	in_tools "${1%/*}" "$VM" sh -ec '
		cd "$1"
		unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
		for compiler in LLVM=1 "CC=$3 HOSTCC=$3"; do
			make -s $compiler "KCONFIG_ALLCONFIG=$2" allnoconfig
			for how in module enable; do
				scripts/config "--$how" VDISET
				make -s $compiler olddefconfig
				make -s $compiler "-j$4" W=1 KCFLAGS=-Werror drivers/misc/vdiset/
				ls drivers/misc/vdiset/main.o
				rm drivers/misc/vdiset/*.o
			done
		done
		make -s mrproper
	' sh "$1" "$2" "x86_64-linux-gnu-$K_CC" "$(nproc)"
}

# tree_tests SOURCE TO: the tests, as "make kselftest-install" makes them, for the programs
# of this host; and the program that checks their output
tree_tests() {
	# shellcheck disable=SC2016
	in_tools "${1%/*}" "$VM" sh -ec 'cd "$1" && unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES && make -s "HOSTCC=$2" headers' \
		sh "$1" "x86_64-linux-gnu-$K_CC" &&
		env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s -C "$1/tools/testing/selftests" TARGETS=vdiset INSTALL_PATH="$2/kselftest" install &&
		mkdir -p "$2/tools/testing" && cp -r "$1/tools/testing/kunit" "$2/tools/testing"
}

kernel_build() {
	local tmp=$1 package src rel
	mkdir -p "$tmp/debs" "$tmp/tree/usr/lib/modules" "$tmp/tree/usr/src"
	private_apt "$tmp/apt" "$K_SUITE"
	package=$(newest_source)
	[ -n "$package" ] || die "$K_SUITE has no linux-source"
	say FETCH "$package"
	(cd "$tmp/debs" && apt-get "${APT_OPTS[@]}" -qq download "$package" >&2) ||
		die "cannot fetch $package into $CACHE"
	say UNPACK "$package"
	[ "$K_CONFIG" != tree ] || unneeded=('*/sound/*.[ch]' '*/drivers/gpu/*.[ch]' '*/drivers/net/*/*.[ch]' '*/tools/perf/*')
	dpkg-deb --fsys-tarfile "$tmp"/debs/*.deb | tar -xO "./usr/src/$package.tar.xz" |
		tar -xJ --no-same-owner "${unneeded[@]/#/--exclude=}" -C "$tmp" ||
		die "cannot unpack $package into $CACHE"
	rm -rf "$tmp/debs"
	src=$tmp/$package
	# referenced by Kconfig
	mkdir -p "$src/Documentation"
	[ -e "$src/Documentation/Kconfig" ] || : > "$src/Documentation/Kconfig"
	cat "$VM/config/common" "$VM/config/$K_CONFIG" > "$tmp/config"
	# recent kernels have one option for both
	grep -q '^config PROC_SYSCTL' "$src/fs/proc/Kconfig" ||
		sed -i 's/^CONFIG_PROC_SYSCTL=/CONFIG_SYSCTL=/' "$tmp/config"

	say BUILD "$package, $K_NAME (some minutes)"
	if [ "$K_CONFIG" = tree ]; then
		{ "$TREE/packaging/kernel-tree" "$src" && make_driver "$src" "$tmp/config"; } > "$tmp/log" 2>&1 < /dev/null || {
			tail -n 20 "$tmp/log" >&2
			die "the driver does not build in $package"
		}
	fi
	make_kernel "$src" "$tmp/config" > "$tmp/log" 2>&1 < /dev/null || {
		tail -n 20 "$tmp/log" >&2
		die "$package does not build as $K_NAME"
	}
	rel=$(cat "$src/include/config/kernel.release")
	if [ "$K_CONFIG" = tree ]; then
		tree_tests "$src" "$tmp/tree" > "$tmp/log" 2>&1 < /dev/null || {
			tail -n 20 "$tmp/log" >&2
			die "the tests of the driver cannot be installed from $package"
		}
		tree_sum > "$tmp/tree/tree_sum"
	fi
	# the entry point that QEMU uses for a plain vmlinux does not work with KASAN
	mv "$src/arch/x86/boot/bzImage" "$tmp/tree/vmlinux"
	prune_source "$src"
	mv "$src" "$tmp/tree/usr/src/linux-headers-$rel"
	mkdir -p "$tmp/tree/usr/lib/modules/$rel"
	ln -s usr/lib "$tmp/tree/lib"
	cat "$VM/config/common" "$VM/config/$K_CONFIG" > "$tmp/tree/config"
	touch "$tmp/tree/complete"
	rm -rf "${CACHE:?}/kernels/$rel"
	mv "$tmp/tree" "$CACHE/kernels/$rel"
	ln -sfn "$rel" "$CACHE/kernels/$K_NAME"
}
