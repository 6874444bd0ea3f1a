/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz.h - shared by the fuzz targets
 *
 * A target is libFuzzer's LLVMFuzzerTestOneInput(). Linked with replay.c it
 * runs its corpus without libFuzzer. After its end the input is zeros, so that
 * each prefix of an input is an input.
 */
#ifndef VDI_FUZZ_H
#define VDI_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_input {
	const uint8_t *at;
	size_t left;
};

#define fuzz_assert(condition)						\
	do {								\
		if (!(condition)) {					\
			fprintf(stderr, "%s:%d: %s\n", __FILE__,	\
				__LINE__, #condition);			\
			abort();					\
		}							\
	} while (0)

/* At most 8 bytes as a number. */
static inline uint64_t fuzz_take(struct fuzz_input *in, unsigned int bytes)
{
	uint64_t n = 0;
	unsigned int i;

	for (i = 0; i < bytes && in->left; i++, in->left--)
		n |= (uint64_t)*in->at++ << 8 * i;
	return n;
}

static inline uint32_t fuzz_below(struct fuzz_input *in, uint32_t n)
{
	return fuzz_take(in, n > 65536 ? 4 : n > 256 ? 2 : 1) % n;
}

/* Numbers around powers of two, where code takes other branches. */
static inline uint64_t fuzz_number(struct fuzz_input *in)
{
	uint8_t how = fuzz_take(in, 1);

	if (how < 64)
		return 1ULL << how;
	if (how < 128)
		return (1ULL << (how - 64)) - 1;
	if (how < 192)
		return (1ULL << (how - 128)) + 1;
	return fuzz_take(in, how < 224 ? 1 : how < 240 ? 4 : 8);
}

static inline void fuzz_bytes(struct fuzz_input *in, void *to, size_t size)
{
	size_t n = size < in->left ? size : in->left;

	memset(to, 0, size);
	if (n)
		memcpy(to, in->at, n);
	in->at += n;
	in->left -= n;
}

#endif /* VDI_FUZZ_H */
