/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * log.h - what the library does, in lines for people: VDI_DEBUG, vdi_set_log()
 *
 * Without it a call costs one comparison more. A line may be logged with a
 * device's lock held.
 */
#ifndef VDI_LOG_H
#define VDI_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"

/* A command that is held or outstanding for longer is logged. */
#define VDI_LOG_LONG_NS		INT64_C(10000000000)

/* What stale pointers point to, and what buffers of Reads are filled with. */
#define VDI_POISON_BYTE		0x6b
#define VDI_POISON_POINTER	((uint8_t *)(uintptr_t)0x6b6b6b6b6b6b6b6b)

extern int vdi_log_level __attribute__((visibility("hidden")));

void vdi_log_init(void);
void vdi_log(const char *name, const char *format, ...)
	__attribute__((format(printf, 2, 3), cold));

/* Are calls logged? */
static inline bool vdi_log_on(void)
{
	return vdi_unlikely(__atomic_load_n(&vdi_log_level, __ATOMIC_RELAXED) >
			    0);
}

/* Are blocks and buffers poisoned? */
static inline bool vdi_log_poisons(void)
{
	return vdi_unlikely(__atomic_load_n(&vdi_log_level, __ATOMIC_RELAXED) >
			    1);
}

#endif /* VDI_LOG_H */
