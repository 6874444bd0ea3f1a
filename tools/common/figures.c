// SPDX-License-Identifier: GPL-2.0-only
/*
 * figures.c - what the devices of a set have done so far, for reports
 */
#include <sys/ioctl.h>

#include <linux/vdiset.h>

#include "figures.h"

/*
 * The request is made on the descriptor of a party. An observer would count as a
 * membership of the user, whose number is limited.
 */
void vdi_figures_read(struct vdi_figures *figures, int set_fd)
{
	uint64_t bytes = 0;
	unsigned int i;

	for (i = 0; i < figures->count; i++) {
		struct vdi_device_figures *device = &figures->device[i];
		struct vdiset_device_status status = {
			.size = sizeof(status),
			.index = i,
		};

		if (set_fd < 0 || ioctl(set_fd, VDISET_DEVICE_STATUS, &status))
			return;
		device->bytes = status.out_bytes;
		device->commands = status.out_completions;
		device->database_waited_ns = status.out_server_waited_ns;
		device->appliance_waited_ns = status.out_client_waited_ns;
		bytes += device->bytes;
	}
	figures->bytes = bytes;
	figures->waits_known = true;
}

double vdi_figures_database_waited(const struct vdi_figures *figures)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < figures->count; i++)
		sum += figures->device[i].database_waited_ns;
	return sum / 1e9;
}

double vdi_figures_appliance_waited(const struct vdi_figures *figures)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < figures->count; i++)
		sum += figures->device[i].appliance_waited_ns;
	return sum / 1e9;
}
