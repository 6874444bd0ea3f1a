// SPDX-License-Identifier: GPL-2.0-only
/*
 * doctor_plugin.c - the doctor, with libkmod, is a plugin
 */
#include "common/common.h"
#include "common/plugin.h"
#include "doctor.h"

const struct doctor *doctor_load(void)
{
	const struct doctor *doctor;
	char why[256];

	doctor = vdi_plugin("doctor", "vdi_doctor", why, sizeof(why));
	if (!doctor)
		vdi_error("cannot examine the kernel module: %s", why);
	return doctor;
}
