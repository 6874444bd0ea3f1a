// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * module.c - loading the kernel module
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <libkmod.h>

#include <libvdi.h>
#include <linux/vdiset.h>

#include "module.h"

#define MODULE_NAME	"vdiset"
#define SYSFS_PATH	"/sys/class/misc/vdiset"
#define NODE_WAIT_MS	1000	/* for a udev that creates the node itself */

static bool node_exists(void)
{
	struct stat st;

	return !stat(VDISET_DEVICE_PATH, &st) && S_ISCHR(st.st_mode);
}

/* Does not use /dev, which may be a private one. */
bool vdi_module_is_loaded(void)
{
	return !access(SYSFS_PATH, F_OK);
}

/* 0 or -errno. */
static int probe(struct kmod_ctx *ctx)
{
	struct kmod_list *list = NULL, *entry;
	int err;

	err = kmod_module_new_from_lookup(ctx, MODULE_NAME, &list);
	if (err < 0)
		return err;
	if (!list)
		return -ENOENT;
	kmod_list_foreach(entry, list) {
		struct kmod_module *mod = kmod_module_get_module(entry);

		err = kmod_module_probe_insert_module(mod,
				KMOD_PROBE_APPLY_BLACKLIST, NULL, NULL, NULL,
				NULL);
		kmod_module_unref(mod);
		if (err)
			break;
	}
	kmod_module_unref_list(list);
	return err > 0 ? -EPERM : err;	/* above 0: on modprobe's deny list */
}

static void no_log(void *data, int priority, const char *file, int line,
		   const char *fn, const char *format, va_list args)
{
	(void)data, (void)priority, (void)file, (void)line, (void)fn;
	(void)format, (void)args;
}

static int insert(void)
{
	struct kmod_ctx *ctx = kmod_new(NULL, NULL);
	int err;

	if (!ctx)
		return -ENOMEM;
	kmod_set_log_fn(ctx, no_log, NULL);
	err = probe(ctx);
	kmod_unref(ctx);
	return err;
}

static bool wait_for_node(void)
{
	const struct timespec tick = { .tv_nsec = 10 * 1000 * 1000 };
	int i;

	for (i = 0; i < NODE_WAIT_MS / 10; i++) {
		if (node_exists())
			return true;
		nanosleep(&tick, NULL);
	}
	return node_exists();
}

int vdi_module_load(char *buf, size_t size)
{
	int err;

	if (node_exists())
		return NOERROR;
	err = vdi_module_is_loaded() ? 0 : insert();
	if (err == -EPERM || err == -EACCES) {
		snprintf(buf, size, "the kernel module vdiset is not loaded "
			 "and may not be loaded by this user: as root, "
			 "'modprobe vdiset'");
		return VD_E_SECURITY;
	}
	if (err == -ENOENT) {
		snprintf(buf, size, "the kernel module vdiset is not installed "
			 "for the running kernel");
		return VD_E_UNEXPECTED;
	}
	if (err) {
		snprintf(buf, size, "the kernel module vdiset cannot be "
			 "loaded: %s", strerror(-err));
		return VD_E_UNEXPECTED;
	}
	if (!wait_for_node()) {
		snprintf(buf, size, "the kernel module vdiset is loaded, but "
			 "this process has no " VDISET_DEVICE_PATH ": a "
			 "systemd unit needs PrivateDevices=no and "
			 "DeviceAllow=" VDISET_DEVICE_PATH " rw, a container "
			 "needs the device");
		return VD_E_UNEXPECTED;
	}
	return NOERROR;
}

void vdi_module_explain(int err, char *buf, size_t size)
{
	const char *why = "";

	if (err == EPERM)
		why = ": the control group of this process does not allow the "
		      "device; a systemd unit needs DeviceAllow="
		      VDISET_DEVICE_PATH " rw";
	else if (err == EACCES)
		why = ": the mode of the device does not admit this user, or "
		      "its file system is mounted with nodev";
	snprintf(buf, size, "cannot open %s: %s%s", VDISET_DEVICE_PATH,
		 strerror(err), why);
}

int vdi_load_module(char *buf, size_t size)
{
	int code, fd;

	if (!buf)
		size = 0;
	if (size)
		*buf = '\0';
	code = vdi_module_load(buf, size);
	if (code)
		return code;
	fd = open(VDISET_DEVICE_PATH, O_RDWR | O_CLOEXEC);
	if (fd < 0 && (errno == EPERM || errno == EACCES)) {
		vdi_module_explain(errno, buf, size);
		return VD_E_SECURITY;
	}
	if (fd >= 0)
		close(fd);
	return NOERROR;
}
