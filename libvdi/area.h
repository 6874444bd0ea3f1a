/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * area.h - mappings of a set's buffer area
 *
 * The area only grows, and mapped parts never move. Addresses are reserved in
 * advance, and each growth is mapped directly behind the one before, so that
 * the segment grows, and the kernel's mapping with it. A new segment is created
 * only when the reserved addresses are used up; it reserves as many as are
 * mapped by then. So the number of segments and of mappings is at most
 * logarithmic in the number of growths: a server that lets the area grow page
 * by page cannot exhaust the mappings of a client (vm.max_map_count).
 *
 * Look-ups take no lock and may run while another thread maps more. A buffer
 * never crosses the border of two segments: the server's allocator does not
 * create such buffers, and a client rejects them. Segments therefore begin only
 * at sizes that the kernel has reported, which are ends of growths.
 */
#ifndef VDI_AREA_H
#define VDI_AREA_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <vditypes.h>

/* Offsets and addresses are equal modulo this, the largest alignment. */
#define VDI_AREA_ALIGN		(2U << 20)

struct vdi_segment {
	uint64_t offset;
	uint64_t size;			/* mapped so far: vdi_segment_size() */
	uint64_t room;			/* addresses reserved, size included */
	uint8_t *base;
	struct vdi_segment *next;
};

struct vdi_area {
	pthread_mutex_t lock;		/* held to map more */
	struct vdi_segment *first;
	struct vdi_segment *last;	/* used only with the lock held */
	uint64_t size;			/* mapped so far */
	bool locked;			/* lock new mappings in memory */
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

/* A size that was loaded once stays valid: segments only grow. */
static inline uint64_t vdi_segment_size(const struct vdi_segment *seg)
{
	return __atomic_load_n(&seg->size, __ATOMIC_ACQUIRE);
}

/*
 * Are @prefix bytes before and @size bytes from @at in [0, @limit)? A value
 * below 0 has wrapped around, and is too large.
 */
static inline bool vdi_area_fits(uint64_t at, uint64_t limit, uint32_t prefix,
				 uint32_t size)
{
	uint64_t need = (uint64_t)prefix + size;

	return need <= limit && at - prefix <= limit - need;
}

/* The segment that contains a buffer, by offset and by address, or NULL. */
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

/* Address of a buffer; NULL if it is not inside a mapped segment. */
static inline uint8_t *
vdi_area_address(const struct vdi_area *area, uint64_t offset, uint32_t prefix,
		 uint32_t size)
{
	const struct vdi_segment *seg =
		vdi_area_segment(area, offset, prefix, size);

	return seg ? seg->base + (offset - seg->offset) : NULL;
}

/* Offset of a buffer; false if it is not inside a mapped segment. */
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
 * The segment in which a device has found its last buffer, and where it
 * searches the next one first; without its beginning, where only a prefix zone
 * can be. It has the size that the segment had at that time: a buffer beyond it
 * is found in the segment.
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

/* @at is relative to the window: an address before it has wrapped around. */
static inline bool vdi_window_holds(const struct vdi_window *window, uint64_t at,
				    uint32_t size)
{
	return at < window->size && size <= window->size - at;
}

#endif /* VDI_AREA_H */
