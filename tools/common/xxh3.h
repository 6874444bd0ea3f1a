/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * xxh3.h - XXH3, with the vector instructions that the processor supports
 *
 * xxhash.h alone uses only the instructions of the baseline architecture. The
 * checksums are the same.
 */
#ifndef VDI_XXH3_H
#define VDI_XXH3_H

#include <xxhash.h>
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>
#endif

#endif /* VDI_XXH3_H */
