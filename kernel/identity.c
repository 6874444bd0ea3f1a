// SPDX-License-Identifier: GPL-2.0
/*
 * identity.c - the identity of a process, as other parties see it
 *
 * It outlives the process, as a reference to its struct pid and as kernel ids, and is
 * translated into the namespaces of the process that asks.
 */
#include "vdiset.h"

/* The calling process in @role. Release it with vdiset_identity_put(). */
void vdiset_identity_get(struct vdiset_identity *who, u32 role)
{
	who->role = role;
	who->pid = get_pid(task_tgid(current));
	who->uid = current_euid();
	who->gid = current_egid();
	get_task_comm(who->comm, current->group_leader);
}

void vdiset_identity_copy(struct vdiset_identity *to,
			  const struct vdiset_identity *from)
{
	*to = *from;
	get_pid(to->pid);
}

void vdiset_identity_put(struct vdiset_identity *who)
{
	put_pid(who->pid);
	who->pid = NULL;
}

/* Fill in @peer, translated into the calling process's namespaces. */
void vdiset_identity_fill(const struct vdiset_identity *who,
			  struct vdiset_peer *peer)
{
	memset(peer, 0, sizeof(*peer));
	if (!who->role)
		return;
	peer->role = who->role;
	peer->pid = pid_vnr(who->pid);
	peer->uid = from_kuid_munged(current_user_ns(), who->uid);
	peer->gid = from_kgid_munged(current_user_ns(), who->gid);
	strscpy(peer->comm, who->comm, sizeof(peer->comm));
}
