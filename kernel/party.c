// SPDX-License-Identifier: GPL-2.0
/*
 * party.c - who takes part in a set, and how it leaves
 *
 * A party is one process in one role. It leaves once: in order, by CLOSE, or
 * by giving up its file: close(2), exec with close-on-exec, exit, a deadly
 * signal. The latter is seen in the flush file operation, not in release:
 * release waits for every other holder of the file (forked children, mappings
 * of rings, descriptors in flight), flush names the file table that gives it
 * up. So a child that inherited the descriptors cannot hide the death of its
 * parent.
 */
#include <linux/fdtable.h>
#include <linux/slab.h>

#include "trace.h"
#include "vdiset.h"

/* Is the set itself counted for the party's user, too? */
static bool vdiset_pays_set(u32 role)
{
	return role == VDISET_ROLE_PRIMARY;
}

/**
 * vdiset_add_member - a party joins its set
 * @party: the party, whom nothing can refuse any more
 *
 * Under set->lock, together with what admits it: a set that is over admits
 * nobody, so the last member to go is the last for good.
 */
void vdiset_add_member(struct vdiset_party *party)
{
	lockdep_assert_held(&party->set->lock);

	if (party->who.role != VDISET_ROLE_OBSERVER)
		list_add_tail(&party->node, &party->set->members);
}

/*
 * The calling process in @role, not yet a member, or an error: ENOMEM, EDQUOT.
 */
struct vdiset_party *vdiset_party_new(struct vdiset_set *set, u32 role,
				      bool may_write)
{
	struct vdiset_party *party;
	int rc = -ENOMEM;

	party = kzalloc(sizeof(*party), GFP_KERNEL_ACCOUNT);
	if (!party)
		return ERR_PTR(-ENOMEM);
	party->account = vdiset_account_get();
	if (!party->account)
		goto err_party;
	rc = vdiset_charge_party(party->account, vdiset_pays_set(role));
	if (rc)
		goto err_account;

	kref_init(&party->ref);
	INIT_LIST_HEAD(&party->node);
	kref_get(&set->ref);
	party->set = set;
	party->owner = current->files;
	party->may_write = may_write;
	vdiset_identity_get(&party->who, role);
	return party;

err_account:
	vdiset_account_put(party->account);
err_party:
	kfree(party);
	return ERR_PTR(rc);
}

struct vdiset_party *vdiset_party_get(struct vdiset_party *party)
{
	kref_get(&party->ref);
	return party;
}

/* Somebody who is there, rather than one whose files are with others. */
static struct vdiset_party *vdiset_next_payer(const struct vdiset_set *set)
{
	struct vdiset_party *party;

	list_for_each_entry(party, &set->members, node) {
		if (!party->left)
			return party;
	}
	return list_first_entry(&set->members, struct vdiset_party, node);
}

/* The others hold what the party paid for, so one of them pays from now on. */
static void vdiset_hand_over(struct vdiset_set *set)
{
	struct vdiset_party *to;
	u64 rings, bytes;

	lockdep_assert_held(&set->lock);

	to = vdiset_next_payer(set);
	rings = set->rings ? vdiset_rings_size(set) : 0;
	bytes = vdiset_area_hand_over(set, to->account);
	vdiset_account_move(set->payer->account, to->account, rings, bytes);
	set->payer = to;
}

static void vdiset_remove_member(struct vdiset_party *party)
{
	struct vdiset_set *set = party->set;
	bool last = false;

	spin_lock(&set->lock);
	/* observers are no members, nor is who was refused */
	if (!list_empty(&party->node)) {
		list_del_init(&party->node);
		last = list_empty(&set->members);
		if (!last && set->payer == party)
			vdiset_hand_over(set);
	}
	spin_unlock(&set->lock);
	if (last)
		vdiset_set_retire(set);
}

static void vdiset_party_free(struct kref *ref)
{
	struct vdiset_party *party = container_of(ref, struct vdiset_party,
						  ref);

	/* before the account goes, which may be the payer's */
	vdiset_remove_member(party);
	vdiset_uncharge_party(party->account,
			      vdiset_pays_set(party->who.role));
	vdiset_account_put(party->account);
	vdiset_identity_put(&party->who);
	vdiset_set_put(party->set);
	kfree(party);
}

void vdiset_party_put(struct vdiset_party *party)
{
	kref_put(&party->ref, vdiset_party_free);
}

enum vdiset_side vdiset_party_side(const struct vdiset_party *party)
{
	return party->who.role == VDISET_ROLE_SERVER ? VDISET_SERVER :
						       VDISET_CLIENT;
}

