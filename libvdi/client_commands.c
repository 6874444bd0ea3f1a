// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * client_commands.c - getting and completing commands
 *
 * IO-ERROR, and what each side does about it:
 *
 * A command that is completed with an error code (vdi_completion_is_error())
 * puts its device into IO-ERROR. Commands that are queued already must then end
 * with 1117 without being delivered, but they are in a ring that only the
 * client reads. So from the moment it records an error, the client's library
 * completes each further command with 1117 by itself, until it finds
 * ClearError. It holds ClearError back until the client has completed all
 * commands that it holds, and delivers it then; its completion with success
 * ends IO-ERROR.
 *
 * The server's library sends nothing but ClearError from the moment it sees the
 * completion with an error, until it sees the completion of ClearError.
 * Commands sent in between are before ClearError in the ring, so both sides
 * always agree about a command.
 *
 * Validation: whatever the server has written is checked once. fetch_plain()
 * does it for nearly all commands, accept() for the others.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

/*
 * Interval at which a wait for the client's other threads checks for an abort.
 */
#define HOLD_TICK_NS	(10 * 1000 * 1000)

/* Internal to get_command: no command to deliver yet. */
#define NOTHING		1

/* ------------------------------------------------------------- completing */

static struct vdi_slot *slot_of(struct VDC_Command *cmd)
{
	return (struct vdi_slot *)cmd;
}

static VDI_ALWAYS_INLINE bool is_slot(const struct vdi_client_device *device,
				      const struct vdi_slot *slot,
				      uint32_t *tag)
{
	uintptr_t distance = (uintptr_t)slot - (uintptr_t)device->slots;
	uintptr_t index = distance / sizeof(struct vdi_slot);

	*tag = index;
	return index < device->core.limits.depth &&
	       !(distance % sizeof(struct vdi_slot));
}

static VDI_ALWAYS_INLINE bool holds(const struct vdi_client_device *device,
				    const struct VDC_Command *cmd,
				    uint32_t *tag)
{
	const struct vdi_slot *slot = (const struct vdi_slot *)cmd;

	return is_slot(device, slot, tag) && slot->held;
}

static void set_held(struct vdi_client_device *device, uint32_t held)
{
	__atomic_store_n(&device->held, held, __ATOMIC_RELAXED);
}

/* The thread in get_command sleeps in wait_for_idle(), or is about to. */
static VDI_COLD void wake_idle(struct vdi_client_device *device)
{
	device->idle_waiter = false;
	vdi_futex_wake(&device->held);
}

/* What is undone when a later completion of the same call is refused. */
struct undo {
	bool noted;
	bool in_error;
	struct vdi_history history;
};

/*
 * With the lock held, before the completion can be seen: all but a transfer
 * with success. False if @code is not a completion code.
 */
static VDI_COLD bool note(struct vdi_client_device *device,
			  const struct vdi_slot *slot, int code,
			  uint32_t bytes, uint64_t written, struct undo *undo)
{
	if (code < 0)
		return false;
	if (!undo->noted) {
		undo->noted = true;
		undo->in_error = device->in_error;
		undo->history = device->history;
	}
	if (code != ERROR_SUCCESS || slot->code == VDC_ClearError)
		device->in_error = vdi_io_error_after(device->in_error,
						      slot->code,
						      slot->max_bytes, code,
						      bytes);
	vdi_history_note(&device->history, slot->code,
			 vdi_completion_is_error(slot->code, slot->max_bytes,
						 code, bytes), code,
			 device->history.written + written);
	return true;
}

/* Why @done cannot be completed. */
static int refuse(struct vdi_client_device *device,
		  const struct vdi_completion *done)
{
	const struct vdi_slot *slot = slot_of(done->cmd);
	struct vdi_set *set = device->core.set;
	const char *name;
	uint32_t tag;

	if (!is_slot(device, slot, &tag) || !slot->code)
		return vdi_set_fail(set, VD_E_INVALID, "complete command: %p "
				    "was not received from device %s",
				    (const void *)done->cmd,
				    device->core.name);
	name = vdi_command_name(slot->code);
	if (!slot->held)
		return vdi_set_fail(set, VD_E_INVALID, "complete command: "
				    "this %s of device %s was completed "
				    "before", name, device->core.name);
	if (done->bytes > slot->max_bytes)
		return vdi_set_fail(set, VD_E_INVALID, "complete command: %u "
				    "bytes for a %s of %u bytes", done->bytes,
				    name, slot->max_bytes);
	return vdi_set_fail(set, VD_E_INVALID, "complete command: %d (%s) is "
			    "not a completion code; these are the ERROR_* of "
			    "vditypes.h, not errno values or VD_E_* codes",
			    done->code, done->code < -4095 ?
			    vdi_strerror(done->code) : strerror(-done->code));
}

