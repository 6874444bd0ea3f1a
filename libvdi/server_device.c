// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * server_device.c - the server's devices: opening, sending, completing, closing
 *
 * For IO-ERROR see the top of client_commands.c. Validation: whatever the client
 * has written into a completion is checked once, by settle().
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "device_name.h"
#include "server.h"

/* Completions that are taken each time the lock is held. */
#define TAKE		16

/* ---------------------------------------------------------------- opening */

/*
 * An agent may be asleep without having seen this device. So the client must
 * kick from the first completion on, until an agent clears the flag.
 */
static void publish(struct vdi_server *server,
		    struct vdi_server_device *device)
{
	vdi_ring_set_wakeup(&device->core.ch.ring, 1);
	__atomic_store_n(&server->devices[device->core.ch.index], device,
			 __ATOMIC_RELEASE);
	__atomic_store_n(&server->armed, true, __ATOMIC_RELEASE);
	if (!server->first_opened)
		__atomic_store_n(&server->first_opened, device,
				 __ATOMIC_RELEASE);
	server->opened++;
}

static int open_device(struct vdi_server *server, const char *name,
		       struct vdi_server_device **out)
{
	struct vdi_server_device *device;
	struct vdi_device *core;
	uint32_t depth, i;
	int code;

	code = vdi_device_open(&server->set, name, true, &server->config,
			       sizeof(*device),
			       sizeof(struct vdi_request) + sizeof(uint32_t),
			       &core);
	if (code)
		return code;
	device = (struct vdi_server_device *)core;
	device->server = server;
	device->bit = UINT64_C(1) << core->ch.index;
	depth = core->limits.depth;
	device->requests = (struct vdi_request *)(device + 1);
	device->free_tags = (uint32_t *)&device->requests[depth];
	for (i = 0; i < depth; i++)
		device->free_tags[i] = depth - 1 - i;
	device->free_count = depth;
	publish(server, device);
	vdi_device_free_retired(&server->retired);
	*out = device;
	return NOERROR;
}

int vdi_server_open_device(struct vdi_server *server, const char *name,
			   struct vdi_server_device **out)
{
	int code;

	if (!server)
		return VD_E_INVALID;
	if (!out)
		return vdi_set_fail_null(&server->set, "open device", "out");
	*out = NULL;
	if (!vdi_set_enter(&server->set))
		return vdi_set_fail_gone(&server->set, "open device");
	pthread_mutex_lock(&server->lock);
	if (server->phase != VDI_SERVER_READY)
		code = vdi_set_fail_order(&server->set, "open device",
					  VDI_NEED_END);
	else
		code = open_device(server, name, out);
	pthread_mutex_unlock(&server->lock);
	if (vdi_log_on() && !code)
		vdi_log((*out)->core.name, "open device: done");
	vdi_set_leave(&server->set);
	return code;
}

int vdi_server_get_device_name(struct vdi_server *server, unsigned int index,
			       char *buf, size_t size)
{
	int code;

	if (!server)
		return VD_E_INVALID;
	if (!buf)
		return vdi_set_fail_null(&server->set, "get device name",
					 "buf");
	if (!vdi_set_enter(&server->set))
		return vdi_set_fail_gone(&server->set, "get device name");
	code = vdi_device_name_get(&server->set, index, buf, size);
	vdi_set_leave(&server->set);
	return code;
}

/* ---------------------------------------------------------------- sending */

/*
 * May this command have a buffer though it moves no data? Not documented, so
 * yes.
 */
static bool undocumented(int32_t code)
{
	return code == VDC_FileInfoBegin || code == VDC_FileInfoEnd ||
	       code == VDC_GetError || code < VDC_Read || code > VDC_Complete;
}

static inline const char *set_buffer(struct vdi_server_device *device,
				     const struct VDS_Command *cmd,
				     struct vdiset_command *entry)
{
	const struct vdi_segment *seg;

	entry->buffer = VDISET_NO_BUFFER;
	if (!vdi_command_has_data(entry->code) &&
	    !(undocumented(cmd->commandCode) && cmd->buffer))
		return NULL;
	if (cmd->size < 0)
		return "the size is negative";
	if (!cmd->buffer)
		return cmd->size ? "buffer is NULL" : NULL;
	seg = vdi_area_segment_at(&device->core.set->area, cmd->buffer,
				  device->core.prefix, cmd->size);
	if (!seg)
		return "the buffer is not one of this set";
	entry->buffer = seg->offset + (cmd->buffer - seg->base);
	if (entry->buffer & device->core.unaligned)
		return "the buffer is not aligned as configured";
	vdi_window_set(&device->core.window, seg, device->core.prefix);
	return NULL;
}

