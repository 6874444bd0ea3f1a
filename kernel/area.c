// SPDX-License-Identifier: GPL-2.0
/*
 * area.c - the buffer area: one shmem file per set, allocated in advance
 *
 * It is a shmem file because O_DIRECT, io_uring's fixed buffers, futexes, mlock(2),
 * huge pages and memory cgroups all work with one. mmap(2) of the set file maps the
 * shmem file instead, so the memory exists as long as it is mapped, even after the
 * end of the set.
 *
 * The request that asks for memory allocates it, and fails where a later page fault
 * would call the OOM killer. The memory is charged as long as it exists: the charge
 * belongs to the file, and that of pinned huge pages outlives the file (pinned.c).
 */
#include <linux/err.h>
#include <linux/error-injection.h>
#include <linux/falloc.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/mount.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "compat.h"
#include "trace.h"
#include "vdiset.h"

/*
 * Private mounts of tmpfs: one with base pages, one with huge pages where the kernel
 * supports them for tmpfs. Each has a template, an unmodified shmem file: shmem's
 * get_unmapped_area() expects a file with its own operations.
 */
enum vdiset_fs {
	VDISET_FS_SMALL,
	VDISET_FS_HUGE,
	VDISET_FS_COUNT
};

static struct vfsmount *vdiset_mount[VDISET_FS_COUNT];
static struct file *vdiset_template[VDISET_FS_COUNT];

/* shmem's operations, except those that vdiset_area_init() replaces */
static struct file_operations vdiset_area_fops;

/*
 * private_data of the area's file. @bytes are allocated, from its beginning, and charged
 * to @account. The size of the file is what may be mapped; @bytes beyond it belong to
 * a request that was interrupted.
 */
struct vdiset_area {
	struct vdiset_account *account;
	u64 bytes;
};

static enum vdiset_fs vdiset_area_fs(const struct file *file)
{
	return file->f_path.mnt == vdiset_mount[VDISET_FS_HUGE] ?
		VDISET_FS_HUGE : VDISET_FS_SMALL;
}

static int vdiset_area_release(struct inode *inode, struct file *file)
{
	struct vdiset_area *area = file->private_data;
	u64 kept = 0;

	if (vdiset_area_fs(file) == VDISET_FS_HUGE)
		kept = vdiset_pinned_keep(file->f_mapping, area->account,
					  area->bytes);
	vdiset_uncharge_area(area->account, area->bytes - kept);
	vdiset_account_put(area->account);
	kfree(area);
	return 0;
}

/*
 * madvise(MADV_REMOVE) of a mapping comes here. A party must not free memory that was
 * allocated for all parties.
 */
static long vdiset_area_no_fallocate(struct file *file, int mode,
				     loff_t offset, loff_t len)
{
	return -EOPNOTSUPP;
}

static unsigned long vdiset_area_unmapped(struct file *file, unsigned long addr,
					  unsigned long len,
					  unsigned long pgoff,
					  unsigned long flags)
{
	struct file *template = vdiset_template[vdiset_area_fs(file)];

	return template->f_op->get_unmapped_area(template, addr, len, pgoff,
						 flags);
}

static void vdiset_area_exit_fs(enum vdiset_fs fs)
{
	if (vdiset_template[fs])
		fput(vdiset_template[fs]);
	if (vdiset_mount[fs])
		kern_unmount(vdiset_mount[fs]);
	vdiset_template[fs] = NULL;
	vdiset_mount[fs] = NULL;
}

static int vdiset_area_init_fs(enum vdiset_fs fs, char *options)
{
	struct file_system_type *type = get_fs_type("tmpfs");
	struct vfsmount *mount;
	struct file *file;

	if (!type)
		return -ENODEV;
	mount = vfs_kern_mount(type, SB_KERNMOUNT, "vdiset", options);
	module_put(type->owner);
	if (IS_ERR(mount))
		return PTR_ERR(mount);
	/* buffers hold data: no mapping of them may be executable */
	mount->mnt_flags |= MNT_NOEXEC;
	vdiset_mount[fs] = mount;

	file = shmem_file_setup_with_mnt(mount, "vdiset-area", 0,
					 VDISET_SHMEM_NORESERVE);
	if (IS_ERR(file)) {
		vdiset_area_exit_fs(fs);
		return PTR_ERR(file);
	}
	vdiset_template[fs] = file;
	return 0;
}

