// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * server.c - the server's side: sets and their configuration
 *
 * Buffers are in server_buffers.c, devices and commands in server_device.c, the
 * completion agent in server_agent.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "find.h"
#include "server.h"

/* ------------------------------------------------------------------- sets */

/*
 * The client broke the rules. Stored before the abort, which tells the agent.
 */
static int violation(struct vdi_set *set, const char *text)
{
	struct vdi_server *server = (struct vdi_server *)set;

	__atomic_store_n(&server->violated, true, __ATOMIC_RELEASE);
	vdi_set_abort(set, VDISET_REASON_PROTOCOL, 0, text);
	return vdi_set_fail_abort(set);
}

int vdi_server_new(struct vdi_server **out)
{
	struct vdi_server *server;

	if (!out)
		return VD_E_INVALID;
	*out = NULL;
	server = calloc(1, sizeof(*server));
	if (!server)
		return VD_E_MEMORY;
	if (vdi_set_init(&server->set, violation)) {
		free(server);
		return VD_E_MEMORY;
	}
	pthread_mutex_init(&server->growth, NULL);
	pthread_mutex_init(&server->lock, NULL);
	pthread_mutex_init(&server->agent, NULL);
	*out = server;
	return NOERROR;
}

void vdi_server_free(struct vdi_server *server)
{
	/* a completion routine uses the object */
	if (!server || (!vdi_set_forked(&server->set) &&
			vdi_server_in_agent(server)))
		return;
	vdi_server_close(server);
	vdi_device_free_retired(&server->retired);
	vdi_set_fini(&server->set);
	pthread_mutex_destroy(&server->growth);
	pthread_mutex_destroy(&server->lock);
	pthread_mutex_destroy(&server->agent);
	free(server);
}

/* Begin and end a call that uses the set and what server->lock protects. */
int vdi_server_begin_call(struct vdi_server *server, const char *what)
{
	if (!vdi_set_enter(&server->set))
		return vdi_set_fail_gone(&server->set, what);
	pthread_mutex_lock(&server->lock);
	return NOERROR;
}

int vdi_server_end_call(struct vdi_server *server, int code, const char *what)
{
	pthread_mutex_unlock(&server->lock);
	vdi_set_done(&server->set, code, what);
	vdi_set_leave(&server->set);
	return code;
}

static int code_of_attach(int err)
{
	switch (err) {
	case -ENOENT:
	case -EPIPE:
	case -EBADF:
		return VD_E_INVALID;
	default:
		return vdi_set_code(err);
	}
}

/* With the life lock held. */
static int attach(struct vdi_server *server, const char *name, int fd)
{
	char text[VDI_MESSAGE_SIZE];
	int err, code;

	code = vdi_set_open(&server->set);
	if (code)
		return code;
	err = name ? vdi_find_by_name(&server->set, VDISET_ROLE_SERVER, name,
				      text) :
		     vdi_find_by_fd(&server->set, VDISET_ROLE_SERVER, fd, text);
	if (err) {
		code = vdi_set_fail_text(&server->set, code_of_attach(err),
					 text);
		vdi_set_release(&server->set);
		return code;
	}
	vdi_spin_init(&server->spin, server->set.spin);
	server->phase = VDI_SERVER_CONNECTED;
	vdi_set_ready(&server->set);
	return NOERROR;
}

static int connect_to(struct vdi_server *server, const char *name, int fd)
{
	int code;

	pthread_mutex_lock(&server->set.life);
	if (vdi_set_has_file(&server->set))
		code = vdi_set_fail_exists(&server->set, "open");
	else
		code = attach(server, name, fd);
	pthread_mutex_unlock(&server->set.life);
	return vdi_set_done(&server->set, code, "open");
}

int vdi_server_open(struct vdi_server *server, const char *instance,
		    const char *name)
{
	char full[VDI_NAME_BUF];
	int code;

	if (!server)
		return VD_E_INVALID;
	if (vdi_set_has_file(&server->set))
		return vdi_set_fail_exists(&server->set, "open");
	code = vdi_set_name(&server->set, "open", instance, name, full);
	return code ? code : connect_to(server, full, -1);
}

int vdi_server_open_fd(struct vdi_server *server, int fd)
{
	if (!server)
		return VD_E_INVALID;
	if (fd < 0)
		return vdi_set_fail(&server->set, VD_E_INVALID, "open: the "
				    "descriptor is %d", fd);
	if (vdi_set_has_file(&server->set))
		return vdi_set_fail_exists(&server->set, "open");
	return connect_to(server, NULL, fd);
}