/* @done cannot be completed: undo the @count before it. */
static VDI_COLD int roll_back(struct vdi_client_device *device,
			      const struct vdi_completion *done,
			      unsigned int count, const struct undo *undo)
{
	int code = refuse(device, done);

	while (count--)
		slot_of((--done)->cmd)->held = true;
	if (undo->noted) {
		device->in_error = undo->in_error;
		device->history = undo->history;
	}
	return code;
}

/* More completions than commands are held: find the first one too many. */
static VDI_COLD int refuse_excess(struct vdi_client_device *device,
				  const struct vdi_completion *done)
{
	const struct undo nothing = { .noted = false };
	unsigned int i;
	uint32_t tag;

	for (i = 0; holds(device, done[i].cmd, &tag); i++)
		slot_of(done[i].cmd)->held = false;
	return roll_back(device, &done[i], i, &nothing);
}

/*
 * Complete all or none, by one publication, with the lock held. The slot must
 * be free, and IO-ERROR entered, before the completion can be seen: the server
 * may use the tag again at once.
 */
static VDI_LOOP int complete_held(struct vdi_client_device *device,
				  const struct vdi_completion *done,
				  unsigned int count)
{
	struct vdi_ring *ring = &device->core.ch.ring;
	uint32_t staged = ring->staged, end = staged + count;
	uint64_t bytes = 0, written = 0;
	struct undo undo;

	undo.noted = false;
	if (vdi_unlikely(count > device->held))
		return refuse_excess(device, done);
	if (vdi_unlikely(vdi_ring_used(ring) > ring->depth - count))
		return vdi_set_violation(device->core.set, VDI_BAD_HEAD);
	for (; staged != end; staged++, done++) {
		struct vdi_slot *slot = slot_of(done->cmd);
		struct vdiset_completion entry = {
			.code = done->code,
			.bytes = done->bytes,
			.position = done->position,
		};

		if (vdi_unlikely(!holds(device, done->cmd, &entry.tag) ||
				 done->bytes > slot->max_bytes))
			return roll_back(device, done, staged - ring->staged,
					 &undo);
		if (vdi_command_has_data(slot->code))
			bytes += done->bytes;
		if (slot->code == VDC_Write)
			written += done->bytes;
		if (vdi_unlikely((entry.code != ERROR_SUCCESS ||
				  !vdi_command_has_data(slot->code)) &&
				 !note(device, slot, done->code, done->bytes,
				       written, &undo)))
			return roll_back(device, done, staged - ring->staged,
					 &undo);
		slot->held = false;
		vdi_ring_write_completion(ring, staged, &entry);
	}
	if (vdi_log_on())
		vdi_client_log_completed(device, done - count, count);
	ring->staged = staged;
	device->history.written += written;
	set_held(device, device->held - count);
	if (vdi_unlikely(device->idle_waiter && !device->held))
		wake_idle(device);
	vdi_ring_count(ring, count, bytes);
	vdi_ring_publish(ring);
	return NOERROR;
}

/* Is there nothing that must end calls? */
static inline bool may_go_on(const struct vdi_client_device *device)
{
	return vdi_likely(!vdi_channel_aborted(&device->core.ch) &&
			  !vdi_client_stops(device->client) &&
			  !__atomic_load_n(&device->closed, __ATOMIC_RELAXED));
}

/* If there is, the error. While the client is being closed it may complete. */
static VDI_COLD int may_complete(struct vdi_client_device *device)
{
	struct vdi_client *client = device->client;

	if (vdi_channel_aborted(&device->core.ch) || vdi_client_gave_up(client))
		return vdi_client_fail_abort(client);
	if (__atomic_load_n(&device->closed, __ATOMIC_RELAXED))
		return vdi_set_fail_order(&client->set, "complete command",
					  "the server has closed the device");
	return NOERROR;
}

