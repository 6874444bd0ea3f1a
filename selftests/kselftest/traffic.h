/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Data traffic as a database and a backup program generate it: the server fills
 * buffers and sends commands, the client computes checksums of the data and
 * completes the commands; the server compares every checksum.
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
	unsigned int spins;	/* polls of a ring before a side sleeps */
	uint32_t start;		/* first index of the rings, for wrap-around */
	bool reverse;		/* client completes in reverse order */
	bool one_thread;	/* server uses WAIT for all devices */
	bool set_pinned;	/* client on CPU 0, server on CPU 1 */
};

struct vd_worker {
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
	int error;		/* first error, -errno; -EILSEQ: wrong checksum */
};

/* Fills a buffer with data computed from the seed; returns its checksum. */
uint64_t vd_fill(char *buf, uint32_t bytes, uint64_t seed);
uint64_t vd_checksum(const char *buf, uint32_t bytes);

uint64_t vd_area_bytes(const struct vd_traffic *t);
/* Each runs one device until it is closed, DEVICE_CLOSE included. */
void vd_worker_init(struct vd_worker *l, const struct vd_traffic *t,
		  struct vd_dev *dev, char *area);
void *vd_server_worker(void *worker);
void *vd_client_worker(void *worker);
/* One thread serves all devices. */
int vd_server_all(int set, struct vd_worker *worker, const struct vd_traffic *t);

/* A whole run. The caller is the client, a child process the server; 0 or -errno. */
struct vd_run {
	uint64_t client_total;
	uint64_t server_total;
	int64_t ns;
};

int vd_traffic_run(const struct vd_traffic *t, struct vd_run *run);

#endif
