// SPDX-License-Identifier: GPL-2.0-only
/*
 * stage_lz4.c - frames of LZ4
 */
#include <lz4.h>
#include <lz4frame.h>
#include <stdlib.h>

#include "stage.h"

#define FIRST_SLOW_LEVEL	3	/* from here on, matches are searched */
#define FASTEST_LEVEL		(-65537)	/* for data that does not shrink */

struct encoder {
	LZ4F_preferences_t full;
	LZ4F_preferences_t fastest;
	char scratch[LZ4_COMPRESSBOUND(CODEC_SAMPLE)];
};

static LZ4F_preferences_t preferences(int level)
{
	return (LZ4F_preferences_t){
		.frameInfo = {
			.blockSizeID = LZ4F_max4MB,
			.blockMode = LZ4F_blockIndependent,
			.contentChecksumFlag = LZ4F_contentChecksumEnabled,
			.contentSize = 1,	/* replaced by the size */
		},
		.compressionLevel = level,
		.autoFlush = 1,
	};
}

static size_t lz4_bound(size_t size)
{
	LZ4F_preferences_t p = preferences(0);

	return LZ4F_compressFrameBound(size, &p);
}

static void *lz4_new_encoder(int level)
{
	struct encoder *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->full = preferences(level);
	e->fastest = preferences(FASTEST_LEVEL);
	return e;
}

static size_t shrink(void *encoder, const void *sample)
{
	struct encoder *e = encoder;

	return LZ4_compress_default(sample, e->scratch, CODEC_SAMPLE,
				    sizeof(e->scratch));
}

static size_t lz4_encode(void *encoder, const void *data, size_t size,
			 void *out, size_t room)
{
	struct encoder *e = encoder;
	const LZ4F_preferences_t *p = &e->full;
	size_t n;

	if (p->compressionLevel >= FIRST_SLOW_LEVEL &&
	    !codec_samples_shrink(data, size, shrink, e))
		p = &e->fastest;
	n = LZ4F_compressFrame(out, room, data, size, p);
	return LZ4F_isError(n) ? 0 : n;
}

static void *lz4_new_decoder(void)
{
	LZ4F_dctx *c;

	return LZ4F_isError(LZ4F_createDecompressionContext(&c, LZ4F_VERSION)) ?
		NULL : c;
}

static enum decoded lz4_decode(void *decoder, const void *data, size_t *in,
			       void *to, size_t *out)
{
	size_t left = LZ4F_decompress(decoder, to, out, data, in, NULL);

	if (LZ4F_isError(left))
		return DECODED_INVALID;
	return left ? DECODED_MORE : DECODED_FRAME_END;
}

static void lz4_free_decoder(void *decoder)
{
	LZ4F_freeDecompressionContext(decoder);
}

const struct codec codec_lz4 = {
	.name = "lz4",
	.suffix = ".lz4",
	.min_level = 1,
	.max_level = 12,
	.default_level = 1,
	.bound = lz4_bound,
	.new_encoder = lz4_new_encoder,
	.encode = lz4_encode,
	.free_encoder = free,
	.new_decoder = lz4_new_decoder,
	.decode = lz4_decode,
	.free_decoder = lz4_free_decoder,
};