/*
 * A command that the client's library would reject as a violation is not sent.
 */
static inline const char *make_entry(struct vdi_server_device *device,
				     const struct VDS_Command *cmd,
				     struct vdiset_command *entry)
{
	const char *wrong;

	*entry = (struct vdiset_command){
		.code = cmd->commandCode,
		.size = cmd->size,
		.position = cmd->inPosition,
	};
	wrong = set_buffer(device, cmd, entry);
	return wrong ? wrong :
		       vdi_command_check_kind(entry, &device->core.limits);
}

static int block_code(const struct vdi_server_device *device, uint32_t command)
{
	if (device->blocks & VDI_BLOCK_DRAINED)
		return VD_E_ABORT;
	if (device->blocks & VDI_BLOCK_CLOSED)
		return VD_E_PROTOCOL;
	return command == VDC_ClearError ? NOERROR : VD_E_IO_ERROR;
}

static inline int may_send(const struct vdi_server_device *device, uint32_t command)
{
	if (vdi_channel_aborted(&device->core.ch))
		return VD_E_ABORT;
	if (device->blocks && block_code(device, command))
		return block_code(device, command);
	if (!device->free_count)
		return VD_E_QUEUE_FULL;
	return NOERROR;
}

/* With the lock held. */
static inline void set_free(struct vdi_server_device *device, uint32_t n)
{
	__atomic_store_n(&device->free_count, n, __ATOMIC_RELAXED);
}

static void put_tag(struct vdi_server_device *device, uint32_t tag)
{
	uint32_t n = device->free_count;

	device->requests[tag].cmd = NULL;
	device->free_tags[n] = tag;
	set_free(device, n + 1);
}

/*
 * With the lock held, after all checks, and with room in the ring.
 * vdi_ring_publish() must follow.
 */
static VDI_ALWAYS_INLINE void enqueue(struct vdi_server_device *device,
				      struct VDS_Command *cmd,
				      struct vdiset_command *entry,
				      uint32_t max_bytes)
{
	struct vdi_ring *ring = &device->core.ch.ring;
	uint32_t left = device->free_count - 1;
	struct vdi_request *request;

	entry->tag = device->free_tags[left];
	set_free(device, left);
	vdi_ring_write_command(ring, ring->staged++, entry);
	request = &device->requests[entry->tag];
	request->cmd = cmd;
	request->code = entry->code;
	request->max_bytes = max_bytes;
}

/* Before it is sent, since it may be completed at once then. */
static VDI_COLD void log_sent(struct vdi_server_device *device,
			      const struct VDS_Command *cmd,
			      const struct vdiset_command *entry)
{
	vdi_log(device->core.name, "send command: %s, %d bytes, position %lld",
		vdi_command_name(entry->code), entry->size,
		(long long)entry->position);
	if (vdi_log_poisons() && entry->code == VDC_Read && entry->size)
		memset(cmd->buffer, VDI_POISON_BYTE, entry->size);
}

/* Check any command and enqueue it. */
static inline int check_and_enqueue(struct vdi_server_device *device,
				    struct VDS_Command *cmd, uint64_t *bytes,
				    const char **wrong)
{
	struct vdiset_command entry;
	int code;

	*wrong = make_entry(device, cmd, &entry);
	if (*wrong)
		return VD_E_INVALID;
	code = may_send(device, entry.code);
	if (code)
		return code;
	if (vdi_ring_used(&device->core.ch.ring) > device->core.ch.ring.mask)
		return vdi_set_violation(device->core.set, VDI_BAD_HEAD);
	if (vdi_log_on())
		log_sent(device, cmd, &entry);
	enqueue(device, cmd, &entry,
		vdi_command_max_bytes(entry.code, entry.size));
	if (vdi_command_has_data(entry.code))
		*bytes += entry.size;
	return NOERROR;
}

static int completion_of(int code)
{
	switch (code) {
	case VD_E_QUEUE_FULL:
		return ERROR_NO_SYSTEM_RESOURCES;
	case VD_E_IO_ERROR:
		return ERROR_IO_DEVICE;
	case VD_E_PROTOCOL:
		return ERROR_INVALID_HANDLE;
	default:
		return ERROR_OPERATION_ABORTED;
	}
}

