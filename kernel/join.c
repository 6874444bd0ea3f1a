// SPDX-License-Identifier: GPL-2.0
/*
 * join.c - CREATE and ATTACH: a process becomes a party of a set
 */
#include <linux/capability.h>
#include <linux/file.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "trace.h"
#include "vdiset.h"

static int vdiset_check_create(const struct vdiset_create *args)
{
	const struct vdiset_config *config = &args->config;

	if (args->flags || args->reserved[0] || args->reserved[1])
		return -EINVAL;
	if (args->mode & ~0777)
		return -EINVAL;
	if (!args->name_len && args->name)
		return -EINVAL;
	if (!config->device_count || config->device_count > VDISET_MAX_DEVICES)
		return -EINVAL;
	if (config->block_size || config->max_io_depth ||
	    config->max_transfer_size || config->buffer_area_size)
		return -EINVAL;
	return 0;
}

/* As chown(2): another owner, or a group the caller is not in, takes CAP_CHOWN. */
static int vdiset_set_owner(struct vdiset_set *set,
			    const struct vdiset_create *args)
{
	bool may_chown = ns_capable_noaudit(current_user_ns(), CAP_CHOWN);

	set->uid = current_euid();
	set->gid = current_egid();

	if (args->uid != (u32)-1) {
		set->uid = make_kuid(current_user_ns(), args->uid);
		if (!uid_valid(set->uid))
			return -EINVAL;
		if (!uid_eq(set->uid, current_euid()) && !may_chown)
			return -EPERM;
	}
	if (args->gid != (u32)-1) {
		set->gid = make_kgid(current_user_ns(), args->gid);
		if (!gid_valid(set->gid))
			return -EINVAL;
		if (!in_egroup_p(set->gid) && !may_chown)
			return -EPERM;
	}
	return 0;
}

static void vdiset_init_devices(struct vdiset_set *set)
{
	u32 i;

	for (i = 0; i < set->config.device_count; i++) {
		struct vdiset_device *device = &set->device[i];

		device->set = set;
		device->index = i;
		init_waitqueue_head(&device->wait[VDISET_SERVER]);
		init_waitqueue_head(&device->wait[VDISET_CLIENT]);
	}
	/* the first device has the name of the set */
	memcpy(set->device[0].name, set->name, sizeof(set->name));
	set->device[0].name_len = set->name_len;
}

static struct vdiset_set *vdiset_set_new(const struct vdiset_create *args)
{
	struct vdiset_set *set;
	int rc;

	set = kvzalloc(struct_size(set, device, args->config.device_count),
		       GFP_KERNEL_ACCOUNT);
	if (!set)
		return ERR_PTR(-ENOMEM);

	kref_init(&set->ref);
	INIT_LIST_HEAD(&set->members);
	set->mode = args->mode;
	set->config = args->config;
	set->state = VDISET_STATE_CREATED;
	set->creator = current_euid();
	set->created = ktime_get_boottime_ns();
	spin_lock_init(&set->lock);
	init_waitqueue_head(&set->wait);
	init_waitqueue_head(&set->server_wait);

	if (args->name_len) {
		rc = vdiset_copy_name(set->name, args->name, args->name_len);
		if (rc)
			goto err_set;
		set->name_len = args->name_len;
	}
	rc = vdiset_set_owner(set, args);
	if (rc)
		goto err_set;

	mutex_init(&set->config_lock);
	set->cred = get_current_cred();
	vdiset_watch_init(set);
	vdiset_init_devices(set);
	return set;

err_set:
	kvfree(set);
	return ERR_PTR(rc);
}

/*
 * The last step of joining. If another thread has closed the descriptor meanwhile, its
 * flush did not see the party, which has to be checked here.
 */
static void vdiset_bind(struct vdiset_call *call, struct vdiset_party *party)
{
	trace_vdiset_party(party, true, false);
	vdiset_file_bind(call->file, party);
	if (!vdiset_holds_file(call->filp, &call->file->fd_hint))
		vdiset_party_died(party);
}

int vdiset_create_ioctl(struct vdiset_call *call)
{
	struct vdiset_create *args = &call->args->create;
	struct vdiset_file *file = call->file;
	struct vdiset_party *party;
	struct vdiset_set *set;
	int rc;

	rc = vdiset_check_create(args);
	if (rc)
		return rc;

	/* the holder may be waiting for a page fault while it copies a name */
	if (mutex_lock_killable(&file->bind_lock))
		return -EINTR;
	if (file->party) {
		rc = -EISCONN;
		goto out_unlock;
	}
	set = vdiset_set_new(args);
	if (IS_ERR(set)) {
		rc = PTR_ERR(set);
		goto out_unlock;
	}
	party = vdiset_party_new(set, VDISET_ROLE_PRIMARY, true);
	if (IS_ERR(party)) {
		rc = PTR_ERR(party);
		goto out_set;
	}
	spin_lock(&set->lock);
	set->primary = party;
	vdiset_add_member(party);
	spin_unlock(&set->lock);

	rc = vdiset_set_publish(set);
	if (rc) {
		vdiset_party_put(party);
		goto out_set;
	}
	args->out_id = set->id;
	trace_vdiset_create(set);
	vdiset_bind(call, party);
out_set:
	/* the party holds its own reference; without one the set is freed */
	vdiset_set_put(set);
out_unlock:
	mutex_unlock(&file->bind_lock);
	return rc;
}

