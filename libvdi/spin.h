/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* spin.h - how long to poll the rings before sleeping */
#ifndef VDI_SPIN_H
#define VDI_SPIN_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"

/* Largest number of iterations before a sleep. */
#define VDI_SPIN_MAX	(1U << 24)

/* Initial number of sleeps without spinning before the next try. */
#define VDI_SKIP_MIN	16

/* State of the adaptive spinning; see vdi_spin_init(). */
struct vdi_spin {
	uint32_t max;
	uint32_t budget;
	uint32_t skip;		/* sleeps without spinning, the next time */
	uint32_t left;		/* of those, still to come */
};

void vdi_spin_init(struct vdi_spin *spin, uint32_t max);
uint32_t vdi_spin_try(struct vdi_spin *spin);
void vdi_spin_lost(struct vdi_spin *spin);
uint32_t vdi_spin_default(void);
bool vdi_several_cpus(void);

/* Number of iterations before this sleep; 0 = do not spin. */
static inline uint32_t vdi_spin_begin(struct vdi_spin *spin)
{
	if (spin->budget || !spin->max || --spin->left)
		return spin->budget;
	return vdi_spin_try(spin);
}

static inline void vdi_spin_won(struct vdi_spin *spin)
{
	spin->skip = VDI_SKIP_MIN;
	spin->budget = spin->budget > spin->max / 2 ? spin->max :
						      spin->budget * 2;
}

static inline void vdi_cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
	__asm__ __volatile__("yield" ::: "memory");
#endif
}

/*
 * Poll @ready for so many iterations, of which each call counts for @step, and
 * adapt the budget to the outcome, which is returned. Inline, and so is @ready.
 */
static VDI_ALWAYS_INLINE bool
vdi_spin_run(struct vdi_spin *spin, uint32_t iterations, uint32_t step,
	     bool (*ready)(const void *arg), const void *arg)
{
	uint32_t i;

	for (i = 0; i < iterations; i += step) {
		if (ready(arg)) {
			vdi_spin_won(spin);
			return true;
		}
		vdi_cpu_relax();
	}
	vdi_spin_lost(spin);
	return false;
}

#endif /* VDI_SPIN_H */
