# SPDX-License-Identifier: GPL-2.0

VERSION := $(shell cat VERSION)
PREFIX ?= /usr/local
KERNELS ?= 6.1 6.12:short 7.3
SYSTEMS ?= bookworm trixie
# VM=0 leaves the virtual machine out: demo and check use /dev/vdiset here
VM ?= 1
# s3: the demo has a second act, nightly backups into an object store
DEMO ?=
# 15 or 17: the demo uses this version of PostgreSQL, of the Debian release that has it
DEMO_POSTGRES ?=
suite-of-15 := bookworm
suite-of-17 := trixie
export PREFIX DESTDIR VM
# loads the module at boot
MODULES_LOAD = $(PREFIX)/lib/modules-load.d/vdiset.conf

# V=1 shows the commands.
Q := $(if $(filter 1,$(V)),,@)
MAKE_IN := $(Q)+$(MAKE) $(if $(filter 1,$(V)),,-s) --no-print-directory
# on all processors, unless make was called with -j
BUILD = $(MAKE_IN) $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

# in the order they need each other
PARTS := libvdi tools postgres mssql examples
TESTS := selftests

# postgres/ is left out where it cannot be built
PG_SUPPORTED := 15 17 18
PG_CONFIG ?= $(lastword $(wildcard $(PG_SUPPORTED:%=/usr/lib/postgresql/%/bin/pg_config)))
pg-headers = $(firstword $(PG_SUPPORTED:%=postgresql-server-dev-%)) (or -$(lastword $(PG_SUPPORTED)))
no-postgres = $(or \
	$(if $(PG_CONFIG),,none of PostgreSQL $(PG_SUPPORTED): apt-get install $(pg-headers)), \
	$(if $(wildcard $(shell $(PG_CONFIG) --includedir-server)/postgres.h),,no headers of its server: apt-get install $(pg-headers)), \
	$(if $(shell pkg-config --exists libarchive || echo n),no libarchive: apt-get install libarchive-dev))
export PG_CONFIG
# the kernel that modules are built and installed for
KVER ?= $(shell uname -r)

.PHONY: all help prerequisites deps $(PARTS) $(TESTS) modules modules_install load demo demo-s3 demo-of-another check check-quick check-debug
.PHONY: lint abi kernel-tree deb check-deb check-install check-kernel-tree check-databases check-kernels check-arm64
.PHONY: bench bench-gate bench-tables bench-postgres bench-stores bench-compress
.PHONY: install uninstall modules_uninstall dkms-install dkms-remove clean distclean

all: $(PARTS)

prerequisites:
	$(Q)packaging/prerequisites

help:
	@echo 'all              the library, the tools, the PostgreSQL target (the default)'
	@echo 'modules          vdiset.ko for the kernel $(KVER)'
	@echo 'deps             install what the build and the tests need (root)'
	@echo 'demo             a backup and a restore, in a virtual machine; DEMO=s3: then also'
	@echo '                 nightly backups into an object store; DEMO_POSTGRES=17: in a Debian'
	@echo '                 that has this version, with increments'
	@echo 'check            all tests, in a virtual machine for each of KERNELS=$(KERNELS);'
	@echo '                 what is about programs on the last only, FULL=1: on each;'
	@echo '                 :short means short tests of the module only'
	@echo 'check-quick      most of them for the last kernel, some minutes'
	@echo 'lint             checkpatch, shellcheck and others: selftests/lint'
	@echo 'deb              Debian packages, into build/deb'
	@echo 'check-deb        install, use, upgrade and remove them in SYSTEMS=$(SYSTEMS)'
	@echo 'check-install    build, install and remove them and the tree in fresh SYSTEMS=$(SYSTEMS)'
	@echo 'check-databases  what is about databases, with those of Debian 13'
	@echo 'check-kernels    build the module for all kernels of Debian, write docs/kernels.md'
	@echo 'check-kernel-tree'
	@echo '                 build kernels that have the driver, run its tests there'
	@echo 'check-arm64      build all for arm64, and run the tests of module and library there'
	@echo 'abi              compare the interfaces with the last release'
	@echo 'check-debug      faults, deaths, random calls and hostile peers, on debug kernels;'
	@echo '                 selftests/check-debug --help: DEBUG='\''PART...'\'', LONG=1'
	@echo 'bench            what a command costs, beside pipes, sockets and semaphores'
	@echo 'bench-gate       the same, against the limits in bench/limits: fails beyond them'
	@echo 'bench-tables     what finding a set costs beside many sets and calls of another user'
	@echo 'bench-postgres   CPU time of a PostgreSQL backup, beside pg_basebackup'
	@echo 'bench-stores     a backup into an object store, beside curl; on this machine'
	@echo 'bench-compress   a compressed backup, beside zstd; on this machine'
	@echo 'install          to PREFIX=$(PREFIX), below DESTDIR'
	@echo 'modules_install  vdiset.ko to /lib/modules/$(KVER); KVER=RELEASE for another kernel'
	@echo 'dkms-install     vdiset.ko through dkms, for this and every later kernel; KVER=RELEASE'
	@echo 'uninstall, modules_uninstall, dkms-remove'
	@echo '                 remove what these have installed'
	@echo 'kernel-tree      driver and tests into the Linux source tree TREE=DIR'
	@echo 'clean            remove what was built'
	@echo 'distclean        and everything else below build/'
	@echo
	@echo 'demo, check and bench run deps first; with VM=0 they use this kernel and its'
	@echo '/dev/vdiset.  BENCH="OPTION..." is handed to bench/run (bench/run --help).'
	@echo 'V=1 shows the commands.  vm/run --help tells how to run anything else.'

