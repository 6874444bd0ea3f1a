// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * observer.c - listing, inspecting and aborting sets without joining them
 *
 * Each call that looks at a set opens a file for it and closes it again. So an
 * observer keeps no set alive, and needs no descriptor for each.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "config.h"
#include "module.h"
#include "names.h"
#include "set.h"

struct vdi_observer {
	int fd;				/* -1 = not open; bound to no set */
	char message[VDI_MESSAGE_SIZE];
};

_Static_assert(VDI_NAME_SIZE == VDISET_NAME_MAX + 1, "names");
_Static_assert((int)VDI_STATE_ABORTED - (int)VDISET_STATE_ABORTED == 0, "states");
_Static_assert((int)VDI_DEVICE_STATE_CLOSED == (int)VDISET_DEVICE_CLOSED,
	       "states of devices");

static int __attribute__((format(printf, 3, 4)))
fail(struct vdi_observer *observer, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(observer->message, sizeof(observer->message), format, args);
	va_end(args);
	return code;
}

static int fail_errno(struct vdi_observer *observer, int err, const char *what)
{
	return fail(observer, vdi_set_code(err), "cannot %s: %s", what,
		    strerror(err));
}

static int fail_argument(struct vdi_observer *observer, const char *what)
{
	return fail(observer, VD_E_INVALID, "%s: an argument is NULL", what);
}

/* ------------------------------------------------------------------- files */

int vdi_observer_new(struct vdi_observer **out)
{
	if (!out)
		return VD_E_INVALID;
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return VD_E_MEMORY;
	(*out)->fd = -1;
	return NOERROR;
}

void vdi_observer_free(struct vdi_observer *observer)
{
	if (!observer)
		return;
	if (observer->fd >= 0)
		close(observer->fd);
	free(observer);
}

static int open_node(struct vdi_observer *observer, int *fd)
{
	int err;

	*fd = open(VDISET_DEVICE_PATH, O_RDWR | O_CLOEXEC);
	if (*fd >= 0)
		return NOERROR;
	err = errno;
	if (err == ENODEV || err == ENXIO ||
	    (err == ENOENT && !vdi_module_is_loaded()))
		return fail(observer, VD_E_NOTOPEN,
			    "the kernel module vdiset is not loaded");
	vdi_module_explain(err, observer->message, sizeof(observer->message));
	return err == ENOENT ? VD_E_SECURITY : vdi_set_code(err);
}

int vdi_observer_open(struct vdi_observer *observer)
{
	if (!observer)
		return VD_E_INVALID;
	return observer->fd >= 0 ? NOERROR :
				   open_node(observer, &observer->fd);
}

/* A file of the set, to be closed by the caller. */
static int attach(struct vdi_observer *observer, uint64_t id, int *fd)
{
	struct vdiset_attach args = {
		.size = sizeof(args),
		.flags = VDISET_ATTACH_BY_ID,
		.role = VDISET_ROLE_OBSERVER,
		.id = id,
	};
	int code, err;

	code = open_node(observer, fd);
	if (code)
		return code;
	if (!ioctl(*fd, VDISET_ATTACH, &args))
		return NOERROR;
	err = errno;
	close(*fd);
	switch (err) {
	case ENOENT:
		return fail(observer, VD_E_INVALID,
			    "there is no set %llu that this user may see",
			    (unsigned long long)id);
	case EDQUOT:
		return fail(observer, VD_E_MEMORY, "the limit of "
			    "memberships of this user is reached");
	default:
		return fail_errno(observer, err, "look at the set");
	}
}

/* ------------------------------------------------------------------- lists */

int vdi_observer_next(struct vdi_observer *observer,
		      struct vdi_set_entry *entry)
{
	struct vdiset_list list = { .size = sizeof(list) };
	int code;

	if (!observer)
		return VD_E_INVALID;
	if (!entry)
		return fail_argument(observer, "list sets");
	code = vdi_observer_open(observer);
	if (code)
		return code;
	list.cursor = entry->id;
	if (ioctl(observer->fd, VDISET_LIST, &list)) {
		if (errno == ENOENT)
			return VD_E_CLOSE;
		return fail_errno(observer, errno, "list sets");
	}
	memset(entry, 0, sizeof(*entry));
	entry->id = list.cursor;
	entry->state = list.out_state;
	entry->creator = list.out_creator;
	entry->name_len = list.out_name_len;
	memcpy(entry->name, list.out_name, VDI_NAME_SIZE - 1);
	return NOERROR;
}

/* The two meanings of a name. */
struct wanted {
	const char *name;
	const char *rest;	/* NAME of USER:NAME; NULL = not of this form */
	uid_t user;
};

static bool has_name(const struct vdi_set_entry *set, const char *name)
{
	return strlen(name) == set->name_len &&
	       !memcmp(name, set->name, set->name_len);
}

