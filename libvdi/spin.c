// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * spin.c - how long to look at the rings before sleeping
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include "spin.h"

/* Looks at the rings: the least worth while, and the most by default. */
#define SPIN_MIN	64
#define SPIN_DEFAULT	4096

/* Sleeps without a look before it is tried again, at most. */
#define SKIP_MAX	4096

/*
 * Spinning hands over in a fraction of the time a wake-up takes, but burns
 * what it fails to win, and with one CPU keeps the peer from running at all.
 * So the budget doubles when a spin has won and halves when it has lost; when
 * too little is left there is none, but for a try after a number of sleeps that
 * doubles each time it is in vain.
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

/* Again, after many sleeps without. */
uint32_t vdi_spin_try(struct vdi_spin *spin)
{
	/* the process may have been moved to one CPU since */
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

/* What VDI_SPIN says, else the default. */
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

	/* fails where there are more CPUs than fit: that is several */
	if (sched_getaffinity(0, sizeof(set), &set))
		return true;
	return CPU_COUNT(&set) > 1;
}
