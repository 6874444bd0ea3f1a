/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* compiler.h - attributes and hints for the compiler */
#ifndef VDI_COMPILER_H
#define VDI_COMPILER_H

/* The few places that run for each command; code that nearly never runs. */
#define VDI_ALWAYS_INLINE	inline __attribute__((always_inline))
#define VDI_COLD		__attribute__((noinline, cold))
/* A loop over commands: not inlined, so that it gets all registers. */
#define VDI_LOOP		__attribute__((noinline))
/* Keep a value in a register instead of computing it anew for each use. */
#define VDI_KEEP(x)		__asm__("" : "+r"(x))
#define vdi_likely(x)		__builtin_expect(!!(x), 1)
#define vdi_unlikely(x)		__builtin_expect(!!(x), 0)

#endif /* VDI_COMPILER_H */
