// SPDX-License-Identifier: GPL-2.0-only
/*
 * observe.c - looking at sets from outside, by the kernel's interface
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "observe.h"

/* Looking does not load the module: without it there are no sets. */
int observe_open(int *exit_code)
{
	int fd = open(VDISET_DEVICE_PATH, O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	*exit_code = EXIT_NO_MODULE;
	if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
		vdi_error("the vdiset kernel module is not loaded; 'vdi info' tells what to do");
	else
		vdi_error("cannot open %s: %s", VDISET_DEVICE_PATH,
			  strerror(errno));
	return -1;
}

bool observe_next(int fd, uint64_t *cursor)
{
	struct vdiset_list list = {
		.size = sizeof(list),
		.cursor = *cursor,
	};

	if (ioctl(fd, VDISET_LIST, &list))
		return false;
	*cursor = list.cursor;
	return true;
}

static int attach(struct vdiset_attach *args)
{
	int fd = open(VDISET_DEVICE_PATH, O_RDWR | O_CLOEXEC);
	int saved;

	if (fd < 0)
		return -1;
	args->size = sizeof(*args);
	args->role = VDISET_ROLE_OBSERVER;
	if (!ioctl(fd, VDISET_ATTACH, args))
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

int observe_attach_id(uint64_t id)
{
	struct vdiset_attach args = {
		.flags = VDISET_ATTACH_BY_ID,
		.id = id,
	};

	return attach(&args);
}

int observe_attach_name(const char *name)
{
	struct vdiset_attach args = {
		.flags = VDISET_ATTACH_BY_NAME,
		.name = (uintptr_t)name,
		.name_len = strlen(name),
		.creator = geteuid(),
	};

	return attach(&args);
}

bool observe_status(int fd, struct vdiset_status *status)
{
	*status = (struct vdiset_status){ .size = sizeof(*status) };
	return !ioctl(fd, VDISET_STATUS, status);
}

bool observe_device(int fd, unsigned int index,
		    struct vdiset_device_status *status)
{
	*status = (struct vdiset_device_status){
		.size = sizeof(*status),
		.index = index,
	};
	return !ioctl(fd, VDISET_DEVICE_STATUS, status);
}

bool observe_abort(int fd, const char *text)
{
	struct vdiset_abort args = {
		.size = sizeof(args),
		.reason = VDISET_REASON_SIGNAL,
		.code = EXIT_ABORTED,
	};

	snprintf(args.text, sizeof(args.text), "%s", text);
	return !ioctl(fd, VDISET_ABORT, &args);
}

bool observe_info(int fd, struct vdiset_info *info)
{
	*info = (struct vdiset_info){ .size = sizeof(*info) };
	return !ioctl(fd, VDISET_INFO, info);
}

static const char *lookup(const char * const *names, size_t count,
			  uint32_t value)
{
	return value < count && names[value] ? names[value] : "unknown";
}

const char *observe_state_name(uint32_t state)
{
	static const char * const names[] = {
		[VDISET_STATE_CREATED] = "created",
		[VDISET_STATE_CONNECTED] = "connected",
		[VDISET_STATE_CONFIGURABLE] = "configurable",
		[VDISET_STATE_INITIALIZING] = "initializing",
		[VDISET_STATE_ACTIVE] = "active",
		[VDISET_STATE_TERMINATED] = "terminated",
		[VDISET_STATE_ABORTED] = "aborted",
	};

	return lookup(names, sizeof(names) / sizeof(names[0]), state);
}

const char *observe_reason_name(uint32_t reason)
{
	static const char * const names[] = {
		[VDISET_REASON_SIGNAL] = "signal",
		[VDISET_REASON_PROTOCOL] = "protocol",
		[VDISET_REASON_TIMEOUT] = "timeout",
		[VDISET_REASON_CLOSED] = "closed",
		[VDISET_REASON_DIED] = "died",
	};

	return lookup(names, sizeof(names) / sizeof(names[0]), reason);
}

void observe_escape(const char *name, size_t length, char *buf, size_t size)
{
	size_t i, used = 0;

	for (i = 0; i < length && used + 5 < size; i++) {
		unsigned char c = name[i];

		if (c > ' ' && c != '\\' && c != 0x7f)
			buf[used++] = c;
		else
			used += snprintf(buf + used, size - used, "\\x%02x", c);
	}
	buf[used] = '\0';
}
