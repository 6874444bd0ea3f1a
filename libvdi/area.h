/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * area.h - mappings of a set's buffer area
 *
 * The area only grows, and nothing that is mapped moves. Addresses are reserved
 * ahead, and a growth is mapped directly behind the one before: the segment
 * grows, and so does the kernel's mapping. A new segment is made only when the
 * reserved addresses are used up, and reserves as much as is mapped by then. So
 * the number of segments and of mappings is at most logarithmic in the number of
 * growths: a server that lets the area grow page by page cannot use up the
 * mappings of a client (vm.max_map_count).
 *
 * Look-ups take no lock and may run while another thread maps more. A buffer
 * never crosses the border of two segments: the server's allocator does not make
 * such, and a client refuses it. Segments therefore begin only at sizes that the
 * kernel has reported, which are ends of growths.
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
	uint64_t size;			/* mapped so far: vdi_segment_size() */
	uint64_t room;			/* addresses reserved, of a new growth too */
	uint8_t *base;
	struct vdi_segment *next;
};

struct vdi_area {
	pthread_mutex_t lock;		/* held to map more */
	struct vdi_segment *first;
	struct vdi_segment *last;	/* used only with the lock held */
	uint64_t size;			/* mapped so far */
	bool locked;			/* is to be kept in memory */
};

void vdi_area_init(struct vdi_area *area);
int vdi_area_map(struct vdi_area *area, int fd, uint64_t size, bool *locking);
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

/* A size once seen stays valid: segments only grow. */
static inline uint64_t vdi_segment_size(const struct vdi_segment *seg)
{
	return __atomic_load_n(&seg->size, __ATOMIC_ACQUIRE);
}

/*
 * Do @prefix bytes before and @size bytes from @at lie in [0, @limit)? What is
 * below 0 has wrapped, and is too large.
 */
static inline bool vdi_area_fits(uint64_t at, uint64_t limit, uint32_t prefix,
				 uint32_t size)
{
	uint64_t need = (uint64_t)prefix + size;

	return need <= limit && at - prefix <= limit - need;
}

/* The segment that a buffer wholly is in, by offset and by address, or NULL. */
static inline const struct vdi_segment *
vdi_area_segment(const struct vdi_area *area, uint64_t offset, uint32_t prefix,
		 uint32_t size)
{
	const struct vdi_segment *seg = vdi_area_first(area);

	while (seg && !vdi_area_fits(offset - seg->offset,
				     vdi_segment_size(seg), prefix, size))
		seg = vdi_area_next(seg);
	return seg;
}

static inline const struct vdi_segment *
vdi_area_segment_at(const struct vdi_area *area, const uint8_t *address,
		    uint32_t prefix, uint32_t size)
{
	const struct vdi_segment *seg = vdi_area_first(area);
	uint64_t at = (uintptr_t)address;

	while (seg && !vdi_area_fits(at - (uintptr_t)seg->base,
				     vdi_segment_size(seg), prefix, size))
		seg = vdi_area_next(seg);
	return seg;
}

/* Address of a buffer, NULL when it is not wholly in a mapped segment. */
static inline uint8_t *
vdi_area_address(const struct vdi_area *area, uint64_t offset, uint32_t prefix,
		 uint32_t size)
{
	const struct vdi_segment *seg =
		vdi_area_segment(area, offset, prefix, size);

	return seg ? seg->base + (offset - seg->offset) : NULL;
}

/* The reverse. */
static inline bool
vdi_area_offset(const struct vdi_area *area, const uint8_t *address,
		uint32_t prefix, uint32_t size, uint64_t *offset)
{
	const struct vdi_segment *seg =
		vdi_area_segment_at(area, address, prefix, size);

	if (!seg)
		return false;
	*offset = seg->offset + (address - seg->base);
	return true;
}

/*
 * Where a device has found its last buffer, and looks first for the next: a
 * segment without what only the prefix zone of a buffer can be in. It has the
 * size that the segment had then; a buffer beyond is found in the segment.
 */
struct vdi_window {
	uint64_t offset;
	uint8_t *base;
	uint64_t size;
};

static inline void vdi_window_set(struct vdi_window *window,
				  const struct vdi_segment *seg,
				  uint32_t prefix)
{
	uint64_t size = vdi_segment_size(seg);

	window->offset = seg->offset + prefix;
	window->base = seg->base + prefix;
	window->size = size > prefix ? size - prefix : 0;
}

/* Of a buffer that begins so far into it; what is before it has wrapped. */
static inline bool vdi_window_holds(const struct vdi_window *window, uint64_t at,
				    uint32_t size)
{
	return at < window->size && size <= window->size - at;
}

#endif /* VDI_AREA_H */
