// SPDX-License-Identifier: LGPL-2.1-or-later
/* gate.c - run-down protection: opening and closing gates */
#include "gate.h"
#include "lock.h"

/* Closed, with no call inside. */
void vdi_gate_init(struct vdi_gate *gate)
{
	__atomic_store_n(&gate->word, VDI_GATE_CLOSED, __ATOMIC_RELEASE);
}

/* A call that is about to fail may be counted in and out meanwhile. */
void vdi_gate_open(struct vdi_gate *gate)
{
	__atomic_and_fetch(&gate->word, ~VDI_GATE_CLOSED, __ATOMIC_RELEASE);
}

/* The last call that leaves wakes the thread that closes. */
void vdi_gate_wake(struct vdi_gate *gate)
{
	vdi_futex_wake(&gate->word);
}

/* The caller has made sure that the calls inside return. */
void vdi_gate_close(struct vdi_gate *gate)
{
	uint32_t word = __atomic_or_fetch(&gate->word, VDI_GATE_CLOSED,
					  __ATOMIC_ACQUIRE);

	while (word != VDI_GATE_CLOSED) {
		vdi_futex_wait(&gate->word, word, -1);
		word = __atomic_load_n(&gate->word, __ATOMIC_ACQUIRE);
	}
}
