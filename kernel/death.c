// SPDX-License-Identifier: GPL-2.0
/*
 * death.c - detecting processes that are exiting but still hold their files
 *
 * The flush operation (party.c) detects every death, but possibly late: after the process
 * has freed its memory or written its core, and not while one of its threads is in
 * uninterruptible sleep (on a frozen file system, for instance) or asynchronous I/O is in
 * flight. The other parties must not wait for that. So work of each live set checks once
 * a second whether one of its processes is exiting; such a process executes no further
 * user code.
 */
#include <linux/fdtable.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

#include "vdiset.h"

/* The other parties are notified within two seconds, see docs/security.md. */
#define VDISET_WATCH_PERIOD	HZ

/*
 * Is the process exiting, and will its table of descriptors @owner go with it? Another
 * process may share the table (CLONE_FILES) and then belongs to the same party. The users
 * of the table are read before its threads are counted, so that threads that exit
 * meanwhile can delay the detection to the next check, but not cause a false one.
 */
static bool vdiset_is_dying(const struct vdiset_identity *who,
			    fl_owner_t owner)
{
	struct task_struct *leader, *task;
	int users = 0, threads = 0;

	leader = pid_task(who->pid, PIDTYPE_TGID);
	if (!leader || !(READ_ONCE(leader->signal->flags) & SIGNAL_GROUP_EXIT))
		return false;
	for_each_thread(leader, task) {
		task_lock(task);
		if (task->files == owner) {
			if (!threads++)
				users = atomic_read(&task->files->count);
		}
		task_unlock(task);
	}
	return threads && users <= threads;
}

/* The process that opened a device may differ from the one that joined. */
static const struct vdiset_identity *
vdiset_dying_user(const struct vdiset_device *device)
{
	const struct vdiset_device_file *user;
	unsigned int side;

	if (device->state == VDISET_DEVICE_CLOSED)
		return NULL;
	for (side = 0; side < VDISET_SIDES; side++) {
		user = device->user[side];
		if (user && !user->party->left &&
		    vdiset_is_dying(&user->who, user->owner))
			return &user->who;
	}
	return NULL;
}

/* A party, or the user of a device, whose process is exiting; NULL if there is none. */
static const struct vdiset_identity *vdiset_find_dying(struct vdiset_set *set)
{
	const struct vdiset_identity *who;
	struct vdiset_party *party;
	u32 i;

	lockdep_assert_held(&set->lock);

	list_for_each_entry(party, &set->members, node) {
		if (!party->left && vdiset_is_dying(&party->who, party->owner)) {
			vdiset_party_leave(party, true);
			return &party->who;
		}
	}
	for (i = 0; i < set->config.device_count; i++) {
		who = vdiset_dying_user(&set->device[i]);
		if (who)
			return who;
	}
	return NULL;
}

static void vdiset_watch(struct work_struct *work)
{
	struct vdiset_set *set = container_of(to_delayed_work(work),
					      struct vdiset_set, watch);
	const struct vdiset_identity *who;
	bool aborted = false;
	bool ended;

	rcu_read_lock();
	spin_lock(&set->lock);
	ended = vdiset_is_final(set->state);
	who = ended ? NULL : vdiset_find_dying(set);
	if (who)
		aborted = vdiset_abort_locked(set, VDISET_REASON_DIED, who);
	spin_unlock(&set->lock);
	rcu_read_unlock();

	if (aborted)
		vdiset_abort_wake(set);
	else if (!ended)
		schedule_delayed_work(&set->watch, VDISET_WATCH_PERIOD);
}

void vdiset_watch_init(struct vdiset_set *set)
{
	INIT_DELAYED_WORK(&set->watch, vdiset_watch);
}

/*
 * Check from now on until the set has ended; called when the server attaches, because
 * until then no other party waits. The work holds no reference: vdiset_set_retire() stops
 * it, when no member is left that could start it again.
 */
void vdiset_watch_start(struct vdiset_set *set)
{
	schedule_delayed_work(&set->watch, VDISET_WATCH_PERIOD);
}
