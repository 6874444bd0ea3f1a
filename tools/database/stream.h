/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stream.h - how vdi serve lays a byte stream over several devices
 *
 * The stream is split into chunks; chunk n is written to device n modulo the number
 * of devices. A chunk is a header block of BLOCKSIZE bytes and its payload, padded
 * to whole blocks. Every chunk but the last fills one transfer. An end chunk
 * without payload ends every device. A restore may therefore use another transfer
 * size, and detects data that is missing, swapped or of another stream.
 */
#ifndef VDI_STREAM_H
#define VDI_STREAM_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/xxh3.h"

#define STREAM_MAGIC	0x314d525453494456ULL	/* "VDISTRM1" */

#define STREAM_END	(1U << 0)	/* the last chunk of this device */
#define STREAM_SNAPSHOT	(1U << 1)	/* description of a snapshot */

/* All little-endian; the rest of the block is zero. */
struct stream_header {
	uint64_t magic;
	uint64_t id;		/* of the stream, random */
	uint64_t number;	/* of the chunk; END: number of chunks */
	uint32_t device;	/* index */
	uint32_t devices;
	uint32_t block_size;
	uint32_t flags;
	uint64_t payload;	/* bytes, without the padding */
	uint64_t payload_xxh3;
	uint64_t header_xxh3;	/* of the fields above */
};

/* The fields that all chunks of a stream have in common. */
struct stream_shape {
	uint64_t id;
	uint32_t devices;
	uint32_t block_size;
};

/*
 * Add header and padding to a chunk. The payload is in the buffer, after the first
 * block. Returns the size of the transfer.
 */
static inline uint32_t stream_finish_chunk(const struct stream_shape *shape,
					   uint8_t *buffer, uint64_t number,
					   uint32_t device, uint32_t flags,
					   uint32_t payload)
{
	uint32_t padding = -payload & (shape->block_size - 1);
	uint8_t *data = buffer + shape->block_size;
	struct stream_header header = {
		.magic = htole64(STREAM_MAGIC),
		.id = htole64(shape->id),
		.number = htole64(number),
		.device = htole32(device),
		.devices = htole32(shape->devices),
		.block_size = htole32(shape->block_size),
		.flags = htole32(flags),
		.payload = htole64(payload),
		.payload_xxh3 = htole64(XXH3_64bits(data, payload)),
	};

	header.header_xxh3 = htole64(XXH3_64bits(&header,
			offsetof(struct stream_header, header_xxh3)));
	memset(buffer, 0, shape->block_size);
	memcpy(buffer, &header, sizeof(header));
	memset(data + payload, 0, padding);
	return shape->block_size + payload + padding;
}

#endif /* VDI_STREAM_H */
