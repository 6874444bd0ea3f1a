/* SPDX-License-Identifier: GPL-2.0 */
/*
 * fixture.h - one call of every request, with the set that it needs, for tests of
 * error paths and races
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
	int fd;			/* an unbound file */
};

/*
 * A request: the state that the set needs, the call, and the errors that it may
 * return when something in it fails. Results of the call are kept in the fixture.
 */
struct step {
	const char *name;
	int state;
	bool devices;		/* devices must be open on both sides */
	int (*call)(struct fixture *fx);
	int errors[6];
};

extern const struct step steps[];
extern const unsigned int n_steps;

int fixture_set_up(struct fixture *fx, const struct step *step);
void fixture_tear_down(struct fixture *fx);
int fixture_map_area(struct fixture *fx);

#endif
