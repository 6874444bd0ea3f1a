// SPDX-License-Identifier: GPL-2.0-only
/*
 * info.c - vdi info, vdi load: the kernel module
 */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "observe.h"
#include "vdi.h"

static void print_module_version(void)
{
	char version[64] = "unknown";
	FILE *file = fopen("/sys/module/vdiset/version", "re");

	if (file) {
		if (fgets(version, sizeof(version), file))
			version[strcspn(version, "\n")] = '\0';
		fclose(file);
	}
	printf("module:     vdiset %s, loaded\n", version);
}

static void print_limit(const char *what, uint64_t bytes)
{
	char text[32];

	vdi_format_bytes(bytes, text, sizeof(text));
	printf("            %-24s %s\n", what, text);
}

static int print_info(struct vdi_observer *observer)
{
	struct vdi_module_info info;

	if (vdi_observer_info(observer, &info)) {
		vdi_error("cannot query the module: %s; the loaded module may be of another version",
			  observe_message(observer));
		return EXIT_NO_MODULE;
	}
	print_module_version();
	printf("interface:  version %u\n", info.version);
	printf("in use:     %u set%s\n", info.sets,
	       info.sets == 1 ? "" : "s");
	print_limit("buffer areas", info.total_bytes);
	printf("limits:     %-24s %u\n", "devices per set",
	       info.max_devices);
	printf("            %-24s %u (default %u)\n", "commands per device",
	       info.max_depth, info.default_depth);
	printf("            %-24s %u\n", "sets per user", info.max_sets);
	print_limit("area of one set", info.max_set_bytes);
	print_limit("areas of one user", info.max_user_bytes);
	print_limit("areas in all", info.max_total_bytes);
	return EXIT_OK;
}

/* Report what prevents loading the module, and how to fix it. */
static void print_remedy(void)
{
	struct utsname uts;
	char path[512];

	uname(&uts);
	snprintf(path, sizeof(path), "/lib/modules/%s", uts.release);
	if (access(path, F_OK)) {
		printf("            this kernel (%s) has no directory of modules and cannot load any.\n"
		       "            Use a distribution kernel, or a virtual machine.\n",
		       uts.release);
		return;
	}
	snprintf(path, sizeof(path), "/lib/modules/%s/build", uts.release);
	if (access(path, F_OK))
		printf("            to build it: install the kernel's headers (linux-headers-%s),\n"
		       "            then run 'make modules && make modules_install', or use dkms.\n",
		       uts.release);
	printf("            to load it: run 'vdi load' as root. A kernel that enforces module\n"
	       "            signatures (Secure Boot) requires a module signed with an enrolled key.\n");
}

int vdi_info_main(int argc, char **argv)
{
	struct vdi_observer *observer;
	char text[768];
	int rc;

	if (argc > 1) {
		bool help = !strcmp(argv[1], "--help") ||
			    !strcmp(argv[1], "-h");

		fputs("usage: vdi info\n\n"
		      "Shows version and limits of the kernel module. If it is not available, shows\n"
		      "the cause and what to do.\n",
		      help ? stdout : stderr);
		return help ? EXIT_OK : EXIT_USAGE;
	}
	printf("vdi:        %s\n", vdi_version());
	if (vdi_observer_new(&observer)) {
		vdi_error("out of memory");
		return EXIT_FAILED;
	}
	if (!vdi_observer_open(observer)) {
		rc = print_info(observer);
		vdi_observer_free(observer);
		return rc;
	}
	printf("module:     not available: %s\n", observe_message(observer));
	if (observe_module_is_loaded()) {
		/* the text says why this process cannot use the device */
		vdi_load_module(text, sizeof(text));
		if (strcmp(text, observe_message(observer)))
			printf("            %s\n", text);
	} else {
		print_remedy();
	}
	vdi_observer_free(observer);
	return EXIT_NO_MODULE;
}

int vdi_load_main(int argc, char **argv)
{
	char text[256];

	if (argc > 1) {
		bool help = !strcmp(argv[1], "--help") ||
			    !strcmp(argv[1], "-h");

		fputs("usage: vdi load\n\nLoads the kernel module. Requires root.\n",
		      help ? stdout : stderr);
		return help ? EXIT_OK : EXIT_USAGE;
	}
	if (vdi_load_module(text, sizeof(text)) != NOERROR) {
		vdi_error("%s", text);
		return EXIT_NO_MODULE;
	}
	return EXIT_OK;
}
