// SPDX-License-Identifier: GPL-2.0-only
/*
 * stage_decompress.c - the stage that decompresses what it pulls
 */
#include <errno.h>
#include <stdlib.h>

#include "stage.h"

#define PIECE	(256U << 10)

struct decompress {
	struct stage stage;
	const struct codec *codec;
	void *decoder;
	bool within;		/* a frame */
	bool source_ended;
	size_t used, at;	/* of the data to decode */
	uint8_t data[PIECE];
};

/* The checksums of the stages below name the damage, if there is any. */
static bool invalid(struct decompress *c, const char *what)
{
	if (stage_blames_itself(&c->stage))
		drive_damaged(c->stage.drive, "%s %s data", what,
			      c->codec->name);
	return false;
}

static bool decode(struct decompress *c, uint8_t *to, size_t *out)
{
	size_t in = c->used - c->at;
	enum decoded result = c->codec->decode(c->decoder, c->data + c->at,
					       &in, to, out);

	if (result == DECODED_INVALID)
		return invalid(c, "invalid");
	if (!in && !*out && c->source_ended)
		return invalid(c, "truncated");
	c->at += in;
	c->within = result != DECODED_FRAME_END;
	return true;
}

static bool fetch(struct decompress *c)
{
	struct stage *next = c->stage.next;

	c->at = 0;
	if (!next->ops->pull(next, c->data, PIECE, &c->used))
		return false;
	c->source_ended = c->used < PIECE;
	return true;
}

static bool decompress_pull(struct stage *s, void *data, size_t size,
			    size_t *done)
{
	struct decompress *c = (struct decompress *)s;

	*done = 0;
	while (*done < size) {
		size_t n = size - *done;

		if (c->at == c->used && !c->source_ended && !fetch(c))
			return false;
		if (c->at == c->used && c->source_ended && !c->within)
			return true;
		if (!decode(c, (uint8_t *)data + *done, &n))
			return false;
		*done += n;
	}
	return true;
}

static void decompress_free(struct stage *s)
{
	struct decompress *c = (struct decompress *)s;

	if (c->decoder)
		c->codec->free_decoder(c->decoder);
	free(c);
}

static const struct stage_ops ops = {
	.pull = decompress_pull,
	.free = decompress_free,
};

struct stage *stage_decompress(struct drive *d, const struct codec *codec,
			       struct stage *next)
{
	struct decompress *c = calloc(1, sizeof(*c));

	if (c) {
		c->stage = (struct stage){ .ops = &ops, .drive = d, .next = next };
		c->codec = codec;
		c->decoder = codec->new_decoder();
	}
	if (c && c->decoder)
		return &c->stage;
	free(c);
	drive_failed(d, "decompress", ENOMEM);
	return NULL;
}
