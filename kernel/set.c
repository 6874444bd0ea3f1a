// SPDX-License-Identifier: GPL-2.0
/*
 * set.c - sets: the tables they are found in, access, the end
 *
 * A set is found by its number, or by its creator and name. Look-ups take no
 * lock and cost the same with few sets and with many: one user's sets must not
 * slow down another's calls. A set is freed a grace period after its last
 * reference is gone; a look-up that meets it until then finds nothing.
 */
#include <linux/capability.h>
#include <linux/error-injection.h>
#include <linux/hashtable.h>
#include <linux/random.h>
#include <linux/siphash.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "trace.h"
#include "vdiset.h"

/* By number. It is not zero, and is the index. */
static DEFINE_XARRAY_FLAGS(vdiset_sets, XA_FLAGS_ACCOUNT);
static atomic_long_t vdiset_last_id;
static atomic_t vdiset_sets_count;

/* By creator and name; at most one set for each pair, see vdiset_name_take(). */
static DEFINE_HASHTABLE(vdiset_names, 12);
static DEFINE_SPINLOCK(vdiset_names_lock);
/* secret, so that no user can fill the bucket of another user's name */
static siphash_key_t vdiset_names_key;

void vdiset_sets_init(void)
{
	get_random_bytes(&vdiset_names_key, sizeof(vdiset_names_key));
}

unsigned int vdiset_sets_number(void)
{
	return atomic_read(&vdiset_sets_count);
}

static struct hlist_head *vdiset_bucket(kuid_t creator, const char *name,
					u32 len)
{
	u64 hash = siphash_2u64(siphash(name, len, &vdiset_names_key),
				__kuid_val(creator), &vdiset_names_key);

	return &vdiset_names[hash_min(hash, HASH_BITS(vdiset_names))];
}

/* Under RCU or vdiset_names_lock. */
static struct vdiset_set *vdiset_name_find(const struct hlist_head *bucket,
					   kuid_t creator, const char *name,
					   u32 len)
{
	struct vdiset_set *set;

	hlist_for_each_entry_rcu(set, bucket, by_name,
				 lockdep_is_held(&vdiset_names_lock)) {
		if (uid_eq(set->creator, creator) && set->name_len == len &&
		    !memcmp(set->name, name, len))
			return set;
	}
	return NULL;
}

bool vdiset_is_over(u32 state)
{
	return state == VDISET_STATE_TERMINATED ||
	       state == VDISET_STATE_ABORTED;
}

/*
 * A live set keeps its name. One that has ended is found under it until its
 * creator uses the name again, so that a server that comes late learns how it
 * ended.
 */
static int vdiset_name_take(struct vdiset_set *set)
{
	struct hlist_head *bucket = vdiset_bucket(set->creator, set->name,
						  set->name_len);
	struct vdiset_set *old;
	int rc = 0;

	spin_lock(&vdiset_names_lock);
	old = vdiset_name_find(bucket, set->creator, set->name, set->name_len);
	if (old && !vdiset_is_over(vdiset_set_state(old))) {
		rc = -EEXIST;
	} else {
		hlist_add_head_rcu(&set->by_name, bucket);
		if (old)
			hlist_del_init_rcu(&old->by_name);
	}
	spin_unlock(&vdiset_names_lock);
	return rc;
}

/**
 * vdiset_set_publish - make a new set known
 * @set: the set, complete: from here on others find it
 *
 * Returns 0, -ENOMEM, or -EEXIST: its creator has a live set of this name.
 */
noinline int vdiset_set_publish(struct vdiset_set *set)
{
	unsigned long id = atomic_long_inc_return(&vdiset_last_id);
	int rc;

	/* reserved, so that nothing can fail once the name is taken */
	rc = xa_reserve(&vdiset_sets, id, GFP_KERNEL);
	if (rc)
		return rc;
	set->id = id;
	if (set->name_len)
		rc = vdiset_name_take(set);
	if (rc) {
		set->id = 0;
		xa_release(&vdiset_sets, id);
		return rc;
	}
	xa_store(&vdiset_sets, id, set, GFP_KERNEL);
	atomic_inc(&vdiset_sets_count);
	return 0;
}
ALLOW_ERROR_INJECTION(vdiset_set_publish, ERRNO);

/* With a reference, or NULL. */
struct vdiset_set *vdiset_set_by_name(kuid_t creator, const char *name, u32 len)
{
	struct vdiset_set *set;

	rcu_read_lock();
	set = vdiset_name_find(vdiset_bucket(creator, name, len), creator,
			       name, len);
	if (set && !kref_get_unless_zero(&set->ref))
		set = NULL;
	rcu_read_unlock();
	return set;
}

/* With a reference, or NULL. */
struct vdiset_set *vdiset_set_by_id(u64 id)
{
	struct vdiset_set *set = NULL;

	rcu_read_lock();
	if (id <= ULONG_MAX)
		set = xa_load(&vdiset_sets, id);
	if (set && !kref_get_unless_zero(&set->ref))
		set = NULL;
	rcu_read_unlock();
	return set;
}

/* The set that follows the number *@id, NULL after the last. Under RCU. */
struct vdiset_set *vdiset_set_after(u64 *id)
{
	struct vdiset_set *set = NULL;
	unsigned long index = *id;

	if (*id <= ULONG_MAX)
		set = xa_find_after(&vdiset_sets, &index, ULONG_MAX,
				    XA_PRESENT);
	if (set)
		*id = index;
	return set;
}

/*
 * No party is left that could use the set: release what it holds, or an
 * observer could keep it. What remains tells observers how it ended. Called by
 * the last member, and where there never was one, at the set's end.
 */
void vdiset_set_retire(struct vdiset_set *set)
{
	cancel_delayed_work_sync(&set->watch);
	vdiset_devices_free(set);
	vdiset_area_free(set);
	/* the party that was charged is about to go */
	spin_lock(&set->lock);
	set->payer = NULL;
	spin_unlock(&set->lock);
}

/* Off the tables; not all sets came that far. */
static void vdiset_set_unpublish(struct vdiset_set *set)
{
	if (!set->id)
		return;
	spin_lock(&vdiset_names_lock);
	hlist_del_init_rcu(&set->by_name);
	spin_unlock(&vdiset_names_lock);
	xa_erase(&vdiset_sets, set->id);
	atomic_dec(&vdiset_sets_count);
}

static void vdiset_set_release(struct kref *ref)
{
	struct vdiset_set *set = container_of(ref, struct vdiset_set, ref);

	vdiset_set_unpublish(set);
	vdiset_set_retire(set);
	trace_vdiset_free(set);
	if (set->abort_by.role)
		vdiset_identity_put(&set->abort_by);
	/* a look-up may still read it: credentials are freed by RCU, too */
	put_cred(set->cred);
	mutex_destroy(&set->config_lock);
	kvfree_rcu(set, rcu);
}

/* May sleep. */
void vdiset_set_put(struct vdiset_set *set)
{
	kref_put(&set->ref, vdiset_set_release);
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
