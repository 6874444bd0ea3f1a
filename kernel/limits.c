// SPDX-License-Identifier: GPL-2.0
/*
 * limits.c - limits on the sets and on the memory of a user
 *
 * Each membership is charged to the party's user, and the set to the user of its
 * primary, until the party's last file is released. The server chooses the size of
 * rings and area, so its user is charged for them. When the server's files are
 * released and another party remains, the charge moves to that party: an open file
 * cannot consume another user's quota. The number of sets, ended ones included, is
 * therefore bounded by the number of memberships.
 *
 * Memory is charged to memory cgroups as well (see area.c). These limits apply
 * where no cgroup limits the caller.
 */
#include <linux/cred.h>
#include <linux/error-injection.h>
#include <linux/hashtable.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/user_namespace.h>

#include "vdiset.h"

static unsigned int max_sets = 256;
module_param(max_sets, uint, 0644);
MODULE_PARM_DESC(max_sets, "Maximum sets per user (256)");

static unsigned int max_total_sets = 4096;
module_param(max_total_sets, uint, 0644);
MODULE_PARM_DESC(max_total_sets, "Maximum sets of all users together (4096)");

static unsigned int max_parties = 16384;
module_param(max_parties, uint, 0644);
MODULE_PARM_DESC(max_parties, "Maximum memberships per user, observers included (16384)");

static unsigned long max_ring_mb = 256;
module_param(max_ring_mb, ulong, 0644);
MODULE_PARM_DESC(max_ring_mb, "Maximum size of all rings of a user, in MiB (256)");

static unsigned long max_set_mb;
module_param(max_set_mb, ulong, 0644);
MODULE_PARM_DESC(max_set_mb, "Maximum size of the buffer area of a set, in MiB (a quarter of the memory)");

static unsigned long max_user_mb;
module_param(max_user_mb, ulong, 0644);
MODULE_PARM_DESC(max_user_mb, "Maximum size of all buffer areas of a user, in MiB (a quarter of the memory)");

static unsigned long max_total_mb;
module_param(max_total_mb, ulong, 0644);
MODULE_PARM_DESC(max_total_mb, "Maximum size of all buffer areas together, in MiB (half of the memory)");

struct vdiset_account {
	struct hlist_node node;
	kuid_t uid;
	unsigned int users;	/* references: parties, areas, pinned pages */
	unsigned int parties;
	unsigned int sets;
	u64 rings;		/* bytes */
	u64 bytes;		/* of buffer areas */
};

static DEFINE_SPINLOCK(vdiset_limits_lock);
static DEFINE_HASHTABLE(vdiset_accounts, 8);
static u64 vdiset_total_bytes;
static unsigned int vdiset_total_sets;

void vdiset_limits_init(void)
{
	unsigned long mb = totalram_pages() >> (20 - PAGE_SHIFT);

	if (!max_set_mb)
		max_set_mb = max(mb / 4, 1UL);
	if (!max_user_mb)
		max_user_mb = max(mb / 4, 1UL);
	if (!max_total_mb)
		max_total_mb = max(mb / 2, 1UL);
}

/* The parameters may change at any time. */
static u64 vdiset_limit(const unsigned long *mb)
{
	return min_t(u64, READ_ONCE(*mb), S64_MAX >> 20) << 20;
}

static struct vdiset_account *vdiset_account_find(kuid_t uid)
{
	struct vdiset_account *account;

	lockdep_assert_held(&vdiset_limits_lock);

	hash_for_each_possible(vdiset_accounts, account, node, __kuid_val(uid)) {
		if (uid_eq(account->uid, uid)) {
			account->users++;
			return account;
		}
	}
	return NULL;
}

/*
 * The user to charge for the caller's requests. In a user namespace it is the owner
 * of the namespace, so that subordinate ids do not multiply a user's quota. Namespaces
 * that root has created do not change the user.
 */
static kuid_t vdiset_charged_user(void)
{
	const struct user_namespace *ns = current_user_ns();
	kuid_t uid = current_euid();

	for (; ns != &init_user_ns; ns = ns->parent) {
		if (!uid_eq(ns->owner, GLOBAL_ROOT_UID))
			uid = ns->owner;
	}
	return uid;
}

/* The caller's account, created if needed, with a reference. NULL: out of memory. */
struct vdiset_account *vdiset_account_get(void)
{
	struct vdiset_account *account, *fresh;
	kuid_t uid = vdiset_charged_user();

	fresh = kzalloc(sizeof(*fresh), GFP_KERNEL_ACCOUNT);
	if (!fresh)
		return NULL;
	fresh->uid = uid;
	fresh->users = 1;

	spin_lock(&vdiset_limits_lock);
	account = vdiset_account_find(uid);
	if (!account) {
		hash_add(vdiset_accounts, &fresh->node, __kuid_val(uid));
		account = fresh;
		fresh = NULL;
	}
	spin_unlock(&vdiset_limits_lock);

