/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gate.h - run-down protection: objects stay until the calls that use them end
 *
 * A call enters the gate of its set or device, and leaves it. Closing a gate
 * makes later calls fail and waits for those inside; then mappings and
 * descriptors can be released.
 *
 * A thread must not close a gate that it is in. The library runs no code of the
 * program inside a gate, except completion routines, and these must not close.
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
void vdi_gate_wake(struct vdi_gate *gate);

static inline bool vdi_gate_is_open(const struct vdi_gate *gate)
{
	return !(__atomic_load_n(&gate->word, __ATOMIC_ACQUIRE) &
		 VDI_GATE_CLOSED);
}

/* The memory of the gate must outlive its calls. */
static inline void vdi_gate_leave(struct vdi_gate *gate)
{
	uint32_t left = __atomic_sub_fetch(&gate->word, 1, __ATOMIC_RELEASE);

	if (__builtin_expect(left == VDI_GATE_CLOSED, 0))
		vdi_gate_wake(gate);
}

static inline bool vdi_gate_enter(struct vdi_gate *gate)
{
	uint32_t old = __atomic_fetch_add(&gate->word, 1, __ATOMIC_ACQUIRE);

	if (__builtin_expect(!(old & VDI_GATE_CLOSED), 1))
		return true;
	vdi_gate_leave(gate);
	return false;
}

#endif /* VDI_GATE_H */
