// SPDX-License-Identifier: GPL-2.0
/*
 * main.c - the module, /dev/vdiset and set files
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "request.h"

static int vdiset_open(struct inode *inode, struct file *filp)
{
	struct vdiset_file *file;

	file = kzalloc(sizeof(*file), GFP_KERNEL_ACCOUNT);
	if (!file)
		return -ENOMEM;
	mutex_init(&file->bind_lock);
	filp->private_data = file;
	return nonseekable_open(inode, filp);
}

/* Called for each close(2), and when a table of descriptors is destroyed. */
static int vdiset_flush(struct file *filp, fl_owner_t id)
{
	struct vdiset_file *file = filp->private_data;
	struct vdiset_party *party = vdiset_file_party(file);

	if (party && vdiset_owner_leaves(filp, id, party->owner, &file->fd_hint))
		vdiset_party_died(party);
	return 0;
}

static int vdiset_release(struct inode *inode, struct file *filp)
{
	struct vdiset_file *file = filp->private_data;

	if (file->party) {
		vdiset_party_died(file->party);
		vdiset_party_put(file->party);
	}
	mutex_destroy(&file->bind_lock);
	kfree(file);
	return 0;
}

/* The party of a file that may map the area, or an error. */
static struct vdiset_party *vdiset_mapper(struct file *filp)
{
	struct vdiset_file *file = filp->private_data;
	struct vdiset_party *party = vdiset_file_party(file);

	if (!party)
		return ERR_PTR(-ENOTCONN);
	if (party->who.role == VDISET_ROLE_OBSERVER)
		return ERR_PTR(-EPERM);
	return party;
}

static int vdiset_mmap(struct file *filp, struct vm_area_struct *vma)
{
	struct vdiset_party *party = vdiset_mapper(filp);

	if (IS_ERR(party))
		return PTR_ERR(party);
	return vdiset_area_mmap(party->set, vma);
}

static unsigned long vdiset_get_unmapped_area(struct file *filp,
					      unsigned long addr,
					      unsigned long len,
					      unsigned long pgoff,
					      unsigned long flags)
{
	struct vdiset_party *party = vdiset_mapper(filp);

	if (IS_ERR(party))
		return PTR_ERR(party);
	return vdiset_area_get_unmapped(party->set, addr, len, pgoff, flags);
}

static const struct vdiset_request vdiset_file_requests[] = {
	VDISET_REQUEST(VDISET_INFO, vdiset_info, out_total_bytes,
		       VDISET_ANY_FILE, ANSWER, vdiset_info_ioctl),
	VDISET_REQUEST(VDISET_CREATE, vdiset_create, out_id,
		       VDISET_ANY_FILE, ANSWER_PROBED, vdiset_create_ioctl),
	VDISET_REQUEST(VDISET_ATTACH, vdiset_attach, out_id,
		       VDISET_ANY_FILE, ANSWER_PROBED, vdiset_attach_ioctl),
	VDISET_REQUEST(VDISET_GET_CONFIG, vdiset_get_config, reserved,
		       VDISET_BOUND, ANSWER, vdiset_get_config_ioctl),
	VDISET_REQUEST(VDISET_CONFIGURE, vdiset_configure, reserved,
		       VDISET_SERVER_ONLY, NO_ANSWER, vdiset_configure_ioctl),
	VDISET_REQUEST(VDISET_NAME_DEVICE, vdiset_name_device, index,
		       VDISET_SERVER_ONLY, NO_ANSWER, vdiset_name_device_ioctl),
	VDISET_REQUEST(VDISET_REQUEST_BUFFERS, vdiset_request_buffers, out_area_size,
		       VDISET_SERVER_ONLY, ANSWER_PROBED, vdiset_request_buffers_ioctl),
	VDISET_REQUEST(VDISET_END_CONFIG, vdiset_end_config, out_config,
		       VDISET_SERVER_ONLY, ANSWER_PROBED, vdiset_end_config_ioctl),
	VDISET_REQUEST(VDISET_OPEN_DEVICE, vdiset_open_device, reserved,
		       VDISET_PARTIES, ANSWER_PROBED, vdiset_open_device_ioctl),
	VDISET_REQUEST(VDISET_ABORT, vdiset_abort, text,
		       VDISET_BOUND, NO_ANSWER, vdiset_abort_ioctl),
	VDISET_REQUEST(VDISET_STATUS, vdiset_status, out_creator,
		       VDISET_BOUND, ANSWER, vdiset_status_ioctl),
	VDISET_REQUEST(VDISET_DEVICE_STATUS, vdiset_device_status, reserved,
		       VDISET_BOUND, ANSWER, vdiset_device_status_ioctl),
	VDISET_REQUEST(VDISET_LIST, vdiset_list, reserved,
		       VDISET_ANY_FILE, ANSWER, vdiset_list_ioctl),
	VDISET_REQUEST(VDISET_CLOSE, vdiset_close, flags,
		       VDISET_BOUND, NO_ANSWER, vdiset_close_ioctl),
	VDISET_REQUEST(VDISET_SET_RATE, vdiset_set_rate, rate,
		       VDISET_BOUND, NO_ANSWER, vdiset_set_rate_ioctl),
};

static noinline long vdiset_file_request(struct file *filp, unsigned int cmd,
					 void __user *uargs)
{
	struct vdiset_file *file = filp->private_data;
	struct vdiset_call call = {
		.filp = filp,
		.file = file,
		.party = vdiset_file_party(file),
		.uargs = uargs,
	};

	return vdiset_dispatch(vdiset_file_requests,
			       ARRAY_SIZE(vdiset_file_requests), cmd, &call);
}

static long vdiset_file_ioctl(struct file *filp, unsigned int cmd,
			      unsigned long arg)
{
	void __user *uargs = (void __user *)arg;

	if (cmd == VDISET_WAIT)
		return vdiset_wait_ioctl(vdiset_file_party(filp->private_data),
					 uargs);
	return vdiset_file_request(filp, cmd, uargs);
}

const struct file_operations vdiset_file_fops = {
	.owner			= THIS_MODULE,
	.open			= vdiset_open,
	.flush			= vdiset_flush,
	.release		= vdiset_release,
	.unlocked_ioctl		= vdiset_file_ioctl,
	.compat_ioctl		= compat_ptr_ioctl,
	.poll			= vdiset_file_poll,
	.mmap			= vdiset_mmap,
	.get_unmapped_area	= vdiset_get_unmapped_area,
	.show_fdinfo		= vdiset_file_show_fdinfo,
};

/*
 * Every user may open the device: access is checked for each set, by its owner and mode,
 * and the limits bound what a user may allocate.
 */
static struct miscdevice vdiset_misc = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "vdiset",
	.mode	= 0666,
	.fops	= &vdiset_file_fops,
};

static int __init vdiset_init(void)
{
	int rc;

	vdiset_limits_init();
	vdiset_sets_init();
	rc = vdiset_area_init();
	if (rc)
		return rc;
	rc = misc_register(&vdiset_misc);
	if (rc)
		goto err_area;
	return 0;

err_area:
	vdiset_area_exit();
	return rc;
}

/* Every file holds a reference to the module, so no set exists any more. */
static void __exit vdiset_exit(void)
{
	misc_deregister(&vdiset_misc);
	vdiset_area_exit();
}

module_init(vdiset_init);
module_exit(vdiset_exit);

MODULE_DESCRIPTION("Virtual Device Interface (VDI) for database backups");
MODULE_AUTHOR("The vdiset developers");
MODULE_LICENSE("GPL");
#ifdef VDISET_MODULE_VERSION
MODULE_VERSION(VDISET_MODULE_VERSION);
#endif
