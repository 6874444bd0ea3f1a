/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Included by sparse before each source file (vm/build-module --check): constructs in
 * headers of recent kernels that Debian's sparse 0.6.4 cannot parse.
 */

/* READ_ONCE() and others; keeping the qualifiers causes no further warnings. */
#define __typeof_unqual__ __typeof__

/* MODULE_INFO() asserts with a constant expression that its text contains no NUL. */
#define __builtin_strlen(s) (sizeof(s) - 1)
