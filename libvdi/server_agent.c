// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * server_agent.c - the server's completion agent
 */
#include <errno.h>

#include "server.h"

#define NS_PER_MS	INT64_C(1000000)

/* Become the agent; false if another thread is and @wait is false. */
bool vdi_server_claim_agent(struct vdi_server *server, bool wait)
{
	if (wait)
		pthread_mutex_lock(&server->agent);
	else if (pthread_mutex_trylock(&server->agent))
		return false;
	__atomic_store_n(&server->agent_thread, vdi_self(), __ATOMIC_RELAXED);
	__atomic_store_n(&server->agent_runs, true, __ATOMIC_RELEASE);
	return true;
}

void vdi_server_leave_agent(struct vdi_server *server)
{
	__atomic_store_n(&server->agent_runs, false, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&server->agent);
}

/* ------------------------------------------------------------------- scan */

/*
 * Kick the clients of devices for which routines have queued commands: before
 * other routines run, by the system call with which the agent sleeps, or at the
 * end of its step.
 */
static inline void notify_pending(struct vdi_server *server)
{
	uint64_t pending_kicks = server->pending_kicks;

	if (!pending_kicks)
		return;
	server->pending_kicks = 0;
	for (; pending_kicks; pending_kicks &= pending_kicks - 1)
		vdi_channel_notify(&vdi_server_device_at(server,
					__builtin_ctzll(pending_kicks))->core.ch);
}

/* Those that must be kicked, by the caller; after barrier (C). */
static uint64_t take_kicks(struct vdi_server *server)
{
	uint64_t pending_kicks = server->pending_kicks, kick = 0;
	struct vdi_server_device *device;
	int i;

	server->pending_kicks = 0;
	for (; pending_kicks; pending_kicks &= pending_kicks - 1) {
		i = __builtin_ctzll(pending_kicks);
		device = vdi_server_device_at(server, i);
		if (vdi_channel_must_kick(&device->core.ch))
			kick |= UINT64_C(1) << i;
	}
	return kick;
}

/* Check each device once, beginning behind the first one of the scan before. */
static VDI_ALWAYS_INLINE int scan(struct vdi_server *server, unsigned int *count)
{
	uint32_t left, n = server->config.device_count;
	struct vdi_server_device *device;
	uint32_t i = server->rotate;
	int code;

	for (left = n; left; left--) {
		device = vdi_server_device_at(server, i);
		if (++i >= n)
			i = 0;
		if (!device || !vdi_ring_ready(&device->core.ch.ring))
			continue;
		notify_pending(server);
		code = vdi_server_device_run(device, count);
		if (code)
			return code;
	}
	if (n > 1)
		server->rotate = i + 1 < n ? i + 1 : 0;
	return NOERROR;
}

/*
 * After an abort, deliver what clients had completed before it, with the codes
 * that they have recorded. All of this is in the rings: a client publishes the
 * completion (A) before it calls SignalAbort, the kernel stores the abort with
 * a release, and the caller has loaded it with an acquire from a state page, or
 * has got ECANCELED from an ioctl. So the load of the tail (B), which comes
 * after that, finds the completion. A completion that is published during the
 * abort may or may not be found.
 *
 * It ends with the first violation, in this device or an earlier one: nothing
 * that the client has written is used after that. Sending fails from now on, so
 * there are no more completions than commands were outstanding.
 */
static unsigned int deliver_recorded(struct vdi_server *server)
{
	struct vdi_server_device *device;
	unsigned int count = 0;
	uint32_t i;

	for (i = 0; i < VDISET_MAX_DEVICES; i++) {
		if (vdi_server_violated(server))
			break;
		device = vdi_server_device_at(server, i);
		if (device && vdi_server_device_busy(device))
			vdi_server_device_run(device, &count);
	}
	return count;
}

/*
 * After an abort: deliver recorded completions, and complete the rest with 995.
 */
unsigned int vdi_server_drain(struct vdi_server *server)
{
	struct vdi_server_device *device;
	struct VDS_Command *cmd;
	unsigned int count;
	uint32_t i;

	count = deliver_recorded(server);
	for (i = 0; i < VDISET_MAX_DEVICES; i++) {
		device = vdi_server_device_at(server, i);
		while (device && (cmd = vdi_server_device_drain(device))) {
			count++;
			cmd->completionRoutine(cmd);
		}
	}
	return count;
}

/* ------------------------------------------------------------------- wait */

