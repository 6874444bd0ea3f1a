/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* compiler.h - what the compiler is asked for */
#ifndef VDI_COMPILER_H
#define VDI_COMPILER_H

/* For what is done for each command, in few places; and for what is not. */
#define VDI_ALWAYS_INLINE	inline __attribute__((always_inline))
#define VDI_COLD		__attribute__((noinline, cold))
/* For a loop over commands that is to have the registers for itself. */
#define VDI_LOOP		__attribute__((noinline))
/* A value that is not to be computed anew for each use. */
#define VDI_KEEP(x)		__asm__("" : "+r"(x))
#define vdi_likely(x)		__builtin_expect(!!(x), 1)
#define vdi_unlikely(x)		__builtin_expect(!!(x), 0)

#endif /* VDI_COMPILER_H */
