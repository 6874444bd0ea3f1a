// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * module.c - loading the kernel module
 *
 * libkmod is loaded only when the module has to be: other programs need neither
 * it nor the libraries that it depends on, and can be linked statically.
 */
#include <dlfcn.h>
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

/* The functions of libkmod. */
struct kmod {
	void *library;
	__typeof__(kmod_new) *new;
	__typeof__(kmod_unref) *unref;
	__typeof__(kmod_set_log_fn) *set_log_fn;
	__typeof__(kmod_module_new_from_lookup) *lookup;
	__typeof__(kmod_list_next) *next;
	__typeof__(kmod_module_get_module) *module;
	__typeof__(kmod_module_unref) *module_unref;
	__typeof__(kmod_module_unref_list) *unref_list;
	__typeof__(kmod_module_probe_insert_module) *insert;
};

static bool load_libkmod(struct kmod *kmod)
{
	const struct {
		const char *name;
		void *function;
	} symbols[] = {
		{ "kmod_new", &kmod->new },
		{ "kmod_unref", &kmod->unref },
		{ "kmod_set_log_fn", &kmod->set_log_fn },
		{ "kmod_module_new_from_lookup", &kmod->lookup },
		{ "kmod_list_next", &kmod->next },
		{ "kmod_module_get_module", &kmod->module },
		{ "kmod_module_unref", &kmod->module_unref },
		{ "kmod_module_unref_list", &kmod->unref_list },
		{ "kmod_module_probe_insert_module", &kmod->insert },
	};
	void *function;
	size_t i;

	/* it stays loaded: what it depends on may have exit handlers */
	kmod->library = dlopen("libkmod.so.2",
			       RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (!kmod->library)
		return false;
	for (i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
		function = dlsym(kmod->library, symbols[i].name);
		if (!function) {
			dlclose(kmod->library);
			return false;
		}
		memcpy(symbols[i].function, &function, sizeof(function));
	}
	return true;
}

/* 0 or -errno. */
static int probe(const struct kmod *kmod, struct kmod_ctx *ctx)
{
	struct kmod_list *list = NULL, *entry;
	int err;

	err = kmod->lookup(ctx, MODULE_NAME, &list);
	if (err < 0)
		return err;
	if (!list)
		return -ENOENT;
	for (entry = list; entry && !err; entry = kmod->next(list, entry)) {
		struct kmod_module *mod = kmod->module(entry);

		err = kmod->insert(mod, KMOD_PROBE_APPLY_BLACKLIST, NULL, NULL,
				   NULL, NULL);
		kmod->module_unref(mod);
	}
	kmod->unref_list(list);
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
	struct kmod_ctx *ctx;
	struct kmod kmod;
	int err = -ENOMEM;

	if (!load_libkmod(&kmod))
		return -ELIBACC;
	ctx = kmod.new(NULL, NULL);
	if (ctx) {
		kmod.set_log_fn(ctx, no_log, NULL);
		err = probe(&kmod, ctx);
		kmod.unref(ctx);
	}
	dlclose(kmod.library);
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

	/* devtmpfs would not replace a node that is left over: see "vdi info" */
	if (node_exists())
		return NOERROR;
	err = vdi_module_is_loaded() ? 0 : insert();
	if (err == -EPERM || err == -EACCES) {
		snprintf(buf, size, "the kernel module vdiset is not loaded "
			 "and may not be loaded by this user: as root, "
			 "'modprobe vdiset'");
		return VD_E_SECURITY;
	}
	if (err == -ELIBACC) {
		snprintf(buf, size, "the kernel module vdiset is not loaded, "
			 "and libkmod.so.2, which would load it, is missing: "
			 "as root, 'modprobe vdiset'");
		return VD_E_UNEXPECTED;
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