/* The routine of a command that cannot be sent runs, too, on this thread. */
static int call_back_unsent(struct VDS_Command *cmd, int code)
{
	cmd->completionCode = completion_of(code);
	cmd->bytesTransferred = 0;
	cmd->outPosition = 0;
	cmd->completionRoutine(cmd);
	return code;
}

/*
 * Kick now or, in a completion routine, when the agent calls notify_pending().
 */
static inline void notify_client(struct vdi_server_device *device, bool may_wait)
{
	struct vdi_server *server = device->server;

	if (may_wait && vdi_server_in_agent(server))
		server->pending_kicks |= device->bit;
	else
		vdi_channel_notify(&device->core.ch);
}

/* What a caller of send_all() has to do. */
enum send_flags {
	SEND_MAY_WAIT	= 1 << 0,	/* with the kick, for the agent's */
	SEND_NO_ROUTINE	= 1 << 1	/* if the call fails */
};

static int send_gone(struct vdi_server_device *device, struct VDS_Command *cmd,
		     unsigned int flags)
{
	vdi_set_fail_gone(device->core.set, "send command");
	if (flags & SEND_NO_ROUTINE)
		return VD_E_PROTOCOL;
	return call_back_unsent(cmd, VD_E_PROTOCOL);
}

/* Why a command cannot be sent; @wrong = what is wrong with it, or NULL. */
static void explain(struct vdi_server_device *device,
		    const struct VDS_Command *cmd, int code, const char *wrong)
{
	const struct vdi_device *core = &device->core;
	const char *name = vdi_command_name(cmd->commandCode);

	if (code == VD_E_ABORT)
		vdi_set_fail_abort(core->set);
	else if (wrong)
		vdi_set_fail(core->set, code, "send command: %s of %d bytes to "
			     "device '%s': %s (maxTransferSize %u, blockSize "
			     "%u)", name, cmd->size, core->name, wrong,
			     core->limits.max_transfer,
			     core->limits.part_block + 1);
	else if (code == VD_E_QUEUE_FULL)
		vdi_set_fail(core->set, code, "send command: %u commands are "
			     "outstanding on device '%s', which is maxIODepth",
			     core->limits.depth, core->name);
	else if (code == VD_E_IO_ERROR)
		vdi_set_fail(core->set, code, "send command: device '%s' is in "
			     "IO-ERROR: send VDC_ClearError first", core->name);
	else
		vdi_set_fail(core->set, code, "send command: device '%s' is "
			     "closed", core->name);
}

/*
 * End a call that has failed. Outside the gate, since the routine may close the
 * set.
 */
static int send_failed(struct vdi_server_device *device,
		       struct VDS_Command *cmd, int code, const char *wrong,
		       unsigned int flags)
{
	explain(device, cmd, code, wrong);
	vdi_device_leave(&device->core);
	if (wrong || (flags & SEND_NO_ROUTINE))
		return code;
	return call_back_unsent(cmd, code);
}

/*
 * Send in order up to the first command that cannot be sent; *@sent is its
 * index. All are published at once. The client may have completed them before
 * this returns: they must not be used after that.
 */
static int
send_all(struct vdi_server_device *device, struct VDS_Command *const *cmds,
	 unsigned int count, unsigned int *sent, unsigned int flags)
{
	const char *wrong = NULL;
	int code = NOERROR;
	uint64_t bytes = 0;
	unsigned int i;

	*sent = 0;
	if (!vdi_device_enter(&device->core))
		return send_gone(device, cmds[0], flags);
	vdi_lock(&device->core.lock);
	for (i = 0; i < count; i++) {
		code = check_and_enqueue(device, cmds[i], &bytes, &wrong);
		if (code)
			break;
	}
	vdi_ring_count(&device->core.ch.ring, i, bytes);
	vdi_ring_publish(&device->core.ch.ring);
	vdi_unlock(&device->core.lock);
	*sent = i;
	if (i)
		notify_client(device, flags & SEND_MAY_WAIT);
	if (code)
		return send_failed(device, cmds[i], code, wrong, flags);
	vdi_device_leave(&device->core);
	return NOERROR;
}

/* Can this command have a routine called? */
static inline int check_block(struct vdi_server_device *device,
			      const struct VDS_Command *cmd)
{
	if (vdi_unlikely(!cmd))
		return vdi_set_fail_null(device->core.set, "send command",
					 "cmd");
	if (vdi_unlikely(!cmd->completionRoutine))
		return vdi_set_fail(device->core.set, VD_E_INVALID, "send "
				    "command: the %s has no completionRoutine",
				    vdi_command_name(cmd->commandCode));
	return NOERROR;
}

