// SPDX-License-Identifier: GPL-2.0
/*
 * config.c - configuration of a set, from CONNECTED to INITIALIZING
 *
 * The kernel stores the configuration for both sides, which interpret and check it. It
 * uses only the depth of the rings and the size of the area itself.
 */
#include <linux/error-injection.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/overflow.h>

#include "vdiset.h"

int vdiset_get_config_ioctl(struct vdiset_call *call)
{
	struct vdiset_get_config *args = &call->args->get_config;
	struct vdiset_set *set = call->party->set;
	int rc = 0;

	if ((args->flags & ~VDISET_CONFIG_WAIT) || args->reserved)
		return -EINVAL;
	if (!(args->flags & VDISET_CONFIG_WAIT) && args->timeout_ns)
		return -EINVAL;

	if (args->flags & VDISET_CONFIG_WAIT) {
		rc = vdiset_wait_configured(set, args->timeout_ns);
		if (rc)
			return rc;
	}
	spin_lock(&set->lock);
	args->out_config = set->config;
	args->out_state = set->state;
	if (call->party->left)
		rc = -EBADFD;
	else if (set->state == VDISET_STATE_ABORTED)
		rc = -ECANCELED;
	spin_unlock(&set->lock);
	return rc;
}

/* May the party change the set, which must be in one of @states? */
static int vdiset_check_state(const struct vdiset_party *party, u32 states)
{
	const struct vdiset_set *set = party->set;

	lockdep_assert_held(&set->lock);

	if (party->left)
		return -EBADFD;
	if (!(states & (1U << set->state)))
		return vdiset_state_error(set, set->state);
	return 0;
}

int vdiset_configure_ioctl(struct vdiset_call *call)
{
	const struct vdiset_configure *args = &call->args->configure;
	struct vdiset_set *set = call->party->set;
	u32 depth = args->depth ?: VDISET_DEFAULT_DEPTH;
	int rc;

	if (args->flags || args->reserved || depth > VDISET_MAX_DEPTH)
		return -EINVAL;

	spin_lock(&set->lock);
	rc = vdiset_check_state(call->party, 1U << VDISET_STATE_CONNECTED);
	if (!rc) {
		set->config.features = args->features;
		set->config.block_size = args->block_size;
		set->config.alignment = args->alignment;
		set->config.max_transfer_size = args->max_transfer_size;
		set->config.max_io_depth = roundup_pow_of_two(depth);
		vdiset_set_enter(set, VDISET_STATE_CONFIGURABLE);
	}
	spin_unlock(&set->lock);
	return rc;
}

static int vdiset_name_device(struct vdiset_device *device, const char *name,
			      u32 len)
{
	struct vdiset_device *other;

	other = vdiset_device_find(device->set, name, len);
	if (other == device)
		return 0;
	if (other)
		return -EEXIST;
	if (device->name_len)
		return -EBUSY;
	memcpy(device->name, name, len);
	device->name_len = len;
	return 0;
}

int vdiset_name_device_ioctl(struct vdiset_call *call)
{
	const struct vdiset_name_device *args = &call->args->name_device;
	struct vdiset_set *set = call->party->set;
	char name[VDISET_NAME_MAX + 1];
	u32 index = args->index;
	int rc;

	if (args->flags || index >= set->config.device_count)
		return -EINVAL;
	index = array_index_nospec(index, set->config.device_count);
	rc = vdiset_copy_name(name, args->name, args->name_len);
	if (rc)
		return rc;

	spin_lock(&set->lock);
	rc = vdiset_check_state(call->party, 1U << VDISET_STATE_CONFIGURABLE);
	if (!rc)
		rc = vdiset_name_device(&set->device[index], name,
					args->name_len);
	spin_unlock(&set->lock);
	return rc;
}

/* Another thread may be allocating memory: a fatal signal ends the wait. */
static noinline int vdiset_lock_config(struct vdiset_set *set)
{
	return mutex_lock_killable(&set->config_lock);
}
ALLOW_ERROR_INJECTION(vdiset_lock_config, ERRNO);

/* After an abort, free what an interrupted request has allocated. */
static void vdiset_discard_aborted(struct vdiset_set *set, int rc)
{
	if (rc == -ECANCELED)
		vdiset_area_discard(set, set->config.buffer_area_size);
}

int vdiset_request_buffers_ioctl(struct vdiset_call *call)
{
	struct vdiset_request_buffers *args = &call->args->request_buffers;
	struct vdiset_set *set = call->party->set;
	bool grow;
	u64 total;
	int rc;

	if (args->flags || !args->bytes)
		return -EINVAL;

	rc = vdiset_lock_config(set);
	if (rc)
		return rc;
	spin_lock(&set->lock);
	rc = vdiset_check_state(call->party,
				1U << VDISET_STATE_CONFIGURABLE |
				1U << VDISET_STATE_INITIALIZING |
				1U << VDISET_STATE_ACTIVE);
	grow = set->state != VDISET_STATE_CONFIGURABLE;
	spin_unlock(&set->lock);
	if (rc) {
		vdiset_discard_aborted(set, rc);
		goto out;
	}

	if (grow) {
		rc = vdiset_area_grow(set, args->bytes);
		args->out_area_size = READ_ONCE(set->config.buffer_area_size);
	} else if (check_add_overflow(set->requested, args->bytes, &total) ||
		   total > S64_MAX - SZ_2M) {
		rc = -ENOMEM;
	} else {
		/* the size after this request is the offset of the next one */
		set->requested = vdiset_area_round(set, total);
		args->out_area_size = set->requested;
	}
out:
	mutex_unlock(&set->config_lock);
	return rc;
}

/* Allocate rings and area. */
static int vdiset_build(struct vdiset_set *set, u32 depth)
{
	int rc;

	rc = vdiset_devices_alloc(set, depth);
	if (rc || !set->requested)
		return rc;
	rc = vdiset_area_grow(set, set->requested);
	if (rc && rc != -EINTR)
		vdiset_devices_free(set);
	return rc;
}

int vdiset_end_config_ioctl(struct vdiset_call *call)
{
	struct vdiset_end_config *args = &call->args->end_config;
	struct vdiset_set *set = call->party->set;
	u32 depth;
	int rc;

	if (args->flags)
		return -EINVAL;

	rc = vdiset_lock_config(set);
	if (rc)
		return rc;
	spin_lock(&set->lock);
	rc = vdiset_check_state(call->party, 1U << VDISET_STATE_CONFIGURABLE);
	depth = set->config.max_io_depth;
	if (!rc)
		set->charged_to = call->party;
	spin_unlock(&set->lock);
	if (rc) {
		vdiset_discard_aborted(set, rc);
		goto out;
	}

	rc = vdiset_build(set, depth);
	if (rc) {
		if (rc != -EINTR)
			set->requested = 0;
		goto out;
	}

	/* the set may have been aborted meanwhile */
	spin_lock(&set->lock);
	rc = vdiset_check_state(call->party, 1U << VDISET_STATE_CONFIGURABLE);
	if (!rc)
		vdiset_set_enter(set, VDISET_STATE_INITIALIZING);
	args->out_config = set->config;
	spin_unlock(&set->lock);
	if (!rc)
		vdiset_wake(&set->wait);
	else
		vdiset_area_discard(set, 0);
out:
	mutex_unlock(&set->config_lock);
	return rc;
}
