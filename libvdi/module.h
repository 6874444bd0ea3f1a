/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* module.h - making /dev/vdiset available */
#ifndef VDI_MODULE_H
#define VDI_MODULE_H

#include <stddef.h>

int vdi_module_load(char *buf, size_t size);

#endif /* VDI_MODULE_H */
