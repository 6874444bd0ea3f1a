// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * client.c - the client's side: sets, devices, commands
 *
 * IO-ERROR, and who does what (both sides of the library agree on this):
 *
 * A command completed with an error code (vdi_completion_is_error()) puts its
 * device into IO-ERROR. Commands already queued must then end with 1117
 * without the client seeing them; but they are in a ring that only the client
 * consumes. So the client's library, from the moment it records an error,
 * completes each further command it fetches with 1117 by itself, until it
 * meets ClearError. That one it holds back until the client has completed all
 * commands it holds, and then delivers it; its completion with success ends
 * IO-ERROR. The server's library refuses to send anything but ClearError from
 * the moment it sees the error completion, and ends IO-ERROR when it sees that
 * of ClearError. Commands sent in between are before ClearError in the ring,
 * so the two can never disagree about a command.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libvdi.h>

#include "channel.h"
#include "config.h"
#include "set.h"

#define INSTANCE_ENV	"_VIRTUAL_SERVER_NAME_"

/* A handle is a multiple of this in the area, plus 1: no handle is 0. */
#define HANDLE_UNIT	512U

/* How often the wait for the client's other threads looks for an abort. */
#define HOLD_TICK_NS	(10 * 1000 * 1000)

/* Internal to get_command: nothing to deliver yet. */
#define NOTHING		1

/*
 * A command held by the client. @cmd is what the client sees and may spoil;
 * the other fields are what completing relies on.
 */
struct slot {
	struct VDC_Command cmd;
	uint32_t code;
	int32_t size;
	bool held;
};

struct vdi_client_device {
	struct vdi_client *client;
	struct vdi_channel ch;
	struct vdi_ring_limits limits;
	uint32_t prefix;
	uint32_t alignment;

	/* of the thread that gets commands */
	struct vdi_spin spin;
	uint32_t episode;
	bool closed;			/* VD_E_CLOSE was given */
	bool clear_waits;		/* ClearError is held back */
	struct vdiset_command clear;

	pthread_mutex_t lock;		/* completing, and what follows */
	pthread_cond_t idle;		/* held became 0 */
	bool in_error;
	uint32_t held;
	struct slot slots[];		/* by tag */
};

struct vdi_client {
	struct vdi_set set;
	pthread_mutex_t lock;		/* what follows */
	bool configured;
	struct vdiset_config config;
	struct vdi_client_device *devices[VDISET_MAX_DEVICES];
};

static int fail_order(struct vdi_client *client, const char *what)
{
	return vdi_set_fail_order(&client->set, what);
}

/* ------------------------------------------------------------------- sets */

int vdi_client_new(struct vdi_client **out)
{
	struct vdi_client *client;

	if (!out)
		return VD_E_INVALID;
	*out = NULL;
	client = calloc(1, sizeof(*client));
	if (!client)
		return VD_E_MEMORY;
	vdi_set_init(&client->set);
	pthread_mutex_init(&client->lock, NULL);
	*out = client;
	return NOERROR;
}

void vdi_client_free(struct vdi_client *client)
{
	bool foreign;

	if (!client)
		return;
	foreign = vdi_set_foreign(&client->set);
	vdi_client_close(client);
	if (!foreign) {
		vdi_set_fini(&client->set);
		pthread_mutex_destroy(&client->lock);
	}
	free(client);
}

static const char *default_instance(const char *instance)
{
	return instance ? instance : getenv(INSTANCE_ENV);
}

static int fail_create(struct vdi_set *set, int err)
{
	switch (err) {
	case -EEXIST:
		return vdi_set_fail(set, VD_E_PROTOCOL,
				    "a set of the name %s exists", set->name);
	case -EDQUOT:
		return vdi_set_fail(set, VD_E_MEMORY,
				    "this user has too many sets");
	case -EPERM:
		return vdi_set_fail(set, VD_E_SECURITY,
				    "owner or group is not permitted");
	default:
		return vdi_set_fail_errno(set, err, "create");
	}
}

