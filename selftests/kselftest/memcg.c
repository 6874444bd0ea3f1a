// SPDX-License-Identifier: GPL-2.0
/* Memory cgroups: see memcg.h */
#define _GNU_SOURCE
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include "memcg.h"
#include "vdiset_test.h"

#define CGROUP2_MAGIC	0x63677270

static int mount_it(struct vd_memcg *m)
{
	int ret = 0;

	strcpy(m->root, "/tmp/vdiset-cgroup-XXXXXX");
	if (!mkdtemp(m->root)) {
		ret = -errno;
	} else if (mount("none", m->root, "cgroup2", 0, NULL)) {
		ret = -errno;
		rmdir(m->root);
	}
	m->mounted = !ret;
	return ret;
}

int vd_memcg_find(struct vd_memcg *m)
{
	char path[256], buf[256] = "";
	struct statfs fs;
	int ret = 0;

	memset(m, 0, sizeof(*m));
	strcpy(m->root, "/sys/fs/cgroup");
	if (statfs(m->root, &fs) || fs.f_type != CGROUP2_MAGIC)
		ret = mount_it(m);
	if (ret) {
		memset(m, 0, sizeof(*m));
		return ret;
	}
	snprintf(path, sizeof(path), "%s/cgroup.subtree_control", m->root);
	vd_write_file(path, "+memory");
	if (vd_read_file(path, buf, sizeof(buf)) > 0 && strstr(buf, "memory"))
		return 0;
	vd_memcg_lose(m);
	return -ENODEV;
}

void vd_memcg_lose(struct vd_memcg *m)
{
	if (m->mounted) {
		umount2(m->root, MNT_DETACH);
		rmdir(m->root);
	}
	memset(m, 0, sizeof(*m));
}

int vd_memcg_make(struct vd_memcg *m, const char *name)
{
	snprintf(m->group, sizeof(m->group), "%s/%s", m->root, name);
	if (!mkdir(m->group, 0755))
		return 0;
	m->group[0] = '\0';
	return -errno;
}

int vd_memcg_remove(struct vd_memcg *m)
{
	int64_t end = vd_now() + VD_HANG;
	int ret = 0;

	while (m->group[0] && (ret = rmdir(m->group) ? -errno : 0) == -EBUSY &&
	       vd_now() < end)
		vd_sleep_ms(1);
	m->group[0] = '\0';
	return ret;
}

int vd_memcg_write(const struct vd_memcg *m, const char *file, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", m->group, file);
	return vd_write_file(path, text);
}

int vd_memcg_add(const struct vd_memcg *m, pid_t pid)
{
	char text[32];

	snprintf(text, sizeof(text), "%d", pid);
	return vd_memcg_write(m, "cgroup.procs", text);
}

long vd_memcg_read(const struct vd_memcg *m, const char *file, const char *key)
{
	char path[256], buf[4096], *p = buf;

	snprintf(path, sizeof(path), "%s/%s", m->group, file);
	if (vd_read_file(path, buf, sizeof(buf)) <= 0)
		return -1;
	if (key) {
		p = strstr(buf, key);
		p = p ? p + strlen(key) : buf;
	}
	return strtol(p, NULL, 10);
}

/*
 * A limit below the current usage: the OOM killer frees what cannot be reclaimed.
 * The limit is lifted afterwards, so that the remaining processes can allocate.
 */
int vd_memcg_kill(const struct vd_memcg *m)
{
	int ret = vd_memcg_write(m, "memory.max", "0");

	return ret ? ret : vd_memcg_write(m, "memory.max", "max");
}
