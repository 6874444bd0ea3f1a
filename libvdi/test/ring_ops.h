/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ring_ops.h - putting and getting one entry at a time
 *
 * The library moves many entries at a time. Tests, and parties of tests that do
 * not use the library, are simpler with one.
 */
#ifndef VDI_RING_OPS_H
#define VDI_RING_OPS_H

#include "../ring.h"

static inline enum vdi_ring_result
vdi_ring_stage_command(struct vdi_ring *ring, const struct vdiset_command *cmd)
{
	if (vdi_unlikely(vdi_ring_used(ring) > ring->mask))
		return VDI_RING_BROKEN;
	vdi_ring_write_command(ring, ring->staged, cmd);
	ring->staged++;
	return VDI_RING_OK;
}

static inline void vdi_ring_take_completion(struct vdi_ring *ring,
					    struct vdiset_completion *done)
{
	vdi_ring_read_completion(ring, ring->head++, done);
}

static inline enum vdi_ring_result
vdi_ring_put_command(struct vdi_ring *ring, const struct vdiset_command *cmd)
{
	enum vdi_ring_result result = vdi_ring_stage_command(ring, cmd);

	if (result == VDI_RING_OK)
		vdi_ring_publish(ring);
	return result;
}

static inline enum vdi_ring_result
vdi_ring_put_completion(struct vdi_ring *ring,
			const struct vdiset_completion *done)
{
	enum vdi_ring_result result = vdi_ring_stage_completion(ring, done);

	if (result == VDI_RING_OK)
		vdi_ring_publish(ring);
	return result;
}

static inline enum vdi_ring_result
vdi_ring_get_command(struct vdi_ring *ring, struct vdiset_command *cmd)
{
	uint32_t count;
	enum vdi_ring_result result = vdi_ring_available(ring, &count);

	if (result != VDI_RING_OK)
		return result;
	vdi_ring_take_command(ring, cmd);
	vdi_ring_release(ring);
	return VDI_RING_OK;
}

static inline enum vdi_ring_result
vdi_ring_get_completion(struct vdi_ring *ring, struct vdiset_completion *done)
{
	uint32_t count;
	enum vdi_ring_result result = vdi_ring_available(ring, &count);

	if (result != VDI_RING_OK)
		return result;
	vdi_ring_take_completion(ring, done);
	vdi_ring_release(ring);
	return VDI_RING_OK;
}

#endif /* VDI_RING_OPS_H */