int vdi_server_set_rate(struct vdi_server *server, uint64_t bytes_per_second)
{
	int rc;

	if (!server)
		return VD_E_INVALID;
	if (!vdi_set_enter(&server->set))
		return vdi_set_fail_gone(&server->set, "set rate");
	rc = vdi_set_set_rate(&server->set, bytes_per_second);
	vdi_set_leave(&server->set);
	return rc;
}

int vdi_server_signal_abort(struct vdi_server *server, uint32_t code,
			    const char *text)
{
	int rc;

	if (!server)
		return VD_E_INVALID;
	if (!vdi_set_enter(&server->set))
		return vdi_set_fail_gone(&server->set, "abort");
	rc = vdi_set_abort(&server->set, VDISET_REASON_SIGNAL, code, text);
	vdi_set_done(&server->set, rc, "signal abort");
	vdi_set_leave(&server->set);
	return rc;
}

static void reset_locks(struct vdi_server *server)
{
	pthread_mutex_init(&server->growth, NULL);
	pthread_mutex_init(&server->lock, NULL);
	pthread_mutex_init(&server->agent, NULL);
	server->agent_runs = false;
}

/* No call is inside once the gates are closed; see client.c. */
static void release(struct vdi_server *server, bool forked)
{
	int i;

	if (forked)
		reset_locks(server);
	else
		vdi_gate_close(&server->set.gate);
	for (i = 0; i < VDISET_MAX_DEVICES; i++) {
		if (server->devices[i])
			vdi_device_retire(&server->devices[i]->core,
					  &server->retired, forked);
		server->devices[i] = NULL;
	}
	vdi_alloc_destroy(&server->alloc);
	memset(&server->config, 0, sizeof(server->config));
	server->phase = VDI_SERVER_NONE;
	server->area_size = 0;
	server->area_used = 0;
	server->first_opened = NULL;
	server->opened = 0;
	server->closed = 0;
	server->closing = false;
	server->violated = false;
	server->armed = false;
	server->seen = 0;
	server->rotate = 0;
	server->silent_since = 0;
	vdi_set_release(&server->set);
}

/*
 * The order matters. Leaving the set first wakes an agent in another thread,
 * and the agent has completed all outstanding commands when it releases its
 * lock.
 */
static int close_set(struct vdi_server *server)
{
	uint32_t state;
	int err;

	__atomic_store_n(&server->closing, true, __ATOMIC_RELEASE);
	err = vdi_set_close(&server->set, &state);
	vdi_server_claim_agent(server, true);
	vdi_server_drain(server);
	vdi_server_leave_agent(server);
	release(server, false);

	if (err == -EBUSY && state < VDISET_STATE_ACTIVE)
		err = 0;		/* no data was lost */
	if (err == -EBUSY)
		return vdi_set_fail(&server->set, VD_E_PROTOCOL, "closed with "
				    "devices open: the set is aborted");
	return err ? vdi_set_fail_errno(&server->set, err, "close") :
		     vdi_set_done(&server->set, NOERROR, "close");
}

int vdi_server_close(struct vdi_server *server)
{
	int code;

	if (!server)
		return VD_E_INVALID;
	if (vdi_set_forked(&server->set)) {
		release(server, true);
		return VD_E_PROTOCOL;
	}
	if (vdi_server_in_agent(server))
		return vdi_set_fail(&server->set, VD_E_PROTOCOL,
				    "close: called from a completion routine");
	pthread_mutex_lock(&server->set.life);
	if (vdi_set_exists(&server->set))
		code = close_set(server);
	else
		code = vdi_set_fail_gone(&server->set, "close");
	pthread_mutex_unlock(&server->set.life);
	return code;
}

int vdi_server_set_lock(struct vdi_server *server, int lock)
{
	if (!server)
		return VD_E_INVALID;
	__atomic_store_n(&server->set.area.locked, lock, __ATOMIC_RELAXED);
	return NOERROR;
}

int vdi_server_set_spin(struct vdi_server *server, unsigned int iterations)
{
	if (!server)
		return VD_E_INVALID;
	return vdi_set_set_spin(&server->set, iterations);
}

int vdi_server_fd(const struct vdi_server *server)
{
	return server ? __atomic_load_n(&server->set.fd, __ATOMIC_RELAXED) : -1;
}

int vdi_server_abort_info(struct vdi_server *server,
			  struct vdi_abort_info *info)
{
	int code;

	if (!server || !info)
		return VD_E_INVALID;
	if (!vdi_set_enter(&server->set))
		return vdi_find_abort_info(&server->set, info);
	code = vdi_set_abort_info(&server->set, info);
	vdi_set_leave(&server->set);
	return code;
}