static VDI_COLD int may_get(struct vdi_client_device *device)
{
	struct vdi_client *client = device->client;

	if (vdi_channel_aborted(&device->core.ch) || vdi_client_gave_up(client))
		return vdi_client_fail_abort(client);
	if (__atomic_load_n(&device->closed, __ATOMIC_RELAXED))
		return vdi_set_fail_order(&client->set, "get command",
					  "the server has closed the device, "
					  "and VD_E_CLOSE was returned before");
	if (vdi_client_closing(client))
		return vdi_set_fail_gone(&client->set, "get command");
	return NOERROR;
}

/* The caller notifies the server. */
static VDI_ALWAYS_INLINE int
complete_commands(struct vdi_client_device *device,
		  const struct vdi_completion *done, unsigned int count)
{
	int code;

	vdi_lock(&device->core.lock);
	code = complete_held(device, done, count);
	vdi_unlock(&device->core.lock);
	return code;
}

/* A list is NULL or has no elements. */
static VDI_COLD int fail_list(struct vdi_client_device *device,
			      const char *what, const char *name,
			      const void *list)
{
	if (!list)
		return vdi_set_fail_null(device->core.set, what, name);
	return vdi_set_fail(device->core.set, VD_E_INVALID, "%s: the number "
			    "of elements of %s is 0", what, name);
}

int vdi_client_complete_commands(struct vdi_client_device *device,
				 const struct vdi_completion *done,
				 unsigned int count)
{
	int code;

	if (!device)
		return VD_E_INVALID;
	if (!done || !count)
		return fail_list(device, "complete command", "done", done);
	if (!vdi_device_enter(&device->core))
		return vdi_set_fail_gone(device->core.set, "complete command");
	code = may_go_on(device) ? NOERROR : may_complete(device);
	if (!code)
		code = complete_commands(device, done, count);
	if (!code) {
		vdi_channel_notify(&device->core.ch);
		if (vdi_unlikely(vdi_channel_rate(&device->core.ch)))
			vdi_client_pace(device, done, count);
	}
	vdi_device_leave(&device->core);
	return code;
}

int vdi_client_complete_command(struct vdi_client_device *device,
				struct VDC_Command *cmd, int completion_code,
				uint32_t bytes_transferred, int64_t position)
{
	const struct vdi_completion done = {
		.cmd = cmd,
		.code = completion_code,
		.bytes = bytes_transferred,
		.position = position,
	};

	if (device && !cmd)
		return vdi_set_fail_null(device->core.set, "complete command",
					 "cmd");
	return vdi_client_complete_commands(device, &done, 1);
}

/* ---------------------------------------------------------------- getting */

/*
 * Kick the server for earlier completions, since this thread may be busy now.
 */
static void notify_pending(struct vdi_client_device *device)
{
	if (!device->pending_kick)
		return;
	device->pending_kick = false;
	vdi_channel_notify(&device->core.ch);
}

/*
 * Find a buffer in the growth of the area. If this process cannot map it, the
 * client cannot execute commands any more: the set is aborted, and the call
 * reports why. Mapping takes time, in particular if pages are locked, so the
 * server is notified first.
 */
static VDI_COLD int find_new_buffer(struct vdi_client_device *device,
				    const struct vdiset_command *cmd,
				    uint8_t **buffer)
{
	uint64_t area_size = vdi_channel_area_size(&device->core.ch);
	struct vdi_client *client = device->client;
	char why[VDI_MESSAGE_SIZE], text[VDI_TEXT_SIZE];
	struct vdi_set *set = &client->set;
	int code;

	if (vdi_area_size(&set->area) >= area_size)
		return NOERROR;
	notify_pending(device);
	code = vdi_set_map_area(set, area_size, why);
	if (code) {
		snprintf(text, sizeof(text), "the client %.*s",
			 (int)sizeof(text) - 12, why);
		vdi_client_abort(client, text);
		return vdi_set_fail_text(set, code, why);
	}
	*buffer = vdi_area_address(&set->area, cmd->buffer, device->core.prefix,
				   cmd->size);
	return NOERROR;
}