int vdi_server_send_commands(struct vdi_server_device *device,
			     struct VDS_Command *const *cmds,
			     unsigned int count, unsigned int *sent)
{
	unsigned int i, n;
	int code;

	if (sent)
		*sent = 0;
	if (!device)
		return VD_E_INVALID;
	if (!cmds || !count)
		return vdi_set_fail(device->core.set, VD_E_INVALID, "send "
				    "commands: %s", cmds ? "count is 0" :
				    "cmds is NULL");
	for (i = 0; i < count; i++) {
		code = check_block(device, cmds[i]);
		if (code)
			return code;
	}
	code = send_all(device, cmds, count, &n, 0);
	if (sent)
		*sent = n;
	return code;
}

int vdi_server_send_command(struct vdi_server_device *device,
			    struct VDS_Command *cmd)
{
	unsigned int sent;
	int code;

	if (!device)
		return VD_E_INVALID;
	code = check_block(device, cmd);
	return code ? code : send_all(device, &cmd, 1, &sent, 0);
}

int vdi_server_try_send_command(struct vdi_server_device *device,
				struct VDS_Command *cmd)
{
	unsigned int sent;
	int code;

	if (!device)
		return VD_E_INVALID;
	code = check_block(device, cmd);
	return code ? code :
		      send_all(device, &cmd, 1, &sent, SEND_NO_ROUTINE);
}

static VDI_COLD int queue_other(struct vdi_server_device *device,
				struct VDS_Command *cmd)
{
	unsigned int sent;

	return send_all(device, &cmd, 1, &sent, SEND_MAY_WAIT);
}

/* With the lock held, which is released. */
static VDI_COLD int queue_blocked(struct vdi_server_device *device,
				  struct VDS_Command *cmd)
{
	vdi_unlock(&device->core.lock);
	return queue_other(device, cmd);
}

/*
 * Most commands are transfers that a completion routine queues, with nothing in
 * the way. These are queued here, without a call. In all other cases nothing
 * has been done yet, and the command takes the slow path.
 *
 * The agent is inside the gate of the set, which a close closes before those of
 * the devices: this device's gate need not be entered.
 */
int vdi_server_queue_command(struct vdi_server_device *device,
			     struct VDS_Command *cmd)
{
	struct vdiset_command entry;
	struct vdi_server *server;
	struct vdi_device *core;
	struct vdi_ring *ring;
	uint64_t at;

	if (vdi_unlikely(!device || !cmd || !cmd->completionRoutine))
		return device ? check_block(device, cmd) : VD_E_INVALID;
	server = device->server;
	core = &device->core;
	ring = &core->ch.ring;
	entry = (struct vdiset_command){
		.code = cmd->commandCode,
		.size = cmd->size,
	};
	if (vdi_unlikely(!vdi_server_in_agent(server) ||
			 !vdi_gate_is_open(&core->gate) ||
			 !vdi_set_mine(&server->set) ||
			 !vdi_command_is_plain(&entry, &core->limits) ||
			 vdi_log_on() || !vdi_trylock(&core->lock)))
		return queue_other(device, cmd);
	at = (uint64_t)(uintptr_t)cmd->buffer - (uintptr_t)core->window.base;
	entry.buffer = core->window.offset + at;
	if (vdi_unlikely(!vdi_window_holds(&core->window, at, entry.size) ||
			 ((uint32_t)entry.buffer & core->unaligned) ||
			 vdi_channel_aborted(&core->ch) || device->blocks ||
			 !device->free_count ||
			 vdi_ring_used(ring) > ring->mask))
		return queue_blocked(device, cmd);
	entry.position = cmd->inPosition;
	enqueue(device, cmd, &entry, entry.size);
	vdi_ring_count(ring, 1, entry.size);
	vdi_ring_publish(ring);
	server->pending_kicks |= device->bit;
	return vdi_unlock(&core->lock);
}

/* ------------------------------------------------------------- completing */

/* What is wrong with a completion that settle() has rejected. */
static VDI_COLD const char *
what_is_wrong(const struct vdi_server_device *device, uint32_t tag,
	      uint32_t reserved, uint64_t bytes)
{
	const struct vdiset_completion done = {
		.reserved = reserved,
		.bytes = bytes,
	};
	const struct vdi_request *request;

	if (tag >= device->core.limits.depth || !device->requests[tag].cmd)
		return "completion with a tag that is not outstanding";
	request = &device->requests[tag];
	return vdi_completion_check(&done, request->code, request->max_bytes);
}