static int vdiset_check_attach(const struct vdiset_attach *args)
{
	bool by_name = args->flags == VDISET_ATTACH_BY_NAME;
	bool by_id = args->flags == VDISET_ATTACH_BY_ID;
	bool by_fd = args->flags == VDISET_ATTACH_BY_FD;

	if (!by_name && !by_id && !by_fd)
		return -EINVAL;
	if (!by_name && (args->name || args->name_len || args->creator))
		return -EINVAL;
	if ((!by_id && args->id) || (!by_fd && args->fd))
		return -EINVAL;
	if (args->role != VDISET_ROLE_SERVER &&
	    args->role != VDISET_ROLE_SECONDARY &&
	    args->role != VDISET_ROLE_OBSERVER)
		return -EINVAL;
	return 0;
}

/* A bound set file grants the access that the file itself has. */
static struct vdiset_set *vdiset_set_by_fd(int fd, u32 *access)
{
	struct vdiset_set *set = ERR_PTR(-EINVAL);
	struct vdiset_party *party = NULL;
	struct file *filp;

	filp = fget(fd);
	if (!filp)
		return ERR_PTR(-EBADF);
	if (filp->f_op == &vdiset_file_fops) {
		struct vdiset_file *file = filp->private_data;

		party = vdiset_file_party(file);
	}
	if (party) {
		set = party->set;
		kref_get(&set->ref);
		*access = MAY_READ | (party->may_write ? MAY_WRITE : 0);
	}
	fput(filp);
	return set;
}

/* Search among the sets of one creator only: privilege does not widen the search. */
static struct vdiset_set *
vdiset_set_by_creator(const struct vdiset_attach *args)
{
	kuid_t creator = make_kuid(current_user_ns(), args->creator);
	char name[VDISET_NAME_MAX + 1];
	int rc;

	rc = vdiset_copy_name(name, args->name, args->name_len);
	if (rc)
		return ERR_PTR(rc);
	if (!uid_valid(creator))
		return ERR_PTR(-EINVAL);
	return vdiset_set_by_name(creator, name, args->name_len);
}

static struct vdiset_set *vdiset_set_by_key(const struct vdiset_attach *args,
					    u32 *access)
{
	struct vdiset_set *set;

	if (args->flags == VDISET_ATTACH_BY_NAME)
		set = vdiset_set_by_creator(args);
	else
		set = vdiset_set_by_id(args->id);
	if (IS_ERR(set))
		return set;
	if (!set)
		return ERR_PTR(-ENOENT);
	*access = vdiset_set_access(set);
	if (!*access) {
		vdiset_set_put(set);
		return ERR_PTR(-ENOENT);
	}
	return set;
}

static int vdiset_join_server(struct vdiset_set *set,
			      struct vdiset_party *party)
{
	switch (set->state) {
	case VDISET_STATE_CREATED:
		set->server = party;
		vdiset_set_enter(set, VDISET_STATE_CONNECTED);
		return 0;
	case VDISET_STATE_ABORTED:
		return -ECANCELED;
	case VDISET_STATE_TERMINATED:
		return -EPIPE;
	default:
		return -EBUSY;
	}
}

static int vdiset_join_secondary(struct vdiset_set *set)
{
	switch (set->state) {
	case VDISET_STATE_INITIALIZING:
	case VDISET_STATE_ACTIVE:
		set->secondaries++;
		return 0;
	case VDISET_STATE_ABORTED:
		return -ECANCELED;
	case VDISET_STATE_TERMINATED:
		return -EPIPE;
	default:
		return -EAGAIN;
	}
}

static int vdiset_join(struct vdiset_set *set, struct vdiset_party *party)
{
	int rc = 0;

	spin_lock(&set->lock);
	switch (party->who.role) {
	case VDISET_ROLE_SERVER:
		rc = vdiset_join_server(set, party);
		break;
	case VDISET_ROLE_SECONDARY:
		rc = vdiset_join_secondary(set);
		break;
	}
	/* a refused party must not be taken for one that leaves */
	party->left = rc != 0;
	if (!rc)
		vdiset_add_member(party);
	if (!rc && party->who.role == VDISET_ROLE_SERVER)
		vdiset_watch_start(set);
	spin_unlock(&set->lock);

	if (!rc)
		vdiset_wake(&set->wait);
	return rc;
}

int vdiset_attach_ioctl(struct vdiset_call *call)
{
	struct vdiset_attach *args = &call->args->attach;
	struct vdiset_file *file = call->file;
	struct vdiset_party *party;
	struct vdiset_set *set;
	u32 access = 0;
	int rc;

	rc = vdiset_check_attach(args);
	if (rc)
		return rc;

	/* the holder may be waiting for a page fault while it copies a name */
	if (mutex_lock_killable(&file->bind_lock))
		return -EINTR;
	if (file->party) {
		rc = -EISCONN;
		goto out_unlock;
	}
	if (args->flags == VDISET_ATTACH_BY_FD)
		set = vdiset_set_by_fd(args->fd, &access);
	else
		set = vdiset_set_by_key(args, &access);
	if (IS_ERR(set)) {
		rc = PTR_ERR(set);
		goto out_unlock;
	}
	if (!(access & (args->role == VDISET_ROLE_OBSERVER ? MAY_READ :
							     MAY_WRITE))) {
		rc = -EACCES;
		goto out_set;
	}
	party = vdiset_party_new(set, args->role, access & MAY_WRITE);
	if (IS_ERR(party)) {
		rc = PTR_ERR(party);
		goto out_set;
	}
	rc = vdiset_join(set, party);
	if (rc) {
		vdiset_party_put(party);
		goto out_set;
	}
	args->out_id = set->id;
	vdiset_bind(call, party);
out_set:
	vdiset_set_put(set);
out_unlock:
	mutex_unlock(&file->bind_lock);
	return rc;
}
