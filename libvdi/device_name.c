// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * device_name.c - the names of the devices of a set
 *
 * The first device has the name of the set from the beginning. The others are
 * named by the server, or by the first OpenDevice with a name that is not known
 * yet. By convention they are called NAME1, NAME2, and so on, after the set.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "device_name.h"

/*
 * Read the name of a device, "" if it has none yet, and whether the server's
 * side, or the client's, has it open or had it open. 0 or -errno.
 */
int vdi_device_name_read(struct vdi_set *set, uint32_t index, bool server,
			 char name[VDI_NAME_BUF], bool *opened)
{
	struct vdiset_device_status status = {
		.size = sizeof(status),
		.index = index,
	};
	int err;

	err = vdi_set_ioctl(set, VDISET_DEVICE_STATUS, &status);
	if (err)
		return err;
	memset(name, 0, VDI_NAME_BUF);
	if (status.out_name_len <= VDISET_NAME_MAX)
		memcpy(name, status.out_name, status.out_name_len);
	if (!strcmp(name, set->name))	/* without the instance */
		memmove(name, vdi_name_without_instance(set->name),
			strlen(vdi_name_without_instance(set->name)) + 1);
	*opened = server ? status.out_state != VDISET_DEVICE_IDLE :
			   status.out_client.role != 0;
	return 0;
}

/* The name by convention of a device without a name. 0 or -ENAMETOOLONG. */
int vdi_device_name_usual(const struct vdi_set *set, uint32_t index,
			  char name[VDI_NAME_BUF])
{
	const char *base = vdi_name_without_instance(set->name);
	int len;

	len = index ? snprintf(name, VDI_NAME_BUF, "%s%u", base, index) :
		      snprintf(name, VDI_NAME_BUF, "%s", base);
	return len > VDISET_NAME_MAX ? -ENAMETOOLONG : 0;
}

/* "a, a1, a2" for a message; the rest is replaced by "..." if it does not fit. */
void vdi_device_name_list(struct vdi_set *set, char *buf, size_t size)
{
	char name[VDI_NAME_BUF];
	size_t used = 0;
	bool opened;
	uint32_t i;

	*buf = '\0';
	for (i = 0; !vdi_device_name_read(set, i, false, name, &opened); i++) {
		if (!*name)
			continue;
		if (used + strlen(name) + sizeof(", , ...") > size) {
			snprintf(buf + used, size - used, ", ...");
			return;
		}
		used += snprintf(buf + used, size - used, "%s%s",
				 used ? ", " : "", name);
	}
}

/* For vdi_client_get_device_name() and vdi_server_get_device_name(). */
int vdi_device_name_get(struct vdi_set *set, unsigned int index, char *buf,
			size_t size)
{
	char name[VDI_NAME_BUF];
	bool opened;
	int err;

	err = vdi_device_name_read(set, index, false, name, &opened);
	if (err == -EINVAL)
		return vdi_set_fail(set, VD_E_INVALID, "get device name: the "
				    "set has no device %u", index);
	if (err)
		return vdi_set_fail_errno(set, err, "get device name");
	if (strlen(name) >= size)
		return vdi_set_fail(set, VD_E_INVALID, "get device name: %zu "
				    "bytes are too few for %s", size, name);
	strcpy(buf, name);
	return NOERROR;
}
