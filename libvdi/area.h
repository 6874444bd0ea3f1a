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
uint64_t vdi_area_size(const struct vdi_area *area);
uint8_t *vdi_area_address(const struct vdi_area *area, uint64_t offset,
			  uint32_t prefix, uint32_t size);
bool vdi_area_offset(const struct vdi_area *area, const uint8_t *address,
		     uint32_t prefix, uint32_t size, uint64_t *offset);
void vdi_area_unmap(struct vdi_area *area);

#endif /* VDI_AREA_H */
