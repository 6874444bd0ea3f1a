// SPDX-License-Identifier: GPL-2.0
/*
 * state.c - the states of a set and its devices, told to both sides
 */
#include "trace.h"
#include "vdiset.h"

/* Change the state and tell both sides of every device. */
void vdiset_set_enter(struct vdiset_set *set, u32 state)
{
	u32 i;

	lockdep_assert_held(&set->lock);

	trace_vdiset_state(set, state);
	/* pairs with the acquire in vdiset_set_state() */
	smp_store_release(&set->state, state);
	for (i = 0; i < set->config.device_count; i++)
		vdiset_device_publish(&set->device[i]);
}

/**
 * vdiset_state_error - the error for a call that needs another state
 * @set: the set
 * @state: the state it is in
 */
int vdiset_state_error(const struct vdiset_set *set, u32 state)
{
	return state == VDISET_STATE_ABORTED ? -ECANCELED : -EBADFD;
}

/* Bring the state page up to date, under set->lock. */
void vdiset_device_publish(struct vdiset_device *device)
{
	const struct vdiset_config *config = &device->set->config;
	struct vdiset_state_page *state;

	lockdep_assert_held(&device->set->lock);

	if (!device->state_page)
		return;
	state = page_address(device->state_page);
	WRITE_ONCE(state->depth, config->max_io_depth);
	WRITE_ONCE(state->area_size, config->buffer_area_size);
	/*
	 * For those who look there without a call: who sees CLOSED sees the
	 * server's last tail, which was stored before the device was closed;
	 */
	smp_store_release(&state->device_state, device->state);
	/* and who sees a state of the set, the devices' that led to it */
	smp_store_release(&state->set_state, device->set->state);
}
