/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pace.h - when may bytes that were transferred be followed by more?
 *
 * Bytes are charged when a command is completed, and earned as time passes. The thread
 * that has completed the command continues once everything charged up to then is
 * earned; so threads continue in the order in which they have charged. Time in which
 * less was transferred than the rate permits is not made up for, except for a quarter
 * of a second.
 *
 * The caller serializes all functions, and passes the time, so that tests can.
 */
#ifndef VDI_PACE_H
#define VDI_PACE_H

#include <stdint.h>

/* A zeroed one has no limit. */
struct vdi_pace {
	uint64_t rate;		/* bytes per second since @now; 0 = no limit */
	int64_t now;		/* ns, of the last update */
	uint64_t charged;	/* bytes */
	uint64_t earned;
	uint32_t part;		/* of a byte earned, in 1/10^9 */
};

void vdi_pace_update(struct vdi_pace *pace, uint64_t rate, int64_t now_ns);
/*
 * Charge bytes that other processes report. They may report anything, so this adds no
 * debt beyond @most bytes that are not earned yet.
 */
void vdi_pace_charge_others(struct vdi_pace *pace, uint64_t bytes, uint64_t most);
/* Nanoseconds until all bytes charged up to @target are earned; 0 = they are. */
int64_t vdi_pace_left(const struct vdi_pace *pace, uint64_t target);

#endif /* VDI_PACE_H */