int vdiset_area_init(void)
{
	char huge[] = "huge=always";
	const struct file_operations *shmem;
	int rc;

	rc = vdiset_area_init_fs(VDISET_FS_SMALL, NULL);
	if (rc)
		return rc;
	/* with larger base pages a huge page would waste too much of a small area */
	if (PAGE_SIZE == SZ_4K)
		rc = vdiset_area_init_fs(VDISET_FS_HUGE, huge);
	if (rc)
		pr_debug("no huge pages for buffer areas: %d\n", rc);

	shmem = vdiset_template[VDISET_FS_SMALL]->f_op;
	vdiset_area_fops = *shmem;
	vdiset_area_fops.owner = THIS_MODULE;
	vdiset_area_fops.release = vdiset_area_release;
	vdiset_area_fops.fallocate = vdiset_area_no_fallocate;
	vdiset_area_fops.get_unmapped_area = vdiset_area_unmapped;
	/* without CONFIG_TMPFS shmem allocates nothing in advance */
	if (!shmem->fallocate) {
		pr_err("this kernel has no tmpfs\n");
		vdiset_area_exit();
		return -EOPNOTSUPP;
	}
	/* these would be replaced; shmem has no release operation and no owner */
	if (WARN_ON(shmem->release || shmem->owner ||
		    !shmem->get_unmapped_area)) {
		vdiset_area_exit();
		return -EINVAL;
	}
	return 0;
}

/* Each area holds a reference to the module, so no area exists any more. */
void vdiset_area_exit(void)
{
	vdiset_pinned_exit();
	vdiset_area_exit_fs(VDISET_FS_HUGE);
	vdiset_area_exit_fs(VDISET_FS_SMALL);
}

static bool vdiset_area_is_huge(const struct vdiset_set *set, u64 bytes)
{
	if (set->area)
		return vdiset_area_fs(set->area) == VDISET_FS_HUGE;
	/* sizes are rounded to SZ_2M then; see vdiset_area_init() for the page size */
	return vdiset_mount[VDISET_FS_HUGE] && bytes >= SZ_2M;
}

/*
 * The size of the area after growth by @bytes. It at least doubles up to 2 MiB, and grows
 * by at least 2 MiB then: each growth may cost each party a mapping, and a process may
 * have 65530 of them by default.
 */
u64 vdiset_area_round(const struct vdiset_set *set, u64 bytes)
{
	u64 unit = vdiset_area_is_huge(set, bytes) ? SZ_2M : PAGE_SIZE;
	u64 size = set->config.buffer_area_size;

	bytes = max(bytes, min_t(u64, size, SZ_2M));
	return size + round_up(bytes, unit);
}

/* Create an empty area, charged to set->charged_to. It is freed with its file. */
static int vdiset_area_create(struct vdiset_set *set, u64 bytes)
{
	enum vdiset_fs fs = vdiset_area_is_huge(set, bytes) ? VDISET_FS_HUGE :
							      VDISET_FS_SMALL;
	struct vdiset_area *area;
	struct file *file;
	int rc;

	area = kzalloc(sizeof(*area), GFP_KERNEL_ACCOUNT);
	if (!area)
		return -ENOMEM;
	area->account = vdiset_account_hold(set->charged_to->account);
	file = shmem_file_setup_with_mnt(vdiset_mount[fs], "vdiset-area", 0,
					 VDISET_SHMEM_NORESERVE);
	if (IS_ERR(file)) {
		rc = PTR_ERR(file);
		goto err_account;
	}
	file->private_data = area;
	/* fput() of the last reference drops it */
	__module_get(THIS_MODULE);
	file->f_op = &vdiset_area_fops;
	/* pairs with the acquire in vdiset_area_file() */
	smp_store_release(&set->area, file);
	return 0;

err_account:
	vdiset_account_put(area->account);
	kfree(area);
	return rc;
}

