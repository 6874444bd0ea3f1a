// SPDX-License-Identifier: GPL-2.0
/*
 * area.c - the buffer area: one shmem file per set, allocated in advance
 *
 * A shmem file, because that is what O_DIRECT, io_uring's fixed buffers,
 * futexes, mlock(2), huge pages and memory cgroups all take. Mapping the set
 * file maps the shmem file instead, so the memory lives as long as anybody
 * maps it, whatever becomes of the set.
 *
 * The memory is allocated by the call that asks for it, with a mask that makes
 * it fail where touching the pages later would call the OOM killer. It counts
 * against the limits as long as it exists: what is charged hangs on the file.
 */
#include <linux/err.h>
#include <linux/falloc.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/mount.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "compat.h"
#include "vdiset.h"

/* Where large areas lie; NULL when the kernel has no huge pages for tmpfs. */
static struct vfsmount *vdiset_huge_mount;

/* shmem's own operations, and our release. */
static struct file_operations vdiset_area_fops;

/* private_data of the area's file: what the memory is charged to. */
struct vdiset_area {
	struct vdiset_account *account;
	u64 bytes;
};

static int vdiset_area_release(struct inode *inode, struct file *file)
{
	struct vdiset_area *area = file->private_data;

	vdiset_uncharge_area(area->account, area->bytes);
	vdiset_account_put(area->account);
	kfree(area);
	return 0;
}

/* The operations can be had only from a file. */
static int vdiset_area_init_fops(void)
{
	struct file *file;

	file = shmem_file_setup("vdiset-area", 0, VDISET_SHMEM_NORESERVE);
	if (IS_ERR(file))
		return PTR_ERR(file);
	vdiset_area_fops = *file->f_op;
	vdiset_area_fops.owner = THIS_MODULE;
	vdiset_area_fops.release = vdiset_area_release;
	fput(file);
	return 0;
}

int vdiset_area_init(void)
{
	struct file_system_type *type;
	char options[] = "huge=always";
	struct vfsmount *mount;
	int rc;

	rc = vdiset_area_init_fops();
	if (rc)
		return rc;
	type = get_fs_type("tmpfs");
	if (!type)
		return -ENODEV;
	mount = vfs_kern_mount(type, SB_KERNMOUNT, "vdiset", options);
	module_put(type->owner);
	if (IS_ERR(mount)) {
		pr_debug("no huge pages for buffer areas: %pe\n", mount);
		mount = NULL;
	}
	vdiset_huge_mount = mount;
	return 0;
}

/* Each area holds the module, so there is none left. */
void vdiset_area_exit(void)
{
	if (vdiset_huge_mount)
		kern_unmount(vdiset_huge_mount);
}

static bool vdiset_area_is_huge(const struct vdiset_set *set, u64 bytes)
{
	if (set->area)
		return set->area->f_path.mnt == vdiset_huge_mount;
	return vdiset_huge_mount && bytes >= SZ_2M;
}

/* Size that the area has after @bytes more were asked for. */
u64 vdiset_area_round(const struct vdiset_set *set, u64 bytes)
{
	u64 unit = vdiset_area_is_huge(set, bytes) ? SZ_2M : PAGE_SIZE;

	return set->config.buffer_area_size + round_up(bytes, unit);
}

static struct file *vdiset_area_new_file(u64 bytes)
{
	if (vdiset_huge_mount && bytes >= SZ_2M)
		return shmem_file_setup_with_mnt(vdiset_huge_mount,
						 "vdiset-area", 0,
						 VDISET_SHMEM_NORESERVE);
	return shmem_file_setup("vdiset-area", 0, VDISET_SHMEM_NORESERVE);
}

/* An empty area, charged to the caller. It ends with its file. */
static int vdiset_area_create(struct vdiset_set *set, u64 bytes)
{
	struct vdiset_area *area;
	struct file *file;
	int rc = -ENOMEM;

	area = kzalloc(sizeof(*area), GFP_KERNEL_ACCOUNT);
	if (!area)
		return -ENOMEM;
	area->account = vdiset_account_get(current_euid());
	if (!area->account)
		goto err_area;
	file = vdiset_area_new_file(bytes);
	if (IS_ERR(file)) {
		rc = PTR_ERR(file);
		goto err_account;
	}
	mapping_set_gfp_mask(file->f_mapping, GFP_HIGHUSER |
			     __GFP_RETRY_MAYFAIL | __GFP_NOWARN);
	file->private_data = area;
	/* what fops_put() of the last user gives back */
	__module_get(THIS_MODULE);
	file->f_op = &vdiset_area_fops;
	/* pairs with the acquire in vdiset_area_file() */
	smp_store_release(&set->area, file);
	return 0;

err_account:
	vdiset_account_put(area->account);
err_area:
	kfree(area);
	return rc;
}

