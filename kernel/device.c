// SPDX-License-Identifier: GPL-2.0
/*
 * device.c - device files: opening, closing, and the death of their owner
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/slab.h>

#include "trace.h"
#include "request.h"

/* The last reference to a device file goes, or its owner drops it. */
static void vdiset_device_died(struct vdiset_device_file *file)
{
	struct vdiset_set *set = file->party->set;
	bool aborted = false;

	spin_lock(&set->lock);
	if (!file->party->left && file->device->state != VDISET_DEVICE_CLOSED)
		aborted = vdiset_abort_locked(set, VDISET_REASON_DIED,
					      &file->who);
	spin_unlock(&set->lock);

	if (aborted)
		vdiset_abort_wake(set);
}

static int vdiset_device_flush(struct file *filp, fl_owner_t id)
{
	struct vdiset_device_file *file = filp->private_data;

	if (file->device &&
	    vdiset_owner_leaves(filp, id, file->owner, &file->fd_hint))
		vdiset_device_died(file);
	return 0;
}

static int vdiset_device_release(struct inode *inode, struct file *filp)
{
	struct vdiset_device_file *file = filp->private_data;
	struct vdiset_set *set = file->party->set;

	if (file->device) {
		vdiset_device_died(file);
		spin_lock(&set->lock);
		file->device->user[file->side] = NULL;
		spin_unlock(&set->lock);
	}
	vdiset_identity_put(&file->who);
	vdiset_party_put(file->party);
	kfree(file);
	return 0;
}

static const struct file_operations vdiset_device_fops;

static int vdiset_check_open(const struct vdiset_party *party,
			     enum vdiset_side side)
{
	const struct vdiset_set *set = party->set;
	u32 i;

	if (party->left)
		return -EBADFD;
	switch (set->state) {
	case VDISET_STATE_INITIALIZING:
	case VDISET_STATE_ACTIVE:
		break;
	case VDISET_STATE_TERMINATED:
		/* a client that is late may still read the end of a device */
		if (side == VDISET_CLIENT)
			break;
		fallthrough;
	default:
		return vdiset_state_error(set, set->state);
	}
	for (i = 0; i < set->config.device_count; i++) {
		if (!set->device[i].opened[side])
			return 0;
	}
	return -ENOSPC;
}

/* The device of this name, or the first unnamed one, which gets the name. */
static struct vdiset_device *vdiset_device_named(struct vdiset_set *set,
						 const char *name, u32 len)
{
	struct vdiset_device *device = vdiset_device_find(set, name, len);
	u32 i;

	for (i = 0; !device && i < set->config.device_count; i++) {
		if (set->device[i].name_len)
			continue;
		device = &set->device[i];
		memcpy(device->name, name, len);
		device->name_len = len;
	}
	return device;
}

static noinline int vdiset_device_claim(struct vdiset_device_file *file,
					const char *name, u32 len)
{
	struct vdiset_set *set = file->party->set;
	struct vdiset_device *device;
	int rc;

	spin_lock(&set->lock);
	rc = vdiset_check_open(file->party, file->side);
	if (rc)
		goto out;
	device = vdiset_device_named(set, name, len);
	if (!device) {
		rc = -ENOENT;
		goto out;
	}
	if (device->opened[file->side]) {
		rc = -EBUSY;
		goto out;
	}
	device->opened[file->side] = true;
	device->user[file->side] = file;
	if (file->side == VDISET_SERVER)
		WRITE_ONCE(device->state, VDISET_DEVICE_OPEN);
	if (set->state == VDISET_STATE_INITIALIZING)
		vdiset_set_enter(set, VDISET_STATE_ACTIVE);
	else
		vdiset_device_publish(device);
	file->device = device;
	trace_vdiset_device_open(device, file->side);
out:
	spin_unlock(&set->lock);
	return rc;
}
ALLOW_ERROR_INJECTION(vdiset_device_claim, ERRNO);

/* Undo a claim that was not reported to the caller; a new name stays. */
static void vdiset_device_unclaim(struct vdiset_device_file *file)
{
	struct vdiset_device *device = file->device;
	struct vdiset_set *set = device->set;

	spin_lock(&set->lock);
	device->opened[file->side] = false;
	device->user[file->side] = NULL;
	if (file->side == VDISET_SERVER)
		WRITE_ONCE(device->state, VDISET_DEVICE_IDLE);
	vdiset_device_publish(device);
	file->device = NULL;
	spin_unlock(&set->lock);
}

static struct file *vdiset_device_file_new(struct vdiset_party *party)
{
	struct vdiset_device_file *file;
	struct file *filp;

	file = kzalloc(sizeof(*file), GFP_KERNEL_ACCOUNT);
	if (!file)
		return ERR_PTR(-ENOMEM);
	file->side = vdiset_party_side(party);
	file->owner = current->files;
	file->party = vdiset_party_get(party);
	vdiset_identity_get(&file->who, party->who.role);