static bool is_wanted(const struct wanted *wanted,
		      const struct vdi_set_entry *set)
{
	return has_name(set, wanted->name) ||
	       (wanted->rest && set->creator == wanted->user &&
		has_name(set, wanted->rest));
}

/* The name of a user has no colon; the name of a set may have one. */
static void parse_wanted(struct wanted *wanted, const char *name)
{
	const char *colon = strchr(name, ':');
	char user[256];

	*wanted = (struct wanted){ .name = name };
	if (!colon || (size_t)(colon - name) >= sizeof(user))
		return;
	snprintf(user, sizeof(user), "%.*s", (int)(colon - name), name);
	if (vdi_user_number(user, &wanted->user))
		wanted->rest = colon + 1;
}

static int find(struct vdi_observer *observer, const char *name,
		struct vdi_set_entry *sets, unsigned int max,
		unsigned int *count)
{
	struct vdi_set_entry set = { .id = 0 }, ended = { .id = 0 };
	struct wanted wanted;
	int code;

	parse_wanted(&wanted, name);
	while (!(code = vdi_observer_next(observer, &set))) {
		if (!is_wanted(&wanted, &set))
			continue;
		if (set.state >= VDI_STATE_TERMINATED)
			ended = set;
		else if ((*count)++ < max)
			sets[*count - 1] = set;
	}
	if (code != VD_E_CLOSE)
		return code;
	if (*count)
		return NOERROR;
	if (!ended.id)
		return fail(observer, VD_E_INVALID,
			    "there is no set '%s' that this user may see",
			    name);
	*count = 1;
	if (max)
		sets[0] = ended;
	return NOERROR;
}

int vdi_observer_find(struct vdi_observer *observer, const char *name,
		      struct vdi_set_entry *sets, unsigned int max,
		      unsigned int *count)
{
	int code;

	if (!observer)
		return VD_E_INVALID;
	if (!name || !count || (max && !sets))
		return fail_argument(observer, "find sets");
	*count = 0;
	code = find(observer, name, sets, max, count);
	if (code)
		*count = 0;
	return code;
}

/* ------------------------------------------------------------------ status */

static void fill_status(const struct vdiset_status *from,
			struct vdi_set_status *status)
{
	memset(status, 0, sizeof(*status));
	status->id = from->out_id;
	status->age_ns = from->out_age_ns;
	status->area_bytes = from->out_config.buffer_area_size;
	status->rate = from->out_rate;
	status->state = from->out_state;
	status->mode = from->out_mode;
	status->uid = from->out_uid;
	status->gid = from->out_gid;
	status->creator = from->out_creator;
	status->secondaries = from->out_secondaries;
	status->client_devices = from->out_client_devices;
	status->server_devices = from->out_server_devices;
	vdi_config_from_kernel(&from->out_config, &status->config);
	vdi_set_copy_peer(&from->out_primary, &status->primary);
	vdi_set_copy_peer(&from->out_server, &status->server);
	vdi_set_copy_abort(&from->out_abort, &status->abort);
	status->name_len = from->out_name_len;
	memcpy(status->name, from->out_name, VDI_NAME_SIZE - 1);
}

static void fill_device(const struct vdiset_device_status *from,
			struct vdi_device_status *device)
{
	device->commands = from->out_commands;
	device->completions = from->out_completions;
	device->bytes = from->out_bytes;
	device->server_waited_ns = from->out_server_waited_ns;
	device->client_waited_ns = from->out_client_waited_ns;
	device->state = from->out_state;
	vdi_set_copy_peer(&from->out_client, &device->client);
	vdi_set_copy_peer(&from->out_server, &device->server);
	device->name_len = from->out_name_len;
	memcpy(device->name, from->out_name, VDI_NAME_SIZE - 1);
}

static int read_status(struct vdi_observer *observer, int fd,
		       struct vdi_set_status *status)
{
	struct vdiset_status args = { .size = sizeof(args) };

	if (ioctl(fd, VDISET_STATUS, &args))
		return fail_errno(observer, errno, "read the status");
	fill_status(&args, status);
	return NOERROR;
}

static int read_devices(struct vdi_observer *observer, int fd, uint32_t n,
			struct vdi_device_status *devices, unsigned int max)
{
	uint32_t i;

	if (max)
		memset(devices, 0, max * sizeof(*devices));
	for (i = 0; i < n && i < max; i++) {
		struct vdiset_device_status args = {
			.size = sizeof(args),
			.index = i,
		};

		if (ioctl(fd, VDISET_DEVICE_STATUS, &args))
			return fail_errno(observer, errno,
					  "read the status of a device");
		fill_device(&args, &devices[i]);
	}
	return NOERROR;
}

int vdi_observer_status(struct vdi_observer *observer, uint64_t id,
			struct vdi_set_status *status,
			struct vdi_device_status *devices, unsigned int max)
{
	int code, fd;