int vdi_server_set_trusted_users(struct vdi_server *server,
				 const uid_t *users, unsigned int count)
{
	if (!server)
		return VD_E_INVALID;
	return vdi_find_set_trusted(&server->set, users, count);
}

int vdi_server_get_untrusted(struct vdi_server *server, uid_t *user)
{
	if (!server || !user)
		return VD_E_INVALID;
	return vdi_find_untrusted(&server->set, user);
}

int vdi_server_get_peer(struct vdi_server *server, struct vdi_peer *peer)
{
	int code;

	if (!server)
		return VD_E_INVALID;
	if (!peer)
		return vdi_set_fail_null(&server->set, "get peer", "peer");
	if (!vdi_set_enter(&server->set))
		return vdi_set_fail_gone(&server->set, "get peer");
	code = vdi_set_get_peer(&server->set, VDI_ROLE_PRIMARY, peer);
	vdi_set_leave(&server->set);
	return code;
}

int vdi_server_get_creator(struct vdi_server *server, uid_t *creator)
{
	int code;

	if (!server)
		return VD_E_INVALID;
	if (!creator)
		return vdi_set_fail_null(&server->set, "get creator", "creator");
	if (!vdi_set_enter(&server->set))
		return vdi_set_fail_gone(&server->set, "get creator");
	code = vdi_set_get_creator(&server->set, creator);
	vdi_set_leave(&server->set);
	return code;
}

void vdi_server_message(struct vdi_server *server, char *buf, size_t size)
{
	vdi_set_message(server ? &server->set : NULL, buf, size);
}

/* ---------------------------------------------------------- configuration */

static int read_config(struct vdi_server *server, struct vdiset_config *config)
{
	struct vdiset_get_config get;
	const char *wrong = NULL;
	int err;

	err = vdi_set_get_config(&server->set, 0, 0, &get);
	if (err)
		return vdi_set_fail_errno(&server->set, err,
					  "read the configuration");
	*config = get.out_config;
	if (get.out_state == VDISET_STATE_CONNECTED)
		wrong = vdi_config_check_request(config);
	return wrong ? vdi_set_violation(&server->set, wrong) : NOERROR;
}

int vdi_server_get_configuration(struct vdi_server *server,
				 struct VDConfig *config)
{
	struct vdiset_config now;
	int code;

	if (!server)
		return VD_E_INVALID;
	if (!config)
		return vdi_set_fail_null(&server->set, "get configuration",
					 "config");
	if (!vdi_set_enter(&server->set))
		return vdi_set_fail_gone(&server->set, "get configuration");
	code = read_config(server, &now);
	if (!code)
		vdi_config_from_kernel(&now, config);
	vdi_set_leave(&server->set);
	return code;
}

int vdi_server_set_queue_depth(struct vdi_server *server, unsigned int depth)
{
	int code = NOERROR;

	if (!server)
		return VD_E_INVALID;
	if (depth > VDISET_MAX_DEPTH)
		return vdi_set_fail(&server->set, VD_E_INVALID,
				    "set the queue depth: %u is above %d",
				    depth, VDISET_MAX_DEPTH);
	if (vdi_set_forked(&server->set))
		return VD_E_PROTOCOL;
	pthread_mutex_lock(&server->lock);
	if (server->phase > VDI_SERVER_CONNECTED)
		code = vdi_set_fail(&server->set, VD_E_PROTOCOL, "set the "
				    "queue depth: the set is configured");
	else
		server->depth = depth;
	pthread_mutex_unlock(&server->lock);
	return code;
}

static int configure(struct vdi_server *server, struct vdiset_configure *wish)
{
	struct vdiset_config request;
	const char *wrong;
	int code, err;

	if (server->phase != VDI_SERVER_CONNECTED)
		return vdi_set_fail_order(&server->set, "begin configuration",
					  "it was called before");
	code = read_config(server, &request);
	if (code)
		return code;
	wrong = vdi_config_fix(&request, wish);
	if (wrong)
		return vdi_set_fail(&server->set, VD_E_NOTSUPPORTED, "begin "
				    "configuration: %s (features 0x%x, the "
				    "client's 0x%x, blockSize %u, alignment "
				    "%u, maxTransferSize %u)", wrong,
				    wish->features, request.features,
				    wish->block_size, wish->alignment,
				    wish->max_transfer_size);
	err = vdi_set_ioctl(&server->set, VDISET_CONFIGURE, wish);
	if (err)
		return vdi_set_fail_errno(&server->set, err,
					  "begin configuration");
	server->config = request;
	vdi_alloc_init(&server->alloc, request.prefix_zone_size,
		       wish->alignment);
	server->phase = VDI_SERVER_CONFIGURABLE;
	return NOERROR;
}

