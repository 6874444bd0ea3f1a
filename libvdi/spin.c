// SPDX-License-Identifier: LGPL-2.1-or-later
/* spin.c - how long to poll the rings before sleeping */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include "spin.h"

/* Iterations: the smallest budget that is worthwhile, and the default. */
#define SPIN_MIN	64
#define SPIN_DEFAULT	4096

/* Largest number of sleeps without spinning before the next try. */
#define SKIP_MAX	4096

/*
 * Spinning takes a fraction of the time of a wake-up, but costs CPU time if it
 * fails, and with one CPU it keeps the peer from running at all. So the budget
 * doubles after a success and is halved after a failure. When it becomes too
 * small, spinning stops, except for a try after a number of sleeps, which
 * doubles with each try that fails.
 */
void vdi_spin_init(struct vdi_spin *spin, uint32_t max)
{
	spin->max = vdi_several_cpus() ? max : 0;
	spin->budget = max < SPIN_DEFAULT / 4 ? max : SPIN_DEFAULT / 4;
	if (!spin->max)
		spin->budget = 0;
	spin->skip = VDI_SKIP_MIN;
	spin->left = VDI_SKIP_MIN;
}

/* Try again, after many sleeps without spinning. */
uint32_t vdi_spin_try(struct vdi_spin *spin)
{
	/* the affinity of the process may have changed */
	if (vdi_several_cpus())
		spin->budget = spin->max < SPIN_MIN ? spin->max : SPIN_MIN;
	else
		vdi_spin_lost(spin);
	return spin->budget;
}

void vdi_spin_lost(struct vdi_spin *spin)
{
	spin->budget /= 2;
	if (spin->budget >= SPIN_MIN)
		return;
	spin->budget = 0;
	spin->left = spin->skip;
	if (spin->skip < SKIP_MAX)
		spin->skip *= 2;
}

/* The value of the environment variable VDI_SPIN, or the default. */
uint32_t vdi_spin_default(void)
{
	const char *text = secure_getenv("VDI_SPIN");
	unsigned long iterations;
	char *end;

	if (!text || !*text)
		return SPIN_DEFAULT;
	errno = 0;
	iterations = strtoul(text, &end, 10);
	if (errno || *end || *text == '-' || iterations > VDI_SPIN_MAX)
		return SPIN_DEFAULT;
	return iterations;
}

bool vdi_several_cpus(void)
{
	cpu_set_t set;

	/* fails if there are more CPUs than fit: that is several */
	if (sched_getaffinity(0, sizeof(set), &set))
		return true;
	return CPU_COUNT(&set) > 1;
}
