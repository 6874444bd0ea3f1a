// SPDX-License-Identifier: GPL-2.0
/*
 * party.c - the parties of a set, and how they leave
 *
 * A party is a process in one role. It leaves once: in order with CLOSE, or by dropping
 * its file through close(2), exec with close-on-exec, exit or a fatal signal. The latter
 * is detected in the flush operation, not in release: release is called when the last
 * holder drops the file (forked children, mappings of rings, descriptors in transit),
 * whereas flush names the table of descriptors that drops it. So a child that inherited
 * the descriptors cannot hide the death of its parent.
 */
#include <linux/fdtable.h>
#include <linux/slab.h>

#include "trace.h"
#include "vdiset.h"

/* Is the set charged to the user of a party in this role? */
static bool vdiset_charges_set(u32 role)
{
	return role == VDISET_ROLE_PRIMARY;
}

/**
 * vdiset_add_member - enter a party into the list of its set's members
 * @party: the party, which has been admitted
 *
 * The caller holds set->lock since it admitted the party. A set that has ended admits no
 * party, so nothing follows the last member.
 */
void vdiset_add_member(struct vdiset_party *party)
{
	lockdep_assert_held(&party->set->lock);

	if (party->who.role != VDISET_ROLE_OBSERVER)
		list_add_tail(&party->node, &party->set->members);
}

/*
 * A party of the calling process in @role, which is not a member yet. Returns -ENOMEM or
 * -EDQUOT as an error pointer.
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
	rc = vdiset_charge_party(party->account, vdiset_charges_set(role));
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

/* The next member to charge; members that have not left come first. */
static struct vdiset_party *vdiset_next_charged(const struct vdiset_set *set)
{
	struct vdiset_party *party;

	list_for_each_entry(party, &set->members, node) {
		if (!party->left)
			return party;
	}
	return list_first_entry(&set->members, struct vdiset_party, node);
}

/* Charge rings and area to another member: the one they are charged to is going. */
static void vdiset_hand_over(struct vdiset_set *set)
{
	struct vdiset_party *to;
	u64 rings, bytes;

	lockdep_assert_held(&set->lock);

	to = vdiset_next_charged(set);
	rings = set->rings ? vdiset_rings_size(set) : 0;
	bytes = vdiset_area_hand_over(set, to->account);
	vdiset_account_move(set->charged_to->account, to->account, rings, bytes);
	set->charged_to = to;
}

static void vdiset_remove_member(struct vdiset_party *party)
{
	struct vdiset_set *set = party->set;
	bool last = false;

	spin_lock(&set->lock);
	/* observers and refused parties are not in the list */
	if (!list_empty(&party->node)) {
		list_del_init(&party->node);
		last = list_empty(&set->members);
		if (!last && set->charged_to == party)
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

	/* while the account exists, which rings and area may be charged to */
	vdiset_remove_member(party);
	vdiset_uncharge_party(party->account,
			      vdiset_charges_set(party->who.role));
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

/* A descriptor plus 1: iterate_fd() stops at a value that is not 0. */
static int vdiset_is_file(const void *wanted, struct file *file,
			  unsigned int fd)
{
	return file == wanted ? (int)fd + 1 : 0;
}

/**
 * vdiset_holds_file - does the caller's table of descriptors refer to the file?
 * @file: the file
 * @fd_hint: the descriptor where it was found last; any value is correct
 *
 * Without the hint, closing N descriptors of one file in a row, as close_range(2) does,
 * would search the table from its beginning N times, O(N^2).
 *
 * Return: whether it does.
 */
bool vdiset_holds_file(struct file *file, unsigned int *fd_hint)
{
	unsigned int first = READ_ONCE(*fd_hint);
	int found;

	found = iterate_fd(current->files, first, vdiset_is_file, file);
	if (!found && first)
		found = iterate_fd(current->files, 0, vdiset_is_file, file);
	if (found)
		WRITE_ONCE(*fd_hint, found - 1);
	return found;
}

/**
 * vdiset_owner_leaves - does the owner drop the file with this flush?
 * @file: the file that is flushed
 * @id: the table of descriptors it is flushed from
 * @owner: the table of descriptors of the party
 * @fd_hint: see vdiset_holds_file()
 *
 * A table other than the caller's current one is being destroyed (exit). In the current
 * table the descriptor has been removed before the flush; if it has another descriptor
 * of the file (dup), the owner still holds it.
 *
 * Return: whether it does.
 */
bool vdiset_owner_leaves(struct file *file, fl_owner_t id, fl_owner_t owner,
			 unsigned int *fd_hint)
{
	if (id != owner)
		return false;
	if (current->files != id)
		return true;
	return !vdiset_holds_file(file, fd_hint);
}

/* Record that a party has left, under set->lock. False if it had left before. */
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
 * vdiset_party_died - a party has dropped its file without CLOSE
 * @party: the party; without effect if it has left before
 *
 * Aborts the set unless it has ended or the party is an observer.
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

/* Has the server closed every device that the client has open? */
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

/* May the party leave without an abort of the set? */
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
