// SPDX-License-Identifier: GPL-2.0-only
/*
 * stage_zstd.c - frames of Zstandard
 */
#include <stdlib.h>
#include <zstd.h>

#include "stage.h"

#define MAX_WINDOW_LOG	27	/* 128 MiB, the limit of zstd -d too */

struct encoder {
	ZSTD_CCtx *full;
	ZSTD_CCtx *sample;
	ZSTD_CCtx *fastest;	/* for data that does not shrink */
	int level;
	uint8_t scratch[CODEC_SAMPLE + 1024];
};

static size_t zstd_bound(size_t size)
{
	return ZSTD_compressBound(size);
}

static ZSTD_CCtx *context(int level)
{
	ZSTD_CCtx *c = ZSTD_createCCtx();

	if (!c)
		return NULL;
	ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, level);
	ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
	return c;
}

static void zstd_free_encoder(void *encoder)
{
	struct encoder *e = encoder;

	if (!e)
		return;
	ZSTD_freeCCtx(e->full);
	ZSTD_freeCCtx(e->sample);
	ZSTD_freeCCtx(e->fastest);
	free(e);
}

static void *zstd_new_encoder(int level)
{
	struct encoder *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->level = level;
	e->full = context(level);
	e->sample = context(1);
	e->fastest = context(ZSTD_minCLevel());
	if (e->full && e->sample && e->fastest)
		return e;
	zstd_free_encoder(e);
	return NULL;
}

static size_t shrink(void *encoder, const void *sample)
{
	struct encoder *e = encoder;
	size_t n = ZSTD_compress2(e->sample, e->scratch, sizeof(e->scratch),
				  sample, CODEC_SAMPLE);

	return ZSTD_isError(n) ? 0 : n;
}

/* At the fastest level a block that does not shrink becomes a raw block at once. */
static size_t zstd_encode(void *encoder, const void *data, size_t size,
			  void *out, size_t room)
{
	struct encoder *e = encoder;
	ZSTD_CCtx *c = e->full;
	size_t n;

	if (e->level > 1 && !codec_samples_shrink(data, size, shrink, e))
		c = e->fastest;
	n = ZSTD_compress2(c, out, room, data, size);
	return ZSTD_isError(n) ? 0 : n;
}

static void *zstd_new_decoder(void)
{
	ZSTD_DCtx *c = ZSTD_createDCtx();

	if (c)
		ZSTD_DCtx_setParameter(c, ZSTD_d_windowLogMax, MAX_WINDOW_LOG);
	return c;
}

static enum decoded zstd_decode(void *decoder, const void *data, size_t *in,
				void *to, size_t *out)
{
	ZSTD_inBuffer source = { .src = data, .size = *in };
	ZSTD_outBuffer target = { .dst = to, .size = *out };
	size_t left = ZSTD_decompressStream(decoder, &target, &source);

	*in = source.pos;
	*out = target.pos;
	if (ZSTD_isError(left))
		return DECODED_INVALID;
	return left ? DECODED_MORE : DECODED_FRAME_END;
}

static void zstd_free_decoder(void *decoder)
{
	ZSTD_freeDCtx(decoder);
}

const struct codec codec_zstd = {
	.name = "zstd",
	.suffix = ".zst",
	.min_level = 1,
	.max_level = 22,
	.default_level = 3,
	.bound = zstd_bound,
	.new_encoder = zstd_new_encoder,
	.encode = zstd_encode,
	.free_encoder = zstd_free_encoder,
	.new_decoder = zstd_new_decoder,
	.decode = zstd_decode,
	.free_decoder = zstd_free_decoder,
};