	filp = anon_inode_getfile("[vdiset-device]", &vdiset_device_fops, file,
				  O_RDWR | O_CLOEXEC);
	if (IS_ERR(filp)) {
		vdiset_identity_put(&file->who);
		vdiset_party_put(party);
		kfree(file);
	}
	return filp;
}

static void vdiset_open_fill(struct vdiset_open_device *args,
			     const struct vdiset_device *device, int fd)
{
	u32 depth = device->set->config.max_io_depth;

	args->out_fd = fd;
	args->out_index = device->index;
	args->out_depth = depth;
	args->out_ro_size = PAGE_SIZE + vdiset_region_size(depth);
	args->out_rw_size = vdiset_region_size(depth);
	args->out_peer_offset = PAGE_SIZE;
}

/* Copies its answer out itself, because nothing may fail after fd_install(). */
int vdiset_open_device_ioctl(struct vdiset_call *call)
{
	struct vdiset_open_device *args = &call->args->open_device;
	char name[VDISET_NAME_MAX + 1];
	struct vdiset_device_file *file;
	struct file *filp;
	int fd, rc;

	if (args->flags || args->reserved)
		return -EINVAL;
	rc = vdiset_copy_name(name, args->name, args->name_len);
	if (rc)
		return rc;

	fd = get_unused_fd_flags(O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return fd;
	filp = vdiset_device_file_new(call->party);
	if (IS_ERR(filp)) {
		rc = PTR_ERR(filp);
		goto err_fd;
	}
	file = filp->private_data;
	rc = vdiset_device_claim(file, name, args->name_len);
	if (rc)
		goto err_file;
	vdiset_open_fill(args, file->device, fd);
	rc = vdiset_respond(call);
	if (rc)
		goto err_claim;
	fd_install(fd, filp);
	return VDISET_RESPONDED;

err_claim:
	vdiset_device_unclaim(file);
err_file:
	fput(filp);
err_fd:
	put_unused_fd(fd);
	return rc;
}

static int vdiset_device_close_ioctl(struct vdiset_call *call)
{
	struct vdiset_device *device = call->device_file->device;
	struct vdiset_set *set = device->set;
	bool last = false;
	int rc = 0;

	if (call->args->device_close.flags)
		return -EINVAL;

	spin_lock(&set->lock);
	if (set->state == VDISET_STATE_ABORTED) {
		rc = -ECANCELED;
	} else if (device->state == VDISET_DEVICE_CLOSED) {
		rc = -EPIPE;
	} else {
		trace_vdiset_device_close(device, VDISET_SERVER);
		last = ++set->closed == set->config.device_count;
		/* pairs with the acquire in vdiset_device_state() */
		smp_store_release(&device->state, VDISET_DEVICE_CLOSED);
		if (last)
			vdiset_set_enter(set, VDISET_STATE_TERMINATED);
		else
			vdiset_device_publish(device);
	}
	spin_unlock(&set->lock);
	if (rc)
		return rc;

	vdiset_wake(&device->wait[VDISET_CLIENT]);
	vdiset_wake(&device->wait[VDISET_SERVER]);
	if (last) {
		vdiset_wake(&set->wait);
		vdiset_wake(&set->server_wait);
	}
	return 0;
}

static const struct vdiset_request vdiset_device_requests[] = {
	VDISET_REQUEST(VDISET_DEVICE_CLOSE, vdiset_device_close, flags,
		       VDISET_SERVER_ONLY, NO_ANSWER, vdiset_device_close_ioctl),
	VDISET_REQUEST(VDISET_ABORT, vdiset_abort, text,
		       VDISET_BOUND, NO_ANSWER, vdiset_abort_ioctl),
	VDISET_REQUEST(VDISET_STATUS, vdiset_status, out_creator,
		       VDISET_BOUND, ANSWER, vdiset_status_ioctl),
	VDISET_REQUEST(VDISET_INFO, vdiset_info, out_total_bytes,
		       VDISET_ANY_FILE, ANSWER, vdiset_info_ioctl),
};

static noinline long vdiset_device_request(struct file *filp, unsigned int cmd,
					   void __user *uargs)
{
	struct vdiset_device_file *file = filp->private_data;
	struct vdiset_call call = {
		.filp = filp,
		.device_file = file,
		.party = file->party,
		.uargs = uargs,
	};

	return vdiset_dispatch(vdiset_device_requests,
			       ARRAY_SIZE(vdiset_device_requests), cmd, &call);
}

static long vdiset_device_ioctl(struct file *filp, unsigned int cmd,
				unsigned long arg)
{
	void __user *uargs = (void __user *)arg;

	if (cmd == VDISET_DEVICE_WAIT)
		return vdiset_device_wait_ioctl(filp->private_data, uargs);
	return vdiset_device_request(filp, cmd, uargs);
}

static const struct file_operations vdiset_device_fops = {
	.owner		= THIS_MODULE,
	.flush		= vdiset_device_flush,
	.release	= vdiset_device_release,
	.unlocked_ioctl	= vdiset_device_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.poll		= vdiset_device_poll,
	.mmap		= vdiset_device_mmap,
	.show_fdinfo	= vdiset_device_show_fdinfo,
};
