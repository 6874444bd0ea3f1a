/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* device_name.h - the names of the devices of a set */
#ifndef VDI_DEVICE_NAME_H
#define VDI_DEVICE_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "set.h"

int vdi_device_name_read(struct vdi_set *set, uint32_t index, bool server,
			 char name[VDI_NAME_BUF], bool *opened);
int vdi_device_name_usual(const struct vdi_set *set, uint32_t index,
			  char name[VDI_NAME_BUF]);
void vdi_device_name_list(struct vdi_set *set, char *buf, size_t size);
int vdi_device_name_get(struct vdi_set *set, unsigned int index, char *buf,
			size_t size);

#endif /* VDI_DEVICE_NAME_H */
