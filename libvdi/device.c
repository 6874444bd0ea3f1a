// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * device.c - the server's devices: opening, sending, completing, closing
 *
 * The server's part of IO-ERROR is here; the whole is told in client.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "server.h"

/* ---------------------------------------------------------------- opening */

static int init_requests(struct vdi_server_device *device, uint32_t depth)
{
	uint32_t i;

	device->requests = calloc(depth, sizeof(*device->requests));
	device->free_tags = calloc(depth, sizeof(*device->free_tags));
	if (!device->requests || !device->free_tags)
		return -ENOMEM;
	for (i = 0; i < depth; i++)
		device->free_tags[i] = depth - 1 - i;
	device->free_count = depth;
	return 0;
}

static void free_device(struct vdi_server_device *device)
{
	free(device->requests);
	free(device->free_tags);
	free(device);
}

static struct vdi_server_device *new_device(struct vdi_server *server,
					    const struct vdi_channel *ch)
{
	struct vdi_server_device *device = calloc(1, sizeof(*device));

	if (!device)
		return NULL;
	device->server = server;
	vdi_gate_open(&device->gate);
	device->ch = *ch;
	device->limits.depth = ch->ring.depth;
	device->limits.max_transfer = server->config.max_transfer_size;
	device->limits.features = server->config.features;
	if (init_requests(device, ch->ring.depth)) {
		free_device(device);
		return NULL;
	}
	vdi_lock_init(&device->lock);
	return device;
}

/* Devices of a set that was closed are kept until there are others; client.c. */
void vdi_server_free_dead(struct vdi_server *server)
{
	struct vdi_server_device *device;

	while ((device = server->dead)) {
		server->dead = device->next;
		free_device(device);
	}
}

/* In a forked child, gate and lock are what threads of the parent left. */
void vdi_server_device_bury(struct vdi_server_device *device, bool foreign)
{
	struct vdi_server *server = device->server;

	if (foreign) {
		vdi_gate_init(&device->gate);
		vdi_lock_init(&device->lock);
	} else {
		vdi_gate_close(&device->gate);
	}
	vdi_channel_release(&device->ch, foreign);
	device->next = server->dead;
	server->dead = device;
}

/*
 * An agent may be asleep and not know of this device: the client is to kick
 * from the first completion on, until an agent clears the flag.
 */
static void publish(struct vdi_server *server,
		    struct vdi_server_device *device)
{
	vdi_ring_set_wakeup(&device->ch.ring, 1);
	__atomic_store_n(&server->devices[device->ch.index], device,
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
	struct vdi_channel ch;
	int code;

	code = vdi_channel_open(&server->set, name, &ch);
	if (code)
		return code;
	*out = server->devices[ch.index] ? NULL : new_device(server, &ch);
	if (!*out) {
		vdi_set_abort(&server->set, VDISET_REASON_SIGNAL, 0,
			      "no memory for a device");
		vdi_channel_release(&ch, false);
		return vdi_set_fail(&server->set, VD_E_MEMORY, "no memory");
	}
	publish(server, *out);
	vdi_server_free_dead(server);
	return NOERROR;
}

int vdi_server_open_device(struct vdi_server *server, const char *name,
			   struct vdi_server_device **out)
{
	int code;

	if (!server || !out)
		return VD_E_INVALID;
	*out = NULL;
	if (!vdi_set_enter(&server->set))
		return vdi_set_fail_gone(&server->set, "open device");
	pthread_mutex_lock(&server->lock);
	if (server->phase != VDI_SERVER_READY)
		code = vdi_server_fail_order(server, "open device");
	else if (vdi_name_check(name))
		code = vdi_set_fail(&server->set, VD_E_INVALID,
				    "open device: the name is invalid");
	else
		code = open_device(server, name, out);
	pthread_mutex_unlock(&server->lock);
	vdi_set_leave(&server->set);
	return code;
}

/* ---------------------------------------------------------------- sending */

/* May this command carry a buffer though it moves no data? Nobody knows. */
static bool undocumented(int32_t code)
{
	return code == VDC_FileInfoBegin || code == VDC_FileInfoEnd ||
	       code == VDC_GetError || code < VDC_Read || code > VDC_Complete;
}

static VDI_ALWAYS_INLINE const char *set_buffer(const struct vdi_server_device *device,
				     const struct VDS_Command *cmd,
				     struct vdiset_command *entry)
{
	const struct vdi_server *server = device->server;
	uint64_t offset;