/* Not 0, with which iterate_fd() goes on. */
static int vdiset_is_file(const void *wanted, struct file *file,
			  unsigned int fd)
{
	return file == wanted ? (int)fd + 1 : 0;
}

/**
 * vdiset_holds_file - has the caller's file table a descriptor of the file?
 * @file: the file
 * @hint: where it was found last; any number does
 *
 * Whoever closes many descriptors of one file in a row, as close_range(2) does,
 * would have the whole table searched for each of them.
 */
bool vdiset_holds_file(struct file *file, unsigned int *hint)
{
	unsigned int first = READ_ONCE(*hint);
	int found;

	found = iterate_fd(current->files, first, vdiset_is_file, file);
	if (!found && first)
		found = iterate_fd(current->files, 0, vdiset_is_file, file);
	if (found)
		WRITE_ONCE(*hint, found - 1);
	return found;
}

/**
 * vdiset_owner_leaves - does this flush end the owner's hold on the file?
 * @file: the file being flushed
 * @id: the file table it is flushed from
 * @owner: the file table of the party
 * @hint: see vdiset_holds_file()
 *
 * A table that is not the caller's own is being torn down as a whole (exit).
 * From the own table one descriptor was taken before the flush; another one
 * (dup) means that the owner still holds the file.
 */
bool vdiset_owner_leaves(struct file *file, fl_owner_t id, fl_owner_t owner,
			 unsigned int *hint)
{
	if (id != owner)
		return false;
	if (current->files != id)
		return true;
	return !vdiset_holds_file(file, hint);
}

/* Take the party off the set's books, under set->lock. False if it had left before. */
bool vdiset_party_leave(struct vdiset_party *party, bool died)
{
	struct vdiset_set *set = party->set;

	lockdep_assert_held(&set->lock);

	if (party->left)
		return false;
	party->left = true;
	trace_vdiset_party(party, false, died);

	switch (party->who.role) {
	case VDISET_ROLE_PRIMARY:
		set->primary = NULL;
		break;
	case VDISET_ROLE_SERVER:
		set->server = NULL;
		break;
	case VDISET_ROLE_SECONDARY:
		set->secondaries--;
		break;
	}
	return true;
}

/**
 * vdiset_party_died - a party has gone without CLOSE
 * @party: the party; nothing happens when it has left already
 *
 * Aborts the set unless it has ended or the party was only looking on.
 */
void vdiset_party_died(struct vdiset_party *party)
{
	struct vdiset_set *set = party->set;
	bool aborted = false;

	spin_lock(&set->lock);
	if (vdiset_party_leave(party, true) &&
	    party->who.role != VDISET_ROLE_OBSERVER)
		aborted = vdiset_abort_locked(set, VDISET_REASON_DIED,
					      &party->who);
	spin_unlock(&set->lock);

	if (aborted)
		vdiset_abort_wake(set);
}

/* Has the server closed every device that this client has open? */
static bool vdiset_devices_done(const struct vdiset_party *party)
{
	const struct vdiset_set *set = party->set;
	u32 i;

	for (i = 0; i < set->config.device_count; i++) {
		const struct vdiset_device *device = &set->device[i];
		const struct vdiset_device_file *user =
			device->user[VDISET_CLIENT];

		if (user && user->party == party &&
		    device->state != VDISET_DEVICE_CLOSED)
			return false;
	}
	return true;
}

/* May the party leave now without ending the set? */
static bool vdiset_party_done(const struct vdiset_party *party)
{
	u32 state = party->set->state;

	if (state == VDISET_STATE_TERMINATED || state == VDISET_STATE_ABORTED)
		return true;
	switch (party->who.role) {
	case VDISET_ROLE_OBSERVER:
		return true;
	case VDISET_ROLE_SECONDARY:
		return vdiset_devices_done(party);
	default:
		return false;
	}
}

int vdiset_close_ioctl(struct vdiset_call *call)
{
	struct vdiset_party *party = call->party;
	struct vdiset_set *set = party->set;
	bool aborted = false;
	int rc = 0;

	if (call->args->close.flags)
		return -EINVAL;

	spin_lock(&set->lock);
	if (!vdiset_party_leave(party, false)) {
		rc = -EBADFD;
	} else if (!vdiset_party_done(party)) {
		aborted = vdiset_abort_locked(set, VDISET_REASON_CLOSED,
					      &party->who);
		rc = -EBUSY;
	}
	spin_unlock(&set->lock);

	if (aborted)
		vdiset_abort_wake(set);
	return rc;
}
