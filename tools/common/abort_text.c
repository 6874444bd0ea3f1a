// SPDX-License-Identifier: GPL-2.0-only
/*
 * abort_text.c - how an abort is reported to users
 */
#include <stdio.h>
#include <string.h>

#include "common.h"

void vdi_abort_default(uid_t uid, char *buf, size_t size)
{
	char user[64];

	vdi_user_text(uid, user, sizeof(user));
	snprintf(buf, size, "by %s with vdi abort", user);
}

void vdi_abort_text(const struct vdi_abort_info *info, char *buf, size_t size)
{
	char user[64], comm[4 * VDI_COMM_SIZE + 1], without[VDI_TEXT_SIZE];
	struct vdi_abort_info nameless = *info;
	char text[2 * VDI_TEXT_SIZE];
	const char *colon;

	vdi_abort_describe(info, buf, size);
	if (!info->reason || info->role != VDI_ROLE_OBSERVER)
		return;
	/* the text follows the first colon, without control characters */
	*nameless.comm = '\0';
	vdi_abort_describe(&nameless, text, sizeof(text));
	colon = strstr(text, "): ");
	colon = colon ? colon + 3 : "";
	vdi_abort_default(info->uid, without, sizeof(without));
	if (!strcmp(colon, without))
		colon = "";
	vdi_user_text(info->uid, user, sizeof(user));
	vdi_name_escape(info->comm, strnlen(info->comm, sizeof(info->comm)),
			comm, sizeof(comm));
	snprintf(buf, size, "aborted by %s with %s (pid %ld)%s%s", user,
		 strcmp(comm, "vdi") ? comm : "vdi abort", (long)info->pid,
		 *colon ? ": " : "", colon);
}
