/* SPDX-License-Identifier: MIT */
/*
 * frame.h - the protocol of send and receive
 *
 * send: frames, little-endian; FRAME_DATA is followed by `size` bytes of data.
 * receive: one byte for each FRAME_FLUSH and FRAME_END, when all data is durable.
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
