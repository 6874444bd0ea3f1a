// SPDX-License-Identifier: GPL-2.0
/*
 * identity.c - who somebody is, for others to be told
 *
 * Kept beyond the life of the process, as its pid structure and kernel ids, and
 * told in the terms of whoever asks.
 */
#include "vdiset.h"

/* The calling process in @role. Ends with vdiset_identity_put(). */
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

/* Put it in the terms of the calling process's namespaces. */
void vdiset_identity_tell(const struct vdiset_identity *who,
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
