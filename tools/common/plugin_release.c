// SPDX-License-Identifier: GPL-2.0-only
/*
 * plugin_release.c - the release of a plugin, which has to be that of vdi
 */
#include "plugin.h"

extern const char vdi_plugin_release[];
const char vdi_plugin_release[] = VDI_VERSION;