	kfree(fresh);
	return account;
}

struct vdiset_account *vdiset_account_hold(struct vdiset_account *account)
{
	spin_lock(&vdiset_limits_lock);
	account->users++;
	spin_unlock(&vdiset_limits_lock);
	return account;
}

void vdiset_account_put(struct vdiset_account *account)
{
	spin_lock(&vdiset_limits_lock);
	if (--account->users == 0)
		hash_del(&account->node);
	else
		account = NULL;
	spin_unlock(&vdiset_limits_lock);
	kfree(account);
}

/* May the account have another party, and with @set another set? */
static bool vdiset_one_more(const struct vdiset_account *account, bool set)
{
	if (account->parties >= READ_ONCE(max_parties))
		return false;
	return !set || (account->sets < READ_ONCE(max_sets) &&
			vdiset_total_sets < READ_ONCE(max_total_sets));
}

/* Charge a party and, with @set, its set. Returns 0 or -EDQUOT. */
int vdiset_charge_party(struct vdiset_account *account, bool set)
{
	int rc = 0;

	spin_lock(&vdiset_limits_lock);
	if (!vdiset_one_more(account, set)) {
		rc = -EDQUOT;
	} else {
		account->parties++;
		account->sets += set;
		vdiset_total_sets += set;
	}
	spin_unlock(&vdiset_limits_lock);
	return rc;
}
ALLOW_ERROR_INJECTION(vdiset_charge_party, ERRNO);

void vdiset_uncharge_party(struct vdiset_account *account, bool set)
{
	spin_lock(&vdiset_limits_lock);
	account->parties--;
	account->sets -= set;
	vdiset_total_sets -= set;
	spin_unlock(&vdiset_limits_lock);
}

/* Is @used + @bytes within the limit? */
static bool vdiset_fits(u64 used, u64 bytes, const unsigned long *mb)
{
	u64 sum;

	return !check_add_overflow(used, bytes, &sum) &&
	       sum <= vdiset_limit(mb);
}

int vdiset_charge_rings(struct vdiset_account *account, u64 bytes)
{
	int rc = 0;

	spin_lock(&vdiset_limits_lock);
	if (!vdiset_fits(account->rings, bytes, &max_ring_mb))
		rc = -EDQUOT;
	else
		account->rings += bytes;
	spin_unlock(&vdiset_limits_lock);
	return rc;
}
ALLOW_ERROR_INJECTION(vdiset_charge_rings, ERRNO);

void vdiset_uncharge_rings(struct vdiset_account *account, u64 bytes)
{
	spin_lock(&vdiset_limits_lock);
	account->rings -= bytes;
	spin_unlock(&vdiset_limits_lock);
}

/*
 * Charge @bytes more for an area of @size. Returns 0, -ENOMEM beyond the limit of a set
 * or of the machine, -EDQUOT beyond the limit of the user.
 */
int vdiset_charge_area(struct vdiset_account *account, u64 size, u64 bytes)
{
	int rc = 0;

	spin_lock(&vdiset_limits_lock);
	if (!vdiset_fits(size, bytes, &max_set_mb) ||
	    !vdiset_fits(vdiset_total_bytes, bytes, &max_total_mb)) {
		rc = -ENOMEM;
	} else if (!vdiset_fits(account->bytes, bytes, &max_user_mb)) {
		rc = -EDQUOT;
	} else {
		account->bytes += bytes;
		vdiset_total_bytes += bytes;
	}
	spin_unlock(&vdiset_limits_lock);
	return rc;
}
ALLOW_ERROR_INJECTION(vdiset_charge_area, ERRNO);

void vdiset_uncharge_area(struct vdiset_account *account, u64 bytes)
{
	spin_lock(&vdiset_limits_lock);
	account->bytes -= bytes;
	vdiset_total_bytes -= bytes;
	spin_unlock(&vdiset_limits_lock);
}

/* Move a charge to another account, even beyond its limits: the memory exists. */
void vdiset_account_move(struct vdiset_account *from,
			 struct vdiset_account *to, u64 rings, u64 bytes)
{
	spin_lock(&vdiset_limits_lock);
	from->rings -= rings;
	from->bytes -= bytes;
	to->rings += rings;
	to->bytes += bytes;
	spin_unlock(&vdiset_limits_lock);
}

void vdiset_limits_fill(struct vdiset_info *info)
{
	info->out_max_sets = READ_ONCE(max_sets);
	info->out_max_set_bytes = vdiset_limit(&max_set_mb);
	info->out_max_user_bytes = vdiset_limit(&max_user_mb);
	info->out_max_total_bytes = vdiset_limit(&max_total_mb);
	spin_lock(&vdiset_limits_lock);
	info->out_total_bytes = vdiset_total_bytes;
	spin_unlock(&vdiset_limits_lock);
}