/* *@buffer = address of a command's buffer; NULL if it is not in the area. */
static inline int find_buffer(struct vdi_client_device *device,
			      const struct vdiset_command *cmd, uint8_t **buffer)
{
	const struct vdi_area *area = &device->core.set->area;
	const struct vdi_segment *seg;

	*buffer = NULL;
	if (cmd->buffer & device->core.unaligned)
		return NOERROR;
	seg = vdi_area_segment(area, cmd->buffer, device->core.prefix, cmd->size);
	if (!seg)
		return find_new_buffer(device, cmd, buffer);
	vdi_window_set(&device->core.window, seg, device->core.prefix);
	*buffer = seg->base + (cmd->buffer - seg->offset);
	return NOERROR;
}

/*
 * Check a command. *@wrong = what is wrong with it, or NULL and *@buffer is
 * set. An error code is an error of this process.
 */
static inline int check(struct vdi_client_device *device,
			const struct vdiset_command *cmd, uint8_t **buffer,
			const char **wrong)
{
	int code;

	*buffer = NULL;
	*wrong = vdi_command_check(cmd, &device->core.limits);
	if (*wrong || cmd->buffer == VDISET_NO_BUFFER)
		return NOERROR;
	code = find_buffer(device, cmd, buffer);
	if (!code && !*buffer)
		*wrong = "command with a buffer outside of the area";
	return code;
}

/* With the lock held, after the check. The caller updates device->held. */
static inline struct VDC_Command *hold(struct vdi_slot *slot,
				       const struct vdiset_command *cmd,
				       uint32_t max_bytes, uint8_t *buffer)
{
	slot->code = cmd->code;
	slot->max_bytes = max_bytes;
	slot->held = true;
	slot->cmd.commandCode = cmd->code;
	slot->cmd.size = cmd->size;
	slot->cmd.position = cmd->position;
	slot->cmd.buffer = buffer;
	return &slot->cmd;
}

/* A command in IO-ERROR, with the lock held: see the top of the file. */
static int drop_or_hold_back(struct vdi_client_device *device,
			     const struct vdiset_command *cmd)
{
	const struct vdiset_completion done = {
		.tag = cmd->tag,
		.code = ERROR_IO_DEVICE,
	};

	if (cmd->code == VDC_ClearError) {
		device->clear = *cmd;
		device->clear_held_back = true;
		return NOTHING;
	}
	if (vdi_ring_stage_completion(&device->core.ch.ring, &done))
		return vdi_set_violation(device->core.set, VDI_BAD_HEAD);
	vdi_ring_count(&device->core.ch.ring, 1, 0);
	vdi_ring_release(&device->core.ch.ring);
	vdi_ring_publish(&device->core.ch.ring);
	device->pending_kick = true;
	return NOTHING;
}

/* Check any command, and hold it. With the lock held. */
static VDI_COLD int accept(struct vdi_client_device *device,
			   const struct vdiset_command *cmd,
			   struct VDC_Command **out)
{
	const char *wrong;
	uint8_t *buffer;
	int code;

	code = check(device, cmd, &buffer, &wrong);
	if (code)
		return code;
	if (!wrong && device->slots[cmd->tag].held)
		wrong = "command with a tag in use";
	if (wrong)
		return vdi_set_violation(device->core.set, wrong);
	if (device->in_error)
		return drop_or_hold_back(device, cmd);
	*out = hold(&device->slots[cmd->tag], cmd,
		    vdi_command_max_bytes(cmd->code, cmd->size), buffer);
	return NOERROR;
}

/* Deliver ClearError, if the client holds nothing else. */
static int deliver_clear(struct vdi_client_device *device,
			 struct VDC_Command **out)
{
	if (device->held)
		return NOTHING;
	*out = hold(&device->slots[device->clear.tag], &device->clear,
		    UINT32_MAX, NULL);
	set_held(device, 1);
	device->clear_held_back = false;
	return NOERROR;
}

/*
 * need_wakeup is set when the ring was found empty, and cleared when something
 * was taken from it; the time in between has one sleep number. It stays set
 * after a time-out, since the caller may use poll(2) then.
 */