deps:
	$(Q)vm/deps check

# each needs those before it
tools postgres mssql examples: $(filter libvdi,$(PARTS))
postgres mssql: $(filter tools,$(PARTS))
$(PARTS): | prerequisites
$(filter-out postgres,$(PARTS)) $(TESTS):
	$(MAKE_IN) -C $@

postgres:
	$(if $(no-postgres),@echo "  SKIP    postgres: $(no-postgres)",$(MAKE_IN) -C $@)

modules:
	$(Q)vm/build-module --host $(KVER)

# by the kernel's own makefiles, which strip, sign and compress as that kernel does
modules_install: modules
	$(Q)command -v dkms > /dev/null && dkms status -m vdiset | grep -q . && \
		{ echo 'vdiset is installed with dkms: make dkms-remove first' >&2; exit 1; } || :
	$(Q)packaging/prerequisites "$(KVER)"
	$(Q)env -u MAKEFLAGS $(MAKE) -s -C /lib/modules/$(KVER)/build M=$(CURDIR)/build/module/host-$(KVER)/kernel \
		INSTALL_MOD_PATH=$(DESTDIR) INSTALL_MOD_DIR=updates INSTALL_MOD_STRIP=1 DEPMOD=true \
		$(if $(wildcard /lib/modules/$(KVER)/build/certs/signing_key.pem),,CONFIG_MODULE_SIG_ALL=) modules_install
	$(Q)install -D -m 644 packaging/modules-load.conf $(DESTDIR)$(MODULES_LOAD)
	$(Q)$(if $(DESTDIR),:,depmod -a $(KVER))

modules_uninstall:
	$(Q)rm -f $(DESTDIR)/lib/modules/$(KVER)/updates/vdiset.ko* $(DESTDIR)$(MODULES_LOAD)
	$(Q)$(if $(DESTDIR),:,depmod -a $(KVER))

# VM=0 without the module would test nothing
load: $(if $(wildcard /dev/vdiset),,modules)
	$(Q)test -e /dev/vdiset || insmod build/module/host-$(KVER)/kernel/vdiset.ko

# Sub-makes, so that deps has run before anything looks for what it installs.
demo: $(if $(DEMO),demo-$(DEMO)) $(if $(DEMO_POSTGRES),demo-of-another) deps
	$(BUILD) all $(if $(filter 0,$(VM)),load)
	$(if $(DEMO_POSTGRES),$(Q)vm/root $(suite-of-$(DEMO_POSTGRES)))
	$(Q)$(if $(filter 0,$(VM)),,vm/run $(if $(DEMO_POSTGRES),--kernel 7.3 )--timeout 3600 -- $(if \
		$(DEMO_POSTGRES),vm/root $(suite-of-$(DEMO_POSTGRES)) ))postgres/demo $(DEMO)

demo-of-another:
	$(Q)test "$(VM)" != 0 || { echo 'DEMO_POSTGRES needs the virtual machine, VM=1' >&2; exit 2; }
	$(Q)test -z "$(DEMO)" || { echo 'DEMO=$(DEMO) uses PostgreSQL of this host: leave DEMO_POSTGRES out' >&2; exit 2; }
	$(Q)test "$(suite-of-$(DEMO_POSTGRES))" || { echo 'DEMO_POSTGRES=$(DEMO_POSTGRES) is unknown: use 15 or 17' >&2; exit 2; }

demo-s3:
	$(Q)test "$(VM)" != 0 || { echo 'DEMO=s3 changes /usr and /etc: it needs the virtual machine, VM=1' >&2; exit 2; }

