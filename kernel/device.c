// SPDX-License-Identifier: GPL-2.0
/*
 * device.c - devices of a set: their pages, their files, opening and closing
 */
#include <linux/anon_inodes.h>
#include <linux/error-injection.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "compat.h"
#include "trace.h"
#include "vdiset.h"

/* Offsets that programs are compiled with. */
static_assert(sizeof(struct vdiset_region) == 256);
static_assert(offsetof(struct vdiset_region, tail) == 0);
static_assert(offsetof(struct vdiset_region, head) == 64);
static_assert(offsetof(struct vdiset_region, need_wakeup) == 128);
static_assert(offsetof(struct vdiset_region, operations) == 192);
static_assert(sizeof(struct vdiset_state_page) == 24);
static_assert(sizeof(struct vdiset_command) == 32);
static_assert(sizeof(struct vdiset_completion) == 32);
static_assert(sizeof(struct vdiset_config) == 48);
static_assert(sizeof(struct vdiset_peer) == 32);
static_assert(sizeof(struct vdiset_abort_record) == 176);

/* Rings fail like the area: with ENOMEM, not by killing somebody. */
#define VDISET_RING_GFP \
	(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

static size_t vdiset_region_size(u32 depth)
{
	BUILD_BUG_ON(sizeof(struct vdiset_command) !=
		     sizeof(struct vdiset_completion));
	return PAGE_ALIGN(sizeof(struct vdiset_region) +
			  depth * sizeof(struct vdiset_command));
}

static void vdiset_pages_free(struct vdiset_pages *pages)
{
	unsigned int i;

	for (i = 0; i < pages->count; i++)
		put_page(pages->page[i]);
	kfree(pages->page);
	pages->page = NULL;
	pages->count = 0;
	pages->head = NULL;
}

/* Zeroed pages in the kernel's own mapping, charged to the caller. */
static int vdiset_pages_alloc(struct vdiset_pages *pages, size_t size)
{
	unsigned int count = size >> PAGE_SHIFT;

	pages->count = 0;
	pages->page = kcalloc(count, sizeof(*pages->page), VDISET_RING_GFP);
	if (!pages->page)
		return -ENOMEM;
	while (pages->count < count) {
		struct page *page;

		page = alloc_page(VDISET_RING_GFP | __GFP_ZERO);
		if (!page) {
			vdiset_pages_free(pages);
			return -ENOMEM;
		}
		pages->page[pages->count++] = page;
	}
	pages->head = page_address(pages->page[0]);
	return 0;
}

static void vdiset_device_free(struct vdiset_device *device)
{
	struct page *state_page;

	/* an abort may be writing to the page */
	spin_lock(&device->set->lock);
	state_page = device->state_page;
	device->state_page = NULL;
	spin_unlock(&device->set->lock);

	if (state_page)
		put_page(state_page);
	vdiset_pages_free(&device->region[VDISET_SERVER]);
	vdiset_pages_free(&device->region[VDISET_CLIENT]);
}

static int vdiset_device_alloc(struct vdiset_device *device, u32 depth)
{
	size_t size = vdiset_region_size(depth);
	struct page *state_page;
	int rc;

	rc = vdiset_pages_alloc(&device->region[VDISET_SERVER], size);
	if (rc)
		return rc;
	rc = vdiset_pages_alloc(&device->region[VDISET_CLIENT], size);
	if (rc)
		return rc;
	state_page = alloc_page(VDISET_RING_GFP | __GFP_ZERO);
	if (!state_page)
		return -ENOMEM;

	spin_lock(&device->set->lock);
	device->state_page = state_page;
	vdiset_device_publish(device);
	spin_unlock(&device->set->lock);
	return 0;
}

u64 vdiset_rings_size(const struct vdiset_set *set)
{
	u64 device = PAGE_SIZE +
		     2 * vdiset_region_size(set->config.max_io_depth);

	return set->config.device_count * device;
}

/* The rings of all devices, which the payer pays. They live as long as a party. */
int vdiset_devices_alloc(struct vdiset_set *set, u32 depth)
{
	u32 i;
	int rc;

	rc = vdiset_charge_rings(set->payer->account, vdiset_rings_size(set));
	if (rc)
		return rc;
	set->rings = true;
	for (i = 0; i < set->config.device_count; i++) {
		rc = vdiset_device_alloc(&set->device[i], depth);
		if (rc) {
			vdiset_devices_free(set);
			return rc;
		}
	}
	return 0;
}

void vdiset_devices_free(struct vdiset_set *set)
{
	u32 i;

	if (!set->rings)
		return;
	for (i = 0; i < set->config.device_count; i++)
		vdiset_device_free(&set->device[i]);
	vdiset_uncharge_rings(set->payer->account, vdiset_rings_size(set));
	set->rings = false;
}

/* By name, under set->lock; NULL when no device has it. */
struct vdiset_device *vdiset_device_find(struct vdiset_set *set,
					 const char *name, u32 len)
{
	u32 i;

	lockdep_assert_held(&set->lock);

	for (i = 0; i < set->config.device_count; i++) {
		struct vdiset_device *device = &set->device[i];

		if (device->name_len == len && !memcmp(device->name, name, len))
			return device;
	}
	return NULL;
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

/* A device file goes, or its owner gives it up. */
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
	    vdiset_owner_leaves(filp, id, file->owner, &file->hint))
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

static noinline int vdiset_insert_page(struct vm_area_struct *vma,
				       unsigned long *addr, struct page *page)
{
	int rc = vm_insert_page(vma, *addr, page);

	*addr += PAGE_SIZE;
	return rc;
}
ALLOW_ERROR_INJECTION(vdiset_insert_page, ERRNO);

static int vdiset_insert_pages(struct vm_area_struct *vma, unsigned long *addr,
			       const struct vdiset_pages *pages)
{
	unsigned int i;
	int rc = 0;

	for (i = 0; !rc && i < pages->count; i++)
		rc = vdiset_insert_page(vma, addr, pages->page[i]);
	return rc;
}

/* State page and peer's region, never to be written. */
static int vdiset_mmap_ro(const struct vdiset_device_file *file,
			  struct vm_area_struct *vma)
{
	const struct vdiset_device *device = file->device;
	unsigned long addr = vma->vm_start;
	int rc;

	if (vma->vm_flags & VM_WRITE)
		return -EACCES;
	vm_flags_clear(vma, VM_MAYWRITE);

	rc = vdiset_insert_page(vma, &addr, device->state_page);
	if (rc)
		return rc;
	return vdiset_insert_pages(vma, &addr,
			&device->region[vdiset_peer_side(file->side)]);
}

static int vdiset_mmap_rw(const struct vdiset_device_file *file,
			  struct vm_area_struct *vma)
{
	unsigned long addr = vma->vm_start;

	return vdiset_insert_pages(vma, &addr,
				   &file->device->region[file->side]);
}

/* The rings are for one process: no fork, no growing, no dump, no code. */
static int vdiset_device_mmap(struct file *filp, struct vm_area_struct *vma)
{
	const struct vdiset_device_file *file = filp->private_data;
	size_t region = vdiset_region_size(file->device->set->config.max_io_depth);
	u64 offset = (u64)vma->vm_pgoff << PAGE_SHIFT;
	size_t length = vma->vm_end - vma->vm_start;
	int rc;

	rc = vdiset_check_shared(vma);
	if (rc)
		return rc;
	if (!(offset == VDISET_MMAP_RO && length == PAGE_SIZE + region) &&
	    !(offset == VDISET_MMAP_RW && length == region))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EACCES;
	vm_flags_clear(vma, VM_MAYEXEC);
	vm_flags_set(vma, VM_DONTEXPAND | VM_DONTCOPY | VM_DONTDUMP);

	if (offset == VDISET_MMAP_RO)
		return vdiset_mmap_ro(file, vma);
	return vdiset_mmap_rw(file, vma);
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
		/* a slow client may still see how a device ended */
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

/* The device of this name, or the first without one, which takes the name. */
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

/* Undo a claim that the caller never learnt of; a name it gave stays. */
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

static void vdiset_open_tell(struct vdiset_open_device *args,
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

/* Responds itself: the file is installed when nothing can fail any more. */
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
	vdiset_open_tell(args, file->device, fd);
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

int vdiset_device_close_ioctl(struct vdiset_call *call)
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