	entry->buffer = VDISET_NO_BUFFER;
	if (!vdi_command_has_data(entry->code) &&
	    !(undocumented(cmd->commandCode) && cmd->buffer))
		return NULL;
	if (cmd->size < 0)
		return "send: the size is negative";
	if (!cmd->buffer)
		return cmd->size ? "send: there is no buffer" : NULL;
	if (!vdi_area_offset(&server->set.area, cmd->buffer,
			     server->config.prefix_zone_size, cmd->size,
			     &offset))
		return "send: the buffer is not one of this set";
	entry->buffer = offset;
	if (offset & (server->config.alignment - 1))
		return "send: the buffer is not aligned";
	return NULL;
}

/* What the client's library would take for a violation is not sent. */
static VDI_ALWAYS_INLINE const char *make_entry(const struct vdi_server_device *device,
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
	return wrong ? wrong : vdi_command_check_kind(entry, &device->limits);
}

static int bar_of(const struct vdi_server_device *device, uint32_t command)
{
	if (device->bars & VDI_BAR_DRAINED)
		return VD_E_ABORT;
	if (device->bars & VDI_BAR_CLOSED)
		return VD_E_PROTOCOL;
	return command == VDC_ClearError ? NOERROR : VD_E_IO_ERROR;
}

static inline int may_send(const struct vdi_server_device *device, uint32_t command)
{
	if (vdi_channel_aborted(&device->ch))
		return VD_E_ABORT;
	if (device->bars && bar_of(device, command))
		return bar_of(device, command);
	if (!device->free_count)
		return VD_E_QUEUE_FULL;
	return NOERROR;
}

/* With the lock held. */
static inline void set_free(struct vdi_server_device *device, uint32_t n)
{
	__atomic_store_n(&device->free_count, n, __ATOMIC_RELAXED);
}

static void give_tag(struct vdi_server_device *device, uint32_t tag)
{
	uint32_t n = device->free_count;

	device->requests[tag].cmd = NULL;
	device->free_tags[n] = tag;
	set_free(device, n + 1);
}

static int bad_head(struct vdi_server_device *device)
{
	return vdi_set_violation(&device->server->set, "the client's head of "
				 "commands is impossible");
}

/* With the lock held; vdi_ring_publish() must follow. */
static VDI_ALWAYS_INLINE int enqueue(struct vdi_server_device *device,
				     struct VDS_Command *cmd, uint64_t *bytes,
				     const char **wrong)
{
	struct vdi_request *request;
	struct vdiset_command entry;
	int code;

	*wrong = make_entry(device, cmd, &entry);
	if (*wrong)
		return VD_E_INVALID;
	code = may_send(device, entry.code);
	if (code)
		return code;
	entry.tag = device->free_tags[device->free_count - 1];
	if (vdi_ring_stage_command(&device->ch.ring, &entry))
		return bad_head(device);
	set_free(device, device->free_count - 1);
	request = &device->requests[entry.tag];
	request->cmd = cmd;
	request->code = entry.code;
	request->size = entry.size;
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

/* A command that cannot be sent still gets its routine, on this thread. */
static int refuse(struct VDS_Command *cmd, int code)
{
	cmd->completionCode = completion_of(code);
	cmd->bytesTransferred = 0;
	cmd->outPosition = 0;
	cmd->completionRoutine(cmd);
	return code;
}

/* Begin a call on a device; false when its set was closed, or is not ours. */
static inline bool enter_device(struct vdi_server_device *device)
{
	if (!vdi_gate_enter(&device->gate))
		return false;
	if (vdi_set_mine(&device->server->set))
		return true;
	vdi_gate_leave(&device->gate);
	return false;
}

/* Now, or when the agent has run its routines; see tell_owed() of the agent. */
static inline void tell(struct vdi_server_device *device, bool may_wait)
{
	struct vdi_server *server = device->server;

	if (may_wait && vdi_server_in_agent(server))
		server->owed |= UINT64_C(1) << device->ch.index;
	else
		vdi_channel_tell(&device->ch);
}

static int send_gone(struct vdi_server_device *device, struct VDS_Command *cmd)
{
	vdi_set_fail_gone(&device->server->set, "send command");
	return refuse(cmd, VD_E_PROTOCOL);
}

/* The end of a call. The routine of @cmd may close the set: outside. */
static int send_failed(struct vdi_server_device *device,
		       struct VDS_Command *cmd, int code, const char *wrong)
{
	struct vdi_set *set = &device->server->set;

	if (code == VD_E_ABORT)
		vdi_set_fail_abort(set);
	else
		vdi_set_fail_text(set, code, wrong ? wrong :
				  vdi_strerror(code));
	vdi_gate_leave(&device->gate);
	return wrong ? code : refuse(cmd, code);
}

/*
 * Send in order up to the first that cannot be sent: *@sent is its number. One
 * publication; what was sent may be completed by the end of it, and is not
 * ours any more. In line, for what nearly all calls are: one command.
 */
static VDI_ALWAYS_INLINE int
send_all(struct vdi_server_device *device, struct VDS_Command *const *cmds,
	 unsigned int count, unsigned int *sent, bool may_wait)
{
	const char *wrong = NULL;
	int code = NOERROR;
	uint64_t bytes = 0;
	unsigned int i;

	*sent = 0;
	if (!enter_device(device))
		return send_gone(device, cmds[0]);
	vdi_lock(&device->lock);
	for (i = 0; i < count; i++) {
		code = enqueue(device, cmds[i], &bytes, &wrong);
		if (code)
			break;
	}
	vdi_ring_count(&device->ch.ring, i, bytes);
	vdi_ring_publish(&device->ch.ring);
	vdi_unlock(&device->lock);
	*sent = i;
	if (i)
		tell(device, may_wait);
	if (code)
		return send_failed(device, cmds[i], code, wrong);
	vdi_gate_leave(&device->gate);
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
	if (!device || !cmds || !count)
		return VD_E_INVALID;
	for (i = 0; i < count; i++)
		if (!cmds[i] || !cmds[i]->completionRoutine)
			return VD_E_INVALID;
	code = send_all(device, cmds, count, &n, false);
	if (sent)
		*sent = n;
	return code;
}

int vdi_server_send_command(struct vdi_server_device *device,
			    struct VDS_Command *cmd)
{
	unsigned int sent;

	if (!device || !cmd || !cmd->completionRoutine)
		return VD_E_INVALID;
	return send_all(device, &cmd, 1, &sent, false);
}

int vdi_server_queue_command(struct vdi_server_device *device,
			     struct VDS_Command *cmd)
{
	unsigned int sent;

	if (!device || !cmd || !cmd->completionRoutine)
		return VD_E_INVALID;
	return send_all(device, &cmd, 1, &sent, true);
}

/* ------------------------------------------------------------- completing */

static inline const char *check(const struct vdi_server_device *device,
				const struct vdiset_completion *done)
{
	const struct vdi_request *request;

	if (done->tag >= device->limits.depth ||
	    !device->requests[done->tag].cmd)
		return "completion with a tag that is not outstanding";
	request = &device->requests[done->tag];
	return vdi_completion_check(done, request->code, request->size);
}

/* With the lock held; the completion was checked. */
static inline struct VDS_Command *settle(struct vdi_server_device *device,
					 const struct vdiset_completion *done)
{
	const struct vdi_request *request = &device->requests[done->tag];
	struct VDS_Command *cmd = request->cmd;

	cmd->completionCode = done->code;
	cmd->bytesTransferred = done->bytes;
	cmd->outPosition = done->position;
	if (vdi_completion_is_error(request->code, request->size, done->code,
				    done->bytes))
		device->bars |= VDI_BAR_IO_ERROR;
	else if (request->code == VDC_ClearError)
		device->bars &= ~VDI_BAR_IO_ERROR;
	give_tag(device, done->tag);
	return cmd;
}

/*
 * The agent: fetch up to @max completions; @cmds are those whose routines are to
 * run, *@count in number. VD_E_ABORT when the client broke the rules, after
 * those.
 */
int vdi_server_device_take(struct vdi_server_device *device,
			   struct VDS_Command **cmds, unsigned int max,
			   unsigned int *count)
{
	struct vdi_ring *ring = &device->ch.ring;
	struct vdiset_completion done;
	const char *wrong = NULL;
	uint32_t i = 0, n;

	vdi_lock(&device->lock);
	if (vdi_ring_look(ring, &n) == VDI_RING_BROKEN) {
		wrong = "the client's tail of completions is impossible";
		n = 0;
	}
	while (i < n && i < max) {
		vdi_ring_take_completion(ring, &done);
		wrong = check(device, &done);
		if (wrong)
			break;
		cmds[i++] = settle(device, &done);
	}
	/* with the lock held: the tags that were given back are used after it */
	vdi_ring_release(ring);
	vdi_unlock(&device->lock);
	*count = i;
	return wrong ? vdi_set_violation(&device->server->set, wrong) : NOERROR;
}

/* After an abort: give one outstanding command back; NULL = no more. */
struct VDS_Command *vdi_server_device_drain(struct vdi_server_device *device)
{
	struct VDS_Command *cmd = NULL;
	uint32_t tag;

	vdi_lock(&device->lock);
	device->bars |= VDI_BAR_DRAINED;
	for (tag = 0; vdi_server_device_busy(device) && !cmd; tag++)
		cmd = device->requests[tag].cmd;
	if (cmd) {
		give_tag(device, tag - 1);
		cmd->completionCode = ERROR_OPERATION_ABORTED;
		cmd->bytesTransferred = 0;
		cmd->outPosition = 0;
	}
	vdi_unlock(&device->lock);
	return cmd;
}

/* ---------------------------------------------------------------- closing */

/* With the lock held. */
static void set_state(struct vdi_server_device *device,
		      enum vdi_server_device_state state)
{
	device->bars |= VDI_BAR_CLOSED;
	__atomic_store_n(&device->state, state, __ATOMIC_RELAXED);
}

/* With the lock held and nothing outstanding. */
static int close_now(struct vdi_server_device *device)
{
	struct vdiset_device_close end = { .size = sizeof(end) };
	struct vdi_server *server = device->server;

	if (ioctl(device->ch.fd, VDISET_DEVICE_CLOSE, &end) < 0)
		return vdi_set_fail_errno(&server->set, errno, "close device");
	set_state(device, VDI_DEVICE_CLOSED);
	__atomic_fetch_add(&server->closed, 1, __ATOMIC_RELEASE);
	return NOERROR;
}

static int close_device(struct vdi_server_device *device)
{
	struct vdi_set *set = &device->server->set;

	if (vdi_channel_aborted(&device->ch))
		return vdi_set_fail_abort(set);
	if (device->state != VDI_DEVICE_OPEN)
		return vdi_set_fail(set, VD_E_CLOSE, "the device is closed");
	if (!vdi_server_device_busy(device))
		return close_now(device);
	set_state(device, VDI_DEVICE_CLOSING);
	return NOERROR;
}

int vdi_server_close_device(struct vdi_server_device *device)
{
	int code;

	if (!device)
		return VD_E_INVALID;
	if (!enter_device(device))
		return vdi_set_fail_gone(&device->server->set, "close device");
	vdi_lock(&device->lock);
	code = close_device(device);
	vdi_unlock(&device->lock);
	vdi_gate_leave(&device->gate);
	return code;
}

/* The agent has run the last routine of a device that was to be closed. */
void vdi_server_device_finish_close(struct vdi_server_device *device)
{
	/*
	 * Without the lock: who began to close had it before the agent settled
	 * the last command under it, or has found nothing outstanding.
	 */
	if (__atomic_load_n(&device->state, __ATOMIC_RELAXED) !=
	    VDI_DEVICE_CLOSING)
		return;
	vdi_lock(&device->lock);
	if (device->state == VDI_DEVICE_CLOSING &&
	    !vdi_server_device_busy(device))
		close_now(device);
	vdi_unlock(&device->lock);
}