static void set_wakeup(struct vdi_client_device *device)
{
	if (vdi_ring_own_wakeup(&device->core.ch.ring))
		return;
	device->sleep_seq = vdi_ring_next_sleep_seq(device->sleep_seq);
	vdi_ring_set_wakeup(&device->core.ch.ring, device->sleep_seq);
}

static void clear_wakeup(struct vdi_client_device *device)
{
	if (vdi_ring_own_wakeup(&device->core.ch.ring))
		vdi_ring_set_wakeup(&device->core.ch.ring, 0);
}

/* Is there a command to take, as far as it can be seen without the lock? */
static bool pending(const struct vdi_client_device *device)
{
	return device->clear_held_back || vdi_ring_ready(&device->core.ch.ring);
}

/*
 * Take up to @max transfers, as nearly all commands are, in which accept()
 * would find nothing wrong and whose buffers are in the window. Stops at the
 * first other command, and copies it to @other.
 */
static VDI_LOOP unsigned int fetch_plain(struct vdi_client_device *device,
					 struct VDC_Command **cmds,
					 unsigned int max,
					 struct vdiset_command *other)
{
	const struct vdi_device *core = &device->core;
	const struct vdi_window *window = &core->window;
	struct vdi_ring *ring = &device->core.ch.ring;
	uint32_t head = ring->head;
	struct vdiset_command cmd;
	struct vdi_slot *slot;
	unsigned int i;
	uint64_t at;

	for (i = 0; i < max; i++) {
		vdi_ring_read_command(ring, head++, &cmd);
		at = cmd.buffer - window->offset;
		if (vdi_unlikely(cmd.tag >= core->limits.depth ||
				 cmd.reserved ||
				 !vdi_command_is_plain(&cmd, &core->limits) ||
				 !vdi_window_holds(window, at, cmd.size) ||
				 ((uint32_t)cmd.buffer & core->unaligned) ||
				 device->in_error))
			break;
		slot = &device->slots[cmd.tag];
		VDI_KEEP(slot);
		if (vdi_unlikely(slot->held))
			break;
		cmds[i] = hold(slot, &cmd, cmd.size, window->base + at);
	}
	ring->head = head;
	if (vdi_unlikely(i < max))
		*other = cmd;
	return i;
}

/* Take the rest of @n commands; *@cmd is the first of them. */
static VDI_COLD int fetch_others(struct vdi_client_device *device,
				 struct VDC_Command **cmds, unsigned int max,
				 struct vdiset_command *cmd, uint32_t n,
				 unsigned int *taken)
{
	int code;

	for (;;) {
		code = accept(device, cmd, &cmds[*taken]);
		if (code == NOERROR) {
			if (++*taken == max)
				break;
		} else if (code != NOTHING || device->clear_held_back) {
			break;
		}
		if (!--n)
			break;
		vdi_ring_take_command(&device->core.ch.ring, cmd);
	}
	return code;
}

/*
 * Take commands from the ring, with the lock held, and up to @max of them that
 * are to be delivered. The ring is checked only once: in IO-ERROR, commands end
 * here, and a hostile server may send them as fast as they are dropped. So the
 * caller gets a chance to check whether it must stop. NOERROR and NOTHING are
 * the same here.
 */
static inline int fetch(struct vdi_client_device *device,
			struct VDC_Command **cmds, unsigned int max,
			unsigned int *count)
{
	struct vdi_ring *ring = &device->core.ch.ring;
	struct vdiset_command other;
	unsigned int taken, want;
	int code = NOERROR;
	uint32_t n;

	if (vdi_unlikely(vdi_ring_available(ring, &n) == VDI_RING_BROKEN))
		return vdi_set_violation(device->core.set, VDI_BAD_TAIL);
	if (!n)
		return NOTHING;
	clear_wakeup(device);
	want = n < max ? n : max;
	taken = fetch_plain(device, cmds, want, &other);
	if (vdi_unlikely(taken < want))
		code = fetch_others(device, cmds, max, &other, n - taken,
				    &taken);
	vdi_ring_release(ring);
	set_held(device, device->held + taken);
	*count = taken;
	return code;
}

