/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * xxh3.h - XXH3, with the widest instructions of the processor at hand
 *
 * xxhash.h alone means those that every processor of the architecture has. The
 * sums are the same.
 */
#ifndef VDI_XXH3_H
#define VDI_XXH3_H

#include <xxhash.h>
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>
#endif

#endif /* VDI_XXH3_H */