static bool aborted(const struct vdi_server *server)
{
	const struct vdi_server_device *device;

	device = __atomic_load_n(&server->first_opened, __ATOMIC_ACQUIRE);
	return device && vdi_channel_aborted(&device->core.ch);
}

/* Is there a reason not to sleep? */
static inline bool ready(const void *arg)
{
	const struct vdi_server *server = arg;
	const struct vdi_server_device *device;
	uint32_t i;

	if (aborted(server))
		return true;
	for (i = 0; i < server->config.device_count; i++) {
		device = vdi_server_device_at(server, i);
		if (device && vdi_ring_ready(&device->core.ch.ring))
			return true;
	}
	return false;
}

/* One sleep has the same number on all devices; see vdi_ring_wants_kick(). */
static inline void arm(struct vdi_server *server)
{
	struct vdi_server_device *device;
	uint32_t i;

	server->sleep_seq = vdi_ring_next_sleep_seq(server->sleep_seq);
	__atomic_store_n(&server->armed, true, __ATOMIC_RELAXED);
	for (i = 0; i < server->config.device_count; i++) {
		device = vdi_server_device_at(server, i);
		if (device && !vdi_ring_own_wakeup(&device->core.ch.ring))
			vdi_ring_set_wakeup(&device->core.ch.ring,
					    server->sleep_seq);
	}
}

static inline void disarm(struct vdi_server *server)
{
	struct vdi_server_device *device;
	uint32_t i;

	if (!__atomic_load_n(&server->armed, __ATOMIC_RELAXED) ||
	    !__atomic_exchange_n(&server->armed, false, __ATOMIC_ACQ_REL))
		return;
	for (i = 0; i < server->config.device_count; i++) {
		device = vdi_server_device_at(server, i);
		if (device && vdi_ring_own_wakeup(&device->core.ch.ring))
			vdi_ring_set_wakeup(&device->core.ch.ring, 0);
	}
}

static bool outstanding(const struct vdi_server *server)
{
	const struct vdi_server_device *device;
	uint32_t i;

	for (i = 0; i < server->config.device_count; i++) {
		device = vdi_server_device_at(server, i);
		if (device && vdi_server_device_busy(device))
			return true;
	}
	return false;
}

/*
 * serverTimeOut: abort if commands were outstanding for two intervals and none
 * completed. Other threads may send while the agent sleeps, so it checks once
 * per interval; the abort comes after two to three intervals. Returns the
 * longest time to sleep, negative = without limit.
 */
static int64_t watch_silence(struct vdi_server *server)
{
	int64_t interval = server->config.server_timeout * NS_PER_MS;
	int64_t now, left;

	if (!interval)
		return -1;
	if (!outstanding(server)) {
		server->silent_since = 0;
		return interval;
	}
	now = vdi_now_ns();
	if (!server->silent_since)
		server->silent_since = now;
	left = server->silent_since + 2 * interval - now;
	if (left > 0)
		return left;
	vdi_set_abort(&server->set, VDISET_REASON_TIMEOUT, 0,
		      "no completion in two intervals of serverTimeOut");
	return 0;
}

static int64_t sooner(int64_t a, int64_t b)
{
	if (a < 0)
		return b;
	return b < 0 || a < b ? a : b;
}

/* 0 or -errno. */
static int wait_set(struct vdi_server *server, int64_t timeout_ns)
{
	struct vdiset_wait wait = {
		.size = sizeof(wait),
		.flags = VDISET_WAIT_SLEEP,
		.timeout_ns = timeout_ns,
		.kick = take_kicks(server),
		.seen = server->seen,
	};
	int err;

	if (wait.kick)
		wait.flags |= VDISET_WAIT_KICK;
	err = vdi_set_ioctl(&server->set, VDISET_WAIT, &wait);
	if (!err)
		server->seen = wait.out_events;
	return err;
}

/* ------------------------------------------------------------------ steps */

static int finish(struct vdi_server *server, unsigned int *count)
{
	*count += vdi_server_drain(server);
	return vdi_set_fail_abort(&server->set);
}

/*
 * Sleep. NOERROR = check again, VD_E_BUSY = interrupted by a signal, others end
 * the step. need_wakeup stays set after a time-out, since the caller may use
 * poll(2) then.
 */
