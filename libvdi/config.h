/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* config.h - rules of VDConfig: valid feature sets and ranges */
#ifndef VDI_CONFIG_H
#define VDI_CONFIG_H

#include <stdint.h>

#include <vditypes.h>

#include <linux/vdiset.h>

#define VDI_SERVER_FEATURES \
	(VDF_WriteMedia | VDF_ReadMedia | VDF_CompleteEnabled)

#define VDI_CONFIG_TEXT	256	/* of vdi_config_describe() */

void vdi_config_describe(const struct vdiset_config *config,
			 char buf[VDI_CONFIG_TEXT]);
const char *vdi_config_check_request(const struct vdiset_config *config);
const char *vdi_config_fix(const struct vdiset_config *request,
			   struct vdiset_configure *wish);
const char *vdi_config_check_fixed(const struct vdiset_config *config);
void vdi_config_to_kernel(const struct VDConfig *from,
			  struct vdiset_config *to);
void vdi_config_from_kernel(const struct vdiset_config *from,
			    struct VDConfig *to);

#endif /* VDI_CONFIG_H */
