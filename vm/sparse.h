/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Read by sparse before each source file (vm/build-module --check): what the
 * headers of recent kernels use and sparse 0.6.4, Debian's, cannot parse.
 */

/* READ_ONCE() and others; qualifiers kept give no new warnings. */
#define __typeof_unqual__ __typeof__

/* MODULE_INFO() asserts that its text has no NUL inside, as a constant. */
#define __builtin_strlen(s) (sizeof(s) - 1)
