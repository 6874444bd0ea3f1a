// SPDX-License-Identifier: GPL-2.0-only
/*
 * control.c - vdi abort, vdi info, vdi load
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "observe.h"
#include "vdi.h"

static int abort_set(int fd, const char *what, const char *text)
{
	struct vdiset_status status;
	bool ok;

	if (!observe_status(fd, &status)) {
		vdi_error("cannot look at %s: %s", what, strerror(errno));
		return EXIT_FAILED;
	}
	if (status.out_state == VDISET_STATE_ABORTED) {
		vdi_error("%s is aborted already", what);
		return EXIT_OK;
	}
	if (status.out_state == VDISET_STATE_TERMINATED) {
		vdi_error("%s has ended already", what);
		return EXIT_FAILED;
	}
	ok = observe_abort(fd, text);
	if (!ok)
		vdi_error("cannot abort %s: %s", what, strerror(errno));
	return ok ? EXIT_OK : EXIT_FAILED;
}

int vdi_abort_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "id", required_argument, NULL, 'I' },
		{ "message", required_argument, NULL, 'm' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	static const char help[] =
		"usage: vdi abort [USER:]NAME [--message TEXT]\n"
		"       vdi abort --id NUMBER [--message TEXT]\n\n"
		"Aborts a set: the database and the backup program end at once, and say by whom\n"
		"and why. Several users may have a set of the same name: USER is the one who\n"
		"created it. The number is that of 'vdi ls --json'.\n";
	const char *text = "by vdi abort";
	int exit_code = EXIT_OK;
	uint64_t id = 0;
	char what[300];
	int c, fd;

	while ((c = getopt_long(argc, argv, "m:h", options, NULL)) != -1) {
		switch (c) {
		case 'I':
			if (!vdi_parse_size(optarg, 1, UINT64_MAX, &id)) {
				vdi_error("'%s' is not the number of a set",
					  optarg);
				return EXIT_USAGE;
			}
			break;
		case 'm':
			text = optarg;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_OK;
		default:
			fputs(help, stderr);
			return EXIT_USAGE;
		}
	}
	if (optind != argc - !id) {
		fputs(help, stderr);
		return EXIT_USAGE;
	}
	fd = observe_open(&exit_code);
	if (fd < 0)
		return exit_code;

	if (id) {
		snprintf(what, sizeof(what), "set %llu",
			 (unsigned long long)id);
	} else {
		snprintf(what, sizeof(what), "set '%s'", argv[optind]);
		if (!observe_find(fd, argv[optind], &id, &exit_code)) {
			close(fd);
			return exit_code;
		}
	}
	close(fd);
	fd = observe_attach(id);
	if (fd < 0) {
		vdi_error("there is no %s that you may see", what);
		return EXIT_FAILED;
	}
	exit_code = abort_set(fd, what, text);
	close(fd);
	return exit_code;
}

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

static int print_info(int fd)
{
	struct vdiset_info info;

	if (!observe_info(fd, &info)) {
		vdi_error("%s does not answer as it should: %s",
			  VDISET_DEVICE_PATH, strerror(errno));
		return EXIT_NO_MODULE;
	}
	print_module_version();
	printf("interface:  version %u\n", info.out_version);
	printf("in use:     %u set%s\n", info.out_sets,
	       info.out_sets == 1 ? "" : "s");
	print_limit("buffer areas", info.out_total_bytes);
	printf("limits:     %-24s %u\n", "devices per set",
	       info.out_max_devices);
	printf("            %-24s %u (default %u)\n", "commands per device",
	       info.out_max_depth, info.out_default_depth);
	printf("            %-24s %u\n", "sets per user", info.out_max_sets);
	print_limit("area of one set", info.out_max_set_bytes);
	print_limit("areas of one user", info.out_max_user_bytes);
	print_limit("areas in all", info.out_max_total_bytes);
	return EXIT_OK;
}

/* Find out what stands in the way, nearest thing first. */
static void print_remedy(void)
{
	struct utsname uts;
	char path[512];

	uname(&uts);
	snprintf(path, sizeof(path), "/lib/modules/%s", uts.release);
	if (access(path, F_OK)) {
		printf("            this kernel (%s) has no modules directory: it cannot load\n"
		       "            modules. Use a distribution kernel, or a virtual machine.\n",
		       uts.release);
		return;
	}
	snprintf(path, sizeof(path), "/lib/modules/%s/build", uts.release);
	if (access(path, F_OK))
		printf("            to build it: install the kernel's headers (linux-headers-%s),\n"
		       "            then 'make modules && make modules_install', or by dkms.\n",
		       uts.release);
	printf("            to load it: 'vdi load' as root. A kernel that enforces module\n"
	       "            signatures (Secure Boot) wants the module signed with an enrolled key.\n");
}

int vdi_info_main(int argc, char **argv)
{
	char text[256];
	int fd;

	if (argc > 1) {
		bool help = !strcmp(argv[1], "--help") ||
			    !strcmp(argv[1], "-h");

		fputs("usage: vdi info\n\n"
		      "Tells about the kernel module, or why it is not there and what to do.\n",
		      help ? stdout : stderr);
		return help ? EXIT_OK : EXIT_USAGE;
	}
	printf("vdi:        %s\n", vdi_version());
	fd = open(VDISET_DEVICE_PATH, O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		int rc = print_info(fd);

		close(fd);
		return rc;
	}
	printf("module:     not available: %s: %s\n", VDISET_DEVICE_PATH,
	       strerror(errno));
	if (observe_module_is_loaded()) {
		/* which says what keeps this process from the device */
		vdi_load_module(text, sizeof(text));
		printf("            %s\n", text);
	} else {
		print_remedy();
	}
	return EXIT_NO_MODULE;
}

int vdi_load_main(int argc, char **argv)
{
	char text[256];

	if (argc > 1) {
		bool help = !strcmp(argv[1], "--help") ||
			    !strcmp(argv[1], "-h");

		fputs("usage: vdi load\n\nLoads the kernel module, for root.\n",
		      help ? stdout : stderr);
		return help ? EXIT_OK : EXIT_USAGE;
	}
	if (vdi_load_module(text, sizeof(text)) != NOERROR) {
		vdi_error("%s", text);
		return EXIT_NO_MODULE;
	}
	return EXIT_OK;
}
