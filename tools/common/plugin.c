// SPDX-License-Identifier: GPL-2.0-only
/*
 * plugin.c - parts of vdi that are loaded when they are used
 */
#include <dlfcn.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libvdi.h"
#include "plugin.h"

/* Of the program; its path has no '/' at the end. */
static bool directory(char *dir, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", dir, size - 1);
	char *end;

	if (n < 0)
		return false;
	dir[n] = '\0';
	end = strrchr(dir, '/');
	if (!end)
		return false;
	*end = '\0';
	return true;
}

/*
 * What a plugin depends on may have exit handlers or threads: it is not unloaded. It
 * must not replace functions of the program.
 */
static void *load(const char *name, char *why, size_t size)
{
	char dir[PATH_MAX], path[PATH_MAX + 64];
	void *plugin;

	if (!directory(dir, sizeof(dir))) {
		snprintf(why, size, "/proc is not mounted");
		return NULL;
	}
	snprintf(path, sizeof(path), "%s/vdi-%s.so", dir, name);
	if (access(path, F_OK))
		snprintf(path, sizeof(path), "%s/../lib/vdi/vdi-%s.so", dir,
			 name);
	plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (!plugin)
		snprintf(why, size, "%s", dlerror());
	return plugin;
}

const void *vdi_plugin(const char *name, const char *symbol, char *why,
		       size_t size)
{
	const char *release;
	const void *object;
	void *plugin;

	plugin = load(name, why, size);
	if (!plugin)
		return NULL;
	release = dlsym(plugin, VDI_PLUGIN_RELEASE);
	if (!release || strcmp(release, vdi_version())) {
		snprintf(why, size, "vdi-%s.so is of release %s, vdi of %s",
			 name, release ? : "unknown", vdi_version());
		return NULL;
	}
	object = dlsym(plugin, symbol);
	if (!object)
		snprintf(why, size, "%s", dlerror());
	return object;
}
