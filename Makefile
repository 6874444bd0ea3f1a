# SPDX-License-Identifier: GPL-2.0

VERSION := $(shell cat VERSION)
PREFIX ?= /usr/local
KERNELS ?= 6.1 7.3
# VM=0 leaves the virtual machine out: demo and check use /dev/vdiset here
VM ?= 1
export PREFIX DESTDIR VM

# V=1 shows the commands.
Q := $(if $(filter 1,$(V)),,@)
MAKE_IN := $(Q)+$(MAKE) $(if $(filter 1,$(V)),,-s) --no-print-directory

# in the order they need each other
PARTS := $(patsubst %/Makefile,%,$(wildcard libvdi/Makefile tools/Makefile postgres/Makefile examples/Makefile))
TESTS := $(patsubst %/Makefile,%,$(wildcard selftests/Makefile))
RELEASE := $(shell uname -r)

.PHONY: all help deps $(PARTS) $(TESTS) modules modules_install load demo check check-quick check-debug
.PHONY: lint abi
.PHONY: bench bench-gate bench-tables bench-postgres
.PHONY: install dkms-install clean distclean

all: $(PARTS)

help:
	@echo 'all              the library, the tools, the PostgreSQL target (the default)'
	@echo 'modules          vdiset.ko for the running kernel, $(RELEASE)'
	@echo 'deps             install what the build and the tests need (root)'
	@echo 'demo             a backup and a restore, in a virtual machine'
	@echo 'check            all tests, in a virtual machine for each of KERNELS=$(KERNELS);'
	@echo '                 what is about programs on the last only, FULL=1: on each'
	@echo 'check-quick      most of them for the last kernel, some minutes'
	@echo 'lint             checkpatch, shellcheck and others: selftests/lint'
	@echo 'abi              compare the interfaces with the last release'
	@echo 'check-debug      faults, deaths, random calls and hostile peers, on debug kernels;'
	@echo '                 selftests/check-debug --help: DEBUG='\''PART...'\'', LONG=1'
	@echo 'bench            what a command costs, beside pipes, sockets and semaphores'
	@echo 'bench-gate       the same, against the limits in bench/limits: fails beyond them'
	@echo 'bench-tables     what finding a set costs beside many sets and calls of another user'
	@echo 'bench-postgres   CPU time of a PostgreSQL backup, beside pg_basebackup'
	@echo 'install          to PREFIX=$(PREFIX), below DESTDIR'
	@echo 'modules_install  vdiset.ko to /lib/modules/$(RELEASE)'
	@echo 'dkms-install     vdiset.ko through dkms, for every kernel to come'
	@echo 'clean            remove what was built'
	@echo 'distclean        and everything else below build/'
	@echo
	@echo 'demo, check and bench run deps first; with VM=0 they use this kernel and its'
	@echo '/dev/vdiset.  BENCH="OPTION..." is handed to bench/run (bench/run --help).'
	@echo 'V=1 shows the commands.  vm/run --help tells how to run anything else.'

deps:
	$(Q)vm/deps check

# each needs those before it
tools postgres examples: $(filter libvdi,$(PARTS))
postgres: $(filter tools,$(PARTS))
$(PARTS) $(TESTS):
	$(MAKE_IN) -C $@

modules:
	$(Q)vm/build-module --host

modules_install: modules
	$(Q)install -D -m 644 build/module/host/kernel/vdiset.ko \
		$(DESTDIR)/lib/modules/$(RELEASE)/updates/vdiset.ko
	$(Q)$(if $(DESTDIR),:,depmod -a $(RELEASE))

# VM=0 without the module would test nothing
load: $(if $(wildcard /dev/vdiset),,modules)
	$(Q)test -e /dev/vdiset || insmod build/module/host/kernel/vdiset.ko

# Sub-makes, so that deps has run before anything looks for what it installs.
demo: deps
	$(MAKE_IN) all $(if $(filter 0,$(VM)),load)
	$(Q)$(if $(filter 0,$(VM)),,vm/run -- )postgres/demo

check: deps
	$(MAKE_IN) all selftests $(if $(filter 0,$(VM)),load)
	$(Q)selftests/check $(KERNELS)

check-quick: deps
	$(MAKE_IN) all selftests $(if $(filter 0,$(VM)),load)
	$(Q)selftests/check --quick $(lastword $(KERNELS))

lint: deps
	$(Q)selftests/lint

abi: deps
	$(Q)selftests/abi

check-debug: deps
	$(MAKE_IN) all selftests
	$(Q)selftests/check-debug $(DEBUG)

# bench/ is a directory, too
bench: deps
	$(Q)vm/deps bench
	$(MAKE_IN) libvdi $(if $(filter 0,$(VM)),load)
	$(MAKE_IN) -C bench
	$(Q)bench/run $(BENCH)

bench-gate: deps
	$(MAKE_IN) libvdi
	$(MAKE_IN) -C bench
	$(Q)bench/run --gate $(BENCH)

bench-tables: deps
	$(MAKE_IN) libvdi $(if $(filter 0,$(VM)),load)
	$(MAKE_IN) -C bench
	$(Q)bench/run --tables $(BENCH)

bench-postgres: deps
	$(MAKE_IN) all $(if $(filter 0,$(VM)),load)
	$(Q)bench/postgres

install: all
	$(Q)for part in $(PARTS); do \
		$(MAKE) $(if $(filter 1,$(V)),,-s) --no-print-directory -C $$part install || exit; \
	done
	$(Q)install -D -m 644 include/uapi/linux/vdiset.h $(DESTDIR)$(PREFIX)/include/linux/vdiset.h

dkms-install: SRC = $(DESTDIR)/usr/src/vdiset-$(VERSION)
dkms-install:
	$(Q)command -v dkms > /dev/null || { echo 'dkms is missing: apt-get install dkms' >&2; exit 1; }
	$(Q)rm -rf $(SRC)
	$(Q)for f in dkms.conf $$(find kernel include/uapi -name '*.[ch]' ! -name '*.mod.c' -o -name Kbuild); do \
		install -D -m 644 $$f $(SRC)/$$f || exit; \
	done
	$(Q)$(if $(DESTDIR),:,dkms install --force vdiset/$(VERSION))

clean:
	$(Q)for part in $(PARTS) $(TESTS); do \
		$(MAKE) -s --no-print-directory -C $$part clean || exit; \
	done
	$(Q)rm -rf build/module build/selftests build/check build/bench build/model

distclean: clean
	$(Q)rm -rf build