/* shmem reports missing memory as ENOSPC. */
static int vdiset_area_error(int rc)
{
	return rc == -ENOSPC ? -ENOMEM : rc;
}

/*
 * Allocate @bytes at @offset with a mask that fails instead of calling the OOM killer.
 * The mask applies to this allocation only: a later fault that swaps a page in must
 * retry, not fail. On error nothing of the step remains allocated.
 */
static noinline int vdiset_area_step(struct file *file, u64 offset, u64 bytes)
{
	const struct file_operations *shmem =
		vdiset_template[vdiset_area_fs(file)]->f_op;
	gfp_t mask = mapping_gfp_mask(file->f_mapping);
	int rc;

	mapping_set_gfp_mask(file->f_mapping,
			     mask | __GFP_RETRY_MAYFAIL | __GFP_NOWARN);
	rc = shmem->fallocate(file, FALLOC_FL_KEEP_SIZE, offset, bytes);
	mapping_set_gfp_mask(file->f_mapping, mask);
	return rc;
}
ALLOW_ERROR_INJECTION(vdiset_area_step, ERRNO);

/*
 * The first step of a request. shmem fails with EINTR if a signal is pending or io_uring
 * has work for the caller; a frequent timer could thus keep every request from making
 * progress. So signals and that work are held back until the end of this step, except
 * SIGKILL. Signals for the process may go to another thread meanwhile.
 */
static int vdiset_area_first_step(struct file *file, u64 offset, u64 bytes)
{
	sigset_t all, old;
	bool notified;
	int rc;

	siginitsetinv(&all, sigmask(SIGKILL));
	sigprocmask(SIG_BLOCK, &all, &old);
	notified = test_and_clear_thread_flag(TIF_NOTIFY_SIGNAL);
	rc = vdiset_area_step(file, offset, bytes);
	if (notified)
		set_thread_flag(TIF_NOTIFY_SIGNAL);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return rc;
}

/*
 * Allocate up to @end in steps. What is allocated when a signal interrupts the request
 * is kept, and the next request continues from there. The first step is one page (a
 * huge page in an area of huge pages), the longest 4 MiB, so that an abort waits for
 * one step at most.
 */
