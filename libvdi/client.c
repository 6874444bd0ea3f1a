// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * client.c - the client's side: sets and buffers
 *
 * Devices are in client_device.c, commands in client_commands.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "config.h"
#include "find.h"

/* A handle is the offset in these units, plus 1: no handle is 0. */
#define HANDLE_UNIT	512U

static int fail_gone(struct vdi_client *client, const char *what)
{
	return vdi_set_fail_gone(&client->set, what);
}

static int fail_exists(struct vdi_client *client, const char *what)
{
	return vdi_set_fail_exists(&client->set, what);
}

/* ------------------------------------------------------------------- sets */

static int fail_create(struct vdi_set *set, int err)
{
	switch (err) {
	case -EEXIST:
		return vdi_set_fail(set, VD_E_PROTOCOL,
				    "a set of the name %s exists that this user "
				    "created", set->name);
	case -EDQUOT:
		return vdi_set_fail(set, VD_E_MEMORY,
				    "this user has, or takes part in, too many "
				    "sets");
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

static void get_ready(struct vdi_client *client, uint32_t role)
{
	client->role = role;
	vdi_set_ready(&client->set);
}

static int open_and_create(struct vdi_client *client, const char *name,
			   const struct vdiset_config *config,
			   const struct vdi_access *access)
{
	int code;

	code = vdi_set_open(&client->set);
	if (code)
		return code;
	strcpy(client->set.name, name);
	code = create(&client->set, config, access);
	if (code)
		vdi_set_release(&client->set);
	else
		get_ready(client, VDI_ROLE_PRIMARY);
	return code;
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
	if (vdi_set_has_file(&client->set))
		return fail_exists(client, "create");
	if (!config)
		return vdi_set_fail_null(&client->set, "create", "config");
	if (access && access->mode & ~0777U)
		return vdi_set_fail(&client->set, VD_E_INVALID, "create: "
				    "access: the mode is 0%o, beyond 0777",
				    access->mode);
	code = vdi_set_name(&client->set, "create", instance, name, full);
	if (code)
		return code;
	vdi_config_to_kernel(config, &wish);
	wrong = vdi_config_check_request(&wish);
	if (wrong)
		return vdi_set_fail_config(&client->set, "create", wrong,
					   &wish);

	pthread_mutex_lock(&client->set.life);
	if (vdi_set_has_file(&client->set))
		code = fail_exists(client, "create");
	else
		code = open_and_create(client, full, &wish, access);
	pthread_mutex_unlock(&client->set.life);
	return vdi_set_done(&client->set, code, "create");
}

/* Adopt the final configuration, if it is valid. */
static int adopt_config(struct vdi_client *client,
			const struct vdiset_config *config)
{
	const char *wrong = vdi_config_check_fixed(config);
	int code;

	if (wrong)
		return vdi_set_violation(&client->set, wrong);
	code = vdi_set_map_area(&client->set, config->buffer_area_size, NULL);
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

/* Is the configuration known? It never changes after that. */
bool vdi_client_configured(const struct vdi_client *client)
{
	return __atomic_load_n(&client->configured, __ATOMIC_ACQUIRE);
}

/*
 * An abort has no effect on a set that has terminated: the server has finished,
 * and the kernel changes nothing. But by the specification this client is in
 * state Abort from then on (matrix of client calls), so its calls return
 * VD_E_ABORT.
 */
static void give_up(struct vdi_client *client, uint32_t reason, uint32_t code,
		    const char *text)
{
	struct vdi_abort_info *own = &client->own_abort;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	pthread_mutex_lock(&client->lock);
	if (!vdi_client_gave_up(client)) {
		memset(own, 0, sizeof(*own));
		own->reason = reason;
		own->code = code;
		own->role = client->role;
		own->pid = getpid();
		own->uid = geteuid();
		own->time_ns = now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
		prctl(PR_GET_NAME, own->comm);
		snprintf(own->text, sizeof(own->text), "%s", text ? text : "");
		__atomic_fetch_or(&client->stops, VDI_STOP_GAVE_UP,
				  __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&client->lock);
}

static int abort_or_give_up(struct vdi_client *client, uint32_t reason,
			    uint32_t code, const char *text)
{
	struct vdi_abort_info info;
	int rc;

	rc = vdi_set_abort(&client->set, reason, code, text);
	if (!rc && !vdi_set_abort_info(&client->set, &info) && !info.reason)
		give_up(client, reason, code, text);
	return rc;
}

/* The server broke the rules; it may have closed its devices since. */
static int violation(struct vdi_set *set, const char *text)
{
	struct vdi_client *client = (struct vdi_client *)set;

	abort_or_give_up(client, VDISET_REASON_PROTOCOL, 0, text);
	return vdi_client_fail_abort(client);
}

/* This process cannot continue; the server has done nothing wrong. */
void vdi_client_abort(struct vdi_client *client, const char *text)
{
	abort_or_give_up(client, VDISET_REASON_SIGNAL, 0, text);
}

int vdi_client_fail_abort(struct vdi_client *client)
{
	if (vdi_log_on() &&
	    !__atomic_exchange_n(&client->held_logged, true, __ATOMIC_RELAXED))
		vdi_client_log_held(client, "aborted");
	if (vdi_client_gave_up(client))
		return vdi_set_fail_text(&client->set, VD_E_ABORT, "aborted by "
					 "this client after the set had "
					 "terminated");
	return vdi_set_fail_abort(&client->set);
}

int vdi_client_new(struct vdi_client **out)
{
	struct vdi_client *client;

	if (!out)
		return VD_E_INVALID;
	*out = NULL;
	client = calloc(1, sizeof(*client));
	if (!client)
		return VD_E_MEMORY;
	if (vdi_set_init(&client->set, violation)) {
		free(client);
		return VD_E_MEMORY;
	}
	pthread_mutex_init(&client->lock, NULL);
	*out = client;
	return NOERROR;
}

void vdi_client_free(struct vdi_client *client)
{
	if (!client)
		return;
	vdi_client_close(client);
	vdi_device_free_retired(&client->retired);
	vdi_set_fini(&client->set);
	pthread_mutex_destroy(&client->lock);
	free(client);
}

static int code_of_join(int err)
{
	switch (err) {
	case -ENOENT:
	case -EAGAIN:
	case -EPIPE:
		return VD_E_PROTOCOL;
	case -EBADF:
		return VD_E_INVALID;
	default:
		return vdi_set_code(err);
	}
}

static int attach_secondary(struct vdi_client *client, const char *name,
			    int fd)
{
	struct vdiset_get_config get;
	struct vdi_set *set = &client->set;
	char text[VDI_MESSAGE_SIZE];
	uint32_t state;
	int err, code;

	code = vdi_set_open(set);
	if (code)
		return code;
	err = name ? vdi_find_by_name(set, VDISET_ROLE_SECONDARY, name, text) :
		     vdi_find_by_fd(set, VDISET_ROLE_SECONDARY, fd, text);
	if (err) {
		code = vdi_set_fail_text(set, code_of_join(err), text);
		goto err_release;
	}
	err = vdi_set_get_config(set, 0, 0, &get);
	code = err ? vdi_set_fail_errno(set, err, "read the configuration") :
		     adopt_config(client, &get.out_config);
	if (code)
		goto err_close;
	get_ready(client, VDI_ROLE_SECONDARY);
	return NOERROR;

err_close:
	vdi_set_close(set, &state);
	client->stops = 0;
err_release:
	vdi_set_release(set);
	return code;
}

static int join(struct vdi_client *client, const char *name, int fd)
{
	int code;

	pthread_mutex_lock(&client->set.life);
	if (vdi_set_has_file(&client->set))
		code = fail_exists(client, "join");
	else
		code = attach_secondary(client, name, fd);
	pthread_mutex_unlock(&client->set.life);
	return vdi_set_done(&client->set, code, "join");
}

int vdi_client_open_in_secondary(struct vdi_client *client,
				 const char *instance, const char *name)
{
	char full[VDI_NAME_BUF];
	int code;

	if (!client)
		return VD_E_INVALID;
	if (vdi_set_has_file(&client->set))
		return fail_exists(client, "join");
	code = vdi_set_name(&client->set, "join", instance, name, full);
	return code ? code : join(client, full, -1);
}

int vdi_client_open_in_secondary_fd(struct vdi_client *client, int fd)
{
	if (!client)
		return VD_E_INVALID;
	if (fd < 0)
		return vdi_set_fail(&client->set, VD_E_INVALID, "join: the "
				    "descriptor is %d", fd);
	if (vdi_set_has_file(&client->set))
		return fail_exists(client, "join");
	return join(client, NULL, fd);
}

static void log_config(struct vdi_client *client, const struct VDConfig *config)
{
	struct vdiset_config fields;
	char text[VDI_CONFIG_TEXT];

	vdi_config_to_kernel(config, &fields);
	vdi_config_describe(&fields, text);
	vdi_log(client->set.name, "get configuration: %s", text);
}

static int get_configuration(struct vdi_client *client, int64_t timeout_ms,
			     struct VDConfig *config)
{
	struct vdiset_get_config get;
	struct vdi_deadline deadline;
	int err, code;

	if (vdi_client_gave_up(client))
		return vdi_client_fail_abort(client);
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

int vdi_client_get_configuration(struct vdi_client *client,
				 int64_t timeout_ms, struct VDConfig *config)
{
	int code;

	if (!client)
		return VD_E_INVALID;
	if (!config)
		return vdi_set_fail_null(&client->set, "get configuration",
					 "config");
	if (!vdi_set_enter(&client->set))
		return fail_gone(client, "get configuration");
	code = get_configuration(client, timeout_ms, config);
	if (vdi_log_on() && !code)
		log_config(client, config);
	vdi_set_leave(&client->set);
	return code;
}

int vdi_client_set_rate(struct vdi_client *client, uint64_t bytes_per_second)
{
	int rc;

	if (!client)
		return VD_E_INVALID;
	if (!vdi_set_enter(&client->set))
		return fail_gone(client, "set rate");
	rc = vdi_set_set_rate(&client->set, bytes_per_second);
	vdi_set_leave(&client->set);
	return rc;
}

int vdi_client_signal_abort(struct vdi_client *client, uint32_t code,
			    const char *text)
{
	int rc;

	if (!client)
		return VD_E_INVALID;
	if (!vdi_set_enter(&client->set))
		return fail_gone(client, "abort");
	rc = abort_or_give_up(client, VDISET_REASON_SIGNAL, code, text);
	vdi_set_done(&client->set, rc, "signal abort");
	vdi_set_leave(&client->set);
	return rc;
}

/*
 * The file has left the set, which has woken all threads that slept in calls.
 * Wait for the calls to end, then release what they used.
 */
static void release(struct vdi_client *client, bool forked)
{
	int i;

	if (!forked)
		vdi_gate_close(&client->set.gate);
	for (i = 0; i < VDISET_MAX_DEVICES; i++) {
		if (client->devices[i])
			vdi_device_retire(&client->devices[i]->core,
					  &client->retired, forked);
		client->devices[i] = NULL;
	}
	if (forked)
		pthread_mutex_init(&client->lock, NULL);
	client->stops = 0;
	client->configured = false;
	client->held_logged = false;
	memset(&client->pace, 0, sizeof(client->pace));
	memset(client->paced, 0, sizeof(client->paced));
	client->paced_at = 0;
	vdi_set_release(&client->set);
}

/*
 * Before state Active no data is lost, and closing is in order (matrix of
 * client calls). The set ends with its primary client in any case.
 */
static int close_set(struct vdi_client *client)
{
	uint32_t state;
	int err;

	if (vdi_log_on())
		vdi_client_log_held(client, "closed");
	/* a peer that keeps a call busy must not delay the close */
	__atomic_fetch_or(&client->stops, VDI_STOP_CLOSING, __ATOMIC_RELEASE);
	err = vdi_set_close(&client->set, &state);
	release(client, false);
	if (err == -EBUSY && state < VDISET_STATE_ACTIVE)
		err = 0;
	if (err == -EBUSY)
		return vdi_set_fail(&client->set, VD_E_OPEN, "closed before "
				    "the normal end: the set is aborted");
	return err ? vdi_set_fail_errno(&client->set, err, "close") :
		     vdi_set_done(&client->set, NOERROR, "close");
}

int vdi_client_close(struct vdi_client *client)
{
	int code;

	if (!client)
		return VD_E_INVALID;
	if (vdi_set_forked(&client->set)) {
		release(client, true);
		return VD_E_PROTOCOL;
	}
	pthread_mutex_lock(&client->set.life);
	if (vdi_set_exists(&client->set))
		code = close_set(client);
	else
		code = fail_gone(client, "close");
	pthread_mutex_unlock(&client->set.life);
	return code;
}

int vdi_client_set_lock(struct vdi_client *client, int lock)
{
	if (!client)
		return VD_E_INVALID;
	__atomic_store_n(&client->set.area.locked, lock, __ATOMIC_RELAXED);
	return NOERROR;
}

int vdi_client_set_spin(struct vdi_client *client, unsigned int iterations)
{
	if (!client)
		return VD_E_INVALID;
	return vdi_set_set_spin(&client->set, iterations);
}

int vdi_client_fd(const struct vdi_client *client)
{
	return client ? __atomic_load_n(&client->set.fd, __ATOMIC_RELAXED) : -1;
}

int vdi_client_abort_info(struct vdi_client *client,
			  struct vdi_abort_info *info)
{
	int code = NOERROR;

	if (!client || !info)
		return VD_E_INVALID;
	if (!vdi_set_enter(&client->set))
		return vdi_find_abort_info(&client->set, info);
	if (vdi_client_gave_up(client))
		*info = client->own_abort;
	else
		code = vdi_set_abort_info(&client->set, info);
	vdi_set_leave(&client->set);
	return code;
}

int vdi_client_set_trusted_users(struct vdi_client *client,
				 const uid_t *users, unsigned int count)
{
	if (!client)
		return VD_E_INVALID;
	return vdi_find_set_trusted(&client->set, users, count);
}

int vdi_client_get_peer(struct vdi_client *client, struct vdi_peer *peer)
{
	int code;

	if (!client)
		return VD_E_INVALID;
	if (!peer)
		return vdi_set_fail_null(&client->set, "get peer", "peer");
	if (!vdi_set_enter(&client->set))
		return fail_gone(client, "get peer");
	code = vdi_set_get_peer(&client->set, VDI_ROLE_SERVER, peer);
	vdi_set_leave(&client->set);
	return code;
}

int vdi_client_get_creator(struct vdi_client *client, uid_t *creator)
{
	int code;

	if (!client)
		return VD_E_INVALID;
	if (!creator)
		return vdi_set_fail_null(&client->set, "get creator", "creator");
	if (!vdi_set_enter(&client->set))
		return fail_gone(client, "get creator");
	code = vdi_set_get_creator(&client->set, creator);
	vdi_set_leave(&client->set);
	return code;
}

void vdi_client_message(struct vdi_client *client, char *buf, size_t size)
{
	vdi_set_message(client ? &client->set : NULL, buf, size);
}

/* ---------------------------------------------------------------- buffers */

/* Map the growth of the area. If its size cannot be read, it has not grown. */
static int follow_area(struct vdi_client *client)
{
	struct vdiset_get_config get;

	if (vdi_set_get_config(&client->set, 0, 0, &get))
		return NOERROR;
	return vdi_set_map_area(&client->set, get.out_config.buffer_area_size,
				NULL);
}

static int get_buffer_handle(struct vdi_client *client, const uint8_t *buffer,
			     uint32_t *handle)
{
	uint64_t offset;

	if (!vdi_client_configured(client))
		return vdi_set_fail_order(&client->set, "buffer handle",
					  VDI_NEED_GET_CONFIG);
	if (!vdi_area_offset(&client->set.area, buffer,
			     client->config.prefix_zone_size, 1, &offset) ||
	    offset % client->config.alignment ||
	    offset / HANDLE_UNIT >= UINT32_MAX)
		return vdi_set_fail(&client->set, VD_E_INVALID,
				    "this is not the address of a buffer");
	*handle = offset / HANDLE_UNIT + 1;
	return NOERROR;
}

int vdi_client_get_buffer_handle(struct vdi_client *client,
				 const uint8_t *buffer, uint32_t *handle)
{
	int code;

	if (!client)
		return VD_E_INVALID;
	if (!buffer || !handle)
		return vdi_set_fail_null(&client->set, "buffer handle",
					 buffer ? "handle" : "buffer");
	if (!vdi_set_enter(&client->set))
		return fail_gone(client, "buffer handle");
	code = get_buffer_handle(client, buffer, handle);
	vdi_set_leave(&client->set);
	return code;
}

static int map_buffer_handle(struct vdi_client *client, uint32_t handle,
			     uint8_t **buffer)
{
	uint32_t prefix;
	uint64_t offset;
	int code;

	if (!vdi_client_configured(client))
		return vdi_set_fail_order(&client->set, "buffer handle",
					  VDI_NEED_GET_CONFIG);

	prefix = client->config.prefix_zone_size;
	offset = (uint64_t)(handle - 1) * HANDLE_UNIT;
	if (!handle || offset % client->config.alignment)
		goto invalid;
	*buffer = vdi_area_address(&client->set.area, offset, prefix, 1);
	if (!*buffer) {
		code = follow_area(client);
		if (code)
			return code;
		*buffer = vdi_area_address(&client->set.area, offset, prefix,
					   1);
	}
	if (*buffer)
		return NOERROR;
invalid:
	return vdi_set_fail(&client->set, VD_E_INVALID,
			    "this is not the handle of a buffer");
}

int vdi_client_map_buffer_handle(struct vdi_client *client, uint32_t handle,
				 uint8_t **buffer)
{
	int code;

	if (!client)
		return VD_E_INVALID;
	if (!buffer)
		return vdi_set_fail_null(&client->set, "buffer handle",
					 "buffer");
	*buffer = NULL;
	if (!vdi_set_enter(&client->set))
		return fail_gone(client, "buffer handle");
	code = map_buffer_handle(client, handle, buffer);
	vdi_set_leave(&client->set);
	return code;
}