static int create(struct vdi_set *set, const struct vdiset_config *config,
		  const struct vdi_access *access)
{
	static const struct vdi_access standard = VDI_ACCESS_DEFAULT;
	struct vdiset_create args = {
		.size = sizeof(args),
		.name = (uintptr_t)set->name,
		.name_len = strlen(set->name),
		.config = *config,
	};
	int err;

	if (!access)
		access = &standard;
	args.mode = access->mode;
	args.uid = access->uid;
	args.gid = access->gid;
	err = vdi_set_ioctl(set, VDISET_CREATE, &args);
	return err ? fail_create(set, err) : NOERROR;
}

int vdi_client_create(struct vdi_client *client, const char *instance,
		      const char *name, const struct VDConfig *config,
		      const struct vdi_access *access)
{
	struct vdiset_config wish;
	char full[VDI_NAME_BUF];
	const char *wrong;
	int code;

	if (!client)
		return VD_E_INVALID;
	if (client->set.alive)
		return fail_order(client, "create");
	if (!config || (access && access->mode & ~0777U) ||
	    vdi_name_of_set(default_instance(instance), name, full))
		return vdi_set_fail(&client->set, VD_E_INVALID,
				    "create: a parameter is invalid");
	vdi_config_to_kernel(config, &wish);
	wrong = vdi_config_check_request(&wish);
	if (wrong)
		return vdi_set_fail_text(&client->set, VD_E_NOTSUPPORTED,
					 wrong);

	code = vdi_set_open(&client->set);
	if (code)
		return code;
	strcpy(client->set.name, full);
	code = create(&client->set, &wish, access);
	if (code)
		vdi_set_release(&client->set);
	return code;
}