/* The time-out is not used: no client can declare buffers of its own. */
int vdi_server_begin_configuration(struct vdi_server *server,
				   uint32_t features, uint32_t block_size,
				   uint32_t alignment,
				   uint32_t max_transfer_size,
				   int64_t timeout_ms)
{
	struct vdiset_configure wish = {
		.size = sizeof(wish),
		.features = features,
		.block_size = block_size,
		.alignment = alignment,
		.max_transfer_size = max_transfer_size,
	};
	int code;

	(void)timeout_ms;
	if (!server)
		return VD_E_INVALID;
	code = vdi_server_begin_call(server, "begin configuration");
	if (code)
		return code;
	wish.depth = server->depth;
	return vdi_server_end_call(server, configure(server, &wish), "begin configuration");
}

static int name_device(struct vdi_server *server, unsigned int index,
		       const char *name)
{
	struct vdiset_name_device args = { .size = sizeof(args) };
	int err;

	name = vdi_name_of_device(server->set.name, name);
	args.name = (uintptr_t)name;
	args.name_len = strlen(name);
	args.index = index;
	err = vdi_set_ioctl(&server->set, VDISET_NAME_DEVICE, &args);
	switch (err) {
	case 0:
		return NOERROR;
	case -EEXIST:
		return vdi_set_fail(&server->set, VD_E_INVALID, "name a "
				    "device: another device has the name %s",
				    name);
	case -EINVAL:
		return vdi_set_fail(&server->set, VD_E_INVALID, "name a "
				    "device: index %u, but the set has %u "
				    "devices", index,
				    server->config.device_count);
	case -EBUSY:
		return vdi_set_fail(&server->set, VD_E_PROTOCOL, "name a "
				    "device: device %u has another name",
				    index);
	case -EBADFD:
		return vdi_set_fail_order(&server->set, "name a device",
					  server->phase == VDI_SERVER_CONNECTED ?
					  VDI_NEED_BEGIN : NULL);
	default:
		return vdi_set_fail_errno(&server->set, err, "name a device");
	}
}

int vdi_server_name_device(struct vdi_server *server, unsigned int index,
			   const char *name)
{
	int code;

	if (!server)
		return VD_E_INVALID;
	code = vdi_set_check_name(&server->set, "name a device", name);
	if (code)
		return code;
	code = vdi_server_begin_call(server, "name a device");
	if (code)
		return code;
	return vdi_server_end_call(server, name_device(server, index, name),
			"name a device");
}

static int finish_configuration(struct vdi_server *server)
{
	struct vdiset_end_config end = { .size = sizeof(end) };
	char why[VDI_MESSAGE_SIZE], text[VDI_TEXT_SIZE];
	int err, code;

	if (server->phase != VDI_SERVER_CONFIGURABLE)
		return vdi_set_fail_order(&server->set, "end configuration",
					  server->phase == VDI_SERVER_CONNECTED ?
					  VDI_NEED_BEGIN : "it has succeeded before");
	err = vdi_set_ioctl_resumed(&server->set, VDISET_END_CONFIG, &end);
	if (err) {
		if (err != -EBADFD) {	/* the kernel has dropped the requests */
			vdi_alloc_destroy(&server->alloc);
			server->area_size = 0;
			server->area_used = 0;
		}
		return vdi_set_fail_errno(&server->set, err,
					  "allocate the buffers");
	}
	server->config = end.out_config;
	server->area_size = end.out_config.buffer_area_size;
	code = vdi_set_map_area(&server->set, server->area_size, why);
	if (code) {	/* the set cannot become Configurable again */
		snprintf(text, sizeof(text), "the server %.*s",
			 (int)sizeof(text) - 12, why);
		vdi_set_abort(&server->set, VDISET_REASON_SIGNAL, 0, text);
		return vdi_set_fail_text(&server->set, code, why);
	}
	__atomic_store_n(&server->phase, VDI_SERVER_READY, __ATOMIC_RELEASE);
	return NOERROR;
}

int vdi_server_end_configuration(struct vdi_server *server)
{
	int code;

	if (!server)
		return VD_E_INVALID;
	code = vdi_server_begin_call(server, "end configuration");
	if (code)
		return code;
	return vdi_server_end_call(server, finish_configuration(server), "end configuration");
}
