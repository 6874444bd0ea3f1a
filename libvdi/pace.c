// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pace.c - when may bytes that were transferred be followed by more?
 */
#include "pace.h"

#define SECOND INT64_C(1000000000)

static void earn(struct vdi_pace *pace, int64_t ns)
{
	unsigned __int128 sum = (unsigned __int128)pace->rate * ns + pace->part;
	int64_t most = pace->charged - pace->earned + pace->rate / 4;

	/* what was earned in advance at a higher rate remains */
	if (most < 0)
		most = 0;

	/* also if a large rate and a long pause exceed 64 bits */
	if (sum / SECOND > (uint64_t)most) {
		pace->earned += most;
		pace->part = 0;
	} else {
		pace->earned += sum / SECOND;
		pace->part = sum % SECOND;
	}
}

/* A new rate holds from @now_ns on; until then bytes are earned at the old one. */
void vdi_pace_update(struct vdi_pace *pace, uint64_t rate, int64_t now_ns)
{
	if (!pace->rate || !rate) {
		pace->earned = pace->charged;
		pace->part = 0;
	} else if (now_ns > pace->now) {
		earn(pace, now_ns - pace->now);
	}
	pace->rate = rate;
	pace->now = now_ns;
}

void vdi_pace_charge_others(struct vdi_pace *pace, uint64_t bytes, uint64_t most)
{
	int64_t debt = pace->charged - pace->earned;
	/* what was earned in advance may be spent as well */
	__int128 room = (__int128)most - debt;

	if (room <= 0)
		return;
	pace->charged += bytes < room ? bytes : (uint64_t)room;
}

int64_t vdi_pace_left(const struct vdi_pace *pace, uint64_t target)
{
	unsigned __int128 ns;
	int64_t missing = target - pace->earned;

	if (!pace->rate || missing <= 0)
		return 0;
	ns = (unsigned __int128)missing * SECOND / pace->rate + 1;
	return ns > INT64_MAX ? INT64_MAX : (int64_t)ns;
}
