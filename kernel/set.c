// SPDX-License-Identifier: GPL-2.0
/*
 * set.c - sets: the table of them, access, the end
 */
#include <linux/capability.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "trace.h"
#include "vdiset.h"

DEFINE_MUTEX(vdiset_table_lock);
LIST_HEAD(vdiset_table);
unsigned int vdiset_table_count;

/*
 * No party is left that could use the set: give back what it holds, lest a
 * mere observer keeps it. What remains tells observers how it ended. Called by
 * the last member, and where there never was one, at the set's end.
 */
void vdiset_set_retire(struct vdiset_set *set)
{
	vdiset_devices_free(set);
	vdiset_area_free(set);
	/* who paid is about to go */
	spin_lock(&set->lock);
	set->payer = NULL;
	spin_unlock(&set->lock);
}

static void vdiset_set_free(struct vdiset_set *set)
{
	vdiset_set_retire(set);
	trace_vdiset_free(set);
	if (set->abort_by.role)
		vdiset_identity_put(&set->abort_by);
	put_cred(set->cred);
	mutex_destroy(&set->config_lock);
	kvfree(set);
}

static void vdiset_set_release(struct kref *ref)
{
	struct vdiset_set *set = container_of(ref, struct vdiset_set, ref);

	/* a set whose name was taken was never on the table */
	if (!list_empty(&set->node)) {
		list_del(&set->node);
		vdiset_table_count--;
	}
	mutex_unlock(&vdiset_table_lock);
	vdiset_set_free(set);
}

/* Sleeps: the last reference takes the set off the table. */
void vdiset_set_put(struct vdiset_set *set)
{
	kref_put_mutex(&set->ref, vdiset_set_release, &vdiset_table_lock);
}

/* What the caller may do with the set: MAY_READ (see), MAY_WRITE (join). */
u32 vdiset_set_access(const struct vdiset_set *set)
{
	u32 bits;

	if (uid_eq(current_euid(), set->uid))
		bits = set->mode >> 6;
	else if (in_egroup_p(set->gid))
		bits = set->mode >> 3;
	else
		bits = set->mode;
	bits &= MAY_READ | MAY_WRITE;
	if (bits != (MAY_READ | MAY_WRITE) &&
	    ns_capable_noaudit(set->cred->user_ns, CAP_IPC_OWNER))
		bits = MAY_READ | MAY_WRITE;
	return bits;
}

bool vdiset_is_over(u32 state)
{
	return state == VDISET_STATE_TERMINATED ||
	       state == VDISET_STATE_ABORTED;
}

/*
 * The set that has the name now; failing that the last one that had it and is
 * still held, so that a late comer learns how it ended.
 */
struct vdiset_set *vdiset_find_name(const char *name, u32 len)
{
	struct vdiset_set *set, *over = NULL;

	lockdep_assert_held(&vdiset_table_lock);

	list_for_each_entry(set, &vdiset_table, node) {
		if (set->name_len != len || memcmp(set->name, name, len))
			continue;
		if (!vdiset_is_over(READ_ONCE(set->state)))
			return set;
		over = set;
	}
	return over;
}

struct vdiset_set *vdiset_find_id(u64 id)
{
	struct vdiset_set *set;

	lockdep_assert_held(&vdiset_table_lock);

	list_for_each_entry(set, &vdiset_table, node) {
		if (set->id == id)
			return set;
	}
	return NULL;
}
