/* SPDX-License-Identifier: GPL-2.0 */
/*
 * scene.h - every request, and the set it needs: for tests that make each of
 * them fail, or race with something
 */
#ifndef VDISET_SCENE_H
#define VDISET_SCENE_H

#include "vdiset_test.h"

#define SCENE_AREA	(2 * MIB)

struct scene {
	struct vd_set s;
	struct vd_dev client, server;
	struct vdiset_open_device opened;
	void *map;
	size_t length;
	int fd;			/* for requests on an unbound file */
};

/*
 * A request: how far the set must be, the call, and what it may give besides
 * 0 when something in it fails. What the call made is in the scene.
 */
struct step {
	const char *name;
	int state;
	bool devices;		/* open on both sides */
	int (*call)(struct scene *sc);
	int errors[6];
};

extern const struct step steps[];
extern const unsigned int n_steps;

int scene_up(struct scene *sc, const struct step *step);
void scene_down(struct scene *sc);
int scene_map_area(struct scene *sc);

#endif
