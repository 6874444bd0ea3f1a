// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * names.c - names of sets and devices, and texts for codes
 *
 * The name of a set of an instance is "instance\name" in the kernel, which has
 * no notion of instances. The names of the interface contain no backslash.
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libvdi.h>

#include "names.h"

/* Returns VD_E_INVALID unless @name can be the name of a set or device. */
int vdi_name_check(const char *name)
{
	size_t len;

	if (!name)
		return VD_E_INVALID;
	len = strnlen(name, VDI_NAME_BUF);
	if (!len || len > VDISET_NAME_MAX || strchr(name, '\\'))
		return VD_E_INVALID;
	return NOERROR;
}

/*
 * Returns VD_E_INVALID if the name is wrong, and VD_E_INSTANCE_NAME if the
 * instance is. Also VD_E_INVALID if only both together are too long for the
 * kernel.
 */
int vdi_name_of_set(const char *instance, const char *name,
		    char buf[VDI_NAME_BUF])
{
	int len;

	if (vdi_name_check(name))
		return VD_E_INVALID;
	if (!instance || !*instance) {
		strcpy(buf, name);
		return NOERROR;
	}
	if (vdi_name_check(instance))
		return VD_E_INSTANCE_NAME;
	len = snprintf(buf, VDI_NAME_BUF, "%s\\%s", instance, name);
	return len > VDISET_NAME_MAX ? VD_E_INVALID : NOERROR;
}

const char *vdi_name_without_instance(const char *kernel_name)
{
	const char *slash = strrchr(kernel_name, '\\');

	return slash ? slash + 1 : kernel_name;
}

/*
 * The first device has the name of the set; in the kernel, with the instance.
 */
const char *vdi_name_of_device(const char *kernel_name, const char *name)
{
	if (*kernel_name &&
	    !strcmp(vdi_name_without_instance(kernel_name), name))
		return kernel_name;
	return name;
}

const char *vdi_role_name(uint32_t role)
{
	switch (role) {
	case VDI_ROLE_PRIMARY:
		return "primary client";
	case VDI_ROLE_SECONDARY:
		return "secondary client";
	case VDI_ROLE_SERVER:
		return "server";
	case VDI_ROLE_OBSERVER:
		return "observer";
	default:
		return "unknown party";
	}
}

/* For codes without a name: text of this thread, until its next call. */
static const char *unknown(const char *what, int code)
{
	static __thread char text[48];

	snprintf(text, sizeof(text), "unknown %s %d", what, code);
	return text;
}

#define NAMED(code, text)	case code: return #code ": " text

const char *vdi_strerror(int code)
{
	switch (code) {
	NAMED(NOERROR, "success");
	NAMED(VD_E_NOTOPEN, "the object is not open");
	NAMED(VD_E_TIMEOUT, "the wait ran out");
	NAMED(VD_E_ABORT, "the set is aborted");
	NAMED(VD_E_SECURITY, "access denied");
	NAMED(VD_E_INVALID, "a parameter is invalid");
	NAMED(VD_E_INSTANCE_NAME, "the instance name is invalid");
	NAMED(VD_E_NOTSUPPORTED, "the configuration is not supported");
	NAMED(VD_E_MEMORY, "out of memory");
	NAMED(VD_E_UNEXPECTED, "internal error");
	NAMED(VD_E_PROTOCOL, "the call is out of order");
	NAMED(VD_E_OPEN, "devices are open");
	NAMED(VD_E_CLOSE, "the device is closed");
	NAMED(VD_E_BUSY, "the resource is busy");
	NAMED(VD_E_QUEUE_FULL, "the device's queue is full");
	NAMED(VD_E_IO_ERROR, "the device is in IO-ERROR");
	default:
		return unknown("return code", code);
	}
}

#undef NAMED
#define NAMED(code)		case code: return #code

const char *vdi_command_name(int command)
{
	switch (command) {
	NAMED(VDC_Read);
	NAMED(VDC_Write);
	NAMED(VDC_ClearError);
	NAMED(VDC_Rewind);
	NAMED(VDC_WriteMark);
	NAMED(VDC_SkipMarks);
	NAMED(VDC_SkipBlocks);
	NAMED(VDC_Load);
	NAMED(VDC_GetPosition);
	NAMED(VDC_SetPosition);
	NAMED(VDC_Discard);
	NAMED(VDC_Flush);
	NAMED(VDC_Snapshot);
	NAMED(VDC_MountSnapshot);
	NAMED(VDC_PrepareToFreeze);
	NAMED(VDC_FileInfoBegin);
	NAMED(VDC_FileInfoEnd);
	NAMED(VDC_GetError);
	NAMED(VDC_Complete);
	default:
		return unknown("command", command);
	}
}

#undef NAMED
#define NAMED(code, text)	case code: return #code ": " text

