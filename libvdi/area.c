// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * area.c - mappings of a set's buffer area
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <linux/vdiset.h>

#include "area.h"

#define RESERVED	(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

/* Most addresses reserved in advance, if addresses are scarce. */
#define SCARCE_AHEAD	(64U << 20)

void vdi_area_init(struct vdi_area *area)
{
	pthread_mutex_init(&area->lock, NULL);
	area->first = NULL;
	area->last = NULL;
	area->size = 0;
	area->locked = false;
}

/* ------------------------------------------------------------- addresses */

/*
 * Reserve addresses such that address and offset of the segment are equal
 * modulo VDI_AREA_ALIGN: then aligned offsets are aligned addresses.
 */
static uint8_t *reserve(uint64_t offset, uint64_t size)
{
	uintptr_t start, want;
	uint8_t *base;
	size_t span;

	if (size > SIZE_MAX - VDI_AREA_ALIGN) {
		errno = ENOMEM;
		return NULL;
	}
	span = size + VDI_AREA_ALIGN;
	base = mmap(NULL, span, PROT_NONE, RESERVED, -1, 0);
	if (base == MAP_FAILED)
		return NULL;
	/*
	 * mlockall(MCL_FUTURE) counts reserved addresses as locked memory, too
	 */
	munlock(base, span);

	start = (uintptr_t)base;
	want = start + ((offset - start) & (VDI_AREA_ALIGN - 1));
	if (want > start)
		munmap(base, want - start);
	if (want + size < start + span)
		munmap((void *)(want + size), start + span - want - size);
	return (uint8_t *)want;
}

static bool addresses_are_scarce(void)
{
	struct rlimit limit;

	return sizeof(void *) < 8 || (!getrlimit(RLIMIT_AS, &limit) &&
				      limit.rlim_cur != RLIM_INFINITY);
}

/*
 * Number of addresses for future growths: as many as are mapped, this growth
 * included, so that the next segment begins when the area has doubled. None for
 * the first segment, since most areas never grow.
 */
static uint64_t room_ahead(const struct vdi_area *area, uint64_t size)
{
	if (!area->size)
		return 0;
	return size > SCARCE_AHEAD && addresses_are_scarce() ? SCARCE_AHEAD :
							       size;
}

/* ---------------------------------------------------------------- mapping */

/*
 * Map @size bytes over reserved addresses. The kernel merges the new mapping
 * with the one before it when a call makes their flags equal: mprotect(2) here,
 * and mlock(2) if the one before is locked. In some kernels mmap(2) itself does
 * not merge, since the module maps another file than the one that is passed.
 */
static int map_part(uint8_t *at, int fd, uint64_t offset, uint64_t size,
		    bool locked, bool *locking)
{
	void *base = mmap(at, size, PROT_READ, MAP_SHARED | MAP_FIXED, fd,
			  VDISET_MMAP_AREA + offset);
	bool mapped = base != MAP_FAILED;
	int err;

	if (mapped && !mprotect(base, size, PROT_READ | PROT_WRITE)) {
		if (!locked || !mlock(base, size))
			return 0;
		*locking = true;
	}
	err = errno;
	/*
	 * After mlockall(MCL_FUTURE), mmap(2) fails with EAGAIN before it
	 * replaces anything. After any other error the reservation may be gone,
	 * and another thread may have mapped something at these addresses: they
	 * are not unmapped.
	 */
	if (mapped || err == EAGAIN)
		munmap(at, size);
	return -err;
}

/* Release the addresses behind those in use, and behind a part that failed. */
static void forget_room(struct vdi_segment *seg, uint64_t failed)
{
	uint64_t used = seg->size + failed;

	if (used < seg->room)
		munmap(seg->base + used, seg->room - used);
	seg->room = seg->size;
}

static void publish(struct vdi_area *area, struct vdi_segment *seg,
		    uint64_t size)
{
	__atomic_store_n(&seg->size, size, __ATOMIC_RELEASE);
	__atomic_store_n(&area->size, seg->offset + size, __ATOMIC_RELEASE);
}

/* Map into the reserved addresses of the last segment. */
static int map_behind(struct vdi_area *area, int fd, uint64_t size, bool locked,
		      bool *locking)
{
	struct vdi_segment *seg = area->last;
	int err;

	err = map_part(seg->base + seg->size, fd, area->size, size, locked,
		       locking);
	if (err)
		forget_room(seg, size);
	else
		publish(area, seg, seg->size + size);
	return err;
}

/* 0 or -errno: reserve addresses for @size bytes and, where possible, more. */
static int reserve_segment(const struct vdi_area *area,
			   struct vdi_segment *seg, uint64_t size)
{
	uint64_t ahead = room_ahead(area, area->size + size);

	seg->offset = area->size;
	seg->room = size + ahead;
	seg->base = reserve(seg->offset, seg->room);
	if (!seg->base && ahead) {
		seg->room = size;
		seg->base = reserve(seg->offset, size);
	}
	return seg->base ? 0 : -errno;
}

static int map_segment(struct vdi_area *area, int fd, uint64_t size,
		       bool locked, bool *locking)
{
	struct vdi_segment *seg = calloc(1, sizeof(*seg));
	int err;

	if (!seg)
		return -ENOMEM;
	err = reserve_segment(area, seg, size);
	if (!err) {
		err = map_part(seg->base, fd, seg->offset, size, locked,
			       locking);
		if (err)
			forget_room(seg, size);
	}
	if (err) {
		free(seg);
		return err;
	}
	if (area->last)
		forget_room(area->last, 0);
	seg->size = size;
	__atomic_store_n(area->last ? &area->last->next : &area->first, seg,
			 __ATOMIC_RELEASE);
	area->last = seg;
	publish(area, seg, size);
	return 0;
}

/*
 * Map everything up to @size. 0 or -errno, an error of this process. *@locking
 * is set to true if the memory could not be locked.
 */
int vdi_area_map(struct vdi_area *area, int fd, uint64_t size, bool *locking)
{
	bool locked = __atomic_load_n(&area->locked, __ATOMIC_RELAXED);
	struct vdi_segment *last;
	int err = 0;

	*locking = false;
	pthread_mutex_lock(&area->lock);
	last = area->last;
	if (size > area->size) {
		size -= area->size;
		if (last && size <= last->room - last->size)
			err = map_behind(area, fd, size, locked, locking);
		else
			err = map_segment(area, fd, size, locked, locking);
	}
	pthread_mutex_unlock(&area->lock);
	if (err == -EAGAIN)	/* of mlockall(2) */
		*locking = true;
	return err;
}

/*
 * May run in a forked child: takes no lock, which a thread of the parent may
 * hold.
 */
void vdi_area_unmap(struct vdi_area *area)
{
	struct vdi_segment *seg = area->first;

	while (seg) {
		struct vdi_segment *next = seg->next;

		munmap(seg->base, seg->room);
		free(seg);
		seg = next;
	}
	area->first = NULL;
	area->last = NULL;
	area->size = 0;
}
