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
 * against the limits as long as it exists: the charge belongs to the file, and for
 * huge pages that something has pinned it outlives the file (pinned.c).
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
 * Private file systems: the small one for any kernel, the huge one with huge
 * pages where the kernel has them for tmpfs. Each has an untouched shmem file,
 * the template: shmem finds addresses by it, since it wants to see its own
 * operations in a file.
 */
enum vdiset_fs {
	VDISET_FS_SMALL,
	VDISET_FS_HUGE,
	VDISET_FS_COUNT
};

static struct vfsmount *vdiset_mount[VDISET_FS_COUNT];
static struct file *vdiset_template[VDISET_FS_COUNT];

/* shmem's own operations, but for what is below. */
static struct file_operations vdiset_area_fops;

/*
 * private_data of the area's file: @bytes are allocated from its beginning, and
 * charged to @account. Beyond the size of the file, which is what may be mapped,
 * that is the part of a request that was interrupted.
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
 * What comes through a mapping, madvise(MADV_REMOVE): a party must not take
 * memory away that was allocated for all of them.
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
	/* however it is mapped, buffers are no code */
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
	/* with larger base pages a huge one would be more than anybody asked for */
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
	/* they would be lost; shmem has no release and owns no module */
	if (WARN_ON(shmem->release || shmem->owner ||
		    !shmem->get_unmapped_area)) {
		vdiset_area_exit();
		return -EINVAL;
	}
	return 0;
}

/* Each area holds the module, so there is none left. */
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
	/* what is charged is rounded to SZ_2M; see vdiset_area_init() */
	return vdiset_mount[VDISET_FS_HUGE] && bytes >= SZ_2M;
}

/*
 * Size of the area when @bytes were added. It grows by at least its own size up to
 * 2 MiB: each growth may cost each party a mapping, of which a process has 65530
 * by default.
 */
u64 vdiset_area_round(const struct vdiset_set *set, u64 bytes)
{
	u64 unit = vdiset_area_is_huge(set, bytes) ? SZ_2M : PAGE_SIZE;
	u64 size = set->config.buffer_area_size;

	bytes = max(bytes, min_t(u64, size, SZ_2M));
	return size + round_up(bytes, unit);
}

/* An empty area, charged to the payer. It ends with its file. */
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
	area->account = vdiset_account_hold(set->payer->account);
	file = shmem_file_setup_with_mnt(vdiset_mount[fs], "vdiset-area", 0,
					 VDISET_SHMEM_NORESERVE);
	if (IS_ERR(file)) {
		rc = PTR_ERR(file);
		goto err_account;
	}
	file->private_data = area;
	/* what fops_put() of the last user gives back */
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

/* shmem says ENOSPC where it means memory. */
static int vdiset_area_error(int rc)
{
	return rc == -ENOSPC ? -ENOMEM : rc;
}

/*
 * With a mask that fails instead of calling the OOM killer, for the time of
 * the allocation only: a fault that swaps a page in must not fail, but retry. On
 * error nothing of the step remains.
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
 * The first step of a call, which shmem must not refuse for a signal that is
 * pending already, or for work that io_uring has for the caller: else a timer that
 * is fast enough would let no call get ahead. Both wait for the end of the step;
 * a signal that kills does not.
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
 * Allocate in steps, which stay when the call is interrupted: the next call goes
 * on from there. The first step is a single page (a huge one where the area has
 * them), the longest 4 MiB: an abort waits for one step at most.
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

/* Release what is allocated beyond @size. */
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

/* Charge first: a request over the limit must allocate nothing. */
static int vdiset_area_allocate(struct vdiset_set *set, u64 size, u64 end)
{
	struct vdiset_area *area = set->area->private_data;
	u64 bytes = end > area->bytes ? end - area->bytes : 0;
	int rc;

	/* beyond it shmem would send SIGXFSZ, which kills by default */
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

/* The memory is there: let everybody map it. */
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
 * vdiset_area_grow - allocate more memory and let everybody map it
 * @set: the set; its config_lock is held
 * @bytes: bytes to add; rounded up
 *
 * Returns 0, -ENOMEM, -EDQUOT, -ECANCELED when the set was aborted, or -EINTR:
 * then the same call goes on with what was allocated. On error the area is as it
 * was for those who map it.
 */
int vdiset_area_grow(struct vdiset_set *set, u64 bytes)
{
	int rc = vdiset_area_extend(set, bytes);

	trace_vdiset_area(set, READ_ONCE(set->config.buffer_area_size), rc);
	return rc;
}

/*
 * From now on @to is what the area is charged to. Gives the bytes, which the
 * caller moves there. Nobody is left who could make it grow meanwhile.
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
 * The set is aborted: release what is allocated beyond @size, the size that the
 * area had before the request that the abort has ended, which may have been
 * interrupted before. Where a process has mapped it all the same, there is only
 * SIGBUS.
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

/* Mappings may keep the memory; the set has no use for it any more. */
void vdiset_area_free(struct vdiset_set *set)
{
	if (set->area)
		fput(set->area);
	set->area = NULL;
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
