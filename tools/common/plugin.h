/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * plugin.h - parts of vdi that need libraries which most commands do not
 *
 * libcurl alone brings thirty libraries, and takes more time to load than many commands
 * to run. A plugin is linked like a part of the program, whose functions it calls, and is
 * loaded when it is used for the first time.
 */
#ifndef VDI_PLUGIN_H
#define VDI_PLUGIN_H

#include <stddef.h>

/*
 * The object `symbol` of vdi-NAME.so, which is beside the program or in ../lib/vdi. It
 * stays loaded. NULL: see `why`.
 */
const void *vdi_plugin(const char *name, const char *symbol, char *why,
		       size_t size);

/* In each plugin: it must be of the same release as the program. */
#define VDI_PLUGIN_RELEASE	"vdi_plugin_release"

#endif /* VDI_PLUGIN_H */