/* Get the next commands to deliver, up to @max; *@count is 0. */
static inline int next_commands(struct vdi_client_device *device,
				struct VDC_Command **cmds, unsigned int max,
				unsigned int *count)
{
	unsigned int n = 0;
	int code;

	vdi_lock(&device->core.lock);
	code = device->clear_held_back ? NOTHING : fetch(device, cmds, max, &n);
	if (vdi_unlikely((code == NOERROR || code == NOTHING) && !n &&
			 device->clear_held_back && !deliver_clear(device, cmds)))
		n = 1;
	vdi_unlock(&device->core.lock);
	if (vdi_unlikely(code != NOERROR && code != NOTHING))
		return code;
	if (!n)
		return NOTHING;
	*count = n;
	return NOERROR;
}

/* Has something happened that ends a wait without a command? */
static bool ended(const struct vdi_channel *ch)
{
	return vdi_channel_aborted(ch) || vdi_channel_closed(ch);
}

static inline bool spin_ends(const void *arg)
{
	const struct vdi_channel *ch = arg;

	return vdi_ring_ready(&ch->ring) || ended(ch);
}

static int timed_out(struct vdi_client_device *device)
{
	return vdi_set_fail_text(device->core.set, VD_E_TIMEOUT,
				 "get command: none came in time");
}

/* ClearError is held back; only other ClearErrors may follow it in the ring. */
static int wait_for_idle(struct vdi_client_device *device,
			 struct vdi_deadline *deadline)
{
	int64_t left = vdi_deadline_left(deadline);
	uint32_t held;

	if (!left)
		return timed_out(device);
	if (left < 0 || left > HOLD_TICK_NS)
		left = HOLD_TICK_NS;
	vdi_lock(&device->core.lock);
	held = device->held;
	device->idle_waiter = held;
	vdi_unlock(&device->core.lock);
	if (held)
		vdi_futex_wait(&device->held, held, left);
	return NOERROR;
}

static int sleep_for_command(struct vdi_client_device *device,
			     struct vdi_deadline *deadline)
{
	struct vdi_channel *ch = &device->core.ch;
	uint32_t flags = VDISET_WAIT_SLEEP;
	int64_t left;
	int err;

	set_wakeup(device);
	vdi_ring_barrier();	/* (D), and (C) for the pending kick */
	left = vdi_deadline_left(deadline);
	if (spin_ends(ch))
		return NOERROR;
	if (!left)
		return timed_out(device);
	if (device->pending_kick && vdi_channel_must_kick(ch))
		flags |= VDISET_WAIT_KICK;
	device->pending_kick = false;
	if (vdi_log_on())
		left = vdi_client_log_waiting(device, left);
	err = vdi_channel_wait(ch, flags, left);
	switch (err) {
	case 0:
	case -EINTR:
	case -EPIPE:
	case -ECANCELED:
	case -ETIMEDOUT:
		return NOERROR;	/* the caller checks again */
	default:
		return vdi_set_fail_errno(device->core.set, err,
					  "wait for a command");
	}
}

/* The ring is empty, or ClearError is held back. */
static int wait_for_command(struct vdi_client_device *device,
			    struct vdi_deadline *deadline)
{
	const struct vdi_channel *ch = &device->core.ch;
	uint32_t iterations;

	if (device->clear_held_back && !vdi_channel_closed(ch)) {
		notify_pending(device);
		return wait_for_idle(device, deadline);
	}
	if (vdi_channel_closed(ch)) {
		/*
		 * The server closes after its last command: check the ring once
		 * more. It did not wait for a ClearError that is held back, so
		 * that is dropped.
		 */
		if (!device->clear_held_back && vdi_ring_ready(&ch->ring))
			return NOERROR;
		__atomic_store_n(&device->closed, true, __ATOMIC_RELAXED);
		return vdi_set_fail_text(device->core.set, VD_E_CLOSE,
					 "get command: the server has closed "
					 "the device");
	}
	iterations = deadline->timeout_ns ? vdi_spin_begin(&device->spin) : 0;
	if (iterations) {
		clear_wakeup(device);
		notify_pending(device);
		if (vdi_spin_run(&device->spin, iterations, 1, spin_ends, ch))
			return NOERROR;
	}
	return sleep_for_command(device, deadline);
}

