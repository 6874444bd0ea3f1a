/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* find.h - finding the set of a name or a descriptor */
#ifndef VDI_FIND_H
#define VDI_FIND_H

#include "set.h"

int vdi_find_by_name(struct vdi_set *set, uint32_t role, const char *name,
		     char text[VDI_MESSAGE_SIZE]);
int vdi_find_by_fd(struct vdi_set *set, uint32_t role, int fd,
		   char text[VDI_MESSAGE_SIZE]);

int vdi_find_set_trusted(struct vdi_set *set, const uid_t *users,
			 unsigned int count);
int vdi_find_abort_info(struct vdi_set *set, struct vdi_abort_info *info);
int vdi_find_untrusted(struct vdi_set *set, uid_t *user);

#endif /* VDI_FIND_H */