/* With the lock held. */
static VDI_COLD void settle_error(struct vdi_server_device *device,
				  const struct vdi_request *request,
				  uint32_t code, uint32_t bytes)
{
	if (vdi_io_error_after(device->blocks & VDI_BLOCK_IO_ERROR,
			       request->code, request->max_bytes, code, bytes))
		device->blocks |= VDI_BLOCK_IO_ERROR;
	else
		device->blocks &= ~VDI_BLOCK_IO_ERROR;
}

/*
 * Check one completion and fill in its command, with the lock held. Returns
 * what is wrong with it, or NULL: then the caller must free the tag.
 */
static VDI_ALWAYS_INLINE const char *
settle(struct vdi_server_device *device, const struct vdiset_completion *done,
       struct VDS_Command **out)
{
	struct vdi_request *request;
	struct VDS_Command *cmd;

	if (vdi_unlikely(done->tag >= device->core.limits.depth))
		return what_is_wrong(device, done->tag, 0, 0);
	request = &device->requests[done->tag];
	cmd = request->cmd;
	if (vdi_unlikely(!cmd || done->reserved || done->bytes > request->max_bytes))
		return what_is_wrong(device, done->tag, !!done->reserved,
				     done->bytes);
	*out = cmd;
	request->cmd = NULL;
	cmd->completionCode = done->code;
	cmd->bytesTransferred = done->bytes;
	cmd->outPosition = done->position;
	if (vdi_unlikely(done->code != ERROR_SUCCESS ||
			 request->code == VDC_ClearError))
		settle_error(device, request, done->code, done->bytes);
	return NULL;
}

/*
 * Take up to @max completions; *@count is their number, and @cmds are the
 * commands whose routines are to run. Returns NULL or, after those, how the
 * client broke the rules.
 */
static inline const char *take(struct vdi_server_device *device,
			       struct VDS_Command **cmds, unsigned int max,
			       unsigned int *count)
{
	struct vdi_ring *ring = &device->core.ch.ring;
	struct vdiset_completion done;
	const char *wrong = NULL;
	uint32_t *free_tag, *first;
	uint32_t head, end, n;

	vdi_lock(&device->core.lock);
	head = ring->head;
	first = free_tag = &device->free_tags[device->free_count];
	if (vdi_ring_available(ring, &n) == VDI_RING_BROKEN) {
		wrong = VDI_BAD_TAIL;
		n = 0;
	}
	for (end = head + (n < max ? n : max); head != end && !wrong; head++) {
		vdi_ring_read_completion(ring, head, &done);
		wrong = settle(device, &done, cmds++);
		if (!wrong)
			*free_tag++ = done.tag;
	}
	*count = free_tag - first;
	set_free(device, device->free_count + *count);
	/*
	 * with the lock held, since freed tags may be used as soon as it is
	 * released
	 */
	ring->head = head;
	vdi_ring_release(ring);
	vdi_unlock(&device->core.lock);
	return wrong;
}

/* With the lock held. */
static void set_state(struct vdi_server_device *device,
		      enum vdi_server_device_state state)
{
	device->blocks |= VDI_BLOCK_CLOSED;
	__atomic_store_n(&device->state, state, __ATOMIC_RELAXED);
}

/* With the lock held and nothing outstanding. */
static int close_now(struct vdi_server_device *device)
{
	struct vdiset_device_close end = { .size = sizeof(end) };
	struct vdi_server *server = device->server;

	if (ioctl(device->core.ch.fd, VDISET_DEVICE_CLOSE, &end) < 0)
		return vdi_set_fail_errno(&server->set, errno, "close device");
	set_state(device, VDI_DEVICE_CLOSED);
	__atomic_fetch_add(&server->closed, 1, __ATOMIC_RELEASE);
	return NOERROR;
}

/*
 * The agent has run the last routine of a device that is being closed. After an
 * abort there is nothing to close.
 */
static VDI_COLD void finish_close(struct vdi_server_device *device)
{
	if (vdi_channel_aborted(&device->core.ch))
		return;
	vdi_lock(&device->core.lock);
	if (device->state == VDI_DEVICE_CLOSING &&
	    !vdi_server_device_busy(device))
		close_now(device);
	vdi_unlock(&device->core.lock);
}

