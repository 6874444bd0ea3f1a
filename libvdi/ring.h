/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ring.h - one side's view of a device's two rings
 *
 * Pure functions on mapped memory, without system calls. The letters (A) to
 * (H) are those of "DOC: rings" in <linux/vdiset.h>.
 */
#ifndef VDI_RING_H
#define VDI_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/vdiset.h>

/* @own is mapped read-write, @peer read-only. The indices are private: what
 * is in shared memory is only told, never read back. */
struct vdi_ring {
	struct vdiset_region *own;
	const struct vdiset_region *peer;
	uint32_t depth;
	uint32_t tail;		/* of the ring this side produces */
	uint32_t head;		/* of the ring this side consumes */
	uint32_t kicked;	/* sleep of the peer that was answered last */
};

enum vdi_ring_result {
	VDI_RING_OK = 0,
	VDI_RING_EMPTY,
	VDI_RING_BROKEN		/* the peer's indices are impossible */
};

struct vdi_ring_limits {
	uint32_t depth;
	uint32_t max_transfer;
	uint32_t features;
};

/* How long to look before sleeping; see vdi_spin_init(). */
struct vdi_spin {
	uint32_t budget;
	uint32_t max;
};

size_t vdi_ring_region_size(uint32_t depth);
void vdi_ring_init(struct vdi_ring *ring, void *own, const void *peer,
		   uint32_t depth);

enum vdi_ring_result vdi_ring_put_command(struct vdi_ring *ring,
					  const struct vdiset_command *cmd);
enum vdi_ring_result vdi_ring_put_completion(struct vdi_ring *ring,
					const struct vdiset_completion *done);
bool vdi_ring_ready(const struct vdi_ring *ring);
enum vdi_ring_result vdi_ring_get_command(struct vdi_ring *ring,
					  struct vdiset_command *cmd);
enum vdi_ring_result vdi_ring_get_completion(struct vdi_ring *ring,
					struct vdiset_completion *done);

void vdi_ring_barrier(void);
uint32_t vdi_ring_wants_kick(const struct vdi_ring *ring);
void vdi_ring_was_kicked(struct vdi_ring *ring, uint32_t episode);
void vdi_ring_set_wakeup(struct vdi_ring *ring, uint32_t episode);
uint32_t vdi_ring_own_wakeup(const struct vdi_ring *ring);
uint32_t vdi_ring_next_episode(uint32_t episode);

void vdi_ring_count(struct vdi_ring *ring, uint64_t bytes);

bool vdi_command_has_data(uint32_t code);
bool vdi_completion_is_error(uint32_t command, int32_t size, uint32_t code,
			     uint64_t bytes);
const char *vdi_command_check(const struct vdiset_command *cmd,
			      const struct vdi_ring_limits *limits);
const char *vdi_completion_check(const struct vdiset_completion *done,
				 uint32_t command, int32_t size);

void vdi_spin_init(struct vdi_spin *spin, bool several_cpus);
void vdi_spin_won(struct vdi_spin *spin);
void vdi_spin_lost(struct vdi_spin *spin);
void vdi_cpu_relax(void);
bool vdi_several_cpus(void);

#endif /* VDI_RING_H */
