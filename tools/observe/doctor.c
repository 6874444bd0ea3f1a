// SPDX-License-Identifier: GPL-2.0-only
/*
 * doctor.c - why the kernel module cannot be used, and what to do
 *
 * A check examines one cause. It returns false if this is not the cause, and otherwise
 * fills in the finding. The checks of a list are tried in order, and the last one
 * always applies. Nothing is changed: in particular, the module is not loaded.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <libkmod.h>
#include <linux/io_uring.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <linux/vdiset.h>

#include "doctor.h"
#include "observe.h"

#define MODULE		"vdiset"
#define DKMS		"/var/lib/dkms/" MODULE
#define ENOUGH_MEMLOCK	(4 << 20)	/* the buffers of a device, by default */
#define CAP_IPC_LOCK	14

/* What the checks have in common. */
struct patient {
	struct utsname kernel;
	char container[64];	/* its kind; "" = not in a container */
	char service[128];	/* unit of systemd; "" = none */
	int error;		/* errno of open(2) of the device */
	struct kmod_ctx *kmod;
	char path[512];		/* file of the module according to modules.dep */
};

typedef bool (*check)(const struct patient *p, struct finding *finding);

static bool found(struct finding *finding, const char *problem,
		  const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static bool found(struct finding *finding, const char *problem,
		  const char *format, ...)
{
	va_list args;

	finding->problem = problem;
	va_start(args, format);
	vsnprintf(finding->text, sizeof(finding->text), format, args);
	va_end(args);
	return true;
}

static void remedy(struct finding *finding, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void remedy(struct finding *finding, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(finding->remedy, sizeof(finding->remedy), format, args);
	va_end(args);
}

/* The first line of a small file; false if it cannot be read. */
static bool read_line(const char *path, char *buf, size_t size)
{
	FILE *file = fopen(path, "re");
	bool ok = file && fgets(buf, size, file);

	if (file)
		fclose(file);
	if (ok)
		buf[strcspn(buf, "\n")] = '\0';
	return ok;
}

static bool exists(const char *path)
{
	return !access(path, F_OK);
}

/* The first file that matches, which the caller frees, or NULL. */
static char *first_match(const char *pattern)
{
	glob_t matches;
	char *name = NULL;

	if (!glob(pattern, 0, NULL, &matches))
		name = strdup(matches.gl_pathv[0]);
	globfree(&matches);
	return name;
}

/* ------------------------------------------------- containers and services */

/* The variable "container" of process 1, which only root can read. */
static bool container_of_init(char *buf, size_t size)
{
	FILE *file = fopen("/proc/1/environ", "re");
	size_t room = 0;
	char *entry = NULL;
	bool ok = false;

	while (file && !ok && getdelim(&entry, &room, '\0', file) > 0) {
		ok = !strncmp(entry, "container=", 10) && entry[10];
		if (ok)
			snprintf(buf, size, "%s", entry + 10);
	}
	free(entry);
	if (file)
		fclose(file);
	return ok;
}

/* The same signs as those that systemd-detect-virt(1) uses. */
static void detect_container(char *buf, size_t size)
{
	*buf = '\0';
	if (exists("/.dockerenv"))
		snprintf(buf, size, "docker");
	else if (exists("/run/.containerenv"))
		snprintf(buf, size, "podman");
	else if (!read_line("/run/systemd/container", buf, size) &&
		 !read_line("/run/host/container-manager", buf, size) &&
		 !container_of_init(buf, size))
		*buf = '\0';
}

/* The unit of this process if it is a service, from its path of control groups. */
static void detect_service(char *buf, size_t size)
{
	char line[1024], *rest = line, *part;

	*buf = '\0';
	if (!read_line("/proc/self/cgroup", line, sizeof(line)))
		return;
	while ((part = strsep(&rest, "/"))) {
		size_t length = strlen(part);

		if (length > 8 && !strcmp(part + length - 8, ".service") &&
		    strncmp(part, "user@", 5))
			snprintf(buf, size, "%s", part);
	}
}

static void remedy_for_container(const struct patient *p,
				 struct finding *finding)
{
	remedy(finding, "start the container (%s) with the device: docker or podman run --device /dev/vdiset, systemd-nspawn --bind=/dev/vdiset --property='DeviceAllow=/dev/vdiset rw'",
	       p->container);
}

static void remedy_for_service(const struct patient *p,
			       struct finding *finding)
{
	remedy(finding, "systemctl edit %s: set PrivateDevices=no and DeviceAllow=/dev/vdiset rw in [Service], then restart the service",
	       p->service);
}

/* -------------------------------------------------- the module is not loaded */

static bool check_container(const struct patient *p, struct finding *finding)
{
	/* a privileged container can have the modules of the host */
	if (!*p->container || (*p->path && exists(p->path)))
		return false;
	remedy(finding, "on the host, as root: modprobe vdiset. Then start the container with --device /dev/vdiset");
	return found(finding, "container_no_module",
		     "the module is not loaded, and a container (%s) cannot load it",
		     p->container);
}

static bool check_modules_disabled(const struct patient *p,
				   struct finding *finding)
{
	char line[16];

	(void)p;
	if (!read_line("/proc/sys/kernel/modules_disabled", line, sizeof(line)) ||
	    *line != '1')
		return false;
	remedy(finding, "reboot, and load the module before kernel.modules_disabled is set");
	return found(finding, "modules_disabled",
		     "the sysctl kernel.modules_disabled forbids loading modules until the next boot");
}

static bool check_kernel(const struct patient *p, struct finding *finding)
{
	char path[128];

	snprintf(path, sizeof(path), "/lib/modules/%s", p->kernel.release);
	if (exists(path))
		return false;
	remedy(finding, "use the kernel of a distribution, or a virtual machine");
	return found(finding, "kernel_without_modules",
		     "kernel %s has no directory of modules and cannot load any",
		     p->kernel.release);
}

/* Version of vdiset that DKMS has, "" = none. */
static void dkms_version(char *buf, size_t size)
{
	char *path = first_match(DKMS "/*/source");

	*buf = '\0';
	if (path) {
		*strrchr(path, '/') = '\0';
		snprintf(buf, size, "%s", strrchr(path, '/') + 1);
	}
	free(path);
}

/* How to build the module for this kernel. */
static void remedy_by_building(const struct patient *p, struct finding *finding)
{
	const char *release = p->kernel.release;
	char version[64], headers[160] = "", path[160];

	snprintf(path, sizeof(path), "/lib/modules/%s/build", release);
	if (!exists(path))
		snprintf(headers, sizeof(headers),
			 "apt-get install linux-headers-%s; then ", release);
	dkms_version(version, sizeof(version));
	if (*version)
		remedy(finding, "as root: %sdkms install vdiset/%s -k %s", headers,
		       version, release);
	else
		remedy(finding, "as root, in the source of vdiset: %smake dkms-install (or make modules modules_install)",
		       headers);
}

/* ", and DKMS ..." for the text, or "". */
static void dkms_state(const struct patient *p, char *buf, size_t size)
{
	char version[64], path[256];

	*buf = '\0';
	dkms_version(version, sizeof(version));
	if (!*version)
		return;
	snprintf(path, sizeof(path), DKMS "/%s/%s", version, p->kernel.release);
	if (exists(path)) {
		snprintf(buf, size, "; DKMS has built, but not installed it");
		return;
	}
	snprintf(path, sizeof(path), DKMS "/%s/build/make.log", version);
	if (exists(path))
		snprintf(buf, size, "; DKMS has failed to build it, see %s", path);
	else
		snprintf(buf, size, "; DKMS has not built it");
}

/* A file below this directory of modules, which the caller frees, or NULL. */
static char *find_file(const char *release)
{
	static const char * const places[] = {
		"updates", "updates/dkms", "extra", "kernel/*", "kernel/*/*"
	};
	char pattern[256], *path;
	size_t i;

	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(pattern, sizeof(pattern), "/lib/modules/%s/%s/" MODULE ".ko*",
			 release, places[i]);
		path = first_match(pattern);
		if (path)
			return path;
	}
	return NULL;
}

static bool check_depmod(const struct patient *p, struct finding *finding)
{
	char *path;

	if (*p->path)
		return false;
	path = find_file(p->kernel.release);
	if (!path)
		return false;
	remedy(finding, "as root: depmod; then vdi load");
	found(finding, "module_not_indexed",
	      "%s is not in the index of the modules", path);
	free(path);
	return true;
}

static bool check_other_kernel(const struct patient *p,
			       struct finding *finding)
{
	char dkms[320], *path, *other;

	if (*p->path)
		return false;
	path = find_file("*");
	if (!path)
		return false;
	dkms_state(p, dkms, sizeof(dkms));
	other = path + strlen("/lib/modules/");
	*strchrnul(other, '/') = '\0';
	remedy_by_building(p, finding);
	found(finding, "module_other_kernel",
	      "the module is installed for kernel %s, but not for the running kernel %s%s",
	      other, p->kernel.release, dkms);
	free(path);
	return true;
}

static bool check_absent(const struct patient *p, struct finding *finding)
{
	char dkms[320];

	if (*p->path && exists(p->path))
		return false;
	dkms_state(p, dkms, sizeof(dkms));
	remedy_by_building(p, finding);
	if (*p->path)
		return found(finding, "module_absent",
			     "the file of the module, %s, is missing%s", p->path,
			     dkms);
	return found(finding, "module_absent",
		     "the module is not installed for the running kernel %s%s",
		     p->kernel.release, dkms);
}

/* A line of modinfo(8); false if the module does not have it. */
static bool get_modinfo(const struct patient *p, const char *key, char *buf,
			size_t size)
{
	struct kmod_list *list = NULL, *entry;
	struct kmod_module *mod;
	bool ok = false;

	if (kmod_module_new_from_path(p->kmod, p->path, &mod) < 0)
		return false;
	if (kmod_module_get_info(mod, &list) >= 0) {
		kmod_list_foreach(entry, list) {
			if (ok || strcmp(kmod_module_info_get_key(entry), key))
				continue;
			snprintf(buf, size, "%s",
				 kmod_module_info_get_value(entry));
			ok = true;
		}
		kmod_module_info_free_list(list);
	}
	kmod_module_unref(mod);
	return ok;
}

static bool check_vermagic(const struct patient *p, struct finding *finding)
{
	char magic[256];

	if (!get_modinfo(p, "vermagic", magic, sizeof(magic))) {
		remedy_by_building(p, finding);
		return found(finding, "module_damaged",
			     "%s is not a kernel module", p->path);
	}
	magic[strcspn(magic, " ")] = '\0';
	if (!strcmp(magic, p->kernel.release))
		return false;
	remedy_by_building(p, finding);
	return found(finding, "module_vermagic",
		     "%s was built for kernel %s, but kernel %s is running",
		     p->path, magic, p->kernel.release);
}

/* The file with a line "WORD vdiset" of modprobe.d(5), or the kernel's parameters. */
static void find_config(const char *word, char *buf, size_t size)
{
	static const char * const directories[] = {
		"/etc/modprobe.d", "/run/modprobe.d", "/usr/local/lib/modprobe.d",
		"/usr/lib/modprobe.d", "/lib/modprobe.d"
	};
	char pattern[64], line[512], a[64], b[64];
	size_t i, j;

	snprintf(buf, size, "the parameters of the kernel");
	for (i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
		glob_t files;

		snprintf(pattern, sizeof(pattern), "%s/*.conf", directories[i]);
		if (glob(pattern, 0, NULL, &files))
			continue;
		for (j = 0; j < files.gl_pathc; j++) {
			FILE *file = fopen(files.gl_pathv[j], "re");

			while (file && fgets(line, sizeof(line), file)) {
				if (sscanf(line, "%63s %63s", a, b) == 2 &&
				    !strcmp(a, word) && !strcmp(b, MODULE))
					snprintf(buf, size, "%s",
						 files.gl_pathv[j]);
			}
			if (file)
				fclose(file);
		}
		globfree(&files);
	}
}

/* The value of the module in a list of the configuration, or false. */
static bool in_config(struct kmod_config_iter *iter, char *buf, size_t size)
{
	bool ok = false;

	while (iter && !ok && kmod_config_iter_next(iter)) {
		const char *value;

		if (strcmp(kmod_config_iter_get_key(iter), MODULE))
			continue;
		value = kmod_config_iter_get_value(iter);
		snprintf(buf, size, "%s", value ? : "");
		ok = true;
	}
	if (iter)
		kmod_config_iter_free_iter(iter);
	return ok;
}

static bool check_denied(const struct patient *p, struct finding *finding)
{
	char value[256], file[256];

	if (!in_config(kmod_config_get_blacklists(p->kmod), value, sizeof(value)))
		return false;
	find_config("blacklist", file, sizeof(file));
	remedy(finding, "remove 'blacklist vdiset' from %s; then, as root: vdi load",
	       file);
	return found(finding, "module_denied",
		     "'blacklist vdiset' in %s prevents loading", file);
}

static bool check_install_command(const struct patient *p,
				  struct finding *finding)
{
	char command[256], file[256];

	if (!in_config(kmod_config_get_install_commands(p->kmod), command,
		       sizeof(command)))
		return false;
	find_config("install", file, sizeof(file));
	remedy(finding, "remove 'install vdiset' from %s; then, as root: vdi load",
	       file);
	return found(finding, "module_install_command",
		     "'install vdiset %s' in %s replaces loading", command, file);
}

/* ---------------------------------------------------------------- signatures */

/* Why the kernel loads only signed modules, or NULL. */
static const char *signature_rule(void)
{
	char line[128];

	if (read_line("/sys/kernel/security/lockdown", line, sizeof(line)) &&
	    !strstr(line, "[none]"))
		return strstr(line, "[confidentiality]") ?
			"lockdown=confidentiality" : "lockdown=integrity";
	if (read_line("/sys/module/module/parameters/sig_enforce", line,
		      sizeof(line)) && *line == 'Y')
		return "module.sig_enforce=1";
	return NULL;
}

static bool secure_boot(void)
{
	FILE *file = fopen("/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c",
			   "re");
	unsigned char data[5];	/* 4 bytes of attributes precede the value */
	bool on = file && fread(data, 1, sizeof(data), file) == sizeof(data) &&
		  data[4] == 1;

	if (file)
		fclose(file);
	return on;
}

static void remedy_by_signing(struct finding *finding)
{
	remedy(finding, "sign the module with an enrolled key: as root, mokutil --import /var/lib/dkms/mok.pub, reboot, and confirm the key at the console; see docs/secure-boot.md");
}

static bool check_signature(const struct patient *p, struct finding *finding)
{
	const char *rule = signature_rule();
	char signer[128];

	if (!rule || get_modinfo(p, "signer", signer, sizeof(signer)))
		return false;
	remedy_by_signing(finding);
	return found(finding, "module_signature",
		     "%s is not signed, and the kernel loads only signed modules (%s%s)",
		     p->path, rule, secure_boot() ? ", Secure Boot" : "");
}

/* The library does not load the module if there is a device. */
static bool check_left_over(const struct patient *p, struct finding *finding)
{
	(void)p;
	if (!exists(VDISET_DEVICE_PATH))
		return false;
	remedy(finding, "as root: rm /dev/vdiset; vdi load");
	return found(finding, "device_left_over",
		     "the module is not loaded, but there is a /dev/vdiset, left over or created by hand");
}

/* Nothing is wrong so far. */
static bool check_not_loaded(const struct patient *p, struct finding *finding)
{
	const char *rule = signature_rule();
	char signer[128] = "";

	if (rule)
		get_modinfo(p, "signer", signer, sizeof(signer));
	if (rule)
		remedy(finding,
		       "as root: vdi load. The kernel requires a signature (%s): the key of '%s' must be enrolled, see docs/secure-boot.md",
		       rule, signer);
	else
		remedy(finding,
		       "as root: vdi load (to load it at every boot: echo vdiset > /etc/modules-load.d/vdiset.conf)");
	return found(finding, "module_not_loaded",
		     "the module is installed, but not loaded");
}

static const check not_loaded[] = {
	check_container, check_modules_disabled, check_kernel, check_depmod,
	check_other_kernel, check_absent, check_vermagic, check_denied,
	check_install_command, check_signature, check_left_over,
	check_not_loaded, NULL
};

/* ------------------------------------------------------ the module is loaded */

/* The number of the device; 0 if it is unknown. */
static dev_t device_number(void)
{
	unsigned int major, minor;
	char line[32];

	if (!read_line("/sys/class/misc/" MODULE "/dev", line, sizeof(line)) ||
	    sscanf(line, "%u:%u", &major, &minor) != 2)
		return 0;
	return makedev(major, minor);
}

static void remedy_by_mknod(struct finding *finding)
{
	dev_t number = device_number();

	remedy(finding, "as root: rm -f /dev/vdiset; mknod -m 666 /dev/vdiset c %u %u. If only this process has no device: PrivateDevices=no and DeviceAllow=/dev/vdiset rw in its systemd unit",
	       major(number), minor(number));
}

static bool check_missing(const struct patient *p, struct finding *finding)
{
	if (p->error != ENOENT)
		return false;
	if (*p->container) {
		remedy_for_container(p, finding);
		return found(finding, "container_no_device",
			     "the module is loaded, but this container (%s) has no /dev/vdiset",
			     p->container);
	}
	if (*p->service) {
		remedy_for_service(p, finding);
		return found(finding, "service_no_device",
			     "the module is loaded, but the service %s has no /dev/vdiset",
			     p->service);
	}
	remedy_by_mknod(finding);
	return found(finding, "device_missing",
		     "the module is loaded, but there is no /dev/vdiset");
}

/* The number is another one each time the module is loaded. */
static bool check_stale(const struct patient *p, struct finding *finding)
{
	dev_t number = device_number();
	struct stat st;

	if (stat(VDISET_DEVICE_PATH, &st) ||
	    (S_ISCHR(st.st_mode) && (!number || st.st_rdev == number)))
		return false;
	if (*p->container)
		remedy(finding, "restart the container (%s)", p->container);
	else
		remedy_by_mknod(finding);
	return found(finding, "device_stale",
		     S_ISCHR(st.st_mode) ?
		     "/dev/vdiset has number %u:%u, which is not that of the loaded module" :
		     "/dev/vdiset is not a device",
		     major(st.st_rdev), minor(st.st_rdev));
}

/* open(2) fails with EPERM, whatever the mode: the device control group. */
static bool check_control_group(const struct patient *p,
				struct finding *finding)
{
	if (p->error != EPERM)
		return false;
	if (*p->container) {
		remedy_for_container(p, finding);
		return found(finding, "container_denied",
			     "the control group of this container (%s) does not allow /dev/vdiset",
			     p->container);
	}
	if (*p->service) {
		remedy_for_service(p, finding);
		return found(finding, "service_denied",
			     "the service %s is not allowed to use /dev/vdiset",
			     p->service);
	}
	remedy(finding, "allow the device (DeviceAllow=/dev/vdiset rw) in the unit that started this process");
	return found(finding, "device_control_group",
		     "the control group of this process does not allow /dev/vdiset");
}

static bool check_nodev(const struct patient *p, struct finding *finding)
{
	struct statvfs fs;

	if (p->error != EACCES || statvfs(VDISET_DEVICE_PATH, &fs) ||
	    !(fs.f_flag & ST_NODEV))
		return false;
	remedy(finding, "as root: mount -o remount,dev on the file system of /dev/vdiset");
	return found(finding, "device_nodev",
		     "the file system of /dev/vdiset is mounted with the option nodev");
}

static bool check_permission(const struct patient *p, struct finding *finding)
{
	struct stat st;

	if (p->error != EACCES || stat(VDISET_DEVICE_PATH, &st))
		return false;
	remedy(finding, "as root: chmod 666 /dev/vdiset, and remove the rule of udev that changes the mode. The mode of each set protects it, not that of the device");
	return found(finding, "device_permission",
		     "this user (uid %lu) has no permission: /dev/vdiset has mode %04o, owner %lu, group %lu",
		     (unsigned long)geteuid(), st.st_mode & 07777,
		     (unsigned long)st.st_uid, (unsigned long)st.st_gid);
}

static bool check_other_error(const struct patient *p, struct finding *finding)
{
	remedy(finding, "see the log of the kernel: dmesg");
	return found(finding, "device_error", "cannot open /dev/vdiset: %s",
		     p->error ? strerror(p->error) : "the cause has gone");
}

static const check not_usable[] = {
	check_missing, check_stale, check_control_group, check_nodev,
	check_permission, check_other_error, NULL
};

/* ------------------------------------------------------------------ examine */

static void no_log(void *data, int priority, const char *file, int line,
		   const char *fn, const char *format, va_list args)
{
	(void)data, (void)priority, (void)file, (void)line, (void)fn;
	(void)format, (void)args;
}

/* The file of the module, as modprobe(8) finds it. */
static void look_up(struct patient *p)
{
	struct kmod_list *list = NULL;
	struct kmod_module *mod;
	const char *path;

	if (kmod_module_new_from_lookup(p->kmod, MODULE, &list) < 0 || !list)
		return;
	mod = kmod_module_get_module(list);
	path = kmod_module_get_path(mod);
	if (path)
		snprintf(p->path, sizeof(p->path), "%s", path);
	kmod_module_unref(mod);
	kmod_module_unref_list(list);
}

static bool begin(struct patient *p)
{
	int fd;

	*p = (struct patient){ .kmod = kmod_new(NULL, NULL) };
	if (!p->kmod)
		return false;
	kmod_set_log_fn(p->kmod, no_log, NULL);
	uname(&p->kernel);
	detect_container(p->container, sizeof(p->container));
	detect_service(p->service, sizeof(p->service));
	look_up(p);
	fd = open(VDISET_DEVICE_PATH, O_RDWR | O_CLOEXEC);
	p->error = fd < 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	return true;
}

static void examine(struct finding *finding)
{
	const check *c = observe_module_is_loaded() ? not_usable : not_loaded;
	struct patient p;

	*finding = (struct finding){ .problem = NULL };
	if (!begin(&p)) {
		found(finding, "device_error", "out of memory");
		return;
	}
	while (*c && !(*c)(&p, finding))
		c++;
	kmod_unref(p.kmod);
}

static void refused_signature(struct finding *finding)
{
	const char *rule = signature_rule();

	remedy_by_signing(finding);
	found(finding, "module_signature",
	      "the kernel does not trust the key that the module is signed with (%s%s)",
	      rule ? : "CONFIG_MODULE_SIG_FORCE",
	      secure_boot() ? ", Secure Boot" : "");
}

/* ----------------------------------------------------------------- warnings */

static bool warn_version(const char *version, struct finding *finding)
{
	if (!version || !strcmp(version, vdi_version()))
		return false;
	remedy(finding, "install both from the same release; then, while no sets are in use, as root: modprobe -r vdiset; vdi load");
	return found(finding, "version_mismatch",
		     "the module is version %s, vdi is version %s", version,
		     vdi_version());
}

static bool has_ipc_lock(void)
{
	unsigned long long bits = 0;
	char line[256];
	FILE *file = fopen("/proc/self/status", "re");

	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "CapEff: %llx", &bits);
	if (file)
		fclose(file);
	return bits >> CAP_IPC_LOCK & 1;
}

