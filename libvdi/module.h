/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* module.h - loading the kernel module */
#ifndef VDI_MODULE_H
#define VDI_MODULE_H

#include <stdbool.h>
#include <stddef.h>

bool vdi_module_is_loaded(void);
int vdi_module_load(char *buf, size_t size);
/*
 * Describe why /dev/vdiset cannot be opened, and what to do; err is an errno.
 */
void vdi_module_explain(int err, char *buf, size_t size);

#endif /* VDI_MODULE_H */