static int vdiset_area_fill(struct vdiset_set *set, u64 end)
{
	struct vdiset_area *area = set->area->private_data;
	u64 step = vdiset_area_is_huge(set, end) ? SZ_2M : PAGE_SIZE;
	bool first = true;
	int rc;

	while (area->bytes < end) {
		step = min(step, end - area->bytes);
		if (first)
			rc = vdiset_area_first_step(set->area, area->bytes,
						    step);
		else
			rc = vdiset_area_step(set->area, area->bytes, step);
		if (rc)
			return rc;
		area->bytes += step;
		step = min_t(u64, 2 * step, SZ_4M);
		first = false;
		if (vdiset_set_state(set) == VDISET_STATE_ABORTED)
			return -ECANCELED;
		if (signal_pending(current) && area->bytes < end)
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/* Free what is allocated beyond @size. */
static void vdiset_area_trim(struct file *file, u64 size)
{
	const struct file_operations *shmem =
		vdiset_template[vdiset_area_fs(file)]->f_op;
	struct vdiset_area *area = file->private_data;

	if (area->bytes <= size ||
	    shmem->fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			     size, area->bytes - size))
		return;
	vdiset_uncharge_area(area->account, area->bytes - size);
	area->bytes = size;
}

/* Charged before it is allocated: a request beyond a limit allocates nothing. */
static int vdiset_area_allocate(struct vdiset_set *set, u64 size, u64 end)
{
	struct vdiset_area *area = set->area->private_data;
	u64 bytes = end > area->bytes ? end - area->bytes : 0;
	int rc;

	/* beyond it shmem would send SIGXFSZ, which terminates the process by default */
	if (end > rlimit(RLIMIT_FSIZE))
		rc = -ENOMEM;
	else
		rc = vdiset_charge_area(area->account, area->bytes, bytes);
	if (!rc && bytes) {
		rc = vdiset_area_fill(set, end);
		vdiset_uncharge_area(area->account, end - area->bytes);
	}
	if (rc && rc != -EINTR)
		vdiset_area_trim(set->area, size);
	return rc;
}

/* Make @size bytes mappable for every party. */
static void vdiset_area_publish(struct vdiset_set *set, u64 size)
{
	struct inode *inode = file_inode(set->area);
	u32 i;

	inode_lock(inode);
	i_size_write(inode, size);
	inode_unlock(inode);

	spin_lock(&set->lock);
	WRITE_ONCE(set->config.buffer_area_size, size);
	for (i = 0; i < set->config.device_count; i++)
		vdiset_device_publish(&set->device[i]);
	spin_unlock(&set->lock);
}

static int vdiset_area_extend(struct vdiset_set *set, u64 bytes)
{
	u64 size = set->config.buffer_area_size;
	u64 grown;
	int rc = 0;

	lockdep_assert_held(&set->config_lock);

	if (bytes > S64_MAX - SZ_4M - size)
		return -ENOMEM;
	grown = vdiset_area_round(set, bytes);
	if (!set->area)
		rc = vdiset_area_create(set, grown);
	if (!rc)
		rc = vdiset_area_allocate(set, size, grown);
	if (rc)
		return vdiset_area_error(rc);
	vdiset_area_publish(set, grown);
	return 0;
}

/**
 * vdiset_area_grow - grow the buffer area
 * @set: the set; the caller holds its config_lock
 * @bytes: bytes to add; rounded up
 *
 * On error the mappable size is unchanged.
 *
 * Return: 0, -ENOMEM, -EDQUOT, -ECANCELED if the set was aborted, or -EINTR: a repeated
 * request continues with what was allocated.
 */
int vdiset_area_grow(struct vdiset_set *set, u64 bytes)
{
	int rc = vdiset_area_extend(set, bytes);

	trace_vdiset_area(set, READ_ONCE(set->config.buffer_area_size), rc);
	return rc;
}

/*
 * Charge the area to @to from now on. Returns its size in bytes, which the caller moves
 * to that account. The server is gone, so the area does not grow meanwhile.
 */
u64 vdiset_area_hand_over(struct vdiset_set *set, struct vdiset_account *to)
{
	struct vdiset_area *area;

	lockdep_assert_held(&set->lock);

	if (!set->area)
		return 0;
	area = set->area->private_data;
	vdiset_account_put(area->account);
	area->account = vdiset_account_hold(to);
	return area->bytes;
}

/*
 * Free what is allocated beyond @size in an aborted set: the size of the area before the
 * request that the abort ended. That request may have been interrupted before. Access
 * to a mapping beyond @size raises SIGBUS.
 */
void vdiset_area_discard(struct vdiset_set *set, u64 size)
{
	lockdep_assert_held(&set->config_lock);

	if (!set->area)
		return;
	if (set->config.buffer_area_size != size)
		vdiset_area_publish(set, size);
	vdiset_area_trim(set->area, size);
}

/* Drop the set's reference. Mappings keep the memory. */
void vdiset_area_free(struct vdiset_set *set)
{
	if (set->area)
		fput(set->area);
	set->area = NULL;
}

/* The area's file, or -EBADFD while the set has no area that may be mapped. */
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
 * VM_DONTEXPAND stays unset: it would disable mlock(2) and huge pages, and access
 * beyond the end of the file raises SIGBUS anyway.
 */
int vdiset_area_mmap(struct vdiset_set *set, struct vm_area_struct *vma)
{
	u64 offset = (u64)vma->vm_pgoff << PAGE_SHIFT;
	u64 length = vma->vm_end - vma->vm_start;
	struct file *area = vdiset_area_file(set);
	u64 size;
	int rc;

	if (IS_ERR(area))
		return PTR_ERR(area);
	rc = vdiset_check_shared(vma);
	if (rc)
		return rc;
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
	return vdiset_area_unmapped(area, addr, len, pgoff, flags);
}
