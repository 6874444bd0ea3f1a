/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * area.h - mappings of a set's buffer area
 *
 * The area only grows; each growth is mapped as a further segment and nothing
 * moves. Look-ups take no lock and may run while another thread maps more.
 * A buffer never crosses the border of two segments: the server's allocator
 * does not make such, and a client refuses it.
 */
#ifndef VDI_AREA_H
#define VDI_AREA_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Offsets and addresses agree modulo this; the largest alignment of a buffer */
#define VDI_AREA_ALIGN		(2U << 20)

struct vdi_segment {
	uint64_t offset;
	uint64_t size;
	uint8_t *base;
	struct vdi_segment *next;
};

struct vdi_area {
	pthread_mutex_t lock;		/* held to map more */
	struct vdi_segment *first;
	uint64_t size;			/* mapped so far */
	bool locked;			/* is to be kept in memory */
};

void vdi_area_init(struct vdi_area *area);
int vdi_area_map(struct vdi_area *area, int fd, uint64_t size);
void vdi_area_unmap(struct vdi_area *area);

static inline uint64_t vdi_area_size(const struct vdi_area *area)
{
	return __atomic_load_n(&area->size, __ATOMIC_ACQUIRE);
}

static inline const struct vdi_segment *
vdi_area_first(const struct vdi_area *area)
{
	return __atomic_load_n(&area->first, __ATOMIC_ACQUIRE);
}

static inline const struct vdi_segment *
vdi_area_next(const struct vdi_segment *seg)
{
	return __atomic_load_n(&seg->next, __ATOMIC_ACQUIRE);
}

/* Do @prefix bytes before and @size bytes from @at lie in [0, @limit)? */
static inline bool vdi_area_fits(uint64_t at, uint64_t limit, uint32_t prefix,
				 uint32_t size)
{
	return at >= prefix && at <= limit && size <= limit - at;
}

/* Address of a buffer, NULL when it is not wholly in a mapped segment. */
static inline uint8_t *
vdi_area_address(const struct vdi_area *area, uint64_t offset, uint32_t prefix,
		 uint32_t size)
{
	const struct vdi_segment *seg;

	for (seg = vdi_area_first(area); seg; seg = vdi_area_next(seg))
		if (offset >= seg->offset &&
		    vdi_area_fits(offset - seg->offset, seg->size, prefix, size))
			return seg->base + (offset - seg->offset);
	return NULL;
}

/* The reverse. */
static inline bool
vdi_area_offset(const struct vdi_area *area, const uint8_t *address,
		uint32_t prefix, uint32_t size, uint64_t *offset)
{
	const struct vdi_segment *seg;
	uintptr_t at = (uintptr_t)address;
	uintptr_t base;

	for (seg = vdi_area_first(area); seg; seg = vdi_area_next(seg)) {
		base = (uintptr_t)seg->base;
		if (at < base || !vdi_area_fits(at - base, seg->size, prefix, size))
			continue;
		*offset = seg->offset + (at - base);
		return true;
	}
	return false;
}

#endif /* VDI_AREA_H */
