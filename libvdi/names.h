/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* names.h - names of sets and devices */
#ifndef VDI_NAMES_H
#define VDI_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/vdiset.h>

#define VDI_NAME_BUF	(VDISET_NAME_MAX + 1)

int vdi_name_check(const char *name);
int vdi_name_of_set(const char *instance, const char *name,
		    char buf[VDI_NAME_BUF]);
const char *vdi_name_without_instance(const char *kernel_name);
const char *vdi_name_of_device(const char *kernel_name, const char *name);
void vdi_clean_text(char *text);
const char *vdi_role_name(uint32_t role);
bool vdi_user_name(uid_t user, char *buf, size_t size);
bool vdi_user_number(const char *text, uid_t *user);

#endif /* VDI_NAMES_H */
