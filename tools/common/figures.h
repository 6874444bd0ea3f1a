/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * figures.h - what the devices of a set have done so far, for reports
 */
#ifndef VDI_FIGURES_H
#define VDI_FIGURES_H

#include <stdbool.h>
#include <stdint.h>

#include <libvdi.h>

struct vdi_device_figures {
	const char *name;
	uint64_t bytes;
	uint64_t commands;		/* completed */
	uint64_t database_waited_ns;	/* for the backup program */
	uint64_t appliance_waited_ns;	/* the backup program, for the database */
};

struct vdi_figures {
	unsigned int count;		/* of devices */
	struct vdi_device_figures device[VDI_MAX_DEVICES];
	bool waits_known;
	uint64_t bytes;			/* of all devices, or files */
	uint64_t total;			/* expected value of `bytes`; 0 = unknown */
};

/*
 * Read what the kernel reports about the first `count` devices of the set: bytes,
 * commands and waits; -1 is no set. The sum `bytes` is that of the devices.
 */
void vdi_figures_read(struct vdi_figures *figures, int set_fd);
/* The time in seconds that a side waited on all devices, added up. */
double vdi_figures_database_waited(const struct vdi_figures *figures);
double vdi_figures_appliance_waited(const struct vdi_figures *figures);

#endif /* VDI_FIGURES_H */