/* shmem says ENOSPC where it means memory. */
static int vdiset_area_error(int rc)
{
	return rc == -ENOSPC ? -ENOMEM : rc;
}

/* Charge first: what is over the limit is not allocated at all. */
static int vdiset_area_allocate(struct file *file, u64 size, u64 bytes)
{
	struct vdiset_area *area = file->private_data;
	int rc;

	rc = vdiset_charge_area(area->account, size, bytes);
	if (rc)
		return rc;
	rc = vfs_fallocate(file, 0, size, bytes);
	if (rc)
		vdiset_uncharge_area(area->account, bytes);
	else
		area->bytes += bytes;
	return rc;
}

/**
 * vdiset_area_grow - allocate more memory and let everybody map it
 * @set: the set; its config_lock is held
 * @bytes: bytes to add; rounded up
 *
 * Returns 0, -ENOMEM, -EDQUOT or -EINTR; on error the area is as it was.
 */
int vdiset_area_grow(struct vdiset_set *set, u64 bytes)
{
	u64 size = set->config.buffer_area_size;
	u64 grown;
	u32 i;
	int rc;

	lockdep_assert_held(&set->config_lock);

	if (bytes > S64_MAX - SZ_2M - size)
		return -ENOMEM;
	grown = vdiset_area_round(set, bytes);
	bytes = grown - size;

	if (!set->area) {
		rc = vdiset_area_create(set, bytes);
		if (rc)
			return vdiset_area_error(rc);
	}
	rc = vdiset_area_allocate(set->area, size, bytes);
	if (rc)
		return vdiset_area_error(rc);

	spin_lock(&set->lock);
	WRITE_ONCE(set->config.buffer_area_size, grown);
	for (i = 0; i < set->config.device_count; i++)
		vdiset_device_publish(&set->device[i]);
	spin_unlock(&set->lock);
	return 0;
}

void vdiset_area_free(struct vdiset_set *set)
{
	if (set->area)
		fput(set->area);
}

/* The area's file, or the error of a set that has none to map. */
static struct file *vdiset_area_file(struct vdiset_set *set)
{
	/* pairs with the release in vdiset_area_create() */
	struct file *file = smp_load_acquire(&set->area);

	if (!file || !READ_ONCE(set->config.buffer_area_size) ||
	    READ_ONCE(set->state) < VDISET_STATE_INITIALIZING)
		return ERR_PTR(-EBADFD);
	return file;
}

/*
 * VM_DONTEXPAND stays unset: it would make mlock(2) void and forbid huge
 * pages, and beyond the end of the file there is only SIGBUS.
 */
int vdiset_area_mmap(struct vdiset_set *set, struct vm_area_struct *vma)
{
	u64 offset = (u64)vma->vm_pgoff << PAGE_SHIFT;
	u64 length = vma->vm_end - vma->vm_start;
	struct file *area = vdiset_area_file(set);
	u64 size;

	if (IS_ERR(area))
		return PTR_ERR(area);
	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EACCES;
	size = READ_ONCE(set->config.buffer_area_size);
	if (offset > size || length > size - offset)
		return -EINVAL;

	vm_flags_clear(vma, VM_MAYEXEC);
	vm_flags_set(vma, VM_DONTDUMP);
	vma_set_file(vma, area);
	return vdiset_forward_mmap(area, vma);
}

unsigned long vdiset_area_get_unmapped(struct vdiset_set *set,
				       unsigned long addr, unsigned long len,
				       unsigned long pgoff, unsigned long flags)
{
	struct file *area = vdiset_area_file(set);

	if (IS_ERR(area))
		return PTR_ERR(area);
	return area->f_op->get_unmapped_area(area, addr, len, pgoff, flags);
}
