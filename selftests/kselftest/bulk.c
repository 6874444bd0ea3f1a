// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that 4 GiB through eight devices, with sixteen commands in flight on each,
 * arrive unchanged, and that the memory is freed afterwards. A program of its own,
 * because it is slow on emulated processors and needs its own time-out.
 */
#define _GNU_SOURCE
#include "traffic.h"
#include "harness.h"

/* Other activity in the guest allocates and frees memory meanwhile. */
#define SLACK_KB	(48 * 1024)

FIXTURE(bulk) {
	long available;
	long shmem;
	int sets;
};

FIXTURE_VARIANT(bulk) {
	struct vd_traffic t;
};

FIXTURE_VARIANT_ADD(bulk, four_gib) {
	.t = {
		.devices = 8, .depth = 16, .inflight = 16,
		.bytes = 256 * KIB, .commands = 4096ULL * MIB / (256 * KIB) / 8,
		.spins = 50,
	},
};
FIXTURE_VARIANT_ADD(bulk, one_gib_one_server_thread) {
	.t = {
		.devices = 8, .depth = 16, .inflight = 16,
		.bytes = MIB, .commands = 1024 / 8, .one_thread = true,
	},
};

FIXTURE_SETUP(bulk)
{
	/* a small run first, so that memory kept after the first use is allocated */
	struct vd_traffic t = variant->t;
	struct vd_run run;

	t.commands = t.inflight;
	ASSERT_EQ(0, vd_traffic_run(&t, &run));
	self->sets = vd_sets();
	self->available = vd_meminfo("MemAvailable");
	self->shmem = vd_meminfo("Shmem");
}

FIXTURE_TEARDOWN(bulk)
{
	EXPECT_EQ(self->sets, vd_wait_sets(self->sets));
}

TEST_F(bulk, checksums_agree_memory_freed)
{
	int64_t end;
	struct vd_run run;

	ASSERT_EQ(0, vd_traffic_run(&variant->t, &run));
	EXPECT_EQ(run.server_total, run.client_total);
	TH_LOG("%llu MiB in %lld ms",
	       (unsigned long long)variant->t.devices * variant->t.commands *
	       variant->t.bytes / MIB, (long long)(run.ns / MS));
	/* freed pages may remain on per-CPU lists for a moment */
	end = vd_now() + VD_HANG;
	while (vd_now() < end &&
	       (vd_meminfo("Shmem") > self->shmem + 1024 ||
		vd_meminfo("MemAvailable") < self->available - SLACK_KB))
		vd_sleep_ms(50);
	EXPECT_LE(vd_meminfo("Shmem"), self->shmem + 1024);
	EXPECT_GE(vd_meminfo("MemAvailable"), self->available - SLACK_KB);
}

TEST_HARNESS_MAIN
