// SPDX-License-Identifier: GPL-2.0
/*
 * ring_mmap.c - mmap(2) of a device file: the other side's pages are read-only
 */
#include <linux/error-injection.h>
#include <linux/mm.h>

#include "compat.h"
#include "vdiset.h"

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

/* The state page and the peer's region: never writable, not even by mprotect(2) */
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

/* The rings belong to one process: not inherited, expanded, dumped or executed. */
int vdiset_device_mmap(struct file *filp, struct vm_area_struct *vma)
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
