// SPDX-License-Identifier: LGPL-2.1-or-later
/* ring.c - initial state and size of rings */
#include <string.h>

#include "ring.h"

_Static_assert(sizeof(struct vdiset_command) == VDI_ENTRY_SIZE, "command");
_Static_assert(sizeof(struct vdiset_completion) == VDI_ENTRY_SIZE, "completion");
_Static_assert(sizeof(struct vdiset_region) == 256, "region");

size_t vdi_ring_region_size(uint32_t depth)
{
	return sizeof(struct vdiset_region) + (size_t)depth * VDI_ENTRY_SIZE;
}

/* @depth is a power of two: vdi_channel_open() has checked it. */
void vdi_ring_init(struct vdi_ring *ring, void *own, const void *peer,
		   uint32_t depth)
{
	memset(ring, 0, sizeof(*ring));
	ring->own = own;
	ring->peer = peer;
	ring->depth = depth;
	ring->mask = depth - 1;
}
