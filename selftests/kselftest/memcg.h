/* SPDX-License-Identifier: GPL-2.0 */
/* Memory cgroups (cgroup v2) for tests: limits, and kills by the OOM killer. */
#ifndef VDISET_TEST_MEMCG_H
#define VDISET_TEST_MEMCG_H

#include <stdbool.h>
#include <sys/types.h>

struct vd_memcg {
	char root[64];		/* mount point of cgroup2; "" = not mounted */
	bool mounted;		/* true: by this test */
	char group[128];	/* "" = not created */
};

/* Finds or mounts a hierarchy with the memory controller; 0 or -errno. */
int vd_memcg_find(struct vd_memcg *m);
void vd_memcg_lose(struct vd_memcg *m);
/* Creates a group with a name that is not in use; 0 or -errno. */
int vd_memcg_make(struct vd_memcg *m, const char *name);
/* Waits until its processes have exited; 0 or -errno. */
int vd_memcg_remove(struct vd_memcg *m);

int vd_memcg_write(const struct vd_memcg *m, const char *file,
		   const char *text);
int vd_memcg_add(const struct vd_memcg *m, pid_t pid);
/* The number after @key, or the first number if @key is NULL; -1: not found. */
long vd_memcg_read(const struct vd_memcg *m, const char *file,
		   const char *key);
/*
 * Makes the OOM killer kill the process of the group with the highest
 * oom_score_adj; returns when it is killed. The group must have been charged for
 * some memory.
 */
int vd_memcg_kill(const struct vd_memcg *m);

#endif
