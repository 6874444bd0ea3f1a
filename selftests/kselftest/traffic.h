/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A data path as a database and a backup program would drive it: the server
 * fills buffers and sends commands, the client sums what it finds and
 * completes them; every single sum is compared.
 */
#ifndef VDISET_TEST_TRAFFIC_H
#define VDISET_TEST_TRAFFIC_H

#include "vdiset_test.h"

struct vd_traffic {
	unsigned int devices;
	unsigned int depth;
	unsigned int inflight;	/* commands outstanding on a device */
	unsigned int commands;	/* on each device */
	uint32_t bytes;		/* of each command, a multiple of 8 */
	unsigned int spins;	/* before a side sleeps */
	uint32_t start;		/* first index of the rings, to see it wrap */
	bool reverse;		/* client completes the last first */
	bool one_thread;	/* server uses WAIT on all devices */
	bool set_pinned;	/* client on CPU 0, server on CPU 1 */
};

struct vd_lane {
	const struct vd_traffic *t;
	struct vd_dev *dev;
	char *area;
	pthread_t thread;
	unsigned int sent;
	unsigned int done;
	unsigned int n_free;
	uint32_t free[VDISET_MAX_DEPTH];
	uint64_t sum_of[VDISET_MAX_DEPTH];
	uint64_t total;
	int error;		/* the first one, -errno; -EILSEQ: wrong sum */
};

/* Fills a buffer with what follows from the seed; its sum. */
uint64_t vd_fill(char *buf, uint32_t bytes, uint64_t seed);
uint64_t vd_checksum(const char *buf, uint32_t bytes);

uint64_t vd_area_bytes(const struct vd_traffic *t);
/* Both run one device to its end, DEVICE_CLOSE included. */
void vd_lane_init(struct vd_lane *l, const struct vd_traffic *t,
		  struct vd_dev *dev, char *area);
void *vd_server_lane(void *lane);
void *vd_client_lane(void *lane);
/* All lanes by one thread. */
int vd_server_all(int set, struct vd_lane *lane, const struct vd_traffic *t);

/* A whole run: the caller is the client, a child the server; 0 or -errno. */
struct vd_run {
	uint64_t client_total;
	uint64_t server_total;
	int64_t ns;
};

int vd_traffic_run(const struct vd_traffic *t, struct vd_run *run);

#endif
