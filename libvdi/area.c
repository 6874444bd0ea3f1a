// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * area.c - mappings of a set's buffer area
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <linux/vdiset.h>

#include "area.h"

void vdi_area_init(struct vdi_area *area)
{
	pthread_mutex_init(&area->lock, NULL);
	area->first = NULL;
	area->size = 0;
	area->locked = false;
}

/*
 * Reserve addresses so that the segment can begin where address and offset
 * are equal modulo VDI_AREA_ALIGN: then aligning offsets aligns addresses.
 */
static uint8_t *reserve(uint64_t offset, uint64_t size, size_t *span)
{
	uintptr_t start, want;
	uint8_t *base;

	if (size > SIZE_MAX - VDI_AREA_ALIGN)
		return NULL;
	*span = size + VDI_AREA_ALIGN;
	base = mmap(NULL, *span, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return NULL;

	start = (uintptr_t)base;
	want = start + ((offset - start) & (VDI_AREA_ALIGN - 1));
	if (want > start)
		munmap(base, want - start);
	if (want + size < start + *span)
		munmap((void *)(want + size), start + *span - want - size);
	return (uint8_t *)want;
}

static int map_segment(struct vdi_segment *seg, int fd, bool locked)
{
	size_t span;
	void *base;

	seg->base = reserve(seg->offset, seg->size, &span);
	if (!seg->base)
		return -ENOMEM;
	base = mmap(seg->base, seg->size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED, fd, VDISET_MMAP_AREA + seg->offset);
	if (base == MAP_FAILED || (locked && mlock(base, seg->size))) {
		int err = errno;

		munmap(seg->base, seg->size);
		return -err;
	}
	return 0;
}

static void append(struct vdi_area *area, struct vdi_segment *seg)
{
	struct vdi_segment **link = &area->first;

	while (*link)
		link = &(*link)->next;
	__atomic_store_n(link, seg, __ATOMIC_RELEASE);
	__atomic_store_n(&area->size, seg->offset + seg->size,
			 __ATOMIC_RELEASE);
}

/* Map everything up to @size. 0 or -errno. */
int vdi_area_map(struct vdi_area *area, int fd, uint64_t size)
{
	struct vdi_segment *seg;
	int err = 0;

	pthread_mutex_lock(&area->lock);
	if (size <= area->size)
		goto out_unlock;
	seg = calloc(1, sizeof(*seg));
	if (!seg) {
		err = -ENOMEM;
		goto out_unlock;
	}
	seg->offset = area->size;
	seg->size = size - area->size;
	err = map_segment(seg, fd,
			  __atomic_load_n(&area->locked, __ATOMIC_RELAXED));
	if (err)
		free(seg);
	else
		append(area, seg);
out_unlock:
	pthread_mutex_unlock(&area->lock);
	return err;
}

void vdi_area_unmap(struct vdi_area *area)
{
	struct vdi_segment *seg = area->first;

	while (seg) {
		struct vdi_segment *next = seg->next;

		munmap(seg->base, seg->size);
		free(seg);
		seg = next;
	}
	area->first = NULL;
	area->size = 0;
}
