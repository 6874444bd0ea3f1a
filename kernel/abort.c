// SPDX-License-Identifier: GPL-2.0
/*
 * abort.c - SignalAbort: every operation of the set stops, every waiter returns
 *
 * An abort changes the state under set->lock and then wakes every waiter. It does not
 * wait itself: a sleeping thread finds the state in its wait condition, a running
 * thread finds it in the state page or in the result of its next request. Outstanding
 * commands are completed by the library.
 */
#include <linux/ktime.h>

#include "trace.h"
#include "vdiset.h"

/**
 * vdiset_abort_locked - move a set that has not ended to ABORTED
 * @set: the set; the caller holds set->lock
 * @reason: enum vdiset_reason
 * @by: the process that aborted, or that died
 *
 * Return: true if this call changed the state. The caller may then fill in code and
 * text, must unlock, and must call vdiset_abort_wake().
 */
bool vdiset_abort_locked(struct vdiset_set *set, u32 reason,
			 const struct vdiset_identity *by)
{
	lockdep_assert_held(&set->lock);

	if (set->state == VDISET_STATE_ABORTED ||
	    set->state == VDISET_STATE_TERMINATED)
		return false;

	trace_vdiset_abort(set, reason, by);
	set->abort.time_ns = ktime_get_real_ns();
	set->abort.reason = reason;
	vdiset_identity_copy(&set->abort_by, by);
	vdiset_set_enter(set, VDISET_STATE_ABORTED);
	return true;
}

/* Wake every waiter of the set. The caller's party holds the set. */
void vdiset_abort_wake(struct vdiset_set *set)
{
	u32 i;

	vdiset_wake(&set->wait);
	vdiset_wake(&set->server_wait);
	for (i = 0; i < set->config.device_count; i++) {
		vdiset_wake(&set->device[i].wait[VDISET_SERVER]);
		vdiset_wake(&set->device[i].wait[VDISET_CLIENT]);
	}
}

int vdiset_abort_ioctl(struct vdiset_call *call)
{
	const struct vdiset_abort *args = &call->args->abort;
	struct vdiset_set *set = call->party->set;
	struct vdiset_identity by;
	bool aborted;

	if (args->flags)
		return -EINVAL;
	if (args->reason != VDISET_REASON_SIGNAL &&
	    args->reason != VDISET_REASON_PROTOCOL &&
	    args->reason != VDISET_REASON_TIMEOUT)
		return -EINVAL;
	if (!memchr(args->text, '\0', sizeof(args->text)))
		return -EINVAL;
	if (!call->party->may_write)
		return -EACCES;

	/* the calling process, which may differ from the one that joined */
	vdiset_identity_get(&by, call->party->who.role);
	spin_lock(&set->lock);
	aborted = vdiset_abort_locked(set, args->reason, &by);
	if (aborted) {
		set->abort.code = args->code;
		strscpy_pad(set->abort.text, args->text,
			    sizeof(set->abort.text));
	}
	spin_unlock(&set->lock);
	vdiset_identity_put(&by);

	if (aborted)
		vdiset_abort_wake(set);
	return 0;
}
