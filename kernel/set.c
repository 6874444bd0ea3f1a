// SPDX-License-Identifier: GPL-2.0
/*
 * set.c - the tables of sets, access checks, and the end of a set
 *
 * A set is found by its number, or by its creator and name. Look-ups take no lock, and
 * their cost does not depend on the number of sets: the sets of one user must not slow
 * down the requests of another. A set is freed a grace period after its last reference
 * is dropped; look-ups ignore it from then on.
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

/* Sets by number, which is the index and not 0 */
static DEFINE_XARRAY_FLAGS(vdiset_sets, XA_FLAGS_ACCOUNT);
static atomic_long_t vdiset_last_id;
static atomic_t vdiset_sets_count;

/* Sets by creator and name, one for each pair; see vdiset_name_take() */
static DEFINE_HASHTABLE(vdiset_names, 12);
static DEFINE_SPINLOCK(vdiset_names_lock);
/* random, so that no user can choose names that share another name's bucket */
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

/* The caller holds vdiset_names_lock or is in an RCU read-side critical section. */
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

bool vdiset_is_final(u32 state)
{
	return state == VDISET_STATE_TERMINATED ||
	       state == VDISET_STATE_ABORTED;
}

/*
 * Enter a set into the table of names. A live set keeps its name. A set that has ended
 * keeps it until its creator uses the name again, so that a server that attaches too
 * late learns how the set ended. Returns 0 or -EEXIST.
 */
static int vdiset_name_take(struct vdiset_set *set)
{
	struct hlist_head *bucket = vdiset_bucket(set->creator, set->name,
						  set->name_len);
	struct vdiset_set *old;
	int rc = 0;

	spin_lock(&vdiset_names_lock);
	old = vdiset_name_find(bucket, set->creator, set->name, set->name_len);
	if (old && !vdiset_is_final(vdiset_set_state(old))) {
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
 * vdiset_set_publish - enter a new set into the tables
 * @set: the set, completely initialized: look-ups find it from now on
 *
 * Return: 0, -ENOMEM, or -EEXIST if its creator has a live set of that name.
 */
noinline int vdiset_set_publish(struct vdiset_set *set)
{
	unsigned long id = atomic_long_inc_return(&vdiset_last_id);
	int rc;

	/* reserve first: nothing may fail once the name is in the table */
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

/* Find a set by creator and name. Takes a reference; NULL if there is none. */
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

/* Find a set by number. Takes a reference; NULL if there is none. */
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

/*
 * The set with the next number after *@id, which is updated; NULL after the last one. The
 * caller is in an RCU read-side critical section.
 */
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
 * Release the memory of a set that no party can use any more, so that an observer cannot
 * keep it. What remains shows observers how the set ended. Called when the last member
 * goes, and when a set that never had a member is freed.
 */
void vdiset_set_retire(struct vdiset_set *set)
{
	cancel_delayed_work_sync(&set->watch);
	vdiset_devices_free(set);
	vdiset_area_free(set);
	/* the party it points to is about to be freed */
	spin_lock(&set->lock);
	set->charged_to = NULL;
	spin_unlock(&set->lock);
}

/* Remove the set from the tables, if it was published. */
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
	/* a look-up may still read them: credentials are freed after a grace period, too */
	put_cred(set->cred);
	mutex_destroy(&set->config_lock);
	kvfree_rcu(set, rcu);
}

/* Drop a reference. May sleep. */
void vdiset_set_put(struct vdiset_set *set)
{
	kref_put(&set->ref, vdiset_set_release);
}

/* The caller's permissions: MAY_READ to see and observe the set, MAY_WRITE to join it */
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
