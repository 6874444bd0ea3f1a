// SPDX-License-Identifier: GPL-2.0
/*
 * rings.c - the pages of a device: its state page and the regions of both sides
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "vdiset.h"

/* The ABI: programs are compiled with these offsets and sizes. */
static_assert(sizeof(struct vdiset_region) == 256);
static_assert(offsetof(struct vdiset_region, tail) == 0);
static_assert(offsetof(struct vdiset_region, head) == 64);
static_assert(offsetof(struct vdiset_region, need_wakeup) == 128);
static_assert(offsetof(struct vdiset_region, operations) == 192);
static_assert(sizeof(struct vdiset_state_page) == 32);
static_assert(sizeof(struct vdiset_command) == 32);
static_assert(sizeof(struct vdiset_completion) == 32);
static_assert(sizeof(struct vdiset_config) == 48);
static_assert(sizeof(struct vdiset_peer) == 32);
static_assert(sizeof(struct vdiset_abort_record) == 176);

/* As for the area: fail with ENOMEM rather than call the OOM killer. */
#define VDISET_RING_GFP \
	(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

size_t vdiset_region_size(u32 depth)
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

/*
 * Allocate the rings of all devices, charged to set->charged_to. They are freed when
 * the last party that is not an observer goes. Returns 0, -ENOMEM or -EDQUOT.
 */
int vdiset_devices_alloc(struct vdiset_set *set, u32 depth)
{
	u32 i;
	int rc;

	/* allocated by a request that was interrupted while it allocated the area */
	if (set->rings)
		return 0;
	rc = vdiset_charge_rings(set->charged_to->account, vdiset_rings_size(set));
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
	vdiset_uncharge_rings(set->charged_to->account, vdiset_rings_size(set));
	set->rings = false;
}

/* Find a device by its name, under set->lock. NULL if there is none. */
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
