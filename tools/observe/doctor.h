/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * doctor.h - why the kernel module cannot be used, and what to do
 */
#ifndef VDI_DOCTOR_H
#define VDI_DOCTOR_H

#include <stdbool.h>

/* A problem, documented in vdi-observe(1). */
struct finding {
	const char *problem;	/* for programs; NULL = none */
	char text[512];		/* one line */
	char remedy[768];	/* what to do, one line */
};

#define DOCTOR_MAX_WARNINGS 3

struct doctor {
	/* Examine why /dev/vdiset cannot be opened. Does not load the module. */
	void (*examine)(struct finding *finding);
	/* The kernel refused the signature of the module when it was to be loaded. */
	void (*refused_signature)(struct finding *finding);
	/*
	 * What does not prevent the use of sets: fills in up to DOCTOR_MAX_WARNINGS
	 * findings and returns their number. `version` is that of the loaded module,
	 * NULL = unknown.
	 */
	unsigned int (*warn)(struct finding *list, const char *version);
};

extern const struct doctor vdi_doctor;

/* The same. vdi loads its plugin, which needs libkmod. NULL: after a message. */
const struct doctor *doctor_load(void);

#endif /* VDI_DOCTOR_H */
