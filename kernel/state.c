// SPDX-License-Identifier: GPL-2.0
/*
 * state.c - the states of a set and of its devices, and the pages that show them
 */
#include "trace.h"
#include "vdiset.h"

/* Change the state of the set, and update each device's state page. */
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
 * vdiset_state_error - the error of a request that needs another state
 * @set: the set
 * @state: its current state
 *
 * Return: -ECANCELED for an aborted set, otherwise -EBADFD.
 */
int vdiset_state_error(const struct vdiset_set *set, u32 state)
{
	return state == VDISET_STATE_ABORTED ? -ECANCELED : -EBADFD;
}

/* Update the device's state page. The caller holds set->lock. */
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
	WRITE_ONCE(state->rate, device->set->rate);
	/*
	 * Programs read the page without a request. A reader that sees CLOSED also
	 * sees the server's last tail, which was stored before the device was closed.
	 */
	smp_store_release(&state->device_state, device->state);
	/* a reader that sees a state of the set also sees the devices' states before */
	smp_store_release(&state->set_state, device->set->state);
}
