/* SPDX-License-Identifier: GPL-2.0 */
/* Memory cgroups (cgroup v2) for tests: limits, and processes killed by them. */
#ifndef VDISET_TEST_MEMCG_H
#define VDISET_TEST_MEMCG_H

#include <stdbool.h>
#include <sys/types.h>

struct vd_memcg {
	char root[64];		/* where cgroup2 is mounted; "" = nowhere */
	bool mounted;		/* by this test */
	char group[128];	/* "" = there is none */
};

/* Finds the memory controller, or mounts it; 0 or -errno: there is none. */
int vd_memcg_find(struct vd_memcg *m);
void vd_memcg_lose(struct vd_memcg *m);
/* A group below it, by a name nobody else uses; 0 or -errno. */
int vd_memcg_make(struct vd_memcg *m, const char *name);
/* Waits for its processes to be gone; 0 or -errno. */
int vd_memcg_remove(struct vd_memcg *m);

int vd_memcg_write(const struct vd_memcg *m, const char *file,
		   const char *text);
int vd_memcg_add(const struct vd_memcg *m, pid_t pid);
/* The number after @key, or the first one without; -1: not there. */
long vd_memcg_read(const struct vd_memcg *m, const char *file,
		   const char *key);
/*
 * Lets the OOM killer take a process of the group that was charged for
 * anything; returns when it has. Where there are several, the one with the
 * highest oom_score_adj.
 */
int vd_memcg_kill(const struct vd_memcg *m);

#endif