demo-%:
	$(Q)echo 'DEMO=$* is unknown: leave DEMO out, or use DEMO=s3' >&2; exit 2

check: deps
	$(BUILD) all $(if $(filter 0,$(VM)),load)
	$(BUILD) selftests
	$(if $(filter 0,$(VM)),,$(BUILD) -C bench)
	$(Q)selftests/check $(KERNELS)

check-quick: deps
	$(BUILD) all $(if $(filter 0,$(VM)),load)
	$(BUILD) selftests
	$(Q)selftests/check --quick $(lastword $(KERNELS))

lint: deps
	$(Q)selftests/lint

abi: deps
	$(Q)selftests/abi

deb:
	$(Q)packaging/deb build

check-deb: deps
	$(Q)selftests/deb $(SYSTEMS)

check-install: deps
	$(Q)selftests/install $(SYSTEMS)

check-databases: deps
	$(BUILD) all
	$(BUILD) selftests
	$(Q)selftests/databases

check-kernels: deps
	$(Q)selftests/kernels

check-kernel-tree: deps
	$(Q)selftests/kernel-tree --boot $(shell awk '$$6 == "tree" { print $$1 }' vm/kernels)

check-arm64: deps
	$(Q)vm/deps arm64
	$(Q)selftests/arm64

check-debug: deps
	$(BUILD) all
	$(BUILD) selftests
	$(Q)selftests/check-debug $(DEBUG)

# bench/ is a directory, too
bench: deps
	$(Q)vm/deps bench
	$(BUILD) libvdi $(if $(filter 0,$(VM)),load)
	$(BUILD) -C bench
	$(Q)bench/run $(BENCH)

bench-gate: deps
	$(BUILD) all
	$(BUILD) selftests
	$(BUILD) -C bench
	$(Q)bench/run --gate $(BENCH)

bench-tables: deps
	$(BUILD) libvdi $(if $(filter 0,$(VM)),load)
	$(BUILD) -C bench
	$(Q)bench/run --tables $(BENCH)

bench-postgres: deps
	$(BUILD) all $(if $(filter 0,$(VM)),load)
	$(Q)bench/postgres

bench-stores: deps
	$(BUILD) all
	$(BUILD) selftests
	$(Q)bench/stores

bench-compress: deps
	$(MAKE_IN) all selftests
	$(Q)bench/compress

install: all
	$(Q)for part in $(if $(no-postgres),$(filter-out postgres,$(PARTS)),$(PARTS)); do \
		$(MAKE) $(if $(filter 1,$(V)),,-s) --no-print-directory -C $$part install || exit; \
	done
	$(Q)install -D -m 644 include/uapi/linux/vdiset.h $(DESTDIR)$(PREFIX)/include/linux/vdiset.h
	$(Q)$(if $(DESTDIR),:,ldconfig)

# what install installs, wherever it has put it, and the directories that are only its own
uninstall:
	$(Q)rm -rf build/uninstall
	$(Q)$(MAKE) -s --no-print-directory install DESTDIR=$(CURDIR)/build/uninstall
	$(Q)cd build/uninstall && find . ! -type d | while read -r f; do rm -f "$(DESTDIR)/$$f"; done
	$(Q)cd build/uninstall && find . -depth -type d -path '*/vdi*' | while read -r d; do \
		! [ -d "$(DESTDIR)/$$d" ] || rmdir --ignore-fail-on-non-empty "$(DESTDIR)/$$d"; done
	$(Q)rm -rf build/uninstall
	$(Q)$(if $(DESTDIR),:,ldconfig)

dkms-install:
	$(Q)$(if $(DESTDIR),packaging/dkms source $(DESTDIR)/usr/src/vdiset-$(VERSION),KVER=$(KVER) packaging/dkms install)
	$(Q)install -D -m 644 packaging/modules-load.conf $(DESTDIR)$(MODULES_LOAD)

dkms-remove:
	$(Q)packaging/dkms remove
	$(Q)rm -f $(MODULES_LOAD)

kernel-tree:
	$(Q)$(if $(TREE),,echo 'kernel-tree needs TREE=DIR, a Linux source tree' >&2; exit 2;) \
		packaging/kernel-tree "$(TREE)"

clean:
	$(Q)for part in $(PARTS) $(TESTS); do \
		$(MAKE) -s --no-print-directory -C $$part clean || exit; \
	done
	$(Q)rm -rf build/module build/selftests build/check build/bench build/model

distclean: clean
	$(Q)rm -rf build