const char *vdi_completion_name(int code)
{
	switch (code) {
	NAMED(ERROR_SUCCESS, "success");
	NAMED(ERROR_INVALID_HANDLE, "the device is not open");
	NAMED(ERROR_ARENA_TRASHED, "control blocks were destroyed");
	NAMED(ERROR_HANDLE_EOF, "end of the data");
	NAMED(ERROR_HANDLE_DISK_FULL, "the disk is full");
	NAMED(ERROR_NOT_SUPPORTED, "the command is not supported");
	NAMED(ERROR_DISK_FULL, "there is no room left");
	NAMED(ERROR_OPERATION_ABORTED, "the operation was aborted");
	NAMED(ERROR_END_OF_MEDIA, "near the end of the medium");
	NAMED(ERROR_FILEMARK_DETECTED, "a file mark was met");
	NAMED(ERROR_BEGINNING_OF_MEDIA, "beginning of the medium");
	NAMED(ERROR_NO_DATA_DETECTED, "no more data on the medium");
	NAMED(ERROR_NO_MEDIA_IN_DRIVE, "no medium in the drive");
	NAMED(ERROR_IO_DEVICE, "input or output error");
	NAMED(ERROR_EOM_OVERFLOW, "past the end of the medium");
	NAMED(ERROR_NO_SYSTEM_RESOURCES, "the queue is full");
	default:
		return unknown("completion code", code);
	}
}

static const char *lookup(const char *const *names, size_t count, int value)
{
	return value > 0 && (size_t)value < count ? names[value] : "unknown";
}

const char *vdi_state_name(int state)
{
	static const char *const names[] = {
		[VDI_STATE_CREATED] = "created",
		[VDI_STATE_CONNECTED] = "connected",
		[VDI_STATE_CONFIGURABLE] = "configurable",
		[VDI_STATE_INITIALIZING] = "initializing",
		[VDI_STATE_ACTIVE] = "active",
		[VDI_STATE_TERMINATED] = "terminated",
		[VDI_STATE_ABORTED] = "aborted",
	};

	return lookup(names, sizeof(names) / sizeof(names[0]), state);
}

const char *vdi_reason_name(int reason)
{
	static const char *const names[] = {
		[VDI_REASON_SIGNAL] = "signal",
		[VDI_REASON_PROTOCOL] = "protocol",
		[VDI_REASON_TIMEOUT] = "timeout",
		[VDI_REASON_CLOSED] = "closed",
		[VDI_REASON_DIED] = "died",
	};

	return lookup(names, sizeof(names) / sizeof(names[0]), reason);
}

/*
 * Text of other processes may be printed on a terminal: remove control
 * characters.
 */
void vdi_clean_text(char *text)
{
	unsigned char *c = (unsigned char *)text;

	for (; *c; c++) {
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
		else if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f)
			c[0] = c[1] = '?';
	}
}

static const char *what_happened(uint32_t reason)
{
	switch (reason) {
	case VDI_REASON_SIGNAL:
		return "aborted by";
	case VDI_REASON_PROTOCOL:
		return "protocol violation, noticed by";
	case VDI_REASON_TIMEOUT:
		return "time-out of the other side, noticed by";
	case VDI_REASON_CLOSED:
		return "closed before the end by";
	case VDI_REASON_DIED:
		return "unexpected end of";
	default:
		return "ended by";
	}
}

void vdi_abort_describe(const struct vdi_abort_info *info, char *buf,
			size_t size)
{
	char comm[VDI_COMM_SIZE], text[VDI_TEXT_SIZE];

	if (!buf || !size)
		return;
	if (!info || !info->reason) {
		snprintf(buf, size, "not aborted");
		return;
	}
	snprintf(comm, sizeof(comm), "%.*s", VDI_COMM_SIZE - 1, info->comm);
	snprintf(text, sizeof(text), "%.*s", VDI_TEXT_SIZE - 1, info->text);
	vdi_clean_text(comm);
	vdi_clean_text(text);
	snprintf(buf, size, "%s %s (pid %ld, %s)%s%s",
		 what_happened(info->reason), comm, (long)info->pid,
		 vdi_role_name(info->role), *text ? ": " : "", text);
}

/* Name of a user; false if the system has none for it. */
bool vdi_user_name(uid_t user, char *buf, size_t size)
{
	struct passwd entry, *found = NULL;
	char data[16384];

	if (getpwuid_r(user, &entry, data, sizeof(data), &found) || !found)
		return false;
	snprintf(buf, size, "%s", found->pw_name);
	vdi_clean_text(buf);
	return true;
}

/* User of a name or a number; false if there is none. */
bool vdi_user_number(const char *text, uid_t *user)
{
	struct passwd entry, *found = NULL;
	unsigned long long value;
	char data[16384], *end;

	if (!getpwnam_r(text, &entry, data, sizeof(data), &found) && found) {
		*user = found->pw_uid;
		return true;
	}
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || *end || value >= (uid_t)-1)
		return false;
	*user = value;
	return true;
}

void vdi_peer_describe(const struct vdi_peer *peer, char *buf, size_t size)
{
	char comm[VDI_COMM_SIZE], user[64];

	if (!buf || !size)
		return;
	if (!peer || !peer->role) {
		snprintf(buf, size, "no party");
		return;
	}
	snprintf(comm, sizeof(comm), "%.*s", VDI_COMM_SIZE - 1, peer->comm);
	vdi_clean_text(comm);
	if (!vdi_user_name(peer->uid, user, sizeof(user)))
		snprintf(user, sizeof(user), "%lu", (unsigned long)peer->uid);
	snprintf(buf, size, "%s (pid %ld, %s, user %s)", comm, (long)peer->pid,
		 vdi_role_name(peer->role), user);
}

const char *vdi_default_instance(void)
{
	const char *instance = secure_getenv("_VIRTUAL_SERVER_NAME_");

	return instance && *instance ? instance : NULL;
}

const char *vdi_version(void)
{
	return VDI_VERSION;
}
