/* SPDX-License-Identifier: GPL-2.0 */
/*
 * compat.h - everything that differs between the supported kernels
 *
 * The code uses the interfaces of the newest kernel; this file provides them on older ones.
 */
#ifndef VDISET_COMPAT_H
#define VDISET_COMPAT_H

#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/shmem_fs.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "vdiset needs Linux 6.1 or newer"
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
static inline void vm_flags_set(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags |= flags;
}

static inline void vm_flags_clear(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags &= ~flags;
}
#endif

/* Since 6.17 a file may have mmap_prepare only; vfs_mmap() handles both. */
static inline int vdiset_forward_mmap(struct file *file,
				      struct vm_area_struct *vma)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 17, 0)
	return call_mmap(file, vma);
#else
	return vfs_mmap(file, vma);
#endif
}

/* The flags argument of shmem_file_setup() became a structure. */
#ifdef EMPTY_VMA_FLAGS
#define VDISET_SHMEM_NORESERVE	mk_vma_flags(VMA_NORESERVE_BIT)
#else
#define VDISET_SHMEM_NORESERVE	VM_NORESERVE
#endif

/* Since 6.10 __string() records the source. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
#define vdiset_assign_str(field, text)	__assign_str(field, text)
#else
#define vdiset_assign_str(field, text)	__assign_str(field)
#endif

#endif /* VDISET_COMPAT_H */