static VDI_ALWAYS_INLINE int
sleep_for_completions(struct vdi_server *server, struct vdi_deadline *deadline)
{
	int64_t left, limit;
	int err;

	arm(server);
	vdi_ring_barrier();	/* (D), and (C) for the pending kicks */
	limit = watch_silence(server);
	if (ready(server) || vdi_server_all_closed(server))
		return NOERROR;
	left = vdi_deadline_left(deadline);
	if (!left)
		return vdi_set_fail_text(&server->set, VD_E_TIMEOUT,
					 "nothing completed in time");
	err = wait_set(server, sooner(left, limit));
	switch (err) {
	case 0:
	case -ETIMEDOUT:
		return NOERROR;
	case -EINTR:
		return VD_E_BUSY;
	case -EPIPE:	/* terminated: all devices were closed */
		return VD_E_CLOSE;
	case -ECANCELED:
		return VD_E_ABORT;
	default:
		if (__atomic_load_n(&server->closing, __ATOMIC_ACQUIRE))
			return VD_E_ABORT;
		return vdi_set_fail_errno(&server->set, err,
					  "wait for completions");
	}
}

static VDI_ALWAYS_INLINE int
wait_for_completions(struct vdi_server *server, struct vdi_deadline *deadline)
{
	uint32_t iterations;

	iterations = deadline->timeout_ns ? vdi_spin_begin(&server->spin) : 0;
	if (iterations) {
		disarm(server);
		notify_pending(server);
		/* each call checks all rings */
		if (vdi_spin_run(&server->spin, iterations,
				 server->config.device_count, ready, server))
			return NOERROR;
	}
	return sleep_for_completions(server, deadline);
}

/*
 * The agent's loop: until completions were delivered or, if @for_good, until
 * the end of the set. *@count = number of routines that were run.
 */
static VDI_LOOP int work(struct vdi_server *server, int64_t timeout_ms,
			 bool for_good, unsigned int *count)
{
	struct vdi_deadline deadline;
	unsigned int n;
	int code;

	*count = 0;
	vdi_deadline_init(&deadline, timeout_ms);
	for (;;) {
		if (vdi_unlikely(aborted(server)))
			return finish(server, count);
		n = 0;
		code = scan(server, &n);
		*count += n;
		if (vdi_unlikely(code))
			return finish(server, count);
		if (n) {
			disarm(server);
			server->silent_since = 0;
			if (!for_good)
				return NOERROR;
			/* the only device was found empty just now */
			if (server->config.device_count > 1)
				continue;
			if (vdi_unlikely(aborted(server)))
				return finish(server, count);
		}
		if (vdi_unlikely(vdi_server_all_closed(server)))
			return VD_E_CLOSE;
		code = wait_for_completions(server, &deadline);
		if (vdi_likely(!code))
			continue;
		if (code == VD_E_ABORT)
			return finish(server, count);
		if (code != VD_E_BUSY)
			return code;
		if (!for_good)
			return NOERROR;
	}
}

/*
 * Enter the set and become the agent; on error, neither. That all devices are
 * closed already is no error, since a thread that is to be the agent may be
 * late.
 */
static int begin_agent(struct vdi_server *server)
{
	int code = NOERROR;

	if (!vdi_set_enter(&server->set))
		return vdi_set_fail_gone(&server->set, "run completions");
	if (!vdi_server_claim_agent(server, false)) {
		code = vdi_set_fail(&server->set, VD_E_BUSY,
				    "the completion agent is running");
	} else if (__atomic_load_n(&server->phase, __ATOMIC_ACQUIRE) !=
		   VDI_SERVER_READY) {
		vdi_server_leave_agent(server);
		code = vdi_set_fail_order(&server->set, "run completions",
					  VDI_NEED_END);
	}
	if (code)
		vdi_set_leave(&server->set);
	return code;
}

static void end_agent(struct vdi_server *server)
{
	notify_pending(server);
	vdi_server_leave_agent(server);
	vdi_set_leave(&server->set);
}

int vdi_server_run_completions(struct vdi_server *server, int64_t timeout_ms,
			       unsigned int *count)
{
	unsigned int n = 0;
	int code;

	if (count)
		*count = 0;
	if (!server)
		return VD_E_INVALID;
	code = begin_agent(server);
	if (code)
		return code;
	code = work(server, timeout_ms, false, &n);
	end_agent(server);
	if (count)
		*count = n;
	return code;
}

int vdi_server_execute_completion_agent(struct vdi_server *server)
{
	unsigned int count;
	int code;

	if (!server)
		return VD_E_INVALID;
	code = begin_agent(server);
	if (code)
		return code;
	code = work(server, -1, true, &count);
	end_agent(server);
	return code == VD_E_CLOSE ? NOERROR : code;
}