static bool warn_memlock(struct finding *finding)
{
	struct rlimit limit;
	char text[32];

	if (getrlimit(RLIMIT_MEMLOCK, &limit) ||
	    limit.rlim_cur >= ENOUGH_MEMLOCK || has_ipc_lock())
		return false;
	vdi_format_bytes(limit.rlim_cur, text, sizeof(text));
	remedy(finding, "ulimit -l unlimited, or LimitMEMLOCK=infinity in the unit of a service, or memlock in /etc/security/limits.conf");
	return found(finding, "memlock",
		     "RLIMIT_MEMLOCK is %s: buffers cannot be registered or locked, which costs processor time",
		     text);
}

static bool warn_io_uring(struct finding *finding)
{
	struct io_uring_params params = { .flags = 0 };
	int fd = syscall(SYS_io_uring_setup, 1, &params);
	char line[16] = "";

	if (fd >= 0) {
		close(fd);
		return false;
	}
	if (errno == ENOSYS) {
		remedy(finding, "use a kernel with CONFIG_IO_URING");
		return found(finding, "io_uring",
			     "the kernel has no io_uring: vdi executes one read or write at a time");
	}
	if (errno != EPERM && errno != EACCES)
		return false;
	read_line("/proc/sys/kernel/io_uring_disabled", line, sizeof(line));
	if (*line == '1' || *line == '2') {
		remedy(finding, "as root: sysctl kernel.io_uring_disabled=0%s",
		       *line == '1' ? ", or kernel.io_uring_group=GROUP with a group of this user" :
		       "");
		return found(finding, "io_uring",
			     "kernel.io_uring_disabled is %s: vdi executes one read or write at a time",
			     line);
	}
	remedy(finding, "allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp filter of the container or service");
	return found(finding, "io_uring",
		     "a filter of system calls forbids io_uring: vdi executes one read or write at a time");
}

static unsigned int warn(struct finding *list, const char *version)
{
	unsigned int n = 0;

	n += warn_version(version, &list[n]);
	n += warn_memlock(&list[n]);
	n += warn_io_uring(&list[n]);
	return n;
}

const struct doctor vdi_doctor = {
	.examine = examine,
	.refused_signature = refused_signature,
	.warn = warn,
};