/* Keep the outcome of configuration, when it is one. */
static int adopt_config(struct vdi_client *client,
			const struct vdiset_config *config)
{
	const char *wrong = vdi_config_check_fixed(config);
	int code;

	if (wrong)
		return vdi_set_violation(&client->set, wrong);
	code = vdi_set_map_area(&client->set, config->buffer_area_size);
	if (code)
		return code;
	pthread_mutex_lock(&client->lock);
	if (!client->configured) {
		client->config = *config;
		__atomic_store_n(&client->configured, true, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&client->lock);
	return NOERROR;
}

/* Is there a set whose configuration is known? It never changes again. */
static bool configured(const struct vdi_client *client)
{
	return vdi_set_exists(&client->set) &&
	       __atomic_load_n(&client->configured, __ATOMIC_ACQUIRE);
}

static int fail_join(struct vdi_client *client, int err)
{
	struct vdi_set *set = &client->set;

	switch (err) {
	case -ENOENT:
	case -EACCES:
		return vdi_set_fail(set, VD_E_PROTOCOL,
				    "there is no such set for this user");
	case -EAGAIN:
		return vdi_set_fail(set, VD_E_PROTOCOL,
				    "the set is not configured yet");
	case -EPIPE:
		return vdi_set_fail(set, VD_E_PROTOCOL,
				    "the set has terminated");
	case -EBADF:
		return vdi_set_fail(set, VD_E_INVALID,
				    "the descriptor is not that of a set");
	default:
		return vdi_set_fail_errno(set, err, "join");
	}
}

static int join(struct vdi_client *client, const char *name, int fd)
{
	struct vdiset_get_config get;
	struct vdi_set *set = &client->set;
	int err, code;

	code = vdi_set_open(set);
	if (code)
		return code;
	err = vdi_set_attach(set, VDISET_ROLE_SECONDARY, name, fd);
	if (err) {
		code = fail_join(client, err);
		goto err_release;
	}
	err = vdi_set_get_config(set, 0, 0, &get);
	code = err ? vdi_set_fail_errno(set, err, "read the configuration") :
		     adopt_config(client, &get.out_config);
	if (code)
		goto err_close;
	return NOERROR;

err_close:
	vdi_set_close(set);
err_release:
	vdi_set_release(set);
	return code;
}

int vdi_client_open_in_secondary(struct vdi_client *client,
				 const char *instance, const char *name)
{
	char full[VDI_NAME_BUF];

	if (!client)
		return VD_E_INVALID;
	if (client->set.alive)
		return fail_order(client, "join");
	if (vdi_name_of_set(default_instance(instance), name, full))
		return vdi_set_fail(&client->set, VD_E_INVALID,
				    "join: the name is invalid");
	return join(client, full, -1);
}

int vdi_client_open_in_secondary_fd(struct vdi_client *client, int fd)
{
	if (!client || fd < 0)
		return VD_E_INVALID;
	if (client->set.alive)
		return fail_order(client, "join");
	return join(client, NULL, fd);
}

int vdi_client_get_configuration(struct vdi_client *client,
				 int64_t timeout_ms, struct VDConfig *config)
{
	struct vdiset_get_config get;
	struct vdi_deadline deadline;
	int err, code;

	if (!client || !config)
		return VD_E_INVALID;
	if (!vdi_set_exists(&client->set))
		return fail_order(client, "get configuration");
	vdi_deadline_init(&deadline, timeout_ms);
	do
		err = vdi_set_get_config(&client->set, VDISET_CONFIG_WAIT,
					 vdi_deadline_left(&deadline), &get);
	while (err == -EINTR);
	if (err)
		return vdi_set_fail_errno(&client->set, err,
					  "wait for the configuration");
	code = adopt_config(client, &get.out_config);
	if (!code)
		vdi_config_from_kernel(&get.out_config, config);
	return code;
}

int vdi_client_signal_abort(struct vdi_client *client, uint32_t code,
			    const char *text)
{
	if (!client)
		return VD_E_INVALID;
	if (!vdi_set_exists(&client->set))
		return fail_order(client, "abort");
	return vdi_set_abort(&client->set, VDISET_REASON_SIGNAL, code, text);
}

static void free_device(struct vdi_client_device *device, bool foreign)
{
	vdi_channel_release(&device->ch, foreign);
	if (!foreign) {
		pthread_cond_destroy(&device->idle);
		pthread_mutex_destroy(&device->lock);
	}
	free(device);
}

static void release(struct vdi_client *client, bool foreign)
{
	int i;

	for (i = 0; i < VDISET_MAX_DEVICES; i++) {
		if (client->devices[i])
			free_device(client->devices[i], foreign);
		client->devices[i] = NULL;
	}
	client->configured = false;
	vdi_set_release(&client->set);
}

int vdi_client_close(struct vdi_client *client)
{
	int err;

	if (!client)
		return VD_E_INVALID;
	if (vdi_set_foreign(&client->set)) {
		release(client, true);
		return VD_E_PROTOCOL;
	}
	if (!vdi_set_exists(&client->set))
		return fail_order(client, "close");
	err = vdi_set_close(&client->set);
	release(client, false);
	if (err == -EBUSY)
		return vdi_set_fail(&client->set, VD_E_OPEN, "closed before "
				    "the normal end: the set is aborted");
	return err ? vdi_set_fail_errno(&client->set, err, "close") : NOERROR;
}

int vdi_client_fd(const struct vdi_client *client)
{
	return client ? client->set.fd : -1;
}

int vdi_client_abort_info(struct vdi_client *client,
			  struct vdi_abort_info *info)
{
	if (!client || !info)
		return VD_E_INVALID;
	if (!vdi_set_exists(&client->set))
		return fail_order(client, "abort information");
	return vdi_set_abort_info(&client->set, info);
}

void vdi_client_message(struct vdi_client *client, char *buf, size_t size)
{
	vdi_set_message(client ? &client->set : NULL, buf, size);
}

/* ---------------------------------------------------------------- buffers */

/* Map what the area has grown by. */
static void follow_area(struct vdi_client *client)
{
	struct vdiset_get_config get;

	if (!vdi_set_get_config(&client->set, 0, 0, &get))
		vdi_set_map_area(&client->set,
				 get.out_config.buffer_area_size);
}

int vdi_client_get_buffer_handle(struct vdi_client *client,
				 const uint8_t *buffer, uint32_t *handle)
{
	uint64_t offset;

	if (!client || !buffer || !handle)
		return VD_E_INVALID;
	if (!configured(client))
		return fail_order(client, "buffer handle");
	if (!vdi_area_offset(&client->set.area, buffer,
			     client->config.prefix_zone_size, 1, &offset) ||
	    offset % client->config.alignment ||
	    offset / HANDLE_UNIT >= UINT32_MAX)
		return vdi_set_fail(&client->set, VD_E_INVALID,
				    "this is not the address of a buffer");
	*handle = offset / HANDLE_UNIT + 1;
	return NOERROR;
}

int vdi_client_map_buffer_handle(struct vdi_client *client, uint32_t handle,
				 uint8_t **buffer)
{
	uint32_t prefix;
	uint64_t offset;

	if (!client || !buffer)
		return VD_E_INVALID;
	*buffer = NULL;
	if (!configured(client))
		return fail_order(client, "buffer handle");

	prefix = client->config.prefix_zone_size;
	offset = (uint64_t)(handle - 1) * HANDLE_UNIT;
	if (!handle || offset % client->config.alignment)
		goto invalid;
	*buffer = vdi_area_address(&client->set.area, offset, prefix, 1);
	if (!*buffer) {
		follow_area(client);
		*buffer = vdi_area_address(&client->set.area, offset, prefix,
					   1);
	}
	if (*buffer)
		return NOERROR;
invalid:
	return vdi_set_fail(&client->set, VD_E_INVALID,
			    "this is not the handle of a buffer");
}

/* ---------------------------------------------------------------- devices */

static void init_cond(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

static struct vdi_client_device *new_device(struct vdi_client *client,
					    const struct vdi_channel *ch)
{
	struct vdi_client_device *device;
	uint32_t depth = ch->ring.depth;

	device = calloc(1, sizeof(*device) + depth * sizeof(struct slot));
	if (!device)
		return NULL;
	device->client = client;
	device->ch = *ch;
	device->limits.depth = depth;
	device->limits.max_transfer = client->config.max_transfer_size;
	device->limits.features = client->config.features;
	device->prefix = client->config.prefix_zone_size;
	device->alignment = client->config.alignment;
	vdi_spin_init(&device->spin, client->set.several_cpus);
	pthread_mutex_init(&device->lock, NULL);
	init_cond(&device->idle);
	return device;
}

static int open_device(struct vdi_client *client, const char *name,
		       struct vdi_client_device **out)
{
	struct vdi_channel ch;
	int code;

	code = vdi_channel_open(&client->set, name, &ch);
	if (code)
		return code;
	*out = new_device(client, &ch);
	if (*out && !client->devices[ch.index]) {
		client->devices[ch.index] = *out;
		return NOERROR;
	}
	free(*out);
	*out = NULL;
	vdi_set_abort(&client->set, VDISET_REASON_SIGNAL, 0,
		      "no memory for a device");
	vdi_channel_release(&ch, false);
	return vdi_set_fail(&client->set, VD_E_MEMORY, "no memory");
}

int vdi_client_open_device(struct vdi_client *client, const char *name,
			   struct vdi_client_device **out)
{
	int code;

	if (!client || !out)
		return VD_E_INVALID;
	*out = NULL;
	if (!configured(client))
		return fail_order(client, "open device");
	if (vdi_name_check(name))
		return vdi_set_fail(&client->set, VD_E_INVALID,
				    "open device: the name is invalid");
	pthread_mutex_lock(&client->lock);
	code = open_device(client, name, out);
	pthread_mutex_unlock(&client->lock);
	return code;
}

int vdi_client_device_fd(const struct vdi_client_device *device)
{
	return device ? device->ch.fd : -1;
}

/* ------------------------------------------------------------- completing */

/*
 * Record the end of a command. The slot must be free before the completion
 * can be seen, and IO-ERROR entered: the server may use the tag again at once.
 * Called with the lock held.
 */
static int complete(struct vdi_client_device *device, uint32_t tag,
		    uint32_t code, uint64_t bytes, int64_t position)
{
	struct vdiset_completion done = {
		.tag = tag,
		.code = code,
		.bytes = bytes,
		.position = position,
	};
	struct slot *slot = &device->slots[tag];

	if (slot->held) {
		slot->held = false;
		if (!--device->held)
			pthread_cond_signal(&device->idle);
	}
	if (vdi_completion_is_error(slot->code, slot->size, code, bytes))
		device->in_error = true;
	else if (slot->code == VDC_ClearError)
		device->in_error = false;
	vdi_ring_count(&device->ch.ring,
		       vdi_command_has_data(slot->code) ? bytes : 0);
	if (vdi_ring_put_completion(&device->ch.ring, &done))
		return vdi_set_violation(&device->client->set, "the server's "
					 "head of completions is impossible");
	return NOERROR;
}

static bool holds(const struct vdi_client_device *device,
		  const struct VDC_Command *cmd, uint32_t *tag)
{
	uintptr_t distance = (uintptr_t)cmd - (uintptr_t)device->slots;

	*tag = distance / sizeof(struct slot);
	return *tag < device->limits.depth &&
	       &device->slots[*tag].cmd == cmd && device->slots[*tag].held;
}

static int complete_held(struct vdi_client_device *device,
			 const struct VDC_Command *cmd, uint32_t code,
			 uint32_t bytes, int64_t position)
{
	struct vdi_set *set = &device->client->set;
	struct slot *slot;
	uint32_t tag;

	if (!holds(device, cmd, &tag))
		return vdi_set_fail(set, VD_E_INVALID, "this is not a command "
				    "held from this device");
	slot = &device->slots[tag];
	if (vdi_command_has_data(slot->code) && bytes > (uint32_t)slot->size)
		return vdi_set_fail(set, VD_E_INVALID, "completion of more "
				    "bytes than were asked for");
	return complete(device, tag, code, bytes, position);
}

int vdi_client_complete_command(struct vdi_client_device *device,
				struct VDC_Command *cmd, int completion_code,
				uint32_t bytes_transferred, int64_t position)
{
	int code;

	if (!device || !cmd)
		return VD_E_INVALID;
	if (!vdi_set_exists(&device->client->set))
		return fail_order(device->client, "complete command");
	if (vdi_channel_aborted(&device->ch))
		return vdi_set_fail_abort(&device->client->set);

	pthread_mutex_lock(&device->lock);
	code = complete_held(device, cmd, completion_code, bytes_transferred,
			     position);
	pthread_mutex_unlock(&device->lock);
	if (!code)
		vdi_channel_tell(&device->ch);
	return code;
}

/* ---------------------------------------------------------------- getting */

/* Address of a command's buffer; NULL when it is not wholly in the area. */
static uint8_t *find_buffer(struct vdi_client_device *device,
			    const struct vdiset_command *cmd)
{
	struct vdi_set *set = &device->client->set;
	uint8_t *at;

	if (cmd->buffer % device->alignment)
		return NULL;
	at = vdi_area_address(&set->area, cmd->buffer, device->prefix,
			      cmd->size);
	if (at || vdi_area_size(&set->area) >=
		  vdi_channel_area_size(&device->ch))
		return at;
	if (vdi_set_map_area(set, vdi_channel_area_size(&device->ch)))
		return NULL;
	return vdi_area_address(&set->area, cmd->buffer, device->prefix,
				cmd->size);
}

/* What is wrong with a fetched command; NULL = nothing, *@buffer is set. */
static const char *check(struct vdi_client_device *device,
			 const struct vdiset_command *cmd, uint8_t **buffer)
{
	const char *wrong = vdi_command_check(cmd, &device->limits);

	*buffer = NULL;
	if (wrong || cmd->buffer == VDISET_NO_BUFFER)
		return wrong;
	*buffer = find_buffer(device, cmd);
	return *buffer ? NULL : "command with a buffer outside of the area";
}

/* With the lock held; the command was checked. */
static void hold(struct vdi_client_device *device,
		 const struct vdiset_command *cmd, uint8_t *buffer,
		 struct VDC_Command **out)
{
	struct slot *slot = &device->slots[cmd->tag];

	slot->code = cmd->code;
	slot->size = cmd->size;
	slot->held = true;
	slot->cmd.commandCode = cmd->code;
	slot->cmd.size = cmd->size;
	slot->cmd.position = cmd->position;
	slot->cmd.buffer = buffer;
	device->held++;
	*out = &slot->cmd;
}

/* In IO-ERROR, with the lock held: see the top of the file. */
static int drop_or_hold_back(struct vdi_client_device *device,
			     const struct vdiset_command *cmd)
{
	struct slot *slot = &device->slots[cmd->tag];

	if (cmd->code == VDC_ClearError) {
		device->clear = *cmd;
		device->clear_waits = true;
		return NOTHING;
	}
	slot->code = cmd->code;
	slot->size = cmd->size;
	return complete(device, cmd->tag, ERROR_IO_DEVICE, 0, 0) ? :
	       NOTHING;
}

static int accept(struct vdi_client_device *device,
		  const struct vdiset_command *cmd, struct VDC_Command **out)
{
	struct vdi_set *set = &device->client->set;
	const char *wrong;
	uint8_t *buffer;
	int code = NOERROR;

	wrong = check(device, cmd, &buffer);
	if (wrong)
		return vdi_set_violation(set, wrong);

	pthread_mutex_lock(&device->lock);
	if (device->slots[cmd->tag].held)
		code = vdi_set_violation(set, "command with a tag in use");
	else if (device->in_error)
		code = drop_or_hold_back(device, cmd);
	else
		hold(device, cmd, buffer, out);
	pthread_mutex_unlock(&device->lock);
	return code;
}

/* ClearError, once the client holds nothing else. */
static int deliver_clear(struct vdi_client_device *device,
			 struct VDC_Command **out)
{
	int code = NOTHING;

	pthread_mutex_lock(&device->lock);
	if (!device->held) {
		hold(device, &device->clear, NULL, out);
		device->clear_waits = false;
		code = NOERROR;
	}
	pthread_mutex_unlock(&device->lock);
	return code;
}

/*
 * need_wakeup is set when the ring was found empty, and cleared when something
 * was taken from it, so that each such stretch is one episode. It stays set
 * after a time-out: the caller may poll(2) then.
 */
static void set_wakeup(struct vdi_client_device *device)
{
	if (vdi_ring_own_wakeup(&device->ch.ring))
		return;
	device->episode = vdi_ring_next_episode(device->episode);
	vdi_ring_set_wakeup(&device->ch.ring, device->episode);
}

static void clear_wakeup(struct vdi_client_device *device)
{
	if (vdi_ring_own_wakeup(&device->ch.ring))
		vdi_ring_set_wakeup(&device->ch.ring, 0);
}

/* Take one command from the ring. */
static int fetch(struct vdi_client_device *device, struct VDC_Command **out)
{
	struct vdiset_command cmd;

	switch (vdi_ring_get_command(&device->ch.ring, &cmd)) {
	case VDI_RING_OK:
		clear_wakeup(device);
		return accept(device, &cmd, out);
	case VDI_RING_EMPTY:
		return NOTHING;
	default:
		return vdi_set_violation(&device->client->set, "the server's "
					 "tail of commands is impossible");
	}
}

/*
 * The next command to deliver. Commands that end here, in IO-ERROR, may be
 * many; the server is told of them once, when the ring is empty.
 */
static int next_command(struct vdi_client_device *device,
			struct VDC_Command **out)
{
	bool dropped = false;
	int code = NOTHING;

	while (!device->clear_waits && vdi_ring_ready(&device->ch.ring)) {
		code = fetch(device, out);
		if (code != NOTHING)
			break;
		dropped = true;
	}
	if (dropped)
		vdi_channel_tell(&device->ch);
	if (code == NOTHING && device->clear_waits)
		code = deliver_clear(device, out);
	return code;
}

/* Something happened that ends a wait without a command? */
static bool over(const struct vdi_client_device *device)
{
	return vdi_channel_aborted(&device->ch) ||
	       vdi_channel_closed(&device->ch);
}

static bool spin(struct vdi_client_device *device)
{
	uint32_t i;

	for (i = 0; i < device->spin.budget; i++) {
		if (vdi_ring_ready(&device->ch.ring) || over(device)) {
			vdi_spin_won(&device->spin);
			return true;
		}
		vdi_cpu_relax();
	}
	vdi_spin_lost(&device->spin);
	return false;
}

static int timed_out(struct vdi_client_device *device)
{
	return vdi_set_fail_text(&device->client->set, VD_E_TIMEOUT,
				 "no command came in time");
}

/* ClearError is held back, and nothing but ClearErrors can come after it. */
static int wait_for_idle(struct vdi_client_device *device,
			 struct vdi_deadline *deadline)
{
	int64_t left = vdi_deadline_left(deadline);
	struct timespec until;

	if (!left)
		return timed_out(device);
	if (left < 0 || left > HOLD_TICK_NS)
		left = HOLD_TICK_NS;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += left;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_mutex_lock(&device->lock);
	if (device->held)
		pthread_cond_timedwait(&device->idle, &device->lock, &until);
	pthread_mutex_unlock(&device->lock);
	return NOERROR;
}

static int sleep_for_command(struct vdi_client_device *device,
			     struct vdi_deadline *deadline)
{
	int64_t left;
	int err;

	set_wakeup(device);
	vdi_ring_barrier();	/* (D) */
	if (vdi_ring_ready(&device->ch.ring) || over(device))
		return NOERROR;
	left = vdi_deadline_left(deadline);
	if (!left)
		return timed_out(device);
	err = vdi_channel_wait(&device->ch, VDISET_WAIT_SLEEP, left);
	switch (err) {
	case 0:
	case -EINTR:
	case -EPIPE:
	case -ECANCELED:
	case -ETIMEDOUT:
		return NOERROR;	/* the caller looks again */
	default:
		return vdi_set_fail_errno(&device->client->set, err,
					  "wait for a command");
	}
}

/* The ring is empty, or only ClearError is there and held back. */
static int wait_for_command(struct vdi_client_device *device,
			    struct vdi_deadline *deadline)
{
	if (device->clear_waits)
		return wait_for_idle(device, deadline);
	if (vdi_channel_closed(&device->ch)) {
		/* closed after the last command: look at the ring once more */
		if (vdi_ring_ready(&device->ch.ring))
			return NOERROR;
		__atomic_store_n(&device->closed, true, __ATOMIC_RELAXED);
		return vdi_set_fail_text(&device->client->set, VD_E_CLOSE,
					 "the server has closed the device");
	}
	if (deadline->timeout_ns && device->spin.budget) {
		clear_wakeup(device);
		if (spin(device))
			return NOERROR;
	}
	return sleep_for_command(device, deadline);
}

int vdi_client_get_command(struct vdi_client_device *device,
			   int64_t timeout_ms, struct VDC_Command **cmd)
{
	struct vdi_deadline deadline;
	int code;

	if (!device || !cmd)
		return VD_E_INVALID;
	*cmd = NULL;
	if (!vdi_set_exists(&device->client->set))
		return fail_order(device->client, "get command");
	if (__atomic_load_n(&device->closed, __ATOMIC_RELAXED))
		return fail_order(device->client, "get command");
	vdi_deadline_init(&deadline, timeout_ms);
	for (;;) {
		if (vdi_channel_aborted(&device->ch))
			return vdi_set_fail_abort(&device->client->set);
		code = next_command(device, cmd);
		if (code != NOTHING)
			return code;
		code = wait_for_command(device, &deadline);
		if (code)
			return code;
	}
}
