/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gate.h - keeps what a call uses in place until the call is over
 *
 * A call enters the gate of its set or device, and leaves it. Closing a gate
 * turns later calls away and waits for those inside; then mappings and
 * descriptors can go without anybody still using them.
 *
 * Nobody may close a gate that it is in itself: the library runs no foreign
 * code inside of one, but the agent's routines, and those may not close.
 */
#ifndef VDI_GATE_H
#define VDI_GATE_H

#include <stdbool.h>
#include <stdint.h>

struct vdi_gate {
	uint32_t word;		/* calls inside, and VDI_GATE_CLOSED */
};

#define VDI_GATE_CLOSED		(1U << 31)

void vdi_gate_init(struct vdi_gate *gate);
void vdi_gate_open(struct vdi_gate *gate);
void vdi_gate_close(struct vdi_gate *gate);
bool vdi_gate_is_open(const struct vdi_gate *gate);
bool vdi_gate_enter(struct vdi_gate *gate);
void vdi_gate_leave(struct vdi_gate *gate);

#endif /* VDI_GATE_H */