	if (!observer)
		return VD_E_INVALID;
	if (!status || (max && !devices))
		return fail_argument(observer, "read the status");
	code = attach(observer, id, &fd);
	if (code)
		return code;
	code = read_status(observer, fd, status);
	if (!code)
		code = read_devices(observer, fd, status->config.deviceCount,
				    devices, max);
	close(fd);
	return code;
}

int vdi_observer_info(struct vdi_observer *observer,
		      struct vdi_module_info *info)
{
	struct vdiset_info args = { .size = sizeof(args) };
	int code;

	if (!observer)
		return VD_E_INVALID;
	if (!info)
		return fail_argument(observer, "read the limits");
	code = vdi_observer_open(observer);
	if (code)
		return code;
	if (ioctl(observer->fd, VDISET_INFO, &args))
		return fail_errno(observer, errno, "read the limits");
	*info = (struct vdi_module_info){
		.max_set_bytes = args.out_max_set_bytes,
		.max_user_bytes = args.out_max_user_bytes,
		.max_total_bytes = args.out_max_total_bytes,
		.total_bytes = args.out_total_bytes,
		.version = args.out_version,
		.max_devices = args.out_max_devices,
		.max_depth = args.out_max_depth,
		.default_depth = args.out_default_depth,
		.max_sets = args.out_max_sets,
		.sets = args.out_sets,
	};
	return NOERROR;
}

/* ------------------------------------------------------------------- abort */

static int fail_ended(struct vdi_observer *observer,
		      const struct vdi_set_status *status)
{
	if (status->state == VDI_STATE_ABORTED)
		return fail(observer, VD_E_ABORT, "the set is aborted already");
	return fail(observer, VD_E_CLOSE, "the set has ended already");
}

static int set_rate(struct vdi_observer *observer, int fd,
		    uint64_t bytes_per_second)
{
	struct vdiset_set_rate args = {
		.size = sizeof(args),
		.rate = bytes_per_second,
	};

	if (!ioctl(fd, VDISET_SET_RATE, &args))
		return NOERROR;
	switch (errno) {
	case ENOTTY:
		return fail(observer, VD_E_NOTSUPPORTED, "the kernel module is "
			    "too old for rate limits");
	case ECANCELED:
		return fail(observer, VD_E_ABORT, "the set is aborted");
	case EBADFD:
		return fail(observer, VD_E_CLOSE, "the set has ended already");
	default:
		return fail_errno(observer, errno, "set the rate");
	}
}

int vdi_observer_set_rate(struct vdi_observer *observer, uint64_t id,
			  uint64_t bytes_per_second)
{
	int rc, fd;

	if (!observer)
		return VD_E_INVALID;
	rc = attach(observer, id, &fd);
	if (rc)
		return rc;
	rc = set_rate(observer, fd, bytes_per_second);
	close(fd);
	return rc;
}

static int abort_set(struct vdi_observer *observer, int fd, uint32_t code,
		     const char *text)
{
	struct vdiset_abort args = {
		.size = sizeof(args),
		.reason = VDISET_REASON_SIGNAL,
		.code = code,
	};
	struct vdi_set_status status;
	int rc;

	rc = read_status(observer, fd, &status);
	if (rc)
		return rc;
	if (status.state >= VDI_STATE_TERMINATED)
		return fail_ended(observer, &status);
	snprintf(args.text, sizeof(args.text), "%s", text ? text : "");
	if (ioctl(fd, VDISET_ABORT, &args))
		return fail_errno(observer, errno, "abort the set");
	/* the server may have closed its last device meanwhile */
	rc = read_status(observer, fd, &status);
	if (!rc && status.state == VDI_STATE_TERMINATED)
		return fail_ended(observer, &status);
	return rc;
}

int vdi_observer_abort(struct vdi_observer *observer, uint64_t id,
		       uint32_t code, const char *text)
{
	int rc, fd;

	if (!observer)
		return VD_E_INVALID;
	rc = attach(observer, id, &fd);
	if (rc)
		return rc;
	rc = abort_set(observer, fd, code, text);
	close(fd);
	return rc;
}

/* -------------------------------------------------------------------- text */

void vdi_observer_message(struct vdi_observer *observer, char *buf, size_t size)
{
	if (buf && size)
		snprintf(buf, size, "%s", observer ? observer->message : "");
}

void vdi_name_escape(const char *name, size_t length, char *buf, size_t size)
{
	size_t i, used = 0;

	if (!buf || !size)
		return;
	for (i = 0; name && i < length && used + 5 <= size; i++) {
		unsigned char c = name[i];

		if (c > ' ' && c != '\\' && c != 0x7f)
			buf[used++] = c;
		else
			used += snprintf(buf + used, size - used, "\\x%02x", c);
	}
	buf[used] = '\0';
}