static VDI_COLD void log_completions(struct vdi_server_device *device,
				     struct VDS_Command **cmds, unsigned int n)
{
	for (; n--; cmds++)
		vdi_log(device->core.name, "completion: %s, %u of %d bytes, %s",
			vdi_command_name((*cmds)->commandCode),
			(*cmds)->bytesTransferred, (*cmds)->size,
			vdi_completion_name((*cmds)->completionCode));
}

/*
 * Run the routines of completed commands, for the agent, and add their number
 * to *@count. Completions that arrive meanwhile are left for the next round, so
 * that one device does not delay the others. They are taken from the ring a few
 * at a time, and a close in another thread waits until their routines have run.
 * VD_E_ABORT if the client broke the rules.
 */
int vdi_server_device_run(struct vdi_server_device *device, unsigned int *count)
{
	unsigned int left = device->core.ch.ring.depth;
	struct VDS_Command *cmds[TAKE];
	const char *wrong;
	unsigned int i, n;
	int code = NOERROR;

	do {
		wrong = take(device, cmds, left < TAKE ? left : TAKE, &n);
		if (vdi_unlikely(wrong))
			code = vdi_set_violation(device->core.set, wrong);
		if (vdi_log_on())
			log_completions(device, cmds, n);
		for (i = 0; i < n; i++)
			cmds[i]->completionRoutine(cmds[i]);
		left -= n;
		*count += n;
		if (vdi_unlikely(code))
			return code;
	} while (left && vdi_ring_ready(&device->core.ch.ring));
	/*
	 * No lock is needed: a thread that begins to close held it before the
	 * agent settled the last command, or has found nothing outstanding.
	 */
	if (vdi_unlikely(__atomic_load_n(&device->state, __ATOMIC_RELAXED) ==
			 VDI_DEVICE_CLOSING))
		finish_close(device);
	return NOERROR;
}

/*
 * After an abort, once recorded completions were delivered: complete one
 * outstanding command with 995; NULL = there is none.
 */
struct VDS_Command *vdi_server_device_drain(struct vdi_server_device *device)
{
	struct VDS_Command *cmd = NULL;
	uint32_t tag;

	vdi_lock(&device->core.lock);
	device->blocks |= VDI_BLOCK_DRAINED;
	for (tag = 0; vdi_server_device_busy(device) && !cmd; tag++)
		cmd = device->requests[tag].cmd;
	if (cmd) {
		put_tag(device, tag - 1);
		cmd->completionCode = ERROR_OPERATION_ABORTED;
		cmd->bytesTransferred = 0;
		cmd->outPosition = 0;
		if (vdi_log_on())
			vdi_log(device->core.name, "%s of %d bytes was "
				"outstanding, and is completed with 995",
				vdi_command_name(cmd->commandCode), cmd->size);
	}
	vdi_unlock(&device->core.lock);
	return cmd;
}

/* ---------------------------------------------------------------- closing */

static int close_device(struct vdi_server_device *device)
{
	struct vdi_set *set = device->core.set;

	if (vdi_channel_aborted(&device->core.ch))
		return vdi_set_fail_abort(set);
	if (device->state != VDI_DEVICE_OPEN)
		return vdi_set_fail(set, VD_E_CLOSE, "close device: "
				    "'%s' is closed", device->core.name);
	if (!vdi_server_device_busy(device))
		return close_now(device);
	set_state(device, VDI_DEVICE_CLOSING);
	return NOERROR;
}

int vdi_server_set_expected_bytes(struct vdi_server_device *device,
				  uint64_t bytes)
{
	if (!device)
		return VD_E_INVALID;
	if (!vdi_device_enter(&device->core))
		return vdi_set_fail_gone(device->core.set,
					 "set expected bytes");
	vdi_ring_set_expected(&device->core.ch.ring, bytes);
	vdi_device_leave(&device->core);
	return NOERROR;
}

int vdi_server_close_device(struct vdi_server_device *device)
{
	int code;

	if (!device)
		return VD_E_INVALID;
	if (!vdi_device_enter(&device->core))
		return vdi_set_fail_gone(device->core.set, "close device");
	vdi_lock(&device->core.lock);
	code = close_device(device);
	vdi_unlock(&device->core.lock);
	if (vdi_log_on() && !code)
		vdi_log(device->core.name, "close device: done");
	vdi_device_leave(&device->core);
	return code;
}
