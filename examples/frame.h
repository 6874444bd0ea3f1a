/* SPDX-License-Identifier: MIT */
/*
 * frame.h - what send and receive say to each other
 *
 * send: frames, little-endian; after FRAME_DATA as many bytes as it says.
 * receive: one byte for each FRAME_FLUSH and FRAME_END, when all is durable.
 */
#ifndef FRAME_H
#define FRAME_H

#include <stdint.h>

enum frame_kind {
	FRAME_DATA	= 1,
	FRAME_FLUSH	= 2,
	FRAME_END	= 3
};

struct frame {
	uint32_t kind;
	uint32_t size;
};

#endif /* FRAME_H */
