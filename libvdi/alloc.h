/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * alloc.h - the server's allocator of buffers in the area
 *
 * It works on offsets, has no data in shared memory, and takes no lock.
 */
#ifndef VDI_ALLOC_H
#define VDI_ALLOC_H

#include <stdint.h>

#define VDI_ALLOC_BINS	64

struct vdi_extent;
struct vdi_pool;
struct vdi_slots;
struct vdi_nodes;

struct vdi_alloc {
	uint32_t prefix;
	uint32_t alignment;		/* smallest alignment of a buffer */
	struct vdi_pool *pools;		/* one per announced shape, by size */
	struct vdi_slots *slots;	/* one per announcement */
	struct vdi_nodes *nodes;	/* memory for further extents */
	struct vdi_extent *unused;	/* free nodes */
	struct vdi_extent *bins[VDI_ALLOC_BINS];
	struct vdi_extent **hash;	/* used extents by data offset */
	uint32_t hash_bits;
	uint64_t count;			/* extents that exist */
};

/* What -EINVAL means for the shape of a buffer. */
#define VDI_BAD_SHAPE	"0 is not allowed, and the alignment must be a power of two"

void vdi_alloc_init(struct vdi_alloc *alloc, uint32_t prefix,
		    uint32_t alignment);
void vdi_alloc_destroy(struct vdi_alloc *alloc);

int vdi_alloc_announce(struct vdi_alloc *alloc, uint32_t size,
		       uint32_t alignment, uint32_t count, uint64_t offset,
		       struct vdi_slots **slots, uint64_t *bytes);
void vdi_alloc_commit(struct vdi_alloc *alloc, struct vdi_slots *slots);
void vdi_alloc_discard(struct vdi_slots *slots);

int vdi_alloc_get(struct vdi_alloc *alloc, uint32_t size, uint32_t alignment,
		  uint64_t *offset);
int vdi_alloc_put(struct vdi_alloc *alloc, uint64_t offset, uint32_t size);
uint64_t vdi_alloc_available(const struct vdi_alloc *alloc, uint32_t size,
			     uint32_t alignment);

#endif /* VDI_ALLOC_H */