static VDI_ALWAYS_INLINE int
get_commands(struct vdi_client_device *device, int64_t timeout_ms,
	     struct VDC_Command **cmds, unsigned int max, unsigned int *count)
{
	struct vdi_deadline deadline;
	int code;

	vdi_deadline_init(&deadline, timeout_ms);
	do {
		if (pending(device)) {
			code = next_commands(device, cmds, max, count);
			/*
			 * Checked after they were taken, so that a SignalAbort
			 * that has returned, in any process, is seen. The
			 * commands are not delivered; the server completes them
			 * with 995.
			 */
			if (code == NOERROR && vdi_unlikely(!may_go_on(device)))
				break;
			if (code != NOTHING)
				return code;
			/* there are more commands, but they are dropped */
			if (vdi_ring_ready(&device->core.ch.ring) &&
			    !device->clear_held_back &&
			    !vdi_deadline_left(&deadline))
				return timed_out(device);
		}
		code = wait_for_command(device, &deadline);
		if (vdi_unlikely(code))
			return code;
	} while (may_go_on(device));
	return may_get(device);
}

/*
 * Complete, then get. The kick for the completions is left to the system call
 * with which this thread sleeps, if it does, and otherwise comes before
 * anything that takes time. Only the thread in get_command uses
 * device->pending_kick.
 */
static inline int exchange(struct vdi_client_device *device,
		    const struct vdi_completion *done, unsigned int completed,
		    int64_t timeout_ms, struct VDC_Command **cmds,
		    unsigned int max, unsigned int *count)
{
	bool go_on = may_go_on(device);
	int code;

	if (vdi_unlikely(!go_on && completed)) {
		code = may_complete(device);
		if (code)
			return code;
	}
	if (completed) {
		code = complete_commands(device, done, completed);
		if (code)
			return code;
		device->pending_kick = true;
		if (vdi_unlikely(vdi_channel_rate(&device->core.ch))) {
			notify_pending(device);
			vdi_client_pace(device, done, completed);
		}
	}
	code = go_on ? get_commands(device, timeout_ms, cmds, max, count) :
		       may_get(device);
	notify_pending(device);
	return code;
}

/* One thread at a time: fetching is not protected against a second one. */
int vdi_client_exchange_commands(struct vdi_client_device *device,
				 const struct vdi_completion *done,
				 unsigned int completed, int64_t timeout_ms,
				 struct VDC_Command **cmds, unsigned int max,
				 unsigned int *count)
{
	int code;

	if (vdi_unlikely(!device))
		return VD_E_INVALID;
	if (vdi_unlikely(!cmds || !max))
		return fail_list(device, "get command", "cmds", cmds);
	if (vdi_unlikely(!count || (completed && !done)))
		return vdi_set_fail_null(device->core.set, "get command",
					 count ? "done" : "count");
	*count = 0;
	*cmds = NULL;
	if (vdi_unlikely(!vdi_device_enter(&device->core)))
		return vdi_set_fail_gone(device->core.set, "get command");
	if (vdi_unlikely(__atomic_exchange_n(&device->getting, true,
					     __ATOMIC_ACQUIRE))) {
		code = vdi_set_fail(device->core.set, VD_E_BUSY, "get command: "
				    "another thread waits for the commands of "
				    "device '%s'", device->core.name);
	} else {
		code = exchange(device, done, completed, timeout_ms, cmds, max,
				count);
		if (vdi_unlikely(code)) {
			*count = 0;
			*cmds = NULL;
		} else if (vdi_log_on()) {
			vdi_client_log_received(device, cmds, *count);
		}
		__atomic_store_n(&device->getting, false, __ATOMIC_RELEASE);
	}
	vdi_device_leave(&device->core);
	return code;
}

int vdi_client_get_commands(struct vdi_client_device *device,
			    int64_t timeout_ms, struct VDC_Command **cmds,
			    unsigned int max, unsigned int *count)
{
	return vdi_client_exchange_commands(device, NULL, 0, timeout_ms, cmds,
					    max, count);
}

int vdi_client_get_command(struct vdi_client_device *device,
			   int64_t timeout_ms, struct VDC_Command **cmd)
{
	unsigned int count;

	return vdi_client_exchange_commands(device, NULL, 0, timeout_ms, cmd, 1,
					    &count);
}
