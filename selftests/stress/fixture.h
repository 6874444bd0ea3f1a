/* SPDX-License-Identifier: GPL-2.0 */
/*
 * fixture.h - every request, and the set it needs: for tests that make each of
 * them fail, or race with something
 */
#ifndef VDISET_TEST_FIXTURE_H
#define VDISET_TEST_FIXTURE_H

#include "vdiset_test.h"

#define FIXTURE_AREA	(2 * MIB)

struct fixture {
	struct vd_set s;
	struct vd_dev client, server;
	struct vdiset_open_device opened;
	void *map;
	size_t length;
	int fd;			/* for requests on an unbound file */
};

/*
 * A request: how far the set must be, the call, and what it may give besides
 * 0 when something in it fails. What the call made is in the fixture.
 */
struct step {
	const char *name;
	int state;
	bool devices;		/* open on both sides */
	int (*call)(struct fixture *fx);
	int errors[6];
};

extern const struct step steps[];
extern const unsigned int n_steps;

int fixture_set_up(struct fixture *fx, const struct step *step);
void fixture_tear_down(struct fixture *fx);
int fixture_map_area(struct fixture *fx);

#endif
