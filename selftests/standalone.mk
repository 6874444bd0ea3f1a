# SPDX-License-Identifier: GPL-2.0
#
# Replaces lib.mk outside a kernel tree: builds the programs of a directory into
# $(OUTPUT), with the kernel's harness. Targets: all, clean, and the programs.

ROOT := $(abspath $(dir $(lastword $(MAKEFILE_LIST)))..)
OUTPUT ?= $(ROOT)/build/selftests
HARNESS := $(ROOT)/build/kselftest
KSRC_TAR ?= $(firstword $(wildcard /usr/src/linux-source-*.tar.xz))

CFLAGS += -I$(ROOT)/include/uapi -isystem $(HARNESS)
LOCAL_HDRS += $(ROOT)/include/uapi/linux/vdiset.h $(HARNESS)/kselftest_harness.h

PROGRAMS := $(addprefix $(OUTPUT)/,$(TEST_GEN_PROGS) $(TEST_PROGS))

.PHONY: all clean
all: $(PROGRAMS)

clean:
	rm -rf $(OUTPUT)

$(HARNESS)/kselftest_harness.h:
	@mkdir -p $(@D)
	tar -xJf $(KSRC_TAR) -C $(@D) --strip-components=4 --wildcards \
		'*/tools/testing/selftests/kselftest_harness.h' \
		'*/tools/testing/selftests/kselftest.h'
	touch $(@D)/kselftest.h $@

$(OUTPUT)/%: %.c $(LOCAL_HDRS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.c %.o,$^) $(LDLIBS)

$(OUTPUT)/%.sh: %.sh
	@mkdir -p $(@D)
	install -m 755 $< $@
