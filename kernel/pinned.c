// SPDX-License-Identifier: GPL-2.0
/*
 * pinned.c - charges of huge pages that outlive their area
 *
 * A page exists as long as anything holds a reference to it: vmsplice(2) of one byte
 * into a pipe keeps a huge page after area and process are gone. Such pages stay
 * charged until the last reference is dropped; otherwise a user could hold far more
 * memory than the limit. Base pages are not tracked, because pinning each of them is
 * limited elsewhere (pipe limits, RLIMIT_MEMLOCK).
 */
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "vdiset.h"

/* The pinned pages of one area. A reference to each prevents its reuse. */
struct vdiset_pinned {
	struct list_head node;
	struct vdiset_account *account;
	unsigned int count;
	struct folio *folio[];
};

static LIST_HEAD(vdiset_pinned_list);
static DEFINE_MUTEX(vdiset_pinned_lock);

/* Release pages that nothing else references. Returns whether any remain. */
static bool vdiset_pinned_release(struct vdiset_pinned *pinned)
{
	unsigned int i = 0;

	while (i < pinned->count) {
		struct folio *folio = pinned->folio[i];

		if (folio_ref_count(folio) > 1) {
			i++;
			continue;
		}
		vdiset_uncharge_area(pinned->account, folio_size(folio));
		folio_put(folio);
		pinned->folio[i] = pinned->folio[--pinned->count];
	}
	return pinned->count;
}

static void vdiset_pinned_free(struct vdiset_pinned *pinned)
{
	vdiset_account_put(pinned->account);
	kvfree(pinned);
}

static void vdiset_pinned_work(struct work_struct *work)
{
	struct vdiset_pinned *pinned, *next;

	mutex_lock(&vdiset_pinned_lock);
	list_for_each_entry_safe(pinned, next, &vdiset_pinned_list, node) {
		if (vdiset_pinned_release(pinned))
			continue;
		list_del(&pinned->node);
		vdiset_pinned_free(pinned);
	}
	if (!list_empty(&vdiset_pinned_list))
		schedule_delayed_work(to_delayed_work(work), HZ);
	mutex_unlock(&vdiset_pinned_lock);
}

static DECLARE_DELAYED_WORK(vdiset_pinned_watch, vdiset_pinned_work);

/* Pages that are still pinned when the module is unloaded are no longer charged. */
void vdiset_pinned_exit(void)
{
	struct vdiset_pinned *pinned, *next;
	unsigned int i;

	cancel_delayed_work_sync(&vdiset_pinned_watch);
	list_for_each_entry_safe(pinned, next, &vdiset_pinned_list, node) {
		for (i = 0; i < pinned->count; i++)
			folio_put(pinned->folio[i]);
		vdiset_pinned_free(pinned);
	}
}

/* Beyond the references of the page cache and of the look-up. */
static bool vdiset_is_pinned(struct folio *folio)
{
	return folio_size(folio) >= PMD_SIZE &&
	       folio_ref_count(folio) > folio_nr_pages(folio) + 1;
}

/**
 * vdiset_pinned_keep - keep the charge of pinned huge pages
 * @mapping: page cache of an area that is about to be freed and is not mapped
 * @account: the account it is charged to
 * @bytes: size of the area in bytes
 *
 * Return: how many of @bytes stay charged for now; 0 without memory to track them.
 */
u64 vdiset_pinned_keep(struct address_space *mapping,
		       struct vdiset_account *account, u64 bytes)
{
	struct vdiset_pinned *pinned;
	u64 offset, kept = 0;

	pinned = kvzalloc(struct_size(pinned, folio, bytes / PMD_SIZE),
			  GFP_KERNEL);
	if (!pinned)
		return 0;
	for (offset = 0; offset < bytes; offset += PMD_SIZE) {
		struct folio *folio = filemap_get_folio(mapping,
							offset >> PAGE_SHIFT);

		/* NULL before 6.4, an error pointer since */
		if (IS_ERR_OR_NULL(folio))
			continue;
		if (vdiset_is_pinned(folio)) {
			pinned->folio[pinned->count++] = folio;
			kept += folio_size(folio);
		} else {
			folio_put(folio);
		}
		cond_resched();
	}
	if (!kept) {
		kvfree(pinned);
		return 0;
	}
	pinned->account = vdiset_account_hold(account);
	mutex_lock(&vdiset_pinned_lock);
	list_add_tail(&pinned->node, &vdiset_pinned_list);
	mutex_unlock(&vdiset_pinned_lock);
	schedule_delayed_work(&vdiset_pinned_watch, HZ);
	return kept;
}
