// SPDX-License-Identifier: GPL-2.0
/*
 * abort.c - SignalAbort: everything stops, every waiter returns
 *
 * An abort is a change of state under set->lock, then a wake-up of every
 * waiter. It waits for nobody: whoever sleeps finds the state in its wait
 * condition, whoever runs finds it in the state page or with the next call.
 * Commands that are outstanding are the library's business.
 */
#include <linux/ktime.h>

#include "trace.h"
#include "vdiset.h"

/**
 * vdiset_abort_locked - move a set to ABORTED, once
 * @set: the set, locked by the caller
 * @reason: enum vdiset_reason
 * @by: who did it, or who has died
 *
 * Returns true when this call did it; the caller then unlocks and calls
 * vdiset_abort_wake(), and may fill in code and text before it unlocks.
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

/* The caller keeps the set alive, by its party. */
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

	/* whoever calls, which need not be the process that joined */
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
