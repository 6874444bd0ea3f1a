// SPDX-License-Identifier: GPL-2.0
/*
 * rate.c - SET_RATE: the rate limit of a set
 */
#include "vdiset.h"

int vdiset_set_rate_ioctl(struct vdiset_call *call)
{
	const struct vdiset_set_rate *args = &call->args->set_rate;
	struct vdiset_set *set = call->party->set;
	int rc = 0;
	u32 i;

	if (args->flags)
		return -EINVAL;
	if (!call->party->may_write)
		return -EACCES;

	spin_lock(&set->lock);
	if (vdiset_is_final(set->state)) {
		rc = vdiset_state_error(set, set->state);
	} else {
		set->rate = args->rate;
		for (i = 0; i < set->config.device_count; i++)
			vdiset_device_publish(&set->device[i]);
	}
	spin_unlock(&set->lock);
	return rc;
}
