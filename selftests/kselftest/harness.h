/* SPDX-License-Identifier: GPL-2.0 */
/*
 * harness.h - the kernel's harness, with a time-out that no busy host reaches
 *
 * Tests end with VD_HANG where they wait; the harness is the last resort.
 */
#ifndef VDISET_TEST_HARNESS_H
#define VDISET_TEST_HARNESS_H

#include "kselftest_harness.h"

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 600

#endif
